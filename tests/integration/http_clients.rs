//! Clients of XML-RPC and HTTP that people have: those of Python, Perl, Ruby and C++, and curl.
//!
//! tests/clients/debian.sh installs them. `xml_rpc.py`, `xml_rpc.pl` and `xml_rpc.rb` beside it read one list of calls
//! as JSON from stdin, a base64 value as `{"base64": TEXT}`, and print for each what the client of their language made
//! of the reply: `{"value": ...}`, `{"fault": [CODE, REASON]}`, `{"error": TEXT}` where HTTP refused, or `several` of
//! these for a multicall. So all of them are held to one table. opensips-cli and osipsconsole have files of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::scripted::{exists, run};
use crate::support::{Folder, Outcome, Process, Server, Setup, free_tcp_port, skip, wait_for};

/// Text that XML has to escape, of characters of one to four bytes.
const TEXT: &str = "a & <b> \"c\" 'd' ]]> \t\n\u{e9} \u{20ac} \u{1f600}";

/// Ends of lines that XML keeps only when they are escaped.
const LINES: &str = "a\r\nb\rc\n";

/// What the help says of `ps`.
const HELP: &str = "lists all processes used by OpenSIPS";

/// A server with every module that speaks HTTP.
struct Doors {
    server: Server,
    /// mi_xmlrpc.
    own: SocketAddr,
    /// mi_http, mi_json and mi_xmlrpc_ng.
    shared: SocketAddr,
}

impl Doors {
    fn start() -> Self {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let [own, shared] = [(); 2].map(|()| SocketAddr::from((host, free_tcp_port(host))));
        let modules = ["cachedb_local", "usrloc", "mi_xmlrpc", "httpd", "mi_http", "mi_json", "mi_xmlrpc_ng"];
        let setup = modules.into_iter().fold(Setup::unix(), Setup::module);
        let setup = setup.param_of("mi_xmlrpc", "port", &own.port().to_string());
        let server = setup.param_of("httpd", "port", &shared.port().to_string()).start();
        // It answers while its last process is not forked yet.
        wait_for("all processes", || server.ps().iter().all(|process| process.pid > 0).then_some(()));
        Self { server, own, shared }
    }

    /// The address of mi_xmlrpc.
    fn older(&self) -> String {
        format!("http://{}/RPC2", self.own)
    }

    /// The address of mi_xmlrpc_ng.
    fn newer(&self) -> String {
        format!("http://{}/RPC2", self.shared)
    }

    /// The nodes of a classic reply, by the datagram socket.
    #[track_caller]
    fn nodes(&self, command: &str) -> String {
        let reply = String::from_utf8(self.server.ask(format!(":{command}:\n").as_bytes())).unwrap();
        reply.strip_prefix("200 OK\n").unwrap_or_else(|| panic!("{command}: {reply}")).to_owned()
    }
}

/// A client that is told of no proxy for this machine and reads no settings of whoever runs the tests.
fn client(program: &str, home: &Folder) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home.path()).env("HOME", home.path()).env("no_proxy", "127.0.0.1");
    command
}

/// All scalars as text: the clients differ in what they take for a number.
fn as_text(value: &Value) -> Value {
    match value {
        Value::Bool(true) => "1".into(),
        Value::Bool(false) => "0".into(),
        Value::Number(number) => number.to_string().into(),
        Value::Array(items) => items.iter().map(as_text).collect(),
        Value::Object(items) => items.iter().map(|(name, item)| (name.clone(), as_text(item))).collect(),
        other => other.clone(),
    }
}

fn value(value: impl Into<Value>) -> Value {
    json!({ "value": value.into() })
}

fn fault(code: i32, reason: &str) -> Value {
    json!({ "fault": [code, reason] })
}

/// Values on their way into the cache and out of it.
fn values(url: &str) -> Vec<(Value, Value)> {
    let long = "0123456789".repeat(6_000);
    let all = [
        (json!(TEXT), TEXT),
        (json!({ "base64": LINES }), LINES),
        (json!("two  words "), "two  words "),
        (json!(long), &long),
        (json!(i32::MIN), "-2147483648"),
        (json!(true), "1"),
        (json!(1.5), "1.500000"),
    ];
    let store = |given| json!({"url": url, "method": "cache_store", "params": ["local", "key", given]});
    let fetch = json!({"url": url, "method": "cache_fetch", "params": ["local", "key"]});
    all.into_iter()
        .flat_map(|(given, found)| {
            [(store(given), value("")), (fetch.clone(), value(format!("key = [{found}]\n")))]
        })
        .collect()
}

