//! Deferred replies of a C module, given by any process: over each transport and in each syntax, after the
//! process that took the request was killed, too late, twice, and never. C: the `..._close_async` of each transport.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};

use crate::c_modules::built;
use crate::c_modules::transports::with_http;
use crate::support::{
    Client, Http, Kind, Server, Setup, Signal, free_udp_port, is_alive, post, send, wait_for,
};

pub(crate) const DEFERRED: &str = "tests/integration/modules/deferred.c";

/// Long enough that a reply which came at once would have come.
const QUIET: Duration = Duration::from_millis(50);

/// The server with its module, by UNIX datagrams; `None` when there is no C compiler.
#[track_caller]
fn with_module(setup: Setup) -> Option<Setup> {
    built(setup, DEFERRED, "")
}

fn text(server: &Server, request: &str) -> String {
    String::from_utf8(server.ask(request.as_bytes())).unwrap()
}

/// Answers what is kept under a key, as soon as it is there.
#[track_caller]
pub(crate) fn finish(server: &Server, key: &str, how: &str) {
    wait_for(&format!("the request {key}"), || {
        let reply = text(server, &format!(":finish:\n{key}\n{how}"));
        (!reply.starts_with("404")).then(|| assert!(reply.starts_with("200 OK\nProcess:: "), "{reply}"))
    });
}

/// The number of a statistic of the group `mi`.
fn statistic(server: &Server, name: &str) -> u64 {
    let reply = text(server, &format!(":get_statistics:\n{name}\n"));
    reply.trim_end().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{reply}"))
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()))
}

pub(crate) fn json_request(key: &str) -> String {
    json!({"jsonrpc": "2.0", "id": key, "method": "later", "params": [key, "x", "y"]}).to_string()
}

/// What is answered by default.
fn result(key: &str) -> Value {
    json!({"jsonrpc": "2.0", "result": {"Answer": {"value": key, "said": "xy"}}, "id": key})
}

#[track_caller]
pub(crate) fn receive(client: &Client) -> String {
    String::from_utf8(client.receive(Duration::from_secs(20)).unwrap()).unwrap()
}

#[test]
fn datagram_clients_get_deferred_replies() {
    let Some(setup) = with_module(Setup::unix().workers(3)) else { return };
    let server = setup.start();
    for kind in [Kind::Bound, Kind::Connected, Kind::Abstract] {
        let (one, two) = (server.client_of(kind), server.client_of(kind));
        one.send(b":later:\none\nx\ny\n").unwrap();
        two.send(json_request("two").as_bytes()).unwrap();
        assert!(one.receive(QUIET).is_err() && two.receive(QUIET).is_err());
        assert_eq!(statistic(&server, "pending_replies"), 2);
        finish(&server, "two", "");
        assert_eq!(json(receive(&two).as_bytes()), result("two"));
        finish(&server, "one", "");
        assert_eq!(receive(&one), "200 OK\nAnswer:: one said=xy\n");
        assert!(!one.has_more() && !two.has_more());
    }
    assert_eq!(statistic(&server, "pending_replies"), 0);
    server.stop_clean(&[]);
}

#[test]
fn udp_clients_get_deferred_replies() {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = free_udp_port(host);
    let setup = Setup::udp(&format!("udp:127.0.0.1:{port}"), SocketAddr::from((host, port)));
    let Some(setup) = with_module(setup) else { return };
    let server = setup.start();
    let (one, two) = (server.client(), server.client());
    one.send(b":later:\none\nx\ny\n").unwrap();
    two.send(json_request("two").as_bytes()).unwrap();
    finish(&server, "two", "");
    finish(&server, "one", "");
    assert_eq!(receive(&one), "200 OK\nAnswer:: one said=xy\n");
    assert_eq!(json(receive(&two).as_bytes()), result("two"));
}

