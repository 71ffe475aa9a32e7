//! Command rows, the table of all loaded commands, and the one place that runs a command.

use super::caller::Caller;
use super::context::Context;
use super::deferred::{CommandOutcome, Delivery};
use super::params::{Args, Params};
use super::reply::{Reply, Rest};
use super::status::{MISSING_PARAMETER, Status};

/// The two shapes of requests and replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// OpenSIPS 1.x and 2.x: positional parameters, a tree of nodes with attributes.
    Classic,
    /// OpenSIPS 3.x: positional or named parameters, a JSON value.
    JsonRpc,
}

/// What a parameter's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any bytes.
    Text,
    /// A number.
    Integer,
    /// One or more values; only as the last parameter.
    List,
}

/// One parameter of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As JSON-RPC callers name it; the classic form goes by position.
    pub name: &'static str,
    /// What its value must be.
    pub kind: ParameterKind,
    /// Whether the command does without.
    pub optional: bool,
}

/// A text parameter that must be there.
#[must_use]
pub const fn required(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Text, optional: false }
}

/// A text parameter that may be left out.
#[must_use]
pub const fn optional(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Text, optional: true }
}

impl Parameter {
    /// The same parameter, as a number.
    #[must_use]
    pub const fn integer(self) -> Parameter {
        Parameter { kind: ParameterKind::Integer, ..self }
    }

    /// The same parameter, as one or more values.
    #[must_use]
    pub const fn list(self) -> Parameter {
        Parameter { kind: ParameterKind::List, ..self }
    }
}

/// How a command is called by classic clients.
#[derive(Clone, Debug)]
pub enum Classic {
    /// Not at all: the command exists for JSON-RPC only.
    Absent,
    /// Without input: what follows the command is not even parsed. C: `MI_NO_INPUT_FLAG`.
    NoInput,
    /// With these parameters, by position.
    Takes {
        /// In their order.
        recipe: &'static [Parameter],
        /// The answer when one is missing; `None` when the command itself looks, after other checks.
        too_few: Option<Status>,
        /// The answer when there are more; `None` when more are ignored, or the command itself looks.
        too_many: Option<Status>,
    },
}

impl Classic {
    /// With these parameters and C's usual answer when one is missing; more are ignored.
    #[must_use]
    pub const fn takes(recipe: &'static [Parameter]) -> Classic {
        Classic::Takes { recipe, too_few: Some(MISSING_PARAMETER), too_many: None }
    }
}

/// What runs a command: a function for the built-in ones, a closure for those of C modules, either of them in
/// a [`Deferrable`](super::Deferrable) when the command may defer its reply.
pub trait CommandFunction: Sync {
    /// Runs it.
    ///
    /// # Errors
    /// What the command answers instead of a reply.
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

/// What a command changes. A call of one that changes the server itself is logged, with its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing, or what clients keep in the server.
    Data,
    /// How the server itself goes on.
    Server,
    /// The same, when it has parameters; without any it only shows.
    ServerIfParameters,
}

/// One command: a row of its module's table.
pub struct Command {
    /// As it is called.
    pub name: &'static str,
    /// One line for `help`.
    pub help: Option<&'static str>,
    /// The classic recipe.
    pub classic: Classic,
    /// The JSON-RPC recipes, told apart by their number of parameters; none when JSON-RPC lacks the command.
    pub json_rpc: &'static [&'static [Parameter]],
    /// What it changes.
    pub changes: Changes,
    /// What it does.
    pub run: &'static dyn CommandFunction,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.name)
    }
}

/// Everything a command sees of a request.
pub struct Call<'a> {
    /// The server.
    pub context: &'a Context,
    /// The request's parameters.
    pub args: Args<'a>,
    /// Where the reply goes.
    pub reply: &'a mut dyn Reply,
    /// What is left of a reply that may be long; set by the command, with its code settled.
    pub rest: Option<Rest>,
    /// The command's name.
    pub name: &'static str,
    /// Who asks.
    pub(super) caller: Caller<'a>,
    /// How the caller takes a deferred reply.
    pub(super) delivery: Delivery<'a>,
    /// The number of the pending request, when the reply is deferred.
    pub(super) deferred: Option<u64>,
}

/// A command with the module that exports it.
#[derive(Clone, Copy, Debug)]
pub struct CommandEntry {
    /// The row.
    pub command: &'static Command,
    /// The module's name.
    pub module: &'static str,
}

