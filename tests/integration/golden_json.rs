//! Plays the rows of tests/golden/3.4.jsonl, in their order on one server, and compares the JSON values.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::support::{DEADLINE, Server, Setup};

/// A PID in the recording that stands for one of our processes.
const RECORDED_PID: &str = "24170";

/// What was asked before a row and is not among the rows: the row's name, the command and its parameters.
const BEFORE: [(&str, &str, &str); 3] = [
    ("cache_fetch-named", "cache_store", r#"["local","k1","v1"]"#),
    ("cache_fetch-utf8", "cache_store", r#"["local","ku","h\u00e9llo \u20ac \"q\" \\ / \t\n"]"#),
    ("cache_fetch-missing", "cache_remove", r#"["local","k1"]"#),
];

#[derive(Default)]
struct Tally {
    compared: usize,
    answered: usize,
    failures: Vec<String>,
}

#[test]
fn datagram_rows_of_3_4() {
    let modules = ["cachedb_local", "usrloc", "event_datagram"];
    let server = modules.into_iter().fold(Setup::unix(), Setup::module).start();
    let rows = rows("datagram-unix");
    let mut tally = Tally::default();
    rows.iter().for_each(|row| play(&server, row, &mut tally));
    let Tally { compared, answered, failures } = tally;
    let total = rows.len();
    let _ = writeln!(
        std::io::stderr(),
        "golden 3.4: {total} datagram rows: {compared} the same, {answered} only to be answered, {} failed",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared > 150 && compared + answered == total, "{compared} and {answered} of {total}");
}

#[test]
fn fifo_rows_of_3_4() {
    let modules = ["cachedb_local", "usrloc", "event_datagram"];
    let server = modules.into_iter().fold(Setup::unix().fifo(), Setup::module).start();
    let added = server.ask(b":ul_add:\nlocation\nbob\nsip:bob@10.0.0.1\n3600\n1\n0\n0\n0\n0\n");
    assert_eq!(added, b"200 OK\n");
    let rows = rows("fifo");
    let mut tally = Tally::default();
    rows.iter().for_each(|row| play_fifo(&server, row, &mut tally));
    let Tally { compared, answered, failures } = tally;
    let total = rows.len();
    let _ = writeln!(
        std::io::stderr(),
        "golden 3.4: {total} FIFO rows: {compared} the same, {answered} only to be answered, {} failed",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared >= 20 && compared + answered == total, "{compared} and {answered} of {total}");
    server.stop_clean(&[]);
}

pub(super) fn rows(transport: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/3.4.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    rows.filter(|row: &Value| row["transport"] == transport).collect()
}

fn play(server: &Server, row: &Value, tally: &mut Tally) {
    let pid = server.pid().to_string();
    let request = bytes(&row["request"].as_str().expect("a request").replace(RECORDED_PID, &pid));
    let client = server.client();
    for (_, method, params) in BEFORE.iter().filter(|(name, ..)| row["name"] == *name) {
        let reply = client
            .ask(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#).as_bytes());
        assert!(reply.starts_with(br#"{"jsonrpc":"2.0","result":"OK""#), "{}", reply.escape_ascii());
    }
    if row["reply"].is_null() {
        // A notification, or nothing at all: the next reply is the first.
        client.send(&request).unwrap();
        let next = client.ask(br#"{"jsonrpc":"2.0","id":"next","method":"pwd"}"#);
        assert!(next.ends_with(br#""id":"next"}"#), "{row}: answered by {}", next.escape_ascii());
        tally.answered += 1;
        return;
    }
    let (found, _) = client.try_ask(&request, DEADLINE).unwrap_or_else(|error| panic!("{row}: {error}"));
    compare(row, &found, tally);
}

/// Over a FIFO a reply ends where the server closes it, and that is what a notification shows too.
fn play_fifo(server: &Server, row: &Value, tally: &mut Tally) {
    let name = row["name"].as_str().expect("a name");
    let client = server.fifo_client("rpl");
    // A request that the recording has shortened.
    let request = row["request"].as_str().expect("a request");
    client.send(&request.replace("<...5000 x...>", &format!("{}\"]}}", "x".repeat(5000))));
    match name {
        // Text here, whose end does not come: nothing in the rows behind it may be the worse for that.
        "legacy-line" => {
            drop(client);
            std::fs::remove_file(server.setup.folder.join("rpl")).unwrap();
            tally.answered += 1;
            return;
        }
        "no-reply-fifo" | "no-colon" | "forbidden-name" => {}
        // Longer than 3.4 reads, and answered here.
        "fifo-request-5000" => {
            assert!(client.receive().starts_with(b"{\"jsonrpc\":\"2.0\",\"result\":"), "{row}")
        }
        "CRASH-batch" => assert!(client.receive().starts_with(b"[{\"jsonrpc\":\"2.0\",\"result\":"), "{row}"),
        _ if row["reply"].is_null() => assert_eq!(client.receive(), b"", "{row}"),
        _ if name.starts_with("two-requests") => {
            let is_second = |found: &[u8]| found.ends_with(b",\"id\":2}");
            let mut found = Vec::new();
            while !is_second(&found) {
                found.extend(client.receive());
            }
            assert!(found.starts_with(b"{\"jsonrpc\":\"2.0\",\"result\":{\"WD\""), "{row}");
        }
        _ => {
            let found = client.receive();
            std::fs::remove_file(server.setup.folder.join("rpl")).unwrap();
            if name.starts_with("alive-after") {
                let value = |text: &[u8]| serde_json::from_slice(text).unwrap_or_else(|_| panic!("{row}"));
                let wanted = value(&bytes(row["reply"].as_str().unwrap_or_default()));
                assert!(has_shape(&value(&found), &wanted), "{row}: {}", found.escape_ascii());
            }
            return compare(row, &found, tally);
        }
    }
    std::fs::remove_file(server.setup.folder.join("rpl")).unwrap();
    let next = server.fifo_client("next");
    next.send(":{R}:{\"jsonrpc\":\"2.0\",\"id\":\"next\",\"method\":\"pwd\"}");
    assert!(next.receive().ends_with(b"\"id\":\"next\"}"), "{row}");
    std::fs::remove_file(server.setup.folder.join("next")).unwrap();
    tally.answered += 1;
}

fn compare(row: &Value, found: &[u8], tally: &mut Tally) {
    let Ok(found) = serde_json::from_slice::<Value>(found) else {
        if row["match"] == "sent" {
            tally.answered += 1; // text to the text request among the rows
        } else {
            tally.failures.push(format!("{row}\nfound no JSON: {}", found.escape_ascii()));
        }
        return;
    };
    let wanted = || serde_json::from_slice::<Value>(&bytes(row["reply"].as_str().unwrap())).unwrap();
    let same = match row["match"].as_str() {
        Some("json" | "differ") => without_cause(found.clone(), &wanted()) == wanted(),
        Some("shape") => has_shape(&found, &wanted()),
        Some("sent") => {
            tally.answered += 1;
            return;
        }
        other => panic!("unknown kind of match {other:?}"),
    };
    if same {
        tally.compared += 1;
    } else {
        tally.failures.push(format!("{row}\nfound {found}"));
    }
}

/// Errors of MI say here in `data` why they came; where the recording has none, that is not compared.
pub(super) fn without_cause(mut found: Value, wanted: &Value) -> Value {
    if wanted["error"].get("data").is_none()
        && let Some(Value::Object(error)) = found.get_mut("error")
        && error["code"].as_i64() > Some(0)
    {
        error.remove("data");
    }
    found
}

/// A string of the recording: one byte per character.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(char).expect("a byte per character")).collect()
}

/// Whether both have the same members and types. Which statistics and events there are is ours.
pub(super) fn has_shape(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            let is_map = wanted.keys().any(|name| name.contains(':'));
            let mut members = wanted.iter().map(|(name, value)| (found.get(name), value));
            if is_map {
                let value = wanted.values().next();
                found.values().all(|found| value.is_some_and(|value| has_shape(found, value)))
            } else {
                found.len() == wanted.len()
                    && members.all(|(found, value)| found.is_some_and(|it| has_shape(it, value)))
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.is_empty() == wanted.is_empty()
                && found.iter().all(|found| wanted.iter().any(|wanted| has_shape(found, wanted)))
        }
        (Value::Null, Value::Null) | (Value::Bool(_), Value::Bool(_)) => true,
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_)) => true,
        _ => false,
    }
}

#[test]
fn shapes_are_members_and_types() {
    let shape = |found: &str, wanted: &str| {
        has_shape(&serde_json::from_str(found).unwrap(), &serde_json::from_str(wanted).unwrap())
    };
    assert!(shape(r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":[{"b":0}]}"#));
    assert!(shape(r#"{"x:y":1}"#, r#"{"x:z":0}"#));
    for (found, wanted) in [
        (r#"{"a":1}"#, r#"{"a":"1"}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        (r#"{"a":1,"b":1}"#, r#"{"a":1}"#),
        ("[]", "[1]"),
        ("[null]", "[1]"),
    ] {
        assert!(!shape(found, wanted), "{found} {wanted}");
    }
}

/// C: `evi_print_event` of 3.4 shows nothing of an event without subscribers; `cachedb_store` takes an empty group as
/// none.
#[test]
fn shapes_that_are_not_among_the_rows() {
    let modules = ["cachedb_local", "event_datagram"];
    let server = modules.into_iter().fold(Setup::unix(), Setup::module).start();
    for (request, wanted) in [
        (r#""subscribers_list","params":["E_CORE_THRESHOLD"]"#, r#"{"Event":{}}"#),
        (r#""subscribers_list""#, r#"{"Events":[]}"#),
        (r#""cache_store","params":["local:","k","v"]"#, r#""OK""#),
        (r#""cache_fetch","params":["local","k"]"#, r#"{"key":"k","value":"v"}"#),
        (r#""cache_fetch","params":["local:","k"]"#, r#"{"key":"k","value":"v"}"#),
        (r#""cache_remove","params":["local:","k"]"#, r#""OK""#),
    ] {
        let reply = server.ask(format!(r#"{{"jsonrpc":"2.0","id":1,"method":{request}}}"#).as_bytes());
        let wanted = format!(r#"{{"jsonrpc":"2.0","result":{wanted},"id":1}}"#);
        assert_eq!(String::from_utf8_lossy(&reply), wanted, "{request}");
    }
    let client = server.client();
    assert_eq!(client.ask(b":subscribers_list:\nE_CORE_THRESHOLD\n"), b"200 OK\n");
    assert_eq!(client.ask(b":cache_store:\nlocal:\nk\nv\n"), b"200 OK\n");
    assert_eq!(client.ask(b":cache_store:\nlocal:x\nk\nv\n"), b"500 Cache store command failed\n");
    server.stop_clean(&[]);
}
