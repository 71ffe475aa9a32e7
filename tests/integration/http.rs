//! The HTTP listener: every kind of request, and a status with a complete body for each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;

use crate::support::{Http, Server, Setup, Signal, free_tcp_port, has_ipv6, json_rpc, post, send, wait_for};

/// Longest request, in bytes of its body.
const MAX_REQUEST_BYTES: usize = 1 << 20;

fn localhost() -> SocketAddr {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    (host, free_tcp_port(host)).into()
}

/// A server with mi_http, and where it listens.
fn setup() -> (Setup, SocketAddr) {
    let address = localhost();
    let setup = Setup::unix().module("cachedb_local").module("httpd").module("mi_http");
    (setup.param_of("httpd", "port", &address.port().to_string()), address)
}

fn start() -> (Server, SocketAddr) {
    let (setup, address) = setup();
    (setup.start(), address)
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", body.escape_ascii()))
}

#[track_caller]
fn assert_answers(http: &mut Http) {
    let reply = http.ask(&json_rpc("help", r#"["ps"]"#));
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(json(&reply.body)["result"]["Exported by"], "core");
}

#[test]
fn a_connection_serves_many_requests_one_after_the_other_and_at_once() {
    let (server, address) = start();
    let mut http = Http::connect(address);
    (0..50).for_each(|_| assert_answers(&mut http));
    // At once: the replies come in order.
    let requests: Vec<u8> = (0..200)
        .flat_map(|id| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"pwd"}}"#);
            post("/mi", "application/json", body.as_bytes())
        })
        .collect();
    http.send(&requests);
    for id in 0..200 {
        assert_eq!(json(&http.reply().unwrap().body)["id"], id);
    }
    let listed = server.ps();
    let kind = format!("HTTPD {address}");
    assert!(listed.iter().any(|process| process.kind == kind), "{listed:?}");
    server.stop_clean(&[]);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let (server, address) = start();
    let mut http = Http::connect(address);
    for byte in json_rpc("pwd", "[]") {
        http.send(&[byte]);
    }
    assert_eq!(http.reply().unwrap().status, 200);
    assert_answers(&mut http);
    server.stop_clean(&[]);
}

