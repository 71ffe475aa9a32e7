//! The clients of OpenSIPS 3.x: opensips-cli and opensips-mi, over JSON-RPC by a FIFO, a UNIX socket, UDP and HTTP.
//!
//! tests/clients/setup.sh installs them; where it cannot, these tests say that they are skipped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::scripted::run;
use crate::support::{
    Endpoint, Outcome, Server, Setup, assert_same, free_tcp_port, free_udp_port, python_clients,
};

/// Which way a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Fifo,
    Unix,
    Udp,
    Http,
}

impl Way {
    fn is_datagram(self) -> bool {
        matches!(self, Way::Unix | Way::Udp)
    }
}

const WAYS: [Way; 4] = [Way::Fifo, Way::Unix, Way::Udp, Way::Http];

/// What opensips-cli shows before it reads a line.
const PROMPT: &str = "(opensips-cli): ";

/// A server, and the clients with a home of their own, which is the server's folder.
struct Clients {
    bin: &'static Path,
    server: Server,
    http: SocketAddr,
}

impl Clients {
    /// `None`, said aloud, when there are none on this machine.
    fn new(test: &str, way: Way) -> Option<Self> {
        let bin = python_clients(test)?;
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let http = SocketAddr::new(ip, free_tcp_port(ip));
        let setup = if way == Way::Udp {
            let address = SocketAddr::new(ip, free_udp_port(ip));
            Setup::udp(&format!("udp:{address}"), address)
        } else {
            Setup::unix()
        };
        let setup = setup.fifo().module("cachedb_local").module("usrloc").module("httpd").module("mi_http");
        let server = setup.param_of("httpd", "port", &http.port().to_string()).start();
        Some(Self { bin, server, http })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        let home = self.server.setup.folder.path();
        command.current_dir(home).env("HOME", home).env("PYTHONUTF8", "1").env("no_proxy", "127.0.0.1");
        command
    }

    /// opensips-cli on a way, before its own arguments.
    fn cli(&self, way: Way) -> Command {
        let Setup { endpoint, folder, .. } = &self.server.setup;
        let mut options = match (way, endpoint) {
            (Way::Fifo, _) => vec![
                "communication_type=fifo".to_owned(),
                format!("fifo_file={}", self.server.setup.fifo_path().display()),
                format!("fifo_reply_dir={}", folder.path().display()),
            ],
            (Way::Http, _) => {
                vec!["communication_type=http".to_owned(), format!("url=http://{}/mi", self.http)]
            }
            (_, Endpoint::Unix(path)) => vec![format!("datagram_unix_socket={}", path.display())],
            (_, Endpoint::Udp(address)) => {
                vec![format!("datagram_ip={}", address.ip()), format!("datagram_port={}", address.port())]
            }
        };
        if way.is_datagram() {
            options.extend(["communication_type=datagram".to_owned(), "datagram_timeout=10".to_owned()]);
        }
        let mut command = self.program("opensips-cli");
        options.iter().for_each(|option| _ = command.args(["-o", option]));
        command
    }

    /// One command of opensips-cli.
    #[track_caller]
    fn execute(&self, way: Way, args: &[&str]) -> Outcome {
        run(self.cli(way).args(["-x", "mi"]).args(args), b"")
    }

    /// What a command shows that must work.
    #[track_caller]
    fn shows(&self, way: Way, args: &[&str]) -> String {
        worked(args, self.execute(way, args))
    }

    /// Lines for opensips-cli, and what it shows for each; what it says of errors comes last.
    #[track_caller]
    fn talk(&self, way: Way, lines: &[&str]) -> (Vec<String>, String) {
        let input = format!("{}\nexit\n", lines.join("\n"));
        let outcome = run(&mut self.cli(way), input.as_bytes());
        let shown: Vec<String> = outcome.stdout.split(PROMPT).skip(1).map(str::to_owned).collect();
        assert_eq!(shown.len(), lines.len() + 1, "an answer for each line, and one for exit: {outcome:#?}");
        (shown, outcome.stderr)
    }

