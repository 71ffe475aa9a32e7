//! Answers JSON-RPC 2.0 requests, as OpenSIPS 3.x does on datagrams, FIFO and HTTP.
//!
//! ```text
//! request.rs   parses one request and checks its members
//! bind.rs      matches the parameters of a request with a recipe of its command
//! encode.rs    encodes a reply: a JSON value inside its envelope
//! ```
//!
//! C: `handle_mi_request` and `print_mi_response` in mi/mi.c.
//!
//! Differs, where C violates the standard: a text that is not JSON or not a request gets an error in JSON
//! with the id null; an array is a batch; an id is sent back exactly as it came, and an id that is neither a
//! string nor a number nor null makes the request invalid. Text after the request makes it invalid JSON; C
//! ignores the text. A batch has at most 1024 requests, and those that have not begun after
//! [`MAX_BATCH_TIME`] get an error each.

mod bind;
mod encode;
mod request;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

pub use encode::{JsonRpcEncoder, JsonRpcReplyState, notify};
use request::{InvalidRequest, JsonRpcRequest, NULL};
use serde_json::value::RawValue;

use super::{MAX_BATCH, MAX_BATCH_TIME, NO_TIME_LEFT, Output, Pieces, too_large};
use crate::mi::{
    self, Caller, Context, Delivery, Fault, Generation, KeptCaller, Outcome, Params, Progress, Reply, Rest,
    Told,
};

/// C: `JSONRPC_PARSE_ERR_CODE`.
const PARSE_ERROR: Fault = Fault::new(-32700, "Parse error");
/// C: `JSONRPC_INVAL_REQ_CODE`.
const INVALID_REQUEST: Fault = Fault::new(-32600, "Invalid Request");
/// C: `JSONRPC_NOT_FOUND_CODE`.
const METHOD_NOT_FOUND: Fault = Fault::new(-32601, "Method not found");

/// The most bytes of a refused request that are logged.
const SHOWN_BYTES: usize = 100;

/// Replaces the reason of an error of 1.x by that of 3.x. C: mi/mi_core.c, ul_mi.c, event_interface.c.
fn reworded(fault: Fault) -> Fault {
    let Fault { code, .. } = fault;
    if fault.is(&mi::BAD_PARAMETER) {
        Fault { data: fault.data, ..Fault::new(code, "Bad parameter value") }
    } else if fault.is(&mi::SERVER_ERROR) {
        Fault { data: fault.data, ..Fault::new(code, "Internal Error") }
    } else {
        fault
    }
}

/// Whether a text is meant as JSON-RPC: after blanks or a byte order mark it begins like an object or an
/// array, or the whole text is another JSON value.
#[must_use]
pub fn is_json(text: &[u8]) -> bool {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    match text.trim_ascii_start() {
        [b'{' | b'[', ..] => true,
        text => serde_json::from_slice::<&RawValue>(text).is_ok(),
    }
}

/// Whether a text is a JSON-RPC reply, or a batch of replies, of any server.
#[must_use]
pub fn is_reply(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(request::is_reply)
}

/// Whether a text is one request whose command may defer its reply.
#[must_use]
pub fn may_be_deferred(context: &Context, text: &[u8]) -> bool {
    let Some(Ok(request)) = str::from_utf8(text).ok().map(JsonRpcRequest::parse) else { return false };
    let entry = context.commands.find(request.method.as_bytes(), Generation::JsonRpc);
    entry.is_some_and(|entry| entry.command.run.answers_later())
}

/// Answers texts that hold a request or a batch. Reuses its buffers from one text to the next.
#[derive(Debug, Default)]
pub struct JsonRpcAnswerer {
    params: Params,
}

/// What became of a text. Nothing is written for a text of notifications alone.
#[derive(Debug)]
pub struct JsonRpcOutcome {
    /// A reply that is written so far reports an error.
    pub is_error: bool,
    /// Writes the rest of a long reply or of a batch; `None` when all is written.
    pub unfinished: Option<UnfinishedReplies>,
    /// The number of a deferred reply; [`write_deferred`] writes it later.
    pub deferred: Option<u64>,
}

