//! Replies that cannot leave at once: the client has not opened its FIFO yet, does not read on, or the reply is long.
//!
//! Each is kept until it has left or its client lets two seconds pass without a move; the process never sleeps on one.
//! Bounded: [`MAX_REPLIES`] in all, [`MAX_REPLIES_OF_ONE`] for one FIFO, and [`MAX_WAITING_BYTES`]; whoever has waited
//! longest makes room, and never who reads, nor who came last. Of a long reply no more than the next piece is there.
//! Replies to one FIFO leave one after the other. C: `mi_open_reply_pipe` in fifo_fnc.c, which sleeps for clients, and writes whatever time it
//! takes.

mod reply;

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mi::Context;
use crate::shm::Parcels;
use crate::system::fifo::{self, Identity, ReplyError};
use crate::wire::{Output, PieceWriter, Stream};
pub(super) use reply::Reply;
use reply::{Condition, Turn};

/// Replies that are kept at most. As many requests as a FIFO holds may come before the first client opens its own.
const MAX_REPLIES: usize = 512;

/// Replies to one FIFO that are kept at most.
const MAX_REPLIES_OF_ONE: usize = 64;

/// What may wait for clients that do not read, in bytes, besides the last reply.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// Requests at most whose work goes on though their replies go nowhere, before other requests are served.
const MAX_NOWHERE: usize = 16;

/// Largest buffer that is kept for the next reply, in bytes.
const MAX_SPARE_BYTES: usize = 256 << 10;

/// Replies that survive a killed process at most, of those that nothing was written of.
pub(super) const MAX_PARCELS: usize = 64;

/// Longest such reply with its path, in bytes.
pub(super) const PARCEL_BYTES: usize = 4096 + 256 + size_of::<[u8; 24]>();

/// What becomes of a reply that has not simply left.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// It tells of an error, and did not when it began.
    Erred,
    /// It is kept until its client has room.
    Parked,
    /// Its client did not come, or did not read on.
    TimedOut(&'a Path),
    /// It will not leave.
    Dropped(&'a Path, &'a dyn std::error::Error),
}

/// Who is told.
pub(super) type Tell<'a> = dyn FnMut(Event<'_>) + 'a;

/// Why a reply makes room for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Crowd {
    #[error("more than {MAX_REPLIES_OF_ONE} replies wait for its client")]
    OfOne,
    #[error("more than {MAX_REPLIES} replies wait for their clients")]
    Replies,
    #[error("more than {MAX_WAITING_BYTES} bytes wait for their clients")]
    Bytes,
}

