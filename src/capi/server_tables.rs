//! Shows the server's own commands and statistics to C modules, as rows of C's tables.
//!
//! The function in a row runs the server's command, or computes its statistic. Processes that serve MI have
//! these rows; the attendant and init functions have none. C: `lookup_mi_cmd` in mi/mi.c and `get_stat` in
//! statistics.c.
#![expect(unsafe_code, reason = "exports functions to C and builds rows with C pointers")]

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ffi::{CString, c_int, c_ulong, c_void};
use std::ptr::{null, null_mut};

use super::command;
use super::exports::catch_panics;
use super::layouts::{MiCmd, MiRoot, NO_INPUT_FLAG, STAT_IS_FUNC, STAT_NO_RESET, StatSource, StatVar, Str};
use super::tree_builder::TreeBuilder;
use super::{c_strings, current_context};
use crate::mi::{
    self, Caller, Classic, Command, CommandEntry, Context, Delivery, Generation, Params, Progress, Status,
};

thread_local! {
    /// Rows of all commands. Built when a module of this process first asks for them, and never freed.
    static COMMANDS: OnceCell<&'static [MiCmd]> = const { OnceCell::new() };
    /// Rows of the statistics that modules have asked for, by name. Never freed, as modules keep the
    /// pointers.
    static STATISTICS: RefCell<HashMap<Vec<u8>, &'static StatVar>> = RefCell::default();
}

/// Gives the rows of all commands and writes their number to `count`. Null and 0 in the attendant, in init
/// functions and in a module's own threads.
///
/// # Safety
/// `count` points to a number that may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_all_cmds(count: *mut c_int) -> *const MiCmd {
    let all = catch_panics(&[][..], || match current_context::get() {
        Some(context) => COMMANDS.with(|commands| *commands.get_or_init(|| command_rows(&context))),
        None => &[],
    });
    // SAFETY: the caller guarantees it.
    unsafe { count.write(c_int::try_from(all.len()).unwrap_or(0)) };
    if all.is_empty() { null() } else { all.as_ptr() }
}

/// Builds the rows of all commands. A command of a C module gets the row that the module registered. The
/// texts of all other rows lie in one leaked block, each with a NUL behind it.
fn command_rows(context: &Context) -> &'static [MiCmd] {
    let entries = || context.commands.iter(Generation::Classic);
    let all: Vec<u8> = entries().flat_map(row_texts).flat_map(|text| text.bytes().chain([0])).collect();
    let mut left: &'static [u8] = Vec::leak(all);
    let mut next = |text: &str| {
        let (first, rest) = left.split_at((text.len() + 1).min(left.len()));
        left = rest;
        Str { s: first.as_ptr().cast(), len: c_int::try_from(text.len()).unwrap_or(0) }
    };
    let module_rows = command::registered_commands();
    let rows = entries().zip(0..).map(|(entry, id)| {
        let row = server_row(entry.command, row_texts(entry).map(&mut next));
        let registered = module_rows.iter().find(|row| {
            // SAFETY: the name of a registered command, which lives as long as its module.
            let name = unsafe { c_strings::bytes(&row.name) };
            name == Some(entry.command.name.as_bytes())
        });
        MiCmd { id, ..registered.copied().unwrap_or(row) }
    });
    Vec::leak(rows.collect())
}

/// Module, name and help of a row.
fn row_texts(entry: &CommandEntry) -> [&'static str; 3] {
    [entry.module, entry.command.name, entry.command.help.unwrap_or_default()]
}

/// The row of one of the server's own commands. Its parameter is the command, which [`run_server_command`]
/// reads.
fn server_row(command: &'static Command, [module, name, help]: [Str; 3]) -> MiCmd {
    MiCmd {
        id: 0,
        module,
        name,
        help,
        init_f: None,
        f: Some(run_server_command),
        flags: if matches!(command.classic, Classic::NoInput) { NO_INPUT_FLAG } else { 0 },
        param: std::ptr::from_ref(command).cast_mut().cast(),
    }
}

