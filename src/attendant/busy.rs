//! Processes that take long for one thing: a request, a timer, a C command. Each is told of once, as its process serves
//! nothing else meanwhile. Ends nothing. C has nothing like it.

use std::time::{Duration, Instant};

use crate::capi;
use crate::mi::Context;
use crate::shm::InHand;

/// How long a process may take before it is told of.
const LIMIT: Duration = Duration::from_secs(5);

/// What the processes were doing at the last look.
#[derive(Debug)]
pub(super) struct BusyWatch(Vec<Work>);

/// What a process was doing.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    request: Seen<u32>,
    command: Seen<InHand>,
}

/// One piece of work, known by its number, from the first look that found it.
#[derive(Clone, Copy, Debug)]
struct Seen<T>(Option<(T, Instant, IsTold)>);

type IsTold = bool;

impl<T> Default for Seen<T> {
    fn default() -> Seen<T> {
        Seen(None)
    }
}

impl<T: Copy + PartialEq> Seen<T> {
    /// Takes what another look has found. True when it is time to tell of it.
    fn look(&mut self, found: Option<T>, now: Instant) -> bool {
        let before = self.0.filter(|(work, ..)| Some(*work) == found);
        let (since, was_told) = before.map_or((now, false), |(_, since, is_told)| (since, is_told));
        let is_late = now.duration_since(since) >= LIMIT;
        self.0 = found.map(|work| (work, since, is_late));
        is_late && !was_told && found.is_some()
    }
}

impl BusyWatch {
    pub(super) fn new(processes: usize) -> BusyWatch {
        BusyWatch(vec![Work::default(); processes])
    }

    /// Looks at all processes. To be called a few times in a second.
    pub(super) fn look(&mut self, context: &Context, now: Instant) {
        for (id, (slot, work)) in context.segment.slots().iter().zip(&mut self.0).enumerate() {
            let command = slot.in_hand();
            let is_request_late = work.request.look(slot.busy_turn(), now);
            let is_command_late = work.command.look(command, now);
            let what = match command.filter(|_| is_command_late).and_then(capi::describe_command) {
                Some(command) => format!("has been in {command}"),
                // A C command that takes long is told of by its name.
                None if is_request_late && command.is_none() => "has been busy with one request".to_owned(),
                None => continue,
            };
            log::warn!(
                "process {id} ({}, PID {}) {what} for more than {LIMIT:?} and serves nothing else meanwhile",
                context.processes[id],
                slot.pid()
            );
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
        let mut seen = Seen::default();
        let mut told = Vec::new();
        for (second, turn) in [(0, 1), (4, 1), (5, 2), (9, 2), (10, 2), (11, 2), (60, 2), (61, 3), (66, 3)] {
            let is_due = seen.look(Some(call(turn)), start + Duration::from_secs(second));
            told.extend(is_due.then_some(second));
        }
        assert_eq!(told, [10, 66]);
    }

    #[test]
    fn an_idle_process_is_never_told_of() {
        let start = Instant::now();
        let mut seen = Seen::default();
        let looks = [(0, Some(1)), (3, None), (9, None), (10, Some(1)), (14, Some(1))];
        for (second, turn) in looks {
            assert!(!seen.look(turn, start + Duration::from_secs(second)), "{second}");
        }
    }
}
