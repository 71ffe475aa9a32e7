//! Clients that people have: the real opensipsctl, opensipsunix, Python, socat.
//!
//! opensipsctl belongs to OpenSIPS and is not here: `OPENSIPSCTL_DIR` names a folder with it and its libraries
//! (`scripts` of a source tree). Without that its tests say that they are skipped.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::scripted::{Keeper, Running, exists, run};
use crate::support::{
    Client, DEADLINE, Endpoint, Folder, HELP, HELP_REPLY, Kind, Outcome, Server, Setup, assert_same,
    free_udp_port, has_ipv6, is_alive, skip, wait_for, within,
};

const OPENSIPSUNIX: &str = env!("CARGO_BIN_EXE_opensipsunix");

/// The real opensipsctl with a home of its own, whose `.opensipsctlrc` tells it about our programs.
struct Opensipsctl {
    program: PathBuf,
    home: Folder,
}

impl Opensipsctl {
    /// `None`, said aloud, when there is none on this machine.
    fn new(test: &str, setup: &Setup, pid_file: &Path) -> Option<Self> {
        let Some(folder) = std::env::var_os("OPENSIPSCTL_DIR").map(PathBuf::from) else {
            skip(test, "OPENSIPSCTL_DIR does not name a folder with opensipsctl");
            return None;
        };
        let program = folder.join("opensipsctl");
        assert!(program.is_file(), "OPENSIPSCTL_DIR has no opensipsctl: {}", folder.display());
        let home = Folder::new();
        let lines = [
            "CTLENGINE=UNIXSOCK".to_owned(),
            format!("OSIPSUNIX='{OPENSIPSUNIX}'"),
            format!("OSIPS_UNIXSOCK='{}'", setup.socket().display()),
            format!("OSIPSBIN='{}'", env!("CARGO_BIN_EXE_opensips-mi")),
            format!("PID_FILE='{}'", pid_file.display()),
            format!("STARTOPTIONS='-f {}'", setup.config_path().display()),
            format!("MYLIBDIR='{}'", folder.display()),
        ];
        fs::write(home.join(".opensipsctlrc"), lines.join("\n") + "\n").unwrap();
        Some(Self { program, home })
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Outcome {
        run(Command::new(&self.program).args(args).env("HOME", self.home.path()), b"")
    }

    /// Runs a command that must work.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let outcome = self.run(args);
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{args:?}: {outcome:#?}");
        outcome.stdout
    }
}

/// Numbers that differ from one moment to the next, as `#`.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if shown.ends_with('#') => {}
            '0'..='9' => shown.push('#'),
            other => shown.push(other),
        }
    }
    shown
}

/// What opensipsctl shows is the reply without its first line.
#[test]
fn opensipsctl_asks_the_server() {
    let server = Setup::unix().workers(2).start();
    let none = server.setup.folder.join("none.pid");
    let Some(opensipsctl) = Opensipsctl::new("opensipsctl unixsock", &server.setup, &none) else { return };
    for (args, request) in [
        (&["ps"][..], ":ps:\n"),
        (&["which"], ":which:\n"),
        (&["uptime"], ":uptime:\n"),
        (&["version"], ":version:\n"),
        (&["get_statistics", "core:"], ":get_statistics:\ncore:\n"),
        (&["get_statistics", "shmem:", "load:"], ":get_statistics:\nshmem:\nload:\n"),
        (&["debug", "2"], ":debug:\n"),
        (&["help", "ps"], ":help:\nps\n"),
    ] {
        let shown = opensipsctl.ok(&[&["unixsock"], args].concat());
        let reply = String::from_utf8(server.ask(request.as_bytes())).unwrap();
        let wanted = reply.strip_prefix("200 OK\n").unwrap();
        assert!(!wanted.is_empty(), "{args:?}");
        let same = if args[0] == "ps" {
            shown == wanted
        } else {
            without_numbers(&shown) == without_numbers(wanted)
        };
        assert!(same, "{args:?}: wanted {wanted}, found {shown}");
    }
    assert_eq!(opensipsctl.ok(&["unixsock", "debug"]), "DEBUG:: 2\n", "the level that it set");
    assert_eq!(opensipsctl.ok(&["ps"]).lines().count(), 4, "attendant, two workers, time keeper");
    assert_eq!(opensipsctl.ok(&["unixsock", "nope"]), "500 command not available\n");
}

#[test]
fn opensipsctl_starts_restarts_and_stops_the_server() {
    let setup = Setup::unix().workers(2);
    let pid_file = setup.folder.join("opensips.pid");
    let Some(opensipsctl) = Opensipsctl::new("opensipsctl start", &setup, &pid_file) else { return };
    fs::write(setup.config_path(), setup.config()).unwrap();
    let keeper = Keeper(&setup);
    let pid = || fs::read_to_string(&pid_file).unwrap().trim().parse::<i32>().unwrap();

    let said = opensipsctl.ok(&["start"]);
    let first = pid();
    assert!(said.contains(&format!("started (pid: {first})")), "{said}");
    assert_eq!(opensipsctl.ok(&["ps"]).lines().count(), 4);
    let again = opensipsctl.run(&["start"]);
    assert!(again.status.code() == Some(1) && again.stdout.contains("already running"), "{again:#?}");
    assert!(is_alive(first) && pid() == first, "a second start touched the server");

    let said = opensipsctl.ok(&["restart"]);
    let second = pid();
    assert!(second != first && said.contains(&format!("started (pid: {second})")), "{said}");
    assert!(!is_alive(first), "the first server runs on");
    assert_eq!(opensipsctl.ok(&["ps"]).lines().count(), 4);

    let said = opensipsctl.ok(&["stop"]);
    assert!(said.contains("stopped"), "{said}");
    keeper.wait_gone(&[&pid_file, setup.socket()]);
    assert_eq!(opensipsctl.run(&["stop"]).status.code(), Some(1), "there is nothing to stop");
}