    /// opensips-mi on a way.
    #[track_caller]
    fn mi(&self, way: Way, args: &[&str]) -> Outcome {
        let Setup { endpoint, folder, .. } = &self.server.setup;
        let mut command = self.program("opensips-mi");
        match (way, endpoint) {
            (Way::Fifo, _) => {
                command.args(["-t", "fifo", "-f"]).arg(self.server.setup.fifo_path());
                command.arg("-fd").arg(folder.path())
            }
            (Way::Http, _) => {
                let (ip, port) = (self.http.ip().to_string(), self.http.port().to_string());
                command.args(["-t", "http", "-i", &ip, "-p", &port])
            }
            (_, Endpoint::Unix(path)) => command.args(["-t", "datagram", "-ds"]).arg(path),
            (_, Endpoint::Udp(address)) => command.args(["-t", "datagram", "-i"]).args([
                &address.ip().to_string(),
                "-p",
                &address.port().to_string(),
            ]),
        };
        run(command.args(["-dt", "10", "-db", "65535"]).args(args), b"")
    }

    /// The result of a request that is sent without these clients, by the datagram socket.
    #[track_caller]
    fn result(&self, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let reply = self.server.ask(request.to_string().as_bytes());
        let mut reply: Value = serde_json::from_slice(&reply).unwrap();
        assert!(reply["error"].is_null(), "{request}: {reply}");
        reply["result"].take()
    }
}

#[track_caller]
fn worked(args: &[&str], outcome: Outcome) -> String {
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{args:?}: {outcome:#?}");
    outcome.stdout
}

#[track_caller]
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Numbers and times that differ from one moment to the next, each as one word.
fn settled(value: &Value) -> Value {
    match value {
        Value::Number(_) => "number".into(),
        Value::String(text) if text.contains("[sec]") || text.contains(':') => "time".into(),
        Value::Array(items) => items.iter().map(settled).collect(),
        Value::Object(items) => items.iter().map(|(name, item)| (name.clone(), settled(item))).collect(),
        other => other.clone(),
    }
}

/// What is typed, and the request that it stands for.
fn commands() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("ps", "ps", json!([])),
        ("which", "which", json!([])),
        ("which command=log_level", "which", json!(["log_level"])),
        ("uptime", "uptime", json!([])),
        ("version", "version", json!([])),
        ("pwd", "pwd", json!([])),
        ("arg", "arg", json!([])),
        ("help", "help", json!([])),
        ("help ps", "help", json!(["ps"])),
        ("log_level", "log_level", json!([])),
        ("log_level 2", "log_level", json!(["2"])),
        ("log_level level=3", "log_level", json!({"level": "3"})),
        ("get_statistics core: shmem:", "get_statistics", json!([["core:", "shmem:"]])),
        ("get_statistics statistics=net:", "get_statistics", json!([["net:"]])),
        ("get_statistics nosuch", "get_statistics", json!([["nosuch"]])),
        ("-j get_statistics '[\"rcv_requests\"]'", "get_statistics", json!([["rcv_requests"]])),
        ("list_statistics core:", "list_statistics", json!([["core:"]])),
        ("reset_statistics drop_requests", "reset_statistics", json!([["drop_requests"]])),
        ("cache_store local key 'two  words'", "cache_store", json!(["local", "key", "two  words"])),
        ("cache_fetch system=local attr=key", "cache_fetch", json!(["local", "key"])),
        ("events_list", "events_list", json!([])),
        (
            "ul_add location alice sip:alice@192.0.2.1 0 1 0 0 0",
            "ul_add",
            json!(["location", "alice", "sip:alice@192.0.2.1", 0, "1", 0, 0, 0]),
        ),
        ("ul_show_contact location alice", "ul_show_contact", json!(["location", "alice"])),
        ("ul_dump", "ul_dump", json!([])),
    ]
}

/// What is typed, and what is wrong with it.
const REFUSED: &[(&str, &str)] = &[
    ("cache_fetch local nothing", "400: Value not found"),
    ("ul_show_contact location nobody", "404: AOR not found"),
    ("log_level 1 2 3 4", "-32602: Invalid params (Too few or too many parameters)"),
    ("nope", "no command 'nope' in module 'mi'"),
];

