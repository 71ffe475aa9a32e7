//! Sends the body of a reply, piece by piece, as fast as the client reads it.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use super::connection::{Activity, Closing, ConnectionPhase};
use super::memory::MemoryKind;
use super::remaining::RemainingReply;
use super::turns::NextTurn;
use super::worker::HttpWorker;
use crate::mi::Progress;
use crate::wire::{PIECE_BYTES, Stream};

/// The body of a reply. hyper asks for the next piece while fewer than some tens of kilobytes
/// wait to be sent; the other connections have a turn between two pieces.
pub(super) struct HttpReply {
    delivery: Rc<ReplyDelivery>,
    stream: Stream,
    /// A piece that is written and that hyper has not asked for yet.
    next: Option<ReplyPiece>,
    /// The part that is not written yet.
    remaining: Option<RemainingReply>,
    /// The statistics count this reply as an error.
    is_error: bool,
    /// The turn that the next piece waits for.
    turn: Option<NextTurn>,
}

/// The state that the pieces of a reply share. Dropped when the last piece has left or is dropped; a reply
/// that was not sent completely is counted then.
struct ReplyDelivery {
    worker: Rc<HttpWorker>,
    activity: Rc<Activity>,
    /// A part of the reply was dropped.
    is_incomplete: Cell<bool>,
    /// The request was a HEAD, so the body is not sent.
    is_head_only: Cell<bool>,
}

impl Drop for ReplyDelivery {
    fn drop(&mut self) {
        let is_timeout = self.activity.closing() == Closing::TimedOut;
        if self.is_incomplete.get() && !self.is_head_only.get() && !is_timeout {
            self.worker.count_dropped_reply();
        }
    }
}

/// Bytes of a reply. They count against the memory budget until the last of them has left.
pub(super) struct ReplyPiece {
    bytes: Vec<u8>,
    sent: usize,
    delivery: Rc<ReplyDelivery>,
}

impl ReplyPiece {
    /// Takes the bytes that wait in a stream; `None` when there are none.
    fn take(stream: &mut Stream, delivery: &Rc<ReplyDelivery>) -> Option<ReplyPiece> {
        let mut bytes = Some(stream.take()).filter(|bytes| !bytes.is_empty())?;
        if bytes.capacity() - bytes.len() > PIECE_BYTES {
            bytes.shrink_to_fit();
        }
        let ReplyDelivery { worker, activity, .. } = &**delivery;
        worker.memory.take(MemoryKind::Reply, activity.memory(), bytes.len());
        Some(ReplyPiece { bytes, sent: 0, delivery: Rc::clone(delivery) })
    }
}

impl Buf for ReplyPiece {
    fn remaining(&self) -> usize {
        self.chunk().len()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
    }
}

impl Drop for ReplyPiece {
    fn drop(&mut self) {
        let ReplyDelivery { worker, activity, is_incomplete, .. } = &*self.delivery;
        worker.memory.give_back(MemoryKind::Reply, activity.memory(), self.bytes.len());
        if self.has_remaining() {
            is_incomplete.set(true);
        }
    }
}

impl HttpReply {
    /// A reply whose first piece is in `stream`.
    pub(super) fn new(
        worker: &Rc<HttpWorker>,
        activity: &Rc<Activity>,
        mut stream: Stream,
        remaining: Option<RemainingReply>,
        is_error: bool,
    ) -> HttpReply {
        activity.enter(ConnectionPhase::Reply);
        let delivery = Rc::new(ReplyDelivery {
            worker: Rc::clone(worker),
            activity: Rc::clone(activity),
            is_incomplete: Cell::new(false),
            is_head_only: Cell::new(false),
        });
        let next = ReplyPiece::take(&mut stream, &delivery);
        HttpReply { delivery, stream, next, remaining, is_error, turn: None }
    }

    /// Marks the reply as one to HEAD: hyper asks for no byte of it, and it does not count as dropped.
    pub(super) fn set_head_only(&self) {
        self.delivery.is_head_only.set(true);
    }

    /// Writes the next piece.
    fn write_piece(&mut self) {
        let Some(remaining) = &mut self.remaining else { return };
        let worker = &self.delivery.worker;
        let progress = remaining.write_piece(worker, &mut self.stream);
        if remaining.is_error() && !std::mem::replace(&mut self.is_error, true) {
            worker.count_error();
        }
        if progress == Progress::Done {
            self.remaining = None;
        }
        self.next = ReplyPiece::take(&mut self.stream, &self.delivery);
        // The pieces of many short replies can exceed the budget, too; then slow clients are disconnected.
        self.delivery.worker.make_room(MemoryKind::Reply, 1);
    }
}

impl Body for HttpReply {
    type Data = ReplyPiece;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ReplyPiece>, Infallible>>> {
        if self.remaining.is_some() && self.next.is_none() {
            let HttpReply { turn, delivery, remaining, .. } = &mut *self;
            let _turn = ready!(turn.get_or_insert_with(|| delivery.worker.turns.next()).as_mut().poll(cx));
            *turn = None;
            if remaining.as_ref().is_some_and(RemainingReply::has_work) {
                // The reply to one of the requests of a batch may be long.
                ready!(delivery.worker.poll_reply_room(cx));
            }
            self.write_piece();
        }
        if let Some(piece) = self.next.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.remaining.is_none() {
            return Poll::Ready(None);
        }
        // The time slice ended before it wrote a byte.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.remaining.is_none() && self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.next.as_ref().map_or(0, ReplyPiece::remaining);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if self.remaining.is_some() { SizeHint::default() } else { SizeHint::with_exact(length) }
    }
}

impl Drop for HttpReply {
    fn drop(&mut self) {
        if self.remaining.is_some() {
            self.delivery.is_incomplete.set(true);
        }
        self.delivery.activity.enter(ConnectionPhase::Idle);
    }
}