/// Calls, and what they give.
fn table(doors: &Doors) -> Vec<(Value, Value)> {
    let (older, newer) = (doors.older(), doors.newer());
    let call = |method: &str, params: Value| json!({"url": older, "method": method, "params": params});
    let tree = |method: &str, params: Value| json!({"url": newer, "method": method, "params": params});
    let unknown = fault(-506, "Requested command (nope) is not available!");
    let process = |found: Process| {
        let Process { id, pid, kind } = found;
        json!({"attributes": {"ID": id, "PID": pid, "Type": kind}})
    };
    let processes: Vec<Value> = doors.server.ps().into_iter().map(process).collect();
    let help = format!("Help:: {HELP}\nExported by:: core\n");
    let mut table = vec![
        (call("ps", json!([])), value(doors.nodes("ps"))),
        (call("which", json!([])), value(doors.nodes("which"))),
        (call("help", json!(["ps"])), value(help.as_str())),
        (call("debug", json!([2])), value("DEBUG:: 2\n")),
        (call("debug", json!(["3"])), value("DEBUG:: 3\n")),
        (call("nope", json!([])), unknown.clone()),
        (call("cache_fetch", json!(["local"])), fault(404, "Too few arguments")),
        (call("cache_store", json!(["local", "key", ""])), fault(404, "Empty value argument")),
        (call("get_statistics", json!(["nosuch"])), fault(404, "Statistics Not Found")),
        (call("help", json!([["ps"]])), fault(-501, "Unsupported value of type 6 supplied")),
        (call("help", json!([{"name": "ps"}])), fault(-501, "Unsupported value of type 7 supplied")),
        (call("system.methodHelp", json!(["ps"])), value(HELP)),
        (call("system.methodHelp", json!(["nope"])), unknown.clone()),
        (call("system.methodSignature", json!(["debug"])), value(json!([["string"], ["string", "string"]]))),
        (call("system.methodExist", json!(["ul_dump"])), value(true)),
        (call("system.methodExist", json!(["nope"])), value(false)),
        (
            json!({"url": older, "several": [
                {"method": "help", "params": ["ps"]},
                {"method": "nope", "params": []},
                {"method": "system.multicall", "params": [[]]},
                {"method": "debug", "params": []},
            ]}),
            json!({"several": [
                value(help.as_str()),
                unknown,
                fault(-507, "Recursive system.multicall forbidden"),
                value("DEBUG:: 3\n"),
            ]}),
        ),
        (tree("ps", json!([])), value(json!({ "Process": processes }))),
        (tree("help", json!(["ps"])), value(json!({"Help": HELP, "Exported by": "core"}))),
        (tree("nope", json!([])), fault(405, "Command not available")),
    ];
    table.extend(values(&older));
    table
}

