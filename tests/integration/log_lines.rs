//! What clients cause is in the log, and does not fill it.

use crate::support::{Client, Setup, assert_same};

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
    let mut number = 0;
    while client.ask(format!(":cache_store:\nlocal\n{number}\n{long}\n").as_bytes()) == b"200 OK\n" {
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
        "WARNING:usrloc: usrloc: shared memory is full",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line} in {log}");
    }
    assert_eq!(log.matches(&"x".repeat(101)).count(), 0, "values are cut");
    assert!(log.len() < 10_000, "{} bytes", log.len());
    server.stop_clean(&[]);
}
