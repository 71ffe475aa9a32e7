//! A reply on its way, piece by piece, as fast as the client takes it.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use super::connection::{Activity, End, Phase};
use super::memory::Kind;
use super::work::{NextTurn, Work};
use super::worker::Worker;
use crate::mi::Progress;
use crate::wire::{PIECE_BYTES, Stream};

/// The body of a reply. The next piece is made when the connection asks for bytes, which it does while fewer than
/// some tens of kilobytes of it wait; and between two pieces the other connections have a turn.
pub(super) struct Reply {
    sending: Rc<Sending>,
    stream: Stream,
    /// What was written and not asked for yet.
    next: Option<Piece>,
    more: Option<Work>,
    /// Whether it was counted as one that tells of an error.
    is_error: bool,
    /// The turn that the next piece waits for.
    turn: Option<NextTurn>,
}

/// What the pieces of a reply have in common. It ends when all of them have left, or none will any more.
struct Sending {
    worker: Rc<Worker>,
    activity: Rc<Activity>,
    /// Whether some of it will never leave.
    is_lost: Cell<bool>,
    /// Whether its client has asked for the head alone.
    is_head_alone: Cell<bool>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.is_lost.get() && !self.is_head_alone.get() && self.activity.ending() != End::Late {
            self.worker.note_dropped();
        }
    }
}

/// Bytes of a reply, which count as unread until the last of them has left.
pub(super) struct Piece {
    bytes: Vec<u8>,
    sent: usize,
    sending: Rc<Sending>,
}

impl Piece {
    /// What waits in a stream, if there is something.
    fn take(stream: &mut Stream, sending: &Rc<Sending>) -> Option<Piece> {
        let mut bytes = Some(stream.take()).filter(|bytes| !bytes.is_empty())?;
        if bytes.capacity() - bytes.len() > PIECE_BYTES {
            bytes.shrink_to_fit();
        }
        sending.worker.memory.take(Kind::Reply, &sending.activity, bytes.len());
        Some(Piece { bytes, sent: 0, sending: Rc::clone(sending) })
    }
}

impl Buf for Piece {
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

impl Drop for Piece {
    fn drop(&mut self) {
        let Sending { worker, activity, is_lost, .. } = &*self.sending;
        worker.memory.give_back(Kind::Reply, activity, self.bytes.len());
        if self.has_remaining() {
            is_lost.set(true);
        }
    }
}

impl Reply {
    /// What was written already, and what comes after it.
    pub(super) fn new(
        worker: &Rc<Worker>,
        activity: &Rc<Activity>,
        mut stream: Stream,
        more: Option<Work>,
        is_error: bool,
    ) -> Reply {
        activity.enter(Phase::Reply);
        let sending = Rc::new(Sending {
            worker: Rc::clone(worker),
            activity: Rc::clone(activity),
            is_lost: Cell::new(false),
            is_head_alone: Cell::new(false),
        });
        let next = Piece::take(&mut stream, &sending);
        Reply { sending, stream, next, more, is_error, turn: None }
    }

    /// Says that no byte of it is asked for.
    pub(super) fn leave_out(&self) {
        self.sending.is_head_alone.set(true);
    }

    fn go_on(&mut self) {
        let Some(more) = &mut self.more else { return };
        let worker = &self.sending.worker;
        let progress = more.go_on(worker, &mut self.stream);
        if more.is_error() && !std::mem::replace(&mut self.is_error, true) {
            worker.note_error();
        }
        if progress == Progress::Done {
            self.more = None;
        }
        self.next = Piece::take(&mut self.stream, &self.sending);
        // When many are short, too, slow ones are let go.
        self.sending.worker.has_room(Kind::Reply, 1);
    }
}

impl Body for Reply {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        if self.more.is_some() && self.next.is_none() {
            let Reply { turn, sending, more, .. } = &mut *self;
            let _turn = ready!(turn.get_or_insert_with(|| sending.worker.turns.next()).as_mut().poll(cx));
            *turn = None;
            if more.as_ref().is_some_and(Work::has_work) {
                // One of its requests may have a long reply.
                ready!(sending.worker.poll_room(cx));
            }
            self.go_on();
        }
        if let Some(piece) = self.next.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.more.is_none() {
            return Poll::Ready(None);
        }
        // A piece without a byte.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.more.is_none() && self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.next.as_ref().map_or(0, Piece::remaining);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if self.more.is_some() { SizeHint::default() } else { SizeHint::with_exact(length) }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.more.is_some() {
            self.sending.is_lost.set(true);
        }
        self.sending.activity.enter(Phase::Idle);
    }
}
