//! What requests and replies may take together.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{counter, fill, listener, many_descriptors, setup, start};
use crate::support::{Http, StopOnDrop, json_rpc, memory_of, post, wait_for};

/// A value that makes a long reply.
const VALUE_BYTES: usize = 900_000;

/// Clients that ask for it.
const CLIENTS: u64 = 60;

/// What all requests of a process may have together, in bytes, besides [`FREE_BYTES`] for each body.
const REQUESTS_BYTES: usize = 32 << 20;

/// What replies that wait to be read may have together, in bytes, besides the last one.
const REPLIES_BYTES: usize = 16 << 20;

/// What each body may have whatever the others have, in bytes.
const FREE_BYTES: usize = 8 << 10;

/// Waits until the server has read all that its clients have sent, those that it has not let go.
fn wait_until_read(address: SocketAddr) {
    let port = format!(":{:04X}", address.port());
    wait_for("the server to read everything", || {
        let table = fs::read_to_string("/proc/net/tcp").expect("the table of connections");
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // Local address, state (01 is established), and bytes to be sent and to be read.
        let mut of_server = rows.filter(|row| row.len() > 4 && row[1].ends_with(&port) && row[3] == "01");
        of_server.all(|row| row[4].ends_with(":00000000")).then_some(())
    });
}

/// Long requests take memory up to a limit; short ones are answered all the same.
#[test]
fn long_bodies_have_a_limit_together() {
    let (server, address) = start();
    let pid = listener(&server);
    let kilobytes = memory_of(pid);
    // No JSON, which shows at once.
    let request = post("/mi", "application/json", &vec![b'x'; 1 << 20]);
    let mut long: Vec<Http> = (0..40).map(|_| Http::connect(address)).collect();
    long.iter_mut().for_each(|http| http.send_if_open(&request[..request.len() - 1]));
    wait_until_read(address);
    assert_eq!(Http::connect(address).ask(&json_rpc("pwd", "[]")).status, 200);
    let grown = memory_of(pid).saturating_sub(kilobytes);
    long.iter_mut().for_each(|http| http.send_if_open(b"x"));
    let mut accepted = 0;
    for http in &mut long {
        match http.reply().map(|reply| reply.status) {
            Ok(200) => accepted += 1,
            Ok(503) => {}
            // On a machine that takes a second to send them some are let go to make room for others.
            Err(_) => {}
            Ok(status) => panic!("{status}"),
        }
    }
    // Others may have had a part of it when the last one was refused.
    let fit = REQUESTS_BYTES / ((1 << 20) - FREE_BYTES);
    assert!((fit - 2..=fit).contains(&accepted), "{accepted} of 40 were accepted, {fit} fit in");
    assert!(grown < 60 << 10, "{grown} kB more");
    server.stop_clean(&[]);
}

/// Heads that do not come to their end take memory up to the same limit. Short commands are answered all the same, and
/// when the clients have gone the system has the memory again.
#[test]
fn long_heads_have_a_limit_together() {
    many_descriptors();
    let (server, address) = start();
    let pid = listener(&server);
    let kilobytes = memory_of(pid);
    let mut head = b"POST /mi HTTP/1.1\r\nX: ".to_vec();
    head.resize(60_000, b'x');
    let mut long = Vec::new();
    for _ in 0..15 {
        for _ in 0..100 {
            let mut http = Http::connect(address);
            http.send_if_open(&head);
            long.push(http);
        }
        assert_eq!(Http::connect(address).ask(&json_rpc("pwd", "[]")).status, 200);
    }
    let grown = memory_of(pid).saturating_sub(kilobytes);
    // Buffers that grow leave free what they had before, and each has some kilobytes whatever the others have.
    let limit = (REQUESTS_BYTES >> 9) as u64 + 1500 * 12;
    assert!(grown < limit, "{grown} kB more, with a limit of {limit}");
    drop(long);
    wait_for("the memory to be given back", || (memory_of(pid) < kilobytes + (4 << 10)).then_some(()));
    server.stop_clean(&[]);
}

/// Requests of batches that wait for who does not read count as the bodies that they came in.
#[test]
fn batches_that_wait_have_the_limit_of_bodies() {
    let (server, address) = start();
    fill(address);
    let pid = listener(&server);
    let kilobytes = memory_of(pid);
    let one = |method: &str, text: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{text}]}}"#)
    };
    let waiting = vec![one("help", &format!("\"{}\"", "x".repeat(950))); 1000].join(",");
    let batch = format!("[{},{waiting}]", one("ul_dump", ""));
    let request = post("/mi", "application/json", batch.as_bytes());
    let fit = REQUESTS_BYTES / (batch.len() - FREE_BYTES);
    let mut batches = Vec::new();
    let mut accepted = 0;
    for _ in 0..fit + 5 {
        let mut http = Http::connect_narrow(address);
        http.send(&request);
        match http.status().expect("the beginning of a reply") {
            200 => accepted += 1,
            503 => {}
            status => panic!("{status}"),
        }
        batches.push(http);
    }
    let grown = memory_of(pid).saturating_sub(kilobytes);
    // On a machine that takes a second for it some are let go to make room for others.
    let held = accepted - usize::try_from(counter(&server, "http_timeouts")).unwrap();
    assert_eq!(held, fit, "batches of {accepted} wait");
    assert!(grown < 60 << 10, "{grown} kB more");
    drop(batches);
    let long = post("/mi", "application/json", &vec![b'x'; 1 << 20]);
    for _ in 0..fit + 2 {
        wait_for("the budget to be given back", || {
            (Http::connect(address).ask(&long).status == 200).then_some(())
        });
    }
    server.stop_clean(&[]);
}

