//! mi_fifo: replies that wait for their clients when their process is killed. Nobody's reply is lost that was not begun,
//! and none comes twice.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{
    HELP_REPLY, Server, Setup, Signal, assert_same, is_alive, make_fifo, open_reader, send, wait_for,
    write_to,
};

/// Clients that do not come before the kill.
const ABSENT: usize = 20;

/// How long a second reply may take that must not come.
const NO_MORE: Duration = Duration::from_millis(200);

fn worker(server: &Server) -> i32 {
    wait_for("the FIFO process", || {
        let process = server.ps().into_iter().find(|process| process.kind == "MI FIFO")?;
        (process.pid > 0 && is_alive(process.pid)).then_some(process.pid)
    })
}

fn path(server: &Server, number: usize) -> PathBuf {
    server.setup.folder.path().join(format!("absent{number}"))
}

/// The client comes, and reads so many lines.
fn come(server: &Server, number: usize, lines: usize) -> String {
    let reader = open_reader(&path(server, number));
    let mut found = String::new();
    wait_for("a reply", || {
        // Nothing lies there, or a piece.
        let _ = (&reader).read_to_string(&mut found);
        (found.lines().count() == lines).then_some(())
    });
    found
}

/// Waits until the server has parked so many replies in all.
fn wait_for_parked(server: &Server, count: usize) {
    wait_for("parked replies", || {
        let reply = server.ask(b":get_statistics:\nfifo_parked_replies\n");
        let text = String::from_utf8(reply).unwrap();
        let parked: usize = text.trim_end().rsplit(' ').next()?.parse().ok()?;
        (parked >= count).then_some(())
    });
}

#[test]
fn replies_whose_clients_come_after_a_kill_are_there_once() {
    let server = Setup::unix().fifo().start();
    let help = [HELP_REPLY, b"\n"].concat();
    let lines = help.iter().filter(|&&byte| byte == b'\n').count();
    (0..ABSENT).for_each(|number| make_fifo(&path(&server, number)));
    let victim = worker(&server);
    for number in 0..ABSENT {
        let request = format!(":help:absent{number}\nps\n\n");
        write_to(&server.setup.fifo_path(), request.as_bytes());
    }
    wait_for_parked(&server, ABSENT);
    // Two come before the kill: their replies are done with.
    for number in 0..2 {
        assert_same("a reply before the kill", &help, come(&server, number, lines).as_bytes());
    }
    send(victim, Signal::SIGKILL);
    wait_for("another process", || (worker(&server) != victim).then_some(()));
    for number in 2..ABSENT {
        assert_same("a reply after the kill", &help, come(&server, number, lines).as_bytes());
    }
    for number in 0..ABSENT {
        fs::remove_file(path(&server, number)).unwrap();
        let again = server.fifo_client(&format!("absent{number}"));
        assert!(number >= 2 || again.read_some(NO_MORE).is_empty(), "a second reply to {number}");
    }
    server.stop_clean(&[]);
}

/// One name for several clients: their replies wait for each other, and go on doing so.
#[test]
fn replies_to_one_name_stay_in_order_after_a_kill() {
    let server = Setup::unix().fifo().start();
    make_fifo(&path(&server, 0));
    let victim = worker(&server);
    for number in 0..3 {
        write_to(&server.setup.fifo_path(), format!(":no{number}:absent0\n\n").as_bytes());
    }
    wait_for_parked(&server, 3);
    send(victim, Signal::SIGKILL);
    wait_for("another process", || (worker(&server) != victim).then_some(()));
    // A reader that stays sees them all, one behind the other.
    let found = come(&server, 0, 3);
    let wanted: String = (0..3).map(|number| format!("500 command 'no{number}' not available\n")).collect();
    assert_eq!(found, wanted);
    server.stop_clean(&[]);
}
