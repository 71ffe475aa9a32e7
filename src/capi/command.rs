//! A C module's MI commands as rows of its table. C: `run_mi_cmd` in mi/mi.h.
#![expect(unsafe_code, reason = "functions of C are called")]

use std::ffi::c_void;
use std::ptr::NonNull;

use super::layouts::{self, ASYNC_FLAG, MiCmd, MiFunction, NO_INPUT_FLAG};
use super::snapshot::Telling;
use super::text;
use super::tree::Tree;
use crate::mi::{
    COMMAND_FAILED, Call, Classic, Command, Fault, Parameter, Progress, SERVER_ERROR, optional, required,
};

/// How a C command is called.
struct Function {
    name: &'static str,
    function: MiFunction,
    param: *mut c_void,
    takes_input: bool,
}

// SAFETY: the module's own pointer, which only its function follows; a process of the server has one thread that runs
// commands.
unsafe impl Sync for Function {}

const ANY: &[Parameter] = &[optional("parameters").list()];

/// By position, as many as may be: a recipe for each number of them.
const JSON_RPC: &[&[Parameter]] = &[
    &[],
    NAMES.split_at(1).0,
    NAMES.split_at(2).0,
    NAMES.split_at(3).0,
    NAMES.split_at(4).0,
    NAMES.split_at(5).0,
    NAMES.split_at(6).0,
    NAMES.split_at(7).0,
    NAMES.split_at(8).0,
    NAMES.split_at(9).0,
    NAMES,
];

/// The names that JSON-RPC callers may use as well.
const NAMES: &[Parameter] = &[
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

/// How many commands C modules have registered so far.
pub(super) fn count() -> usize {
    registered().len()
}

/// The commands that were registered after the first `known`.
///
/// # Errors
/// The name of one that answers later.
pub(super) fn rows_after(known: usize) -> Result<Vec<Command>, String> {
    registered().iter().skip(known).filter_map(row).collect()
}

/// What has to be called once in each process.
pub(super) fn inits_between(first: usize, end: usize) -> Vec<unsafe extern "C" fn() -> i32> {
    registered().iter().take(end).skip(first).filter_map(|command| command.init_f).collect()
}

/// Copies of C's rows, which move when one is added.
pub(super) fn registered() -> Vec<MiCmd> {
    let (mut first, mut count) = (std::ptr::null(), 0);
    // SAFETY: both pointers are to live values.
    unsafe { layouts::opensips_mi_own_cmds(&raw mut first, &raw mut count) };
    let count = usize::try_from(count).unwrap_or(0);
    if first.is_null() {
        return Vec::new();
    }
    // SAFETY: the shim has so many rows there, and no module runs before they are copied.
    unsafe { std::slice::from_raw_parts(first, count) }.to_vec()
}

fn row(command: &MiCmd) -> Option<Result<Command, String>> {
    // SAFETY: names and helps live as long as their module, which is never closed.
    let [name, help] = [&command.name, &command.help].map(|it| unsafe { text::bytes(it) });
    let [name, help] = [name, help].map(|it| it.map(|it| String::from_utf8_lossy(it).into_owned()));
    let name = name?;
    if command.flags & ASYNC_FLAG != 0 {
        return Some(Err(name));
    }
    let name = text::keep(name);
    let takes_input = command.flags & NO_INPUT_FLAG == 0;
    let function = Function { name, function: command.f?, param: command.param, takes_input };
    Some(Ok(Command {
        name,
        help: help.filter(|help| !help.is_empty()).map(text::keep),
        classic: if takes_input {
            Classic::Takes { recipe: ANY, too_few: None, too_many: None }
        } else {
            Classic::NoInput
        },
        json_rpc: if takes_input { JSON_RPC } else { &JSON_RPC[..1] },
        run: Box::leak(Box::new(move |call: &mut Call<'_>| run(&function, call))),
    }))
}

fn run(command: &Function, call: &mut Call<'_>) -> Result<(), Fault> {
    let request = match command.takes_input {
        true => Some(Tree::request(call.args.all()).ok_or(SERVER_ERROR)?),
        false => None,
    };
    let root = request.as_ref().map_or(std::ptr::null_mut(), Tree::as_ptr);
    // SAFETY: the function is one of the type that its module exports, and the request lives until its reply is copied.
    let returned = unsafe { (command.function)(root, command.param) };
    if returned.addr() == usize::MAX {
        log::error!("{}: answers later, and has not said so by MI_ASYNC_RPL_FLAG", command.name);
        return Err(COMMAND_FAILED);
    }
    let returned = NonNull::new(returned).ok_or(COMMAND_FAILED)?;
    // SAFETY: not null, and a command gives its tree away.
    let tree = unsafe { Tree::returned(returned) };
    let status = tree.status();
    let copy = tree.copy().ok_or_else(|| {
        log::error!("{}: the nodes of the reply lie too deep in one another", command.name);
        COMMAND_FAILED
    })?;
    // Either may refer to the other's text: all is copied now.
    drop((tree, request));
    if call.reply.is_json() && status.code / 100 != 2 || copy.is_empty() && !status.is_plain() {
        return Err(status.fault());
    }
    if !call.reply.is_json() && !status.is_plain() {
        call.reply.status(&status.fault());
    }
    let mut telling = Telling::new(copy);
    if telling.go_on(call.reply) == Progress::More {
        call.rest = Some(Box::new(move |_, reply| telling.go_on(reply)));
    }
    Ok(())
}
