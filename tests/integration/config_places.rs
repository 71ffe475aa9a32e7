//! What `-c` finds of folders, addresses and files before a start does, and where relative paths lead.

use std::fs;
use std::net::{TcpListener, UdpSocket};

use crate::support::{Endpoint, HELP, HELP_REPLY, Outcome, Setup, assert_same, wait_for};

const EXIT_BAD_CONFIG: Option<i32> = Some(255);

/// A server on its socket with one more setting, as a line of the configuration.
fn with(lines: &str) -> Setup {
    let setup = Setup::unix();
    let text = format!("{}{lines}", setup.config());
    setup.text(text)
}

/// Asserts that `-c` ends with an error that has all the words, each in one line.
#[track_caller]
fn assert_found(outcome: &Outcome, words: &[&str]) {
    assert_eq!(outcome.status.code(), EXIT_BAD_CONFIG, "{outcome:#?}");
    let found = outcome.stderr.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "no line with {words:?}: {outcome:#?}");
}

#[test]
fn the_check_finds_folders_that_are_missing() {
    for (lines, words) in [
        ("workdir=\"/nonexistent/w\"\n", ["working folder", "/nonexistent/w", "name a folder that exists"]),
        (
            "loadmodule \"mi_fifo.so\"\nmodparam(\"mi_fifo\", \"fifo_name\", \"/nonexistent/f\")\n",
            ["\"fifo_name\"", "/nonexistent/f", "no folder /nonexistent; make it first"],
        ),
        (
            "loadmodule \"mi_fifo.so\"\nmodparam(\"mi_fifo\", \"fifo_name\", \"/tmp/unmade\")\n\
             modparam(\"mi_fifo\", \"reply_dir\", \"/nonexistent/r/\")\n",
            ["\"reply_dir\"", "/nonexistent/r: ", "name a folder that exists"],
        ),
        (
            "loadmodule \"mi_xmlrpc.so\"\nmodparam(\"mi_xmlrpc\", \"log_file\", \"/nonexistent/log\")\n",
            ["\"log_file\"", "/nonexistent/log", "no folder /nonexistent; make it first"],
        ),
        (
            "restart_persistency_cache_file=\"/nonexistent/state\"\nloadmodule \"cachedb_local.so\"\n\
             modparam(\"cachedb_local\", \"enable_restart_persistency\", 1)\n",
            ["restart_persistency_cache_file", "/nonexistent/state", "no folder /nonexistent; make it first"],
        ),
        (
            "modparam(\"mi_datagram\", \"unix_socket_user\", \"no-such-user\")\n",
            ["\"unix_socket_user\"", "no-such-user", "name one that exists"],
        ),
    ] {
        assert_found(&with(lines).check(), &words);
    }
    let setup = Setup::unix().arg("-P").arg("/nonexistent/pid");
    assert_found(&setup.check(), &["-P", "/nonexistent/pid"]);
    let setup = Setup::unix();
    fs::write(setup.socket(), "precious").unwrap();
    assert_found(&setup.check(), &["is a regular file, not a socket"]);
    assert_eq!(fs::read_to_string(setup.socket()).unwrap(), "precious");
}

/// The check comes before a restart, while the server has its sockets.
#[test]
fn the_check_warns_of_addresses_in_use_and_passes() {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (tcp, udp) = (tcp.local_addr().map(|it| (it, tcp)), udp.local_addr().map(|it| (it, udp)));
    let ((tcp, _listener), (udp, _socket)) = (tcp.unwrap(), udp.unwrap());
    let setup = with(&format!(
        "modparam(\"mi_datagram\", \"socket_name\", \"udp:{udp}\")\n\
         loadmodule \"httpd.so\"\nmodparam(\"httpd\", \"port\", {})\n",
        tcp.port()
    ));
    let outcome = setup.check();
    assert_eq!(outcome.status.code(), Some(0), "{outcome:#?}");
    for address in [udp, tcp] {
        let found = |line: &str| {
            line.contains("warning: ") && line.contains(&format!("{address}: Address already in"))
        };
        assert!(outcome.stderr.lines().any(found), "{address}: {outcome:#?}");
    }

    let server = Setup::unix().start();
    let outcome = server.setup.check();
    assert_eq!(outcome.status.code(), Some(0), "of a server that runs: {outcome:#?}");
    assert!(
        outcome.stderr.contains("warning: ")
            && outcome.stderr.contains("another server is using this socket")
    );
    assert_same("undisturbed", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);

    let port = tcp.port();
    let outcome = with(&format!(
        "loadmodule \"httpd.so\"\nmodparam(\"httpd\", \"port\", {port})\n\
         loadmodule \"mi_xmlrpc.so\"\nmodparam(\"mi_xmlrpc\", \"port\", {port})\n"
    ))
    .check();
    assert_found(&outcome, &[&format!("module httpd and module mi_xmlrpc both serve tcp:127.0.0.1:{port}")]);
}

/// C: relative to the working folder, which is / by default for a daemon.
#[test]
fn a_relative_path_starts_in_the_folder_of_the_file_with_one_warning() {
    let mut setup = Setup::unix().param("socket_name", "\"relative.sock\"");
    let socket = setup.folder.join("relative.sock");
    setup.endpoint = Endpoint::Unix(socket.clone());
    let server = setup.start();
    assert_same("the socket beside the file", HELP_REPLY, &server.ask(HELP));
    let said = format!("is relative and stands for {}, by the folder of this file", socket.display());
    assert_eq!(server.stderr().matches(&said).count(), 1, "{}", server.stderr());
    server.stop_clean(&[]);

    let mut setup = Setup::unix().param("socket_name", "\"relative.sock\"").arg("-w").arg("/tmp");
    let folder = setup.folder.join("work");
    fs::create_dir(&folder).unwrap();
    setup = setup.arg("-w").arg(&folder);
    setup.endpoint = Endpoint::Unix(folder.join("relative.sock"));
    let server = setup.start();
    assert_same("the socket in the working folder", HELP_REPLY, &server.ask(HELP));
    assert!(server.stderr().contains("by the working folder"), "{}", server.stderr());
    server.stop_clean(&[]);
}

#[test]
fn a_relative_pid_file_lies_where_the_server_was_started() {
    let setup = Setup::unix().arg("-P").arg("relative.pid");
    let file = setup.folder.join("relative.pid");
    let server = setup.start();
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), server.pid().to_string());
    server.stop_clean(&[&file]);
}

/// Without a file and a working folder it is in /var/lib/opensips, and not in /.
#[test]
fn the_state_has_a_folder_of_its_own_by_default() {
    let state = |setup: Setup| {
        setup.arg("-m8").module("cachedb_local").param_of("cachedb_local", "enable_restart_persistency", "1")
    };
    let name = ".restart_persistency.cache";
    let setup = Setup::unix();
    let folder = setup.folder.path().to_owned();
    let server = state(setup).arg("-w").arg(&folder).start();
    wait_for("the file", || folder.join(name).exists().then_some(()));
    server.stop_clean(&[]);

    // A root folder in which nothing is: what would be made elsewhere otherwise is looked for there.
    let setup = Setup::unix();
    let root = setup.folder.join("root");
    fs::create_dir_all(root.join("run")).unwrap();
    let outcome = state(setup.param("socket_name", "\"/run/s\"").arg("-t").arg(&root)).check();
    assert_found(&outcome, &["restart_persistency_cache_file", "var/lib/opensips; make it first"]);
}
