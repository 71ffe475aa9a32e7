//! The recorded replies of mi_xmlrpc, mi_xmlrpc_ng and mi_json, against what the library answers without a listener:
//! the decoded values are compared. tests/golden/README.md says what the rows hold.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use opensips_mi::cachedb::Backends;
use opensips_mi::config::Settings;
use opensips_mi::evi::Events;
use opensips_mi::mi::{CommandTable, Context, ModuleStates, Progress, StatisticRegistry};
use opensips_mi::module::RunUser;
use opensips_mi::modules;
use opensips_mi::shm::{MIN_BYTES, PendingRequests, Segment};
use opensips_mi::system::process::ProcessId;
use opensips_mi::wire::Stream;
use opensips_mi::wire::http::{Dialect, HttpMethod, HttpRequest};
use opensips_mi::wire::tree_json::TreeJson;
use opensips_mi::wire::xml_rpc::XmlRpcFormat;
use serde_json::Value;

use super::xml_reply::{self, Reply};

/// What the server of the recordings had loaded.
const LOADED: [&str; 3] = ["cachedb_local", "usrloc", "event_datagram"];

/// Rows of 1.11 whose values are the server's own: each line is compared up to this mark.
const OWN_VALUES: [(&str, &str); 2] = [("xmlrpc-00", " ("), ("xmlrpc-06", ":: ")];

/// A contact among the rows of 2.4.
const CONTACT: [&str; 9] =
    ["location", "alice", "sip:alice@127.0.0.1:5099", "3600", "0.5", "0", "0", "0", "32"];

fn server() -> Context {
    let (mut commands, mut statistics, mut events) =
        (CommandTable::default(), StatisticRegistry::default(), Events::default());
    let (mut states, mut backends) = (ModuleStates::default(), Backends::default());
    let loaded = LOADED.map(|name| modules::find(name).unwrap());
    for module in modules::ALWAYS.into_iter().chain(loaded) {
        statistics.add(module.statistics);
        events.publish(module.events);
        commands.add(module.name, module.commands).unwrap();
        let Some(load) = module.load else { continue };
        let made = load(&Settings::default(), RunUser::default()).unwrap();
        statistics.add(&made.statistics);
        made.state.into_iter().for_each(|state| states.add(state));
        made.backends.into_iter().for_each(|backend| backends.add(backend));
        made.transports.into_iter().for_each(|transport| events.add(transport).unwrap());
    }
    statistics.add(&modules::private_memory_statistics(2, 0));
    states.add(Box::new(backends));
    states.add(Box::new(events));
    let segment = Segment::create(4 * MIN_BYTES, 2, statistics.counters()).unwrap();
    segment.set_level(1);
    Context {
        segment,
        pending: Box::leak(Box::new(PendingRequests::new(segment, Vec::new(), Duration::ZERO))),
        commands,
        statistics,
        states,
        processes: vec![String::from("attendant"), String::from("MI XMLRPC")],
        arguments: vec!["opensips-mi".into(), "-F".into()],
        attendant: ProcessId::from_number(i32::MAX).unwrap(),
        udp_sockets: Vec::new(),
        tcp_disabled: false,
        slot: 1,
    }
}

/// Status, type and body of the answer to a request.
fn asked(
    dialect: &dyn Dialect,
    context: &Context,
    request: &HttpRequest<'_>,
) -> (u16, &'static str, Vec<u8>) {
    let mut stream = Stream::default();
    let mut answer = dialect.answer(context, request, &mut stream);
    while let Some(more) = &mut answer.rest {
        if more.write_piece(context, &mut stream, std::time::Duration::ZERO) == Progress::Done {
            break;
        }
    }
    (answer.status, answer.content_type, stream.waiting().to_vec())
}

fn post(body: &str) -> HttpRequest<'_> {
    HttpRequest {
        client: Ipv4Addr::LOCALHOST.into(),
        method: HttpMethod::Post,
        path: "",
        query: None,
        body: body.as_bytes(),
    }
}

