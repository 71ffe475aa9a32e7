//! Workers that a signal has stopped, as SIGSTOP does: one that is not continued soon is ended, and so replaced. A process
//! under a debugger is not one of them. C has nothing like it.

use std::time::{Duration, Instant};

use crate::system::process::ProcessId;

/// How long a worker may be stopped.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// The workers that are stopped, by what `waitpid` has told.
#[derive(Debug, Default)]
pub(super) struct StoppedWorkers(Vec<Stopped>);

#[derive(Debug)]
struct Stopped {
    process: ProcessId,
    since: Instant,
    is_told: bool,
}

impl StoppedWorkers {
    /// A worker was stopped.
    pub(super) fn add(&mut self, process: ProcessId, now: Instant) {
        if !self.contains(process) {
            self.0.push(Stopped { process, since: now, is_told: false });
        }
    }

    /// A worker goes on, or has ended.
    pub(super) fn remove(&mut self, process: ProcessId) {
        self.0.retain(|stopped| stopped.process != process);
    }

    /// Whether a worker is stopped.
    pub(super) fn contains(&self, process: ProcessId) -> bool {
        self.0.iter().any(|stopped| stopped.process == process)
    }

    /// Those that have been stopped for too long, each once.
    pub(super) fn late(&mut self, now: Instant) -> Vec<ProcessId> {
        let is_late = |stopped: &&mut Stopped| !stopped.is_told && now.duration_since(stopped.since) >= LIMIT;
        self.0
            .iter_mut()
            .filter(is_late)
            .map(|stopped| {
                stopped.is_told = true;
                stopped.process
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_worker_is_late_once_and_one_that_goes_on_never() {
        let start = Instant::now();
        let [first, second] = [11, 12].map(|number| ProcessId::from_number(number).unwrap());
        let mut stopped = StoppedWorkers::default();
        stopped.add(first, start);
        stopped.add(second, start);
        stopped.add(first, start + LIMIT / 2);
        stopped.remove(second);
        assert!(stopped.contains(first) && !stopped.contains(second));
        assert_eq!(stopped.late(start + LIMIT / 2), []);
        assert_eq!(stopped.late(start + LIMIT), [first]);
        assert_eq!(stopped.late(start + 2 * LIMIT), []);
        stopped.add(second, start + LIMIT);
        assert_eq!(stopped.late(start + 2 * LIMIT), [second]);
    }
}
