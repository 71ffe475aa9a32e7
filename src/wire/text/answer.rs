//! Runs requests of the text protocol and writes their replies.

use std::time::Duration;

use super::decode::decode_params;
use super::encode::{TextEncoder, TextReplyState};
use crate::mi::{
    self, COMMAND_FAILED, COMMAND_NOT_AVAILABLE, Caller, Classic, CommandEntry, CommandOutcome, Context,
    Delivery, Generation, PARSE_ERROR, Params, Progress, Reply, Rest, Status, StoredReply,
};
use crate::wire::{Output, PieceWriter};

/// The most bytes of a refused command's name that are logged.
const SHOWN_BYTES: usize = 40;

/// What differs between the text replies of the two transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFraming {
    /// A reply ends with its datagram. C: datagram_fnc.c.
    Datagram,
    /// An empty line ends a reply. Three errors name the command instead, and end without an empty line.
    /// C: fifo_fnc.c.
    Fifo,
}

impl TextFraming {
    fn reply_end(self) -> &'static [u8] {
        match self {
            TextFraming::Datagram => b"",
            TextFraming::Fifo => b"\n",
        }
    }
}

/// An error that names the command over a FIFO.
struct CommandError {
    /// Over a datagram.
    status: Status,
    /// Over a FIFO, before and after the command's name.
    fifo_line: [&'static [u8]; 2],
}

const UNKNOWN_COMMAND: CommandError =
    CommandError { status: COMMAND_NOT_AVAILABLE, fifo_line: [b"500 command '", b"' not available\n"] };
const INVALID_PARAMS: CommandError =
    CommandError { status: PARSE_ERROR, fifo_line: [b"400 parse error in command '", b"'\n"] };
const FAILED_COMMAND: CommandError =
    CommandError { status: COMMAND_FAILED, fifo_line: [b"500 command '", b"' failed\n"] };

/// Why a command has not replied.
enum RequestError {
    InvalidParams,
    Command(Status),
}

/// Answers text requests. Reuses its buffer from one request to the next.
#[derive(Debug)]
pub struct TextAnswerer<'a> {
    /// Written once for each level of a node's depth.
    indent: &'a [u8],
    framing: TextFraming,
    params: Params,
}

/// What became of a request.
#[derive(Debug)]
pub struct TextOutcome {
    /// The reply reports an error.
    pub is_error: bool,
    /// Writes the rest of a long reply; `None` when all is written.
    pub unfinished: Option<UnfinishedText>,
    /// The number of a deferred reply; [`TextAnswerer::write_deferred`] writes it later.
    pub deferred: Option<u64>,
}

impl TextOutcome {
    fn of_reply(is_error: bool) -> TextOutcome {
        TextOutcome { is_error, unfinished: None, deferred: None }
    }
}

