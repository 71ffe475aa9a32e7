//! Keeps the requests whose replies are deferred, in shared memory.
//!
//! ```text
//! row.rs     encodes and decodes the row of a request
//! inbox.rs   the pending requests of one worker
//! ```
//!
//! A pending request is a row of the keyed table, and has a number. The row names the slot of the worker that
//! took the request, and holds the caller's address. Any process may answer the request. The answer is one
//! update of one key: it succeeds once, and a process that is killed meanwhile has either answered or not.
//! Then the process notifies the worker of the slot, which sends the reply and removes the row. When that
//! worker is killed, its successor in the slot finds the row.
//!
//! The table has [`MAX_PENDING`] keys for rows, and a request's number gives its key. All rows are found
//! without a walk through the whole table. The bytes of a stored reply are opaque here; `mi` encodes and
//! decodes them. C: `struct mi_handler` in mi/mi.h, and the asynchronous replies of each transport.

mod inbox;
mod row;
#[cfg(test)]
mod tests;

use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

pub use inbox::ReplyInbox;
pub use row::{AnsweredReply, RESERVED_ANSWER_BYTES};
use row::{NO_SLOT, PendingRow};

use super::Segment;
use super::keyed::{Full, NEVER, Space, Update};
use crate::system::pipe_notifier::PipeNotifier;

/// The most requests that are pending at the same time.
pub const MAX_PENDING: usize = 4096;

/// The most seconds that an answer waits for its worker. A worker that cannot be started leaves answers
/// there.
const ANSWER_SECONDS: u64 = 60;

/// All pending requests of the server.
#[derive(Debug)]
pub struct PendingRequests {
    segment: &'static Segment,
    /// By slot. Empty when no command may defer its reply.
    notifiers: Vec<PipeNotifier>,
    /// From the request to its answer.
    timeout: Duration,
}

/// A request that becomes pending.
#[derive(Clone, Copy, Debug)]
pub struct NewPending<'a> {
    /// The slot of the worker that sends the reply. `None` when the reply is discarded.
    pub slot: Option<usize>,
    /// The command's name.
    pub command: &'a str,
    /// The caller's address, in the form of the worker's transport.
    pub address: &'a [u8],
    /// What the transport needs to frame the reply: the id of a JSON-RPC request, for example.
    pub envelope: &'a [u8],
}

/// Why a request cannot become pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewPendingError {
    /// [`MAX_PENDING`] requests are pending.
    #[error("{MAX_PENDING} replies are pending already")]
    TooMany,
    /// The server is stopping; see [`PendingRequests::stop`].
    #[error("the server is stopping")]
    Stopping,
    /// The segment has no memory for the row.
    #[error(transparent)]
    Full(#[from] Full),
}

/// The request is not pending: it was answered, or it timed out, or its caller is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request was answered before, or timed out, or its caller is gone")]
pub struct NotPending;

/// A reply that is not sent yet. Dropping it removes the row; when the process is killed, its successor sends
/// the reply.
#[derive(Debug)]
pub struct UnsentReply {
    pending: &'static PendingRequests,
    slot: usize,
    number: u64,
}

impl UnsentReply {
    /// Notes that the worker is in the call that sends the reply, or that the call has returned. When the
    /// worker is killed within the call, the reply may have left. The successor then drops it, so that no
    /// reply is sent twice.
    pub fn set_in_flight(&self, is_in_flight: bool) {
        if let Some(slot) = self.pending.segment.slots().get(self.slot) {
            slot.sending().store(if is_in_flight { self.number } else { 0 }, Ordering::Release);
        }
    }
}

impl Drop for UnsentReply {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // The process ends, and its successor sends the reply.
        }
        self.pending.remove(self.number);
        self.set_in_flight(false);
    }
}

/// What an inbox finds under a number.
#[derive(Debug)]
enum InboxLookup {
    Answered(AnsweredReply),
    NotAnswered,
    /// The reply to a caller that cannot be served now, and the caller's address.
    NotServed(Vec<u8>),
    /// No request of the inbox's slot.
    NotPending,
}

impl PendingRequests {
    /// The pending requests of a segment. There is a notifier for each slot, or none when no command may
    /// defer its reply. A request times out after `timeout`.
    #[must_use]
    pub fn new(
        segment: &'static Segment,
        notifiers: Vec<PipeNotifier>,
        timeout: Duration,
    ) -> PendingRequests {
        PendingRequests { segment, notifiers, timeout }
    }

