//! Answers one request, in text or in JSON-RPC.
//!
//! C: `mi_fifo_server` in fifo_fnc.c, from the parsed header to the written tree, and `mi_write_tree` in
//! mi_writer.c.

use crate::mi::{Caller, Classic, Context, Generation, Status, StoredReply};
use crate::shm::pending::AnsweredReply;
use crate::wire::frame::{CommandInput, FifoRequest, MAX_REQUEST_BYTES, RequestLength};
use crate::wire::text::{self, TextAnswerer, TextFraming, TextOutcome};
use crate::wire::{PieceWriter, Stream, json_rpc};

/// Answers requests. Reuses its buffers from one request to the next.
#[derive(Debug)]
pub(super) struct FifoAnswerer<'a> {
    context: &'a Context,
    text: TextAnswerer<'a>,
    json_rpc: json_rpc::JsonRpcAnswerer,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct FifoOutcome {
    /// The reply reports an error.
    pub(super) is_error: bool,
    /// Writes the rest of a long reply; `None` when all is written.
    pub(super) unfinished: Option<Box<dyn PieceWriter<Stream>>>,
    /// The number of a deferred reply.
    pub(super) deferred: Option<u64>,
}

impl From<TextOutcome> for FifoOutcome {
    fn from(outcome: TextOutcome) -> FifoOutcome {
        let TextOutcome { is_error, unfinished, deferred } = outcome;
        FifoOutcome { is_error, unfinished: unfinished.map(|unfinished| Box::new(unfinished) as _), deferred }
    }
}

impl From<json_rpc::JsonRpcOutcome> for FifoOutcome {
    fn from(outcome: json_rpc::JsonRpcOutcome) -> FifoOutcome {
        let json_rpc::JsonRpcOutcome { is_error, unfinished, deferred } = outcome;
        FifoOutcome { is_error, unfinished: unfinished.map(|unfinished| Box::new(unfinished) as _), deferred }
    }
}

impl<'a> FifoAnswerer<'a> {
    pub(super) fn new(context: &'a Context, indent: &'a [u8]) -> FifoAnswerer<'a> {
        let text = TextAnswerer::new(indent, TextFraming::Fifo);
        FifoAnswerer { context, text, json_rpc: json_rpc::JsonRpcAnswerer::default() }
    }

    /// Runs a request and writes its reply.
    pub(super) fn answer(
        &mut self,
        request: FifoRequest<'_>,
        caller: Caller<'_>,
        output: &mut Stream,
    ) -> FifoOutcome {
        match request {
            FifoRequest::Text { command, params } => {
                self.text.answer(self.context, command, params, caller, output).into()
            }
            FifoRequest::Json { text } => self.json_rpc.answer(self.context, text, caller, output).into(),
            FifoRequest::UnterminatedText { command } => self.text.write_parse_error(command, output).into(),
            FifoRequest::InvalidJson => json_rpc::write_parse_error(output).into(),
            FifoRequest::TooLarge { is_json: true, length } => {
                json_rpc::write_error(&too_large(length), output).into()
            }
            FifoRequest::TooLarge { is_json: false, length } => {
                self.text.write_error(&too_large(length), output).into()
            }
        }
    }

    /// Writes a deferred reply.
    pub(super) fn write_deferred(&self, answered: &AnsweredReply, output: &mut Stream) -> FifoOutcome {
        let reply = StoredReply::from_bytes(&answered.answer);
        // The envelope of a JSON-RPC request is its id.
        if answered.envelope.is_empty() {
            self.text.write_deferred(&answered.command, reply, output).into()
        } else {
            json_rpc::write_deferred(&answered.envelope, reply, output).into()
        }
    }
}

/// The command of the request may defer its reply.
pub(super) fn may_be_deferred(context: &Context, request: &FifoRequest<'_>) -> bool {
    match request {
        FifoRequest::Text { command, .. } => text::may_be_deferred(context, command),
        FifoRequest::Json { text } => json_rpc::may_be_deferred(context, text),
        FifoRequest::UnterminatedText { .. } | FifoRequest::InvalidJson | FifoRequest::TooLarge { .. } => {
            false
        }
    }
}

/// The input that a text request for the command has.
pub(super) fn command_input(context: &Context, command: &[u8]) -> CommandInput {
    match context.commands.find(command, Generation::Classic).map(|entry| &entry.command.classic) {
        None => CommandInput::UnknownCommand,
        Some(Classic::Takes { .. }) => CommandInput::Params,
        Some(_) => CommandInput::NoParams,
    }
}

fn too_large(length: RequestLength) -> Status {
    let length = match length {
        RequestLength::Exactly(length) => length.to_string(),
        RequestLength::MoreThan(length) => format!("more than {length}"),
    };
    Status::formatted(500, format_args!("request too large: {length} bytes, limit {MAX_REQUEST_BYTES}"))
}
