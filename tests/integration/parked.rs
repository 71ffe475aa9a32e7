//! Clients that never read their replies: as many as there are workers do not delay the others.
//! C: `mi_send_dgram`. Differs: there the replies that do not fit into the client's queue are lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::datagram::{statistics, statistics_reply};
use crate::support::{
    Client, DEADLINE, HELP, HELP_REPLY, Kind, Server, Setup, Signal, assert_same, send, shown, wait_for,
};

const WORKERS: usize = 4;

/// For how long a good client is timed.
const TIMED: Duration = Duration::from_secs(1);

/// Requests a bad client sends ahead: more replies than its queue holds.
const AHEAD: usize = 200;

/// Lines of a short reply.
const SHORT: usize = 1;

/// Lines of a reply of about 22 KB. Unread, such replies use up the send buffer of the socket they left from, which is
/// the limit for a connected client; and that socket must not be the one that everybody else's replies leave from.
const LONG: usize = 1000;

/// Time between two requests of each other client while the good one is timed.
const PACE: Duration = Duration::from_millis(10);

/// How much slower the good client may be, whatever the factor of two gives.
const ALLOWANCE: Duration = Duration::from_millis(5);

/// The time that 99 of 100 requests of a good client, of the same kind as they are, do not exceed while the `others` go
/// on asking for `lines`. They read their replies or never do.
fn p99(server: &Server, kind: Kind, others: &[Client], lines: usize, read: bool) -> Duration {
    let stop = AtomicBool::new(false);
    let good = server.client_of(kind);
    let request = statistics(lines, 0);
    let asked = std::thread::scope(|scope| {
        for other in others {
            let (stop, request) = (&stop, &request);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A full queue of the server shows as an error here, as these clients do not wait.
                    let _ = other.send(request);
                    std::thread::sleep(PACE);
                    while read && other.receive(Duration::ZERO).is_ok() {}
                }
            });
        }
        let start = Instant::now();
        let mut asked = Vec::new();
        while start.elapsed() < TIMED {
            asked.push(good.try_ask(HELP, DEADLINE));
        }
        stop.store(true, Ordering::Relaxed);
        asked
    });
    let mut times: Vec<Duration> = asked
        .into_iter()
        .map(|asked| {
            let (reply, time) = asked.unwrap_or_else(|error| panic!("a good client got no reply: {error}"));
            assert!(reply == HELP_REPLY, "a good client got\n{}", shown(&reply));
            time
        })
        .collect();
    times.sort();
    times[times.len() * 99 / 100]
}

/// How often it is tried: on a machine that is busy with other things one good round tells more than a bad one.
const TRIES: usize = 4;

fn check(kind: Kind, lines: usize) {
    let mut slow = Vec::new();
    while slow.len() < TRIES {
        match try_once(kind, lines) {
            Ok(()) => return,
            Err(times) => slow.push(times),
        }
    }
    panic!("{kind:?}, {lines} lines: p99 beside clients that never read, and beside others: {slow:?}");
}

/// Fails with the time beside clients that never read and that beside others, when the first is too long.
fn try_once(kind: Kind, lines: usize) -> Result<(), (Duration, Duration)> {
    let server = Setup::unix().workers(WORKERS).start();
    server.wait_for_workers(WORKERS);
    let clients = || -> Vec<Client> { (0..WORKERS).map(|_| server.client_of(kind)).collect() };

    let readers = clients();
    readers.iter().for_each(Client::never_wait);
    let without = p99(&server, kind, &readers, lines, true);
    drop(readers);

    let deaf = clients();
    deaf.iter().for_each(Client::never_wait);
    for client in &deaf {
        for _ in 0..AHEAD {
            wait_for("room in the queue of the server", || client.send(&statistics(lines, 0)).ok());
        }
    }
    let with = p99(&server, kind, &deaf, lines, false);
    let limit = (without * 2).max(without + ALLOWANCE);
    assert_eq!(server.workers().len(), WORKERS);
    server.stop_clean(&[]);
    if with <= limit { Ok(()) } else { Err((with, without)) }
}

#[test]
fn clients_that_never_read_do_not_delay_the_others() {
    check(Kind::Bound, SHORT);
}

#[test]
fn clients_that_never_read_long_replies_do_not_delay_the_others() {
    check(Kind::Bound, LONG);
}

#[test]
fn connected_clients_that_never_read_do_not_delay_the_others() {
    check(Kind::Connected, SHORT);
}

#[test]
fn connected_clients_that_never_read_long_replies_do_not_delay_the_others() {
    check(Kind::Connected, LONG);
}

/// A reply that has to wait is kept for the client, not dropped: once it reads, it has what its queue held and what was
/// parked, in order of its requests as far as they go.
#[test]
fn a_client_that_reads_late_gets_its_replies() {
    let server = Setup::unix().param("socket_timeout", "5000").start();
    let late = server.client();
    let queue: usize =
        std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
    // One more than the queue holds besides the one that may always be added; the last reply has to be parked.
    let requests = queue + 2;
    for _ in 0..requests {
        late.send(HELP).unwrap();
    }
    assert_same("another client meanwhile", HELP_REPLY, &server.ask(HELP));
    for number in 0..requests {
        let reply =
            late.receive(DEADLINE).unwrap_or_else(|error| panic!("reply {number} of {requests}: {error}"));
        assert_same(&format!("reply {number}"), HELP_REPLY, &reply);
    }
    assert!(!late.has_more());
    server.stop_clean(&[]);
}

/// Replies that wait for their clients outlive the worker that was killed, whatever their length.
#[test]
fn a_killed_worker_takes_no_waiting_reply_along() {
    for lines in [SHORT, LONG] {
        let server = Setup::unix().param("socket_timeout", "60000").start();
        let clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
        let queue: usize =
            std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
        let requests = queue + 2;
        for client in &clients {
            (0..requests).for_each(|_| client.send(&statistics(lines, 0)).unwrap());
        }
        // One worker has come to this after all of them.
        assert_same("another client", HELP_REPLY, &server.ask(HELP));
        let victim = server.wait_for_workers(1)[0].pid;
        send(victim, Signal::SIGKILL);
        wait_for("a successor", || (server.workers()[0].pid != victim).then_some(()));
        for client in &clients {
            for number in 0..requests {
                let reply = client.receive(DEADLINE).unwrap_or_else(|error| {
                    panic!("{lines} lines, reply {number} of {requests}: {error}");
                });
                assert_same(&format!("reply {number}"), &statistics_reply(lines, 0), &reply);
            }
            assert!(!client.has_more());
        }
        server.stop_clean(&[]);
    }
}
