//! The rest of a reply, piece by piece, as fast as the client takes it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body::Share;
use super::connection::{Activity, End, Phase};
use super::worker::Worker;
use crate::mi::Progress;
use crate::wire::{Pieces, Stream};

/// The body of a reply. The next piece is made when the connection asks for bytes, which it does while fewer than
/// some tens of kilobytes of it wait; and between two pieces the other connections have a turn.
pub(super) struct Reply {
    worker: Rc<Worker>,
    activity: Rc<Activity>,
    stream: Stream,
    more: Option<Box<dyn Pieces>>,
    /// What requests that are to run yet have of the budget for bodies.
    share: Option<Share>,
    /// Whether it was counted as one that tells of an error.
    is_error: bool,
    /// Whether the others had a turn since the last piece.
    is_my_turn: bool,
}

impl Reply {
    /// What was written already, and what comes after it, with the share of the request's body.
    pub(super) fn new(
        worker: &Rc<Worker>,
        activity: &Rc<Activity>,
        stream: Stream,
        more: Option<(Box<dyn Pieces>, Share)>,
        is_error: bool,
    ) -> Reply {
        activity.enter(Phase::Reply);
        let (worker, activity) = (Rc::clone(worker), Rc::clone(activity));
        let (more, share) = more.unzip();
        let share = share.filter(|_| more.as_ref().is_some_and(|more| more.has_requests()));
        Reply { worker, activity, stream, more, share, is_error, is_my_turn: false }
    }

    fn go_on(&mut self) {
        let Some(more) = &mut self.more else { return };
        if self.worker.busy(|worker| more.go_on(&worker.context, &mut self.stream)) == Progress::Done {
            if more.is_error() && !self.is_error {
                self.worker.note_error();
            }
            self.more = None;
        }
        if !self.more.as_ref().is_some_and(|more| more.has_requests()) {
            self.share = None;
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.more.is_some() && self.stream.waiting().is_empty() {
            if !std::mem::replace(&mut self.is_my_turn, true) {
                // Wakes this task after the others, and after whatever has arrived was looked at.
                return match pin!(tokio::task::yield_now()).poll(cx) {
                    Poll::Ready(()) | Poll::Pending => Poll::Pending,
                };
            }
            self.is_my_turn = false;
            self.go_on();
        }
        let waiting = self.stream.take();
        if !waiting.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(waiting.into()))));
        }
        if self.more.is_none() {
            return Poll::Ready(None);
        }
        // A piece without a byte.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.more.is_none() && self.stream.waiting().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let length = u64::try_from(self.stream.waiting().len()).unwrap_or(u64::MAX);
        if self.more.is_some() { SizeHint::default() } else { SizeHint::with_exact(length) }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.more.is_some() && self.activity.ending() != End::Late {
            self.worker.note_dropped();
        }
        self.activity.enter(Phase::Idle);
    }
}