#[test]
fn fifo_clients_get_long_deferred_replies() {
    let Some(setup) = with_module(Setup::unix().fifo()) else { return };
    let server = setup.start();
    let (one, two, other) =
        (server.fifo_client("one"), server.fifo_client("two"), server.fifo_client("other"));
    one.send(":later:{R}\none\nx\ny\n\n");
    two.send(&format!(":{{R}}:{}", json_request("two")));
    other.send(":later:{R}\nnow\n\n");
    assert_eq!(other.receive(), b"200 OK\nAnswer:: at once\n\n");
    assert!(one.try_receive(QUIET).is_none() && two.try_receive(QUIET).is_none());
    finish(&server, "one", "\n");
    assert_eq!(one.receive(), b"200 OK\nAnswer:: one said=xy\n\n");
    finish(&server, "two", "long\n10000\n");
    let answer = &json(&two.receive())["result"]["Answer"];
    assert_eq!(answer["Row"].as_array().map(Vec::len), Some(10_000));
    assert_eq!(answer["Row"][9999], json!({"value": "9999", "twice": "19998"}));
    let three = server.fifo_client("three");
    three.send(":later:{R}\nthree\n\n");
    finish(&server, "three", "long\n10000\n");
    let rows = (0..10_000).map(|row| format!("\tRow:: {row} twice={}\n", 2 * row)).collect::<String>();
    let wanted = format!("200 OK\nAnswer:: three said=\n{rows}\n");
    assert_eq!(String::from_utf8(three.receive()).unwrap(), wanted);
}

/// A server with all that speaks HTTP, two processes each; the addresses of mi_xmlrpc and of the others.
fn all_http() -> Option<(Server, SocketAddr, SocketAddr)> {
    let (setup, [own, shared]) = with_http(Setup::unix(), 2);
    let server = with_module(setup)?.start();
    wait_for("all processes", || server.ps().iter().all(|process| process.pid > 0).then_some(()));
    Some((server, own, shared))
}

pub(crate) fn xml_call(key: &str) -> Vec<u8> {
    let param = |text: &str| format!("<param><value><string>{text}</string></value></param>");
    let params = [key, "x", "y"].map(param).concat();
    let body = format!("<methodCall><methodName>later</methodName><params>{params}</params></methodCall>");
    post("/RPC2", "text/xml", body.as_bytes())
}

