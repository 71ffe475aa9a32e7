//! Writes replies that take several time slices. The worker serves the other connections between any two
//! slices, so many clients with long requests delay the others no more than one does.

use std::fmt;

use super::memory::{MemoryKind, RequestMemory};
use super::turns::Turn;
use super::worker::HttpWorker;
use crate::mi::Progress;
use crate::system::time_slice::{Step, TimeSpent};
use crate::wire::{PIECE_BYTES, PieceWriter, Stream};

/// The part of a reply that is not written yet.
pub(super) struct RemainingReply {
    pieces: Box<dyn PieceWriter<Stream>>,
    spent: TimeSpent,
    /// The memory of the request's text, while requests of a batch have yet to run.
    memory: Option<RequestMemory>,
}

impl fmt::Debug for RemainingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemainingReply({:?}, {:?})", self.pieces, self.spent)
    }
}

impl RemainingReply {
    /// The rest of a dialect's reply. `memory` is that of the request's body.
    pub(super) fn new(pieces: Box<dyn PieceWriter<Stream>>, memory: RequestMemory) -> RemainingReply {
        let memory = Some(memory).filter(|_| pieces.has_work());
        RemainingReply { pieces, spent: TimeSpent::default(), memory }
    }

    /// Whether a change has yet to be made or a request has yet to run. That happens even if the client goes
    /// away.
    pub(super) fn has_work(&self) -> bool {
        self.pieces.has_work()
    }

    /// Whether the reply has reported an error so far.
    pub(super) fn is_error(&self) -> bool {
        self.pieces.is_error()
    }

    /// Writes for one time slice, or until a piece of the reply is written.
    pub(super) fn write_piece(&mut self, worker: &HttpWorker, stream: &mut Stream) -> Progress {
        let RemainingReply { pieces, spent, memory } = self;
        let mut progress = Progress::More;
        worker.while_busy(|worker| {
            spent.slice(|spent| {
                progress = pieces.write_piece(&worker.context, stream, spent);
                let is_enough = progress == Progress::Done || stream.waiting().len() >= PIECE_BYTES;
                if is_enough { Step::Done } else { Step::More }
            });
        });
        if !pieces.has_work() {
            *memory = None;
        }
        progress
    }

    /// Writes until the reply is complete, or until its first piece can be sent.
    pub(super) async fn start(mut self, worker: &HttpWorker, mut stream: Stream) -> StartedReply {
        let mut turn = worker.turns.try_next();
        loop {
            if turn.is_none() {
                turn = worker.turns.next().await;
            }
            if self.has_work() && !worker.make_room(MemoryKind::Reply, 1) {
                // The reply to one of the requests of a batch may be long.
                drop(turn.take());
                worker.wait_for_reply_room().await;
                continue;
            }
            let progress = self.write_piece(worker, &mut stream);
            let is_error = self.is_error();
            if progress == Progress::Done {
                return StartedReply { stream, remaining: None, is_error, turn };
            }
            if stream.waiting().len() >= PIECE_BYTES {
                return StartedReply { stream, remaining: Some(self), is_error, turn };
            }
            drop(turn.take());
        }
    }
}

/// The first piece of a reply and its rest.
#[derive(Debug)]
pub(super) struct StartedReply {
    /// The first piece.
    pub(super) stream: Stream,
    /// `None` when the reply is complete.
    pub(super) remaining: Option<RemainingReply>,
    /// The reply has reported an error so far.
    pub(super) is_error: bool,
    /// Held until the first piece counts against the memory budget, so that no other reply takes its room.
    pub(super) turn: Turn,
}
