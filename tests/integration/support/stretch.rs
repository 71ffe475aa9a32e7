//! For how long a process serves nobody else: its processor time between a client's request and the reply to it. Time in
//! which the machine runs other programs does not count.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{StopOnDrop, skip};

/// The processor time of a process so far; `None` where the kernel does not count it in nanoseconds.
pub(crate) fn processor_time(pid: i32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// The most processor time that a process took until `neighbour` had its reply, while `heavy` waits for its own.
/// `neighbour` asks once each time; both fail the test when no reply comes.
pub(crate) fn longest_stretch(
    pid: i32,
    heavy: impl FnOnce() + Send,
    mut neighbour: impl FnMut(),
) -> Option<Duration> {
    if processor_time(pid).is_none_or(|time| time.is_zero()) {
        skip("longest stretch", "this kernel has no /proc/PID/schedstat");
        return None;
    }
    let time = || processor_time(pid).expect("the process lives");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let _stop = StopOnDrop(&is_done);
            heavy();
        });
        let mut longest = Duration::ZERO;
        while !is_done.load(Ordering::Relaxed) {
            let before = time();
            neighbour();
            longest = longest.max(time().saturating_sub(before));
        }
        running.join().unwrap();
        Some(longest)
    })
}
