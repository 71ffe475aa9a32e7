//! Clients that people have: opensipsunix, Python, socat, a shell; and the examples of the documents, as they stand.
//! OpenSIPS's own clients have files of their own.

use std::fs;
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

/// Runs a script of `sh` in a folder, with opensipsunix in its PATH.
#[track_caller]
fn shell(folder: &Path, script: &str) -> String {
    let own = Path::new(OPENSIPSUNIX).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&others))).unwrap();
    let outcome = run(Command::new("sh").args(["-c", script]).current_dir(folder).env("PATH", path), b"");
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{script}\n{outcome:#?}");
    outcome.stdout
}

/// No reader is there when the request is written.
#[test]
fn a_shell_asks_by_fifo() {
    let server = Setup::unix().fifo().start();
    let folder = server.setup.folder.path();
    let wanted = [HELP_REPLY, b"\n"].concat();
    for script in [
        "mkfifo r; printf ':help:r\\nps\\n\\n' > requests; cat r; rm r",
        "mkfifo r; cat r & printf ':help:r\\nps\\n\\n' > requests; wait; rm r",
        // A line at a time, as from a keyboard.
        "mkfifo r; { echo :help:r; sleep 0.3; echo ps; echo; } > requests; cat r; rm r",
    ] {
        assert_same(script, &wanted, shell(folder, script).as_bytes());
    }
    if exists("socat") {
        let script =
            "mkfifo r; printf ':help:r\\nps\\n\\n' | socat -u - GOPEN:requests; socat -u GOPEN:r -; rm r";
        assert_same(script, &wanted, shell(folder, script).as_bytes());
    } else {
        skip("a_shell_asks_by_fifo", "no socat");
    }
    server.stop_clean(&[]);
}

/// What a page of the manual sets apart as it is to be typed.
fn examples(page: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/man").join(page);
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("\n.nf\n").skip(1).map(|block| block.split("\n.fi\n").next().unwrap());
    blocks
        .map(|block| {
            [("\\(aq", "'"), ("\\(dq", "\""), ("\\-", "-"), ("\\e", "\\")]
                .iter()
                .fold(block.to_owned(), |text, (roff, plain)| text.replace(roff, plain))
        })
        .collect()
}

/// Only the paths and the port are the test's own.
#[test]
fn the_examples_of_the_manual_run_as_they_stand() {
    for program in ["python3", "socat"] {
        if !exists(program) {
            return skip("the_examples_of_the_manual_run_as_they_stand", &format!("no {program}"));
        }
    }
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::new(ip, free_udp_port(ip));
    let _udp = Setup::udp(&format!("udp:{address}"), address).start();
    let server = Setup::unix().fifo().start();
    let folder = server.setup.folder.path();
    let own = |name: &str| folder.join(name).display().to_string();
    let places = [
        ("/tmp/opensips.sock", own("mi.sock")),
        ("/tmp/my.sock", own("my.sock")),
        ("/tmp/mine", own("mine")),
        ("/run/opensips/opensips_fifo", own("requests")),
        ("127.0.0.1:8080", address.to_string()),
    ];
    let mut count = 0;
    for example in examples("opensips-mi.8").into_iter().chain(examples("opensipsunix.8")) {
        let example = places.iter().fold(example, |text, (theirs, own)| text.replace(theirs, own));
        let (scripts, wanted) = if example.contains("import socket") {
            (vec![format!("python3 - <<'END'\n{example}\nEND\n")], "core:rcv_requests:: 0\n")
        } else if example.starts_with("mkfifo") {
            (vec![format!("{example}\nwait")], "Process::  ID=0 PID=")
        } else if example.contains(":get_statistics:") && example.contains(" | ") {
            (vec![example], "core:rcv_requests:: 0\n")
        } else if example.contains(" | ") {
            (example.lines().map(str::to_owned).collect(), "Up time:: ")
        } else {
            continue;
        };
        for script in scripts {
            let shown = shell(folder, &script);
            assert!(shown.starts_with("200 OK\n") && shown.contains(wanted), "{script}\n{shown}");
            count += 1;
        }
    }
    assert_eq!(count, 6, "of opensipsunix two, of socat two, of Python one, of a shell one");
}

/// Whether something answers at a socket.
pub(crate) fn answers(socket: &Path, folder: &Path) -> bool {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let ask = || Client::new(&endpoint, folder, Kind::Bound)?.try_ask(HELP, DEADLINE / 10);
    within(DEADLINE / 10, || ask().ok()).is_some_and(|((reply, _), _)| reply == HELP_REPLY)
}