impl JsonRpcOutcome {
    fn of_batch(batch: JsonRpcBatch) -> JsonRpcOutcome {
        let unfinished = UnfinishedReplies::new(None, Some(batch));
        JsonRpcOutcome { is_error: false, unfinished: Some(unfinished), deferred: None }
    }

    fn of_reply(is_error: bool, partial: Option<PartialReply>) -> JsonRpcOutcome {
        let unfinished = partial.map(|partial| UnfinishedReplies::new(Some(partial), None));
        JsonRpcOutcome { is_error, unfinished, deferred: None }
    }

    fn of_deferred(number: u64) -> JsonRpcOutcome {
        JsonRpcOutcome { is_error: false, unfinished: None, deferred: Some(number) }
    }
}

/// What became of one request.
enum RequestOutcome {
    Replied {
        is_error: bool,
        /// The rest of a long reply; `None` when it is complete.
        partial: Option<PartialReply>,
    },
    /// The number of the deferred reply.
    Deferred(u64),
}

/// A reply, or the replies of a batch, that are not completely written.
pub struct UnfinishedReplies {
    answerer: JsonRpcAnswerer,
    /// The reply that is being written.
    partial: Option<PartialReply>,
    batch: Option<JsonRpcBatch>,
    is_error: bool,
}

/// A reply that is being written.
struct PartialReply {
    /// The id as JSON text; `None` for a notification, whose reply is discarded.
    id: Option<String>,
    state: JsonRpcReplyState,
    rest: Rest,
}

/// A batch whose requests have not all run. The reply is an array of the replies to requests with an id.
struct JsonRpcBatch {
    caller: KeptCaller,
    text: Box<str>,
    /// The ranges of `text` with the requests that have not run, the next one last.
    waiting: Vec<Range<usize>>,
    /// The array has an element already.
    has_replies: bool,
    /// The error for all requests that have not run; `None` while they may run.
    refusal: Option<Fault>,
}

/// Where the reply to a request stands.
enum Framing<'a> {
    Alone,
    /// An element of the array of a batch. `has_replies` is true when it is not the first one.
    InBatch {
        has_replies: &'a mut bool,
    },
}

impl fmt::Debug for UnfinishedReplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.batch.as_ref().map_or(0, |batch| batch.waiting.len());
        write!(f, "UnfinishedReplies({waiting} requests wait)")
    }
}

impl JsonRpcAnswerer {
    /// Runs the requests of `text` and writes their replies.
    pub fn answer<O: Output>(
        &mut self,
        context: &Context,
        text: &[u8],
        caller: Caller<'_>,
        output: &mut O,
    ) -> JsonRpcOutcome {
        let Ok(text) = str::from_utf8(text) else { return write_error(&PARSE_ERROR, output) };
        if !text.trim_ascii_start().starts_with('[') {
            return match self.answer_request(context, text, caller, Framing::Alone, None, output) {
                RequestOutcome::Replied { is_error, partial } => JsonRpcOutcome::of_reply(is_error, partial),
                RequestOutcome::Deferred(number) => JsonRpcOutcome::of_deferred(number),
            };
        }
        let Some(elements) = request::elements(text) else { return write_error(&PARSE_ERROR, output) };
        if elements.is_empty() {
            return write_error(&INVALID_REQUEST, output);
        }
        if elements.len() > MAX_BATCH {
            let data = format!("{} requests in a batch, at most {MAX_BATCH}", elements.len());
            return write_error(&Fault { data: Some(data.into()), ..INVALID_REQUEST }, output);
        }
        JsonRpcOutcome::of_batch(JsonRpcBatch::new(text, &elements, caller.keep()))
    }

    /// Answers each request of `text` with an error, without running it.
    pub fn refuse<O: Output>(&mut self, context: &Context, text: &[u8], fault: &Fault, output: &mut O) {
        let Ok(text) = str::from_utf8(text) else {
            write_error(&PARSE_ERROR, output);
            return;
        };
        // No command runs, so no command sees the caller.
        let caller = Caller::new("", &"");
        match request::elements(text) {
            Some(elements) if (1..=MAX_BATCH).contains(&elements.len()) => {
                let batch = JsonRpcBatch::new(text, &elements, caller.keep());
                UnfinishedReplies::new(None, Some(batch)).abort(context, fault, output);
            }
            _ => {
                self.answer_request(context, text, caller, Framing::Alone, Some(fault), output);
            }
        }
    }

