//! Keeps replies that are not completely sent: the client has not opened its FIFO, does not read, or the
//! reply is long.
//!
//! A reply is dropped when its client neither opens the FIFO nor reads from it for two seconds. The worker
//! never sleeps for a client. The queue has limits: [`MAX_REPLIES`], [`MAX_REPLIES_OF_CLIENT`] for one FIFO,
//! and [`MAX_QUEUED_BYTES`]. Over a limit, the reply that has waited longest is dropped, but neither the
//! newest one nor one whose client reads. Of a long reply only the next piece is in memory. Replies to one
//! FIFO are sent one after the other. C: `mi_open_reply_pipe` in fifo_fnc.c, which sleeps for clients, and
//! writes without a limit of time.

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
pub(super) use reply::FifoReply;
use reply::{SendCondition, SendStep};

/// The most replies in the queue. A FIFO holds as many requests, all of which may come before the first
/// client opens its reply FIFO.
const MAX_REPLIES: usize = 512;

/// The most replies in the queue to one FIFO.
const MAX_REPLIES_OF_CLIENT: usize = 64;

/// The most bytes in the queue, without the newest reply.
const MAX_QUEUED_BYTES: usize = 16 << 20;

/// The most detached replies (see [`FifoReply::detach`]) while the worker serves requests.
const MAX_DETACHED: usize = 16;

/// Largest buffer that is reused for the next reply, in bytes.
const MAX_SPARE_BYTES: usize = 256 << 10;

/// The most replies in shared memory, from which a successor sends them. Nothing of these replies is sent.
pub(super) const MAX_PARCELS: usize = 64;

/// Longest such reply with its path and identity, in bytes.
pub(super) const PARCEL_BYTES: usize = 4096 + 256 + size_of::<[u8; 24]>();

/// An event of a reply that is not sent at once.
#[derive(Debug)]
pub(super) enum ReplyEvent<'a> {
    /// The reply reports an error, which it did not when it was queued.
    Failed,
    /// The reply waits for its client.
    Parked,
    /// The client has not opened its FIFO or has not read from it in time.
    TimedOut(&'a Path),
    /// The reply is dropped because of the error.
    Dropped(&'a Path, &'a dyn std::error::Error),
}

/// Takes the events.
pub(super) type ReportEvent<'a> = dyn FnMut(ReplyEvent<'_>) + 'a;

/// The limit of the queue that is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum ReplyLimit {
    #[error("more than {MAX_REPLIES_OF_CLIENT} replies wait for its client")]
    RepliesOfClient,
    #[error("more than {MAX_REPLIES} replies wait for their clients")]
    ReplyQueue,
    #[error("more than {MAX_QUEUED_BYTES} bytes wait for their clients")]
    Bytes,
}

/// The replies that are not completely sent, in the order of their requests.
#[derive(Debug)]
pub(super) struct ReplyQueue<'a> {
    queued: Vec<FifoReply<'a>>,
    /// Copies of short replies of which nothing is sent, for a successor.
    parcels: &'a Parcels,
    /// The FIFO for requests. No reply is written to it.
    request_fifo: Option<Identity>,
    /// The number of the newest reply.
    last_number: u64,
    /// The number of the reply that had the last time slice.
    last_served: u64,
    /// Buffers that the next reply reuses.
    spare: Stream,
    spare_path: PathBuf,
}

