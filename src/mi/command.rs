//! Defines commands and the table of all commands, and runs a command.

use super::Context;
use super::caller::Caller;
use super::params::{Args, Params};
use super::recipe::{Classic, Parameter};
use super::reply::{Generation, Reply, Rest};
use super::status::Status;

/// OpenSIPS's log level for changes that an operator makes.
const NOTICE: i32 = 2;

/// How the caller takes a deferred reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// The caller waits for it.
    Waiting {
        /// What the transport needs to frame the reply, beside the caller's address: the id of a JSON-RPC
        /// request, for example.
        envelope: &'a [u8],
    },
    /// The reply is discarded: the request is a notification.
    Discarded,
    /// The reply is one of a batch. It cannot be deferred.
    InBatch,
}

/// What a command that succeeded has left behind.
pub enum CommandOutcome {
    /// The reply is written, but for the rest of a long one.
    Replied(Option<Rest>),
    /// The reply is deferred, and nothing is written. The number is that of the pending request.
    Deferred(u64),
}

impl CommandOutcome {
    /// The rest of a long reply. `None` for a deferred one.
    #[must_use]
    pub fn rest(self) -> Option<Rest> {
        match self {
            CommandOutcome::Replied(rest) => rest,
            CommandOutcome::Deferred(_) => None,
        }
    }
}

impl std::fmt::Debug for CommandOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CommandOutcome::Replied(rest) => write!(f, "Replied(rest: {})", rest.is_some()),
            CommandOutcome::Deferred(number) => write!(f, "Deferred({number})"),
        }
    }
}

/// The function of a command. A closure of this type is one, and so is a [`Deferrable`](super::Deferrable),
/// which may defer its reply.
pub trait CommandFunction: Sync {
    /// Runs the command.
    ///
    /// # Errors
    /// The error that is the reply.
    fn run(&self, call: &mut Call<'_>) -> Result<(), Status>;

    /// The command may defer its reply.
    fn may_defer(&self) -> bool {
        false
    }
}

impl<F: Fn(&mut Call<'_>) -> Result<(), Status> + Sync> CommandFunction for F {
    fn run(&self, call: &mut Call<'_>) -> Result<(), Status> {
        self(call)
    }
}

/// What a command changes. Changes of the server are logged with their caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing, or data that clients store in the server.
    Data,
    /// The server itself, such as its log level.
    Server,
    /// The server itself when there are parameters; otherwise nothing.
    ServerIfParameters,
}

/// A command. Each module has a table of its commands.
pub struct Command {
    /// The name in requests.
    pub name: &'static str,
    /// The text of `help`, one line.
    pub help: Option<&'static str>,
    /// The form in classic requests.
    pub classic: Classic,
    /// The recipes of JSON-RPC, with different numbers of parameters. Empty when the command is classic only.
    pub json_rpc: &'static [&'static [Parameter]],
    /// Decides whether a call is logged.
    pub changes: Changes,
    /// Runs the command.
    pub run: &'static dyn CommandFunction,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.name)
    }
}

/// A request as its command sees it.
pub struct Call<'a> {
    /// The server.
    pub context: &'a Context,
    /// The request's parameters.
    pub args: Args<'a>,
    /// The sink for the reply.
    pub reply: &'a mut dyn Reply,
    /// The rest of a long reply. The command sets it, after it has written the code of the reply.
    pub rest: Option<Rest>,
    /// The command's name.
    pub name: &'static str,
    /// The sender of the request.
    pub(super) caller: Caller<'a>,
    /// How the caller takes a deferred reply.
    pub(super) delivery: Delivery<'a>,
    /// The number of the pending request, when the reply is deferred.
    pub(super) deferred: Option<u64>,
}

/// A command and its module.
#[derive(Clone, Copy, Debug)]
pub struct CommandEntry {
    /// The command.
    pub command: &'static Command,
    /// The module's name.
    pub module: &'static str,
}

/// The commands of all loaded modules.
#[derive(Debug, Default)]
pub struct CommandTable {
    entries: Vec<CommandEntry>,
    /// Indices of `entries` in the order of the names.
    sorted: Vec<usize>,
}

impl CommandTable {
    /// Adds a module's commands, in their order.
    ///
    /// # Errors
    /// The entry of another command with the same name. This command and the ones after it are not added.
    pub fn add(&mut self, module: &'static str, commands: &'static [Command]) -> Result<(), CommandEntry> {
        for command in commands {
            match self.position(command.name.as_bytes()) {
                Ok(taken) => return Err(self.entries[self.sorted[taken]]),
                Err(index) => {
                    self.sorted.insert(index, self.entries.len());
                    self.entries.push(CommandEntry { command, module });
                }
            }
        }
        Ok(())
    }

    /// The command of that name, when it exists in that generation. Case-sensitive.
    #[must_use]
    pub fn find(&self, name: &[u8], generation: Generation) -> Option<&CommandEntry> {
        let entry = &self.entries[self.sorted[self.position(name).ok()?]];
        entry.command.exists_in(generation).then_some(entry)
    }

