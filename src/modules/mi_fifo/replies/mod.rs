//! Replies that cannot leave at once: the client has not opened its FIFO yet, does not read on, or the reply is long.
//!
//! Each is kept until it has left or its client lets two seconds pass without a move; the process never sleeps on one.
//! Bounded: [`MAX_REPLIES`] in all, and of a long reply no more than the next piece is there. Replies to one FIFO leave
//! one after the other. C: `mi_open_reply_pipe` in fifo_fnc.c, which sleeps for clients, and writes whatever time it
//! takes.

mod reply;

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::answer::{Answerer, More};
use crate::shm::Parcels;
use crate::system::fifo::{self, ReplyError};
use crate::wire::{Output, Stream};
pub(super) use reply::Reply;
use reply::{Condition, Turn};

/// Replies that are kept at most. As many requests as a FIFO holds may come before the first client opens its own.
const MAX_REPLIES: usize = 512;

/// Replies that survive a killed process at most, of those that nothing was written of.
pub(super) const MAX_PARCELS: usize = 64;

/// Longest such reply with its path, in bytes.
pub(super) const PARCEL_BYTES: usize = 4096 + 256;

/// What becomes of a reply that has not simply left.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// It is kept until its client has room.
    Parked,
    /// Its client did not come, or did not read on.
    TimedOut(&'a Path),
    /// It will not leave.
    Dropped(&'a Path, &'a dyn std::error::Error),
}

/// Who is told.
pub(super) type Tell<'a> = dyn FnMut(Event<'_>) + 'a;

/// There is no room for another reply.
#[derive(Debug, thiserror::Error)]
#[error("{MAX_REPLIES} replies wait for their clients already")]
struct Full;

/// The replies that are kept, in the order of their requests.
#[derive(Debug)]
pub(super) struct Replies<'a> {
    kept: Vec<Reply<'a>>,
    /// Where short ones lie as long as nothing of them was written, so that a successor goes on with them.
    parcels: &'a Parcels,
    /// The number of the next one.
    next: u64,
    /// The number of the one that has gone on last.
    last: u64,
    /// Buffers for the next reply and its path.
    spare: Stream,
    spare_path: PathBuf,
}

