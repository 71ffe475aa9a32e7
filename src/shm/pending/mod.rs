//! Replies that somebody waits for: a row of the keyed state for each, with a number of its own.
//!
//! ```text
//! row.rs     what a row holds, in bytes
//! inbox.rs   a worker's own rows: which of them are answered
//! ```
//!
//! A row belongs to the slot whose worker took the request, and says how the reply reaches the caller. Any process may
//! answer it, which is one update of one key: it succeeds once, whoever tries, and a process that is killed has
//! answered or has not. Then the slot's bell is rung with the number, and the worker there sends the reply and removes the
//! row; one that was killed is replaced under its slot, and the successor finds the row. There are
//! [`MAX_PENDING`] places for rows, and a number leads to its place, so all rows are found without a walk through the
//! whole table. What an answer is nobody here knows. C: `struct mi_handler` in mi/mi.h, and what each transport has behind it.

mod inbox;
mod row;
#[cfg(test)]
mod tests;

use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

pub use inbox::Inbox;
pub use row::{Due, ROOM_BYTES};
use row::{NOBODY, Row};

use super::Segment;
use super::keyed::{Full, NEVER, Space, Update};
use crate::system::bell::Bell;

/// Replies that can be pending at the same time.
pub const MAX_PENDING: usize = 4096;

/// How long an answer waits for its worker, in seconds: one that cannot begin leaves it there.
const KEPT_SECONDS: u64 = 60;

/// All pending replies.
#[derive(Debug)]
pub struct Pending {
    segment: &'static Segment,
    /// By slot; none when no command answers later.
    bells: Vec<Bell>,
    patience: Duration,
}

/// What is to come back with an answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The slot of the worker that sends the reply; `None` when nobody waits for it.
    pub slot: Option<usize>,
    /// The command.
    pub command: &'a str,
    /// How the worker finds the caller.
    pub address: &'a [u8],
    /// What else the reply needs, by what is spoken.
    pub form: &'a [u8],
}

/// Why a reply cannot be pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are [`MAX_PENDING`].
    #[error("{MAX_PENDING} replies are pending already")]
    TooMany,
    /// The server ends; see [`Pending::end`].
    #[error("the server ends")]
    Ending,
    /// There is no memory.
    #[error(transparent)]
    Full(#[from] Full),
}

/// The reply is not pending: it was answered before, or it took too long, or its caller is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was answered before, or its time is over, or the caller is gone")]
pub struct Gone;

/// A row whose reply has not left: a successor sends it. The row is removed as soon as this value goes.
#[derive(Debug)]
pub struct Unsent {
    pending: &'static Pending,
    slot: usize,
    number: u64,
}

impl Unsent {
    /// Notes whether the reply is just being sent. Nobody knows whether one has left whose process was killed at that
    /// moment: its successor removes the row, so that no reply is sent twice.
    pub fn set_in_flight(&self, is_in_flight: bool) {
        if let Some(slot) = self.pending.segment.slots().get(self.slot) {
            slot.sending().store(if is_in_flight { self.number } else { 0 }, Ordering::Release);
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // The process ends, and its successor sends the reply.
        }
        self.pending.remove(self.number);
        self.set_in_flight(false);
    }
}

/// What a worker has found under a number.
#[derive(Debug)]
enum Taken {
    /// An answer; the row stays until it has left.
    Due(Due),
    NotAnswered,
    /// An answer that is to stay, and its address.
    NotNow(Vec<u8>),
    /// Nothing of this slot.
    Gone,
}

impl Pending {
    /// Those of a segment, with a bell for each slot. One that nobody answers within `patience` is late.
    #[must_use]
    pub fn new(segment: &'static Segment, bells: Vec<Bell>, patience: Duration) -> Pending {
        Pending { segment, bells, patience }
    }

