//! The processes that run C modules' timers, apart from the time keeper, so that none of its work waits for a slow one
//! or dies with it. C: `run_timer_process` in timer.c.
#![expect(unsafe_code, reason = "functions of C are called")]

use std::ffi::c_void;
use std::time::Duration;

use super::c_strings;
use super::layouts::{self, RegisteredTimer, TIMER_INIT_FLAG, TimerProcess};
use crate::module::{OpenError, Process, Rank, Service};
use crate::system::datagram;

/// The least interval of a timer that counts seconds, in microseconds. C: `TIMER_TICK`.
const MICROS_PER_SECOND: u64 = 1_000_000;

/// The least interval of one that counts microseconds, in microseconds. C: `UTIMER_TICK`.
const LEAST_UTIMER_MICROS: u64 = 100_000;

/// How long the loop sleeps at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// A process's timers, in the order in which those run that are due together.
#[derive(Debug)]
struct TimerService {
    description: String,
    rank: Rank,
    timers: Vec<ModuleTimer>,
}

#[derive(Debug)]
struct ModuleTimer {
    label: String,
    function: TimerFunction,
    param: *mut c_void,
    /// From the beginning of one run to that of the next, in microseconds.
    interval: u64,
}

/// What is called, with its own unit of time.
#[derive(Clone, Copy, Debug)]
enum TimerFunction {
    Seconds(unsafe extern "C" fn(u32, *mut c_void)),
    Micros(unsafe extern "C" fn(u64, *mut c_void)),
}

impl TimerFunction {
    /// The unit of its intervals, and the least of them.
    fn units(self) -> (u64, u64) {
        match self {
            TimerFunction::Seconds(_) => (MICROS_PER_SECOND, MICROS_PER_SECOND),
            TimerFunction::Micros(_) => (1, LEAST_UTIMER_MICROS),
        }
    }
}

/// The processes for the timers that C modules have registered, none when there are none. When all modules have begun:
/// from here on they can register nothing more, of any kind.
#[must_use]
pub fn timer_services() -> Vec<Box<dyn Service>> {
    // SAFETY: sets a variable of the shim.
    unsafe { layouts::opensips_mi_close_registration() };
    // SAFETY: no more than a look at a variable of the shim.
    let first = unsafe { layouts::opensips_mi_timer_processes() };
    // SAFETY: null, or a process of the shim's list, which is never freed.
    let all = std::iter::successors(unsafe { first.as_ref() }, |process| unsafe { process.next.as_ref() });
    all.filter_map(|process| Some(Box::new(TimerService::new(process)?) as Box<dyn Service>)).collect()
}

impl TimerService {
    fn new(process: &TimerProcess) -> Option<TimerService> {
        // SAFETY: null, or a timer of the shim's list, which is never freed.
        let all =
            std::iter::successors(unsafe { process.timers.as_ref() }, |timer| unsafe { timer.next.as_ref() });
        let timers: Vec<ModuleTimer> = all.filter_map(module_timer).collect();
        let named =
            timers.iter().find(|row| matches!(row.function, TimerFunction::Micros(_))).or(timers.first())?;
        let description = format!("timer: {}", named.label);
        let rank = if process.flags & TIMER_INIT_FLAG == 0 { Rank::Plain } else { Rank::Timer };
        Some(TimerService { description, rank, timers })
    }
}

fn module_timer(timer: &RegisteredTimer) -> Option<ModuleTimer> {
    let function = match (timer.seconds, timer.micros) {
        (Some(function), _) => TimerFunction::Seconds(function),
        (None, function) => TimerFunction::Micros(function?),
    };
    let (unit, least) = function.units();
    // SAFETY: the shim's own copy of a string.
    let label = unsafe { c_strings::to_string_lossy(timer.label) }.unwrap_or_default();
    let interval = (u64::from(timer.interval) * unit).max(least);
    Some(ModuleTimer { label, function, param: timer.param, interval })
}

impl ModuleTimer {
    /// Runs it, at this time, and says so when it takes longer than others may have to wait.
    fn run(&self, now: u64) {
        log::debug!("timer {}", self.label);
        match self.function {
            // SAFETY: the function is one of the type that its module registers, with its own parameter.
            TimerFunction::Seconds(function) => unsafe {
                function(u32::try_from(now / MICROS_PER_SECOND).unwrap_or(u32::MAX), self.param);
            },
            // SAFETY: as above.
            TimerFunction::Micros(function) => unsafe { function(now, self.param) },
        }
        let (took, (_, most)) = (micros_since_start() - now, self.function.units());
        if took > most {
            log::warn!(often = true; "timer {} took {took} microseconds; the others of its process waited", self.label);
        }
    }
}

/// Since the server's start.
fn micros_since_start() -> u64 {
    // SAFETY: looks at a clock.
    unsafe { layouts::get_uticks() }
}

/// When a timer is due again that was due, and runs now: what it has missed is not made up for.
fn next_due(due: u64, interval: u64, now: u64) -> u64 {
    if due + interval > now { due + interval } else { now + interval }
}

impl Service for TimerService {
    fn description(&self) -> &str {
        &self.description
    }

    fn rank(&self) -> Rank {
        self.rank
    }

    fn workers(&self) -> usize {
        1
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        process.set_ready();
        let start = micros_since_start();
        let mut due: Vec<(u64, &ModuleTimer)> =
            self.timers.iter().map(|row| (start + row.interval, row)).collect();
        while !process.should_stop() {
            for (at, row) in &mut due {
                let now = micros_since_start();
                if *at <= now {
                    *at = next_due(*at, row.interval, now);
                    row.run(now);
                }
            }
            let first = due.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
            let left = Duration::from_micros(first.saturating_sub(micros_since_start()));
            datagram::wait_any(&[], left.min(LONGEST_SLEEP));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_keeps_its_pace_and_makes_up_for_nothing() {
        assert_eq!(next_due(100, 10, 100), 110);
        assert_eq!(next_due(100, 10, 109), 110);
        assert_eq!(next_due(100, 10, 110), 120);
        assert_eq!(next_due(100, 10, 1000), 1010);
    }
}