fn rows(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parsed =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    parsed.collect()
}

fn read_xml(row: &Value, body: &[u8]) -> Reply {
    xml_reply::read(body).unwrap_or_else(|error| panic!("{row}\n{error}: {}", body.escape_ascii()))
}

/// The reply of a row, and what of it is the same in ours.
fn compared(row: &Value, reply: Reply) -> Reply {
    let mark = OWN_VALUES.iter().find(|(case, _)| row["case"] == *case).map(|(_, mark)| *mark);
    match (reply, mark) {
        (Reply::Value(Value::String(text)), Some(mark)) => {
            let names = text.lines().map(|line| line.split_once(mark).unwrap().0);
            Reply::Value(names.collect::<Vec<_>>().into())
        }
        (Reply::Value(Value::String(text)), None) => {
            let lines =
                text.lines().map(|line| if line.starts_with("Expires:: ") { "Expires" } else { line });
            Reply::Value(lines.collect::<Vec<_>>().into())
        }
        (reply, _) => reply,
    }
}

#[test]
fn decoded_rows_of_1_11() {
    let context = server();
    let mut count = 0;
    for row in rows("1.11-xmlrpc.jsonl").iter().filter(|row| row["match"] == "decoded") {
        let request = post(row["request"].as_str().unwrap());
        let (status, media_type, body) = asked(&XmlRpcFormat::String, &context, &request);
        assert_eq!(
            (status.into(), media_type.into()),
            (row["reply"]["status"].clone(), row["reply"]["type"].clone())
        );
        let wanted = read_xml(row, row["reply"]["body"].as_str().unwrap().as_bytes());
        assert_eq!(compared(row, read_xml(row, &body)), compared(row, wanted), "{row}");
        count += 1;
    }
    assert_eq!(count, 17);
}

/// What a reply of 2.4's doors says, as one value.
fn decoded(row: &Value, body: &[u8]) -> Value {
    if row["door"] == "mi_xmlrpc_ng" {
        return match read_xml(row, body) {
            Reply::Value(value) => value,
            Reply::Fault(code, text) => serde_json::json!({ "fault": code, "text": text }),
        };
    }
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{row}\n{error}: {}", body.escape_ascii()))
}

/// Takes out what time has changed.
fn without_time(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("Expires");
            members.values_mut().for_each(without_time);
        }
        Value::Array(values) => values.iter_mut().for_each(without_time),
        _ => {}
    }
}

/// Whether two values have the same members and types, each element of a list as the first one.
fn has_shape(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            found.len() == wanted.len()
                && wanted.iter().all(|(name, wanted)| found.get(name).is_some_and(|it| has_shape(it, wanted)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            !found.is_empty() && found.iter().all(|value| has_shape(value, &wanted[0]))
        }
        (Value::String(_), Value::String(_)) => true,
        _ => false,
    }
}

/// The reply to `ul_add`.
fn added(context: &Context, params: &[&str]) -> String {
    let params: String =
        params.iter().map(|value| format!("<param><value>{value}</value></param>")).collect();
    let add = format!("<methodCall><methodName>ul_add</methodName><params>{params}</params></methodCall>");
    String::from_utf8(asked(&XmlRpcFormat::Tree, context, &post(&add)).2).unwrap()
}

