//! Runs the timers of C modules in processes of their own, so that a slow or crashing timer does not disturb
//! the time keeper. C: `run_timer_process` in timer.c.
#![expect(unsafe_code, reason = "calls C functions")]

use std::ffi::c_void;
use std::time::Duration;

use super::c_strings;
use super::layouts::{self, RegisteredTimer, TIMER_INIT_FLAG, TimerProcess};
use crate::module::{OpenError, Process, Rank, Service};
use crate::system::datagram;

/// A second, in microseconds: also the shortest interval of a timer that counts seconds. C: `TIMER_TICK`.
const MICROS_PER_SECOND: u64 = 1_000_000;

/// The shortest interval of a timer that counts microseconds, in microseconds. C: `UTIMER_TICK`.
const LEAST_UTIMER_MICROS: u64 = 100_000;

/// The longest sleep between two rounds.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// One process that runs timers.
#[derive(Debug)]
struct TimerService {
    description: String,
    rank: Rank,
    /// In the order in which timers that are due together run.
    timers: Vec<ModuleTimer>,
}

/// A timer of a module.
#[derive(Debug)]
struct ModuleTimer {
    label: String,
    function: TimerFunction,
    param: *mut c_void,
    /// Time from the start of one run to the start of the next, in microseconds.
    interval: u64,
}

/// The function of a timer, by the unit in which it takes the time.
#[derive(Clone, Copy, Debug)]
enum TimerFunction {
    Seconds(unsafe extern "C" fn(u32, *mut c_void)),
    Micros(unsafe extern "C" fn(u64, *mut c_void)),
}

impl TimerFunction {
    /// The unit of registered intervals, and the shortest interval, both in microseconds.
    fn unit_and_minimum(self) -> (u64, u64) {
        match self {
            TimerFunction::Seconds(_) => (MICROS_PER_SECOND, MICROS_PER_SECOND),
            TimerFunction::Micros(_) => (1, LEAST_UTIMER_MICROS),
        }
    }
}

/// The processes for all registered timers; empty when no timer is registered. Called when all init functions
/// have returned: it also ends registration of any kind.
#[must_use]
pub fn timer_services() -> Vec<Box<dyn Service>> {
    // SAFETY: sets a variable of the shim.
    unsafe { layouts::opensips_mi_close_registration() };
    // SAFETY: reads a variable of the shim.
    let first = unsafe { layouts::opensips_mi_timer_processes() };
    // SAFETY: null or a process of the shim's list, which is never freed.
    let all = std::iter::successors(unsafe { first.as_ref() }, |process| unsafe { process.next.as_ref() });
    all.filter_map(|process| Some(Box::new(TimerService::new(process)?) as Box<dyn Service>)).collect()
}

impl TimerService {
    fn new(process: &TimerProcess) -> Option<TimerService> {
        // SAFETY: null or a timer of the shim's list, which is never freed.
        let all =
            std::iter::successors(unsafe { process.timers.as_ref() }, |timer| unsafe { timer.next.as_ref() });
        let timers: Vec<ModuleTimer> = all.filter_map(module_timer).collect();
        let named = timers
            .iter()
            .find(|timer| matches!(timer.function, TimerFunction::Micros(_)))
            .or(timers.first())?;
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
    let (unit, least) = function.unit_and_minimum();
    // SAFETY: the shim's own copy of a string.
    let label = unsafe { c_strings::to_string_lossy(timer.label) }.unwrap_or_default();
    let interval = (u64::from(timer.interval) * unit).max(least);
    Some(ModuleTimer { label, function, param: timer.param, interval })
}

impl ModuleTimer {
    /// Runs the timer at the time `now`. Logs a warning when the run takes longer than the shortest interval
    /// of its kind, as the other timers of the process wait meanwhile.
    fn run(&self, now: u64) {
        log::debug!("timer {}", self.label);
        match self.function {
            // SAFETY: the module registered a function of this type, with its own parameter.
            TimerFunction::Seconds(function) => unsafe {
                function(u32::try_from(now / MICROS_PER_SECOND).unwrap_or(u32::MAX), self.param);
            },
            // SAFETY: as above.
            TimerFunction::Micros(function) => unsafe { function(now, self.param) },
        }
        let (took, (_, limit)) = (micros_since_start() - now, self.function.unit_and_minimum());
        if took > limit {
            log::warn!(often = true; "timer {} took {took} microseconds; the others of its process waited", self.label);
        }
    }
}

/// Time since the server's start, in microseconds.
fn micros_since_start() -> u64 {
    // SAFETY: reads a clock.
    unsafe { layouts::get_uticks() }
}

/// When a timer is due again that was due at `due` and runs at `now`. Missed runs are not made up for.
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
            self.timers.iter().map(|timer| (start + timer.interval, timer)).collect();
        while !process.should_stop() {
            for (at, timer) in &mut due {
                let now = micros_since_start();
                if *at <= now {
                    *at = next_due(*at, timer.interval, now);
                    timer.run(now);
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
    fn a_late_timer_keeps_its_interval_and_makes_up_for_no_missed_run() {
        assert_eq!(next_due(100, 10, 100), 110);
        assert_eq!(next_due(100, 10, 109), 110);
        assert_eq!(next_due(100, 10, 110), 120);
        assert_eq!(next_due(100, 10, 1000), 1010);
    }
}
