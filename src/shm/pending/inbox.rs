//! A worker's own pending replies: those of its slot, its dead predecessor's among them.

use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};

use super::{Due, Pending, Taken};
use crate::system::bell::Bell;

/// The numbers that a worker waits for.
#[derive(Debug)]
pub struct Inbox {
    pending: &'static Pending,
    slot: usize,
    /// Those that are not answered, as far as is known.
    waiting: HashSet<u64>,
    /// Those to be looked at.
    rung: VecDeque<u64>,
}

impl Inbox {
    /// That of the worker in a slot, with what a predecessor has left.
    #[must_use]
    pub fn new(pending: &'static Pending, slot: usize) -> Inbox {
        let left = pending.numbers_of(number_of(slot));
        Inbox { pending, slot, waiting: left.iter().copied().collect(), rung: left.into() }
    }

    /// Forgets all that a predecessor has left: for a worker that has not its connections.
    pub fn clear(&mut self) {
        self.rung.clear();
        self.waiting.drain().for_each(|number| {
            self.pending.remove(number);
        });
    }

    /// Waits for that number from now on.
    pub fn expect(&mut self, number: u64) {
        self.waiting.insert(number);
    }

    /// Waits for it no more, and forgets the row.
    pub fn give_up(&mut self, number: u64) {
        self.waiting.remove(&number);
        self.pending.remove(number);
    }

    /// Whether it waits for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Readable when there is something to be taken. `None` when no command answers later.
    #[must_use]
    pub fn bell(&self) -> Option<BorrowedFd<'static>> {
        self.pending.bells.get(self.slot).map(AsFd::as_fd)
    }

    /// Notes what somebody else has read from the bell.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.rung.extend(Bell::numbers(bytes));
    }

    /// Takes the next answer out of the table, of those whose address `may` be served now, if there is one. Does not
    /// wait.
    pub fn take(&mut self, may: impl Fn(&[u8]) -> bool) -> Option<Due> {
        if let Some(bell) = self.pending.bells.get(self.slot) {
            bell.hear(&mut self.rung);
        }
        for _ in 0..self.rung.len() {
            let Some(number) = self.rung.pop_front() else { break };
            match self.pending.take(number, number_of(self.slot), &may) {
                Taken::NotAnswered => {}
                Taken::NotNow => self.rung.push_back(number),
                Taken::Gone => {
                    self.waiting.remove(&number);
                }
                Taken::Due(due) => {
                    self.waiting.remove(&number);
                    return Some(due);
                }
            }
        }
        None
    }
}

fn number_of(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}
