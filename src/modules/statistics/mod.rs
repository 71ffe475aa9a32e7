//! The commands over statistics, and what the segment says of itself.
//!
//! [`script`] has the statistics of routing scripts, which the parameters name. C: `mi_get_stats` and `mi_reset_stats`
//! in statistics.c; shm_mem.c for the group `shmem`; modules/statistics.

mod script;

use crate::mi::{
    Call, Changes, Classic, Command, Context, Parameter, Progress, RegisteredStatistic, Reply, Rest,
    Statistic, Status, Value, required,
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
            changes: Changes::Data,
            run: &get_statistics,
        },
        Command {
            name: "list_statistics",
            help: Some("lists all the registered statistics and their types"),
            classic: Classic::Absent,
            json_rpc: &[&[], NAMES],
            changes: Changes::Data,
            run: &list_statistics,
        },
        Command {
            name: "reset_statistics",
            help: Some("resets the value of a statistic variable"),
            classic: Classic::takes(NAMES),
            json_rpc: &[NAMES],
            changes: Changes::Server,
            run: &reset_statistics,
        },
        Command {
            name: "reset_all_statistics",
            help: Some("resets all the statistic variables that can be reset"),
            classic: Classic::Absent,
            json_rpc: &[&[]],
            changes: Changes::Server,
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
const NOT_FOUND: Status = Status::new(404, "Statistics Not Found");

/// With the pages that are only partly in use. The maximum is of the times when somebody asked.
fn real_used(context: &Context) -> u64 {
    let segment = context.segment;
    segment.fixed_bytes() + segment.table().claimed_bytes() + segment.contiguous_bytes()
}

/// Names, groups with a colon behind, or `all`.
const NAMES: &[Parameter] = &[required("statistics").list()];

/// Shows each statistic that a name stands for, and says whether it was asked for by its own name.
fn each(context: &Context, wanted: &[u8], is_json: bool, mut show: impl FnMut(&RegisteredStatistic, bool)) {
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

/// Names in the parameter of all commands here.
const LIST: &str = "statistics";

/// What the caller is told when none of its names is known; `None` when that is no error.
type WhenNone = Option<Status>;

/// Shows what the names stand for; what comes after the first piece is left as the rest.
fn show_all(call: &mut Call<'_>, when_none: WhenNone, show: Show) -> Result<(), Status> {
    let mut names = call.args.list(LIST);
    let (mut shown, mut passed, mut size) = (0, 0, 0);
    call.reply.open_json("", Value::Nothing);
    while size < PIECE_CELLS {
        let Some(wanted) = names.next() else { return end(call.reply, shown, when_none) };
        let count = show(call.context, wanted, call.reply);
        shown += count;
        passed += 1;
        size += count.max(1);
    }
    let mut names = call.args.list_after(LIST, passed);
    call.rest = Some(Rest::of_reply(move |context, reply| {
        let mut size = 0;
        while size < PIECE_CELLS {
            let Some(wanted) = names.next_value() else {
                return end(reply, shown, when_none.clone()).map(|()| Progress::Done);
            };
            let count = show(context, wanted, reply);
            shown += count;
            size += count.max(1);
        }
        Ok(Progress::More)
    }));
    Ok(())
}

fn end(reply: &mut dyn Reply, shown: usize, when_none: WhenNone) -> Result<(), Status> {
    reply.close_json();
    if shown > 0 { Ok(()) } else { when_none.map_or(Ok(()), Err) }
}

/// JSON-RPC leaves out what it does not know; classic callers get an error when nothing is known.
fn get_statistics(call: &mut Call<'_>) -> Result<(), Status> {
    let when_none = (!call.reply.is_json()).then_some(NOT_FOUND);
    show_all(call, when_none, |context, wanted, reply| {
        let mut shown = 0;
        each(context, wanted, reply.is_json(), |cell, _| {
            shown += 1;
            reply.open(&cell.full_name, Value::Unsigned(cell.value(context)));
            reply.close();
        });
        shown
    })
}

/// What kind each is. One that is asked for by its name has no group before it. C: `w_mi_list_stats`.
fn list_statistics(call: &mut Call<'_>) -> Result<(), Status> {
    if call.args.count() == 0 {
        call.reply.open_json("", Value::Nothing);
        list_one(call.context, b"all", call.reply);
        call.reply.close_json();
        return Ok(());
    }
    show_all(call, None, list_one)
}

fn list_one(context: &Context, wanted: &[u8], reply: &mut dyn Reply) -> usize {
    let mut shown = 0;
    each(context, wanted, true, |cell, is_single| {
        shown += 1;
        let name = if is_single { cell.name() } else { &cell.full_name };
        let kind = if cell.is_counter() { "incremental" } else { "non-incremental" };
        reply.open(name, kind.into());
        reply.close();
    });
    shown
}

/// Resets the statistic of that name. True when there is one.
fn reset_one(context: &Context, wanted: &[u8], is_json: bool) -> bool {
    let registry = &context.statistics;
    let cell = if is_json { registry.find_in_any_case(wanted) } else { registry.find(wanted) };
    cell.map(|cell| cell.reset(context)).is_some()
}

fn reset_statistics(call: &mut Call<'_>) -> Result<(), Status> {
    let (is_json, mut reset) = (call.reply.is_json(), 0);
    let mut names = call.args.list_after(LIST, 0);
    let mut step = move |context: &Context| {
        for _ in 0..PIECE_CELLS {
            let Some(name) = names.next_value() else {
                return if reset > 0 { Ok(Progress::Done) } else { Err(NOT_FOUND) };
            };
            reset += usize::from(reset_one(context, name, is_json));
        }
        Ok(Progress::More)
    };
    if step(call.context)? == Progress::More {
        call.rest = Some(Rest::of_change(move |context, _| step(context)));
    }
    Ok(())
}

fn reset_all_statistics(call: &mut Call<'_>) -> Result<(), Status> {
    let mut done = 0;
    call.rest = Some(Rest::of_change(move |context, _| {
        let cells = context.statistics.all().skip(done).take(PIECE_CELLS);
        let count = cells.map(|cell| cell.reset(context)).count();
        done += count;
        Ok(if count == PIECE_CELLS { Progress::More } else { Progress::Done })
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::{Recorder, context};
    use crate::mi::{Caller, Delivery, Params, run};

    #[test]
    fn many_names_are_shown_in_pieces() {
        let mut context = context();
        context.statistics.add([&Statistic::zero("a", "one"), &Statistic::zero("a", "two")]);
        let command = &MODULE.commands[0];
        let mut params = Params::new();
        (0..PIECE_CELLS).for_each(|_| params.push(b"", b"a:"));
        (0..PIECE_CELLS).for_each(|_| params.push(b"", b"nope"));
        let mut reply = Recorder::default();
        let recipe = command.classic.recipe_for(params.len()).unwrap();
        let ran = run(
            command,
            recipe,
            &context,
            &params,
            &mut reply,
            Caller::new("test", &""),
            Delivery::Discarded,
        )
        .unwrap();
        let mut rest = ran.rest().unwrap();
        let mut pieces = vec![reply.nodes.len()];
        while rest.step(&context, &mut reply) == Ok(Progress::More) {
            pieces.push(reply.nodes.len());
        }
        assert_eq!(pieces, [PIECE_CELLS, 2 * PIECE_CELLS, 2 * PIECE_CELLS]);
        params.clear();
        params.push(b"", b"nope");
        assert_eq!(
            run(
                command,
                recipe,
                &context,
                &params,
                &mut reply,
                Caller::new("test", &""),
                Delivery::Discarded
            )
            .err(),
            Some(NOT_FOUND)
        );
    }

    /// What comes of names, the last of which may be a known one.
    fn outcome(command: &'static Command, unknown: usize, known: &[u8]) -> Result<usize, Status> {
        let mut context = context();
        context.statistics.add([&Statistic::counter("a", "one")]);
        let mut params = Params::new();
        (0..unknown).for_each(|_| params.push(b"", b"nope"));
        params.push(b"", known);
        let mut reply = Recorder::default();
        let recipe = command.classic.recipe_for(params.len()).unwrap();
        let mut rest = run(
            command,
            recipe,
            &context,
            &params,
            &mut reply,
            Caller::new("test", &""),
            Delivery::Discarded,
        )?
        .rest();
        let mut pieces = 1;
        while let Some(rest) = &mut rest
            && rest.step(&context, &mut reply)? == Progress::More
        {
            pieces += 1;
        }
        Ok(pieces)
    }

    #[test]
    fn names_that_are_all_unknown_are_an_error_however_many_there_are() {
        for command in [&MODULE.commands[0], &MODULE.commands[2]] {
            for unknown in [0, 1, PIECE_CELLS, 10 * PIECE_CELLS] {
                assert!(outcome(command, unknown, b"one").is_ok(), "{} {unknown}", command.name);
                assert_eq!(outcome(command, unknown, b"two"), Err(NOT_FOUND), "{} {unknown}", command.name);
            }
            assert!(outcome(command, 10 * PIECE_CELLS, b"one").unwrap() >= 10, "{}", command.name);
        }
    }
}
