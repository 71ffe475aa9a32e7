//! Workers that do not go on: one that is busy with one request, and one that does not end when the server does.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::support::{HELP, HELP_REPLY, Setup, Signal, skip, within};

/// How long the log may take to name a worker that is busy for more than 5 s.
const NAMED_WITHIN: Duration = Duration::from_secs(12);

/// How long a Redis server that does not answer keeps a worker, in milliseconds.
const QUERY_TIMEOUT: &str = "15000";

#[test]
fn a_worker_that_is_busy_for_long_is_named_once() {
    let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("\"redis:mute://127.0.0.1:{}/\"", mute.local_addr().unwrap().port());
    let setup =
        Setup::unix().workers(2).module("cachedb_redis").param_of("cachedb_redis", "cachedb_url", &url);
    let setup = setup.param_of("cachedb_redis", "query_timeout", QUERY_TIMEOUT);
    let server = setup.param_of("cachedb_redis", "connect_timeout", QUERY_TIMEOUT).start();
    server.wait_for_workers(2);
    let client = server.client();
    let start = Instant::now();
    client.send(b":cache_fetch:\nredis:mute\nkey\n").unwrap();
    let line = "has been busy with one request for more than 5s";
    let told = within(NAMED_WITHIN, || server.stderr().contains(line).then_some(()));
    println!("stuck: named after {:?}", start.elapsed());
    assert!(told.is_some(), "{}", server.stderr());
    assert_eq!(server.client().ask(HELP), HELP_REPLY);
    client.receive(2 * NAMED_WITHIN).unwrap();
    assert_eq!(server.stderr().matches(line).count(), 1, "{}", server.stderr());
    server.stop_clean(&[]);
}

/// A debugger keeps it: SIGCONT does not help.
#[test]
fn a_worker_that_does_not_end_is_killed_and_named() {
    let mut server = Setup::unix().workers(2).slow().start();
    let victim = server.wait_for_workers(2)[0].pid;
    let pid = Pid::from_raw(victim);
    if let Err(error) = ptrace::seize(pid, ptrace::Options::empty()).and_then(|()| ptrace::interrupt(pid)) {
        return skip("stuck::a_worker_that_does_not_end_is_killed_and_named", &format!("ptrace: {error}"));
    }
    // Under a debugger it is not replaced.
    assert!(within(Duration::from_secs(4), || (server.workers()[0].pid != victim).then_some(())).is_none());
    let start = Instant::now();
    let status = server.stop(Signal::SIGTERM).unwrap();
    println!("stuck: the end took {:?}", start.elapsed());
    assert!(status.success(), "{status:?}");
    let line = format!("PID {victim}) has not ended within 10s and is killed");
    assert_eq!(server.stderr().matches(&line).count(), 1, "{}", server.stderr());
    // The thread of the test traces it and does not wait for it, so it stays a zombie.
    assert!(server.stderr().contains(&format!("PID {victim}) was killed and has not ended")));
}