    /// Runs one request and writes its reply. With a `refusal` the request is not run and gets this error.
    fn answer_request<O: Output>(
        &mut self,
        context: &Context,
        text: &str,
        caller: Caller<'_>,
        framing: Framing<'_>,
        refusal: Option<&Fault>,
        output: &mut O,
    ) -> RequestOutcome {
        let parsed = JsonRpcRequest::parse(text);
        if let Ok(request @ JsonRpcRequest { id: None, .. }) = &parsed {
            return if refusal.is_some() {
                RequestOutcome::Replied { is_error: true, partial: None }
            } else {
                self.run_notification(context, request, caller)
            };
        }
        let is_alone = match framing {
            Framing::Alone => true,
            Framing::InBatch { has_replies } => {
                output.push(if *has_replies { b"," } else { b"[" });
                *has_replies = true;
                false
            }
        };
        let id = match &parsed {
            Ok(request) => request.id.unwrap_or(NULL),
            Err(InvalidRequest::NotRequest(id)) => id,
            Err(InvalidRequest::NotJson) => NULL,
        };
        let delivery =
            if is_alone { Delivery::AtAnyTime { form: id.as_bytes() } } else { Delivery::WithOthers };
        let mut encoder = JsonRpcEncoder::new(output, id);
        let result = match (&parsed, refusal) {
            (Ok(_), Some(refusal)) => Err(refusal.clone()),
            (Ok(request), None) => self.run(context, request, &mut encoder, caller, delivery),
            (Err(InvalidRequest::NotRequest(_)), _) => Err(INVALID_REQUEST),
            (Err(InvalidRequest::NotJson), _) => Err(PARSE_ERROR),
        };
        if let Err(fault) = &result {
            let shown = text.as_bytes()[..text.len().min(SHOWN_BYTES)].escape_ascii();
            log::debug!("{} {}: {shown}", fault.code, fault.reason);
        }
        if let Ok(Outcome::Later(number)) = result {
            return RequestOutcome::Deferred(number);
        }
        let (is_error, partial) = finish_or_suspend(result.map(Outcome::rest), encoder, id);
        RequestOutcome::Replied { is_error, partial }
    }

    /// Runs a request without an id and discards its reply.
    fn run_notification(
        &mut self,
        context: &Context,
        request: &JsonRpcRequest<'_>,
        caller: Caller<'_>,
    ) -> RequestOutcome {
        let mut discarded = DiscardedOutput;
        let encoder = &mut JsonRpcEncoder::new(&mut discarded, NULL);
        let outcome = self.run(context, request, encoder, caller, Delivery::Never);
        let is_error = outcome.is_err();
        let rest = outcome.ok().and_then(Outcome::rest).filter(Rest::is_change);
        let partial = rest.map(|rest| PartialReply { id: None, state: JsonRpcReplyState::default(), rest });
        RequestOutcome::Replied { is_error, partial }
    }

    fn run(
        &mut self,
        context: &Context,
        request: &JsonRpcRequest<'_>,
        reply: &mut dyn Reply,
        caller: Caller<'_>,
        delivery: Delivery<'_>,
    ) -> Result<Outcome, Fault> {
        let entry = context.commands.find(request.method.as_bytes(), Generation::JsonRpc);
        let command = entry.ok_or(METHOD_NOT_FOUND)?.command;
        let recipe = bind::bind(&request.params, command.json_rpc, &mut self.params)?;
        mi::run(command, recipe, context, &self.params, reply, caller, delivery).map_err(reworded)
    }
}

impl UnfinishedReplies {
    fn new(partial: Option<PartialReply>, batch: Option<JsonRpcBatch>) -> UnfinishedReplies {
        UnfinishedReplies { answerer: JsonRpcAnswerer::default(), partial, batch, is_error: false }
    }

