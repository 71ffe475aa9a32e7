//! The real osipsconsole by a FIFO, a UNIX socket, UDP and XML-RPC.
//!
//! It belongs to OpenSIPS and is not here: `OPENSIPSCTL_DIR` names a folder with it, as for opensipsctl. It needs Perl
//! with Debian's libdbi-perl and libfrontier-rpc-perl. Without these the tests say that they are skipped.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::scripted::{Running, exists, run};
use crate::support::{DEADLINE, Endpoint, Server, Setup, free_tcp_port, free_udp_port, skip, within};

/// The last of what it says of itself, before the reply.
const GREETING: &str = " loaded\n";

/// The real osipsconsole with a folder of its own, from which it reads `scripts/osipsconsolerc`.
struct Osipsconsole {
    folder: PathBuf,
}

impl Osipsconsole {
    /// `None`, said aloud, when there is none on this machine. `connector` is its way to the server.
    fn new(test: &str, setup: &Setup, connector: &str) -> Option<Self> {
        let Some(source) = std::env::var_os("OPENSIPSCTL_DIR").map(PathBuf::from) else {
            skip(test, "OPENSIPSCTL_DIR does not name a folder with osipsconsole");
            return None;
        };
        let source = source.join("osipsconsole");
        if !source.is_file() {
            skip(test, &format!("no {}", source.display()));
            return None;
        }
        let mut modules = Command::new("perl");
        if !exists("perl")
            || !run(modules.args(["-MDBI", "-MFrontier::RPC2", "-e", "1"]), b"").status.success()
        {
            skip(test, "needs perl, libdbi-perl and libfrontier-rpc-perl");
            return None;
        }
        let folder = setup.folder.path().to_owned();
        fs::create_dir(folder.join("scripts")).unwrap();
        fs::write(
            folder.join("scripts/osipsconsolerc"),
            format!("MI_CONNECTOR={connector}\nSIP_DOMAIN=example.org\n"),
        )
        .unwrap();
        // Its reply FIFO has a fixed name in /tmp: other tests are to have their own.
        let program = String::from_utf8_lossy(&fs::read(source).unwrap()).into_owned();
        assert!(program.contains("\"/tmp/\" . $fifo_reply_file"), "another osipsconsole");
        let own = program.replace("/tmp/", &format!("{}/", folder.display()));
        fs::write(folder.join("osipsconsole"), own).unwrap();
        Some(Self { folder })
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new("perl");
        command.arg(self.folder.join("osipsconsole")).args(args.split(' '));
        command.current_dir(&self.folder).env("HOME", &self.folder);
        // It looks for opensipsunix there.
        let own = Path::new(env!("CARGO_BIN_EXE_opensipsunix")).parent().unwrap().to_owned();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&others))).unwrap();
        command.env("PATH", path);
        command
    }

    /// What it shows behind its greeting.
    #[track_caller]
    fn shows(&self, args: &str) -> String {
        let outcome = run(&mut self.command(args), b"");
        assert!(outcome.status.success(), "{args}: {outcome:#?}");
        let Some((_, shown)) = outcome.stdout.split_once(GREETING) else { panic!("{args}: {outcome:#?}") };
        shown.to_owned()
    }
}

/// The lines of a reply without their ends.
#[track_caller]
fn lines(server: &Server, request: &str) -> Vec<String> {
    let reply = String::from_utf8(server.ask(request.as_bytes())).unwrap();
    reply.lines().map(str::to_owned).collect()
}

/// Lines as Perl prints a list of them: behind each there is a blank.
fn as_list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().join(" ")
}

fn start(setup: Setup) -> Server {
    let server = setup.fifo().module("usrloc").start();
    let added = server.ask(b":ul_add:\nlocation\nalice\nsip:alice@192.0.2.1\n0\n1\n0\n0\n0\n1\n");
    assert_eq!(added, b"200 OK\n");
    server
}

/// What is typed behind the name of the connector where there is a `*`, and the request that it stands for; a third
/// that the connectors by datagram make of it. They put a colon behind each parameter.
const COMMANDS: [(&str, &str, &str); 8] = [
    ("* ps", ":ps:\n", ":ps:\n"),
    ("ps", ":ps:\n", ":ps:\n"),
    ("version", ":version:\n", ":version:\n"),
    ("* get_statistics net:", ":get_statistics:\nnet:\n", ":get_statistics:\nnet::\n"),
    ("* get_statistics net", ":get_statistics:\nnet\n", ":get_statistics:\nnet:\n"),
    ("* which", ":which:\n", ":which:\n"),
    ("* pwd", ":pwd:\n", ":pwd:\n"),
    ("ul show", ":ul_dump:\n", ":ul_dump:\n"),
];

#[test]
fn osipsconsole_asks_by_fifo() {
    let server = start(Setup::unix());
    let connector = format!("FIFO:{}", server.setup.fifo_path().display());
    let Some(console) = Osipsconsole::new("osipsconsole by fifo", &server.setup, &connector) else { return };
    for (typed, request, _) in COMMANDS {
        // The empty line at the end of the reply is shown, too; the first line is not.
        let mut wanted = lines(&server, request)[1..].to_vec();
        wanted.push(String::new());
        assert_eq!(console.shows(&typed.replace('*', "fifo")), as_list(&wanted), "{typed}");
    }
    let mut wanted = lines(&server, ":ul_dump:\n")[1..].to_vec();
    wanted.push(String::new());
    assert_eq!(console.shows("online"), as_list(&wanted) + "-1", "as it prints the status of nothing");
    let monitor = console.shows("monitor");
    assert!(monitor.contains("Server:: ") && monitor.contains("usrloc:location-contacts:: 1\n"), "{monitor}");
    assert!(!console.folder.join("fifo_reply").exists());
    server.stop_clean(&[]);
}

