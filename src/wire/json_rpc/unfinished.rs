//! Writes long replies and the replies of a batch, piece by piece.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde_json::value::RawValue;

use super::encode::{JsonRpcEncoder, JsonRpcReplyState};
use super::request::NULL;
use super::{DiscardedOutput, Framing, JsonRpcAnswerer, RequestOutcome, reworded};
use crate::mi::{Context, OwnedCaller, Progress, Rest, Status};
use crate::wire::{MAX_BATCH_TIME, NO_TIME_LEFT, Output, PieceWriter, too_large};

/// A reply, or the replies of a batch, that are not completely written.
pub struct UnfinishedReplies {
    answerer: JsonRpcAnswerer,
    /// The reply that is being written.
    partial: Option<PartialReply>,
    batch: Option<JsonRpcBatch>,
    is_error: bool,
}

/// A reply that is being written.
pub(super) struct PartialReply {
    /// The id as JSON text; `None` for a notification, whose reply is discarded.
    pub(super) id: Option<String>,
    pub(super) state: JsonRpcReplyState,
    pub(super) rest: Rest,
}

/// A batch whose requests have not all run. The reply is an array of the replies to requests with an id.
pub(super) struct JsonRpcBatch {
    caller: OwnedCaller,
    text: Box<str>,
    /// The ranges of `text` with the requests that have not run, the next one last.
    waiting: Vec<Range<usize>>,
    /// The array has an element already.
    has_replies: bool,
    /// The error for all requests that have not run; `None` while they may run.
    refusal: Option<Status>,
}

impl fmt::Debug for UnfinishedReplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.batch.as_ref().map_or(0, |batch| batch.waiting.len());
        write!(f, "UnfinishedReplies({waiting} requests wait)")
    }
}

impl UnfinishedReplies {
    pub(super) fn new(partial: Option<PartialReply>, batch: Option<JsonRpcBatch>) -> UnfinishedReplies {
        UnfinishedReplies { answerer: JsonRpcAnswerer::default(), partial, batch, is_error: false }
    }

    /// Writes the next piece of the current reply, or runs the next request. `spent` as for
    /// [`PieceWriter::write_piece`].
    pub fn write_piece<O: Output>(&mut self, context: &Context, output: &mut O, spent: Duration) -> Progress {
        if let Some(partial) = &mut self.partial {
            match partial.write_piece(context, output, self.batch.is_some()) {
                PieceOutcome::More => return Progress::More,
                PieceOutcome::Complete { is_error } => self.is_error |= is_error,
            }
            self.partial = None;
        }
        let Some(batch) = &mut self.batch else { return Progress::Done };
        let Some(range) = batch.waiting.pop() else {
            batch.write_end(output);
            return Progress::Done;
        };
        if spent >= MAX_BATCH_TIME && batch.refusal.is_none() {
            let (count, limit) = (batch.waiting.len() + 1, MAX_BATCH_TIME.as_millis());
            log::warn!(often = true; "{count} requests of a batch are not run: those before took more than {limit} ms");
            batch.refusal = Some(NO_TIME_LEFT);
        }
        let (text, framing) = (&batch.text[range], Framing::InBatch { has_replies: &mut batch.has_replies });
        let (caller, refusal) = (batch.caller.caller(), batch.refusal.as_ref());
        match self.answerer.answer_request(context, text, caller, framing, refusal, output) {
            RequestOutcome::Replied { is_error, partial } => {
                self.is_error |= is_error;
                self.partial = partial;
            }
            // A command of a batch cannot defer its reply.
            RequestOutcome::Deferred(_) => {}
        }
        Progress::More
    }

    /// Ends the replies now: the current one and those of all requests that have not run become this error.
    pub fn abort<O: Output>(&mut self, context: &Context, status: &Status, output: &mut O) {
        if let Some(PartialReply { id: Some(id), state, .. }) = self.partial.take() {
            let mut encoder = JsonRpcEncoder::resume(output, &id, state);
            encoder.fail(status);
            encoder.finish();
        }
        if let Some(batch) = &mut self.batch {
            batch.refusal = Some(status.clone());
            while self.write_piece(context, output, Duration::ZERO) == Progress::More {}
        }
    }
}

