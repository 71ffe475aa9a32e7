//! Runs the periodic tasks of all modules, in one process, the time keeper.
//!
//! The tasks run one after the other, so a slow one delays only other tasks. C: timer.c, where a task may
//! have a process of its own.

use std::time::{Duration, Instant};

use crate::mi::Context;
use crate::system::datagram;

/// A periodic task.
#[derive(Clone, Copy)]
pub struct Timer {
    /// The name, for the log.
    pub name: &'static str,
    /// Time from the end of a run to the start of the next one.
    pub interval: Duration,
    /// The task.
    pub run: fn(&Context),
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Timer({} every {:?})", self.name, self.interval)
    }
}

/// The longest sleep between two checks of `should_stop`.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs the timers until `should_stop` returns true. It is called after each sleep; a signal ends a sleep
/// early.
pub fn run(timers: &[Timer], context: &Context, should_stop: impl Fn() -> bool) {
    let start = Instant::now();
    let mut due: Vec<(Instant, &Timer)> =
        timers.iter().map(|timer| (start + timer.interval, timer)).collect();
    while !should_stop() {
        let now = Instant::now();
        for (next, timer) in &mut due {
            if *next <= now {
                log::debug!("timer {}", timer.name);
                set_busy(context, true);
                (timer.run)(context);
                set_busy(context, false);
                *next = Instant::now() + timer.interval;
            }
        }
        let next = due.iter().map(|(next, _)| *next).min().unwrap_or(now + LONGEST_SLEEP);
        datagram::wait_any(&[], next.saturating_duration_since(Instant::now()).min(LONGEST_SLEEP));
    }
}

/// Marks the process as busy while a task runs, so that the attendant notices one that hangs.
fn set_busy(context: &Context, is_busy: bool) {
    context.segment.slots().get(context.slot).into_iter().for_each(|slot| slot.set_busy(is_busy));
}