#[test]
fn a_body_may_come_in_chunks_and_after_a_question() {
    let (server, address) = start();
    let mut http = Http::connect(address);
    let head = "POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    http.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
    for piece in [r#"{"jsonrpc":"2.0","#, r#""id":"c","#, r#""method":"pwd"}"#] {
        http.send(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
    }
    http.send(b"0\r\n\r\n");
    assert_eq!(json(&http.reply().unwrap().body)["id"], "c");

    http.send(format!("{head}Expect: 100-continue\r\nContent-Length: 40\r\n\r\n").as_bytes());
    assert_eq!(http.reply().unwrap().status, 100);
    http.send(br#"{"jsonrpc":"2.0","id":1, "method":"pwd"}"#);
    assert_eq!(http.reply().unwrap().status, 200);
    assert_answers(&mut http);
    // Who asks first is told at once that it is of no use.
    let length = MAX_REQUEST_BYTES + 1;
    http.send(format!("{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n").as_bytes());
    assert_eq!(http.reply().unwrap().status, 413);
    server.stop_clean(&[]);
}

/// HTTP/1.1 is said to everybody, and whether the connection stays, as OpenSIPS's servers do. C: `ResponseWriteStart` in
/// abyss_response.c of mi_xmlrpc, `build_header_response` of libmicrohttpd.
#[test]
fn old_clients_are_answered_as_by_opensips() {
    let (server, address) = start();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"pwd"}"#;
    let request = |more: &str, body: &str| {
        format!("POST /mi HTTP/1.0\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let old = |http: &mut Http, more: &str, body: &str, connection: &str| {
        let reply = http.ask(&request(more, body));
        assert_eq!(reply.first_line(), "HTTP/1.1 200 OK");
        assert_eq!(
            reply.header("Connection").map(str::to_lowercase).as_deref(),
            Some(connection),
            "{more:?}"
        );
        assert_eq!(reply.header("Transfer-Encoding"), None);
        reply
    };
    let mut http = Http::connect(address);
    old(&mut http, "", body, "close");
    assert_eq!(http.rest().unwrap(), b"");
    let mut http = Http::connect(address);
    for _ in 0..2 {
        old(&mut http, "Connection: TE, Keep-Alive\r\n", body, "keep-alive");
    }
    // What has no length ends with the connection.
    let batch = format!("[{}]", vec![r#"{"jsonrpc":"2.0","id":1,"method":"which"}"#; 300].join(","));
    let reply = old(&mut http, "Connection: keep-alive\r\n", &batch, "close");
    assert_eq!(reply.header("Content-Length"), None);
    assert_eq!(json(&reply.body).as_array().map(Vec::len), Some(300));
    let mut http = Http::connect(address);
    http.send(b"GET /nowhere HTTP/1.0\r\n\r\n");
    let reply = http.reply().unwrap();
    assert_eq!((reply.first_line(), reply.header("Connection")), ("HTTP/1.1 404 Not Found", Some("close")));
    // One that says at once that nothing more will come.
    let mut http = Http::connect(address);
    http.send(&json_rpc("pwd", "[]"));
    http.end_sending();
    assert_eq!(http.reply().unwrap().status, 200);
    assert_eq!(http.rest().unwrap(), b"");
    server.stop_clean(&[]);
}

/// The limit that the man page states.
#[test]
fn a_head_may_have_64_kib() {
    let (server, address) = start();
    let head = |bytes: usize| {
        let mut head = b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nX: ".to_vec();
        head.resize(bytes - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        head
    };
    for (bytes, status) in
        [(4 << 10, 200), (8 << 10, 200), (64 << 10, 200), ((64 << 10) + 1, 431), (70_000, 431)]
    {
        let mut http = Http::connect(address);
        let reply = http.ask(&head(bytes));
        assert_eq!(reply.status, status, "{bytes}");
        // Its buffer is not kept for the next request.
        assert_eq!(reply.header("Connection") == Some("close"), bytes > 4 << 10, "{bytes}: {reply:?}");
    }
    // Also when it comes with others.
    let mut http = Http::connect(address);
    http.send(&[head(4 << 10), head(70_000)].concat());
    assert_eq!(http.reply().unwrap().status, 200);
    assert_eq!(http.reply().unwrap().status, 431);
    server.stop_clean(&[]);
}

/// All on one connection: each has a body that ends where it says, and the next request is answered.
#[test]
fn every_status_has_a_complete_body() {
    let (server, address) = start();
    let mut http = Http::connect(address);
    let pwd = r#"{"jsonrpc":"2.0","id":1,"method":"pwd"}"#;
    let with =
        |head: &str| format!("{head}\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{pwd}", pwd.len());
    let long = post("/mi", "application/json", &vec![b' '; MAX_REQUEST_BYTES + 1]);
    let packed_on_its_way =
        b"POST /mi HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".into();
    let many = post("/nowhere", "application/json", &vec![b' '; 3 * MAX_REQUEST_BYTES]);
    let cases: [(&str, Vec<u8>, u16); 22] = [
        ("plain", with("POST /mi HTTP/1.1").into(), 200),
        ("below the root", with("POST /mi/x?y HTTP/1.1").into(), 200),
        ("an absolute name", with("POST http://127.0.0.1/mi HTTP/1.1").into(), 200),
        ("another JSON type", post("/mi", "application/json-rpc", pwd.as_bytes()), 200),
        ("as 3.4 takes it", post("/mi", "text/xml; charset=utf-8", pwd.as_bytes()), 200),
        ("no JSON", post("/mi", "application/json", b"{\"jsonrpc\""), 200),
        ("no body", post("/mi", "application/json", b""), 200),
        ("notification", post("/mi", "application/json", br#"{"jsonrpc":"2.0","method":"pwd"}"#), 202),
        ("GET", b"GET /mi HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), 405),
        ("PUT", with("PUT /mi HTTP/1.1").into(), 405),
        ("made up", with("DANCE /mi HTTP/1.1").into(), 405),
        ("nowhere", with("POST / HTTP/1.1").into(), 404),
        ("a form", post("/mi", "application/x-www-form-urlencoded", pwd.as_bytes()), 415),
        ("a form as text", post("/mi", "Text/Plain; charset=utf-8", pwd.as_bytes()), 415),
        ("a web page", with("POST /mi HTTP/1.1\r\nOrigin: http://x").into(), 403),
        ("a picture", with("POST /mi HTTP/1.1\r\nSec-Fetch-Site: cross-site").into(), 403),
        ("as it is", with("POST /mi HTTP/1.1\r\nContent-Encoding: identity").into(), 200),
        ("packed", with("POST /mi HTTP/1.1\r\nContent-Encoding: identity, GZip").into(), 415),
        ("packed and nowhere", with("POST / HTTP/1.1\r\nContent-Encoding: gzip").into(), 404),
        ("packed on its way", packed_on_its_way, 501),
        ("too long", long, 413),
        ("long and nowhere", many, 404),
    ];
    for (what, request, status) in cases {
        let reply = http.ask(&request);
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        assert_eq!(reply.header("Allow"), (status == 405).then_some("POST"), "{what}");
        assert!(reply.body.is_empty() == (status == 202), "{what}: {reply:?}");
        if status == 200 {
            let value = json(&reply.body);
            assert!(
                value["jsonrpc"] == "2.0" && value.get("result").is_some() != value.get("error").is_some()
            );
        }
        assert_answers(&mut http);
    }
    let counted = String::from_utf8(server.ask(b":get_statistics:\nhttp_requests\nhttp_errors\n")).unwrap();
    assert_eq!(counted, "200 OK\nmi:http_requests:: 44\nmi:http_errors:: 15\n");
    server.stop_clean(&[]);
}

#[test]
fn what_is_no_http_is_refused_and_closed() {
    let (server, address) = start();
    for (what, bytes, status) in [
        ("no request", b"hello\r\n\r\n".to_vec(), 400),
        ("binary", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(), 400),
        (
            "two lengths",
            b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"
                .to_vec(),
            400,
        ),
        (
            "no chunk",
            b"POST /mi HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            400,
        ),
        ("many headers", format!("GET /mi HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101)).into(), 431),
        ("long head", [b"POST /mi HTTP/1.1\r\nX: ", &[b'x'; 80_000][..], b"\r\n\r\n"].concat(), 431),
    ] {
        let mut http = Http::connect(address);
        http.send(&bytes);
        let reply = http.reply().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(reply.status, status, "{what}");
        assert_eq!(http.rest().unwrap(), b"", "{what}");
    }
    assert_answers(&mut Http::connect(address));
    let counted = String::from_utf8(server.ask(b":get_statistics:\nhttp_requests\nhttp_errors\n")).unwrap();
    assert_eq!(counted, "200 OK\nmi:http_requests:: 7\nmi:http_errors:: 6\n");
    server.stop_clean(&[]);
}

/// An error counts also when it shows after the reply has begun to leave.
#[test]
fn an_error_at_the_end_of_a_long_reply_counts() {
    let (server, address) = start();
    let call = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    let mut calls = vec![call("which"); 300];
    calls.push(call("nope"));
    let batch = format!("[{}]", calls.join(","));
    let reply = Http::connect(address).ask(&post("/mi", "application/json", batch.as_bytes()));
    assert_eq!(reply.header("Transfer-Encoding"), Some("chunked"));
    assert!(json(&reply.body)[300]["error"].is_object());
    let counted = String::from_utf8(server.ask(b":get_statistics:\nhttp_requests\nhttp_errors\n")).unwrap();
    assert_eq!(counted, "200 OK\nmi:http_requests:: 1\nmi:http_errors:: 1\n");
    server.stop_clean(&[]);
}

/// Also one that was made whole. Who has asked for no body is owed none.
#[test]
fn a_reply_whose_client_goes_away_counts_as_dropped() {
    let (server, address) = start();
    let store = json_rpc("cache_store", &format!(r#"["local","k","{}"]"#, "x".repeat(900_000)));
    assert_eq!(Http::connect(address).ask(&store).status, 200);
    let mut head = Http::connect(address);
    head.send(b"HEAD /mi HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(head.rest().unwrap().starts_with(b"HTTP/1.1 405 "));
    let mut gone = Http::connect_narrow(address);
    gone.send(&json_rpc("cache_fetch", r#"["local","k"]"#));
    assert_eq!(gone.status().unwrap(), 200);
    drop(gone);
    let wanted = b"200 OK\nmi:http_dropped_replies:: 1\n";
    wait_for("a dropped reply", || {
        (server.ask(b":get_statistics:\nhttp_dropped_replies\n") == wanted).then_some(())
    });
    server.stop_clean(&[]);
}

#[test]
fn a_request_may_be_as_long_as_the_limit() {
    let (server, address) = start();
    let mut body = br#"{"jsonrpc":"2.0","id":1,"method":"cache_store","params":["local","k",""#.to_vec();
    body.resize(MAX_REQUEST_BYTES - 3, b'x');
    body.extend_from_slice(b"\"]}");
    assert_eq!(body.len(), MAX_REQUEST_BYTES);
    let mut http = Http::connect(address);
    let reply = http.ask(&post("/mi", "application/json", &body));
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"jsonrpc":"2.0","result":"OK","id":1}"#));
    let head = "POST /mi HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    http.send(&[head.as_bytes(), &chunk(&body), b"0\r\n\r\n"].concat());
    assert_eq!(http.reply().unwrap().status, 200);
    http.send(&[head.as_bytes(), &chunk(&body), &chunk(b" "), b"0\r\n\r\n"].concat());
    assert_eq!(http.reply().unwrap().status, 413);
    assert_answers(&mut http);
    server.stop_clean(&[]);
}

#[test]
fn it_listens_where_it_is_told() {
    if !has_ipv6() {
        return crate::support::skip("it_listens_where_it_is_told", "no IPv6 here");
    }
    let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let address = SocketAddr::from((host, free_tcp_port(host)));
    let setup = Setup::unix().module("httpd").module("mi_http").param_of("httpd", "ip", "\"::1\"");
    let setup = setup.param_of("httpd", "port", &address.port().to_string());
    let server = setup.param_of("mi_http", "root", "\"/a/b\"").start();
    let mut http = Http::connect(address);
    let pwd = br#"{"jsonrpc":"2.0","id":1,"method":"pwd"}"#;
    assert_eq!(http.ask(&post("/a/b", "application/json", pwd)).status, 200);
    assert_eq!(http.ask(&post("/mi", "application/json", pwd)).status, 404);
    // Nobody listens on the other loopback address.
    assert!(Http::try_connect((Ipv4Addr::LOCALHOST, address.port()).into()).is_err());
    server.stop_clean(&[]);
}

#[test]
fn settings_that_cannot_work_are_refused_with_a_remedy() {
    let refused = |setup: Setup, words: &[&str]| setup.refuse().assert_refused("a setting", words);
    refused(
        Setup::unix().module("mi_http"),
        &["mi_http", "needs the module httpd", "loadmodule \"httpd.so\""],
    );
    let (setup, address) = setup();
    refused(setup.param_of("httpd", "ip", "\"localhost\""), &["ip", "localhost", "127.0.0.1"]);
    let (setup, _) = self::setup();
    refused(setup.param_of("mi_http", "root", "\"a b\""), &["root", "a b"]);
    let _taken = std::net::TcpListener::bind(address).unwrap();
    let setup = Setup::unix().module("httpd").param_of("httpd", "port", &address.port().to_string());
    refused(setup, &["httpd", &address.to_string(), "ip and port"]);
}

/// What a client sent while no worker lived is answered by the next one, as the socket is the attendant's.
#[test]
fn connections_wait_for_the_next_worker() {
    let (server, address) = start();
    let worker = || {
        wait_for("a listener", || {
            let listed = server.ps();
            listed
                .iter()
                .find(|process| process.kind.starts_with("HTTPD") && process.pid > 0)
                .map(|it| it.pid)
        })
    };
    for _ in 0..5 {
        let first = worker();
        send(first, Signal::SIGSTOP);
        let mut waiting: Vec<Http> = (0..20).map(|_| Http::connect(address)).collect();
        waiting.iter_mut().for_each(|http| http.send(&json_rpc("pwd", "[]")));
        send(first, Signal::SIGKILL);
        for http in &mut waiting {
            assert_eq!(http.reply().expect("a reply of the next worker").status, 200);
        }
        wait_for("another worker", || (worker() != first).then_some(()));
    }
    server.stop_clean(&[]);
}

#[test]
fn the_end_answers_what_is_in_hand_and_closes_the_rest() {
    let (server, address) = start();
    let mut idle = Http::connect(address);
    assert_answers(&mut idle);
    let mut busy: Vec<Http> = (0..20).map(|_| Http::connect(address)).collect();
    busy.iter_mut().for_each(assert_answers);
    busy.iter_mut().for_each(|http| http.send(&json_rpc("pwd", "[]")));
    server.stop_clean(&[]);
    for http in &mut busy {
        assert_eq!(http.reply().expect("a reply").status, 200);
        assert_eq!(http.rest().unwrap(), b"");
    }
    assert_eq!(idle.rest().unwrap(), b"");
}
