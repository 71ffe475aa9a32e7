//! A worker's own pending replies: those of its slot, its dead predecessor's among them.

use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use super::{Due, Pending, Taken, Unsent, number_of};
use crate::system::bell::Bell;

/// The numbers that a worker waits for. Each is in one of three places.
#[derive(Debug)]
pub struct Inbox {
    pending: &'static Pending,
    slot: usize,
    /// Those that are not answered, as far as is known.
    waiting: HashSet<u64>,
    /// Those that are.
    answered: VecDeque<u64>,
    /// Those that are, by addresses that could not be served.
    held: Vec<(Vec<u8>, VecDeque<u64>)>,
}

impl Inbox {
    /// That of the worker in a slot, with what a predecessor has left.
    #[must_use]
    pub fn new(pending: &'static Pending, slot: usize) -> Inbox {
        let sending =
            pending.segment.slots().get(slot).map_or(0, |slot| slot.sending().load(Ordering::Acquire));
        if sending != 0 {
            let unsent = Unsent { pending, slot, number: sending };
            if pending.is_there(sending) {
                log::warn!(
                    "the reply to request {sending} may be lost: its process was killed while it sent it"
                );
            }
            drop(unsent);
        }
        let left = pending.numbers_of(number_of(slot)).into_iter();
        let (answered, waiting): (Vec<_>, Vec<_>) = left.partition(|(_, is_answered)| *is_answered);
        let numbers = |rows: Vec<(u64, bool)>| rows.into_iter().map(|(number, _)| number);
        Inbox {
            pending,
            slot,
            waiting: numbers(waiting).collect(),
            answered: numbers(answered).collect(),
            held: Vec::new(),
        }
    }

    /// Forgets all that a predecessor has left: for a worker that has not its connections.
    pub fn clear(&mut self) {
        let held = self.held.drain(..).flat_map(|(_, numbers)| numbers);
        for number in self.waiting.drain().chain(self.answered.drain(..)).chain(held) {
            self.pending.remove(number);
        }
    }

    /// Waits for that number from now on.
    pub fn expect(&mut self, number: u64) {
        self.waiting.insert(number);
    }

    /// Waits for it no more, and forgets the row, if it is there.
    pub fn give_up(&mut self, number: u64) {
        self.waiting.remove(&number);
        self.pending.remove(number);
    }

    /// Whether it waits for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.answered.is_empty() && self.held.is_empty()
    }

    /// Readable when there is something to be heard. `None` when no command answers later.
    #[must_use]
    pub fn bell(&self) -> Option<BorrowedFd<'static>> {
        self.pending.bells.get(self.slot).map(AsFd::as_fd)
    }

    /// Hears the bell. Does not wait.
    pub fn listen(&mut self) {
        let mut rung = Vec::new();
        self.pending.bells.get(self.slot).into_iter().for_each(|bell| bell.hear(&mut rung));
        self.note(rung);
    }

    /// Notes what somebody else has read from the bell.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.note(Bell::numbers(bytes));
    }

    /// What is known to be answered is rung again each second, and is to be taken once.
    fn note(&mut self, rung: impl IntoIterator<Item = u64>) {
        let Inbox { waiting, answered, .. } = self;
        answered.extend(rung.into_iter().filter(|number| waiting.remove(number)));
    }

    /// Takes the next answer that was heard of, of those whose address `may` be served now, if there is one; its row stays in
    /// the table as long as its [`Unsent`]. Tells `lost` the numbers of those that are there no more, as they have waited here for too long.
    pub fn take(&mut self, may: impl Fn(&[u8]) -> bool, mut lost: impl FnMut(u64)) -> Option<Due> {
        while let Some(number) = self.next_held(&may).or_else(|| self.answered.pop_front()) {
            match self.pending.look(number, self.slot, &may) {
                Taken::NotAnswered => {
                    self.waiting.insert(number);
                }
                Taken::NotNow(address) => self.hold(address, number),
                Taken::Gone => lost(number),
                Taken::Due(due) => return Some(due),
            }
        }
        None
    }

    fn next_held(&mut self, may: impl Fn(&[u8]) -> bool) -> Option<u64> {
        let at = self.held.iter().position(|(address, _)| may(address))?;
        let number = self.held[at].1.pop_front();
        if self.held[at].1.is_empty() {
            self.held.remove(at);
        }
        number
    }

    fn hold(&mut self, address: Vec<u8>, number: u64) {
        match self.held.iter_mut().find(|(held, _)| *held == address) {
            Some((_, numbers)) => numbers.push_back(number),
            None => self.held.push((address, VecDeque::from([number]))),
        }
    }
}