impl<'a> ReplyQueue<'a> {
    /// Takes over the replies that a killed predecessor has left. Their clients get as much time as for new
    /// replies. `request_fifo` is the FIFO for requests.
    pub(super) fn take_over(parcels: &'a Parcels, request_fifo: Option<Identity>) -> ReplyQueue<'a> {
        let mut replies = ReplyQueue {
            queued: Vec::new(),
            parcels,
            request_fifo,
            last_number: 0,
            last_served: 0,
            spare: Stream::default(),
            spare_path: PathBuf::new(),
        };
        for (number, parcel, bytes) in parcels.take_over() {
            let Some((&identity, bytes)) = bytes.split_first_chunk() else { continue };
            // A path has no NUL.
            let Some(end) = bytes.iter().position(|&byte| byte == 0) else { continue };
            let path = PathBuf::from(OsStr::from_bytes(&bytes[..end]));
            let is_first =
                replies.queued.iter().all(|queued: &FifoReply<'_>| queued.path.as_ref() != Some(&path));
            let condition = if is_first { SendCondition::absent() } else { SendCondition::AfterOther };
            let mut stream = Stream::default();
            stream.push(&bytes[end + 1..]);
            let mut reply = FifoReply::new(number, Some(path), None, condition, stream);
            reply.since = Some(Instant::now());
            reply.identity = Some(identity).filter(|it| *it != [0; 24]).map(Identity::from_bytes);
            reply.parcel = Some(parcel);
            replies.queued.push(reply);
            replies.last_number = number;
        }
        replies
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// There is room for deferred replies.
    pub(super) fn has_room(&self) -> bool {
        self.queued.len() < MAX_REPLIES / 2
    }

    /// There is room for a deferred reply to the FIFO at `path`.
    pub(super) fn has_room_for(&self, path: &Path) -> bool {
        let of_client = self.queued.iter().filter(|reply| reply.path.as_deref() == Some(path));
        of_client.count() < MAX_REPLIES_OF_CLIENT / 2
    }

    /// A reply can use a time slice now.
    pub(super) fn is_any_ready(&self) -> bool {
        self.queued.iter().any(FifoReply::is_ready)
    }

    /// So many replies are detached that their work comes before new requests.
    pub(super) fn has_detached_backlog(&self) -> bool {
        self.queued.iter().filter(|reply| reply.path.is_none()).count() >= MAX_DETACHED
    }

    /// Begins a reply to the FIFO at `path`, or without a path one that is discarded. The FIFO of a reply
    /// that `may_be_deferred` is opened when there is something to write: when the worker is killed with the
    /// FIFO open, the client reads an end of file.
    ///
    /// # Errors
    /// When no reply can be written there. A client that has not opened its FIFO is no error.
    pub(super) fn begin(
        &mut self,
        path: Option<&Path>,
        may_be_deferred: bool,
    ) -> Result<FifoReply<'a>, ReplyError> {
        let (mut fifo, mut identity) = (None, None);
        let condition = match path {
            None => SendCondition::Ready,
            Some(path) if self.queued.iter().any(|queued| queued.path.as_deref() == Some(path)) => {
                SendCondition::AfterOther
            }
            Some(path) if may_be_deferred => {
                identity = Some(fifo::Reply::look(path)?);
                SendCondition::untried()
            }
            Some(path) => match fifo::Reply::open(path) {
                Ok(opened) => {
                    identity = Some(opened.identity());
                    fifo = Some(opened);
                    SendCondition::Ready
                }
                Err(ReplyError::Absent) => SendCondition::absent(),
                Err(error) => return Err(error),
            },
        };
        if let (None, Some(path)) = (identity, path) {
            identity = Identity::at(path).ok();
        }
        if identity.is_some() && identity == self.request_fifo {
            return Err(ReplyError::Requests);
        }
        self.last_number += 1;
        let stream = std::mem::take(&mut self.spare);
        let path = path.map(|path| {
            let mut buffer = std::mem::take(&mut self.spare_path);
            buffer.clear();
            buffer.push(path);
            buffer
        });
        let mut reply = FifoReply::new(self.last_number, path, fifo, condition, stream);
        reply.identity = identity;
        Ok(reply)
    }

    /// Begins a deferred reply to the FIFO that was at `path` when the request came.
    ///
    /// # Errors
    /// As [`begin`](ReplyQueue::begin).
    pub(super) fn begin_deferred(
        &mut self,
        path: &Path,
        identity: Identity,
    ) -> Result<FifoReply<'a>, ReplyError> {
        let mut reply = self.begin(Some(path), true)?;
        reply.identity = Some(identity);
        Ok(reply)
    }

    /// Sends as much of a reply as its FIFO has room for, and queues the rest. `more` writes what is not in
    /// the stream.
    pub(super) fn send(
        &mut self,
        mut reply: FifoReply<'a>,
        more: Option<Box<dyn PieceWriter<Stream>>>,
        context: &Context,
        report: &mut ReportEvent<'_>,
    ) {
        reply.more = more;
        let mut step =
            if reply.is_not_tried() { reply.try_open(Instant::now()) } else { SendStep::Continues };
        if reply.is_ready() {
            step = reply.send_some(context, report);
        }
        if let SendStep::Complete = step {
            if reply.max_stream_bytes <= MAX_SPARE_BYTES {
                self.spare = reply.stream;
            }
            self.spare_path = reply.path.unwrap_or_default();
            return;
        }
        reply.report_if_parked(report);
        reply.since = Some(Instant::now());
        reply.store_copy(self.parcels);
        self.queued.push(reply);
        if !self.handle_step(self.queued.len() - 1, step, report) {
            self.drop_excess(report);
        }
    }

    /// Drops the replies that have waited longest while the queue is over a limit.
    fn drop_excess(&mut self, report: &mut ReportEvent<'_>) {
        let now = Instant::now();
        while let Some((limit, at)) =
            self.exceeded_limit().and_then(|limit| Some((limit, self.longest_waiting(limit, now)?)))
        {
            report(ReplyEvent::Dropped(self.queued[at].shown_path(), &limit));
            self.remove(at, false, report);
        }
    }

    /// The limit that the newest reply exceeds.
    fn exceeded_limit(&self) -> Option<ReplyLimit> {
        let path = self.queued.last()?.path.as_ref()?;
        let (mut count, mut of_client, mut bytes) = (0, 0, 0);
        for reply in self.queued.iter().filter(|reply| reply.path.is_some()) {
            count += 1;
            of_client += usize::from(reply.path.as_ref() == Some(path));
            bytes += reply.held_bytes();
        }
        let limits = [
            (of_client > MAX_REPLIES_OF_CLIENT, ReplyLimit::RepliesOfClient),
            (count > MAX_REPLIES, ReplyLimit::ReplyQueue),
            (bytes > MAX_QUEUED_BYTES, ReplyLimit::Bytes),
        ];
        limits.into_iter().find(|(is_exceeded, _)| *is_exceeded).map(|(_, limit)| limit)
    }

    /// The reply that has waited longest, of those that count for the limit. When the clients of all of them
    /// read, one of these is chosen, but not for [`ReplyLimit::Bytes`].
    fn longest_waiting(&self, limit: ReplyLimit, now: Instant) -> Option<usize> {
        let (last, others) = self.queued.split_last()?;
        let counts = |reply: &FifoReply<'_>| {
            reply.path.is_some() && (limit != ReplyLimit::RepliesOfClient || reply.path == last.path)
        };
        let candidates = others.iter().enumerate().filter(|(_, reply)| counts(reply));
        let idle = candidates
            .clone()
            .filter(|(_, reply)| reply.may_be_dropped(now))
            .min_by_key(|(_, reply)| reply.since);
        let any = || candidates.min_by_key(|(_, reply)| reply.since).filter(|_| limit != ReplyLimit::Bytes);
        idle.or_else(any).map(|(at, _)| at)
    }

