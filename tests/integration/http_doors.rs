//! What is served over HTTP, each dialect by a client of its own: mi_xmlrpc, mi_xmlrpc_ng, mi_json.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use serde_json::{Value, json};

use crate::scripted::{exists, run};
use crate::support::{Http, Server, Setup, free_tcp_port, free_udp_port, json_rpc, post, skip, wait_for};

fn localhost() -> SocketAddr {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    (host, free_tcp_port(host)).into()
}

/// A server with all of them: the address of mi_xmlrpc, and that of the others.
fn start(change: impl FnOnce(Setup) -> Setup) -> (Server, SocketAddr, SocketAddr) {
    let (own, shared) = (localhost(), localhost());
    let modules = ["cachedb_local", "usrloc", "mi_xmlrpc", "httpd", "mi_http", "mi_json", "mi_xmlrpc_ng"];
    let setup = modules.into_iter().fold(Setup::unix(), Setup::module);
    let setup = setup.param_of("mi_xmlrpc", "port", &own.port().to_string());
    (change(setup.param_of("httpd", "port", &shared.port().to_string())).start(), own, shared)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// Python's own client: `ps`, several calls at once, faults, text that XML has to escape, methods there are.
const PYTHON: &str = r#"
import sys, xmlrpc.client
from xmlrpc.client import Fault, MultiCall, ServerProxy

def fault(call):
    try:
        call()
    except Fault as found:
        return found.faultCode
    raise AssertionError("no fault")

own = ServerProxy(sys.argv[1])
assert own.ps().startswith("Process::  ID=0 PID="), own.ps()
several = MultiCall(own)
several.help("ps")
several.nope()
several.debug()
results = several()
assert results[0] == "Help:: lists all processes used by OpenSIPS\nExported by:: core\n", results[0]
assert fault(lambda: results[1]) == -506
assert results[2].startswith("DEBUG:: "), results[2]
assert fault(own.nope) == -506
text = "a\nb <&> \" h\u00e9llo \u20ac"
assert own.cache_store("local", "k", text) == ""
assert own.cache_fetch("local", "k") == "k = [" + text + "]\n", own.cache_fetch("local", "k")
methods = own.system.listMethods()
assert {"ps", "which", "ul_dump", "system.multicall"} <= set(methods), methods
assert "processes" in own.system.methodHelp("ps")
for number in range(2000):
    own.ul_add("location", "user%d" % number, "sip:u%d@10.0.0.1" % number, "3600", "1", "0", "0", "0", "0")
assert own.ul_dump().count("Contact:: ") == 2000

newer = ServerProxy(sys.argv[2])
assert newer.ps()["Process"][0]["attributes"]["Type"] == "attendant", newer.ps()
assert len(newer.ul_dump()["Domain"][0]["kids"]["AOR"]) == 2000
fault(newer.nope)
print("done")
"#;

#[test]
fn python_calls_by_xml_rpc() {
    if !exists("python3") {
        return skip("python_calls_by_xml_rpc", "no python3");
    }
    let (server, own, shared) = start(|setup| setup);
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON, &format!("http://{own}/RPC2"), &format!("http://{shared}/RPC2")]);
    let outcome = run(&mut command, b"");
    assert_eq!(outcome.stdout, "done\n", "{outcome:#?}");
    server.stop_clean(&[]);
}

#[test]
fn each_door_has_a_path_and_a_syntax_of_its_own() {
    let (server, own, shared) = start(|setup| setup.param_of("mi_json", "mi_json_root", "\"js\""));
    let mut http = Http::connect(shared);
    assert_eq!(http.ask(&json_rpc("pwd", "[]")).status, 200);
    let reply = http.ask(&get("/js/help?params=ps"));
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Some("application/json")));
    let value: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(value, json!({"Help": "lists all processes used by OpenSIPS", "Exported by": "core"}));
    let reply = http.ask(&get("/js/nope"));
    let value: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &value["error"]["code"]), (200, &json!(500)));
    let reply = http.ask(&post("/js/ps", "application/json", b"{}"));
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET")));
    let reply = http.ask(&post("/js/ps", "application/x-www-form-urlencoded", b"a=b"));
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET")));

    let call = b"<?xml version='1.0'?><methodCall><methodName>pwd</methodName></methodCall>";
    let mut xml = Http::connect(own);
    for (http, text) in [(&mut http, "<name>WD</name>"), (&mut xml, "<string>WD:: /")] {
        let reply = http.ask(&post("/RPC2", "text/xml", call));
        assert_eq!((reply.status, reply.header("Content-Type")), (200, Some("text/xml; charset=utf-8")));
        assert!(reply.text().contains(text), "{}", reply.text());
        let reply = http.ask(&get("/RPC2"));
        assert_eq!((reply.status, reply.header("Allow")), (405, Some("POST")));
        let reply = http.ask(&post("/RPC2", "application/x-www-form-urlencoded", call));
        assert_eq!(reply.status, 415);
        assert!(reply.text().contains("text/xml"), "{}", reply.text());
    }
    assert_eq!(xml.ask(&json_rpc("pwd", "[]")).status, 404);
    let listed = server.ps();
    assert!(listed.iter().any(|process| process.kind == "MI XMLRPC"), "{listed:?}");
    server.stop_clean(&[]);
}

