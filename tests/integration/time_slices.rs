//! The largest requests that the limits allow, each beside another client of the same process: none of them keeps the
//! process busy for long at a stretch. The full form, with fuller tables and over all transports, is the attack
//! `small_requests`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::support::heavy::{DATAGRAM_ROOM, Fill, batches, fill, heaviest, json, modules};
use crate::support::{
    DEADLINE, HELP_REPLY, Http, Server, Setup, Signal, VERSION, free_tcp_port, json_rpc, longest_stretch,
    send, shown, wait_for,
};

/// Small enough for a debug build; the faults that this file is about took seconds with it.
const SOME: Fill = Fill { aors: 500, contacts: 300, keys: 1, subscribers: 100 };

/// The most processor time that the process may take before the other client has its reply. The server's own limit is
/// 50 ms; a debug build takes ten times as long, and a client that this machine lets wait counts too.
const LIMIT: Duration = Duration::from_millis(500);

/// The commands that the server has, by its own lists.
fn commands(server: &Server) -> BTreeSet<String> {
    let text = server.client().ask(b":which:\n");
    let text = String::from_utf8(text).unwrap();
    let json = server.client().ask(json("which", "[]").as_bytes());
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let json = json["result"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    text.lines().skip(1).chain(json).map(str::to_owned).collect()
}

#[test]
fn no_request_keeps_a_worker_from_another_client_for_long() {
    let server = modules(Setup::unix()).start();
    let rows = heaviest(DATAGRAM_ROOM);
    let mut missing = commands(&server);
    rows.iter().for_each(|row| {
        missing.remove(row.command);
    });
    assert_eq!(missing, BTreeSet::from(["kill".to_owned()]), "commands without a row in support/heavy.rs");
    fill(&server, SOME);
    let pid = server.ps().into_iter().find(|process| process.kind == "MI Datagram").unwrap().pid;
    let requests = rows
        .iter()
        .flat_map(|row| row.requests())
        .chain(batches(DATAGRAM_ROOM).into_iter().take(5).map(Into::into));
    for request in requests {
        let neighbour = server.client();
        let ask = || {
            let client = server.client();
            client.send(&request).unwrap();
            // A batch of notifications has no reply; a client's replies come in the order of its requests.
            let is_silent = request.starts_with(b"[{") && !request.windows(5).any(|part| part == b"\"id\":");
            if is_silent {
                client.send(VERSION).unwrap();
            }
            client.receive(6 * DEADLINE).unwrap_or_else(|error| panic!("{error} for {}", shown(&request)));
        };
        let neighbour_asks = || assert!(neighbour.ask(VERSION).starts_with(b"200 OK\n"));
        let Some(stretch) = longest_stretch(pid, ask, neighbour_asks) else { return };
        assert!(stretch < LIMIT, "{stretch:?} for\n{}", shown(&request[..request.len().min(200)]));
    }
    server.stop_clean(&[]);
}

/// Requests of a batch that takes all of the time that it has.
const HEAVY_REQUESTS: usize = 40;

/// A server with one key, and a batch whose requests compare it for long.
fn with_heavy_batch() -> (Server, Vec<u8>) {
    let server = modules(Setup::unix()).start();
    fill(&server, Fill { aors: 0, contacts: 0, keys: 1, subscribers: 0 });
    let request = json("cache_remove_chunk", &format!("[\"*{}b*\"]", "a".repeat(1000)));
    let batch = format!("[{}]", vec![request; HEAVY_REQUESTS].join(","));
    (server, batch.into_bytes())
}

/// The results and the errors of a batch, which has a reply to each request.
fn outcome(reply: &[u8]) -> (usize, Vec<String>) {
    let reply: Vec<serde_json::Value> = serde_json::from_slice(reply).unwrap();
    assert_eq!(reply.len(), HEAVY_REQUESTS);
    let errors: Vec<String> =
        reply.iter().filter_map(|one| Some(one["error"]["message"].as_str()?.to_owned())).collect();
    (reply.iter().filter(|one| one["result"] == "OK").count(), errors)
}

#[test]
fn a_client_gets_its_replies_in_the_order_of_its_requests() {
    let (server, batch) = with_heavy_batch();
    let (client, other) = (server.client(), server.client());
    for request in [&batch[..], VERSION, b":help:\nps\n", b":nope:\n"] {
        client.send(request).unwrap();
    }
    assert!(other.ask(VERSION).starts_with(b"200 OK\n"));
    assert!(!client.has_more(), "the batch takes a second, and the other client waits for a time slice");
    let next = || client.receive(DEADLINE).unwrap();
    let (results, errors) = outcome(&next());
    assert!(results > 0 && results + errors.len() == HEAVY_REQUESTS, "{results} {errors:?}");
    assert!(errors.iter().all(|error| error.starts_with("Not run, the requests before it")), "{errors:?}");
    assert!(next().starts_with(b"200 OK\nServer:: "));
    assert_eq!(next(), HELP_REPLY);
    assert_eq!(next(), b"500 command not available\n");
    assert!(server.stderr().contains("requests of a batch are not run"), "{}", server.stderr());
    server.stop_clean(&[]);
}

#[test]
fn a_server_that_stops_answers_what_is_in_hand() {
    let (server, batch) = with_heavy_batch();
    let (client, other) = (server.client(), server.client());
    client.send(&batch).unwrap();
    client.send(VERSION).unwrap();
    assert!(other.ask(VERSION).starts_with(b"200 OK\n"));
    send(server.pid(), Signal::SIGTERM);
    let (results, errors) = outcome(&client.receive(DEADLINE).unwrap());
    assert_eq!(results + errors.len(), HEAVY_REQUESTS);
    let version = client.receive(DEADLINE).unwrap();
    assert!(
        version == b"503 Server is stopping\n" || version.starts_with(b"200 OK\n"),
        "{}",
        shown(&version)
    );
}

#[test]
fn a_change_is_made_to_its_end_though_its_client_goes() {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::from((host, free_tcp_port(host)));
    let setup = modules(Setup::unix()).module("httpd").module("mi_http");
    let server = setup.param_of("httpd", "port", &address.port().to_string()).start();
    fill(&server, Fill { aors: 0, contacts: 0, keys: 5, subscribers: 0 });
    let keys: Vec<String> = (0..100).map(|number| format!("{}b{number}", "a".repeat(200))).collect();
    let client = server.client();
    let ask = |request: String| String::from_utf8(client.ask(request.as_bytes())).unwrap();
    keys.iter().for_each(|key| assert_eq!(ask(format!(":cache_store:\nlocal\n{key}\nv\n")), "200 OK\n"));
    let glob = format!("[\"*{}b*\"]", "a".repeat(200));
    let mut http = wait_for("HTTP", || Http::try_connect(address).ok());
    http.send(&json_rpc("cache_remove_chunk", &glob));
    drop(http);
    for key in &keys {
        wait_for("the end of the key", || {
            (ask(format!(":cache_fetch:\nlocal\n{key}\n")) == "200 OK\nValue not found\n").then_some(())
        });
    }
    server.stop_clean(&[]);
}
