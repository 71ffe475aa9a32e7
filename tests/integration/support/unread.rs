//! Clients that ask for long replies and read none.

use std::time::Duration;

use super::{Client, Kind, Server, assert_same};

/// The limit of what all clients may leave unread, in bytes.
pub(crate) const UNREAD_BYTES: usize = 32 << 20;

/// Length of the value that clients ask for, in bytes.
pub(crate) const VALUE_BYTES: usize = 65_000;

/// Asks for that value.
pub(crate) const FETCH: &[u8] = b":cache_fetch:\nlocal\nlong\n";

/// Length of the short value, in bytes. Its reply has room that long ones do not take.
pub(crate) const SHORT_VALUE_BYTES: usize = 4000;

/// Asks for the short value.
pub(crate) const FETCH_SHORT: &[u8] = b":cache_fetch:\nlocal\nshort\n";

/// What each client asks for: more than its queue holds by default.
pub(crate) const AHEAD: usize = 11;

/// Stores the values that [`FETCH`] and [`FETCH_SHORT`] ask for.
pub(crate) fn store(server: &Server) {
    for (key, length) in [("long", VALUE_BYTES), ("short", SHORT_VALUE_BYTES)] {
        let request = format!(":cache_store:\nlocal\n{key}\n{}\n", "v".repeat(length));
        assert_same("cache_store", b"200 OK\n", &server.ask(request.as_bytes()));
    }
}

/// Clients that ask and read nothing.
pub(crate) fn ask_and_never_read(server: &Server, count: usize, request: &[u8]) -> Vec<Client> {
    let clients: Vec<Client> = (0..count).map(|_| server.client_of(Kind::Abstract)).collect();
    for client in &clients {
        (0..AHEAD).for_each(|_| client.send(request).unwrap());
    }
    clients
}

/// A statistic of the group mi.
pub(crate) fn statistic(server: &Server, name: &str) -> u64 {
    let reply = server.ask(format!(":get_statistics:\n{name}\n").as_bytes());
    let text = String::from_utf8(reply).unwrap();
    text.trim_end().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{text}"))
}

/// Bytes that lie in their queues.
pub(crate) fn bytes(clients: &[Client]) -> usize {
    let left = |client: &Client| {
        std::iter::from_fn(|| client.receive(Duration::ZERO).ok()).map(|reply| reply.len()).sum::<usize>()
    };
    clients.iter().map(left).sum()
}
