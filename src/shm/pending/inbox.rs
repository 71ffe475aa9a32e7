//! Keeps the numbers of a worker's pending requests, with those of a killed predecessor in the same slot.

use std::collections::{HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use super::{AnsweredReply, InboxLookup, PendingRequests, UnsentReply, slot_number};
use crate::system::pipe_notifier::PipeNotifier;

/// The numbers of a worker's pending requests. Each number is in one of the three lists.
#[derive(Debug)]
pub struct ReplyInbox {
    pending: &'static PendingRequests,
    slot: usize,
    /// Requests of which the worker knows no answer.
    waiting: HashSet<u64>,
    /// Answered requests, in the order of the answers.
    answered: VecDeque<u64>,
    /// Answered requests whose caller could not be served, by the caller's address.
    held: Vec<(Vec<u8>, VecDeque<u64>)>,
}

impl ReplyInbox {
    /// The inbox of the worker in `slot`. It begins with the requests that a killed predecessor has left.
    #[must_use]
    pub fn new(pending: &'static PendingRequests, slot: usize) -> ReplyInbox {
        let sending =
            pending.segment.slots().get(slot).map_or(0, |slot| slot.sending().load(Ordering::Acquire));
        if sending != 0 {
            let unsent = UnsentReply { pending, slot, number: sending };
            if pending.is_there(sending) {
                log::warn!(
                    "the reply to request {sending} may be lost: its process was killed while it sent it"
                );
            }
            drop(unsent);
        }
        let left = pending.numbers_of(slot_number(slot)).into_iter();
        let (answered, waiting): (Vec<_>, Vec<_>) = left.partition(|(_, is_answered)| *is_answered);
        let numbers = |rows: Vec<(u64, bool)>| rows.into_iter().map(|(number, _)| number);
        ReplyInbox {
            pending,
            slot,
            waiting: numbers(waiting).collect(),
            answered: numbers(answered).collect(),
            held: Vec::new(),
        }
    }

    /// Removes all requests in the inbox. A worker calls it when its predecessor's connections are gone.
    pub fn clear(&mut self) {
        let held = self.held.drain(..).flat_map(|(_, numbers)| numbers);
        for number in self.waiting.drain().chain(self.answered.drain(..)).chain(held) {
            self.pending.remove(number);
        }
    }

    /// Adds a request that the worker has just made pending.
    pub fn expect(&mut self, number: u64) {
        self.waiting.insert(number);
    }

    /// Removes a request that the worker no longer waits for.
    pub fn give_up(&mut self, number: u64) {
        self.waiting.remove(&number);
        self.pending.remove(number);
    }

    /// No request of the worker is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.answered.is_empty() && self.held.is_empty()
    }

    /// The descriptor that is readable when a request was answered. `None` when no command may defer its
    /// reply.
    #[must_use]
    pub fn notifier(&self) -> Option<BorrowedFd<'static>> {
        self.pending.notifiers.get(self.slot).map(AsFd::as_fd)
    }

    /// Reads from the notifier which requests were answered. Does not block.
    pub fn drain_notifier(&mut self) {
        let mut numbers = Vec::new();
        self.pending.notifiers.get(self.slot).into_iter().for_each(|notifier| notifier.drain(&mut numbers));
        self.note_answered(numbers);
    }

    /// Notes the requests in `bytes`, which the caller has read from the notifier.
    pub fn note_notified(&mut self, bytes: &[u8]) {
        self.note_answered(PipeNotifier::numbers(bytes));
    }

    /// Ignores the numbers that it has noted before: [`PendingRequests::sweep`] notifies of each every
    /// second.
    fn note_answered(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let ReplyInbox { waiting, answered, .. } = self;
        answered.extend(numbers.into_iter().filter(|number| waiting.remove(number)));
    }

    /// Takes the next reply whose caller's address passes `is_served`, in the order of the answers. The row
    /// stays until the [`UnsentReply`] is dropped. Calls `lost` with the number of each request whose answer
    /// waited too long for this worker and was removed.
    pub fn take(
        &mut self,
        is_served: impl Fn(&[u8]) -> bool,
        mut lost: impl FnMut(u64),
    ) -> Option<AnsweredReply> {
        while let Some(number) = self.next_held(&is_served).or_else(|| self.answered.pop_front()) {
            match self.pending.look_up(number, self.slot, &is_served) {
                InboxLookup::NotAnswered => {
                    self.waiting.insert(number);
                }
                InboxLookup::NotServed(address) => self.hold(address, number),
                InboxLookup::NotPending => lost(number),
                InboxLookup::Answered(answered) => return Some(answered),
            }
        }
        None
    }

    fn next_held(&mut self, is_served: impl Fn(&[u8]) -> bool) -> Option<u64> {
        let at = self.held.iter().position(|(address, _)| is_served(address))?;
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
