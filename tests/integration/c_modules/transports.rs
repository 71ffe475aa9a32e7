//! The same calls of C modules' commands over every transport: datagrams of both kinds, FIFO and HTTP, in
//! each syntax that they speak. One table of calls, one of transports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{EXAMPLE, SHAPES, built};
use crate::support::{Client, FifoClient, Http, Server, Setup, free_tcp_port, free_udp_port, post};

#[path = "../../fuzz/xml_reply.rs"]
mod xml_reply;
use xml_reply::Reply;

/// Nodes of the large reply.
const NODES: usize = 10_000;

/// A call, and what comes back. `{n}` in a reply is how often `example_count` was called, `{number}` the same
/// as a number of JSON.
struct CommandCall {
    command: &'static str,
    params: &'static [&'static str],
    /// In OpenSIPS's own lines, with the status.
    text: String,
    /// The result or the error of JSON-RPC.
    json: Value,
    /// What mi_json and mi_xmlrpc_ng make of the tree; of a failed command its `code` and `message`.
    tree: Value,
    /// Whether a datagram has room for it.
    is_short: bool,
}

fn calls() -> Vec<CommandCall> {
    let row = |command, params, text: &str, json, tree| CommandCall {
        command,
        params,
        text: text.to_owned(),
        json,
        tree,
        is_short: true,
    };
    let count = json!({"Count": "{n}"});
    let bad = |message: &str| json!({"code": 400, "message": message});
    let process = "rank=-2 inits=1 numbered=1";
    let shown = json!({
        "Greeting": {"value": "good day", "step": "1", "param": "given", "Word": ["one", "two"]},
        "Process": process,
    });
    let shown_tree = json!({
        "Greeting": {
            "value": "good day",
            "attributes": {"step": "1", "param": "given"},
            "children": {"Word": "two"},
        },
        "Process": process,
    });
    let shown_text = format!(
        "200 OK\nGreeting:: good day step=1 param=given\n\tWord:: one\n\tWord:: two\nProcess:: {process}\n"
    );
    let said = json!({"Said": ["a", "b <&> c"]});
    let said_tree = json!({"Said": [{"value": "a"}, {"value": "b <&> c"}]});
    let figures = |number: &str| json!({"example:calls": number, "example:count": number});
    vec![
        row("example_count", &[], "200 OK\nCount:: {n}\n", count.clone(), count),
        row(
            "example_count",
            &["five"],
            "400 Bad parameter\n",
            bad("Bad parameter value"),
            bad("Bad parameter"),
        ),
        row("example_show", &[], &shown_text, shown, shown_tree),
        row("example_echo", &["a", "b <&> c"], "200 OK\nSaid:: a\nSaid:: b <&> c\n", said, said_tree),
        row(
            "get_statistics",
            &["example:"],
            "200 OK\nexample:calls:: {n}\nexample:count:: {n}\n",
            figures("{number}"),
            figures("{n}"),
        ),
        table(&["2"], 2),
        table(&["10000"], NODES),
    ]
}

