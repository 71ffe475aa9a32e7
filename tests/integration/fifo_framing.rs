//! mi_fifo: requests of many clients in one stream, of which some do not end, or come mixed. C: `mi_fifo_server` in
//! fifo_fnc.c.

use crate::fifo::{ask, assert_in_step, folder, start, statistic, worker};
use crate::support::{DEADLINE, Signal, assert_same, make_fifo, send, shown, wait_for, write_to};

/// C takes the request behind one that it cannot parse with it.
#[test]
fn a_text_request_ends_at_its_empty_line_and_not_before() {
    let server = start();
    let client = server.fifo_client("r");
    client.send(":debug:{R}\na\"b\n\n:nope:{R}\n\n:get_statistics:{R}\n");
    let wanted = "400 parse error in command 'debug'\n500 command 'nope' not available\n";
    let mut found = Vec::new();
    while found.len() < wanted.len() {
        found.extend(client.receive());
    }
    assert_same("two errors", wanted.as_bytes(), &found);
    // Goes on into the open one.
    write_to(&server.setup.fifo_path(), b"drop_requests\n\n");
    let open =
        wait_for("the open one's reply", || Some(client.try_receive(DEADLINE)?).filter(|it| !it.is_empty()));
    assert!(open.starts_with(b"200 OK\ncore:drop_requests:: "), "{}", shown(&open));
    assert_in_step(&server, "after an open request");
    server.stop_clean(&[]);
}

#[test]
fn an_unfinished_text_request_hides_nobody_s_json() {
    let server = start();
    let good = ":{R}:{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"nope\"}";
    let wanted =
        b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601,\"message\":\"Method not found\"},\"id\":\"x\"}";
    let long = format!(":{}:{{}}\n", "n".repeat(256));
    for bad in [
        ":r:5\n",
        ":r:null\n",
        ":r:\"x\"\n",
        ":r:\u{feff}{}\n",
        ":ps:rpl\n",
        ":x:y\r\n\r\n",
        &long,
        ":cache_store:nobody\nlocal\nkey\n",
    ] {
        write_to(&server.setup.fifo_path(), bad.as_bytes());
        assert_same(bad, wanted, &ask(&server, "json", good));
        assert_in_step(&server, bad);
    }
    // Who waits for its own is told, and what came in between is not its parameter.
    let client = server.fifo_client("open");
    client.send(":cache_store:{R}\nlocal\nkey\n");
    assert_same("JSON", wanted, &ask(&server, "json", good));
    assert_same("text", b"400 parse error in command 'cache_store'\n", &client.receive());
    write_to(&server.setup.fifo_path(), b"value\n\n");
    let fetched = ask(&server, "fetched", ":cache_fetch:{R}\nlocal\nkey\n\n");
    assert_same("nothing was stored", b"200 OK\nValue not found\n\n", &fetched);
    server.stop_clean(&[]);
}

/// Also when it goes on for ever, see tests/attack.
#[test]
fn whole_requests_behind_unfinished_ones_are_answered() {
    let server = start();
    let stored = "a\n:ps:stored\nb";
    let requests = [
        ("pwd", ":pwd:{R}\n\n".to_owned(), "200 OK\nWD:: "),
        ("stored", format!(":cache_store:{{R}}\nlocal\nkey\n\"{stored}\"\n\n"), "200 OK\n\n"),
        ("fetched", ":cache_fetch:{R}\nlocal\nkey\n\n".to_owned(), "200 OK\nkey = [a\n:ps:stored\nb]\n\n"),
        (
            "json",
            ":{R}:{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pwd\"}".to_owned(),
            "{\"jsonrpc\":\"2.0\",\"result\":",
        ),
    ];
    make_fifo(&folder(&server).join("x"));
    for bad in [
        ":get_statistics:x\n",
        ":get_statistics:gone\n",
        ":get_statistics:x",
        ":cache_store:x\nlocal\nkey\n\"open\n",
        ":cache_store:x\nlocal\nkey\n\"open",
        ":nope:x\nline\n",
        ":ps:x\n",
        "\0\0\0",
        ":x:{\"a\":",
        ":x:{\"a\":\"",
    ] {
        for (name, request, wanted) in &requests {
            (0..3).for_each(|_| write_to(&server.setup.fifo_path(), bad.as_bytes()));
            let found = ask(&server, name, request);
            assert!(found.starts_with(wanted.as_bytes()), "{bad:?} {request:?}: {}", shown(&found));
        }
    }
    assert_in_step(&server, "after unfinished requests");
    server.stop_clean(&[]);
}

/// A request of several writes, with whole ones of others between them, when the worker is killed.
#[test]
fn an_open_request_goes_on_after_a_kill() {
    let server = start();
    let open = server.fifo_client("open");
    open.send(":cache_store:{R}\nlocal\nkey\n\"one");
    for _ in 0..3 {
        assert_in_step(&server, "beside an open request");
        let killed = worker(&server);
        send(killed, Signal::SIGKILL);
        wait_for("another process", || (worker(&server) != killed).then_some(()));
        open.send(" more");
    }
    open.send("\"\n\n");
    assert_same("the open one's reply", b"200 OK\n\n", &open.receive());
    let fetched = ask(&server, "fetched", ":cache_fetch:{R}\nlocal\nkey\n\n");
    assert_same("stored", b"200 OK\nkey = [one more more more]\n\n", &fetched);
    assert_eq!(statistic(&server, "fifo_errors"), 0);
    server.stop_clean(&[]);
}

/// As those of shells do that write line by line.
#[test]
fn clients_whose_lines_come_mixed_are_all_answered() {
    let server = start();
    let clients: Vec<_> = (0..10).map(|number| server.fifo_client(&format!("mixed{number}"))).collect();
    clients.iter().for_each(|client| client.send(":pwd:{R}\n"));
    clients.iter().for_each(|client| client.send("\n"));
    for client in &clients {
        let found = client.receive();
        assert!(found.starts_with(b"200 OK\nWD:: "), "{}", shown(&found));
    }
    assert_in_step(&server, "after mixed lines");
    server.stop_clean(&[]);
}

/// Once for each batch, also when the error shows after the reply has begun to leave.
#[test]
fn errors_of_batches_are_counted() {
    let server = start();
    let call = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    let which = vec![call("which"); 300].join(",");
    let nope = call("nope");
    for (counted, batch) in
        [(0, format!("[{which}]")), (1, format!("[{which},{nope}]")), (2, format!("[{nope},{which},{nope}]"))]
    {
        let reply = ask(&server, "batch", &format!(":{{R}}:{batch}\n"));
        assert!(reply.len() > 1 << 16 && reply.ends_with(b"}]"), "{} bytes", reply.len());
        assert_eq!(statistic(&server, "fifo_errors"), counted);
    }
    server.stop_clean(&[]);
}
