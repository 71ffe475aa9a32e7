//! The end: all workers, each after the request in hand, then the endpoints. C: SIGTERM in `handle_sigs` in main.c.

use std::time::{Duration, Instant};

use super::Supervisor;
use crate::mi;
use crate::module::Lifecycles;

/// How long workers may take to answer what they have in hand when the server ends. C waits a minute.
const GRACE: Duration = Duration::from_secs(10);

/// How long a killed worker may take to end: the kernel may be at work for it, or a debugger hold it.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// How often a worker that should end is told so. A signal that arrives just before a worker goes to sleep
/// does not wake it; the next one does.
const REMINDER: Duration = Duration::from_millis(20);

impl Supervisor {
    /// Ends all workers, each after the request in hand, and removes the endpoints.
    pub(in crate::attendant) fn end(&mut self) {
        self.terminal.notifier().stopping();
        for pool in &mut self.pools {
            pool.service.close();
        }
        mi::answer_all_pending(self.context.pending);
        let deadline = Instant::now() + GRACE;
        let mut killed = Vec::new();
        loop {
            while let Some((process, _)) = self.next_ended() {
                if let Some(slot) = self.slot_of(process) {
                    self.context.segment.slots()[slot].vacate();
                }
            }
            // A module that waits for children of its own may have got one of these.
            let left: Vec<_> = self
                .worker_slots()
                .filter_map(|slot| Some((slot, self.context.segment.slots()[slot].process()?)))
                .filter(|(_, process)| process.exists())
                .collect();
            if left.is_empty() {
                break;
            }
            let now = Instant::now();
            if now >= deadline + KILL_GRACE {
                for (slot, _) in left {
                    log::error!("{} was killed and has not ended; it is left behind", self.name(slot));
                }
                break;
            }
            let is_late = now >= deadline;
            for (slot, process) in left {
                if !is_late {
                    process.terminate();
                    if self.stopped.contains(process) {
                        process.resume();
                    }
                } else if !killed.contains(&process) {
                    log::warn!("{} has not ended within {GRACE:?} and is killed", self.name(slot));
                    process.kill();
                    killed.push(process);
                }
            }
            self.tell_alive();
            self.wait(REMINDER);
            self.signals.take();
        }
        if let Some(lifecycles) = self.context.states.get::<Lifecycles>() {
            lifecycles.end();
        }
        if self.has_served {
            log::info!("the server has ended");
        }
    }
}