/// Types all of [`commands`] and [`REFUSED`] on one way.
fn types_commands(way: Way) {
    let Some(clients) = Clients::new(&format!("opensips_cli by {way:?}"), way) else { return };
    let commands = commands();
    let lines: Vec<String> = commands
        .iter()
        .map(|command| command.0)
        .chain(REFUSED.iter().map(|refused| refused.0))
        .map(|line| format!("mi {line}"))
        .collect();
    let (shown, errors) = clients.talk(way, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    for ((line, method, params), shown) in commands.iter().zip(&shown) {
        let (shown, wanted) = (read(shown), clients.result(method, params));
        assert_eq!(settled(&shown), settled(&wanted), "{way:?} {line}");
    }
    assert!(shown[commands.len()..].iter().all(|shown| shown.trim().is_empty()), "{shown:?}");
    let errors: Vec<&str> = errors.lines().collect();
    assert_eq!(errors.len(), REFUSED.len(), "{errors:#?}");
    for (error, (line, reason)) in errors.iter().zip(REFUSED) {
        assert!(error.ends_with(reason), "{way:?} {line}: {error}");
    }
    clients.server.stop_clean(&[]);
}

#[test]
fn opensips_cli_talks_by_a_fifo() {
    types_commands(Way::Fifo);
}

#[test]
fn opensips_cli_talks_by_a_unix_socket() {
    types_commands(Way::Unix);
}

#[test]
fn opensips_cli_talks_by_udp() {
    types_commands(Way::Udp);
}

#[test]
fn opensips_cli_talks_by_http() {
    types_commands(Way::Http);
}

/// A run for each command, with its exit status; names and values in UTF-8.
#[test]
fn opensips_cli_runs_single_commands() {
    for way in WAYS {
        let Some(clients) = Clients::new("opensips_cli_runs_single_commands", way) else { return };
        assert_eq!(clients.shows(way, &["cache_store", "local", "ключ", "знач 😀\u{1}"]), "\"OK\"\n");
        let found = read(&clients.shows(way, &["cache_fetch", "local", "ключ"]));
        assert_eq!(found, json!({"key": "ключ", "value": "знач 😀\u{1}"}), "{way:?}");
        let text = clients.server.ask(":cache_fetch:\nlocal\nключ\n".as_bytes());
        assert_same("the text protocol", "200 OK\nключ = [знач 😀\u{1}]\n".as_bytes(), &text);

        let found = read(&clients.shows(way, &["--", "-j", "get_statistics", "[\"drop_requests\"]"]));
        assert_eq!(found, json!({"core:drop_requests": 0}), "{way:?}");
        let outcome = clients.execute(way, &["cache_fetch", "local", "nothing"]);
        assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(255), ""), "{outcome:#?}");
        assert!(outcome.stderr.contains("ERROR"), "{outcome:#?}");
        clients.server.stop_clean(&[]);
    }
}

/// Bytes that are no UTF-8 do not break a client.
#[test]
fn opensips_cli_reads_values_of_any_bytes_and_of_60_kilobytes() {
    for way in WAYS {
        let test = "opensips_cli_reads_values_of_any_bytes_and_of_60_kilobytes";
        let Some(clients) = Clients::new(test, way) else { return };
        assert_same(
            "store",
            b"200 OK\n",
            &clients.server.ask(b":cache_store:\nlocal\nraw\n\xff\xfe\xd0\xba\n"),
        );
        let long = "0123456789".repeat(6_000);
        assert_eq!(clients.shows(way, &["cache_store", "local", "long", &long]), "\"OK\"\n");
        let (shown, _) = clients.talk(way, &["mi cache_fetch local raw", "mi cache_fetch local long"]);
        assert_eq!(read(&shown[0]), json!({"key": "raw", "value": "\u{ff}\u{fe}к"}), "{way:?}");
        assert_eq!(read(&shown[1]), json!({"key": "long", "value": long}), "{way:?}");
        let found = worked(&["opensips-mi"], clients.mi(way, &["cache_fetch", "local", "long"]));
        assert_eq!(read(&found), json!({"key": "long", "value": long}), "opensips-mi {way:?}");

        // Its reply is longer than a datagram: JSON has six bytes for each of its bytes.
        let control = "\u{1}".repeat(20_000);
        let request = format!(":cache_store:\nlocal\nlong\n{control}\n");
        assert_same("store", b"200 OK\n", &clients.server.ask(request.as_bytes()));
        let outcome = clients.execute(way, &["cache_fetch", "local", "long"]);
        if !way.is_datagram() {
            assert_eq!(read(&worked(&["long"], outcome))["value"], control);
        } else {
            assert_eq!(outcome.status.code(), Some(255), "{outcome:#?}");
            assert!(outcome.stderr.contains("too large") && outcome.stderr.contains("120"), "{outcome:#?}");
        }
        clients.server.stop_clean(&[]);
    }
}