/// Runs one of the server's commands and gives its reply. Null without memory, and in a thread or process
/// that serves no MI.
///
/// # Safety
/// `request` is null or a tree of mi/tree.h, and `param` is the parameter of the command's row.
unsafe extern "C" fn run_server_command(request: *mut MiRoot, param: *mut c_void) -> *mut MiRoot {
    catch_panics(null_mut(), || {
        let Some(context) = current_context::get() else { return null_mut() };
        // SAFETY: the caller guarantees it.
        let Some(command) = (unsafe { param.cast::<Command>().as_ref::<'static>() }) else {
            return null_mut();
        };
        // SAFETY: the caller guarantees it.
        let params = unsafe { request_params(request) };
        let mut reply = TreeBuilder::default();
        match build_reply(command, &context, &params, &mut reply) {
            Ok(()) => reply.into_raw(),
            Err(status) => TreeBuilder::with_status(&status).into_raw(),
        }
    })
}

/// Copies the parameters of a request.
///
/// # Safety
/// `request` is null or a tree of mi/tree.h.
unsafe fn request_params(request: *const MiRoot) -> Params {
    let mut params = Params::new();
    // SAFETY: the caller guarantees it.
    let mut next = unsafe { request.as_ref() }.map_or(null(), |root| root.node.kids);
    // SAFETY: null or a node of the same tree.
    while let Some(node) = unsafe { next.as_ref() } {
        // SAFETY: the lengths of a node's texts are right.
        let [name, value] =
            [&node.name, &node.value].map(|it| unsafe { c_strings::bytes(it) }.unwrap_or_default());
        params.push(name, value);
        next = node.next;
    }
    params
}

/// Runs the command and builds its whole reply, also the part that a transport would fetch piece by piece.
fn build_reply(
    command: &'static Command,
    context: &Context,
    params: &Params,
    reply: &mut TreeBuilder,
) -> Result<(), Status> {
    let recipe = command.classic.recipe_for(params.len())?;
    let caller = Caller::new("core", &"a module in C");
    let outcome = mi::run(command, recipe, context, params, reply, caller, Delivery::InBatch)?;
    if let Some(mut rest) = outcome.rest() {
        while rest.step(context, reply)? == Progress::More {}
    }
    Ok(())
}

/// Gives one of the server's own statistics. Null when no statistic has this name, and in the attendant, in
/// init functions and in a module's own threads.
///
/// # Safety
/// The pointer is null or points to a `str` whose length is right.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_find_stat(name: *const Str) -> *const StatVar {
    catch_panics(null(), || {
        // SAFETY: the caller guarantees it.
        let name = unsafe { name.as_ref() };
        // SAFETY: the caller guarantees it.
        let name = name.and_then(|name| unsafe { c_strings::bytes(name) }).unwrap_or_default();
        if current_context::get().is_none_or(|context| context.statistics.find(name).is_none()) {
            return null();
        }
        STATISTICS.with_borrow_mut(|rows| {
            let var: &StatVar =
                rows.entry(name.to_vec()).or_insert_with(|| Box::leak(Box::new(statistic_row(name))));
            std::ptr::from_ref(var)
        })
    })
}

/// The row of one of the server's statistics. Its context is its name, by which [`statistic_value`] finds the
/// value.
fn statistic_row(name: &[u8]) -> StatVar {
    let len = c_int::try_from(name.len()).unwrap_or(0);
    let name = Str { s: CString::new(name).unwrap_or_default().into_raw(), len };
    StatVar {
        mod_idx: 0,
        name,
        flags: STAT_NO_RESET | STAT_IS_FUNC,
        context: std::ptr::from_mut(Box::leak(Box::new(name))).cast(),
        source: StatSource { function: statistic_value },
        hnext: null(),
        lnext: null(),
    }
}

/// Gives the value of a statistic, 0 when there is none.
///
/// # Safety
/// `name` points to a `str` that holds the name of a statistic.
unsafe extern "C" fn statistic_value(name: *mut c_void) -> c_ulong {
    catch_panics(0, || {
        // SAFETY: the caller guarantees it.
        let name = unsafe { name.cast::<Str>().as_ref() };
        // SAFETY: the caller guarantees it.
        let name = name.and_then(|name| unsafe { c_strings::bytes(name) }).unwrap_or_default();
        current_context::get()
            .map_or(0, |context| context.statistics.find(name).map_or(0, |cell| cell.value(&context)))
    })
}