/// A browser's page may not send commands, least of all by an address of a picture.
#[test]
fn a_page_of_another_site_runs_nothing() {
    let (server, _, shared) = start(|setup| setup);
    let mut http = Http::connect(shared);
    for header in ["Origin: http://example.net", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"] {
        let request =
            format!("GET /json/cache_store?params=local,k,v HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n");
        assert_eq!(http.ask(request.as_bytes()).status, 403, "{header}");
    }
    // A page whose own name leads here: its browser says nothing of another site.
    for (host, status) in [("Host: example.net\r\n", 403), ("Host: 0.0.0.0\r\n", 403), ("", 400)] {
        let request = format!("GET /json/cache_store?params=local,k,v HTTP/1.1\r\n{host}\r\n");
        assert_eq!(http.ask(request.as_bytes()).status, status, "{host}");
    }
    let reply = http.ask(&get("/json/cache_fetch?params=local,k"));
    assert!(reply.text().contains("Value not found"), "{}", reply.text());
    server.stop_clean(&[]);
}

/// As opensips-cp up to 6.0 asks by PHP's fsockopen: lines end without a CR, and a line follows the body. It looks for
/// `HTTP/1.1`, cuts at the first empty line, and reads to the end of the connection.
#[test]
fn opensips_cp_is_answered_as_by_opensips() {
    let (server, own, shared) = start(|setup| setup);
    let call = "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<methodCall>\n<methodName>ps</methodName>\n\
                <params/>\n</methodCall>\n";
    for (address, wanted) in [(own, "<string>Process::  ID=0 PID="), (shared, "<name>Process</name>")] {
        let mut http = Http::connect(address);
        let length = call.len();
        let head = format!(
            "POST /RPC2 HTTP/1.0\nUser_Agent: opensips-cp\nHost: 127.0.0.1\nContent-Type: text/xml\n\
             Content-Length: {length}\n\n{call}\n"
        );
        http.send(head.as_bytes());
        let reply = String::from_utf8(http.rest().unwrap()).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nConnection: close"), "{head}");
        assert!(body.contains(wanted), "{body}");
    }
    server.stop_clean(&[]);
}

