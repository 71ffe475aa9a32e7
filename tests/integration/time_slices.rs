//! The largest requests that the limits allow, each beside another client of the same process: none of them keeps the
//! process busy for long at a stretch. The full form, with fuller tables and over all transports, is the attack
//! `small_requests`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::heavy::{DATAGRAM_ROOM, Fill, batches, fill, heaviest, json, modules};
use crate::support::{DEADLINE, Server, Setup, VERSION, longest_stretch, shown};

/// Small enough for a debug build; the faults that this file is about took seconds with it.
const SOME: Fill = Fill { aors: 500, contacts: 300, keys: 1, subscribers: 100 };

/// The most processor time that the process may take before the other client has its reply. The server's own limit is
/// 50 ms; a debug build takes ten times as long.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 100 });

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
