//! Processes that hold a lock of the table for too long. C has nothing like it.

use std::time::{Duration, Instant};

use crate::mi::Context;
use crate::shm::keyed::Holder;

/// How long a lock of the table may be held, which otherwise takes microseconds.
const LIMIT: Duration = Duration::from_secs(3);

/// Locks of the table that were held at the last look, and since when.
#[derive(Debug, Default)]
pub(super) struct LockWatch(Vec<(Holder, Instant)>);

impl LockWatch {
    /// Ends a worker that holds a lock of the table for seconds: it was stopped or hangs, and holds up whoever needs
    /// the same shard. The lock's next owner makes whole what it leaves.
    pub(super) fn look(&mut self, context: &Context, now: Instant) {
        let held: Vec<Holder> = context.segment.table().holders().collect();
        self.0.retain(|(holder, _)| held.contains(holder));
        for holder in held {
            match self.0.iter().find(|(known, _)| *known == holder) {
                None => self.0.push((holder, now)),
                Some((_, since)) if now.duration_since(*since) < LIMIT => {}
                Some(_) => {
                    let slots = context.segment.slots().iter().skip(1);
                    let holding = slots.zip(1..).find(|(slot, _)| slot.process() == Some(holder.process));
                    if let Some((_, id)) = holding {
                        log::error!("process {id} holds a lock for more than {LIMIT:?} and is ended");
                        holder.process.kill();
                    }
                }
            }
        }
    }
}