/// Holds a client to the table.
fn calls(program: &str, needs: &[&str], script: &str) {
    let test = format!("{script} calls by XML-RPC");
    let home = Folder::new();
    if !exists(program) || !run(client(program, &home).args(needs), b"").status.success() {
        return skip(&test, &format!("no {program}, or not with {needs:?}; see tests/clients/debian.sh"));
    }
    let doors = Doors::start();
    let mut table = table(&doors);
    let elsewhere = format!("http://{}/nowhere", doors.own);
    let list = json!({"url": doors.older(), "method": "system.listMethods", "params": []});
    let refused = json!({"url": elsewhere, "method": "ps", "params": []});
    let mut requests: Vec<Value> = table.iter_mut().map(|(call, _)| call.take()).collect();
    requests.extend([list, refused]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let input = serde_json::to_vec(&requests).unwrap();
    let outcome = run(client(program, &home).arg(path), &input);
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{script}: {outcome:#?}");
    let found: Vec<Value> = serde_json::from_str(&outcome.stdout).expect("a list of outcomes");
    assert_eq!(found.len(), requests.len(), "{script}");
    for ((request, (_, wanted)), found) in requests.iter().zip(&table).zip(&found) {
        assert_eq!(as_text(found), as_text(wanted), "{script}: {request}");
    }
    let [list, refused] = &found[table.len()..] else { panic!("{found:?}") };
    let listed: Vec<&str> = list["value"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let (own, commands): (Vec<&str>, Vec<&str>) =
        listed.into_iter().partition(|name| name.starts_with("system."));
    assert_eq!(commands, doors.nodes("which").lines().collect::<Vec<_>>(), "{script}");
    assert!(own.contains(&"system.multicall") && own.len() == 6, "{script}: {own:?}");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("404")), "{script}: {refused}");
    doors.server.stop_clean(&[]);
}

#[test]
fn python_calls_by_xmlrpc_client() {
    calls("python3", &["-c", "import xmlrpc.client"], "xml_rpc.py");
}

#[test]
fn perl_calls_by_frontier_client() {
    calls("perl", &["-MFrontier::Client", "-MJSON::PP", "-e", "1"], "xml_rpc.pl");
}

#[test]
fn ruby_calls_by_xmlrpc_client() {
    calls("ruby", &["-rxmlrpc/client", "-e", "1"], "xml_rpc.rb");
}

/// The line of the documents.
#[test]
fn python_needs_one_line() {
    let home = Folder::new();
    if !exists("python3") {
        return skip("python_needs_one_line", "no python3");
    }
    let doors = Doors::start();
    let line = format!("print(ServerProxy('{}').ps(), end='')", doors.older());
    let line = format!("from xmlrpc.client import ServerProxy; {line}");
    let outcome = run(client("python3", &home).args(["-c", &line]), b"");
    assert_eq!((outcome.stdout, outcome.stderr), (doors.nodes("ps"), String::new()));
    doors.server.stop_clean(&[]);
}

/// The programs of xmlrpc-c that ask a server what it can do: one in C++, one in Perl.
#[test]
fn xmlrpc_c_reads_what_methods_there_are() {
    let home = Folder::new();
    if !exists("xml-rpc-api2cpp") {
        return skip("xmlrpc_c_reads_what_methods_there_are", "no xmlrpc-api-utils");
    }
    let doors = Doors::start();
    for url in [doors.older(), doors.newer()] {
        let outcome = run(client("xml-rpc-api2cpp", &home).args([&url, "system", "Proxy"]), b"");
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:#?}");
        for line in [
            "XmlRpcValue /*array*/ listMethods ();",
            "bool methodExist (std::string const string1);",
            "std::string methodHelp (std::string const string1);",
            "XmlRpcValue /*array*/ methodSignature (std::string const string1);",
            "XmlRpcValue /*struct*/ getCapabilities ();",
            "XmlRpcValue /*array*/ multicall (XmlRpcValue /*array*/ array1);",
        ] {
            assert_eq!(outcome.stdout.matches(&format!("    {line}\n")).count(), 1, "{line}: {outcome:#?}");
        }
    }
    let elsewhere = format!("http://{}/nowhere", doors.own);
    let refused = run(client("xml-rpc-api2cpp", &home).args([&elsewhere, "system", "Proxy"]), b"");
    assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(1), ""), "{refused:#?}");
    assert!(refused.stderr.contains("404"), "{refused:#?}");
    let outcome = run(client("xml-rpc-api2txt", &home).arg(doors.older()), b"");
    assert!(outcome.status.success(), "{outcome:#?}");
    assert!(outcome.stdout.contains(&format!("string ps ()\n\n  {HELP}\n")), "{}", outcome.stdout);
    for command in doors.nodes("which").lines() {
        assert!(outcome.stdout.contains(&format!(" {command} (")), "{command}: {}", outcome.stdout);
    }
    doors.server.stop_clean(&[]);
}

/// curl, and where it keeps what it sends.
struct Curl {
    doors: Doors,
    home: Folder,
}

/// What curl says of each transfer: status, type, new connections, version of HTTP.
const REPORT: &str = "|%{http_code} %{content_type} %{num_connects} %{http_version}\n";

const PWD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"pwd"}"#;
const CALL: &str = "<?xml version='1.0'?><methodCall><methodName>pwd</methodName></methodCall>";
const JSON: &str = "Content-Type: application/json";
const XML: &str = "Content-Type: text/xml";

impl Curl {
    /// `None`, said aloud, when there is none on this machine.
    fn new(test: &str) -> Option<Self> {
        if !exists("curl") {
            skip(test, "no curl");
            return None;
        }
        Some(Self { doors: Doors::start(), home: Folder::new() })
    }

    #[track_caller]
    fn run(&self, args: &[&str], input: &str) -> Outcome {
        // `-q` comes first: no settings are read.
        let mut command = client("curl", &self.home);
        command.args(["-q", "-sS", "--max-time", "30"]).args(args);
        run(&mut command, input.as_bytes())
    }

