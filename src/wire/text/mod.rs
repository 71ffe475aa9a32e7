//! The text protocol of mi_datagram and mi_fifo: OpenSIPS 1.x and 2.x.
//!
//! ```text
//! :get_statistics:          the command, between colons, alone on its line
//! core:                     one parameter a line: a value,
//! "two words\nor lines"     a quoted value, in which \" stands for a quote,
//! name::value               or either of them behind a name
//! ```
//!
//! The reply is `CODE REASON`, then one line a node, indented by its depth.

mod decode;
mod encode;

use std::time::Duration;

pub use decode::{NotAvailable, ParseError, decode_params, split_command};
pub use encode::{Encoder, State};

use super::{Output, PieceWriter};
use crate::mi::{
    self, Caller, Classic, CommandEntry, CommandOutcome, Context, Delivery, PARSE_ERROR, Params, Progress,
    Reply, Rest, Status,
};

/// Why a command that exists answers with an error.
#[derive(Debug)]
pub enum Refused {
    /// Its parameters do not follow the grammar.
    Parse,
    /// They do not suit the command.
    Command(Status),
}

/// Decodes the parameters of a request and runs its command.
///
/// # Errors
/// See [`Refused`].
pub fn run(
    entry: &CommandEntry,
    text: &[u8],
    context: &Context,
    params: &mut Params,
    reply: &mut dyn Reply,
    caller: Caller<'_>,
) -> Result<CommandOutcome, Refused> {
    let command = entry.command;
    params.clear();
    if let Classic::Takes { .. } = command.classic {
        decode_params(text, params).map_err(|error| {
            caller.log_refusal(command.name, &PARSE_ERROR.with_cause(error));
            Refused::Parse
        })?;
    }
    let recipe = mi::classic_recipe(command, params).map_err(Refused::Command)?;
    let delivery = Delivery::Waiting { envelope: b"" };
    mi::run(command, recipe, context, params, reply, caller, delivery).map_err(Refused::Command)
}

/// A reply that is not whole yet.
#[derive(Debug)]
pub struct Unfinished {
    rest: Rest,
    state: State,
    indent: Box<[u8]>,
    end: &'static [u8],
    is_error: bool,
}

impl Unfinished {
    /// The reply that an encoder was left in `state` with. `end` stands behind it.
    #[must_use]
    pub fn new(rest: Rest, state: State, indent: &[u8], end: &'static [u8]) -> Unfinished {
        Unfinished { rest, state, indent: indent.into(), end, is_error: false }
    }

    /// Ends it now, with an error in the place of the reply.
    pub fn give_up<O: Output>(&mut self, status: &Status, output: &mut O) {
        let mut encoder = Encoder::resume(output, &self.indent, self.state);
        encoder.fail(status);
        encoder.finish();
        output.push(self.end);
    }
}

impl<O: Output> PieceWriter<O> for Unfinished {
    fn write_piece(&mut self, context: &Context, output: &mut O, _spent: Duration) -> Progress {
        let mut encoder = Encoder::resume(output, &self.indent, self.state);
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
        output.push(self.end);
        Progress::Done
    }

    fn is_error(&self) -> bool {
        self.is_error
    }

    fn has_work(&self) -> bool {
        self.rest.is_change()
    }
}
