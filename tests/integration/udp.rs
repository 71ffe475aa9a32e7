//! `mi_datagram` over UDP, IPv4 and IPv6: the forms of `socket_name`, the limits of the port, sizes, replies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::datagram::{check_empty, check_reply_sizes, check_request_sizes};
use crate::support::{
    DEADLINE, HELP, HELP_REPLY, Kind, MAX_DATAGRAM_BYTES, Server, Setup, assert_same, free_udp_port,
    has_ipv6, shown, skip,
};

/// Largest UDP payload over IPv4, in bytes.
const MAX_UDP_BYTES: usize = 65_507;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A server whose `socket_name` is `form` with a free port for `PORT`.
fn start(form: &str, host: IpAddr) -> Server {
    let port = free_udp_port(host);
    Setup::udp(&form.replace("PORT", &port.to_string()), SocketAddr::new(host, port)).start()
}

fn check_everything(server: &Server) {
    for kind in [Kind::Bound, Kind::Connected] {
        let client = server.client_of(kind);
        assert_same(&format!("{kind:?}"), HELP_REPLY, &client.ask(HELP));
        check_empty(&client);
        check_request_sizes(&client, &[MAX_DATAGRAM_BYTES + 1, MAX_UDP_BYTES]);
        check_reply_sizes(&client);
    }
}

#[test]
fn ipv4() {
    let server = start("udp:127.0.0.1:PORT", V4);
    check_everything(&server);
    server.stop_clean(&[]);
}

#[test]
fn ipv6_in_both_forms() {
    if !has_ipv6() {
        return skip("udp::ipv6_in_both_forms", "no ::1");
    }
    for form in ["udp:[::1]:PORT", "udp:::1:PORT"] {
        let server = start(form, V6);
        check_everything(&server);
        server.stop_clean(&[]);
    }
}

#[test]
fn several_workers_share_the_port() {
    let port = free_udp_port(V4);
    let address = SocketAddr::new(V4, port);
    let server = Setup::udp(&format!("udp:127.0.0.1:{port}"), address).workers(3).start();
    assert_eq!(server.wait_for_workers(3).len(), 3);
    for _ in 0..20 {
        assert_same("a worker", HELP_REPLY, &server.ask(HELP));
    }
    server.stop_clean(&[]);
}

/// C: `mi_mod_init` refuses ports outside [1024, 65535].
#[test]
fn a_port_out_of_range_is_refused() {
    for name in [
        "udp:127.0.0.1:0",
        "udp:127.0.0.1:1023",
        "udp:127.0.0.1:65536",
        "udp:127.0.0.1:99999999999",
        "udp:127.0.0.1:-5060",
    ] {
        let setup = Setup::udp(name, SocketAddr::new(V4, 0));
        setup.refuse().assert_refused(name, &["mi_datagram"]);
    }
}

#[test]
fn a_name_that_is_no_address_is_refused() {
    for name in
        ["udp:127.0.0.1", "udp:127.0.0.1:", "udp:127.0.0.1:abc", "udp:", "udp::5060", "udp:999.1.1.1:15060"]
    {
        let setup = Setup::udp(name, SocketAddr::new(V4, 0));
        setup.refuse().assert_refused(name, &["mi_datagram"]);
    }
}

#[test]
fn the_limits_of_the_port_are_allowed() {
    for port in [1024, 65_535] {
        // The only test that cannot choose a free port: the limits are what it is about.
        if UdpSocket::bind((V4, port)).is_err() {
            skip("udp::the_limits_of_the_port_are_allowed", &format!("port {port} is taken"));
            continue;
        }
        let server = Setup::udp(&format!("udp:127.0.0.1:{port}"), SocketAddr::new(V4, port)).start();
        assert_same(&format!("port {port}"), HELP_REPLY, &server.ask(HELP));
        server.stop_clean(&[]);
    }
}

#[test]
fn a_port_in_use_is_a_reason_not_to_start() {
    let holder = UdpSocket::bind((V4, 0)).unwrap();
    let address = holder.local_addr().unwrap();
    let setup = Setup::udp(&format!("udp:{address}"), address);
    setup.refuse().assert_refused("a port in use", &[&address.port().to_string(), "in use"]);
}

/// What another server sends is not answered, in whatever form, so that two servers do not answer each other for ever.
/// C answers it. Differs: see `mi_datagram/worker.rs`.
#[test]
fn what_is_no_request_is_counted_and_not_answered() {
    let server = start("udp:127.0.0.1:PORT", V4);
    let client = server.client();
    let ignored: [&[u8]; 8] = [
        b"500 command not available\n",
        b"hello",
        b"\0\0\0",
        b"200 OK\nps::  x\n",
        b"\n:ps:\n",
        b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600},\"id\":null}",
        b" {\"id\": 1, \"result\": [], \"jsonrpc\": \"2.0\"}",
        b"[{\"jsonrpc\":\"2.0\",\"result\":\"OK\",\"id\":1}]",
    ];
    let requests: [&[u8]; 4] = [b":nope:\n", b"{}", b"{\"jsonrpc\"", b"[]"];
    for (text, is_answered) in
        ignored.iter().map(|text| (text, false)).chain(requests.iter().map(|text| (text, true)))
    {
        client.send(text).unwrap();
        if is_answered {
            assert!(client.receive(DEADLINE).is_ok(), "{}", shown(text));
        }
        // One worker answers in the order of the requests: an answer would be in front of this one.
        assert_same(&format!("behind {}", shown(text)), HELP_REPLY, &client.ask(HELP));
    }
    let count = String::from_utf8(client.ask(b":get_statistics:\ndatagram_ignored\n")).unwrap();
    assert!(count.ends_with(&format!(" {}\n", ignored.len())), "{count}");
    server.stop_clean(&[]);
}
