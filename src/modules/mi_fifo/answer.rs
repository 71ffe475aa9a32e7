//! One request in, one reply out, or its beginning.
//!
//! C: `mi_fifo_server` in fifo_fnc.c, from the parsed header to the written tree, and `mi_write_tree` in mi_writer.c.

use crate::mi::{
    COMMAND_FAILED, Caller, Classic, CommandOutcome, Context, Generation, Params, Rest, Status, StoredReply,
};
use crate::shm::pending::AnsweredReply;
use crate::wire::frame::{Known, Length, MAX_REQUEST_BYTES, Text};
use crate::wire::text::{self, Encoder, Refused, State, Unfinished};
use crate::wire::{Output, PieceWriter, Stream, json_rpc};

/// What answering needs and reuses.
#[derive(Debug)]
pub(super) struct Answerer<'a> {
    pub(super) context: &'a Context,
    indent: &'a [u8],
    params: Params,
    json_rpc: json_rpc::JsonRpcAnswerer,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether the reply says that something went wrong.
    pub(super) is_error: bool,
    /// What is left to be written.
    pub(super) more: Option<Box<dyn PieceWriter<Stream>>>,
    /// The number of a reply that comes later.
    pub(super) later: Option<u64>,
}

impl Answer {
    fn whole(is_error: bool) -> Answer {
        Answer { is_error, more: None, later: None }
    }
}

impl<'a> Answerer<'a> {
    pub(super) fn new(context: &'a Context, indent: &'a [u8]) -> Answerer<'a> {
        Answerer { context, indent, params: Params::new(), json_rpc: json_rpc::JsonRpcAnswerer::default() }
    }

    /// Runs a request in text.
    pub(super) fn text(&mut self, request: &Text<'_>, caller: Caller<'_>, output: &mut Stream) -> Answer {
        let Some(entry) = self.context.commands.find(request.command, Generation::Classic) else {
            log::debug!("no command {}", request.command.escape_ascii());
            output.push(b"500 command '");
            output.push(request.command);
            output.push(b"' not available\n");
            return Answer::whole(true);
        };
        let mut encoder = Encoder::new(output, self.indent);
        let outcome = text::run(entry, request.params, self.context, &mut self.params, &mut encoder, caller);
        match outcome {
            Ok(CommandOutcome::Deferred(number)) => Answer { later: Some(number), ..Answer::whole(false) },
            Err(Refused::Parse) => refuse_text(request.command, output),
            Err(Refused::Command(status)) => {
                self.conclude(Err(status), request.command, encoder.state(), output)
            }
            Ok(CommandOutcome::Replied(rest)) => {
                self.conclude(Ok(rest), request.command, encoder.state(), output)
            }
        }
    }

    /// Ends the reply of a command that has run, but for the rest of a long one.
    fn conclude(
        &self,
        result: Result<Option<Rest>, Status>,
        command: &[u8],
        state: State,
        output: &mut Stream,
    ) -> Answer {
        let is_error = result.is_err();
        match result {
            Ok(Some(rest)) => {
                let more = Unfinished::new(rest, state, self.indent, b"\n");
                return Answer { more: Some(Box::new(more)), ..Answer::whole(false) };
            }
            Err(status) if status.eq_ignore_data(&COMMAND_FAILED) => {
                // Nothing has left before the command has returned.
                output.take_back();
                output.push(b"500 command '");
                output.push(command);
                output.push(b"' failed\n");
                return Answer::whole(true);
            }
            Ok(None) => Encoder::resume(output, self.indent, state).finish(),
            Err(status) => {
                let mut encoder = Encoder::resume(output, self.indent, state);
                encoder.fail(&status);
                encoder.finish();
            }
        }
        output.push(b"\n");
        Answer::whole(is_error)
    }

    /// Runs a request in JSON.
    pub(super) fn json(&mut self, text: &[u8], caller: Caller<'_>, output: &mut Stream) -> Answer {
        json_answer(self.json_rpc.answer(self.context, text, caller, output))
    }

    /// Writes a reply that has come later.
    pub(super) fn tell(&mut self, answered: &AnsweredReply, output: &mut Stream) -> Answer {
        let told = StoredReply::from_bytes(&answered.answer);
        if !answered.envelope.is_empty() {
            return json_answer(json_rpc::write_deferred(&answered.envelope, told, output));
        }
        let mut encoder = Encoder::new(output, self.indent);
        let result = told.write(&mut encoder);
        let state = encoder.state();
        self.conclude(result, &answered.command, state, output)
    }
}

fn json_answer(answer: json_rpc::JsonRpcOutcome) -> Answer {
    let more = answer.unfinished.map(|unfinished| Box::new(unfinished) as Box<dyn PieceWriter<Stream>>);
    Answer { is_error: answer.is_error, more, later: answer.deferred }
}

/// Whether the command of a request in text may answer later.
pub(super) fn may_defer(context: &Context, command: &[u8]) -> bool {
    let entry = context.commands.find(command, Generation::Classic);
    entry.is_some_and(|entry| entry.command.run.may_defer())
}

/// What is known of a command in text.
pub(super) fn known(context: &Context, command: &[u8]) -> Known {
    match context.commands.find(command, Generation::Classic).map(|entry| &entry.command.classic) {
        None => Known::Absent,
        Some(Classic::Takes { .. }) => Known::WithInput,
        Some(_) => Known::WithoutInput,
    }
}

/// Says that a request in text cannot be read.
pub(super) fn refuse_text(command: &[u8], output: &mut Stream) -> Answer {
    output.push(b"400 parse error in command '");
    output.push(command);
    output.push(b"'\n");
    Answer::whole(true)
}

/// Says that what begins as JSON is none.
pub(super) fn refuse_broken(output: &mut Stream) -> Answer {
    json_rpc::write_parse_error(output);
    Answer::whole(true)
}

/// Says that a request is too long.
pub(super) fn refuse_length(is_json: bool, length: Length, output: &mut Stream) -> Answer {
    let length = match length {
        Length::Exactly(length) => length.to_string(),
        Length::MoreThan(length) => format!("more than {length}"),
    };
    let status =
        Status::formatted(500, format_args!("request too large: {length} bytes, limit {MAX_REQUEST_BYTES}"));
    if is_json {
        json_rpc::write_error(&status, output);
    } else {
        let mut encoder = Encoder::new(output, b"");
        encoder.fail(&status);
        encoder.finish();
        output.push(b"\n");
    }
    Answer::whole(true)
}
