//! The HTTP listener under clients that say nothing, vanish, or do not read.

mod limits;

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::scripted::exists;
use crate::support::{
    DEADLINE, Http, Process, Server, Setup, Signal, StopOnDrop, free_tcp_port, is_alive, json_rpc, memory_of,
    post, send, skip, wait_for, within,
};

/// Contacts, for a dump of some megabytes.
const CONTACTS: usize = 10_000;

/// Short commands that are asked beside other clients.
const ASKED: usize = 100;

/// How long a client may leave its connection as it is. The server says 10 s and looks every half second.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may read nothing of a reply.
const PATIENCE_WITH_READERS: Duration = Duration::from_secs(30);

/// A limit of open files at which the server starts, and that a few more clients than connections reach.
const FEW_DESCRIPTORS: &str = "--nofile=160:160";

fn setup() -> (Setup, SocketAddr) {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::from((host, free_tcp_port(host)));
    let setup = Setup::unix().module("usrloc").module("httpd").module("mi_http");
    (setup.param_of("httpd", "port", &address.port().to_string()), address)
}

fn start() -> (Server, SocketAddr) {
    let (setup, address) = setup();
    (setup.start(), address)
}

/// The process that listens. Others may answer before it was forked.
fn listener(server: &Server) -> i32 {
    let is_listener = |process: &Process| process.kind.starts_with("HTTPD") && process.pid > 0;
    wait_for("a listener", || server.ps().into_iter().find(is_listener)).pid
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").count()
}

fn counter(server: &Server, name: &str) -> u64 {
    let reply = String::from_utf8(server.ask(format!(":get_statistics:\n{name}\n").as_bytes())).unwrap();
    reply.trim_end().rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a counter")
}

/// Raises this process's own limit, as it holds the clients.
fn many_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Fills the table, in batches.
fn fill(address: SocketAddr) {
    let mut http = Http::connect(address);
    for first in (0..CONTACTS).step_by(1000) {
        let requests: Vec<String> = (first..first + 1000)
            .map(|id| {
                format!(
                    r#"{{"jsonrpc":"2.0","method":"ul_add","params":["location","user{id}","sip:user{id}@10.0.0.1:5060","3600","1","0","0","0"]}}"#
                )
            })
            .collect();
        let batch = format!("[{}]", requests.join(","));
        assert_eq!(http.ask(&post("/mi", "application/json", batch.as_bytes())).status, 202);
    }
}

