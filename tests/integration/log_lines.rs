//! What clients cause is in the log, and does not fill it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Client, Http, Kind, Setup, assert_same, free_tcp_port, json_rpc, post, wait_for};

/// As many requests as would make megabytes of lines.
const REQUESTS: usize = 200;

/// Longer than what a line shows.
const LONG: usize = 20_000;

fn localhost() -> SocketAddr {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    (host, free_tcp_port(host)).into()
}

fn ask_often(client: &Client, request: &str, reply: &[u8]) {
    for _ in 0..REQUESTS {
        assert_same(&request[..30], reply, &client.ask(request.as_bytes()));
    }
}

/// Asks with one number after the other until there is no room for any. The table has parts, and what has room in which
/// is found by its key: so many refusals in a row come when all are full.
fn fill(full: &[u8], ask: impl Fn(usize) -> Vec<u8>) {
    let mut refused = 0;
    for number in 0.. {
        let reply = ask(number);
        refused = if reply == b"200 OK\n" { 0 } else { refused + 1 };
        if refused > 0 {
            assert_same("a full table", full, &reply);
        }
        if refused == 1000 {
            return;
        }
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
    let begin = Instant::now();
    let long = "x".repeat(LONG);
    ask_often(&client, &format!(":cache_fetch:\n{long}\nkey\n"), b"500 Cache fetch command failed\n");
    ask_often(&client, &format!(":event_subscribe:\n{long}\nudp:127.0.0.1:9\n"), b"400 Bad parameter\n");
    ask_often(&client, &format!(":cache_store:\nlocal\n{long}\n{long}\n"), b"200 OK\n");
    let full = b"500 shared memory is full; give a larger -m, or remove something\n";
    fill(full, |number| client.ask(format!(":cache_store:\nlocal\n{number}\n{long}\n").as_bytes()));
    fill(full, |number| {
        let contact = format!("sip:{long}@192.0.2.1");
        client.ask(format!(":ul_add:\nlocation\n{number}\n{contact}\n3600\n1\n0\n0\n0\n0\n").as_bytes())
    });
    let log = server.stderr();
    let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap();
    for line in
        [": no cache system \"xxx", ": 400 Bad parameter: event: \"xxx", "NOTICE:core: event_subscribe xxx"]
    {
        let count = log.matches(line).count();
        assert!((1..=11 + seconds).contains(&count), "{count} of {line} in {seconds} s:\n{log}");
    }
    for line in [
        "WARNING:core: threshold exceeded: cachedb_local insert of xxx",
        "WARNING:core: Cache store command failed: shared memory is full",
        "WARNING:usrloc: shared memory is full",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line} in {log}");
    }
    assert_eq!(log.matches(&"x".repeat(101)).count(), 0, "values are cut");
    assert!(log.len() < 20_000 + 2000 * seconds, "{} bytes", log.len());
    server.stop_clean(&[]);
}

/// Requests that make a line at level 4 each, and what that line holds.
const REFUSED: [(&str, &str); 6] = [
    ("junk", "command not available: junk"),
    (":help:\n\"open\n", "400 parse error in command: byte"),
    (":debug:\nopen\n", "level: \"open\" is no number"),
    ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}", "Method not found"),
    (":ul_add:\nlocation\na\nno uri\n9\n1\n0\n0\n0\n0\n", "contact: \"no uri\" is no URI"),
    (":event_subscribe:\nE_NONE\nudp:127.0.0.1:9\n", "event: \"E_NONE\": no module raises"),
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

/// At the level that a server has of itself.
#[test]
fn commands_that_change_the_server_are_logged_with_their_callers() {
    let address = localhost();
    let modules = ["event_datagram", "httpd", "mi_http", "mi_json", "mi_xmlrpc_ng"];
    let setup = modules.into_iter().fold(Setup::unix().fifo(), Setup::module).global("debug=2");
    let mut server = setup.param_of("httpd", "port", &address.port().to_string()).start();
    let folder = server.setup.folder.path().to_owned();
    let uid = nix::unistd::geteuid();
    let client = server.client();
    for request in [
        ":debug:\n2\n",
        ":debug:\n",
        ":reset_statistics:\nreceived\nr\n",
        ":event_subscribe:\nE_CORE_THRESHOLD\nudp:127.0.0.1:9\n",
        ":get_statistics:\nall\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"reset_all_statistics\"}",
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"log_level\",\"params\":{\"level\":2}}]",
    ] {
        client.ask(request.as_bytes());
    }
    client
        .send(b"{\"jsonrpc\":\"2.0\",\"method\":\"reset_statistics\",\"params\":[[\"unanswered\"]]}")
        .unwrap();
    server.client_of(Kind::Abstract).ask(b":debug:\n2\n");
    server.fifo_client("replies").ask(&folder, ":debug:{R}\n2\n\n");
    let get = "GET /json/debug?params=2 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    Http::connect(address).ask(get.as_bytes());
    Http::connect(address).ask(&json_rpc("log_level", "[2]"));
    let call = "<methodCall><methodName>debug</methodName><params><param><value><string>2</string></value></param>\
                </params></methodCall>";
    Http::connect(address).ask(&post("/RPC2", "text/xml", call.as_bytes()));
    client.send(b":kill:\n").unwrap();
    server.wait_end();
    let log = server.stderr();
    let own = format!("mi_datagram {}/client-", folder.display());
    for (command, caller) in [
        ("debug 2", &own[..]),
        ("reset_statistics received r", &own),
        ("event_subscribe E_CORE_THRESHOLD udp:127.0.0.1:9", &own),
        ("reset_all_statistics", &own),
        ("reset_statistics unanswered", &own),
        ("log_level 2", &own),
        ("debug 2", "mi_datagram @mi-test-"),
        ("debug 2", &format!("mi_fifo {}/replies (uid {uid})\n", folder.display())),
        ("debug 2", "mi_json 127.0.0.1\n"),
        ("log_level 2", "mi_http 127.0.0.1\n"),
        ("debug 2", "mi_xmlrpc_ng 127.0.0.1\n"),
        ("kill", &own),
    ] {
        let line = format!("NOTICE:core: {command} by {caller}");
        assert!(log.contains(&line), "{line} is not in\n{log}");
    }
    assert!(log.contains(&format!(" (uid {uid})\n")), "{log}");
    assert!(!log.contains("get_statistics") && !log.contains("debug by"), "they change nothing:\n{log}");
    server.assert_gone(&[]);
}

