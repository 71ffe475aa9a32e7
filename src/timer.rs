//! Timers: what modules want done from time to time, and the loop that does it.
//!
//! One process, the time keeper, runs them all, one after the other; a timer that takes long delays the others
//! and nobody else. C: timer.c, where each may have a process of its own.

use std::time::{Duration, Instant};

use crate::mi::Context;
use crate::system::datagram;

/// Something to be done every `interval`.
#[derive(Clone, Copy)]
pub struct Timer {
    /// For the log.
    pub name: &'static str,
    /// Time between the ends of two runs.
    pub interval: Duration,
    /// What is done.
    pub run: fn(&Context),
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Timer({} every {:?})", self.name, self.interval)
    }
}

/// How long the loop sleeps when nothing is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs timers until `should_stop`, which is asked after each sleep. Signals end a sleep early.
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

/// Lets the attendant see a timer that takes long.
fn set_busy(context: &Context, is_busy: bool) {
    context.segment.slots().get(context.slot).into_iter().for_each(|slot| slot.set_busy(is_busy));
}
