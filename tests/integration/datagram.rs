//! UNIX datagrams: every kind of client gets its answer, up to the largest request and reply, and a bad client harms
//! nobody. C: datagram_fnc.c of mi_datagram.

use std::fmt::Write;

use crate::support::{
    Client, HELP, HELP_REPLY, Kind, MAX_DATAGRAM_BYTES, Server, Setup, VERSION, assert_same, shown,
};

const KINDS: [Kind; 3] = [Kind::Bound, Kind::Connected, Kind::Abstract];

#[test]
fn every_kind_of_client_gets_its_reply() {
    let server = Setup::unix().start();
    for kind in KINDS {
        let client = server.client_of(kind);
        assert_same(&format!("{kind:?}, first"), HELP_REPLY, &client.ask(HELP));
        assert_same(&format!("{kind:?}, again"), HELP_REPLY, &client.ask(HELP));
    }
    server.stop_clean(&[]);
}

#[test]
fn replies_come_in_the_order_of_the_requests() {
    let server = Setup::unix().start();
    let client = server.client();
    // Not more than the kernel queues for one socket by default.
    for count in 1..=8 {
        client.send(&statistics(count, 0)).unwrap();
    }
    for count in 1..=8 {
        let reply = client.receive(crate::support::DEADLINE).unwrap();
        assert_same(&format!("reply {count}"), &statistics_reply(count, 0), &reply);
    }
    server.stop_clean(&[]);
}

#[test]
fn the_largest_request_is_answered_and_a_longer_one_refused() {
    let server = Setup::unix().start();
    for kind in KINDS {
        check_request_sizes(&server.client_of(kind), &[MAX_DATAGRAM_BYTES + 1, 2 * MAX_DATAGRAM_BYTES]);
    }
    server.stop_clean(&[]);
}

#[test]
fn the_largest_reply_is_sent_and_a_longer_one_becomes_an_error() {
    let server = Setup::unix().start();
    for kind in KINDS {
        check_reply_sizes(&server.client_of(kind));
    }
    server.stop_clean(&[]);
}

#[test]
fn an_empty_datagram_gets_no_answer() {
    let server = Setup::unix().start();
    for kind in KINDS {
        check_empty(&server.client_of(kind));
    }
    server.stop_clean(&[]);
}

/// One worker, so that nobody else can stand in for one that is stuck.
#[test]
fn a_bad_client_does_not_hurt_the_next() {
    let server = Setup::unix().start();
    let good = server.client();
    let hurt = |server: &Server, what: &str| {
        assert_same(&format!("after {what}"), HELP_REPLY, &good.ask(HELP));
        assert_eq!(server.workers().len(), 1, "after {what}");
    };

    server.client_of(Kind::Unbound).send(VERSION).unwrap();
    hurt(&server, "a client without a name");
    {
        let gone = server.client();
        gone.send(VERSION).unwrap();
    }
    hurt(&server, "a client that went before its reply came");
    {
        let gone = server.client_of(Kind::Connected);
        gone.send(VERSION).unwrap();
    }
    hurt(&server, "a connected client that went before its reply came");

    let newlines = "\n".repeat(60_000);
    let colons = ":".repeat(60_000);
    let quotes = format!(":help:\n{}", "\"".repeat(60_000));
    let lines = format!(":help:\n{}", "a::b\n".repeat(13_000));
    let names = format!(":help:\n{}::v\n", "n".repeat(60_000));
    for request in [&newlines, &colons, &quotes, &lines, &names] {
        let reply = server.ask(request.as_bytes());
        assert!(is_error(&reply), "{}", shown(&reply));
        hurt(&server, &format!("a request of {:?}…", &request[..20]));
    }
    server.stop_clean(&[]);
}