/// Replies stay as they are in OpenSIPS; the log says why, and JSON-RPC's `data`.
#[test]
fn the_reason_of_a_refusal_is_in_the_log_and_in_data() {
    let modules = ["cachedb_local", "usrloc"];
    let server = modules.into_iter().fold(Setup::unix(), Setup::module).global("debug=2").start();
    let client = server.client();
    let add = |contact: &str, q: &str| format!(":ul_add:\nlocation\na\n{contact}\n9\n{q}\n0\n0\n0\n0\n");
    for (request, reply, reason) in [
        (
            &add("nobody", "1")[..],
            "500 Server Internal Error\n",
            "ul_add by @: contact: \"nobody\" is no URI",
        ),
        (&add("sip:a@b", "2"), "400 Bad parameter\n", "ul_add by @: q: \"2\" is no number from 0 to 1"),
        (
            ":event_subscribe:\nE_NONE\nudp:127.0.0.1:9\n",
            "400 Bad parameter\n",
            "event_subscribe by @: event: \"E_NONE\": no module raises such an event; events_list shows them",
        ),
        (
            ":event_subscribe:\nE_CORE_THRESHOLD\nudp:127.0.0.1:9\n",
            "400 Bad parameter\n",
            "event_subscribe by @: socket: \"udp:127.0.0.1:9\": cannot send there; write udp:HOST:PORT or unix:PATH, \
             and load the module event_datagram",
        ),
        (
            ":event_subscribe:\nE_CORE_THRESHOLD\nudp:127.0.0.1:9\nx\n",
            "400 Bad parameter\n",
            "event_subscribe by @: expire is no number",
        ),
        (":debug:\nx\n", "400 Bad parameter\n", "debug by @: level: \"x\" is no number"),
        (":debug:\n\"x\n", "400 parse error in command\n", "debug by @: byte 0 of the parameters"),
        (
            ":cache_fetch:\nnone\nkey\n",
            "500 Cache fetch command failed\n",
            "cache_fetch by @: no cache system \"none\" is loaded; load its module, or name another",
        ),
    ] {
        assert_same(request, reply.as_bytes(), &client.ask(request.as_bytes()));
        let (command, reason) = reason.split_once(" by @: ").unwrap();
        let status = reply.trim_end();
        let log = server.stderr();
        let is_line = |line: &str| {
            line.contains(&format!("NOTICE:core: {command} by mi_datagram "))
                && line.contains(&format!(" is refused: {status}: {reason}"))
        };
        assert!(log.lines().any(is_line), "{request}: {reason} is not in\n{log}");
    }
    for (method, params, code, message, data) in [
        (
            "ul_add",
            json!(["location", "a", "x", 9, "1", 0, 0, 0]),
            500,
            "Internal Error",
            "contact: \"x\" is no URI",
        ),
        (
            "ul_add",
            json!(["location", "a", "sip:a@b", 9, "x", 0, 0, 0]),
            400,
            "Bad parameter value",
            "q: \"x\"",
        ),
        (
            "event_subscribe",
            json!(["E_NONE", "udp:127.0.0.1:9"]),
            400,
            "Bad parameter value",
            "event: \"E_NONE\"",
        ),
        (
            "cache_remove",
            json!(["none", "k"]),
            500,
            "Cache remove command failed",
            "no cache system \"none\"",
        ),
        (
            "cache_remove_chunk",
            json!(["*", "none"]),
            500,
            "Internal error",
            "collection: there is no \"none\"",
        ),
    ] {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let reply: Value = serde_json::from_slice(&client.ask(request.to_string().as_bytes())).unwrap();
        let error = &reply["error"];
        assert_eq!((&error["code"], &error["message"]), (&json!(code), &json!(message)), "{reply}");
        assert!(error["data"].as_str().is_some_and(|found| found.starts_with(data)), "{reply}");
    }
    server.stop_clean(&[]);
}
