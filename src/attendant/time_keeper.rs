//! The process that runs the modules' timers. C: `time_keeper` in timer.c.

use crate::module::{OpenError, Process, Rank, Service};
use crate::timer::{self, Timer};

/// The service without an endpoint.
#[derive(Debug)]
pub(super) struct TimeKeeper(Vec<Timer>);

impl TimeKeeper {
    pub(super) fn new(timers: Vec<Timer>) -> TimeKeeper {
        TimeKeeper(timers)
    }
}

impl Service for TimeKeeper {
    fn description(&self) -> &'static str {
        "time_keeper"
    }

    /// C modules have no part in it: their timers run elsewhere.
    fn rank(&self) -> Rank {
        Rank::Plain
    }

    fn workers(&self) -> usize {
        1
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        process.set_ready();
        timer::run(&self.0, process.context(), || process.should_stop());
        Ok(())
    }
}