/// Replies that nobody reads wait up to a limit, however long each is and however many ask at a time. Short ones come
/// all the same, who reads slowly gets all of a long one, and who reads nothing makes room.
#[test]
fn replies_that_nobody_reads_have_a_limit_together() {
    let (setup, address) = setup();
    let server = setup.module("cachedb_local").start();
    let pid = listener(&server);
    let store = json_rpc("cache_store", &format!(r#"["local","key","{}"]"#, "x".repeat(VALUE_BYTES)));
    assert_eq!(Http::connect(address).ask(&store).text(), r#"{"jsonrpc":"2.0","result":"OK","id":1}"#);
    let fetch = json_rpc("cache_fetch", r#"["local","key"]"#);
    let whole = Http::connect(address).ask(&fetch).body.len();
    assert!(whole > VALUE_BYTES);
    let mut slow = Http::connect_narrow(address);
    slow.send(&fetch);
    let kilobytes = memory_of(pid);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = StopOnDrop(&done);
        let slow = scope.spawn(|| {
            let mut read = 0;
            while read < whole && !done.load(Ordering::Relaxed) {
                match slow.some(1000) {
                    Ok(0) => panic!("the slow reader was let go after {read} bytes"),
                    Ok(bytes) => read += bytes,
                    // The machine is slow.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("the slow reader was let go after {read} bytes: {error}"),
                }
                thread::sleep(Duration::from_millis(50));
            }
            slow.widen();
            slow.reply().expect("the rest of the reply").body.len()
        });
        let stopped = (0..CLIENTS).map(|_| {
            let mut http = Http::connect_narrow(address);
            http.send(&fetch);
            http
        });
        let mut stopped: Vec<Http> = stopped.collect();
        let mut refused = 0;
        for http in &mut stopped {
            match http.status().expect("the beginning of a reply") {
                200 => {}
                503 => refused += 1,
                status => panic!("{status}"),
            }
        }
        let grown = memory_of(pid).saturating_sub(kilobytes);
        // On a machine that takes a second for it some are let go to make room for others.
        let held = CLIENTS - refused - counter(&server, "http_timeouts");
        let fit = (REPLIES_BYTES / VALUE_BYTES) as u64;
        assert!((fit - 1..=fit + 1).contains(&held), "{held} of {CLIENTS} wait to be read, {fit} fit in");
        assert!(grown < 40 << 10, "{grown} kB more than {kilobytes}");
        assert_eq!(Http::connect(address).ask(&json_rpc("pwd", "[]")).status, 200);
        for _ in 0..5 {
            // The first one makes slow clients leave.
            wait_for("room", || (Http::connect(address).ask(&fetch).body.len() == whole).then_some(()));
        }
        drop(stopped);
        // Long ones in a batch that has begun wait until there is room.
        let calls = ["pwd", "cache_fetch"].map(|method| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":["local","key"]}}"#)
        });
        let batch = format!("[{}{}]", format!("{},", calls[0]).repeat(40), calls[1]);
        let batch = post("/mi", "application/json", batch.as_bytes());
        let before = counter(&server, "http_timeouts");
        // For each batch beyond those that fit, one slow client is let go. Few are beyond, as room is made once a second.
        let beyond = 10;
        let batches = (0..fit + beyond).map(|_| {
            let mut http = Http::connect_narrow(address);
            http.send(&batch);
            http
        });
        let mut batches: Vec<Http> = batches.collect();
        batches.iter_mut().for_each(|http| assert_eq!(http.status().expect("the beginning"), 200));
        wait_for("slow ones to go", || {
            (counter(&server, "http_timeouts") >= before + beyond - 1).then_some(())
        });
        let grown = memory_of(pid).saturating_sub(kilobytes);
        assert!(grown < 40 << 10, "{grown} kB more than {kilobytes} by batches");
        drop((running, batches));
        assert_eq!(slow.join().unwrap(), whole, "the slow reader's");
    });
    let stderr = server.stderr();
    wait_for("what had memory to go", || (memory_of(pid) < kilobytes + (8 << 10)).then_some(()));
    assert!(stderr.contains("replies that nobody reads take all the memory that they may"), "{stderr}");
    server.stop_clean(&[]);
}