#[test]
fn osipsconsole_asks_by_datagram() {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::new(ip, free_udp_port(ip));
    for setup in [Setup::unix(), Setup::udp(&format!("udp:{address}"), address)] {
        let server = start(setup);
        let (connector, word) = match &server.setup.endpoint {
            Endpoint::Unix(path) => (format!("UNIXSOCK:{}", path.display()), "unixsock"),
            Endpoint::Udp(address) => (format!("UDP:{address}"), "udp"),
        };
        let test = format!("osipsconsole by {word}");
        let Some(console) = Osipsconsole::new(&test, &server.setup, &connector) else { return };
        for (typed, _, request) in COMMANDS {
            let mut reply = lines(&server, request);
            let shown = if word == "udp" {
                reply.remove(0);
                reply.iter().map(|line| format!("{line}\n")).collect()
            } else {
                if reply[0] == "200 OK" {
                    reply.remove(0);
                }
                as_list(&reply)
            };
            let wanted = format!("{shown}\n{} command was:\n{request}", word.to_uppercase());
            assert_eq!(console.shows(&typed.replace('*', word)), wanted, "{typed}");
        }
        let online = console.shows("online");
        assert!(online.contains("AOR:: alice\n"), "{online}");
        let monitor = console.shows("monitor");
        assert!(monitor.contains("Server:: ") && monitor.contains("Up time:: "), "{monitor}");
        server.stop_clean(&[]);
    }
}

/// mi_xmlrpc does not indent. The console takes the text out of the reply by itself, sends the first parameter alone, and knows two faults.
#[test]
fn osipsconsole_asks_by_xml_rpc() {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = free_tcp_port(ip);
    let setup = Setup::unix().module("mi_xmlrpc").param_of("mi_xmlrpc", "port", &port.to_string());
    let server = start(setup);
    let connector = format!("XMLRPC:{ip}:{port}");
    let Some(console) = Osipsconsole::new("osipsconsole by xmlrpc", &server.setup, &connector) else {
        return;
    };
    let nodes = |request: &str| -> String {
        let lines = lines(&server, request);
        lines[1..].iter().map(|line| format!("{}\n", line.trim_start_matches('\t'))).collect()
    };
    for (typed, request, _) in COMMANDS {
        if lines(&server, request)[0] == "200 OK" {
            assert_eq!(console.shows(&typed.replace('*', "xmlrpc")), nodes(request), "{typed}");
        }
    }
    assert_eq!(console.shows("xmlrpc get_statistics net: shmem:"), nodes(":get_statistics:\nnet:\n"));
    assert_eq!(console.shows("online"), nodes(":ul_dump:\n") + "-1", "as it prints the status of nothing");
    assert_eq!(console.shows("xmlrpc nope"), "Requested command is not available!\n");
    assert_eq!(console.shows("ul show alice"), "Too few or too many arguments\n");
    let monitor = console.shows("monitor");
    assert!(monitor.contains("Server:: ") && monitor.contains("usrloc:location-contacts:: 1\n"), "{monitor}");
    // Behind its request there is one line too many, which nobody reads: that costs no reply.
    let which = nodes(":which:\n");
    (0..20).for_each(|round| assert_eq!(console.shows("xmlrpc which"), which, "round {round}"));
    server.stop_clean(&[]);
}

/// All consoles read their replies from one FIFO. Who of two gets which reply is their affair, as is who gets none for
/// the other has removed the FIFO; the server writes one reply after the other.
#[test]
fn two_osipsconsoles_at_once_see_no_mixed_lines() {
    let server = start(Setup::unix());
    let connector = format!("FIFO:{}", server.setup.fifo_path().display());
    let Some(console) = Osipsconsole::new("two osipsconsoles", &server.setup, &connector) else { return };
    // By itself the console takes off the first line of all that it has read.
    let whole: Vec<String> =
        ["ps", "which"].map(|command| lines(&server, &format!(":{command}:\n")).join("\n") + "\n\n").to_vec();
    let mut replies = 0;
    for round in 0..10 {
        let consoles = ["fifo ps", "fifo which"].map(|typed| {
            let path = console.folder.join(format!("{round} {typed}"));
            let mut command = console.command(typed);
            command.stdin(Stdio::null()).stderr(Stdio::null());
            command.stdout(fs::File::create(&path).unwrap());
            (Running(command.spawn().expect("perl")), path)
        });
        for (mut console, path) in consoles {
            // One whose FIFO was removed before it had its reply would wait for ever.
            let _ = within(DEADLINE / 5, || console.0.try_wait().unwrap());
            drop(console);
            let shown = fs::read_to_string(path).unwrap();
            let shown = shown.split_once(GREETING).map_or("", |(_, shown)| shown);
            let mut rest = format!("200 OK\n {shown}").replace("\n ", "\n");
            if shown.is_empty() {
                continue;
            }
            while !rest.is_empty() {
                let reply = whole.iter().find(|reply| rest.starts_with(reply.as_str()));
                let Some(reply) = reply else { panic!("round {round}: {shown}") };
                rest = rest.split_off(reply.len());
                replies += 1;
            }
        }
    }
    assert!(replies >= 10, "{replies} replies in ten rounds");
    server.stop_clean(&[]);
}
