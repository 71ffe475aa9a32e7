//! The start: daemon mode and its exit status, pid files, a second start, a start that fails.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::support::{
    DEADLINE, HELP, HELP_REPLY, Setup, Signal, assert_same, children_of, is_alive, send, wait_for, within,
};

/// The number in a pid file.
#[track_caller]
fn pid_in(file: &Path) -> i32 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let number = text.strip_suffix('\n').unwrap_or_else(|| panic!("no newline at the end of {text:?}"));
    number.parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

#[test]
fn a_daemon_is_ready_when_its_starter_ends() {
    let setup = Setup::unix().workers(3);
    let (pid, pgid) = (setup.folder.join("mi.pid"), setup.folder.join("mi.pgid"));
    let (outcome, server) = setup.arg("-P").arg(&pid).arg("-G").arg(&pgid).start_daemon();
    assert!(outcome.status.success(), "{outcome:#?}");

    let workers = server.workers();
    assert_eq!(workers.len(), 3, "every worker is there at once");
    assert!(workers.iter().all(|worker| is_alive(worker.pid)), "{workers:?}");
    assert_same("the daemon", HELP_REPLY, &server.ask(HELP));

    let attendant = pid_in(&pid);
    assert_eq!(attendant, server.pid(), "the pid file names process 0");
    let group = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(attendant))).unwrap();
    assert_eq!(pid_in(&pgid), group.as_raw(), "the pgid file names its group");
    assert_ne!(group, nix::unistd::getpgrp(), "the daemon left the group of its starter");
    let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(attendant))).unwrap();
    assert_ne!(session, nix::unistd::getsid(None).unwrap(), "the daemon left the session of its starter");
    server.stop_clean(&[&pid, &pgid]);
}

/// What waits for the end of the starter's output must not wait for the daemon: a shell, ssh, an init script.
#[test]
fn a_daemon_lets_go_of_the_output_of_its_starter() {
    let setup = Setup::unix();
    let pid = setup.folder.join("mi.pid");
    let setup = setup.arg("-P").arg(&pid);
    let quiet = setup.config().replace("log_stderror=yes", "log_stderror=no");
    let setup = setup.text(quiet);
    let mut command = setup.program();
    command.arg("-f").arg(setup.config_path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (done, finished) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).unwrap();
        stderr.read_to_end(&mut text).unwrap();
        let _ = done.send(());
        text
    });
    let status = child.wait().unwrap();
    let closed = finished.recv_timeout(DEADLINE).is_ok();
    // The guard of a server cannot stand here: this one was started by hand.
    let attendant = status.success().then(|| pid_in(&pid));
    attendant.into_iter().for_each(|pid| send(pid, Signal::SIGTERM));
    let ended = attendant.is_none_or(|pid| within(DEADLINE, || (!is_alive(pid)).then_some(())).is_some());
    let text = reader.join().unwrap();
    assert!(status.success(), "{status:?}: {}", String::from_utf8_lossy(&text));
    assert!(closed, "the daemon keeps the starter's output open");
    assert!(ended, "the daemon does not stop");
}

#[test]
fn in_the_foreground_the_pid_file_names_the_started_process() {
    for option in ["-F", "-D"] {
        let setup = Setup::unix().workers(2);
        let pid = setup.folder.join("mi.pid");
        let server = setup.foreground(option).arg("-P").arg(&pid).start();
        assert_eq!(pid_in(&pid), server.pid(), "{option}");
        let workers = server.wait_for_workers(2);
        let children = children_of(server.pid());
        assert!(
            workers.iter().all(|worker| children.contains(&worker.pid)),
            "{option}: {workers:?} {children:?}"
        );
        server.stop_clean(&[&pid]);
    }
}

#[test]
fn a_second_start_is_refused_while_the_first_runs() {
    let setup = Setup::unix();
    let pid = setup.folder.join("mi.pid");
    let first = setup.arg("-P").arg(&pid).start();
    let written = fs::read(&pid).unwrap();

    let other = Setup::unix().arg("-P").arg(&pid);
    other.refuse().assert_refused("the same pid file", &[&pid.display().to_string()]);
    assert_eq!(fs::read(&pid).unwrap(), written, "the pid file was touched");
    assert!(!other.socket().exists(), "the second start left a socket");

    let (outcome, _none) = Setup::unix().arg("-P").arg(&pid).start_daemon();
    outcome.assert_refused("the same pid file, as a daemon", &[&pid.display().to_string()]);
    assert_eq!(fs::read(&pid).unwrap(), written, "the pid file was touched");
    assert_same("the first server", HELP_REPLY, &first.ask(HELP));
    first.stop_clean(&[&pid]);
}

#[test]
fn a_stale_pid_file_is_replaced() {
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let stale = gone.id();
    gone.wait().unwrap();
    for text in [format!("{stale}\n"), String::new(), "no number\n".to_owned()] {
        let setup = Setup::unix();
        let pid = setup.folder.join("mi.pid");
        fs::write(&pid, &text).unwrap();
        let server = setup.arg("-P").arg(&pid).start();
        assert_eq!(pid_in(&pid), server.pid(), "after {text:?}");
        server.stop_clean(&[&pid]);
    }
}

/// No silent half start: the starter fails, says why, and nothing runs on.
#[test]
fn a_daemon_that_cannot_start_says_why_and_leaves_nothing() {
    let setup = Setup::unix();
    let socket = setup.folder.join("missing/mi.sock");
    let setup = setup.param("socket_name", &format!("\"{}\"", socket.display()));
    check_failed_daemon(setup, "a missing folder", &socket.display().to_string());

    let setup = Setup::unix();
    fs::write(setup.socket(), "precious").unwrap();
    let path = setup.socket().display().to_string();
    check_failed_daemon(setup, "a file at the socket's path", &path);

    let setup = Setup::unix();
    let pid = setup.folder.join("missing/mi.pid");
    let path = pid.display().to_string();
    check_failed_daemon(setup.arg("-P").arg(&pid), "a pid file in a missing folder", &path);

    check_failed_daemon(Setup::unix().module("no_such_module"), "a bad file", "no_such_module");
}

#[track_caller]
fn check_failed_daemon(setup: Setup, what: &str, word: &str) {
    let pid = setup.folder.join("mi.pid");
    let mut files: Vec<_> =
        fs::read_dir(setup.folder.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    let setup = if what.contains("pid file") { setup } else { setup.arg("-P").arg(&pid) };
    let (outcome, server) = setup.start_daemon();
    outcome.assert_refused(what, &[word]);
    wait_for(&format!("the end of all processes after {what}"), || {
        server.processes().is_empty().then_some(())
    });
    files.extend(["opensips.cfg", "stdout", "stderr"].map(|name| server.setup.folder.join(name)));
    for entry in fs::read_dir(server.setup.folder.path()).unwrap().flatten() {
        assert!(files.contains(&entry.path()), "{what}: left: {}", entry.path().display());
    }
}