/// The call that answers with a table of so many rows.
fn table(params: &'static [&'static str], rows: usize) -> CommandCall {
    let text: String = (0..rows).map(|row| format!("\tRow:: {row} twice={} kind=row\n", 2 * row)).collect();
    let list = |row: &dyn Fn(usize, Value) -> Value| -> Vec<Value> {
        (0..rows).map(|number| row(number, json!((2 * number).to_string()))).collect()
    };
    let flat = list(&|row, twice| json!({"value": row.to_string(), "twice": twice, "kind": "row"}));
    let deep =
        list(&|row, twice| json!({"value": row.to_string(), "attributes": {"twice": twice, "kind": "row"}}));
    CommandCall {
        command: "nodes",
        params,
        text: format!("200 OK\nTable:: all\n{text}"),
        json: json!({"Table": {"value": "all", "Row": flat}}),
        tree: json!({"Table": {"value": "all", "children": {"Row": deep}}}),
        is_short: rows < 1000,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Text,
    JsonRpc,
    /// mi_xmlrpc: the lines of the text as one string.
    XmlText,
    /// mi_xmlrpc_ng.
    XmlTree,
    /// mi_json.
    JsonTree,
}

pub(super) enum Connection {
    Datagram(Client),
    /// With the folder that its FIFO is in.
    Fifo(FifoClient, PathBuf),
    Http(SocketAddr),
}

/// The content of a reply, without its syntax.
#[derive(Debug, PartialEq, Eq)]
enum ReplyContent {
    Text(String),
    Value(Value),
}

impl Connection {
    fn ask(&mut self, syntax: Syntax, command: &str, params: &[&str]) -> Vec<u8> {
        let lines: String = params.iter().map(|param| format!("{param}\n")).collect();
        // Its one parameter is a list.
        let json = if command == "get_statistics" { json!([params]) } else { json!(params) };
        let json = json!({"jsonrpc": "2.0", "id": 1, "method": command, "params": json}).to_string();
        match (self, syntax) {
            (Connection::Datagram(client), Syntax::Text) => {
                client.ask(format!(":{command}:\n{lines}").as_bytes())
            }
            (Connection::Datagram(client), _) => client.ask(json.as_bytes()),
            (Connection::Fifo(client, folder), _) => {
                let request = match syntax {
                    Syntax::Text => format!(":{command}:{{R}}\n{lines}\n"),
                    _ => format!(":{{R}}:{json}"),
                };
                client.ask(folder, &request)
            }
            (Connection::Http(address), _) => {
                let request = match syntax {
                    Syntax::JsonRpc => post("/mi", "application/json", json.as_bytes()),
                    Syntax::JsonTree => get(command, params),
                    _ => post("/RPC2", "text/xml", xml_call(command, params).as_bytes()),
                };
                let reply = Http::connect(*address).ask(&request);
                assert_eq!(reply.status, 200, "{command}: {}", reply.text());
                reply.body
            }
        }
    }

    fn content(&self, syntax: Syntax, reply: Vec<u8>) -> ReplyContent {
        let text = String::from_utf8(reply).unwrap();
        let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        match syntax {
            Syntax::Text if matches!(self, Connection::Fifo(..)) => {
                ReplyContent::Text(text.strip_suffix('\n').expect("an empty line at the end").to_owned())
            }
            Syntax::Text => ReplyContent::Text(text),
            Syntax::JsonRpc => {
                let reply = json(&text);
                ReplyContent::Value(reply.get("result").or(reply.get("error")).cloned().unwrap())
            }
            Syntax::JsonTree => {
                let reply = json(&text);
                ReplyContent::Value(reply.get("error").cloned().unwrap_or(reply))
            }
            Syntax::XmlText | Syntax::XmlTree => {
                // The same as `children` in mi_json.
                let text = text.replace("<name>kids</name>", "<name>children</name>");
                match xml_reply::read(text.as_bytes()).unwrap() {
                    Reply::Fault(code, message) => {
                        ReplyContent::Value(json!({"code": code, "message": message}))
                    }
                    Reply::Value(Value::String(lines)) => ReplyContent::Text(format!("200 OK\n{lines}")),
                    Reply::Value(value) => ReplyContent::Value(value),
                }
            }
        }
    }
}

fn xml_call(command: &str, params: &[&str]) -> String {
    let params: String = params
        .iter()
        .map(|param| format!("<param><value>{}</value></param>", quick_xml::escape::escape(*param)))
        .collect();
    format!("<methodCall><methodName>{command}</methodName><params>{params}</params></methodCall>")
}

fn get(command: &str, params: &[&str]) -> Vec<u8> {
    let escaped: String = params.join(",").bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("GET /json/{command}?params={escaped} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

impl CommandCall {
    fn expected(&self, syntax: Syntax) -> ReplyContent {
        match syntax {
            Syntax::Text => ReplyContent::Text(self.text.clone()),
            // Nodes are not indented.
            Syntax::XmlText if self.text.starts_with("200 OK\n") => {
                ReplyContent::Text(self.text.replace('\t', ""))
            }
            Syntax::JsonRpc => ReplyContent::Value(self.json.clone()),
            Syntax::XmlTree => ReplyContent::Value(plain(self.tree.clone())),
            _ => ReplyContent::Value(self.tree.clone()),
        }
    }
}

/// A tree of mi_xmlrpc_ng, which writes an item of a list that has a value alone as that value, made of one
/// of mi_json.
fn plain(mut tree: Value) -> Value {
    for member in tree.as_object_mut().into_iter().flat_map(|tree| tree.values_mut()) {
        for item in member.as_array_mut().into_iter().flatten() {
            if let Some(value) =
                item.get("value").filter(|_| item.as_object().is_some_and(|it| it.len() == 1))
            {
                *item = value.clone();
            }
        }
    }
    tree
}

impl ReplyContent {
    /// With the number of calls put in.
    fn after(self, count: u32) -> ReplyContent {
        let number = count.to_string();
        let put = |text: String| text.replace("{n}", &number).replace("\"{number}\"", &number);
        match self {
            ReplyContent::Text(text) => ReplyContent::Text(put(text)),
            ReplyContent::Value(value) => {
                ReplyContent::Value(serde_json::from_str(&put(value.to_string())).unwrap())
            }
        }
    }
}

/// A client of mi_fifo, with a reply FIFO of that name.
pub(super) fn fifo(server: &Server, name: &str) -> Connection {
    Connection::Fifo(server.fifo_client(name), server.setup.folder.path().to_owned())
}

/// Makes all calls over all transports.
#[track_caller]
pub(super) fn drive(transports: &mut [(&str, Syntax, Connection)]) {
    let calls = calls();
    let mut count = 0;
    for (transport, syntax, link) in &mut *transports {
        for call in &calls {
            let (command, params) = (call.command, call.params);
            count += u32::from(command == "example_count" && params.is_empty());
            let reply = link.ask(*syntax, command, params);
            if !call.is_short && matches!(link, Connection::Datagram(_)) {
                let text = String::from_utf8(reply).unwrap();
                let words =
                    if *syntax == Syntax::Text { "500 reply too large: " } else { "\"reply too large" };
                assert!(text.len() < 1000 && text.contains(words), "{transport} {syntax:?}: {text}");
                continue;
            }
            let content = link.content(*syntax, reply);
            let expected = call.expected(*syntax).after(count);
            assert!(
                content == expected,
                "{transport} {syntax:?}, {command} {params:?}:\n{:.2000}\nin place of\n{:.2000}",
                format!("{content:?}"),
                format!("{expected:?}")
            );
        }
    }
    assert_eq!(usize::try_from(count), Ok(transports.len()));
}

/// Both modules, compiled with these defines, with parameters of every type.
pub(super) fn with_modules(setup: Setup, defines: &str) -> Option<Setup> {
    let setup = built(built(setup, EXAMPLE, defines)?, SHAPES, defines)?;
    let setup = setup.param_of("example", "greeting", "\"good day\"").param_of("example", "limit", "100");
    Some(setup.param_of("example", "word", "\"one\"").param_of("example", "word", "\"two\""))
}

/// All that speaks HTTP: the addresses of mi_xmlrpc and of the others, and as many processes of each.
pub(crate) fn with_http(setup: Setup, processes: usize) -> (Setup, [SocketAddr; 2]) {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let addresses = [(); 2].map(|()| SocketAddr::from((localhost, free_tcp_port(localhost))));
    let modules = ["mi_xmlrpc", "httpd", "mi_http", "mi_json", "mi_xmlrpc_ng"];
    let mut setup = modules.into_iter().fold(setup, Setup::module);
    for (module, address) in ["mi_xmlrpc", "httpd"].into_iter().zip(addresses) {
        setup = setup.param_of(module, "port", &address.port().to_string());
        setup = setup.param_of(module, "children_count", &processes.to_string());
    }
    (setup, addresses)
}

#[test]
fn every_transport_gives_the_same_replies() {
    let Some(setup) = with_modules(Setup::unix().fifo().workers(2), "") else { return };
    let (setup, [own, shared]) = with_http(setup, 1);
    let server = setup.start();
    drive(&mut [
        ("datagram", Syntax::Text, Connection::Datagram(server.client())),
        ("datagram", Syntax::JsonRpc, Connection::Datagram(server.client())),
        ("FIFO", Syntax::Text, fifo(&server, "text")),
        ("FIFO", Syntax::JsonRpc, fifo(&server, "json")),
        ("mi_xmlrpc", Syntax::XmlText, Connection::Http(own)),
        ("mi_xmlrpc_ng", Syntax::XmlTree, Connection::Http(shared)),
        ("mi_json", Syntax::JsonTree, Connection::Http(shared)),
        ("mi_http", Syntax::JsonRpc, Connection::Http(shared)),
    ]);
    server.stop_clean(&[]);
}

#[test]
fn udp_gives_the_same_replies() {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::from((localhost, free_udp_port(localhost)));
    let Some(setup) = with_modules(Setup::udp(&format!("udp:{address}"), address), "") else { return };
    let server = setup.start();
    drive(&mut [
        ("UDP", Syntax::Text, Connection::Datagram(server.client())),
        ("UDP", Syntax::JsonRpc, Connection::Datagram(server.client())),
    ]);
    server.stop_clean(&[]);
}
