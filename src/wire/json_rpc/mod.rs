//! Answers JSON-RPC 2.0 requests, as OpenSIPS 3.x does on datagrams, FIFO and HTTP.
//!
//! ```text
//! request.rs     parses one request and checks its members
//! bind.rs        matches the parameters of a request with a recipe of its command
//! encode.rs      encodes a reply: a JSON value inside its envelope
//! unfinished.rs  long replies and batches, which are written in pieces
//! ```
//!
//! C: `handle_mi_request` and `print_mi_response` in mi/mi.c.
//!
//! Differs, where C violates the standard: a text that is not JSON or not a request gets an error in JSON
//! with the id null; an array is a batch; an id is sent back exactly as it came, and an id that is neither a
//! string nor a number nor null makes the request invalid. Text after the request makes it invalid JSON; C
//! ignores the text. A batch has at most 1024 requests, and those that have not begun after
//! [`MAX_BATCH_TIME`](super::MAX_BATCH_TIME) get an error each.

mod bind;
mod encode;
mod request;
mod unfinished;

pub use encode::{JsonRpcEncoder, JsonRpcReplyState, notify};
use request::{InvalidRequest, JsonRpcRequest, NULL};
use serde_json::value::RawValue;
pub use unfinished::UnfinishedReplies;
use unfinished::{JsonRpcBatch, PartialReply, finish_or_suspend};

use super::{MAX_BATCH, Output};
use crate::mi::{
    self, Caller, CommandOutcome, Context, Delivery, Generation, Params, Reply, Rest, Status, StoredReply,
};

/// C: `JSONRPC_PARSE_ERR_CODE`.
const PARSE_ERROR: Status = Status::new(-32700, "Parse error");
/// C: `JSONRPC_INVAL_REQ_CODE`.
const INVALID_REQUEST: Status = Status::new(-32600, "Invalid Request");
/// C: `JSONRPC_NOT_FOUND_CODE`.
const METHOD_NOT_FOUND: Status = Status::new(-32601, "Method not found");

/// The most bytes of a refused request that are logged.
const SHOWN_BYTES: usize = 100;

/// Replaces the reason of an error of 1.x by that of 3.x. C: mi/mi_core.c, ul_mi.c, event_interface.c.
fn reworded(status: Status) -> Status {
    let Status { code, .. } = status;
    if status.eq_ignore_data(&mi::BAD_PARAMETER) {
        Status { data: status.data, ..Status::new(code, "Bad parameter value") }
    } else if status.eq_ignore_data(&mi::SERVER_ERROR) {
        Status { data: status.data, ..Status::new(code, "Internal Error") }
    } else {
        status
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
    entry.is_some_and(|entry| entry.command.run.may_defer())
}

/// Answers texts that hold a request or a batch. Reuses its buffers from one text to the next.
#[derive(Debug, Default)]
pub struct JsonRpcAnswerer {
    params: Params,
}

/// The outcome of a text. Nothing is written for a text of notifications alone.
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

/// The outcome of one request.
enum RequestOutcome {
    Replied {
        is_error: bool,
        /// The rest of a long reply; `None` when it is complete.
        partial: Option<PartialReply>,
    },
    /// The number of the deferred reply.
    Deferred(u64),
}

/// Where the reply to a request stands.
enum Framing<'a> {
    Alone,
    /// An element of the array of a batch. `has_replies` is true when it is not the first one.
    InBatch {
        has_replies: &'a mut bool,
    },
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
            return write_error(&Status { data: Some(data.into()), ..INVALID_REQUEST }, output);
        }
        JsonRpcOutcome::of_batch(JsonRpcBatch::new(text, &elements, caller.to_owned_caller()))
    }

    /// Answers each request of `text` with an error, without running it.
    pub fn refuse<O: Output>(&mut self, context: &Context, text: &[u8], status: &Status, output: &mut O) {
        let Ok(text) = str::from_utf8(text) else {
            write_error(&PARSE_ERROR, output);
            return;
        };
        // No command runs, so no command sees the caller.
        let caller = Caller::new("", &"");
        match request::elements(text) {
            Some(elements) if (1..=MAX_BATCH).contains(&elements.len()) => {
                let batch = JsonRpcBatch::new(text, &elements, caller.to_owned_caller());
                UnfinishedReplies::new(None, Some(batch)).abort(context, status, output);
            }
            _ => {
                self.answer_request(context, text, caller, Framing::Alone, Some(status), output);
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
        refusal: Option<&Status>,
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
            if is_alone { Delivery::Waiting { envelope: id.as_bytes() } } else { Delivery::InBatch };
        let mut encoder = JsonRpcEncoder::new(output, id);
        let result = match (&parsed, refusal) {
            (Ok(_), Some(refusal)) => Err(refusal.clone()),
            (Ok(request), None) => self.run(context, request, &mut encoder, caller, delivery),
            (Err(InvalidRequest::NotRequest(_)), _) => Err(INVALID_REQUEST),
            (Err(InvalidRequest::NotJson), _) => Err(PARSE_ERROR),
        };
        if let Err(status) = &result {
            let shown = text.as_bytes()[..text.len().min(SHOWN_BYTES)].escape_ascii();
            log::debug!("{} {}: {shown}", status.code, status.reason);
        }
        if let Ok(CommandOutcome::Deferred(number)) = result {
            return RequestOutcome::Deferred(number);
        }
        let (is_error, partial) = finish_or_suspend(result.map(CommandOutcome::rest), encoder, id);
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
        let outcome = self.run(context, request, encoder, caller, Delivery::Discarded);
        let is_error = outcome.is_err();
        let rest = outcome.ok().and_then(CommandOutcome::rest).filter(Rest::is_change);
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
    ) -> Result<CommandOutcome, Status> {
        let entry = context.commands.find(request.method.as_bytes(), Generation::JsonRpc);
        let command = entry.ok_or(METHOD_NOT_FOUND)?.command;
        let recipe = bind::bind(&request.params, command.json_rpc, &mut self.params)?;
        mi::run(command, recipe, context, &self.params, reply, caller, delivery).map_err(reworded)
    }
}

/// Writes a deferred reply, or its first piece. `id` is the id of its request as JSON text.
pub fn write_deferred<O: Output>(id: &[u8], reply: StoredReply, output: &mut O) -> JsonRpcOutcome {
    // The id was a part of a valid request.
    let id = str::from_utf8(id).unwrap_or(NULL);
    let mut encoder = JsonRpcEncoder::new(output, id);
    let result = reply.write(&mut encoder).map_err(reworded);
    let (is_error, partial) = finish_or_suspend(result, encoder, id);
    JsonRpcOutcome::of_reply(is_error, partial)
}

/// Writes the error for a text that is not JSON.
pub fn write_parse_error<O: Output>(output: &mut O) -> JsonRpcOutcome {
    write_error(&PARSE_ERROR, output)
}

/// Writes an error with the id null.
pub fn write_error<O: Output>(status: &Status, output: &mut O) -> JsonRpcOutcome {
    let mut encoder = JsonRpcEncoder::new(output, NULL);
    encoder.status(status);
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
