//! The most expensive request of each command that the limits allow, and state that makes them expensive.

use super::{Client, MAX_DATAGRAM_BYTES, Server, Setup};

/// A request. A command may have several.
pub(crate) struct Heavy {
    pub(crate) command: &'static str,
    /// The lines behind the command, as the text protocol has them; `None` when it lacks the command.
    pub(crate) text: Option<String>,
    /// The value of `params` of JSON-RPC; `None` when it lacks the command.
    pub(crate) json: Option<String>,
}

impl Heavy {
    /// Both forms, as they are sent over a datagram.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        let text = self.text.as_ref().map(|lines| format!(":{}:\n{lines}", self.command));
        text.into_iter().chain(self.json_request()).map(String::into_bytes).collect()
    }

    /// The request of JSON-RPC.
    pub(crate) fn json_request(&self) -> Option<String> {
        self.json.as_ref().map(|params| json(self.command, params))
    }
}

/// A request of JSON-RPC.
pub(crate) fn json(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// How much state there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    /// Addresses of record, one contact each.
    pub(crate) aors: usize,
    /// Contacts of one more.
    pub(crate) contacts: usize,
    /// Keys of the cache, [`KEY_BYTES`] long.
    pub(crate) keys: usize,
    /// Subscribers of one event.
    pub(crate) subscribers: usize,
}

/// Length of a key in the cache, in bytes.
pub(crate) const KEY_BYTES: usize = 30_000;

/// Adds what [`heaviest`] needs.
pub(crate) fn modules(setup: Setup) -> Setup {
    setup.module("cachedb_local").module("usrloc").module("event_datagram")
}

