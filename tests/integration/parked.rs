//! Clients that never read their replies: as many as there are workers do not delay the others.
//! C: `mi_send_dgram`. Differs: there the replies that do not fit into the client's queue are lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::datagram::{statistics, statistics_reply};
use crate::support::unread::statistic;
use crate::support::{
    Client, DEADLINE, HELP, HELP_REPLY, Kind, Server, Setup, Signal, StopOnDrop, assert_same, median, send,
    wait_for,
};

const WORKERS: usize = 4;

/// How long the server keeps a reply, in milliseconds: longer than the test takes, so that it waits all the time.
const KEPT: &str = "600000";

/// Requests that are timed, of each server.
const TIMED: usize = 100;

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

/// Lets each client ask for `lines` again and again until that is over. Clients `read` their replies or never do.
fn ask_again(clients: &[Client], lines: usize, read: bool, is_over: &AtomicBool) {
    let request = statistics(lines, 0);
    while !is_over.load(Ordering::Relaxed) {
        for client in clients {
            // A full queue of the server shows as an error here, as these clients do not wait.
            let _ = client.send(&request);
            while read && client.receive(Duration::ZERO).is_ok() {}
        }
        std::thread::sleep(PACE);
    }
}

/// The time of one request.
fn time(client: &Client) -> Duration {
    let start = Instant::now();
    assert_same("a good client", HELP_REPLY, &client.ask(HELP));
    start.elapsed()
}

/// Two servers with the same load, of which one has clients that never read. Requests to both take turns, so that whatever
/// else the machine does makes both slower. A worker that waited for a client would wait until the end of the test.
fn check(kind: Kind, lines: usize) {
    let [quiet, hindered] = [(), ()].map(|()| {
        let server = Setup::unix().workers(WORKERS).param("socket_timeout", KEPT).start();
        server.wait_for_workers(WORKERS);
        server
    });
    let clients = |server: &Server| -> Vec<Client> {
        let clients: Vec<Client> = (0..WORKERS).map(|_| server.client_of(kind)).collect();
        clients.iter().for_each(Client::never_wait);
        clients
    };
    let (readers, never) = (clients(&quiet), clients(&hindered));
    for client in &never {
        for _ in 0..AHEAD {
            wait_for("room in the queue of the server", || client.send(&statistics(lines, 0)).ok());
        }
    }
    let is_over = AtomicBool::new(false);
    let good = [&quiet, &hindered].map(|server| server.client_of(kind));
    let mut times = [Vec::new(), Vec::new()];
    std::thread::scope(|scope| {
        let _is_over = StopOnDrop(&is_over);
        scope.spawn(|| ask_again(&readers, lines, true, &is_over));
        scope.spawn(|| ask_again(&never, lines, false, &is_over));
        for _ in 0..TIMED {
            for (client, times) in good.iter().zip(&mut times) {
                times.push(time(client));
            }
        }
    });
    let [without, with] = times.map(median);
    assert!(
        with <= (without * 2).max(without + ALLOWANCE),
        "{with:?} beside clients that never read, {without:?} beside others"
    );
    let parked = statistic(&hindered, "datagram_parked_replies");
    // A connected client's queue has no limit of its own.
    assert!(parked > 0 || kind == Kind::Connected, "nothing had to wait");
    assert_eq!(statistic(&hindered, "datagram_timeouts"), 0);
    for server in [quiet, hindered] {
        assert_eq!(server.workers().len(), WORKERS);
        server.stop_clean(&[]);
    }
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