#[test]
fn rows_of_2_4() {
    let context = server();
    assert!(!added(&context, &CONTACT).contains("fault"));
    let rows = rows("2.4-http.jsonl");
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap();
        let (door, root): (&dyn Dialect, _) =
            if row["door"] == "mi_json" { (&TreeJson, "/json") } else { (&XmlRpcFormat::Tree, "/RPC2") };
        let target = text("target").strip_prefix(root).unwrap();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let method = if row["method"] == "GET" { HttpMethod::Get } else { HttpMethod::Post };
        let request = HttpRequest {
            client: Ipv4Addr::LOCALHOST.into(),
            method,
            path,
            query,
            body: text("body").as_bytes(),
        };
        let (status, media_type, body) = asked(door, &context, &request);
        let wanted = &row["reply"];
        assert_eq!((&status.into(), &media_type.into()), (&wanted["status"], &wanted["type"]), "{row}");
        let (mut found, mut wanted) =
            (decoded(row, &body), decoded(row, wanted["body"].as_str().unwrap().as_bytes()));
        if row["match"] == "shape" {
            assert!(has_shape(&found, &wanted), "{row}\nfound {found}");
        } else {
            without_time(&mut found);
            without_time(&mut wanted);
            assert_eq!(found, wanted, "{row}");
        }
    }
    assert_eq!(rows.len(), 47);
}

/// A long reply is written while it leaves, and no piece is longer than the markup of some hundred contacts.
#[test]
fn a_dump_comes_in_small_pieces() {
    const CONTACTS: usize = 2000;
    const MAX_PIECE_BYTES: usize = 131_072;
    let context = server();
    for number in 0..CONTACTS {
        let (user, contact) = (format!("user{number}"), format!("sip:user{number}@127.0.0.1:5099"));
        let params = ["location", &user, &contact, "3600", "1", "0", "0", "0", "0"];
        assert!(!added(&context, &params).contains("fault"));
    }
    let dump = post("<methodCall><methodName>ul_dump</methodName></methodCall>");
    let get = HttpRequest {
        client: Ipv4Addr::LOCALHOST.into(),
        method: HttpMethod::Get,
        path: "/ul_dump",
        query: None,
        body: b"",
    };
    let formats =
        [XmlRpcFormat::String, XmlRpcFormat::Array, XmlRpcFormat::IndentedString, XmlRpcFormat::Tree];
    let mut doors: Vec<(&dyn Dialect, HttpRequest<'_>)> =
        formats.iter().map(|format| (format as &dyn Dialect, dump)).collect();
    doors.push((&TreeJson, get));
    for (door, request) in doors {
        let (mut stream, mut whole, mut pieces) = (Stream::default(), Vec::new(), 1);
        let mut answer = door.answer(&context, &request, &mut stream);
        let mut more = answer.rest.take().unwrap();
        loop {
            assert!(stream.waiting().len() < MAX_PIECE_BYTES, "{door:?}: {}", stream.waiting().len());
            whole.extend(stream.take());
            pieces += 1;
            if more.write_piece(&context, &mut stream, std::time::Duration::ZERO) == Progress::Done {
                break;
            }
        }
        whole.extend(stream.take());
        let text = String::from_utf8(whole).unwrap();
        assert_eq!(text.matches("@127.0.0.1:5099").count(), CONTACTS, "{door:?}");
        assert!(pieces > 10 && text.len() > 300_000, "{door:?}: {} bytes in {pieces}", text.len());
        if request.method == HttpMethod::Get {
            serde_json::from_str::<Value>(&text).unwrap();
        } else {
            xml_reply::read(text.as_bytes()).unwrap();
        }
    }
}

/// Where C and we write the same values, the bytes are the same, too.
#[test]
fn json_of_2_4_to_the_byte() {
    let context = server();
    let rows = rows("2.4-http.jsonl");
    let same = rows.iter().filter(|row| row["door"] == "mi_json" && row["match"] == "same");
    let mut count = 0;
    for row in same {
        let target = row["target"].as_str().unwrap().strip_prefix("/json").unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = HttpRequest {
            client: Ipv4Addr::LOCALHOST.into(),
            method: HttpMethod::Get,
            path,
            query: Some(query),
            body: b"",
        };
        let (.., body) = asked(&TreeJson, &context, &request);
        assert_eq!(String::from_utf8(body).unwrap(), row["reply"]["body"].as_str().unwrap(), "{row}");
        count += 1;
    }
    assert!(count > 10, "{count}");
}
