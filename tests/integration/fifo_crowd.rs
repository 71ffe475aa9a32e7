//! mi_fifo: more replies than there is room for. Whoever has waited longest makes it, and the server says so.

use std::fs;
use std::process::Command;

use crate::fifo::{ask, assert_in_step, folder, help_reply, start, statistic, worker};
use crate::scripted::exists;
use crate::support::{assert_same, make_fifo, open_reader, skip, wait_for, write_to};

/// Replies that the server keeps.
const MAX_REPLIES: usize = 512;

/// What it may have in memory, besides what it has from its start, in KiB: what may wait, in buffers that grow, and a
/// request and a reply in hand.
const MOST_MEMORY: u64 = 48 << 10;

/// Peak of a process's own memory, in KiB.
fn peak_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// FIFOs that nobody reads, and a request for each.
fn ask_for_nobody(server: &crate::support::Server, count: usize, request: &str) {
    let names: Vec<String> = (0..count).map(|number| format!("nobody{number}")).collect();
    names.iter().for_each(|name| make_fifo(&folder(server).join(name)));
    // At once, so that none is late before the last has come.
    let requests: String = names.iter().map(|name| request.replace("{R}", name)).collect();
    write_to(&server.setup.fifo_path(), requests.as_bytes());
}

#[test]
fn a_client_that_opens_late_has_room_beside_many_that_never_do() {
    let server = start();
    ask_for_nobody(&server, MAX_REPLIES, ":help:{R}\nps\n\n");
    let late = folder(&server).join("late");
    make_fifo(&late);
    write_to(&server.setup.fifo_path(), b":help:late\nps\n\n");
    // The list is full when that was served.
    wait_for("a reply that makes room", || (statistic(&server, "fifo_dropped_replies") == 1).then_some(()));
    assert_same("the reply to who comes late", &help_reply(), &fs::read(&late).unwrap());
    assert_in_step(&server, "beside a full list");
    assert!(server.stderr().contains("replies wait for their clients"), "{}", server.stderr());
    server.stop_clean(&[]);
}

#[test]
fn long_replies_that_nobody_reads_take_little_memory() {
    let server = start();
    let pid = worker(&server);
    let before = peak_memory(pid);
    let store = format!(":cache_store:{{R}}\nlocal\nlong\n{}\n\n", "x".repeat(1_000_000));
    assert_same("a long value", b"200 OK\n\n", &ask(&server, "store", &store));
    ask_for_nobody(&server, 60, ":cache_fetch:{R}\nlocal\nlong\n\n");
    assert_in_step(&server, "behind long replies");
    let (dropped, late) = (statistic(&server, "fifo_dropped_replies"), statistic(&server, "fifo_timeouts"));
    assert!(dropped > 0 && dropped + late >= 30, "{dropped} dropped, {late} timed out");
    let more = peak_memory(pid) - before;
    assert!(more < MOST_MEMORY, "{more} KiB");
    server.stop_clean(&[]);
}

#[test]
fn all_requests_of_a_batch_run_though_its_reply_makes_room() {
    let server = start();
    let element = |rest: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":{rest}}}");
    let ask_by_batch = |key: &str| {
        // More than the server makes of a reply that nobody reads.
        let mut batch = vec![element("\"which\""); 400];
        batch.push(element(&format!("\"cache_store\",\"params\":[\"local\",\"{key}\",\"ran\"]")));
        make_fifo(&folder(&server).join(key));
        write_to(&server.setup.fifo_path(), format!(":{key}:[{}]", batch.join(",")).as_bytes());
    };
    let fetched = |key: &str| ask(&server, "fetched", &format!(":cache_fetch:{{R}}\nlocal\n{key}\n\n"));
    ask_by_batch("before");
    assert_same("no client", b"200 OK\nValue not found\n\n", &fetched("before"));
    ask_for_nobody(&server, MAX_REPLIES, ":pwd:{R}\n\n");
    ask_by_batch("behind");
    for key in ["before", "behind"] {
        let wanted = format!("200 OK\n{key} = [ran]\n\n");
        wait_for("the last request of the batch", || (fetched(key) == wanted.as_bytes()).then_some(()));
    }
    server.stop_clean(&[]);
}

#[test]
fn a_server_without_descriptors_answers_when_it_has_some() {
    if !exists("prlimit") {
        return skip("a_server_without_descriptors_answers_when_it_has_some", "no prlimit of util-linux");
    }
    let server = start();
    let pid = worker(&server);
    let limit = |count: &str| {
        let (pid, count) = (format!("--pid={pid}"), format!("--nofile={count}"));
        let status = Command::new("prlimit").args([pid, count]).status();
        assert!(status.expect("prlimit of util-linux").success());
    };
    make_fifo(&folder(&server).join("r"));
    let reader = open_reader(&folder(&server).join("r"));
    let used = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    limit("3:");
    write_to(&server.setup.fifo_path(), b":help:r\nps\n\n");
    wait_for("a parked reply", || (statistic(&server, "fifo_parked_replies") == 1).then_some(()));
    limit("1000:");
    let mut found = Vec::new();
    wait_for("the reply", || {
        let _ = std::io::Read::read_to_end(&mut &reader, &mut found);
        (found == help_reply()).then_some(())
    });
    assert_eq!(fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), used);
    server.stop_clean(&[]);
}
