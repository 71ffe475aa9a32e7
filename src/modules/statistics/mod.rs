//! The commands over statistics, and what the segment says of itself.
//!
//! [`script`] has the statistics of routing scripts, which the parameters name. C: `mi_get_stats` and `mi_reset_stats`
//! in statistics.c; shm_mem.c for the group `shmem`; modules/statistics.

mod script;

use crate::mi::{
    Call, Cell, Classic, Command, Context, Fault, Parameter, Progress, Reply, Statistic, Value, required,
};
use crate::module::Module;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "statistics",
    parameters: script::PARAMETERS,
    commands: &[
        Command {
            name: "get_statistics",
            help: Some("prints the statistics (all, group or one) realtime values."),
            classic: Classic::takes(NAMES),
            json_rpc: &[NAMES],
            run: &get_statistics,
        },
        Command {
            name: "list_statistics",
            help: Some("lists all the registered statistics and their types"),
            classic: Classic::Absent,
            json_rpc: &[&[], NAMES],
            run: &list_statistics,
        },
        Command {
            name: "reset_statistics",
            help: Some("resets the value of a statistic variable"),
            classic: Classic::takes(NAMES),
            json_rpc: &[NAMES],
            run: &reset_statistics,
        },
        Command {
            name: "reset_all_statistics",
            help: Some("resets all the statistic variables that can be reset"),
            classic: Classic::Absent,
            json_rpc: &[&[]],
            run: &reset_all_statistics,
        },
    ],
    statistics: &[
        Statistic::function("shmem", "total_size", &|context| context.segment.bytes()),
        Statistic::function("shmem", "used_size", &|context| {
            context.segment.fixed_bytes()
                + context.segment.table().used_bytes()
                + context.segment.contiguous_bytes()
        }),
        Statistic::function("shmem", "real_used_size", &real_used),
        Statistic::function("shmem", "max_used_size", &|context| {
            context.segment.header().note_used(real_used(context))
        }),
        Statistic::function("shmem", "free_size", &|context| {
            context.segment.bytes().saturating_sub(real_used(context))
        }),
        Statistic::function("shmem", "fragments", &|context| 1 + context.segment.table().claimed_pages()),
    ],
    events: &[],
    load: Some(|settings, _| Ok(script::load(settings))),
};

/// C: `MI_SSTR("Statistics Not Found")`.
const NOT_FOUND: Fault = Fault::new(404, "Statistics Not Found");

/// With the pages that are only partly in use. The maximum is of the times when somebody asked.
fn real_used(context: &Context) -> u64 {
    let segment = context.segment;
    segment.fixed_bytes() + segment.table().claimed_bytes() + segment.contiguous_bytes()
}

/// Names, groups with a colon behind, or `all`.
const NAMES: &[Parameter] = &[required("statistics").list()];

/// Shows each statistic that a name stands for, and says whether it was asked for by its own name.
fn each(context: &Context, wanted: &[u8], is_json: bool, mut show: impl FnMut(&Cell, bool)) {
    let registry = &context.statistics;
    match wanted.split_last() {
        _ if wanted == b"all" => registry.all().for_each(|cell| show(cell, false)),
        Some((b':', group)) => {
            registry.group(group).unwrap_or_default().iter().for_each(|cell| show(cell, false));
        }
        _ if is_json => registry.find_in_any_case(wanted).into_iter().for_each(|cell| show(cell, true)),
        _ => registry.find(wanted).into_iter().for_each(|cell| show(cell, true)),
    }
}

/// Writes the statistics that a name stands for, and gives their number.
type Show = fn(&Context, &[u8], &mut dyn Reply) -> usize;

/// Statistics, or names of none, that one piece of a reply takes.
const PIECE_CELLS: usize = 512;