    /// The commands of that generation, in the order in which they were added.
    pub fn iter(&self, generation: Generation) -> impl Iterator<Item = &CommandEntry> {
        self.entries.iter().filter(move |entry| entry.command.exists_in(generation))
    }

    /// There is a command that may defer its reply.
    #[must_use]
    pub fn any_may_defer(&self) -> bool {
        self.entries.iter().any(|entry| entry.command.run.may_defer())
    }

    fn position(&self, name: &[u8]) -> Result<usize, usize> {
        self.sorted.binary_search_by(|&at| self.entries[at].command.name.as_bytes().cmp(name))
    }
}

impl Command {
    fn exists_in(&self, generation: Generation) -> bool {
        match generation {
            Generation::Classic => !matches!(self.classic, Classic::Absent),
            Generation::JsonRpc => !self.json_rpc.is_empty(),
        }
    }
}

/// Runs a command, whose parameters fit `recipe`. Logs a change of the server, and the cause of an error that the
/// reply does not name.
///
/// # Errors
/// The error that is the reply.
pub fn run(
    command: &'static Command,
    recipe: &'static [Parameter],
    context: &Context,
    params: &Params,
    reply: &mut dyn Reply,
    caller: Caller<'_>,
    delivery: Delivery<'_>,
) -> Result<CommandOutcome, Status> {
    log_change(command, params, &caller);
    let (args, name) = (Args::new(recipe, params), command.name);
    let mut call = Call { context, args, reply, rest: None, name, caller, delivery, deferred: None };
    command.run.run(&mut call).inspect_err(|status| caller.log_refusal(name, status))?;
    let rest = call.rest.map(|rest| rest.with_request(caller.to_owned_caller(), name));
    Ok(call.deferred.map_or(CommandOutcome::Replied(rest), CommandOutcome::Deferred))
}

/// Logs that a command which changes the server is about to run.
fn log_change(command: &Command, params: &Params, caller: &Caller<'_>) {
    let is_change = match command.changes {
        Changes::Data => false,
        Changes::Server => true,
        Changes::ServerIfParameters => !params.is_empty(),
    };
    if is_change {
        let (name, params) = (command.name, params.shown());
        log::info!(level = NOTICE, cause = name; "{name}{params} by {caller}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::{Recorder, context};
    use crate::mi::{optional, required};

    const fn row(name: &'static str, classic: Classic) -> Command {
        Command { name, help: None, classic, json_rpc: &[], changes: Changes::Data, run: &echo }
    }

    fn echo(call: &mut Call<'_>) -> Result<(), Status> {
        for value in call.args.list("a") {
            call.reply.node("arg", value);
        }
        Ok(())
    }

    const TWO: Classic = Classic::Takes {
        recipe: &[required("a"), optional("b")],
        too_few: Some(Status::new(404, "few")),
        too_many: Some(Status::new(404, "many")),
    };

    #[test]
    fn the_number_of_parameters_must_fit_the_recipe() {
        static STRICT: Command = row("strict", TWO);
        static LOOSE: Command = row("loose", Classic::takes(&[required("a")]));
        static LIST: Command = row("list", Classic::takes(&[required("a").list()]));
        static NONE: Command = row("none", Classic::NoInput);
        let context = context();
        let run_with = |command: &'static Command, count: usize| {
            let mut params = Params::new();
            (0..count).for_each(|_| params.push(b"", b"x"));
            let mut reply = Recorder::default();
            command
                .classic
                .recipe_for(params.len())
                .and_then(|recipe| {
                    run(
                        command,
                        recipe,
                        &context,
                        &params,
                        &mut reply,
                        Caller::new("test", &""),
                        Delivery::Discarded,
                    )
                })
                .map(|_| reply.nodes.len())
                .map_err(|status| status.reason)
        };
        assert_eq!(run_with(&STRICT, 0), Err("few".into()));
        assert_eq!(run_with(&STRICT, 2), Ok(2));
        assert_eq!(run_with(&STRICT, 3), Err("many".into()));
        assert_eq!(run_with(&LOOSE, 0), Err("Too few or too many arguments".into()));
        assert_eq!(run_with(&LOOSE, 3), Ok(3));
        assert_eq!(run_with(&LIST, 5), Ok(5));
        assert_eq!(run_with(&NONE, 0), Ok(0));
    }

    #[test]
    fn commands_are_found_by_exact_name_and_listed_in_the_order_added() {
        static ROWS: [Command; 3] =
            [row("which", Classic::NoInput), row("arg", Classic::NoInput), row("new", Classic::Absent)];
        let mut table = CommandTable::default();
        table.add("core", &ROWS).unwrap();
        assert_eq!(table.find(b"arg", Generation::Classic).unwrap().module, "core");
        for missing in [&b"ARG"[..], b"ar", b"args", b"", b"new"] {
            assert!(table.find(missing, Generation::Classic).is_none());
        }
        let names: Vec<_> = table.iter(Generation::Classic).map(|entry| entry.command.name).collect();
        assert_eq!(names, ["which", "arg"]);
        assert_eq!(table.add("other", &ROWS).unwrap_err().module, "core");
    }
}