/// Other names may be those of web pages that have them lead to this machine.
#[test]
fn on_loopback_the_names_of_the_machine_and_of_the_settings_are_known() {
    let own_name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let (server, own, shared) = start(|setup| {
        let setup = setup.param_of("httpd", "host_names", "\"pbx.example.net, mi\"");
        setup.param_of("mi_xmlrpc", "host_names", "\"pbx.example.net\"")
    });
    let ask = |address, request: &str, host: &str| {
        let request = format!("{request} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let reply = Http::connect(address).ask(request.as_bytes());
        (reply.status, reply.text())
    };
    for host in [&own_name, "pbx.example.net", "PBX.example.net.:8888", "mi"] {
        assert_eq!(ask(shared, "GET /json/pwd", host).0, 200, "{host}");
    }
    assert_eq!(ask(own, "POST /RPC2", "pbx.example.net").0, 200);
    for (address, request, host, module) in [
        (shared, "GET /json/pwd", "example.net", "httpd"),
        (shared, "GET /json/pwd", "x.pbx.example.net", "httpd"),
        (own, "POST /RPC2", "mi", "mi_xmlrpc"),
    ] {
        let (status, reason) = ask(address, request, host);
        assert_eq!(status, 403, "{host}");
        assert!(reason.contains(&format!("the parameter host_names of {module}")), "{reason}");
    }
    server.stop_clean(&[]);
    let setup = Setup::unix().module("httpd").param_of("httpd", "host_names", "\"mi:80\"");
    setup.refuse().assert_refused("a port", &["host_names", "mi:80", "without port"]);
}

/// The server warns once for each listener that other machines can reach.
#[test]
fn a_listener_that_other_machines_can_reach_is_warned_of() {
    let told = |server: &Server, module: &str| {
        let stderr = server.stderr();
        let warning = format!("WARNING:{module}: anyone who can reach ");
        stderr.lines().filter(|line| line.contains(&warning) && line.contains("kill")).count()
    };
    let (server, _, _) = start(|setup| {
        let setup = setup.param_of("httpd", "ip", "\"0.0.0.0\"").param_of("httpd", "children_count", "2");
        setup.param_of("mi_xmlrpc", "ip", "\"0.0.0.0\"")
    });
    assert_eq!((told(&server, "httpd"), told(&server, "mi_xmlrpc")), (1, 1), "{}", server.stderr());
    server.stop_clean(&[]);
    let (server, _, _) = start(|setup| setup);
    assert_eq!((told(&server, "httpd"), told(&server, "mi_xmlrpc")), (0, 0), "{}", server.stderr());
    server.stop_clean(&[]);
    for (host, count) in [("0.0.0.0", 1), ("127.0.0.1", 0)] {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = free_udp_port(local);
        let server = Setup::udp(&format!("udp:{host}:{port}"), (local, port).into()).start();
        assert_eq!(told(&server, "mi_datagram"), count, "{}", server.stderr());
        server.stop_clean(&[]);
    }
}

#[test]
fn a_log_file_in_a_folder_that_is_missing_is_told_of() {
    let setup = Setup::unix().module("mi_xmlrpc");
    let path = setup.folder.join("no/log");
    let setup = setup.param_of("mi_xmlrpc", "log_file", &format!("\"{}\"", path.display()));
    let advice = format!("make the folder {} first", path.parent().unwrap().display());
    setup.refuse().assert_refused("a log file", &["log_file", "no/log", &advice]);
}

#[test]
fn two_modules_at_one_path_are_refused() {
    let setup = Setup::unix().module("httpd").module("mi_http").module("mi_json");
    let outcome = setup.param_of("mi_json", "mi_json_root", "\"mi\"").refuse();
    outcome.assert_refused("one path", &["opensips.cfg:", "mi_json_root", "mi_http", "choose another"]);
    let setup = Setup::unix().module("mi_xmlrpc").param_of("mi_xmlrpc", "port", "80");
    setup.refuse().assert_refused("a low port", &["port", "from 1025 to 65535"]);
}

#[test]
fn the_log_file_has_a_line_for_each_request_and_may_be_moved() {
    let (server, own, _) = start(|setup| {
        let path = setup.folder.join("access.log");
        setup.param_of("mi_xmlrpc", "log_file", &format!("\"{}\"", path.display()))
    });
    let log = server.setup.folder.join("access.log");
    let call = b"<methodCall><methodName>pwd</methodName></methodCall>";
    let length = Http::connect(own).ask(&post("/RPC2", "text/xml", call)).body.len();
    assert_eq!(Http::connect(own).ask(&get("/nope")).status, 404);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("127.0.0.1 - - [")), "{text}");
    assert!(lines[0].ends_with(&format!("] \"POST /RPC2 HTTP/1.1\" 200 {length}")), "{text}");
    assert!(lines[1].contains("] \"GET /nope HTTP/1.1\" 404 "), "{text}");
    fs::rename(&log, server.setup.folder.join("access.log.1")).unwrap();
    wait_for("a line in the new file", || {
        assert_eq!(Http::connect(own).ask(&get("/nope")).status, 404);
        fs::read_to_string(&log).ok().filter(|text| text.contains("/nope"))
    });
    server.stop_clean(&[]);
}

/// Who has a connection, or is in the middle of a reply, does not notice.
#[test]
fn moving_the_log_file_cuts_nothing() {
    let (server, own, _) = start(|setup| {
        let path = setup.folder.join("access.log");
        setup.param_of("mi_xmlrpc", "log_file", &format!("\"{}\"", path.display()))
    });
    let log = server.setup.folder.join("access.log");
    let call = |name: &str, values: &[String]| {
        let values: String = values.iter().map(|it| format!("<param><value>{it}</value></param>")).collect();
        let body =
            format!("<methodCall><methodName>{name}</methodName><params>{values}</params></methodCall>");
        post("/RPC2", "text/xml", body.as_bytes())
    };
    let mut kept = Http::connect(own);
    for number in 0..5000 {
        let values = [
            "location",
            &format!("user{number}"),
            "sip:u@10.0.0.1:5060;some=parameter;another=parameter",
            "3600",
            "1",
            "0",
            "0",
            "0",
            "0",
        ];
        assert_eq!(kept.ask(&call("ul_add", &values.map(String::from))).status, 200);
    }
    let pid = |server: &Server| {
        server.ps().into_iter().find(|process| process.kind == "MI XMLRPC").expect("a worker").pid
    };
    let before = pid(&server);
    let mut reading = Http::connect(own);
    reading.send(&call("ul_dump", &[]));
    assert!(reading.some(1000).unwrap() > 0);
    for number in 1..=2 {
        fs::rename(&log, server.setup.folder.join(&format!("access.log.{number}"))).unwrap();
        wait_for("a line in the new file", || {
            assert_eq!(kept.ask(&call("pwd", &[])).status, 200);
            fs::read_to_string(&log).ok().filter(|text| text.contains("POST /RPC2"))
        });
    }
    let reply = reading.reply().unwrap();
    assert_eq!((reply.status, reply.text().matches("Contact:: ").count()), (200, 5000));
    assert_eq!(pid(&server), before, "the worker was replaced");
    server.stop_clean(&[]);
}