/// Asks short commands on one connection.
fn ask_short(address: SocketAddr) {
    let mut http = Http::connect(address);
    for _ in 0..ASKED {
        assert_eq!(http.ask(&json_rpc("help", r#"["ps"]"#)).status, 200);
    }
}

#[test]
fn a_thousand_silent_connections_delay_nobody_and_are_closed() {
    many_descriptors();
    let (server, address) = start();
    let pid = listener(&server);
    // A process that is listed may not have all of its own yet.
    let mut idle = Http::connect(address);
    assert_eq!(idle.ask(&json_rpc("pwd", "[]")).status, 200);
    let before = descriptors(pid);
    let opened = Instant::now();
    let mut silent: Vec<Http> = (0..1000).map(|_| Http::connect(address)).collect();
    silent[..100].iter_mut().for_each(|http| http.send(b"POST /mi HTTP/1.1\r\nX:"));
    wait_for("all connections", || (descriptors(pid) >= before + 1000).then_some(()));
    ask_short(address);
    assert!(descriptors(pid) >= before + 1000, "short commands waited for silent connections to end");
    let gone = within(PATIENCE * 6, || (descriptors(pid) <= before).then_some(()));
    assert!(gone.is_some(), "{} descriptors, {before} before", descriptors(pid));
    assert!(opened.elapsed() >= PATIENCE, "closed after {:?}", opened.elapsed());
    assert!(silent.iter_mut().all(|http| http.is_closed_within(DEADLINE)));
    assert_eq!(counter(&server, "http_timeouts"), 1000);
    ask_short(address);
    server.stop_clean(&[]);
}

/// With few descriptors the oldest idle connection makes room for a new one, and none is spun on.
#[test]
fn idle_connections_make_room_when_there_are_too_many() {
    if !exists("prlimit") {
        return skip("idle_connections_make_room_when_there_are_too_many", "no prlimit of util-linux");
    }
    let (setup, address) = setup();
    let server = setup.under(&["prlimit".as_ref(), FEW_DESCRIPTORS.as_ref(), "--".as_ref()]).start();
    let mut silent: Vec<Http> = (0..150).map(|_| Http::connect(address)).collect();
    for _ in 0..20 {
        let mut http = Http::connect(address);
        assert_eq!(http.ask(&json_rpc("pwd", "[]")).status, 200);
        silent.push(http);
    }
    assert!(silent[0].is_closed_within(DEADLINE), "the oldest is still open");
    assert!(!silent[169].is_closed_within(Duration::from_millis(1)), "the newest is closed");
    let pid = listener(&server);
    assert!(descriptors(pid) < 160);
    let stderr = server.stderr();
    assert!(stderr.contains("WARNING:httpd: 96 connections are open, as many as can be"), "{stderr}");
    server.stop_clean(&[]);
}

/// Also when many come at a time: they wait in the listener while the worker stands still.
#[test]
fn a_burst_of_connections_keeps_to_the_limit() {
    if !exists("prlimit") {
        return skip("a_burst_of_connections_keeps_to_the_limit", "no prlimit of util-linux");
    }
    let (setup, address) = setup();
    let server = setup.under(&["prlimit".as_ref(), FEW_DESCRIPTORS.as_ref(), "--".as_ref()]).start();
    let pid = listener(&server);
    send(pid, Signal::SIGSTOP);
    let mut burst: Vec<Http> = (0..300).map(|_| Http::connect(address)).collect();
    burst.iter_mut().for_each(|http| http.send(&json_rpc("pwd", "[]")));
    send(pid, Signal::SIGCONT);
    for http in &mut burst {
        assert_eq!(http.reply().expect("a reply").status, 200);
    }
    assert_eq!(counter(&server, "http_connections"), 300);
    let stderr = server.stderr();
    assert!(!stderr.contains("cannot accept a connection"), "{stderr}");
    server.stop_clean(&[]);
}

/// Clients that say they send something and do not are closed for others long before their time is over.
#[test]
fn bodies_that_do_not_come_make_room() {
    if !exists("prlimit") {
        return skip("bodies_that_do_not_come_make_room", "no prlimit of util-linux");
    }
    let (setup, address) = setup();
    let server = setup.under(&["prlimit".as_ref(), FEW_DESCRIPTORS.as_ref(), "--".as_ref()]).start();
    let mut slow: Vec<Http> = (0..160).map(|_| Http::connect(address)).collect();
    let head = b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    slow.iter_mut().for_each(|http| http.send(head));
    // More come, as room was made by those whose first words had not arrived yet.
    wait_for("a slow one that makes room", || {
        let mut http = Http::connect(address);
        http.send(head);
        slow.push(http);
        (counter(&server, "http_timeouts") > 0).then_some(())
    });
    let stderr = server.stderr();
    assert!(!stderr.contains("its client sends or reads nothing"), "no sooner than without others: {stderr}");
    slow.truncate(96);
    let mut http = Http::connect(address);
    assert_eq!(http.ask(&json_rpc("pwd", "[]")).status, 200);
    server.stop_clean(&[]);
}

/// A thousand clients that vanish in the middle of a request or of a reply leave nothing behind. As many are there at a
/// time before the memory is looked at as later, so that they take as much.
#[test]
fn clients_that_vanish_leave_nothing() {
    let (server, address) = start();
    fill(address);
    let pid = listener(&server);
    let before = descriptors(pid);
    let dump = json_rpc("ul_dump", "[]");
    let vanish = || {
        let clients = (0..100).map(|number| {
            let mut http = Http::connect(address);
            http.send(match number % 3 {
                0 => b"POST /mi HTTP/1.1\r\nContent-Le",
                1 => b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"jsonrpc\"",
                _ => &dump,
            });
            http
        });
        let mut clients: Vec<Http> = clients.collect();
        clients.iter_mut().skip(2).step_by(6).for_each(|http| assert!(http.some(1000).unwrap() > 0));
        drop(clients);
        wait_for("their descriptors", || (descriptors(pid) <= before).then_some(()));
    };
    vanish();
    let kilobytes = memory_of(pid);
    (0..10).for_each(|_| vanish());
    assert_eq!(listener(&server), pid, "it was replaced");
    let grown = memory_of(pid).saturating_sub(kilobytes);
    assert!(grown < 2048, "{grown} kB more than {kilobytes}");
    assert!(counter(&server, "http_dropped_replies") > 0);
    assert_eq!(Http::connect(address).ask(&json_rpc("pwd", "[]")).status, 200);
    server.stop_clean(&[]);
}

/// Beside readers of a long reply, slow, fast and stopped ones, short commands are answered, and the memory stays small;
/// who reads slowly gets it whole, who does not read is let go. How fast they are answered is measured by
/// `cargo bench --bench http`.
#[test]
fn readers_of_long_replies_delay_nobody() {
    let (server, address) = start();
    fill(address);
    let pid = listener(&server);
    let dump = json_rpc("ul_dump", "[]");
    let whole = Http::connect(address).ask(&dump).body;
    assert!(whole.len() > 200 * CONTACTS, "{}", whole.len());
    let kilobytes = memory_of(pid);
    let begun = Instant::now();
    let mut stopped: Vec<Http> = (0..20).map(|_| Http::connect(address)).collect();
    stopped.iter_mut().for_each(|http| http.send(&dump));
    let mut slow = Http::connect_narrow(address);
    slow.send(&dump);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = StopOnDrop(&done);
        scope.spawn(|| {
            let mut fast = Http::connect(address);
            while !done.load(Ordering::Relaxed) {
                assert!(fast.ask(&dump).body.len() >= whole.len());
            }
        });
        let slow = scope.spawn(|| {
            // Some 20 kB a second.
            while !done.load(Ordering::Relaxed) {
                assert!(slow.some(1000).unwrap() > 0, "the slow reader has all of it already");
                thread::sleep(Duration::from_millis(50));
            }
            slow.widen();
            slow.reply().unwrap().body
        });
        ask_short(address);
        assert_eq!(counter(&server, "http_timeouts"), 0, "short commands waited for readers to be let go");
        let grown = memory_of(pid).saturating_sub(kilobytes);
        drop(running);
        assert!(grown < 16 * 1024, "{grown} kB more than {kilobytes}");
        assert_eq!(slow.join().unwrap().len(), whole.len(), "the slow reader's");
    });
    let gone = within(PATIENCE_WITH_READERS * 2, || (counter(&server, "http_timeouts") == 20).then_some(()));
    assert!(gone.is_some(), "{} of 20 were let go", counter(&server, "http_timeouts"));
    assert!(begun.elapsed() >= PATIENCE_WITH_READERS, "after {:?}", begun.elapsed());
    for http in &mut stopped {
        assert!(http.rest().unwrap().len() < whole.len(), "somebody who does not read has all of it");
    }
    assert!(is_alive(pid));
    server.stop_clean(&[]);
}

/// Who reads some hundred bytes a second gets all of a reply, however long that takes. Who reads nothing is let go, and
/// what the system holds for it is thrown away.
#[test]
fn who_reads_slowly_is_waited_for() {
    let (server, address) = start();
    fill(address);
    let dump = json_rpc("ul_dump", "[]");
    let whole = Http::connect(address).ask(&dump).body;
    let (mut slow, mut stopped) = (Http::connect_narrow(address), Http::connect_narrow(address));
    let begun = Instant::now();
    slow.send(&dump);
    stopped.send(&dump);
    let mut read = 0;
    let has_gone = || counter(&server, "http_timeouts") == 1 || begun.elapsed() > 2 * PATIENCE_WITH_READERS;
    while begun.elapsed() < PATIENCE_WITH_READERS + Duration::from_secs(3) || !has_gone() {
        read += slow.some(150).expect("a part of the reply");
        thread::sleep(Duration::from_millis(500));
    }
    assert!(read < 16 << 10, "{read} bytes are not slow");
    assert_eq!(counter(&server, "http_timeouts"), 1, "those that were let go");
    slow.widen();
    let reply = slow.reply().expect("the rest of the reply");
    // The contacts expire meanwhile.
    assert_eq!((reply.status, reply.body.len()), (200, whole.len()));
    let (got, end) = stopped.abort();
    assert_eq!(end, Some(ErrorKind::ConnectionReset), "after {got} bytes");
    assert!(got < 64 << 10, "{got} bytes came after all");
    server.stop_clean(&[]);
}

/// Connections under full load, each with its own replies in its own order.
#[test]
fn a_hundred_connections_under_load_get_their_own_replies() {
    let (setup, address) = setup();
    let server = setup.param_of("httpd", "children_count", "2").start();
    thread::scope(|scope| {
        for client in 0..100 {
            scope.spawn(move || {
                let mut http = Http::connect(address);
                for number in 0..50 {
                    let id = client * 1000 + number;
                    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"pwd"}}"#);
                    let reply = http.ask(&post("/mi", "application/json", body.as_bytes()));
                    let end = format!(r#","id":{id}}}"#);
                    assert!(reply.status == 200 && reply.text().ends_with(&end), "{reply:?}");
                }
            });
        }
    });
    assert_eq!(counter(&server, "http_requests"), 5000);
    assert_eq!(counter(&server, "http_connections"), 100);
    server.stop_clean(&[]);
}