#[test]
fn each_http_dialect_gets_deferred_replies() {
    let Some((server, own, shared)) = all_http() else { return };
    let requests = [
        (own, xml_call("old"), "Answer:: old said=xy"),
        (shared, xml_call("new"), "<name>said</name>"),
        (
            shared,
            b"GET /json/later?params=json,x,y HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            "\"said\": \"xy\"",
        ),
        (
            shared,
            post("/mi", "application/json", json_request("rpc").as_bytes()),
            "{\"value\":\"rpc\",\"said\":\"xy\"}",
        ),
    ];
    let mut clients: Vec<Http> = requests
        .iter()
        .map(|(address, request, _)| {
            let mut client = Http::connect(*address);
            client.send(request);
            client
        })
        .collect();
    wait_for("all requests", || (statistic(&server, "pending_replies") == 4).then_some(()));
    // Others are served meanwhile, by each of the processes.
    for _ in 0..8 {
        let which = post("/mi", "application/json", br#"{"jsonrpc":"2.0","id":1,"method":"who"}"#);
        assert_eq!(Http::connect(shared).ask(&which).status, 200);
    }
    for key in ["rpc", "json", "new", "old"] {
        finish(&server, key, "");
    }
    for (client, (_, _, wanted)) in clients.iter_mut().zip(&requests) {
        let reply = client.reply().unwrap();
        assert_eq!(reply.status, 200);
        assert!(reply.text().contains(wanted), "{wanted}: {}", reply.text());
    }
    // A long one, and one that fails.
    clients[3].send(&post("/mi", "application/json", json_request("long").as_bytes()));
    clients[0].send(&xml_call("bad"));
    finish(&server, "long", "long\n10000\n");
    finish(&server, "bad", "null\n");
    let reply = json(&clients[3].reply().unwrap().body);
    assert_eq!(reply["result"]["Answer"]["Row"][9999]["twice"], "19998");
    let failed = clients[0].reply().unwrap().text();
    assert!(failed.contains("Command (later) processing failed."), "{failed}");
    let among = br#"<methodCall><methodName>system.multicall</methodName><params><param><value><array><data><value>
        <struct><member><name>methodName</name><value>later</value></member><member><name>params</name><value><array>
        <data><value>k</value></data></array></value></member></struct></value></data></array></value></param></params>
        </methodCall>"#;
    let reply = clients[0].ask(&post("/RPC2", "text/xml", among)).text();
    assert!(reply.contains("call it alone"), "{reply}");
    assert_eq!(statistic(&server, "pending_replies"), 0);
    // Who goes is not waited for; who only says that it sends no more has its reply.
    clients[0].send(&xml_call("half"));
    clients[0].end_sending();
    let requests = [xml_call("gone"), post("/mi", "application/json", json_request("gone").as_bytes())];
    let gone = requests.map(|request| {
        let mut http = Http::connect(shared);
        http.send(&request);
        http
    });
    wait_for("all requests", || (statistic(&server, "pending_replies") == 3).then_some(()));
    drop(gone);
    wait_for("those who are gone", || (statistic(&server, "pending_replies") == 1).then_some(()));
    finish(&server, "half", "");
    assert!(clients[0].reply().unwrap().text().contains("half"));
    // With a process its connections end, and nobody waits for their replies.
    clients[3].send(&post("/mi", "application/json", json_request("lost").as_bytes()));
    wait_for("the request", || (statistic(&server, "pending_replies") == 1).then_some(()));
    let listeners = server.ps().into_iter().filter(|process| process.kind.starts_with("HTTPD"));
    listeners.for_each(|process| send(process.pid, Signal::SIGKILL));
    assert!(clients[3].reply().is_err());
    wait_for("no request", || (statistic(&server, "pending_replies") == 0).then_some(()));
    finish(&server, "lost", "");
    server.stop_clean(&[]);
}

#[test]
fn a_reply_survives_the_process_that_took_the_request() {
    let Some(setup) = with_module(Setup::unix().workers(2).fifo()) else { return };
    let server = setup.start();
    let clients: Vec<Client> = (0..10).map(|_| server.client()).collect();
    for (at, client) in clients.iter().enumerate() {
        client.send(format!(":later:\nkey{at}\n").as_bytes()).unwrap();
    }
    let fifo = server.fifo_client("replies");
    fifo.send(":later:{R}\nfifo\n\n");
    let json_fifo = server.fifo_client("json");
    json_fifo.send(&format!(":{{R}}:{}", json_request("json")));
    wait_for("all requests", || (statistic(&server, "pending_replies") == 12).then_some(()));
    let old: Vec<i32> =
        server.ps().iter().filter(|process| process.id > 0).map(|process| process.pid).collect();
    old.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    // One that is about to die may still take a request from the socket.
    wait_for("their end", || old.iter().all(|pid| !is_alive(*pid)).then_some(()));
    for at in 0..10 {
        finish(&server, &format!("key{at}"), "");
    }
    finish(&server, "fifo", "");
    finish(&server, "json", "");
    for (at, client) in clients.iter().enumerate() {
        assert_eq!(receive(client), format!("200 OK\nAnswer:: key{at} said=\n"));
    }
    assert_eq!(fifo.receive(), b"200 OK\nAnswer:: fifo said=\n\n");
    assert_eq!(json(&json_fifo.receive()), result("json"));
    let new = server.wait_for_workers(2);
    assert!(new.iter().all(|worker| !old.contains(&worker.pid)));
    assert_eq!(statistic(&server, "pending_replies"), 0);
}

#[test]
fn an_unanswered_request_times_out() {
    let Some(setup) = with_module(Setup::unix().global("mi_reply_timeout=1").fifo()) else { return };
    let server = setup.start();
    let (one, two, three) = (server.client(), server.client(), server.fifo_client("three"));
    one.send(b":later:\none\n").unwrap();
    two.send(json_request("two").as_bytes()).unwrap();
    three.send(":later:{R}\nthree\n\n");
    assert_eq!(receive(&one), "408 Reply timeout\n");
    assert_eq!(json(receive(&two).as_bytes())["error"], json!({"code": 408, "message": "Reply timeout"}));
    assert_eq!(three.receive(), b"408 Reply timeout\n\n");
    assert_eq!(statistic(&server, "pending_replies"), 0);
    // Counted when all have been told.
    wait_for("their count", || (statistic(&server, "pending_timeouts") == 3).then_some(()));
    finish(&server, "one", "");
    assert!(one.receive(QUIET).is_err());
    let said = server.stderr();
    assert!(said.contains("is dropped: its request was answered before, or timed out"), "{said}");
    assert!(said.contains("later: no process has replied in time"), "{said}");
}

/// A handler that is over was the one of the request after 4096 others.
#[test]
fn an_old_handler_reaches_no_other_request() {
    let Some(setup) = with_module(Setup::unix()) else { return };
    let server = setup.start();
    let (first, second) = (server.client(), server.client());
    first.send(b":later:\nold\n").unwrap();
    finish(&server, "old", "keep\n");
    assert_eq!(receive(&first), "200 OK\nAnswer:: old said=\n");
    for _ in 0..4095 {
        assert_eq!(first.ask(b":later:\nnow\n"), b"200 OK\nAnswer:: at once\n");
    }
    second.send(b":later:\nnew\n").unwrap();
    wait_for("the new request", || (statistic(&server, "pending_replies") == 1).then_some(()));
    finish(&server, "old", "");
    assert_eq!(statistic(&server, "pending_replies"), 1);
    assert!(second.receive(QUIET).is_err());
    finish(&server, "new", "");
    assert_eq!(receive(&second), "200 OK\nAnswer:: new said=\n");
    server.stop_clean(&[]);
}

#[test]
fn a_request_is_answered_once_whatever_the_module_does() {
    let Some(setup) = with_module(Setup::unix().workers(2)) else { return };
    let server = setup.start();
    assert_eq!(text(&server, ":later:\nnow\n"), "200 OK\nAnswer:: at once\n");
    assert_eq!(text(&server, ":later:\nfail\n"), "500 command failed\n");
    assert_eq!(text(&server, ":no_input:\n"), "500 command failed\n");
    let client = server.client();
    for key in ["inside", "both"] {
        client.send(format!(":later:\n{key}\n").as_bytes()).unwrap();
        assert_eq!(receive(&client), "200 OK\n", "{key}");
        assert!(client.receive(QUIET).is_err(), "{key}");
    }
    let ask = |key: &str| client.send(format!(":later:\n{key}\n").as_bytes()).unwrap();
    ask("interim");
    finish(&server, "interim", "interim\n");
    assert!(client.receive(QUIET).is_err());
    finish(&server, "interim", "");
    assert_eq!(receive(&client), "200 OK\nAnswer:: interim said=\n");
    for (how, wanted) in [
        ("twice", "200 OK\nAnswer:: k said=\n"),
        ("null", "500 command failed\n"),
        ("error", "480 No way\n"),
        ("keep", "200 OK\nAnswer:: k said=\n"),
        ("long\n10000", "500 reply too large: "),
    ] {
        // With "keep" the module still has it, and answers a second time by an old pointer.
        if how.starts_with("long") {
            finish(&server, "k", "");
        }
        ask("k");
        finish(&server, "k", &format!("{how}\n"));
        let reply = receive(&client);
        assert!(reply.starts_with(wanted), "{how}: {reply}");
        assert!(!client.has_more(), "{how}");
    }
    // Once or twice, as lines that come often are held back.
    wait_for("a line on a second answer", || server.stderr().contains("was answered before").then_some(()));
    assert_eq!(statistic(&server, "pending_replies"), 0);
    assert_eq!(server.stderr().matches("died").count(), 0);
}

#[test]
fn a_batch_is_refused_and_a_notification_gets_no_reply() {
    let Some(setup) = with_module(Setup::unix()) else { return };
    let server = setup.start();
    let batch = format!("[{},{}]", json_request("a"), json!({"jsonrpc": "2.0", "id": 2, "method": "who"}));
    let replies = json(&server.ask(batch.as_bytes()));
    let error = json!({"code": 500, "message": "This command answers later, call it alone"});
    assert_eq!(
        (&replies[0]["error"], &replies[0]["id"], &replies[1]["id"]),
        (&error, &json!("a"), &json!(2))
    );
    let client = server.client();
    client.send(br#"{"jsonrpc":"2.0","method":"later","params":["silent"]}"#).unwrap();
    finish(&server, "silent", "");
    assert!(client.receive(QUIET).is_err());
    assert_eq!(statistic(&server, "pending_replies"), 0);
    assert_eq!(text(&server, ":finish:\na\n"), "404 Nothing there\n", "it was not run");
}

#[test]
fn a_client_that_did_not_read_gets_all_deferred_replies() {
    let setup = Setup::unix().workers(2).param("socket_timeout", "30000");
    let Some(setup) = with_module(setup) else { return };
    let server = setup.start();
    let client = server.client();
    for at in 0..600 {
        client.send(format!(":later:\nkey{at}\n").as_bytes()).unwrap();
    }
    wait_for("all requests", || (statistic(&server, "pending_replies") == 600).then_some(()));
    (0..600).for_each(|at| finish(&server, &format!("key{at}"), ""));
    let mut replies: Vec<String> = (0..600).map(|_| receive(&client)).collect();
    let mut wanted: Vec<String> = (0..600).map(|at| format!("200 OK\nAnswer:: key{at} said=\n")).collect();
    replies.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(replies, wanted);
    assert!(!client.has_more());
}

#[test]
fn a_thousand_pending_requests_delay_no_other_client() {
    let Some(setup) = with_module(Setup::unix().workers(2)) else { return };
    let server = setup.start();
    let clients: Vec<Client> = (0..1000).map(|_| server.client()).collect();
    for (at, client) in clients.iter().enumerate() {
        client.send(format!(":later:\nkey{at}\n").as_bytes()).unwrap();
    }
    wait_for("all requests", || (statistic(&server, "pending_replies") == 1000).then_some(()));
    let mut slowest = Duration::ZERO;
    let client = server.client();
    for at in (0..1000).rev() {
        let (reply, time) = client.try_ask(b":who:\n", Duration::from_secs(5)).unwrap();
        assert!(reply.starts_with(b"200 OK\n"));
        slowest = slowest.max(time);
        finish(&server, &format!("key{at}"), "");
    }
    for (at, client) in clients.iter().enumerate() {
        assert_eq!(receive(client), format!("200 OK\nAnswer:: key{at} said=\n"));
    }
    assert_eq!(statistic(&server, "pending_replies"), 0);
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[test]
fn a_stopping_server_answers_all_pending_requests() {
    let (setup, [_, address]) = with_http(Setup::unix().workers(2).fifo(), 1);
    let Some(setup) = with_module(setup) else { return };
    let server = setup.start();
    let (one, two, three) = (server.client(), server.client(), server.fifo_client("three"));
    let mut four = Http::connect(address);
    one.send(b":later:\none\n").unwrap();
    two.send(json_request("two").as_bytes()).unwrap();
    three.send(":later:{R}\nthree\n\n");
    four.send(&post("/mi", "application/json", json_request("four").as_bytes()));
    wait_for("all requests", || (statistic(&server, "pending_replies") == 4).then_some(()));
    server.stop_clean(&[]);
    let error = json!({"code": 503, "message": "Server is stopping"});
    assert_eq!(receive(&one), "503 Server is stopping\n");
    assert_eq!(json(receive(&two).as_bytes())["error"], error);
    assert_eq!(three.receive(), b"503 Server is stopping\n\n");
    assert_eq!(json(&four.reply().unwrap().body)["error"], error);
}

#[test]
fn a_client_that_does_not_read_deferred_replies_delays_no_other() {
    let Some(setup) = with_module(Setup::unix().param("socket_timeout", "30000")) else { return };
    let server = setup.start();
    let client = server.client();
    let keys = 0..1500;
    for at in keys.clone() {
        client.send(format!(":later:\nkey{at}\n").as_bytes()).unwrap();
    }
    wait_for("all requests", || (statistic(&server, "pending_replies") == 1500).then_some(()));
    keys.for_each(|at| finish(&server, &format!("key{at}"), ""));
    // All but those that its queue has room for wait for it, and are rung for each second.
    wait_for("answers that wait", || (statistic(&server, "pending_replies") < 1500).then_some(()));
    let other = server.client();
    let mut times: Vec<Duration> =
        (0..200).map(|_| other.try_ask(b":who:\n", Duration::from_secs(5)).unwrap().1).collect();
    times.sort_unstable();
    assert!(statistic(&server, "pending_replies") > 1400);
    assert!(times[100] < Duration::from_millis(10), "half of the requests took longer than {:?}", times[100]);
}
