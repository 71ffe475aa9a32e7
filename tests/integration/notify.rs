//! What the server tells systemd, heard by a socket of the test.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::support::{DEADLINE, HELP, HELP_REPLY, Server, Setup, Signal, assert_same};

/// What systemd waits for a sign of life, in microseconds, as it writes it.
const WATCHDOG: &str = "400000";

fn next(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).expect("a message of the server");
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn listen(setup: &Setup) -> UnixDatagram {
    let socket = UnixDatagram::bind(setup.folder.join("notify")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// All that comes before a message.
fn until(socket: &UnixDatagram, last: &str) -> Vec<String> {
    let messages: Vec<String> =
        std::iter::from_fn(|| Some(next(socket)).filter(|message| message != last)).collect();
    messages
}

#[test]
fn systemd_hears_when_the_server_is_ready_and_when_it_ends() {
    let setup = Setup::unix();
    let socket = listen(&setup);
    let path = setup.folder.join("notify");
    let server = setup.env("NOTIFY_SOCKET", &path).start();
    assert_eq!(next(&socket), format!("READY=1\nMAINPID={}", server.pid()));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0]).is_err(), "more was said than is asked for");
    socket.set_nonblocking(false).unwrap();
    server.stop_clean(&[]);
    assert_eq!(next(&socket), "STOPPING=1");
}

/// With two signs of life in each interval, none comes after its end.
#[test]
fn systemd_hears_twice_in_each_interval_that_the_attendant_is_alive() {
    let setup = Setup::unix();
    let socket = listen(&setup);
    let path = setup.folder.join("notify");
    let setup = setup.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG);
    let server = setup.start();
    assert!(next(&socket).starts_with("READY=1\n"));
    for _ in 0..5 {
        assert_eq!(next(&socket), "WATCHDOG=1");
    }
    // An attendant that is stopped is not alive.
    crate::support::send(server.pid(), Signal::SIGSTOP);
    socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    let mut bytes = [0; 64];
    while socket.recv(&mut bytes).is_ok_and(|length| length > 0) && is_running(&server) {}
    crate::support::send(server.pid(), Signal::SIGCONT);
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(next(&socket), "WATCHDOG=1");
    server.stop_clean(&[]);
    assert!(until(&socket, "STOPPING=1").iter().all(|message| message == "WATCHDOG=1"));
}

/// Whether the attendant is not stopped.
fn is_running(server: &Server) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    !stat.rsplit(") ").next().unwrap().starts_with('T')
}

#[test]
fn nobody_hears_of_life_who_asks_another_process() {
    let setup = Setup::unix();
    let socket = listen(&setup);
    let path = setup.folder.join("notify");
    let setup = setup.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG).env("WATCHDOG_PID", "1");
    let server = setup.start();
    // One worker may answer before all are ready, and a server that stops before that is never ready.
    assert!(next(&socket).starts_with("READY=1\n"));
    assert_same("beside another watchdog", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);
    assert_eq!(until(&socket, "STOPPING=1"), [""; 0]);
}

/// A name in the abstract namespace, as systemd uses in user sessions; and nobody who reads it.
#[test]
fn a_systemd_that_does_not_read_stops_nothing() {
    let name = format!("mi-test-notify-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let setup = Setup::unix().env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "2000");
    let server = setup.start();
    // Each sign of life is another datagram, so the queue is full soon.
    crate::support::wait_for("a full queue", || {
        server.stderr().contains("cannot notify systemd").then_some(())
    });
    assert_same("with a full queue", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);
    assert!(next(&socket).starts_with("READY=1\n"));
}
