//! Clients that people have: opensipsunix, Python, socat. opensipsctl has a file of its own.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::scripted::{Running, exists, run};
use crate::support::{
    Client, DEADLINE, Endpoint, Folder, HELP, HELP_REPLY, Kind, Server, Setup, assert_same, free_udp_port,
    has_ipv6, skip, wait_for, within,
};

const OPENSIPSUNIX: &str = env!("CARGO_BIN_EXE_opensipsunix");

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
