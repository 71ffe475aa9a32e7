//! Clients begin requests over HTTP and do not end them: 8 000 connections, each with 64 kB of one header.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::{Http, Server, Setup, free_tcp_port, json_rpc, memory_of, skip, wait_for, within};

/// Connections; two workers take 4096 each at most.
const CLIENTS: usize = 8_000;

/// What each sends of its head, in bytes.
const HEAD_BYTES: usize = 64_000;

/// The most that a worker may take while they are there, in kilobytes: 32 MiB for requests, and 20 kB for each of its
/// connections with the buffers that have grown.
const HELD_LIMIT_KB: u64 = (32 << 10) + 4096 * 20;

/// The most that a worker may have kept of it when they have gone, in kilobytes.
const KEPT_LIMIT_KB: u64 = 8 << 10;

/// The longest that a short command may take meanwhile.
const LIMIT: Duration = Duration::from_secs(5);

fn workers(server: &Server) -> Vec<i32> {
    wait_for("two listeners", || {
        let listed = server.ps().into_iter();
        let pids: Vec<i32> = listed.filter(|it| it.kind.starts_with("HTTPD")).map(|it| it.pid).collect();
        (pids.len() == 2 && pids.iter().all(|&pid| pid > 0)).then_some(pids)
    })
}

fn connections(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn heads_that_do_not_end_take_no_more_memory_than_they_may() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < CLIENTS as u64 + 100 {
        return skip("heads_that_do_not_end_take_no_more_memory_than_they_may", "too few descriptors");
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::from((host, free_tcp_port(host)));
    let setup = Setup::unix().module("httpd").module("mi_http");
    let setup = setup.param_of("httpd", "port", &address.port().to_string());
    let server = setup.param_of("httpd", "children_count", "2").start();
    let pids = workers(&server);
    let memory = || pids.iter().map(|&pid| memory_of(pid)).collect::<Vec<u64>>();
    let (before, idle) = (memory(), connections(pids[0]));

    let mut head = b"POST /mi HTTP/1.1\r\nX: ".to_vec();
    head.resize(HEAD_BYTES, b'x');
    let mut clients = Vec::new();
    let (mut slowest, mut most) = (Duration::ZERO, 0);
    for number in 0..CLIENTS {
        // Some are closed for others meanwhile.
        if let Ok(mut http) = Http::try_connect(address) {
            http.send_if_open(&head);
            clients.push(http);
        }
        if number % 200 == 0 {
            let asked = Instant::now();
            assert_eq!(Http::connect(address).ask(&json_rpc("pwd", "[]")).status, 200);
            slowest = slowest.max(asked.elapsed());
            most = most.max(memory().into_iter().max().unwrap());
        }
    }
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(Http::connect(address).ask(&json_rpc("pwd", "[]")).status, 200);
        slowest = slowest.max(asked.elapsed());
        most = most.max(memory().into_iter().max().unwrap());
        thread::sleep(Duration::from_millis(100));
    }
    drop(clients);
    let settled = || {
        let after = memory();
        let is_small = after.iter().zip(&before).all(|(after, before)| *after < before + KEPT_LIMIT_KB);
        (is_small && connections(pids[0]) <= idle).then_some(after)
    };
    let after = within(Duration::from_secs(20), settled);
    println!(
        "http_heads: {before:?} kB before, {most} kB at most in a worker, {after:?} kB when they had gone; slowest \
         short command {slowest:?}"
    );
    assert!(most < HELD_LIMIT_KB, "{most} kB, with a limit of {HELD_LIMIT_KB}");
    assert!(after.is_some(), "{:?} kB are kept", memory());
    assert!(slowest < LIMIT, "a short command took {slowest:?}");
    server.stop_clean(&[]);
}
