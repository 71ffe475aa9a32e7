//! Replies that nobody reads: all that lie in the queues of UNIX clients together are bounded, and a client that reads is
//! served as before. C: one socket sends all replies, and once its buffer is full nobody gets any. With thousands of
//! clients, in little memory: tests/attack/unread.rs.

use crate::support::{DEADLINE, HELP, HELP_REPLY, Setup, assert_same, unread, wait_for};

#[test]
fn what_clients_leave_unread_is_bounded_and_a_reader_is_served() {
    let server = Setup::unix().module("cachedb_local").param("socket_timeout", "0").workers(2).start();
    unread::store(&server);
    // Twice as much as there is room for.
    let never = unread::ask_and_never_read(
        &server,
        2 * unread::UNREAD_BYTES / unread::AHEAD / unread::VALUE_BYTES,
        unread::FETCH,
    );
    for _ in 0..20 {
        assert_same("a reader", HELP_REPLY, &server.ask(HELP));
    }
    assert!(unread::statistic(&server, "datagram_unread_drops") > 0);
    let bytes = unread::bytes(&never);
    assert!((unread::UNREAD_BYTES / 4..=unread::UNREAD_BYTES).contains(&bytes), "{bytes} bytes were unread");
    // What has been read has made room.
    let client = server.client();
    wait_for("a long reply", || {
        client.send(unread::FETCH).unwrap();
        client.receive(DEADLINE / 10).ok().filter(|reply| reply.len() > unread::VALUE_BYTES)
    });
    assert!(server.stderr().contains("leave too many datagrams unread"), "{}", server.stderr());
    server.stop_clean(&[]);
}

/// Clients of one process take all that there is for long replies and for short ones. They have no path; others have one.
#[test]
fn clients_that_leave_everything_unread_keep_no_replies_from_others() {
    let server = Setup::unix().module("cachedb_local").param("socket_timeout", "0").workers(2).start();
    unread::store(&server);
    let room = unread::UNREAD_BYTES / unread::AHEAD;
    let _long = unread::ask_and_never_read(&server, room / unread::VALUE_BYTES, unread::FETCH);
    let _short =
        unread::ask_and_never_read(&server, room / 2 / unread::SHORT_VALUE_BYTES, unread::FETCH_SHORT);
    for _ in 0..20 {
        assert_same("a reader with a path", HELP_REPLY, &server.ask(HELP));
    }
    assert!(unread::statistic(&server, "datagram_unread_drops") > 0);
    server.stop_clean(&[]);
}
