//! What clients cause is in the log, and does not fill it.

use std::time::Instant;

use crate::support::{Client, Setup, assert_same, wait_for};

/// As many requests as would make megabytes of lines.
const REQUESTS: usize = 200;

/// Longer than what a line shows.
const LONG: usize = 20_000;

fn ask_often(client: &Client, request: &str, reply: &[u8]) {
    for _ in 0..REQUESTS {
        assert_same(&request[..30], reply, &client.ask(request.as_bytes()));
    }
}

/// One worker, as each process counts for itself.
#[test]
fn clients_do_not_flood_the_log() {
    let server = Setup::unix()
        .module("cachedb_local")
        .module("event_datagram")
        .module("usrloc")
        .param_of("cachedb_local", "exec_threshold", "1")
        .arg("-m")
        .arg("2")
        .start();
    let client = server.client();
    assert_same("debug", b"200 OK\nDEBUG:: 3\n", &client.ask(b":debug:\n3\n"));
    let long = "x".repeat(LONG);
    ask_often(&client, &format!(":cache_fetch:\n{long}\nkey\n"), b"500 Cache fetch command failed\n");
    ask_often(&client, &format!(":event_subscribe:\n{long}\nudp:127.0.0.1:9\n"), b"400 Bad parameter\n");
    ask_often(&client, &format!(":cache_store:\nlocal\n{long}\n{long}\n"), b"200 OK\n");
    let full = b"500 shared memory is full; give a larger -m, or remove something\n";
    // A value has room in a part of the table that is found by its key; this many keys find them all.
    let (mut number, mut refused) = (0, 0);
    while refused < 1000 {
        let reply = client.ask(format!(":cache_store:\nlocal\n{number}\n{long}\n").as_bytes());
        refused = if reply == b"200 OK\n" { 0 } else { refused + 1 };
        number += 1;
    }
    let contact = format!(":ul_add:\nlocation\na\nsip:{long}@192.0.2.1\n9\n1\n0\n0\n0\n0\n");
    ask_often(&client, &contact, full);
    let log = server.stderr();
    for line in [
        "WARNING:core: Cache fetch command failed: no cache system \"xxx",
        "INFO:core: udp:127.0.0.1:9 to xxx",
        "WARNING:core: threshold exceeded: cachedb_local insert of xxx",
        "WARNING:core: Cache store command failed: shared memory is full",
        "WARNING:usrloc: shared memory is full",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line} in {log}");
    }
    assert_eq!(log.matches(&"x".repeat(101)).count(), 0, "values are cut");
    assert!(log.len() < 10_000, "{} bytes", log.len());
    server.stop_clean(&[]);
}

/// Requests that make a line at level 4 each, and what that line holds.
const REFUSED: [(&str, &str); 6] = [
    ("junk", "command not available: junk"),
    (":help:\n\"open\n", "help: byte"),
    (":debug:\n\"open\n", "debug: byte"),
    ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}", "Method not found"),
    (":ul_add:\nlocation\na\nno uri\n9\n1\n0\n0\n0\n0\n", "no uri is no URI"),
    (":event_subscribe:\nE_NONE\nudp:127.0.0.1:9\n", "to E_NONE is refused"),
];

#[test]
fn lines_that_clients_cause_are_limited_at_level_4_and_those_left_out_are_counted() {
    let server = Setup::unix().module("usrloc").module("event_datagram").start();
    let client = server.client();
    assert_same("debug", b"200 OK\nDEBUG:: 4\n", &client.ask(b":debug:\n4\n"));
    let begin = Instant::now();
    for _ in 0..REQUESTS {
        for (request, _) in REFUSED {
            client.ask(request.as_bytes());
        }
    }
    let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap();
    let log = server.stderr();
    for (request, line) in REFUSED {
        let count = log.matches(line).count();
        assert!((1..=11 + seconds).contains(&count), "{request}: {count} lines in {seconds} s:\n{log}");
    }
    wait_for("the number of lines that were left out", || {
        client.ask(b"junk");
        let log = server.stderr();
        log.lines()
            .any(|line| line.contains(": junk (and ") && line.ends_with(" like it before)"))
            .then_some(())
    });
    server.stop_clean(&[]);
}