    /// What comes of a transfer that works, with the report behind.
    #[track_caller]
    fn shows(&self, args: &[&str], input: &str) -> String {
        let outcome = self.run(&[&["-w", REPORT], args].concat(), input);
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{args:?}: {outcome:#?}");
        outcome.stdout
    }

    /// The doors in turn: address, type, request, type of the reply, and what the reply has in it. mi_json is asked by
    /// GET.
    fn doors(&self) -> [(String, &'static str, &'static str, &'static str, &'static str); 4] {
        let Doors { shared, .. } = self.doors;
        let xml = "text/xml; charset=utf-8";
        [
            (self.doors.older(), XML, CALL, xml, "<param><value><string>WD:: "),
            (self.doors.newer(), XML, CALL, xml, "<member><name>WD</name>"),
            (format!("http://{shared}/mi"), JSON, PWD, "application/json", r#""result":{"WD":""#),
            (format!("http://{shared}/json/pwd"), JSON, "", "application/json", r#"{"WD": ""#),
        ]
    }
}

#[test]
fn curl_asks_at_every_door() {
    let Some(curl) = Curl::new("curl_asks_at_every_door") else { return };
    for (url, kind, body, reply, text) in curl.doors() {
        let asks: &[&str] =
            if body.is_empty() { &[&url] } else { &["-H", kind, "--data-binary", body, &url] };
        let first = curl.shows(asks, "");
        assert!(first.contains(text), "{url}: {first}");
        let end = format!("|200 {reply} 1 1.1\n");
        let body = first.strip_suffix(&end).unwrap_or_else(|| panic!("{url}: {first}"));
        // As clients of the nineties ask, and as scripts do that ask several times.
        let old = curl.shows(&[&["--http1.0"], asks].concat(), "");
        assert_eq!(old, format!("{body}|200 {reply} 1 1.1\n"), "{url}");
        let thrice = curl.shows(&[asks, &[&url, &url]].concat(), "");
        let again = format!("{body}|200 {reply} 0 1.1\n");
        assert_eq!(thrice, format!("{first}{again}{again}"), "{url}: one connection");
        let packed = curl.shows(&[&["--compressed"], asks].concat(), "");
        assert_eq!(packed, first, "{url}: a reply that may be compressed and is not");
    }
    curl.doors.server.stop_clean(&[]);
}

#[test]
fn curl_sends_bodies_in_every_way() {
    let Some(curl) = Curl::new("curl_sends_bodies_in_every_way") else { return };
    for (url, kind, body, reply, text) in curl.doors().into_iter().filter(|door| !door.2.is_empty()) {
        let asks = |more: &[&str]| {
            let sent = curl.shows(&[&["-H", kind], more, &["--data-binary", "@-", &url]].concat(), body);
            assert!(
                sent.contains(text) && sent.ends_with(&format!("|200 {reply} 1 1.1\n")),
                "{more:?} {sent}"
            );
        };
        asks(&[]);
        asks(&["-H", "Transfer-Encoding: chunked"]);
        asks(&["-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"]);
        let expects = ["-v", "-H", kind, "-H", "Expect: 100-continue", "--data-binary", body, &url];
        let outcome = curl.run(&expects, "");
        let heads: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("< HTTP/")).collect();
        assert_eq!(heads, ["< HTTP/1.1 100 Continue", "< HTTP/1.1 200 OK"], "{outcome:#?}");
        assert!(outcome.stdout.contains(text), "{outcome:#?}");
        // curl expects the 100 by itself for a body of more than a megabyte, and would wait a second for it.
        let long = " ".repeat((1 << 20) + 1);
        let sent = curl.shows(&["-H", kind, "--data-binary", "@-", &url], &long);
        assert!(sent.contains("|413 text/plain; charset=utf-8 1 1.1\n"), "{sent}");
    }
    curl.doors.server.stop_clean(&[]);
}

#[test]
fn curl_is_told_what_is_wrong() {
    let Some(curl) = Curl::new("curl_is_told_what_is_wrong") else { return };
    let [older, _, mi, json] = curl.doors();
    // Its own type is that of a form.
    for (url, _, body, ..) in [&older, &mi] {
        let shown = curl.shows(&["-d", body, url], "");
        assert!(shown.contains("say Content-Type: ") && shown.contains("|415 "), "{shown}");
        assert!(curl.shows(&[url], "").contains("|405 "));
        let head = curl.run(&["-I", url], "").stdout;
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: POST\r\n"), "{head}");
        let failed = curl.run(&["-f", &format!("{url}nowhere")], "");
        assert_eq!(failed.status.code(), Some(22), "{failed:#?}");
        assert!(failed.stderr.contains("404"), "{failed:#?}");
    }
    let unknown = curl.shows(&[&format!("{}x", json.0)], "");
    let (body, report) = unknown.split_once('|').unwrap();
    let error: Value = serde_json::from_str(body).unwrap();
    assert_eq!(error, json!({"error": {"code": 500, "message": "Command not found"}}));
    assert_eq!(report, "200 application/json 1 1.1\n");
    let parameters = ["-G", "--data-urlencode", "params=local,k,a & b/\u{e9}"];
    let base = json.0.trim_end_matches("pwd");
    assert_eq!(
        curl.shows(&[&parameters[..], &[&format!("{base}cache_store")]].concat(), ""),
        "|200 application/json 1 1.1\n"
    );
    let found = curl.doors.server.ask(b":cache_fetch:\nlocal\nk\n");
    assert_eq!(String::from_utf8(found).unwrap(), "200 OK\nk = [a & b/\u{e9}]\n");
    curl.doors.server.stop_clean(&[]);
}