/// Makes the state.
pub(crate) fn fill(server: &Server, fill: Fill) {
    let client = server.client();
    let folder = server.setup.folder.path().display();
    let add = |aor: &str, contact: usize| {
        let params = format!(r#"["location","{aor}","sip:{contact}",3600,"1",0,0,0]"#);
        json("ul_add", &params)
    };
    in_batches(&client, (0..fill.aors).map(|number| add(&format!("user{number}"), 1)));
    in_batches(&client, (0..fill.contacts).map(|number| add("many", number)));
    let subscribe = |number| {
        let params = format!(r#"["E_UL_AOR_INSERT","unix:{folder}/none{number}",3600]"#);
        json("event_subscribe", &params)
    };
    in_batches(&client, (0..fill.subscribers).map(subscribe));
    for number in 0..fill.keys {
        let key = format!("{number:0>9}{}", "a".repeat(KEY_BYTES - 9));
        assert_eq!(client.ask(format!(":cache_store:\nlocal\n{key}\nv\n").as_bytes()), b"200 OK\n");
    }
}

fn in_batches(client: &Client, requests: impl Iterator<Item = String>) {
    let requests: Vec<String> = requests.collect();
    for batch in requests.chunks(200) {
        let reply = client.ask(format!("[{}]", batch.join(",")).as_bytes());
        let reply = String::from_utf8(reply).unwrap();
        assert_eq!(reply.matches(r#""result":"OK""#).count(), batch.len(), "{reply}");
    }
}

/// Requests of up to `room` bytes. `kill` is not among them: it ends the server.
pub(crate) fn heaviest(room: usize) -> Vec<Heavy> {
    let most = room - 500;
    let (long, junk) = ("x".repeat(most), Some("x\n".repeat(most / 2)));
    let quoted = format!("\"{long}\"");
    let list = |name: &str| {
        let text = format!("{name}\n").repeat(most / (name.len() + 1));
        let json = format!("\"{name}\",").repeat(most / (name.len() + 3));
        (Some(text), Some(format!("[[{}]]", json.trim_end_matches(','))))
    };
    let row = |command, (text, json)| Heavy { command, text, json };
    let both = |text: &str, json: String| (Some(text.to_owned()), Some(json));
    let plain = || (junk.clone(), Some("[]".to_owned()));
    let mut rows: Vec<Heavy> = [
        "uptime",
        "version",
        "pwd",
        "arg",
        "which",
        "ps",
        "events_list",
        "list_tcp_conns",
        "list_blacklists",
        "ul_flush",
    ]
    .map(|command| row(command, plain()))
    .into();
    let many_parts = format!("*{}b*", "a".repeat(1000));
    let issue = format!("*{}b", "?".repeat(15_000));
    rows.extend([
        row("debug", (Some("1\n".repeat(most / 2)), None)),
        row("log_level", (None, Some("[]".to_owned()))),
        row("help", both(&long, format!("[{quoted}]"))),
        row("which", (None, Some(format!("[{quoted}]")))),
        row("cache_store", both(&format!("local\nkey\n{long}"), format!(r#"["local","key",{quoted}]"#))),
        row("cache_fetch", both("local\nkey\n", r#"["local","key"]"#.to_owned())),
        row("cache_fetch", both(&format!("local\n{long}"), format!(r#"["local",{quoted}]"#))),
        row("cache_remove", both(&format!("local\n{long}"), format!(r#"["local",{quoted}]"#))),
        row("cache_remove_chunk", both(&many_parts, format!("[\"{many_parts}\"]"))),
        row("cache_remove_chunk", both(&issue, format!("[\"{issue}\"]"))),
        row("cache_remove_chunk", both(&long, format!("[{quoted}]"))),
        row("cache_remove_chunk", both(&format!("[{}]", "a-z".repeat(most / 3)), "[\"*\"]".to_owned())),
        row(
            "event_subscribe",
            both(&format!("E_UL_AOR_INSERT\nudp:{long}:1"), {
                format!(r#"["E_UL_AOR_INSERT","udp:{long}:1"]"#)
            }),
        ),
        row(
            "event_subscribe",
            both("E_UL_AOR_INSERT\nunix:/none\n", r#"["E_UL_AOR_INSERT","unix:/none"]"#.to_owned()),
        ),
        row(
            "event_subscribe",
            both("E_UL_AOR_INSERT\nudp:no.such.host.invalid:9\n", {
                r#"["E_UL_AOR_INSERT","udp:other.host.invalid:9"]"#.to_owned()
            }),
        ),
        row("subscribers_list", both("", "[]".to_owned())),
        row("subscribers_list", both("E_UL_AOR_INSERT\n", r#"["E_UL_AOR_INSERT"]"#.to_owned())),
        row("get_statistics", list("all")),
        row("get_statistics", list("nope")),
        row("get_statistics", list("x")),
        row("get_statistics", list("location-users")),
        row("list_statistics", (None, list("all").1)),
        row("list_statistics", (None, Some("[]".to_owned()))),
        row("reset_statistics", list("nope")),
        row("reset_statistics", list("datagram_errors")),
        row("reset_all_statistics", (None, Some("[]".to_owned()))),
        row(
            "ul_add",
            both("location\nmany\nsip:0\n0\n0.5\n0\n0\n0\n0\n", {
                r#"["location","many","sip:1",3600,"0.5",0,0,0]"#.to_owned()
            }),
        ),
        row(
            "ul_add",
            both("location\nnew\nsip:0\n0\n0.5\n0\n0\n0\n0\n", {
                r#"["location","newer","sip:1",3600,"0.5",0,0,0]"#.to_owned()
            }),
        ),
        row("ul_show_contact", both("location\nmany\n", r#"["location","many"]"#.to_owned())),
        row("ul_sync", both(&format!("location\n{long}"), format!(r#"["location",{quoted}]"#))),
        row("ul_dump", both("\n", "[]".to_owned())),
        row("ul_dump", both("brief\n", "[1]".to_owned())),
        row("ul_rm_contact", both("location\nmany\nsip:2\n", r#"["location","many","sip:3"]"#.to_owned())),
        row("ul_rm", both("location\nmany\n", r#"["location","new"]"#.to_owned())),
        // No commands of their own.
        row("nope", both(&long, format!("[{quoted}]"))),
        row("nope", (None, Some(format!("{}{}", "[".repeat(most / 2), "]".repeat(most / 2))))),
        row(
            "nope",
            (None, Some(format!("{{\"a\":{}1{}}}", "[".repeat(most / 2 - 9), "]".repeat(most / 2 - 9)))),
        ),
    ]);
    rows
}

/// Batches of JSON-RPC of up to `room` bytes. The first three take all of the time that a batch has.
pub(crate) fn batches(room: usize) -> Vec<String> {
    let most = room - 100;
    let repeated = |request: &str| {
        let count = (most / (request.len() + 1)).min(1024);
        format!("[{}]", vec![request; count].join(","))
    };
    let chunk = |glob: &str| json("cache_remove_chunk", &format!("[\"{glob}\"]"));
    vec![
        repeated(r#"{"jsonrpc":"2.0","method":"ul_flush"}"#),
        repeated(&chunk(&format!("*{}b*", "a".repeat(1000)))),
        repeated(&json("get_statistics", r#"[["all","all","all","all"]]"#)),
        format!("[{}1]", "1,".repeat(most / 2 - 2)),
        "[".repeat(most),
        repeated(r#"{"jsonrpc":"2.0","id":1,"method":"ul_dump"}"#),
        repeated(r#"{"jsonrpc":"2.0","id":1,"method":"ul_flush"}"#),
        repeated(&json("get_statistics", r#"[["all","all","all","all"]]"#)),
        repeated(&json("ul_show_contact", r#"["location","many"]"#)),
        repeated(&json("subscribers_list", r#"["E_UL_AOR_INSERT"]"#)),
        repeated(&chunk("*a*a*a*a*a*a*b")),
    ]
}

/// The room of a datagram.
pub(crate) const DATAGRAM_ROOM: usize = MAX_DATAGRAM_BYTES;