impl<'a> TextAnswerer<'a> {
    /// Makes an answerer whose replies have `indent` once for each level of a node's depth.
    #[must_use]
    pub fn new(indent: &'a [u8], framing: TextFraming) -> TextAnswerer<'a> {
        TextAnswerer { indent, framing, params: Params::new() }
    }

    /// Runs a command and writes its reply. `params` are the lines after the command.
    pub fn answer<O: Output>(
        &mut self,
        context: &Context,
        command: &[u8],
        params: &[u8],
        caller: Caller<'_>,
        output: &mut O,
    ) -> TextOutcome {
        let mut encoder = TextEncoder::new(output, self.indent);
        let Some(entry) = context.commands.find(command, Generation::Classic) else {
            return self.write_command_error(&UNKNOWN_COMMAND, command, output);
        };
        let result = self.run(context, entry, params, &mut encoder, caller);
        let state = encoder.state();
        match result {
            Ok(CommandOutcome::Replied(rest)) => self.finish_or_suspend(Ok(rest), state, command, output),
            Ok(CommandOutcome::Deferred(number)) => {
                TextOutcome { deferred: Some(number), ..TextOutcome::of_reply(false) }
            }
            Err(RequestError::InvalidParams) => self.write_command_error(&INVALID_PARAMS, command, output),
            Err(RequestError::Command(status)) => self.finish_or_suspend(Err(status), state, command, output),
        }
    }

    fn run(
        &mut self,
        context: &Context,
        entry: &CommandEntry,
        text: &[u8],
        reply: &mut dyn Reply,
        caller: Caller<'_>,
    ) -> Result<CommandOutcome, RequestError> {
        let (command, params) = (entry.command, &mut self.params);
        params.clear();
        if let Classic::Takes { .. } = command.classic {
            decode_params(text, params).map_err(|error| {
                caller.log_refusal(command.name, &PARSE_ERROR.with_cause(error));
                RequestError::InvalidParams
            })?;
        }
        let recipe = command.classic.recipe_for(params.len()).map_err(RequestError::Command)?;
        let delivery = Delivery::Waiting { envelope: b"" };
        mi::run(command, recipe, context, params, reply, caller, delivery).map_err(RequestError::Command)
    }

    /// Writes a deferred reply to `command`, or its first piece.
    pub fn write_deferred<O: Output>(
        &self,
        command: &[u8],
        reply: StoredReply,
        output: &mut O,
    ) -> TextOutcome {
        let mut encoder = TextEncoder::new(output, self.indent);
        let result = reply.write(&mut encoder);
        let state = encoder.state();
        self.finish_or_suspend(result, state, command, output)
    }

    /// Finishes the reply of a command that has run; keeps the state of a reply that has more pieces.
    fn finish_or_suspend<O: Output>(
        &self,
        result: Result<Option<Rest>, Status>,
        state: TextReplyState,
        command: &[u8],
        output: &mut O,
    ) -> TextOutcome {
        match result {
            Ok(None) => {
                TextEncoder::resume(output, self.indent, state).finish();
                output.push(self.framing.reply_end());
                TextOutcome::of_reply(false)
            }
            Ok(Some(rest)) => {
                let indent = self.indent.into();
                let unfinished =
                    UnfinishedText { rest, state, indent, framing: self.framing, is_error: false };
                TextOutcome { unfinished: Some(unfinished), ..TextOutcome::of_reply(false) }
            }
            Err(status) if status.eq_ignore_data(&COMMAND_FAILED) => {
                self.write_command_error(&FAILED_COMMAND, command, output)
            }
            Err(status) => {
                log_error(&status, command);
                self.replace_by_error(&status, output)
            }
        }
    }

    /// Writes an error instead of a reply to `command`.
    fn write_command_error<O: Output>(
        &self,
        error: &CommandError,
        command: &[u8],
        output: &mut O,
    ) -> TextOutcome {
        log_error(&error.status, command);
        match self.framing {
            TextFraming::Datagram => self.replace_by_error(&error.status, output),
            TextFraming::Fifo => {
                let [before, after] = error.fifo_line;
                output.take_back();
                output.push(before);
                output.push(command);
                output.push(after);
                TextOutcome::of_reply(true)
            }
        }
    }

    /// Writes the error for a request whose parameters do not follow the grammar.
    pub fn write_parse_error<O: Output>(&self, command: &[u8], output: &mut O) -> TextOutcome {
        output.begin();
        self.write_command_error(&INVALID_PARAMS, command, output)
    }

    /// Writes an error as the reply to a request that is not run.
    pub fn write_error<O: Output>(&self, status: &Status, output: &mut O) -> TextOutcome {
        output.begin();
        self.replace_by_error(status, output)
    }

    /// Replaces the reply that was begun last by an error.
    fn replace_by_error<O: Output>(&self, status: &Status, output: &mut O) -> TextOutcome {
        let mut encoder = TextEncoder::resume(output, self.indent, TextReplyState::default());
        encoder.fail(status);
        encoder.finish();
        output.push(self.framing.reply_end());
        TextOutcome::of_reply(true)
    }
}

/// Whether the command may defer its reply to a text request.
#[must_use]
pub fn may_be_deferred(context: &Context, command: &[u8]) -> bool {
    let entry = context.commands.find(command, Generation::Classic);
    entry.is_some_and(|entry| entry.command.run.may_defer())
}

fn log_error(status: &Status, command: &[u8]) {
    let shown = &command[..command.len().min(SHOWN_BYTES)];
    log::debug!("{} {}: {}", status.code, status.reason, shown.escape_ascii());
}

/// A long reply that is not completely written.
#[derive(Debug)]
pub struct UnfinishedText {
    rest: Rest,
    state: TextReplyState,
    indent: Box<[u8]>,
    framing: TextFraming,
    is_error: bool,
}

impl UnfinishedText {
    /// Ends the reply now. The error replaces what is written of it, unless that is sent.
    pub fn abort<O: Output>(&mut self, status: &Status, output: &mut O) {
        let mut encoder = TextEncoder::resume(output, &self.indent, self.state);
        encoder.fail(status);
        encoder.finish();
        output.push(self.framing.reply_end());
    }
}

impl<O: Output> PieceWriter<O> for UnfinishedText {
    fn write_piece(&mut self, context: &Context, output: &mut O, _spent: Duration) -> Progress {
        let mut encoder = TextEncoder::resume(output, &self.indent, self.state);
        match self.rest.step(context, &mut encoder) {
            Ok(Progress::More) => {
                self.state = encoder.state();
                return Progress::More;
            }
            Ok(Progress::Done) => {}
            Err(status) => {
                encoder.fail(&status);
                self.is_error = true;
            }
        }
        encoder.finish();
        output.push(self.framing.reply_end());
        Progress::Done
    }