    /// How many are pending, those included that are answered and not sent.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.segment.table().count(Space::Pending)
    }

    /// Adds one. Gives its number, which no other has while the server runs, and which is never 0.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn add(&self, asked: &Asked<'_>) -> Result<u64, Refused> {
        if self.count() >= MAX_PENDING as u64 {
            return Err(Refused::TooMany);
        }
        // A second more, as the clock is anywhere in one.
        let deadline = self.segment.now() + self.patience.as_secs() + 1;
        let header = self.segment.header();
        let number = (0..MAX_PENDING).find_map(|_| {
            let number = header.last_pending().fetch_add(1, Ordering::Relaxed) + 1;
            let added = self.add_row(&Row::waiting(number, asked, deadline));
            added.map(|is_added| is_added.then_some(number)).transpose()
        });
        let number = number.ok_or(Refused::TooMany)??;
        // Either whoever ends all of them sees this one, or it is seen here.
        fence(Ordering::SeqCst);
        if header.is_ending().load(Ordering::SeqCst) {
            self.remove(number);
            return Err(Refused::Ending);
        }
        Ok(number)
    }

    /// Puts a row in its place. False when there is another.
    fn add_row(&self, row: &Row<'_>) -> Result<bool, Full> {
        let (mut is_added, mut scratch) = (false, Vec::new());
        // What is put there must live as long as the scratch.
        let (old, new) = (&mut scratch, row.to_bytes());
        self.segment.table().update(Space::Pending, &key(row.number), 0, old, |there| {
            is_added = there.is_none();
            if is_added { put(&new) } else { Update::Keep }
        })?;
        Ok(is_added)
    }

    /// Whether one is pending and not answered.
    #[must_use]
    pub fn is_waiting(&self, number: u64) -> bool {
        let mut bytes = Vec::new();
        self.read(number, &mut bytes).is_some_and(|row| row.answer.is_none())
    }

    /// The number of the row, answered or not, that leaves `rest` when it is divided by `divisor`, which must be a multiple of
    /// [`MAX_PENDING`].
    #[must_use]
    pub fn find(&self, rest: u64, divisor: u64) -> Option<u64> {
        let mut bytes = Vec::new();
        let row = self.read_place(rest, &mut bytes).filter(|row| row.number % divisor == rest);
        row.map(|row| row.number)
    }

    /// Whether there is a row of that number, answered or not.
    fn is_there(&self, number: u64) -> bool {
        self.read(number, &mut Vec::new()).is_some()
    }

    /// Answers one. When there is no memory for `answer`, the caller gets `instead`, which must not be longer than
    /// [`ROOM_BYTES`].
    ///
    /// # Errors
    /// [`Gone`]; nothing has happened then.
    pub fn answer(&self, number: u64, answer: &[u8], instead: &[u8]) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        let row = self.read(number, &mut bytes).ok_or(Gone)?;
        if row.slot == NOBODY {
            return if self.remove(number) { Ok(()) } else { Err(Gone) };
        }
        let deadline = self.segment.now() + KEPT_SECONDS;
        let slot = row.slot;
        let answered = Row { answer: Some(answer), deadline, ..row }.to_bytes();
        let outcome = self.replace(number, &answered).or_else(|Full| {
            log::error!(often = true; "the reply of {} is lost: {Full}", row.command.escape_ascii());
            self.replace(number, &Row { answer: Some(instead), deadline, ..row }.to_bytes())
        });
        // What is not longer than the row before always has room.
        let is_done = outcome.unwrap_or(false);
        if is_done {
            self.ring(slot, number);
        }
        if is_done { Ok(()) } else { Err(Gone) }
    }

    /// Puts an answered row in the place of a waiting one. False when there is none.
    fn replace(&self, number: u64, answered: &[u8]) -> Result<bool, Full> {
        let (mut is_done, mut scratch) = (false, Vec::new());
        let (old, new) = (&mut scratch, answered);
        self.segment.table().update(Space::Pending, &key(number), 0, old, |there| {
            is_done = there.and_then(row::state) == Some((true, number));
            if is_done { put(new) } else { Update::Keep }
        })?;
        Ok(is_done)
    }

    /// Forgets one, answered or not. False when there was none.
    pub fn remove(&self, number: u64) -> bool {
        let (mut is_there, mut scratch) = (false, Vec::new());
        let removed = self.segment.table().update(Space::Pending, &key(number), 0, &mut scratch, |there| {
            is_there = there.and_then(row::state).is_some_and(|(_, found)| found == number);
            if is_there { Update::Remove } else { Update::Keep }
        });
        // Never refused, as nothing is stored.
        removed.is_ok() && is_there
    }

    /// Answers what is late with `late`, forgets answers that no worker takes, and rings for those that one may not have
    /// heard of: whoever answered was killed before the bell, or there was no room. To be called every second. Gives
    /// the commands of those that were late.
    pub fn sweep(&self, late: &[u8]) -> Vec<String> {
        let (now, mut commands) = (self.segment.now(), Vec::new());
        self.each(|row| {
            let is_late = row.deadline <= now;
            if row.answer.is_none() {
                if is_late && self.answer(row.number, late, late).is_ok() {
                    commands.push(String::from_utf8_lossy(row.command).into_owned());
                }
                return;
            }
            if is_late && self.remove(row.number) {
                let command = row.command.escape_ascii();
                log::warn!("the reply of {command} is dropped: its process has not sent it");
            }
            self.ring(row.slot, row.number);
        });
        commands
    }

    /// Answers all with `last`, and refuses any that come after that: for a server that ends. Gives how many there were.
    pub fn end(&self, last: &[u8]) -> usize {
        self.segment.header().is_ending().store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let mut count = 0;
        self.each(|row| {
            count += usize::from(row.answer.is_none() && self.answer(row.number, last, last).is_ok());
        });
        count
    }

    fn ring(&self, slot: u32, number: u64) {
        let bell = usize::try_from(slot).ok().and_then(|slot| self.bells.get(slot));
        bell.into_iter().for_each(|bell| {
            bell.ring(number);
        });
    }

    /// Shows all rows, place by place.
    fn each(&self, mut show: impl FnMut(&Row<'_>)) {
        if self.count() == 0 {
            return;
        }
        let mut bytes = Vec::new();
        for place in 0..MAX_PENDING as u64 {
            self.read_place(place, &mut bytes).iter().for_each(&mut show);
        }
    }

    fn read<'v>(&self, number: u64, value: &'v mut Vec<u8>) -> Option<Row<'v>> {
        self.read_place(number, value).filter(|row| row.number == number)
    }

    /// The row in the place of a number, whatever its own is.
    fn read_place<'v>(&self, number: u64, value: &'v mut Vec<u8>) -> Option<Row<'v>> {
        let is_there = self.segment.table().get(Space::Pending, &key(number), 0, value);
        Row::read(value).filter(|_| is_there)
    }

    /// Shows an answered row of a slot, if its address `may` be served.
    fn look(&'static self, number: u64, slot: usize, may: impl Fn(&[u8]) -> bool) -> Taken {
        let mut bytes = Vec::new();
        match self.read(number, &mut bytes).filter(|row| row.slot == number_of(slot)) {
            Some(row) if row.answer.is_none() => Taken::NotAnswered,
            Some(row) if !may(row.address) => Taken::NotNow(row.address.to_vec()),
            // An answered row does not change any more.
            Some(row) => Taken::Due(row.due(Unsent { pending: self, slot, number })),
            None => Taken::Gone,
        }
    }

    /// The numbers of a slot's rows, and whether they are answered.
    fn numbers_of(&self, slot: u32) -> Vec<(u64, bool)> {
        let mut numbers = Vec::new();
        self.each(|row| numbers.extend((row.slot == slot).then_some((row.number, row.answer.is_some()))));
        numbers.sort_unstable();
        numbers
    }
}

/// The place of a number.
fn key(number: u64) -> [u8; 8] {
    (number % MAX_PENDING as u64).to_le_bytes()
}

fn number_of(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(NOBODY)
}

fn put(value: &[u8]) -> Update<'_> {
    Update::Put { value, expires: NEVER, weight: 1 }
}