#[test]
fn bytes_at_random_get_one_answer_each() {
    let server = Setup::unix().start();
    let client = server.client();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..500 {
        let mut request = [&b""[..], b":", b":help:\n", b":debug:\n"][round % 4].to_vec();
        let length = usize::try_from(next() % 200).unwrap() + 1;
        request.extend((0..length).map(|_| b":\n\"\\ a\0\xff"[usize::try_from(next() % 8).unwrap()]));
        let reply = client.ask(&request);
        let code = reply.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit));
        assert!(code && reply.ends_with(b"\n"), "to\n{}came\n{}", shown(&request), shown(&reply));
    }
    assert!(!client.has_more(), "more replies than requests");
    server.stop_clean(&[]);
}

/// Requests of [`MAX_DATAGRAM_BYTES`] are answered in full; requests of `over` bytes with an error.
pub(crate) fn check_request_sizes(client: &Client, over: &[usize]) {
    for size in [MAX_DATAGRAM_BYTES - 1, MAX_DATAGRAM_BYTES] {
        let request = [HELP, &vec![b'\n'; size - HELP.len()]].concat();
        assert_same(&format!("blank lines up to {size} bytes"), HELP_REPLY, &client.ask(&request));
        let request = [b":help:\n", &vec![b'x'; size - 7][..]].concat();
        assert_same(
            &format!("a name up to {size} bytes"),
            b"404 unknown MI command\n",
            &client.ask(&request),
        );
    }
    for &size in over {
        let request = [HELP, &vec![b'\n'; size - HELP.len()]].concat();
        let reply = client.ask(&request);
        assert!(is_error(&reply), "{size} bytes: {}", shown(&reply));
    }
    assert!(!client.has_more(), "more replies than requests");
}

/// Replies of [`MAX_DATAGRAM_BYTES`] arrive in full; instead of a longer one comes an error with its size.
pub(crate) fn check_reply_sizes(client: &Client) {
    // 7 bytes of "200 OK", 22 and 21 bytes a line.
    assert_eq!(statistics_reply(14, 3102).len(), MAX_DATAGRAM_BYTES);
    let largest = client.ask(&statistics(14, 3102));
    assert_same("the largest reply", &statistics_reply(14, 3102), &largest);
    for (requests, replies) in [(15, 3101), (100, 3102), (4000, 0)] {
        let size = statistics_reply(requests, replies).len();
        let wanted = format!("500 reply too large: {size} bytes, limit {MAX_DATAGRAM_BYTES}\n");
        assert_same(
            "instead of a longer reply",
            wanted.as_bytes(),
            &client.ask(&statistics(requests, replies)),
        );
    }
    assert_same("after that", HELP_REPLY, &client.ask(HELP));
}

/// An empty datagram is not answered, and the next request is.
pub(crate) fn check_empty(client: &Client) {
    client.send(b"").unwrap();
    assert_same("the first reply after an empty datagram", HELP_REPLY, &client.ask(HELP));
    assert!(!client.has_more(), "two replies to one request and an empty datagram");
}

fn is_error(reply: &[u8]) -> bool {
    matches!(reply, [b'4' | b'5', code @ .., b'\n'] if code.len() > 3 && code[0].is_ascii_digit() && code[2] == b' ')
}

/// A request for one statistic `requests` times and another `replies` times: a reply of any length wanted.
pub(crate) fn statistics(requests: usize, replies: usize) -> Vec<u8> {
    let mut text = ":get_statistics:\n".to_owned();
    (0..requests).for_each(|_| text += "rcv_requests\n");
    (0..replies).for_each(|_| text += "rcv_replies\n");
    text.into_bytes()
}

pub(crate) fn statistics_reply(requests: usize, replies: usize) -> Vec<u8> {
    let mut text = "200 OK\n".to_owned();
    (0..requests).for_each(|_| writeln!(text, "core:rcv_requests:: 0").unwrap());
    (0..replies).for_each(|_| writeln!(text, "core:rcv_replies:: 0").unwrap());
    text.into_bytes()
}
