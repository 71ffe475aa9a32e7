//! Turns the MI commands of C modules into rows of the command table, and runs them. C: `run_mi_cmd` in
//! mi/mi.h.
#![expect(unsafe_code, reason = "calls C functions")]

use std::ffi::c_void;
use std::ptr::NonNull;

use super::layouts::{self, ASYNC_FLAG, ASYNC_REPLY, MiCmd, MiFunction, MiHandler, NO_INPUT_FLAG};
use super::tree::{OwnedTree, stored_reply};
use super::{c_strings, handler};
use crate::mi::{
    COMMAND_FAILED, Call, Changes, Classic, Command, CommandFunction, Deferrable, Parameter, SERVER_ERROR,
    Status, Timing, optional, required,
};
use crate::shm::{InHand, Slot};

/// A registered command and how its function is called.
struct CCommand {
    /// Position among all registered commands, from 1. The process slot records it while the command runs.
    number: u32,
    name: &'static str,
    function: MiFunction,
    param: *mut c_void,
    takes_input: bool,
}

// SAFETY: only the module's own function follows the pointer, and one thread of each process runs commands.
unsafe impl Sync for CCommand {}

/// A list of any length.
const ANY_PARAMETERS: &[Parameter] = &[optional("parameters").list()];

/// One recipe for each number of parameters, from 0 to 10.
const JSON_RPC_RECIPES: &[&[Parameter]] = &[
    &[],
    POSITIONAL_NAMES.split_at(1).0,
    POSITIONAL_NAMES.split_at(2).0,
    POSITIONAL_NAMES.split_at(3).0,
    POSITIONAL_NAMES.split_at(4).0,
    POSITIONAL_NAMES.split_at(5).0,
    POSITIONAL_NAMES.split_at(6).0,
    POSITIONAL_NAMES.split_at(7).0,
    POSITIONAL_NAMES.split_at(8).0,
    POSITIONAL_NAMES.split_at(9).0,
    POSITIONAL_NAMES,
];

/// The names of the parameters, for JSON-RPC callers that pass them by name.
const POSITIONAL_NAMES: &[Parameter] = &[
    required("p1"),
    required("p2"),
    required("p3"),
    required("p4"),
    required("p5"),
    required("p6"),
    required("p7"),
    required("p8"),
    required("p9"),
    required("p10"),
];

/// The number of commands that C modules have registered so far.
pub(super) fn registered_count() -> usize {
    registered_commands().len()
}

/// Table rows of the registered commands, without the first `known`.
pub(super) fn registered_after(known: usize) -> Vec<Command> {
    registered_commands()
        .iter()
        .zip(1..)
        .skip(known)
        .filter_map(|(command, number)| command_row(command, number))
        .collect()
}

/// Describes the C command that a process is running, for the log: `command NAME of module NAME`. `None` when
/// it is not a command of a C module.
#[must_use]
pub fn describe(found: InHand) -> Option<String> {
    let index = usize::try_from(found.command).ok()?.checked_sub(1)?;
    let command = *registered_commands().get(index)?;
    let [name, module] = [command.name, command.module].map(|it| {
        // SAFETY: names of a registered command live as long as its module, which is never closed.
        let bytes = unsafe { c_strings::bytes(&it) };
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    });
    Some(format!("command {name} of module {module}"))
}

/// The `init_f` functions of the registered commands from `first` up to, not including, `end`. Each worker
/// calls them once.
pub(super) fn init_functions(first: usize, end: usize) -> Vec<unsafe extern "C" fn() -> i32> {
    registered_commands().iter().take(end).skip(first).filter_map(|command| command.init_f).collect()
}

/// Copies of all registered rows. Copies, because the shim moves the rows when one is added.
pub(super) fn registered_commands() -> Vec<MiCmd> {
    let (mut first, mut count) = (std::ptr::null(), 0);
    // SAFETY: both pointers are to live values.
    unsafe { layouts::opensips_mi_registered_cmds(&raw mut first, &raw mut count) };
    let count = usize::try_from(count).unwrap_or(0);
    if first.is_null() {
        return Vec::new();
    }
    // SAFETY: the shim has `count` rows there, and no module runs before they are copied.
    unsafe { std::slice::from_raw_parts(first, count) }.to_vec()
}

