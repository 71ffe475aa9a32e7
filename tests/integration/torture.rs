//! Kills under load, at the start and at the end: no wrong reply, nothing lost but the requests in hand, nothing left.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    DEADLINE, HELP, HELP_REPLY, Process, Server, Setup, Signal, StopOnDrop, assert_same, children_of, send,
    shown, wait_for, within,
};

/// How long a client under load waits for a reply before it takes it for lost.
const LOST_AFTER: Duration = Duration::from_millis(500);

/// Time from one kill to the next.
const KILL_EVERY: Duration = Duration::from_millis(50);

/// What clients under load saw.
#[derive(Default)]
struct Seen {
    right: AtomicUsize,
    lost: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

/// Asks until `stop` or until the server is gone, each time with another wanted reply. After a lost reply the client
/// begins again under a new name, so that a late reply cannot be taken for the next one.
fn load(server: &Server, number: usize, stop: &AtomicBool, seen: &Seen) {
    let mut client = server.client();
    for count in (0_usize..).map(|count| (count * 4 + number) % 199) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let request = format!(":get_statistics:\nrcv_requests\n{}", "rcv_replies\n".repeat(count));
        let wanted = format!("200 OK\ncore:rcv_requests:: 0\n{}", "core:rcv_replies:: 0\n".repeat(count));
        if client.send(request.as_bytes()).is_err() {
            return;
        }
        match client.receive(LOST_AFTER) {
            Ok(reply) if reply == wanted.as_bytes() => {
                seen.right.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) => seen.wrong.lock().unwrap().push(format!("to {count} lines came\n{}", shown(&reply))),
            Err(_) => {
                seen.lost.fetch_add(1, Ordering::Relaxed);
                client = server.client();
            }
        }
    }
}

/// Runs `act` under the load of 4 clients and returns its result with the right and the lost replies. Fails the test on
/// a wrong reply.
#[track_caller]
fn under_load<T>(server: &Server, act: impl FnOnce() -> T) -> (T, usize, usize) {
    let (stop, seen) = (AtomicBool::new(false), Seen::default());
    let result = std::thread::scope(|scope| {
        // Ends the load also when `act` fails.
        let _stop = StopOnDrop(&stop);
        for number in 0..4 {
            let (stop, seen) = (&stop, &seen);
            scope.spawn(move || load(server, number, stop, seen));
        }
        wait_for("the load to begin", || (seen.right.load(Ordering::Relaxed) > 20).then_some(()));
        act()
    });
    let wrong = seen.wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong replies, the first: {}", wrong.len(), wrong[0]);
    (result, seen.right.into_inner(), seen.lost.into_inner())
}

/// Kills a worker chosen at random every 50 ms: 3 s, or `MI_TORTURE_SECONDS`.
#[test]
fn random_kills_under_load_lose_only_requests_in_hand() {
    let seconds =
        std::env::var("MI_TORTURE_SECONDS").map_or(3, |text| text.parse().expect("a number of seconds"));
    let server = Setup::unix().workers(4).start();
    let first = server.wait_for_workers(4);
    let is_worker = |pid: &i32| first.iter().any(|worker| worker.pid == *pid);
    let others: Vec<i32> = children_of(server.pid()).into_iter().filter(|pid| !is_worker(pid)).collect();

    let (kills, right, lost) = under_load(&server, || {
        let mut seed = u64::from(std::process::id());
        let mut kills = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(seconds) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let victims: Vec<i32> =
                children_of(server.pid()).into_iter().filter(|pid| !others.contains(pid)).collect();
            if !victims.is_empty() {
                send(victims[usize::try_from(seed >> 33).unwrap() % victims.len()], Signal::SIGKILL);
                kills += 1;
            }
            std::thread::sleep(KILL_EVERY);
        }
        kills
    });
    assert!(kills >= 20, "only {kills} kills");
    assert!(right > 10 * kills, "only {right} replies at {kills} kills");
    assert!(lost <= kills, "{lost} requests without a reply at {kills} kills, {right} right replies");
    let after = server.wait_for_workers(4);
    let ids = |workers: &[Process]| workers.iter().map(|worker| worker.id).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&first));
    assert_same("after the torture", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);
}

/// The first children are killed as soon as they exist, so before most are ready.
#[test]
fn kills_at_the_start_do_not_hinder_it() {
    for victims in 1..=4 {
        let setup = Setup::unix().workers(4);
        let mut killed: Vec<i32> = Vec::new();
        let server = setup.start_while(|attendant| {
            within(DEADLINE, || {
                let new = children_of(attendant).into_iter().find(|pid| !killed.contains(pid))?;
                send(new, Signal::SIGKILL);
                killed.push(new);
                (killed.len() == victims).then_some(())
            });
        });
        assert_eq!(killed.len(), victims, "there was nothing to kill; stderr:\n{}", server.stderr());
        wait_for("four workers besides those killed", || {
            let workers = server.wait_for_workers(4);
            workers.iter().all(|worker| !killed.contains(&worker.pid)).then_some(())
        });
        assert_same("after kills at the start", HELP_REPLY, &server.ask(HELP));
        server.stop_clean(&[]);
    }
}

#[test]
fn kills_at_the_end_do_not_hinder_it() {
    for round in 0..4 {
        let mut server = Setup::unix().workers(4).start();
        let workers = server.wait_for_workers(4);
        // Before the signal, after it, and both.
        let (before, after) = workers.split_at(round + 1);
        before.iter().for_each(|worker| send(worker.pid, Signal::SIGKILL));
        send(server.pid(), Signal::SIGTERM);
        after.iter().for_each(|worker| send(worker.pid, Signal::SIGKILL));
        let status = server.wait_end().unwrap();
        assert!(status.success(), "round {round}: {status:?}: {}", server.stderr());
        server.assert_gone(&[]);
    }
}

/// Also before all workers are ready a stop is what was asked for, not a failure.
#[test]
fn a_stop_at_the_start_is_a_clean_one() {
    for round in 0..8 {
        let setup = Setup::unix().workers(4);
        let child = setup.spawn();
        let attendant = i32::try_from(child.id()).unwrap();
        // Earlier, the signal would end a process that has not come to take signals yet.
        wait_for("the first worker", || (children_of(attendant).len() > round % 4).then_some(()));
        send(attendant, Signal::SIGTERM);
        let outcome = setup.wait(child);
        assert!(outcome.status.success(), "round {round}: {outcome:#?}");
        assert!(!setup.socket().exists(), "round {round}: the socket is left");
        let left = setup.processes();
        assert!(left.is_empty(), "round {round}: processes left: {left:?}");
    }
}

/// A clean stop under load: what is answered is right, and at most the requests in the queue go unanswered.
#[test]
fn a_stop_under_load_answers_right_or_not_at_all() {
    let mut server = Setup::unix().workers(2).start();
    server.wait_for_workers(2);
    let attendant = server.pid();
    let ((), right, lost) = under_load(&server, || {
        send(attendant, Signal::SIGTERM);
        wait_for("the socket to go", || (!server.socket().exists()).then_some(()));
    });
    let status = server.wait_end().unwrap();
    assert!(status.success(), "{status:?}: {}", server.stderr());
    assert!(right > 0 && lost <= 4, "{right} right, {lost} lost, more than the 4 clients had in flight");
    server.assert_gone(&[]);
}
