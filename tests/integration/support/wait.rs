//! Waiting until something is so, with a deadline. Never a fixed pause in the hope that it will be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it. Far above what a healthy server needs, so that a busy
/// machine does not fail a test; where a time is the contract, the test says its own.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Pause between two looks.
const STEP: Duration = Duration::from_millis(1);

/// Looks until `look` returns something and returns it with the time it took; `None` after `limit`.
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<(T, Duration)> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some((found, start.elapsed()));
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(STEP);
    }
}

/// As [`within`] with [`DEADLINE`]; fails the test with `what` when it does not come.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    match within(DEADLINE, look) {
        Some((found, _)) => found,
        None => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}

/// Tells the threads of a test that it is done, also when it fails: the scope that it ends waits for them.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The time that half of the requests do not exceed.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