fn command_row(command: &MiCmd, number: u32) -> Option<Command> {
    // SAFETY: names and help texts live as long as their module, which is never closed.
    let [name, help] = [&command.name, &command.help].map(|it| unsafe { c_strings::bytes(it) });
    let [name, help] = [name, help].map(|it| it.map(|it| String::from_utf8_lossy(it).into_owned()));
    let name = c_strings::leak(name?);
    let takes_input = command.flags & NO_INPUT_FLAG == 0;
    let function = CCommand { number, name, function: command.f?, param: command.param, takes_input };
    // The handler is part of the request, and a command without input gets no request. C: the same.
    let run: Box<dyn CommandFunction> = if takes_input && command.flags & ASYNC_FLAG != 0 {
        Box::new(Deferrable(move |call: &mut Call<'_>, number: u64| run_deferred(&function, call, number)))
    } else {
        Box::new(move |call: &mut Call<'_>| run(&function, call))
    };
    Some(Command {
        name,
        help: help.filter(|help| !help.is_empty()).map(c_strings::leak),
        classic: if takes_input {
            Classic::Takes { recipe: ANY_PARAMETERS, too_few: None, too_many: None }
        } else {
            Classic::NoInput
        },
        json_rpc: if takes_input { JSON_RPC_RECIPES } else { &JSON_RPC_RECIPES[..1] },
        changes: Changes::Data,
        run: Box::leak(run),
    })
}

/// Runs a command that replies at once.
fn run(command: &CCommand, call: &mut Call<'_>) -> Result<(), Status> {
    match call_function(command, call, None)? {
        Timing::Now => Ok(()),
        Timing::Deferred => {
            log::error!(often = true; "{}: answers later, and has not said so by MI_ASYNC_RPL_FLAG", command.name);
            Err(COMMAND_FAILED
                .with_cause("the module answers later and has not said so by MI_ASYNC_RPL_FLAG"))
        }
    }
}

/// Runs a command that may defer its reply. `number` is the number of the pending request.
fn run_deferred(command: &CCommand, call: &mut Call<'_>, number: u64) -> Result<Timing, Status> {
    let handler = handler::for_request(number).ok_or(SERVER_ERROR)?;
    call_function(command, call, Some(handler))
}

/// Calls the function of a command, and writes its reply unless it is deferred.
fn call_function(
    command: &CCommand,
    call: &mut Call<'_>,
    handler: Option<NonNull<MiHandler>>,
) -> Result<Timing, Status> {
    let mut request = match command.takes_input {
        true => Some(
            OwnedTree::request(call.args.all())
                .ok_or_else(|| SERVER_ERROR.with_cause("no memory for the request"))?,
        ),
        false => None,
    };
    if let (Some(request), Some(handler)) = (&mut request, handler) {
        request.set_handler(handler);
    }
    let root = request.as_ref().map_or(std::ptr::null_mut(), OwnedTree::as_ptr);
    let slot = call.context.segment.slots().get(call.context.slot);
    slot.into_iter().for_each(|slot| slot.enter_command(command.number));
    // SAFETY: the module exports a function of this type, and the request lives until the reply is copied.
    let returned = unsafe { (command.function)(root, command.param) };
    slot.into_iter().for_each(Slot::leave_command);
    if returned.addr() == ASYNC_REPLY {
        return Ok(Timing::Deferred);
    }
    // SAFETY: not null, and a command gives up the tree that it returns.
    let tree = NonNull::new(returned).map(|returned| unsafe { OwnedTree::returned(returned) });
    let reply = stored_reply(tree, command.name);
    // The reply may refer to texts of the request. All of them are copied now.
    drop(request);
    call.rest = reply.write(call.reply)?;
    Ok(Timing::Now)
}
