//! One client sends requests as fast as it can and reads every reply; another one asks now and then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{HELP, HELP_REPLY, Setup, StopOnDrop, VERSION};

/// How long the flood lasts.
const FLOOD: Duration = Duration::from_secs(10);

/// Time between two requests of the other client.
const PACE: Duration = Duration::from_millis(5);

/// The longest that the other client may wait for one reply.
const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn a_client_that_floods_one_worker_delays_no_other_client() {
    let server = Setup::unix().start();
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| {
            let client = server.client();
            while !stop.load(Ordering::Relaxed) {
                client.ask(VERSION);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let client = server.client();
        let start = Instant::now();
        while start.elapsed() < FLOOD {
            let asked = Instant::now();
            assert_eq!(client.ask(HELP), HELP_REPLY);
            slowest = slowest.max(asked.elapsed());
            thread::sleep(PACE);
        }
    });
    println!("flood: {} requests, slowest reply of the other client {slowest:?}", sent.into_inner());
    assert!(slowest < LIMIT, "a reply took {slowest:?}");
}
