//! Plays the rows over HTTP of tests/golden/3.4.jsonl: the status of each, and the JSON value where there is one.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::golden_json::{bytes, has_shape, rows};
use crate::support::{Http, Setup, free_tcp_port, json_rpc};

/// Rows where ours differs on purpose: the name, our status, and why.
const DIFFERENT: [(&str, u16, &str); 18] = [
    ("proto-batch", 200, "a batch is answered, each request by itself"),
    ("proto-two-json-in-one", 200, "text behind the request makes it no JSON"),
    ("proto-json-trailing-garbage", 200, "text behind the request makes it no JSON"),
    ("PUT", 405, "the header Allow says what is of use"),
    ("DELETE", 405, "the header Allow says what is of use"),
    ("OPTIONS", 405, "the header Allow says what is of use"),
    ("unknown-root", 404, "there is nothing"),
    ("root", 404, "there is nothing"),
    ("mi-prefix", 404, "there is nothing"),
    ("ctype-text", 415, "answered, not just closed"),
    ("ctype-form", 415, "the status for it"),
    ("ctype-none", 200, "no web page can leave it out without naming its origin"),
    ("ctype-unknown", 200, "no web page can send it unasked"),
    ("empty-body", 200, "it is no JSON, told as such"),
    ("http-request-5000", 400, "the recording is shortened; long requests are in http.rs"),
    ("http-request-60000", 400, "the recording is shortened; long requests are in http.rs"),
    ("overflow-list_statistics", 200, "no reply is too long"),
    ("dlg_list", 200, "there is no module dialog"),
];

/// Rows that another module's tests are about: XML-RPC.
const OTHERS: &str = "xmlrpc_ng-";

#[test]
fn http_rows_of_3_4() {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = free_tcp_port(host);
    let modules = ["cachedb_local", "usrloc", "event_datagram", "httpd", "mi_http"];
    let setup = modules.into_iter().fold(Setup::unix(), Setup::module);
    let server = setup.param_of("httpd", "port", &port.to_string()).start();
    let contact = r#"["location","bob","sip:bob@127.0.0.1:5098","3600","0.7","0","0","32"]"#;
    let stored = Http::connect((host, port).into()).ask(&json_rpc("ul_add", contact));
    assert_eq!(stored.text(), r#"{"jsonrpc":"2.0","result":"OK","id":1}"#);
    let rows = rows("http");
    let (mut compared, mut by_status, mut others, mut failures) = (0, 0, 0, Vec::new());
    for row in &rows {
        let name = row["name"].as_str().expect("a name");
        if name.starts_with(OTHERS) {
            others += 1;
            continue;
        }
        let mut http = Http::connect((host, port).into());
        http.send(&bytes(row["request"].as_str().expect("a request")));
        http.end_sending();
        if name == "HEAD" {
            let reply = http.rest().unwrap();
            assert!(reply.starts_with(b"HTTP/1.1 405 ") && reply.ends_with(b"\r\n\r\n"), "a body to HEAD");
            by_status += 1;
            continue;
        }
        let reply = http.reply().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(http.rest().unwrap(), b"", "{name}");
        if let Some((_, status, reason)) = DIFFERENT.iter().find(|(different, ..)| *different == name) {
            assert_eq!(reply.status, *status, "{name}: {reason}; {reply:?}");
            by_status += 1;
            continue;
        }
        let (status, wanted) = row["reply"].as_str().and_then(split).unwrap_or_else(|| panic!("{row}"));
        let note = row["note"].as_str().unwrap_or_default();
        let same = match wanted {
            _ if status != reply.status => false,
            Some(wanted) => same_value(&serde_json::from_slice(&reply.body).unwrap_or_default(), &wanted),
            // A status without a body, or a recording that was cut.
            None if note.contains("cut here") || note.contains("no terminating chunk") => {
                by_status += 1;
                continue;
            }
            None => false,
        };
        if same {
            compared += 1;
        } else {
            failures.push(format!("{row}\nfound {} {}", reply.status, reply.text()));
        }
    }
    let total = rows.len();
    let _ = writeln!(
        std::io::stderr(),
        "golden 3.4: {total} rows over HTTP: {compared} the same, {by_status} by status, {others} of other modules, {} failed",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared > 20 && compared + by_status + others == total, "{compared}, {by_status}, {others}");
    server.stop_clean(&[]);
}

/// Errors are the same to the letter; results have the same members and types, as their values are ours.
fn same_value(found: &Value, wanted: &Value) -> bool {
    if wanted.get("error").is_some() { found == wanted } else { has_shape(found, wanted) }
}

/// Status and, where it is JSON, body of a recorded reply.
fn split(reply: &str) -> Option<(u16, Option<Value>)> {
    let (head, body) = reply.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, serde_json::from_slice(&bytes(body)).ok()))
}