#[test]
fn opensipsunix_passes_request_and_reply() {
    let server = Setup::unix().start();
    let ask = |request: &[u8]| run(Command::new(OPENSIPSUNIX).arg(server.socket()), request);
    for (request, reply) in
        [(HELP, String::from_utf8_lossy(HELP_REPLY)), (b":nope:\n", "500 command not available\n".into())]
    {
        let outcome = ask(request);
        assert_eq!(
            (outcome.status.code(), outcome.stdout.as_str()),
            (Some(0), &*reply),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn opensipsunix_without_a_server_says_so() {
    let folder = Folder::new();
    let path = folder.join("mi.sock");
    let outcome = run(Command::new(OPENSIPSUNIX).arg(&path), HELP);
    assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(255), ""), "{outcome:#?}");
    assert!(outcome.stderr.starts_with("opensipsunix: ") && outcome.stderr.contains(path.to_str().unwrap()));
}

/// Three ways to a reply socket: a name that Linux chooses, a path, a path and `connect`. The replies one after
/// the other.
const PYTHON: &str = r#"
import socket, sys

server, folder, request = sys.argv[1], sys.argv[2], sys.argv[3].encode()

def ask(name, connect):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mi:
        mi.settimeout(10)
        mi.bind(name)
        if connect:
            mi.connect(server)
            mi.send(request)
        else:
            mi.sendto(request, server)
        sys.stdout.buffer.write(mi.recv(65536))

ask("", False)
ask(folder + "/path.sock", False)
ask(folder + "/connected.sock", True)
"#;

#[test]
fn python_asks_over_a_unix_socket() {
    if !exists("python3") {
        return skip("python_asks_over_a_unix_socket", "no python3");
    }
    let server = Setup::unix().start();
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]).arg(server.socket()).arg(server.setup.folder.path());
    let outcome = run(command.arg(str::from_utf8(HELP).unwrap()), b"");
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_same("three replies", &HELP_REPLY.repeat(3), outcome.stdout.as_bytes());
}

/// Asks through socat with its own address for the server. stdin stays open until the reply is there, so that no
/// time limit of socat's counts.
#[track_caller]
fn ask_by_socat(address: &str) -> Vec<u8> {
    let mut command = Command::new("socat");
    command.args(["-t", "0.1", "-", address]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut socat = Running(command.spawn().expect("socat"));
    let (mut stdin, mut stdout) = (socat.0.stdin.take().unwrap(), socat.0.stdout.take().unwrap());
    stdin.write_all(HELP).unwrap();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut reply = vec![0; HELP_REPLY.len()];
        let result = stdout.read_exact(&mut reply).map(|()| reply);
        let _ = sender.send(result);
        // What comes after the reply, up to the end.
        let mut more = Vec::new();
        stdout.read_to_end(&mut more).map(|_| more)
    });
    let reply = receiver.recv_timeout(DEADLINE);
    drop(stdin);
    if reply.is_err() {
        let _ = socat.0.kill();
    }
    let status = wait_for("the end of socat", || socat.0.try_wait().unwrap());
    let more = reader.join().unwrap().unwrap();
    assert!(status.success() && more.is_empty(), "{address}: {status:?}, {}", more.escape_ascii());
    reply.expect("a reply in time").unwrap()
}

#[test]
fn socat_asks_over_a_unix_socket() {
    if !exists("socat") {
        return skip("socat_asks_over_a_unix_socket", "no socat");
    }
    let server = Setup::unix().start();
    let own = server.setup.folder.join("socat.sock");
    let reply = ask_by_socat(&format!("UNIX-SENDTO:{},bind={}", server.socket().display(), own.display()));
    assert_same("socat", HELP_REPLY, &reply);
}

#[test]
fn socat_asks_over_udp() {
    if !exists("socat") {
        return skip("socat_asks_over_udp", "no socat");
    }
    for (ip, address) in
        [(IpAddr::V4(Ipv4Addr::LOCALHOST), "UDP4:127.0.0.1"), (IpAddr::V6(Ipv6Addr::LOCALHOST), "UDP6:[::1]")]
    {
        if ip.is_ipv6() && !has_ipv6() {
            skip("socat_asks_over_udp", "no ::1");
            continue;
        }
        let socket = SocketAddr::new(ip, free_udp_port(ip));
        let _server: Server = Setup::udp(&format!("udp:{socket}"), socket).start();
        assert_same(address, HELP_REPLY, &ask_by_socat(&format!("{address}:{}", socket.port())));
    }
}

/// Whether something answers at a socket.
pub(crate) fn answers(socket: &Path, folder: &Path) -> bool {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let ask = || Client::new(&endpoint, folder, Kind::Bound)?.try_ask(HELP, DEADLINE / 10);
    within(DEADLINE / 10, || ask().ok()).is_some_and(|((reply, _), _)| reply == HELP_REPLY)
}