    /// Opens FIFOs whose retry is due, drops replies that have timed out, and gives one reply a time slice.
    pub(super) fn run_once(&mut self, context: &Context, report: &mut ReportEvent<'_>) {
        let now = Instant::now();
        let mut at = 0;
        while let Some(reply) = self.queued.get_mut(at) {
            let mut step = reply.try_open(now);
            if let (SendStep::Opened, reply) = (&step, reply) {
                step = reply.send_some(context, report);
            }
            at += usize::from(!self.handle_step(at, step, report));
        }
        let numbers = || self.queued.iter().filter(|reply| reply.is_ready()).map(|reply| reply.number);
        let next = numbers().find(|&number| number > self.last_served).or_else(|| numbers().next());
        if let Some(at) = self.queued.iter().position(|reply| Some(reply.number) == next) {
            let reply = &mut self.queued[at];
            self.last_served = reply.number;
            let step = reply.send_some(context, report);
            reply.report_if_parked(report);
            self.handle_step(at, step, report);
        }
    }

    /// Removes the reply at this index when its step has completed it or has failed. True when it is removed.
    fn handle_step(&mut self, at: usize, step: SendStep, report: &mut ReportEvent<'_>) -> bool {
        let reply = &mut self.queued[at];
        let is_client_active = match step {
            SendStep::Opened | SendStep::Continues => return false,
            SendStep::Complete => true,
            SendStep::TimedOut => {
                report(ReplyEvent::TimedOut(reply.shown_path()));
                false
            }
            SendStep::Failed(error) => {
                report(ReplyEvent::Dropped(reply.shown_path(), &error));
                true
            }
        };
        self.remove(at, is_client_active, report)
    }

    /// Removes a reply, or detaches it when it has work left, and lets the next reply to its FIFO begin.
    /// Removes other timed out replies to the FIFO as well, unless the client is active. True when the reply
    /// at `at` is removed.
    fn remove(&mut self, at: usize, is_client_active: bool, report: &mut ReportEvent<'_>) -> bool {
        let now = Instant::now();
        // A reply that waits for another one is not the first, so no other begins.
        let is_first = self.queued[at].condition != SendCondition::AfterOther;
        let path = self.queued[at].path.take().filter(|_| is_first);
        let is_removed = !self.queued[at].detach();
        if is_removed {
            self.queued.remove(at);
        }
        // The next replies to the FIFO come after the removed one.
        let mut next = at;
        while let (Some(reply), true) = (self.queued.get_mut(next), path.is_some()) {
            if reply.path != path {
                next += 1;
            } else if !is_client_active && reply.is_timed_out(now) {
                report(ReplyEvent::TimedOut(reply.shown_path()));
                reply.path = None;
                if reply.detach() {
                    next += 1;
                } else {
                    self.queued.remove(next);
                }
            } else {
                if reply.condition == SendCondition::AfterOther {
                    reply.condition = SendCondition::absent();
                    reply.since = if is_client_active { Some(now) } else { reply.since };
                }
                break;
            }
        }
        is_removed
    }

    /// Waits until `requests` or `notifier` is readable, or a reply can continue, but no longer than `limit`.
    /// True when `requests` is readable.
    pub(super) fn wait(
        &mut self,
        requests: BorrowedFd<'_>,
        notifier: Option<BorrowedFd<'_>>,
        limit: Option<Duration>,
    ) -> bool {
        let next_step = self.queued.iter().filter_map(FifoReply::next_step_at).min();
        let next_step = next_step.map(|at| at.saturating_duration_since(Instant::now()));
        let limit = [limit, next_step].into_iter().flatten().min();
        let blocked: Vec<_> = self.queued.iter().filter_map(FifoReply::blocked_on).collect();
        let ready = fifo::wait(requests, notifier, &blocked, limit);
        let waiting = self.queued.iter_mut().filter(|reply| reply.condition == SendCondition::Blocked);
        for (reply, _) in waiting.zip(&ready.writable).filter(|(_, is_ready)| **is_ready) {
            reply.condition = SendCondition::Ready;
        }
        ready.readable
    }
}

#[cfg(test)]
mod tests;
