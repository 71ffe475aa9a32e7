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

pub use decode::{NotAvailable, ParseError, decode_params, split_command};
pub use encode::{Encoder, State};

use crate::mi::{self, Caller, Classic, Context, Entry, Fault, Outcome, Params, Reply};

/// Why a command that exists answers with an error.
#[derive(Debug)]
pub enum Refused {
    /// Its parameters do not follow the grammar.
    Parse,
    /// They do not suit the command.
    Command(Fault),
}

/// Decodes the parameters of a request and runs its command.
///
/// # Errors
/// See [`Refused`].
pub fn run(
    entry: &Entry,
    text: &[u8],
    context: &Context,
    params: &mut Params,
    reply: &mut dyn Reply,
    caller: Caller<'_>,
) -> Result<Outcome, Refused> {
    let command = entry.command;
    params.clear();
    if let Classic::Takes { .. } = command.classic {
        decode_params(text, params).map_err(|error| {
            log::debug!("{}: {error}", command.name);
            Refused::Parse
        })?;
    }
    let recipe = mi::classic_recipe(command, params).map_err(Refused::Command)?;
    mi::run(command, recipe, context, params, reply, caller).map_err(Refused::Command)
}