    /// Writes the next piece of the current reply, or runs the next request. `spent` as for
    /// [`Pieces::go_on`].
    pub fn go_on<O: Output>(&mut self, context: &Context, output: &mut O, spent: Duration) -> Progress {
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
    pub fn abort<O: Output>(&mut self, context: &Context, fault: &Fault, output: &mut O) {
        if let Some(PartialReply { id: Some(id), state, .. }) = self.partial.take() {
            let mut encoder = JsonRpcEncoder::resume(output, &id, state);
            encoder.fail(fault);
            encoder.finish();
        }
        if let Some(batch) = &mut self.batch {
            batch.refusal = Some(fault.clone());
            while self.go_on(context, output, Duration::ZERO) == Progress::More {}
        }
    }
}

impl<O: Output> Pieces<O> for UnfinishedReplies {
    fn go_on(&mut self, context: &Context, output: &mut O, spent: Duration) -> Progress {
        UnfinishedReplies::go_on(self, context, output, spent)
    }

    fn is_error(&self) -> bool {
        self.is_error
    }

    fn has_work(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.waiting.is_empty())
            || self.partial.as_ref().is_some_and(|partial| partial.rest.is_change())
    }
}

/// What became of a reply by one piece.
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
            return match self.rest.go_on(context, &mut JsonRpcEncoder::new(&mut discarded, NULL)) {
                Ok(Progress::More) => PieceOutcome::More,
                ended => PieceOutcome::Complete { is_error: ended.is_err() },
            };
        };
        let mut encoder = JsonRpcEncoder::resume(output, id, std::mem::take(&mut self.state));
        match self.rest.go_on(context, &mut encoder) {
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
            Err(fault) => {
                encoder.fail(&reworded(fault));
                encoder.finish();
                PieceOutcome::Complete { is_error: true }
            }
        }
    }
}

impl JsonRpcBatch {
    /// A batch of which no request has run. `elements` are slices of `text`.
    fn new(text: &str, elements: &[&RawValue], caller: KeptCaller) -> JsonRpcBatch {
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

/// Writes a deferred reply, or its first piece. `id` is the id of its request as JSON text.
pub fn write_deferred<O: Output>(id: &[u8], reply: Told, output: &mut O) -> JsonRpcOutcome {
    // The id was a part of a valid request.
    let id = str::from_utf8(id).unwrap_or(NULL);
    let mut encoder = JsonRpcEncoder::new(output, id);
    let result = reply.tell(&mut encoder).map_err(reworded);
    let (is_error, partial) = finish_or_suspend(result, encoder, id);
    JsonRpcOutcome::of_reply(is_error, partial)
}

/// Finishes the reply of a command that has run; keeps the state of a reply that has more pieces. The first
/// value is true when the reply is an error.
fn finish_or_suspend<O: Output>(
    result: Result<Option<Rest>, Fault>,
    mut encoder: JsonRpcEncoder<'_, O>,
    id: &str,
) -> (bool, Option<PartialReply>) {
    match result {
        Ok(Some(rest)) => {
            (false, Some(PartialReply { id: Some(id.to_owned()), state: encoder.into_state(), rest }))
        }
        Ok(None) => (finish(encoder), None),
        Err(fault) => {
            encoder.fail(&fault);
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

/// Writes the error for a text that is not JSON.
pub fn write_parse_error<O: Output>(output: &mut O) -> JsonRpcOutcome {
    write_error(&PARSE_ERROR, output)
}

/// Writes an error with the id null.
pub fn write_error<O: Output>(fault: &Fault, output: &mut O) -> JsonRpcOutcome {
    let mut encoder = JsonRpcEncoder::new(output, NULL);
    encoder.status(fault);
    encoder.finish();
    JsonRpcOutcome::of_reply(true, None)
}

/// Discards the replies to notifications.
struct DiscardedOutput;

impl Output for DiscardedOutput {
    fn push(&mut self, _bytes: &[u8]) {}
    fn begin(&mut self) {}
    fn take_back(&mut self) -> bool {
        true
    }
    fn held(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests;
