//! The server's own commands and statistics, as C modules see them: rows of C whose functions run ours. Only in
//! processes that have begun. C: `lookup_mi_cmd` in mi/mi.c and `get_stat` in statistics.c.
#![expect(unsafe_code, reason = "functions are exported to C, and rows of C are made")]

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
    self, Caller, Classic, Command, Context, Delivery, Entry, Fault, Generation, Params, Progress,
};

thread_local! {
    /// All commands; made when a module asks first.
    static COMMANDS: OnceCell<&'static [MiCmd]> = const { OnceCell::new() };
    /// The statistics that modules have asked for.
    static STATISTICS: RefCell<HashMap<Vec<u8>, &'static StatVar>> = RefCell::default();
}

/// The rows of all commands, and their number; null, and 0, where there is no server yet.
///
/// # Safety
/// The pointer is to a number that may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_all_cmds(count: *mut c_int) -> *const MiCmd {
    let all = catch_panics(&[][..], || match current_context::get() {
        Some(context) => COMMANDS.with(|commands| *commands.get_or_init(|| rows(&context))),
        None => &[],
    });
    // SAFETY: as the caller says.
    unsafe { count.write(c_int::try_from(all.len()).unwrap_or(0)) };
    if all.is_empty() { null() } else { all.as_ptr() }
}

/// The rows, with all their texts in one block.
fn rows(context: &Context) -> &'static [MiCmd] {
    let own = || context.commands.iter(Generation::Classic);
    let all: Vec<u8> = own().flat_map(texts).flat_map(|text| text.bytes().chain([0])).collect();
    let mut left: &'static [u8] = Vec::leak(all);
    let mut next = |text: &str| {
        let (first, rest) = left.split_at((text.len() + 1).min(left.len()));
        left = rest;
        Str { s: first.as_ptr().cast(), len: c_int::try_from(text.len()).unwrap_or(0) }
    };
    let of_modules = command::registered_commands();
    let rows = own().zip(0..).map(|(entry, id)| {
        let row = row(entry.command, texts(entry).map(&mut next));
        let registered = of_modules.iter().find(|row| {
            // SAFETY: the name of a registered command, which lives as long as its module.
            let name = unsafe { c_strings::bytes(&row.name) };
            name == Some(entry.command.name.as_bytes())
        });
        MiCmd { id, ..registered.copied().unwrap_or(row) }
    });
    Vec::leak(rows.collect())
}

/// What a row says.
fn texts(entry: &Entry) -> [&'static str; 3] {
    [entry.module, entry.command.name, entry.command.help.unwrap_or_default()]
}

fn row(command: &'static Command, [module, name, help]: [Str; 3]) -> MiCmd {
    MiCmd {
        id: 0,
        module,
        name,
        help,
        init_f: None,
        f: Some(run),
        flags: if matches!(command.classic, Classic::NoInput) { NO_INPUT_FLAG } else { 0 },
        param: std::ptr::from_ref(command).cast_mut().cast(),
    }
}

/// Runs one of the server's commands; null only without memory, and where there is no server.
///
/// # Safety
/// The request is null or a tree of mi/tree.h, and the parameter is that of the command's row.
unsafe extern "C" fn run(request: *mut MiRoot, param: *mut c_void) -> *mut MiRoot {
    catch_panics(null_mut(), || {
        let Some(context) = current_context::get() else { return null_mut() };
        // SAFETY: as the caller says.
        let Some(command) = (unsafe { param.cast::<Command>().as_ref::<'static>() }) else {
            return null_mut();
        };
        // SAFETY: as the caller says.
        let params = unsafe { params(request) };
        let mut reply = TreeBuilder::default();
        match answer(command, &context, &params, &mut reply) {
            Ok(()) => reply.into_raw(),
            Err(fault) => TreeBuilder::with_status(&fault).into_raw(),
        }
    })
}

/// # Safety
/// As for [`run`].
unsafe fn params(request: *const MiRoot) -> Params {
    let mut params = Params::new();
    // SAFETY: as the caller says.
    let mut next = unsafe { request.as_ref() }.map_or(null(), |root| root.node.kids);
    // SAFETY: null, or a node of that tree.
    while let Some(node) = unsafe { next.as_ref() } {
        // SAFETY: a node's texts are as long as they say.
        let [name, value] =
            [&node.name, &node.value].map(|it| unsafe { c_strings::bytes(it) }.unwrap_or_default());
        params.push(name, value);
        next = node.next;
    }
    params
}

fn answer(
    command: &'static Command,
    context: &Context,
    params: &Params,
    reply: &mut TreeBuilder,
) -> Result<(), Fault> {
    let recipe = mi::classic_recipe(command, params)?;
    let caller = Caller::new("core", &"a module in C");
    let outcome = mi::run(command, recipe, context, params, reply, caller, Delivery::WithOthers)?;
    if let Some(mut rest) = outcome.rest() {
        while rest.go_on(context, reply)? == Progress::More {}
    }
    Ok(())
}

/// One of the server's own statistics; null when there is none of that name.
///
/// # Safety
/// The pointer is null, or to a string with its length.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_find_stat(name: *const Str) -> *const StatVar {
    catch_panics(null(), || {
        // SAFETY: as the caller says.
        let name = unsafe { name.as_ref() };
        // SAFETY: as the caller says.
        let name = name.and_then(|name| unsafe { c_strings::bytes(name) }).unwrap_or_default();
        if current_context::get().is_none_or(|context| context.statistics.find(name).is_none()) {
            return null();
        }
        STATISTICS.with_borrow_mut(|known| {
            let var: &StatVar =
                known.entry(name.to_vec()).or_insert_with(|| Box::leak(Box::new(variable(name))));
            std::ptr::from_ref(var)
        })
    })
}

/// A statistic that is computed when it is asked, from its name.
fn variable(name: &[u8]) -> StatVar {
    let len = c_int::try_from(name.len()).unwrap_or(0);
    let name = Str { s: CString::new(name).unwrap_or_default().into_raw(), len };
    StatVar {
        mod_idx: 0,
        name,
        flags: STAT_NO_RESET | STAT_IS_FUNC,
        context: std::ptr::from_mut(Box::leak(Box::new(name))).cast(),
        source: StatSource { function: value },
        hnext: null(),
        lnext: null(),
    }
}

/// # Safety
/// The pointer is to the name of a statistic.
unsafe extern "C" fn value(name: *mut c_void) -> c_ulong {
    catch_panics(0, || {
        // SAFETY: as the caller says.
        let name = unsafe { name.cast::<Str>().as_ref() };
        // SAFETY: as the caller says.
        let name = name.and_then(|name| unsafe { c_strings::bytes(name) }).unwrap_or_default();
        current_context::get()
            .map_or(0, |context| context.statistics.find(name).map_or(0, |cell| cell.value(&context)))
    })
}