/// All commands of the loaded modules.
#[derive(Debug, Default)]
pub struct CommandTable {
    entries: Vec<CommandEntry>,
    /// Positions in `entries`, by name.
    sorted: Vec<usize>,
}

impl CommandTable {
    /// Adds a module's commands, in their order. Returns the first name that is taken already, if any; that
    /// command and the rest of the module's are not added.
    ///
    /// # Errors
    /// The entry that has the name.
    pub fn add(&mut self, module: &'static str, commands: &'static [Command]) -> Result<(), CommandEntry> {
        for command in commands {
            match self.position(command.name.as_bytes()) {
                Ok(taken) => return Err(self.entries[self.sorted[taken]]),
                Err(place) => {
                    self.sorted.insert(place, self.entries.len());
                    self.entries.push(CommandEntry { command, module });
                }
            }
        }
        Ok(())
    }

    /// The command of that name, as a caller of that generation may call it. Case counts.
    #[must_use]
    pub fn find(&self, name: &[u8], generation: Generation) -> Option<&CommandEntry> {
        let entry = &self.entries[self.sorted[self.position(name).ok()?]];
        entry.command.serves(generation).then_some(entry)
    }

    /// All that callers of that generation may call, in the order of registration.
    pub fn iter(&self, generation: Generation) -> impl Iterator<Item = &CommandEntry> {
        self.entries.iter().filter(move |entry| entry.command.serves(generation))
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
    fn serves(&self, generation: Generation) -> bool {
        match generation {
            Generation::Classic => !matches!(self.classic, Classic::Absent),
            Generation::JsonRpc => !self.json_rpc.is_empty(),
        }
    }
}

/// Checks how many parameters a classic caller has given; gives the recipe they go by.
///
/// # Errors
/// What the check answers instead of a reply.
pub fn classic_recipe(command: &Command, params: &Params) -> Result<&'static [Parameter], Status> {
    let Classic::Takes { recipe, too_few, too_many } = &command.classic else { return Ok(&[]) };
    let needed = recipe.iter().filter(|parameter| !parameter.optional).count();
    let open_ended = recipe.last().is_some_and(|parameter| parameter.kind == ParameterKind::List);
    match (too_few, too_many) {
        (Some(status), _) if params.len() < needed => Err(status.clone()),
        (_, Some(status)) if !open_ended && params.len() > recipe.len() => Err(status.clone()),
        _ => Ok(recipe),
    }
}

/// Runs a command with parameters that fit `recipe`. The log says so when it changes the server, and why it
/// is refused when the reply does not.
///
/// # Errors
/// What the command answers instead of a reply.
pub fn run(
    command: &'static Command,
    recipe: &'static [Parameter],
    context: &Context,
    params: &Params,
    reply: &mut dyn Reply,
    caller: Caller<'_>,
    delivery: Delivery<'_>,
) -> Result<CommandOutcome, Status> {
    caller.log_change(command, params);
    let (args, name) = (Args::new(recipe, params), command.name);
    let mut call = Call { context, args, reply, rest: None, name, caller, delivery, deferred: None };
    command.run.run(&mut call).inspect_err(|status| caller.log_refusal(name, status))?;
    let rest = call.rest.map(|rest| rest.of_request(caller.to_owned_caller(), name));
    Ok(call.deferred.map_or(CommandOutcome::Replied(rest), CommandOutcome::Deferred))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::{Recorder, context};

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
    fn the_recipe_decides_how_many_parameters_pass() {
        static STRICT: Command = row("strict", TWO);
        static LOOSE: Command = row("loose", Classic::takes(&[required("a")]));
        static LIST: Command = row("list", Classic::takes(&[required("a").list()]));
        static NONE: Command = row("none", Classic::NoInput);
        let context = context();
        let try_with = |command: &'static Command, count: usize| {
            let mut params = Params::new();
            (0..count).for_each(|_| params.push(b"", b"x"));
            let mut reply = Recorder::default();
            classic_recipe(command, &params)
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
        assert_eq!(try_with(&STRICT, 0), Err("few".into()));
        assert_eq!(try_with(&STRICT, 2), Ok(2));
        assert_eq!(try_with(&STRICT, 3), Err("many".into()));
        assert_eq!(try_with(&LOOSE, 0), Err("Too few or too many arguments".into()));
        assert_eq!(try_with(&LOOSE, 3), Ok(3));
        assert_eq!(try_with(&LIST, 5), Ok(5));
        assert_eq!(try_with(&NONE, 0), Ok(0));
    }

    #[test]
    fn commands_are_found_by_exact_name_and_listed_in_order() {
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