    fn is_error(&self) -> bool {
        self.is_error
    }

    fn has_work(&self) -> bool {
        self.rest.is_change()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::context;
    use crate::wire::{Datagram, Stream};

    fn answer(framing: TextFraming, command: &[u8], params: &[u8]) -> (String, bool) {
        let mut context = context();
        for module in crate::modules::ALWAYS {
            context.commands.add(module.name, module.commands).unwrap();
        }
        let mut output = Datagram::new();
        let mut answerer = TextAnswerer::new(b"\t", framing);
        let outcome = answerer.answer(&context, command, params, Caller::new("test", &""), &mut output);
        assert!(outcome.unfinished.is_none() && outcome.deferred.is_none());
        (String::from_utf8(output.bytes().unwrap().to_vec()).unwrap(), outcome.is_error)
    }

    #[test]
    fn each_framing_has_its_own_errors_and_reply_ends() {
        for (command, params, datagram, fifo, is_error) in [
            (
                &b"nope"[..],
                &b"\"x"[..],
                "500 command not available\n",
                "500 command 'nope' not available\n",
                true,
            ),
            (b"debug", b"\"x", "400 parse error in command\n", "400 parse error in command 'debug'\n", true),
            (b"help", b"nope", "404 unknown MI command\n", "404 unknown MI command\n\n", true),
            (b"debug", b"5", "200 OK\nDEBUG:: 5\n", "200 OK\nDEBUG:: 5\n\n", false),
        ] {
            assert_eq!(answer(TextFraming::Datagram, command, params), (datagram.to_owned(), is_error));
            assert_eq!(answer(TextFraming::Fifo, command, params), (fifo.to_owned(), is_error));
        }
    }

    #[test]
    fn a_failed_command_is_named_over_a_fifo() {
        for (framing, wanted) in
            [(TextFraming::Datagram, "500 command failed\n"), (TextFraming::Fifo, "500 command 'x' failed\n")]
        {
            let mut output = Datagram::new();
            let answerer = TextAnswerer::new(b"\t", framing);
            let outcome = answerer.write_deferred(b"x", StoredReply::from(COMMAND_FAILED), &mut output);
            assert!(outcome.is_error && outcome.unfinished.is_none());
            assert_eq!(output.bytes(), Ok(wanted.as_bytes()));
        }
    }

    #[test]
    fn an_error_for_a_request_that_is_not_run_is_written_to_an_unused_stream() {
        let mut stream = Stream::default();
        let answerer = TextAnswerer::new(b"\t", TextFraming::Fifo);
        assert!(answerer.write_error(&Status::new(500, "request too large"), &mut stream).is_error);
        assert_eq!(stream.waiting(), b"500 request too large\n\n");
    }
}