/// Shows what `names` stand for; what comes after the first piece is left as the rest. Gives how many there were in
/// that piece.
fn show_all<'a>(call: &mut Call<'_>, mut names: impl Iterator<Item = &'a [u8]>, show: Show) -> usize {
    let mut shown = 0;
    call.reply.open_around("", Value::Nothing);
    while shown < PIECE_CELLS {
        let Some(wanted) = names.next() else {
            call.reply.close_around();
            return shown;
        };
        shown += show(call.context, wanted, call.reply);
    }
    let mut names = names.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter();
    call.rest = Some(Box::new(move |context, reply| {
        let mut shown = 0;
        while shown < PIECE_CELLS {
            let Some(wanted) = names.next() else {
                reply.close_around();
                return Progress::Done;
            };
            shown += show(context, &wanted, reply).max(1);
        }
        Progress::More
    }));
    shown
}

/// JSON-RPC leaves out what it does not know; classic callers get an error when nothing is known.
fn get_statistics(call: &mut Call<'_>) -> Result<(), Fault> {
    let names = call.args.list("statistics");
    let shown = show_all(call, names, |context, wanted, reply| {
        let mut shown = 0;
        each(context, wanted, reply.is_json(), |cell, _| {
            shown += 1;
            reply.open(&cell.full_name, Value::Unsigned(cell.value(context)));
            reply.close();
        });
        shown
    });
    if shown > 0 || call.reply.is_json() { Ok(()) } else { Err(NOT_FOUND) }
}

/// What kind each is. One that is asked for by its name has no group before it. C: `w_mi_list_stats`.
#[expect(clippy::unnecessary_wraps, reason = "has the type of every command")]
fn list_statistics(call: &mut Call<'_>) -> Result<(), Fault> {
    let all = [&b"all"[..]].into_iter().take(usize::from(call.args.count() == 0));
    let names = call.args.list("statistics").chain(all);
    show_all(call, names, |context, wanted, reply| {
        let mut shown = 0;
        each(context, wanted, true, |cell, is_single| {
            shown += 1;
            let name = if is_single { cell.name() } else { &cell.full_name };
            let kind = if cell.is_counter() { "incremental" } else { "non-incremental" };
            reply.open(name, kind.into());
            reply.close();
        });
        shown
    });
    Ok(())
}

fn reset_statistics(call: &mut Call<'_>) -> Result<(), Fault> {
    let is_json = call.reply.is_json();
    let registry = &call.context.statistics;
    let find = |wanted| if is_json { registry.find_in_any_case(wanted) } else { registry.find(wanted) };
    let cells = call.args.list("statistics").filter_map(find);
    let reset = cells.map(|cell| cell.reset(call.context)).count();
    if reset > 0 { Ok(()) } else { Err(NOT_FOUND) }
}

#[expect(clippy::unnecessary_wraps, reason = "has the type of every command")]
fn reset_all_statistics(call: &mut Call<'_>) -> Result<(), Fault> {
    call.context.statistics.all().for_each(|cell| cell.reset(call.context));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::{Recorder, context};
    use crate::mi::{Caller, Params, classic_recipe, run};

    #[test]
    fn many_names_are_shown_in_pieces() {
        let mut context = context();
        context.statistics.add([&Statistic::never("a", "one"), &Statistic::never("a", "two")]);
        let command = &MODULE.commands[0];
        let mut params = Params::new();
        (0..PIECE_CELLS).for_each(|_| params.push(b"", b"a:"));
        (0..PIECE_CELLS).for_each(|_| params.push(b"", b"nope"));
        let mut reply = Recorder::default();
        let recipe = classic_recipe(command, &params).unwrap();
        let ran = run(command, recipe, &context, &params, &mut reply, Caller::Nobody).unwrap();
        let mut rest = ran.rest().unwrap();
        let mut pieces = vec![reply.nodes.len()];
        while rest(&context, &mut reply) == Progress::More {
            pieces.push(reply.nodes.len());
        }
        assert_eq!(pieces, [PIECE_CELLS, 2 * PIECE_CELLS, 2 * PIECE_CELLS]);
        params.clear();
        params.push(b"", b"nope");
        assert_eq!(
            run(command, recipe, &context, &params, &mut reply, Caller::Nobody).err(),
            Some(NOT_FOUND)
        );
    }
}