impl<'a> Replies<'a> {
    /// Goes on with what a killed predecessor has left: whole replies, whose clients had not come yet. They get as much
    /// time as new ones.
    pub(super) fn take_over(parcels: &'a Parcels) -> Replies<'a> {
        let mut replies = Replies {
            kept: Vec::new(),
            parcels,
            next: 0,
            last: 0,
            spare: Stream::default(),
            spare_path: PathBuf::new(),
        };
        for (number, parcel, bytes) in parcels.take_over() {
            // A path has no NUL.
            let Some(end) = bytes.iter().position(|&byte| byte == 0) else { continue };
            let path = PathBuf::from(OsStr::from_bytes(&bytes[..end]));
            let is_first = replies.kept.iter().all(|kept: &Reply<'_>| kept.path.as_ref() != Some(&path));
            let condition = if is_first { Condition::absent() } else { Condition::Waiting };
            let mut stream = Stream::default();
            stream.push(&bytes[end + 1..]);
            let mut reply = Reply::new(number, Some(path), None, condition, stream);
            reply.since = Some(Instant::now());
            reply.parcel = Some(parcel);
            replies.kept.push(reply);
            replies.next = number;
        }
        replies
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether one of them goes on as soon as it has its turn.
    pub(super) fn is_any_ready(&self) -> bool {
        self.kept.iter().any(|reply| reply.condition == Condition::Ready)
    }

    /// Begins a reply to the FIFO at `path`; without one it goes nowhere.
    ///
    /// # Errors
    /// When nothing can ever be written there. [`ReplyError::Absent`] is none of these.
    pub(super) fn begin(&mut self, path: Option<&Path>) -> Result<Reply<'a>, ReplyError> {
        let mut fifo = None;
        let condition = match path {
            None => Condition::Ready,
            Some(path) if self.kept.iter().any(|kept| kept.path.as_deref() == Some(path)) => {
                Condition::Waiting
            }
            Some(path) => match fifo::Reply::open(path) {
                Ok(opened) => {
                    fifo = Some(opened);
                    Condition::Ready
                }
                Err(ReplyError::Absent) => Condition::absent(),
                Err(error) => return Err(error),
            },
        };
        self.next += 1;
        let stream = std::mem::take(&mut self.spare);
        let path = path.map(|path| {
            let mut kept = std::mem::take(&mut self.spare_path);
            kept.clear();
            kept.push(path);
            kept
        });
        Ok(Reply::new(self.next, path, fifo, condition, stream))
    }

    /// Sends what was written to a reply, as far as that goes, and keeps the rest.
    pub(super) fn send(
        &mut self,
        mut reply: Reply<'a>,
        more: Option<More>,
        answerer: &mut Answerer<'_>,
        tell: &mut Tell<'_>,
    ) {
        reply.more = more;
        let turn = if reply.condition == Condition::Ready { reply.go_on(answerer) } else { Turn::GoesOn };
        if let Turn::Ends = turn {
            self.spare = reply.stream;
            self.spare_path = reply.path.unwrap_or_default();
            return;
        }
        if self.kept.len() >= MAX_REPLIES {
            return tell(Event::Dropped(reply.shown_path(), &Full));
        }
        reply.tell_if_parked(tell);
        reply.since = Some(Instant::now());
        reply.keep(self.parcels);
        self.kept.push(reply);
        self.settle(self.kept.len() - 1, turn, tell);
    }

    /// Tries again what is due, gives up what is late, and lets one reply go on that can.
    pub(super) fn take_turn(&mut self, answerer: &mut Answerer<'_>, tell: &mut Tell<'_>) {
        let now = Instant::now();
        let mut at = 0;
        while let Some(reply) = self.kept.get_mut(at) {
            let mut turn = reply.look(now);
            if let (Turn::Opened, reply) = (&turn, reply) {
                turn = reply.go_on(answerer);
            }
            at += usize::from(!self.settle(at, turn, tell));
        }
        let ready = |reply: &&Reply| reply.condition == Condition::Ready;
        let numbers = || self.kept.iter().filter(ready).map(|reply| reply.number);
        let next = numbers().find(|&number| number > self.last).or_else(|| numbers().next());
        if let Some(at) = self.kept.iter().position(|reply| Some(reply.number) == next) {
            let reply = &mut self.kept[at];
            self.last = reply.number;
            let turn = reply.go_on(answerer);
            reply.tell_if_parked(tell);
            self.settle(at, turn, tell);
        }
    }

    /// Does what follows from a turn of the reply at that place. True when it is gone.
    fn settle(&mut self, at: usize, turn: Turn, tell: &mut Tell<'_>) -> bool {
        let reply = &mut self.kept[at];
        match turn {
            Turn::Opened | Turn::GoesOn => return false,
            Turn::Ends => {}
            Turn::Late => tell(Event::TimedOut(reply.shown_path())),
            Turn::Fails(error) => tell(Event::Dropped(reply.shown_path(), &error)),
        }
        let path = reply.path.take();
        let goes_nowhere = reply.go_nowhere();
        if !goes_nowhere {
            self.kept.remove(at);
        }
        self.let_next_begin(path);
        !goes_nowhere
    }

    /// Who was waiting for a FIFO that another reply went to tries to open it.
    fn let_next_begin(&mut self, path: Option<PathBuf>) {
        if let Some(next) = self.kept.iter_mut().find(|reply| path.is_some() && reply.path == path) {
            next.condition = Condition::absent();
            next.since = Some(Instant::now());
        }
    }

    /// Waits until there is something to read from `requests`, or something here to be done, but no longer than
    /// `limit`. True when there is something to read.
    pub(super) fn wait(&mut self, requests: BorrowedFd<'_>, limit: Option<Duration>) -> bool {
        let due = self.kept.iter().filter_map(Reply::due).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let limit = [limit, due].into_iter().flatten().min();
        let blocked: Vec<_> = self.kept.iter().filter_map(Reply::blocked_on).collect();
        let ready = fifo::wait(requests, &blocked, limit);
        let waiting = self.kept.iter_mut().filter(|reply| reply.condition == Condition::Blocked);
        for (reply, _) in waiting.zip(&ready.writable).filter(|(_, is_ready)| **is_ready) {
            reply.condition = Condition::Ready;
        }
        ready.readable
    }
}

#[cfg(test)]
mod tests;
