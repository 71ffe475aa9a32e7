//! Replies that take several time slices. Between any two slices, of whatever connections, the other connections are
//! served: many clients with long requests delay the rest no more than one does.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

use super::memory::{Kind, Share};
use super::worker::Worker;
use crate::mi::Progress;
use crate::system::time_slice::{Step, TimeSpent};
use crate::wire::{PIECE_BYTES, Pieces, Stream};

/// Who may use the next time slice.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

/// The right to one time slice; given back when it is dropped.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

/// A turn that is waited for.
pub(super) type NextTurn = Pin<Box<dyn Future<Output = Turn>>>;

impl Default for Turns {
    fn default() -> Turns {
        Turns(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for a turn, and then until the connections whose bytes have arrived meanwhile were served.
    pub(super) fn next(&self) -> NextTurn {
        let turns = Arc::clone(&self.0);
        Box::pin(async move {
            let turn = turns.acquire_owned().await.ok();
            yield_now().await;
            turn
        })
    }

    /// A turn at once, when nobody else has it or waits for it.
    fn now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// What is left of a reply.
pub(super) struct Work {
    pieces: Box<dyn Pieces<Stream>>,
    spent: TimeSpent,
    /// What the text of requests that are to run yet has of the memory.
    share: Option<Share>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({:?}, {:?})", self.pieces, self.spent)
    }
}

impl Work {
    /// What a dialect has left of a reply. `share` is that of the request's body.
    pub(super) fn new(pieces: Box<dyn Pieces<Stream>>, share: Share) -> Work {
        let share = Some(share).filter(|_| pieces.has_work());
        Work { pieces, spent: TimeSpent::default(), share }
    }

    /// Whether there is more left than a reply: a change to be made, or requests to be run.
    pub(super) fn has_work(&self) -> bool {
        self.pieces.has_work()
    }

    /// Whether something went wrong so far.
    pub(super) fn is_error(&self) -> bool {
        self.pieces.is_error()
    }

    /// Goes on for one time slice, or until enough is written.
    pub(super) fn go_on(&mut self, worker: &Worker, stream: &mut Stream) -> Progress {
        let Work { pieces, spent, share } = self;
        let mut progress = Progress::More;
        worker.busy(|worker| {
            spent.slice(|spent| {
                progress = pieces.go_on(&worker.context, stream, spent);
                let is_enough = progress == Progress::Done || stream.waiting().len() >= PIECE_BYTES;
                if is_enough { Step::Done } else { Step::More }
            });
        });
        if !pieces.has_work() {
            *share = None;
        }
        progress
    }

    /// Goes on to the end of the reply, or until enough of it is written to begin to send it.
    pub(super) async fn begin(mut self, worker: &Worker, mut stream: Stream) -> Begun {
        let mut turn = worker.turns.now();
        loop {
            if turn.is_none() {
                turn = worker.turns.next().await;
            }
            if self.has_work() && !worker.has_room(Kind::Reply, 1) {
                // The reply to one of its requests may be long.
                drop(turn.take());
                worker.room().await;
                continue;
            }
            let progress = self.go_on(worker, &mut stream);
            let is_error = self.is_error();
            if progress == Progress::Done {
                return Begun { stream, work: None, is_error, turn };
            }
            if stream.waiting().len() >= PIECE_BYTES {
                return Begun { stream, work: Some(self), is_error, turn };
            }
            drop(turn.take());
        }
    }
}

/// The beginning of a reply.
#[derive(Debug)]
pub(super) struct Begun {
    /// What is written.
    pub(super) stream: Stream,
    /// What is left.
    pub(super) work: Option<Work>,
    /// Whether something went wrong.
    pub(super) is_error: bool,
    /// To be kept until what is written counts as unread, so that nobody else takes its room.
    pub(super) turn: Turn,
}
