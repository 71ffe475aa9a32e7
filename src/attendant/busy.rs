//! C commands that take long: each is told of once, as its process serves nothing else meanwhile. Ends nothing, and looks
//! at no command of the server's own. C has nothing like it.

use std::time::{Duration, Instant};

use crate::capi;
use crate::mi::Context;
use crate::shm::InHand;

/// How long a C command may take before it is told of.
const LIMIT: Duration = Duration::from_secs(5);

/// What each process had in hand at the last look.
#[derive(Debug)]
pub(super) struct Commands(Vec<Option<Seen>>);

/// A command, from the first look that found it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    in_hand: InHand,
    since: Instant,
    is_told: bool,
}

impl Seen {
    /// After another look; true when this is the time to tell.
    fn again(before: Option<Seen>, in_hand: InHand, now: Instant) -> (Seen, bool) {
        match before.filter(|seen| seen.in_hand == in_hand) {
            None => (Seen { in_hand, since: now, is_told: false }, false),
            Some(seen) => {
                let is_late = now.duration_since(seen.since) >= LIMIT;
                (Seen { is_told: is_late, ..seen }, is_late && !seen.is_told)
            }
        }
    }
}

impl Commands {
    pub(super) fn new(processes: usize) -> Commands {
        Commands(vec![None; processes])
    }

    /// Looks at all processes. To be called a few times in a second.
    pub(super) fn look(&mut self, context: &Context, now: Instant) {
        for (id, (slot, seen)) in context.segment.slots().iter().zip(&mut self.0).enumerate() {
            let Some(in_hand) = slot.in_hand() else {
                *seen = None;
                continue;
            };
            let (found, is_due) = Seen::again(*seen, in_hand, now);
            *seen = Some(found);
            if is_due && let Some(command) = capi::in_hand(in_hand) {
                log::warn!(
                    "process {id} ({}, PID {}) has been in {command} for more than {LIMIT:?} and serves nothing else \
                     meanwhile",
                    context.processes[id],
                    slot.pid()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_of_once_and_the_next_one_anew() {
        let start = Instant::now();
        let call = |turn| InHand { command: 3, turn };
        let mut seen = None;
        let mut told = Vec::new();
        for (second, turn) in [(0, 1), (4, 1), (5, 2), (9, 2), (10, 2), (11, 2), (60, 2), (61, 3), (66, 3)] {
            let (found, is_due) = Seen::again(seen, call(turn), start + Duration::from_secs(second));
            seen = Some(found);
            told.extend(is_due.then_some(second));
        }
        assert_eq!(told, [10, 66]);
    }
}
