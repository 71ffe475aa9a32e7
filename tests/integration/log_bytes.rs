//! Every byte that a client can send, in every place of a request that the log may show: no line of it can steer a
//! terminal, and none can look like two.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::c_modules::built;
use crate::support::{Http, Server, Setup, free_tcp_port, make_fifo, open_reader, post, wait_for, write_to};

/// Every byte value, in pieces that the log shows to their end; and characters of UTF-8 that change what is read.
fn pieces() -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let mut pieces = vec![b"\x1b[2J\r\x07\x7f".to_vec()];
    pieces.extend(bytes.chunks(32).map(<[u8]>::to_vec));
    pieces.push("\u{85}\u{9b}2J\u{202e}\u{2066}\u{2028}\u{feff}".into());
    pieces
}

/// Fails the test unless each line of the log is one of ours, in characters with a shape.
#[track_caller]
fn assert_readable(log: &Path) -> String {
    let log = String::from_utf8(fs::read(log).unwrap()).expect("UTF-8");
    for line in log.lines() {
        let is_hidden = |c: char| {
            c.is_control() || matches!(c, '\u{200b}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        };
        assert!(!line.contains(is_hidden), "{line:?}");
    }
    log
}

/// As [`assert_readable`], for the lines of the server.
#[track_caller]
fn assert_own_lines(server: &Server, wanted: &[&str]) {
    let log = assert_readable(&server.setup.folder.join("stderr"));
    for line in log.lines() {
        // `Nov 22 02:20:30 [1234] INFO:core: text`
        let rest =
            line.get(16..).and_then(|rest| rest.strip_prefix('[')).and_then(|rest| rest.split_once("] "));
        let level = rest.and_then(|(_, rest)| rest.split(':').next());
        let levels = ["DBG", "INFO", "NOTICE", "WARNING", "ERROR"];
        assert!(level.is_some_and(|level| levels.contains(&level)), "a line that is none: {line}\n{log}");
    }
    for wanted in wanted {
        assert!(log.contains(wanted), "{wanted:?} is not in\n{log}");
    }
}

/// A request with a piece at `@`.
fn with(template: &str, piece: &[u8]) -> Vec<u8> {
    let (before, after) = template.split_once('@').unwrap();
    [before.as_bytes(), piece, after.as_bytes()].concat()
}

#[test]
fn datagrams_leave_nothing_in_the_log_that_is_not_text() {
    let modules = ["cachedb_local", "usrloc", "event_datagram"];
    let setup = modules.into_iter().fold(Setup::unix(), Setup::module).global("debug=4");
    let server = setup.param_of("cachedb_local", "exec_threshold", "1").start();
    let client = server.client();
    for piece in pieces() {
        for template in [
            "@",
            ":@:\n",
            ":ps:@\n",
            ":help:\n@\n",
            ":help:\n\"@\n",
            ":debug:\n@\n",
            ":cache_store:\nlocal\n@\nvalue\n",
            ":cache_store:\n@\nkey\nvalue\n",
            ":cache_fetch:\n@\nkey\n",
            ":cache_fetch:\nlocal\n@\n",
            ":ul_add:\nlocation\na\n@\n9\n1\n0\n0\n0\n0\n",
            ":ul_add:\nlocation\n@\nsip:a@b\n9\nx\n0\n0\n0\n0\n",
            ":event_subscribe:\n@\nudp:127.0.0.1:9\n",
            ":event_subscribe:\nE_CORE_THRESHOLD\nunix:@\n",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"@\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":\"@\",\"method\":\"nope\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"help\",\"params\":{\"@\":1}}",
        ] {
            client.ask(&with(template, &piece));
        }
    }
    assert_own_lines(&server, &["is refused", "no cache system", "threshold exceeded", "nope", "is no URI"]);
    server.stop_clean(&[]);
}

/// A server for each kind of line, as it has one in ten seconds for all of these.
#[test]
fn fifo_requests_leave_nothing_in_the_log_that_is_not_text() {
    for (template, shown) in [
        ("@\n\n", "no request, passed over: \\x1b[2J"),
        (":ps:no@\n\n", "no reply to"),
        (":ps:../@\n\n", "no reply to ../\\x1b[2J"),
        (":@:replies\n\n", "500 command not available: \\x1b[2J"),
        (":help:replies\n\"@\n\n", "400 parse error in command: byte"),
    ] {
        let server = Setup::unix().fifo().global("debug=4").start();
        let folder = server.setup.folder.path();
        make_fifo(&folder.join("replies"));
        let _reader = open_reader(&folder.join("replies"));
        for piece in pieces() {
            write_to(&server.setup.fifo_path(), &with(template, &piece));
        }
        wait_for(shown, || server.stderr().contains(shown).then_some(()));
        assert_own_lines(&server, &[]);
        server.stop_clean(&[]);
    }
}

fn localhost() -> SocketAddr {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    (host, free_tcp_port(host)).into()
}

#[test]
fn http_requests_leave_nothing_in_the_log_that_is_not_text() {
    let (own, shared) = (localhost(), localhost());
    let modules = ["mi_xmlrpc", "httpd", "mi_http", "mi_json", "mi_xmlrpc_ng"];
    let setup = modules.into_iter().fold(Setup::unix(), Setup::module).global("debug=4");
    let access_log = setup.folder.join("access.log");
    let server = setup
        .param_of("mi_xmlrpc", "port", &own.port().to_string())
        .param_of("mi_xmlrpc", "log_file", &format!("\"{}\"", access_log.display()))
        .param_of("httpd", "port", &shared.port().to_string())
        .start();
    let ask = |address, request: &[u8]| {
        let mut client = Http::connect(address);
        client.send(request);
        client.end_sending();
        // What it answers, and whether, is not of interest here.
        let _answer = client.rest();
    };
    let xml = "<?xml version=\"1.0\"?><methodCall><methodName>@</methodName><params/></methodCall>";
    let json = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"@\"}";
    for piece in pieces() {
        for head in [
            "GET /json/@ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /json/help?params=@ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET@ /json/ps HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /json/ps HTTP/1.1\r\nHost: @\r\n\r\n",
            "GET /json/ps HTTP/1.1\r\nHost: localhost\r\nX-@: @\r\n\r\n",
            "GET /json/ps HTTP/1.1\r\nHost: localhost\r\nOrigin: @\r\n\r\n",
        ] {
            ask(shared, &with(head, &piece));
            ask(own, &with(&head.replacen("/json", "/RPC2", 1), &piece));
        }
        let encoded: String = piece.iter().map(|byte| format!("%{byte:02x}")).collect();
        ask(shared, format!("GET /json/{encoded} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        ask(shared, &post("/mi", "application/json", &with(json, &piece)));
        ask(shared, &post("/xmlrpc", "text/xml", &with(xml, &piece)));
        ask(own, &post("/RPC2", "text/xml", &with(xml, &piece)));
    }
    assert_own_lines(&server, &["Command not found", "-32601"]);
    let access = assert_readable(&access_log);
    assert!(access.contains("%C2%9B2J"), "{access}");
    server.stop_clean(&[]);
}

#[test]
fn lines_of_a_c_module_are_text_of_any_script_and_one_line_each() {
    let module = "tests/integration/modules/says.c";
    let Some(setup) = built(Setup::unix(), module, "") else { return };
    let server = setup.global("debug=4").start();
    let client = server.client();
    for piece in pieces() {
        client.ask(&with(":say:\n\"@\"\n", &piece));
    }
    client.ask(":say:\n\"two\\nlines, grün, 日本語\"\n".as_bytes());
    client.ask(":say:\n\"two\nlines, grün, 日本語\"\n".as_bytes());
    assert_own_lines(&server, &["NOTICE:says: say: two\\nlines, grün, 日本語\n"]);
    server.stop_clean(&[]);
}