#[test]
fn opensips_cli_falls_back_to_another_fifo() {
    let Some(clients) = Clients::new("opensips_cli_falls_back_to_another_fifo", Way::Fifo) else { return };
    let (fifo, folder) = (clients.server.setup.fifo_path(), clients.server.setup.folder.path());
    let ask = |fallback: &Path| {
        let mut command = clients.program("opensips-cli");
        command.args(["-x", "-o", "communication_type=fifo", "-o", "fifo_file=/no/such/fifo", "-o"]);
        command.arg(format!("fifo_file_fallback={}", fallback.display()));
        run(command.args(["-o", &format!("fifo_reply_dir={}", folder.display()), "mi", "pwd"]), b"")
    };
    assert_eq!(read(&worked(&["pwd"], ask(&fifo))), clients.result("pwd", &json!([])));
    let refused = ask(Path::new("/no/such/fallback"));
    assert_eq!(refused.status.code(), Some(255), "{refused:#?}");
    assert!(refused.stderr.contains("Is OpenSIPS running?"), "{refused:#?}");
    clients.server.stop_clean(&[]);
}

/// Nobody listens, or another path is served: told on one line, with a status of its own.
#[test]
fn opensips_cli_says_when_nobody_answers_by_http() {
    let test = "opensips_cli_says_when_nobody_answers_by_http";
    let Some(clients) = Clients::new(test, Way::Http) else { return };
    let ask = |address: SocketAddr, path: &str| {
        let mut command = clients.program("opensips-cli");
        let url = format!("url=http://{address}{path}");
        run(command.args(["-x", "-o", "communication_type=http", "-o", &url, "mi", "pwd"]), b"")
    };
    assert_eq!(read(&worked(&["pwd"], ask(clients.http, "/mi"))), clients.result("pwd", &json!([])));
    let nobody = SocketAddr::new(clients.http.ip(), free_tcp_port(clients.http.ip()));
    for (outcome, words) in
        [(ask(nobody, "/mi"), "Is OpenSIPS running?"), (ask(clients.http, "/nowhere"), "Not Found")]
    {
        assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(255), ""), "{outcome:#?}");
        assert!(outcome.stderr.contains(words), "{words}: {outcome:#?}");
    }
    clients.server.stop_clean(&[]);
}

#[test]
fn opensips_mi_runs_commands() {
    for way in WAYS {
        let Some(clients) = Clients::new("opensips_mi_runs_commands", way) else { return };
        let shows = |args: &[&str]| read(&worked(args, clients.mi(way, args)));
        assert_eq!(shows(&["pwd"]), clients.result("pwd", &json!([])), "{way:?}");
        assert_eq!(shows(&["ps"]), clients.result("ps", &json!([])), "{way:?}");
        let net = json!({"net:waiting_udp": 0, "net:waiting_tcp": 0});
        assert_eq!(shows(&["-s", "net:"]), net, "{way:?}");
        assert_eq!(shows(&["get_statistics", "-j", "{\"statistics\":[\"net:\"]}"]), net, "{way:?}");
        assert_eq!(shows(&["cache_store", "local", "ключ", "v"]), json!("OK"), "{way:?}");
        assert_eq!(shows(&["cache_fetch", "local", "ключ"]), json!({"key": "ключ", "value": "v"}), "{way:?}");
        let unknown = clients.mi(way, &["nope"]);
        assert_eq!(unknown.status.code(), Some(1), "{unknown:#?}");
        let said = unknown.stdout + &unknown.stderr;
        assert!(said.contains("-32601: Method not found"), "{way:?}: {said}");
        clients.server.stop_clean(&[]);
    }
}