/// The replies that are kept, in the order of their requests.
#[derive(Debug)]
pub(super) struct Replies<'a> {
    kept: Vec<Reply<'a>>,
    /// Where short ones lie as long as nothing of them was written, so that a successor goes on with them.
    parcels: &'a Parcels,
    /// The FIFO that requests come by.
    requests: Option<Identity>,
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
    /// time as new ones. `requests` is the FIFO that requests come by.
    pub(super) fn take_over(parcels: &'a Parcels, requests: Option<Identity>) -> Replies<'a> {
        let mut replies = Replies {
            kept: Vec::new(),
            parcels,
            requests,
            next: 0,
            last: 0,
            spare: Stream::default(),
            spare_path: PathBuf::new(),
        };
        for (number, parcel, bytes) in parcels.take_over() {
            let Some((&identity, bytes)) = bytes.split_first_chunk() else { continue };
            // A path has no NUL.
            let Some(end) = bytes.iter().position(|&byte| byte == 0) else { continue };
            let path = PathBuf::from(OsStr::from_bytes(&bytes[..end]));
            let is_first = replies.kept.iter().all(|kept: &Reply<'_>| kept.path.as_ref() != Some(&path));
            let condition = if is_first { Condition::absent() } else { Condition::Waiting };
            let mut stream = Stream::default();
            stream.push(&bytes[end + 1..]);
            let mut reply = Reply::new(number, Some(path), None, condition, stream);
            reply.since = Some(Instant::now());
            reply.identity = Some(identity).filter(|it| *it != [0; 24]).map(Identity::from_bytes);
            reply.parcel = Some(parcel);
            replies.kept.push(reply);
            replies.next = number;
        }
        replies
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether there is room for replies that can come another time.
    pub(super) fn has_room(&self) -> bool {
        self.kept.len() < MAX_REPLIES / 2
    }

    /// Whether there is room for one of them to the FIFO at a path.
    pub(super) fn may_wait(&self, path: &Path) -> bool {
        let of_one = self.kept.iter().filter(|reply| reply.path.as_deref() == Some(path));
        of_one.count() < MAX_REPLIES_OF_ONE / 2
    }

    /// Whether one of them goes on as soon as it has its turn.
    pub(super) fn is_any_ready(&self) -> bool {
        self.kept.iter().any(Reply::can_go_on)
    }

    /// Whether replies that are not read any more come first, as their work is to be done.
    pub(super) fn is_behind(&self) -> bool {
        self.kept.iter().filter(|reply| reply.path.is_none()).count() >= MAX_NOWHERE
    }

    /// Begins a reply to the FIFO at `path`; without one it goes nowhere. One that may come `later` is opened when it
    /// comes: a client sees the end of a FIFO that is open when this process is killed.
    ///
    /// # Errors
    /// When nothing can ever be written there. [`ReplyError::Absent`] is none of these.
    pub(super) fn begin(&mut self, path: Option<&Path>, later: bool) -> Result<Reply<'a>, ReplyError> {
        let (mut fifo, mut identity) = (None, None);
        let condition = match path {
            None => Condition::Ready,
            Some(path) if self.kept.iter().any(|kept| kept.path.as_deref() == Some(path)) => {
                Condition::Waiting
            }
            Some(path) if later => {
                identity = Some(fifo::Reply::look(path)?);
                Condition::due()
            }
            Some(path) => match fifo::Reply::open(path) {
                Ok(opened) => {
                    identity = Some(opened.identity());
                    fifo = Some(opened);
                    Condition::Ready
                }
                Err(ReplyError::Absent) => Condition::absent(),
                Err(error) => return Err(error),
            },
        };
        if let (None, Some(path)) = (identity, path) {
            identity = Identity::at(path).ok();
        }
        if identity.is_some() && identity == self.requests {
            return Err(ReplyError::Requests);
        }
        self.next += 1;
        let stream = std::mem::take(&mut self.spare);
        let path = path.map(|path| {
            let mut kept = std::mem::take(&mut self.spare_path);
            kept.clear();
            kept.push(path);
            kept
        });
        let mut reply = Reply::new(self.next, path, fifo, condition, stream);
        reply.identity = identity;
        Ok(reply)
    }

    /// Begins a reply that has come later, to the FIFO that was at `path` when it was asked for.
    ///
    /// # Errors
    /// As [`begin`](Replies::begin).
    pub(super) fn begin_to(&mut self, path: &Path, identity: Identity) -> Result<Reply<'a>, ReplyError> {
        let mut reply = self.begin(Some(path), true)?;
        reply.identity = Some(identity);
        Ok(reply)
    }

    /// Sends what was written to a reply, as far as that goes, and keeps the rest.
    pub(super) fn send(
        &mut self,
        mut reply: Reply<'a>,
        more: Option<Box<dyn PieceWriter<Stream>>>,
        context: &Context,
        tell: &mut Tell<'_>,
    ) {
        reply.more = more;
        let mut turn = if reply.was_not_opened() { reply.look(Instant::now()) } else { Turn::GoesOn };
        if reply.can_go_on() {
            turn = reply.go_on(context, tell);
        }
        if let Turn::Ends = turn {
            if reply.largest <= MAX_SPARE_BYTES {
                self.spare = reply.stream;
            }
            self.spare_path = reply.path.unwrap_or_default();
            return;
        }
        reply.tell_if_parked(tell);
        reply.since = Some(Instant::now());
        reply.keep(self.parcels);
        self.kept.push(reply);
        if !self.settle(self.kept.len() - 1, turn, tell) {
            self.make_room(tell);
        }
    }

    /// Gives up who has waited longest, as long as there is too much for the one that came last.
    fn make_room(&mut self, tell: &mut Tell<'_>) {
        let now = Instant::now();
        while let Some((crowd, at)) = self.crowd().and_then(|crowd| Some((crowd, self.longest(crowd, now)?)))
        {
            tell(Event::Dropped(self.kept[at].shown_path(), &crowd));
            self.let_go(at, false, tell);
        }
    }

    /// Of what there is too much.
    fn crowd(&self) -> Option<Crowd> {
        let path = self.kept.last()?.path.as_ref()?;
        let (mut count, mut of_one, mut bytes) = (0, 0, 0);
        for reply in self.kept.iter().filter(|reply| reply.path.is_some()) {
            count += 1;
            of_one += usize::from(reply.path.as_ref() == Some(path));
            bytes += reply.held();
        }
        let crowds = [
            (of_one > MAX_REPLIES_OF_ONE, Crowd::OfOne),
            (count > MAX_REPLIES, Crowd::Replies),
            (bytes > MAX_WAITING_BYTES, Crowd::Bytes),
        ];
        crowds.into_iter().find(|(is_one, _)| *is_one).map(|(_, crowd)| crowd)
    }

    /// Who has waited longest and may make room. Of too many that all read it is one of them.
    fn longest(&self, crowd: Crowd, now: Instant) -> Option<usize> {
        let (last, others) = self.kept.split_last()?;
        let is_one =
            |reply: &Reply<'_>| reply.path.is_some() && (crowd != Crowd::OfOne || reply.path == last.path);
        let who = others.iter().enumerate().filter(|(_, reply)| is_one(reply));
        let quiet = who.clone().filter(|(_, reply)| reply.may_go(now)).min_by_key(|(_, reply)| reply.since);
        let any = || who.min_by_key(|(_, reply)| reply.since).filter(|_| crowd != Crowd::Bytes);
        quiet.or_else(any).map(|(at, _)| at)
    }

    /// Tries again what is due, gives up what is late, and lets one reply go on that can, for a time slice.
    pub(super) fn take_turn(&mut self, context: &Context, tell: &mut Tell<'_>) {
        let now = Instant::now();
        let mut at = 0;
        while let Some(reply) = self.kept.get_mut(at) {
            let mut turn = reply.look(now);
            if let (Turn::Opened, reply) = (&turn, reply) {
                turn = reply.go_on(context, tell);
            }
            at += usize::from(!self.settle(at, turn, tell));
        }
        let numbers = || self.kept.iter().filter(|reply| reply.can_go_on()).map(|reply| reply.number);
        let next = numbers().find(|&number| number > self.last).or_else(|| numbers().next());
        if let Some(at) = self.kept.iter().position(|reply| Some(reply.number) == next) {
            let reply = &mut self.kept[at];
            self.last = reply.number;
            let turn = reply.go_on(context, tell);
            reply.tell_if_parked(tell);
            self.settle(at, turn, tell);
        }
    }

    /// Does what follows from a turn of the reply at that place. True when it is gone.
    fn settle(&mut self, at: usize, turn: Turn, tell: &mut Tell<'_>) -> bool {
        let reply = &mut self.kept[at];
        let has_moved = match turn {
            Turn::Opened | Turn::GoesOn => return false,
            Turn::Ends => true,
            Turn::Late => {
                tell(Event::TimedOut(reply.shown_path()));
                false
            }
            Turn::Fails(error) => {
                tell(Event::Dropped(reply.shown_path(), &error));
                true
            }
        };
        self.let_go(at, has_moved, tell)
    }

    /// Forgets a reply, but for work that is to be done, and lets the next one to its FIFO begin. One that has waited
    /// for the same client as long as that may goes with it, unless that client has made a move. True when it is gone.
    fn let_go(&mut self, at: usize, has_moved: bool, tell: &mut Tell<'_>) -> bool {
        let now = Instant::now();
        // Behind one that waits for another nothing changes.
        let is_first = self.kept[at].condition != Condition::Waiting;
        let path = self.kept[at].path.take().filter(|_| is_first);
        let is_gone = !self.kept[at].go_nowhere();
        if is_gone {
            self.kept.remove(at);
        }
        // Those to one FIFO stand in the order of their requests, behind the one that is gone.
        let mut next = at;
        while let (Some(reply), true) = (self.kept.get_mut(next), path.is_some()) {
            if reply.path != path {
                next += 1;
            } else if !has_moved && reply.is_late(now) {
                tell(Event::TimedOut(reply.shown_path()));
                reply.path = None;
                if reply.go_nowhere() {
                    next += 1;
                } else {
                    self.kept.remove(next);
                }
            } else {
                if reply.condition == Condition::Waiting {
                    reply.condition = Condition::absent();
                    reply.since = if has_moved { Some(now) } else { reply.since };
                }
                break;
            }
        }
        is_gone
    }

    /// Waits until there is something to read from `requests` or `other`, or something here to be done, but no longer
    /// than `limit`. True when there is something to read from `requests`.
    pub(super) fn wait(
        &mut self,
        requests: BorrowedFd<'_>,
        other: Option<BorrowedFd<'_>>,
        limit: Option<Duration>,
    ) -> bool {
        let due = self.kept.iter().filter_map(Reply::due).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let limit = [limit, due].into_iter().flatten().min();
        let blocked: Vec<_> = self.kept.iter().filter_map(Reply::blocked_on).collect();
        let ready = fifo::wait(requests, other, &blocked, limit);
        let waiting = self.kept.iter_mut().filter(|reply| reply.condition == Condition::Blocked);
        for (reply, _) in waiting.zip(&ready.writable).filter(|(_, is_ready)| **is_ready) {
            reply.condition = Condition::Ready;
        }
        ready.readable
    }
}

#[cfg(test)]
mod tests;