    /// The number of rows: requests that are not answered, and answers that are not sent.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.segment.table().count(Space::Pending)
    }

    /// Adds a request. Returns its number, which is not 0 and is given to no other request while the server
    /// runs.
    ///
    /// # Errors
    /// See [`NewPendingError`].
    pub fn add(&self, request: &NewPending<'_>) -> Result<u64, NewPendingError> {
        if self.count() >= MAX_PENDING as u64 {
            return Err(NewPendingError::TooMany);
        }
        // The clock counts whole seconds. One more second keeps the timeout from being short.
        let deadline = self.segment.now() + self.timeout.as_secs() + 1;
        let header = self.segment.header();
        let number = (0..MAX_PENDING).find_map(|_| {
            let number = header.last_pending().fetch_add(1, Ordering::Relaxed) + 1;
            let added = self.add_row(&PendingRow::waiting(number, request, deadline));
            added.map(|is_added| is_added.then_some(number)).transpose()
        });
        let number = number.ok_or(NewPendingError::TooMany)??;
        // Either `stop` sees this row, or this call sees that the server is stopping.
        fence(Ordering::SeqCst);
        if header.is_ending().load(Ordering::SeqCst) {
            self.remove(number);
            return Err(NewPendingError::Stopping);
        }
        Ok(number)
    }

    /// Stores a row under its key. False when the key is taken.
    fn add_row(&self, row: &PendingRow<'_>) -> Result<bool, Full> {
        let (mut is_added, mut scratch) = (false, Vec::new());
        // The new bytes must live as long as the scratch.
        let (old, new) = (&mut scratch, row.to_bytes());
        self.segment.table().update(Space::Pending, &key(row.number), 0, old, |there| {
            is_added = there.is_none();
            if is_added { put(&new) } else { Update::Keep }
        })?;
        Ok(is_added)
    }

    /// The request is pending and not answered.
    #[must_use]
    pub fn is_waiting(&self, number: u64) -> bool {
        let mut bytes = Vec::new();
        self.read(number, &mut bytes).is_some_and(|row| row.answer.is_none())
    }

    /// The number, answered or not, whose remainder of a division by `divisor` is `remainder`. `divisor` must
    /// be a multiple of [`MAX_PENDING`].
    #[must_use]
    pub fn find(&self, remainder: u64, divisor: u64) -> Option<u64> {
        let mut bytes = Vec::new();
        let row = self.read_key_of(remainder, &mut bytes).filter(|row| row.number % divisor == remainder);
        row.map(|row| row.number)
    }

    /// There is a row of that number, answered or not.
    fn is_there(&self, number: u64) -> bool {
        self.read(number, &mut Vec::new()).is_some()
    }

    /// Answers a request. When the segment has no memory for `answer`, it stores `short_answer` instead,
    /// which must not be longer than [`RESERVED_ANSWER_BYTES`].
    ///
    /// # Errors
    /// [`NotPending`]; nothing is changed then.
    pub fn answer(&self, number: u64, answer: &[u8], short_answer: &[u8]) -> Result<(), NotPending> {
        let mut bytes = Vec::new();
        let row = self.read(number, &mut bytes).ok_or(NotPending)?;
        if row.slot == NO_SLOT {
            return if self.remove(number) { Ok(()) } else { Err(NotPending) };
        }
        let deadline = self.segment.now() + ANSWER_SECONDS;
        let slot = row.slot;
        let answered = PendingRow { answer: Some(answer), deadline, ..row }.to_bytes();
        let replaced = self.replace(number, &answered).or_else(|Full| {
            log::error!(often = true; "the reply of {} is lost: {Full}", row.command.escape_ascii());
            self.replace(number, &PendingRow { answer: Some(short_answer), deadline, ..row }.to_bytes())
        });
        // A row that does not grow always fits, so the short answer is never refused for memory.
        let is_answered = replaced.unwrap_or(false);
        if is_answered {
            self.notify(slot, number);
        }
        if is_answered { Ok(()) } else { Err(NotPending) }
    }

    /// Replaces a waiting row by an answered one. False when there is no waiting row.
    fn replace(&self, number: u64, answered: &[u8]) -> Result<bool, Full> {
        let (mut is_replaced, mut scratch) = (false, Vec::new());
        let (old, new) = (&mut scratch, answered);
        self.segment.table().update(Space::Pending, &key(number), 0, old, |there| {
            is_replaced = there.and_then(row::state_and_number) == Some((true, number));
            if is_replaced { put(new) } else { Update::Keep }
        })?;
        Ok(is_replaced)
    }

    /// Removes a request, answered or not. False when it is not there.
    pub fn remove(&self, number: u64) -> bool {
        let (mut is_there, mut scratch) = (false, Vec::new());
        let removed = self.segment.table().update(Space::Pending, &key(number), 0, &mut scratch, |there| {
            is_there = there.and_then(row::state_and_number).is_some_and(|(_, found)| found == number);
            if is_there { Update::Remove } else { Update::Keep }
        });
        // An update that stores nothing is never refused for memory.
        removed.is_ok() && is_there
    }

    /// Answers the requests that have timed out with `timeout_answer`, and returns their commands. Removes
    /// the answers that no worker takes. Notifies the workers of the other answers again: the process that
    /// answered may have been killed before it notified, and the notifier may have been full. The attendant
    /// calls it every second.
    pub fn sweep(&self, timeout_answer: &[u8]) -> Vec<String> {
        let (now, mut commands) = (self.segment.now(), Vec::new());
        self.each(|row| {
            let is_over = row.deadline <= now;
            if row.answer.is_none() {
                if is_over && self.answer(row.number, timeout_answer, timeout_answer).is_ok() {
                    commands.push(String::from_utf8_lossy(row.command).into_owned());
                }
                return;
            }
            if is_over && self.remove(row.number) {
                let command = row.command.escape_ascii();
                log::warn!("the reply of {command} is dropped: its process has not sent it");
            }
            self.notify(row.slot, row.number);
        });
        commands
    }

    /// Answers all requests with `answer`, and refuses new ones from now on. Returns how many it has
    /// answered.
    pub fn stop(&self, answer: &[u8]) -> usize {
        self.segment.header().is_ending().store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let mut count = 0;
        self.each(|row| {
            count += usize::from(row.answer.is_none() && self.answer(row.number, answer, answer).is_ok());
        });
        count
    }

    fn notify(&self, slot: u32, number: u64) {
        let notifier = usize::try_from(slot).ok().and_then(|slot| self.notifiers.get(slot));
        notifier.into_iter().for_each(|notifier| {
            notifier.notify(number);
        });
    }

    /// Calls `visit` with each row, in the order of the keys.
    fn each(&self, mut visit: impl FnMut(&PendingRow<'_>)) {
        if self.count() == 0 {
            return;
        }
        let mut bytes = Vec::new();
        for number in 0..MAX_PENDING as u64 {
            self.read_key_of(number, &mut bytes).iter().for_each(&mut visit);
        }
    }

    fn read<'v>(&self, number: u64, value: &'v mut Vec<u8>) -> Option<PendingRow<'v>> {
        self.read_key_of(number, value).filter(|row| row.number == number)
    }

    /// Reads the row under the key of `number`, whose own number may be another.
    fn read_key_of<'v>(&self, number: u64, value: &'v mut Vec<u8>) -> Option<PendingRow<'v>> {
        let is_there = self.segment.table().get(Space::Pending, &key(number), 0, value);
        PendingRow::read(value).filter(|_| is_there)
    }

    /// Looks up a request of `slot`. `is_served` says whether the caller at an address can get its reply now.
    fn look_up(&'static self, number: u64, slot: usize, is_served: impl Fn(&[u8]) -> bool) -> InboxLookup {
        let mut bytes = Vec::new();
        match self.read(number, &mut bytes).filter(|row| row.slot == slot_number(slot)) {
            Some(row) if row.answer.is_none() => InboxLookup::NotAnswered,
            Some(row) if !is_served(row.address) => InboxLookup::NotServed(row.address.to_vec()),
            // An answered row does not change any more.
            Some(row) => InboxLookup::Answered(row.answered(UnsentReply { pending: self, slot, number })),
            None => InboxLookup::NotPending,
        }
    }

    /// The numbers of a slot's rows in ascending order, each with whether it is answered.
    fn numbers_of(&self, slot: u32) -> Vec<(u64, bool)> {
        let mut numbers = Vec::new();
        self.each(|row| numbers.extend((row.slot == slot).then_some((row.number, row.answer.is_some()))));
        numbers.sort_unstable();
        numbers
    }
}

/// The key of a request's row.
fn key(number: u64) -> [u8; 8] {
    (number % MAX_PENDING as u64).to_le_bytes()
}

fn slot_number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(NO_SLOT)
}

fn put(value: &[u8]) -> Update<'_> {
    Update::Put { value, expires: NEVER, weight: 1 }
}