impl<O: Output> PieceWriter<O> for UnfinishedReplies {
    fn write_piece(&mut self, context: &Context, output: &mut O, spent: Duration) -> Progress {
        UnfinishedReplies::write_piece(self, context, output, spent)
    }

    fn is_error(&self) -> bool {
        self.is_error
    }

    fn has_work(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.waiting.is_empty())
            || self.partial.as_ref().is_some_and(|partial| partial.rest.is_change())
    }
}

/// The outcome of writing one piece of a reply.
enum PieceOutcome {
    More,
    Complete { is_error: bool },
}

impl PartialReply {
    fn write_piece<O: Output>(
        &mut self,
        context: &Context,
        output: &mut O,
        is_in_batch: bool,
    ) -> PieceOutcome {
        let Some(id) = &self.id else {
            let mut discarded = DiscardedOutput;
            return match self.rest.step(context, &mut JsonRpcEncoder::new(&mut discarded, NULL)) {
                Ok(Progress::More) => PieceOutcome::More,
                ended => PieceOutcome::Complete { is_error: ended.is_err() },
            };
        };
        let mut encoder = JsonRpcEncoder::resume(output, id, std::mem::take(&mut self.state));
        match self.rest.step(context, &mut encoder) {
            Ok(progress) => {
                // A single reply that is too long is written to its end, as the error tells its length. In a
                // batch only the error matters, but changes are made to their end.
                let is_cut_short = is_in_batch && !self.rest.is_change() && encoder.excess().is_some();
                if progress == Progress::More && !is_cut_short {
                    self.state = encoder.into_state();
                    return PieceOutcome::More;
                }
                PieceOutcome::Complete { is_error: finish(encoder) }
            }
            Err(status) => {
                encoder.fail(&reworded(status));
                encoder.finish();
                PieceOutcome::Complete { is_error: true }
            }
        }
    }
}

impl JsonRpcBatch {
    /// A batch of which no request has run. `elements` are slices of `text`.
    pub(super) fn new(text: &str, elements: &[&RawValue], caller: OwnedCaller) -> JsonRpcBatch {
        let start = text.as_ptr().addr();
        let range = |element: &&RawValue| {
            let begin = element.get().as_ptr().addr() - start;
            begin..begin + element.get().len()
        };
        JsonRpcBatch {
            caller,
            text: text.into(),
            waiting: elements.iter().rev().map(range).collect(),
            has_replies: false,
            refusal: None,
        }
    }

    /// Closes the array. A batch of notifications alone has none.
    fn write_end<O: Output>(&self, output: &mut O) {
        if self.has_replies {
            output.push(b"]");
        }
    }
}

/// Finishes the reply of a command that has run; keeps the state of a reply that has more pieces. The first
/// value is true when the reply is an error.
pub(super) fn finish_or_suspend<O: Output>(
    result: Result<Option<Rest>, Status>,
    mut encoder: JsonRpcEncoder<'_, O>,
    id: &str,
) -> (bool, Option<PartialReply>) {
    match result {
        Ok(Some(rest)) => {
            (false, Some(PartialReply { id: Some(id.to_owned()), state: encoder.into_state(), rest }))
        }
        Ok(None) => (finish(encoder), None),
        Err(status) => {
            encoder.fail(&status);
            encoder.finish();
            (true, None)
        }
    }
}

/// Finishes a reply. Replaces a reply that is too long by an error, and returns true then.
fn finish<O: Output>(mut encoder: JsonRpcEncoder<'_, O>) -> bool {
    encoder.finish();
    let excess = encoder.excess();
    if let Some(length) = excess {
        encoder.fail(&too_large("reply", length));
        encoder.finish();
    }
    excess.is_some()
}
