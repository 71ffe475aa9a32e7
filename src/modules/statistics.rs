//! `get_statistics` and `reset_statistics`, and what the segment says of itself.
//!
//! C: `mi_get_stats` and `mi_reset_stats` in statistics.c; shm_mem.c for the group `shmem`.

use crate::mi::{Call, Cell, Classic, Command, Context, Fault, Statistic, Value, required};
use crate::module::Module;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "statistics",
    parameters: &[],
    commands: &[
        Command {
            name: "get_statistics",
            help: Some("prints the statistics (all, group or one) realtime values."),
            classic: Classic::takes(&[required("statistics").list()]),
            json_rpc: &[&[required("statistics").list()]],
            run: &get_statistics,
        },
        Command {
            name: "reset_statistics",
            help: Some("resets the value of a statistic variable"),
            classic: Classic::takes(&[required("statistics").list()]),
            json_rpc: &[&[required("statistics").list()]],
            run: &reset_statistics,
        },
    ],
    statistics: &[
        Statistic::function("shmem", "total_size", &|context| context.segment.bytes()),
        Statistic::function("shmem", "used_size", &|context| {
            context.segment.fixed_bytes() + context.segment.table().used_bytes()
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
    load: None,
};

/// C: `MI_SSTR("Statistics Not Found")`.
const NOT_FOUND: Fault = Fault::new(404, "Statistics Not Found");

/// With the pages that are only partly in use. The maximum is of the times when somebody asked.
fn real_used(context: &Context) -> u64 {
    context.segment.fixed_bytes() + context.segment.table().claimed_bytes()
}

fn get_statistics(call: &mut Call<'_>) -> Result<(), Fault> {
    let context = call.context;
    let registry = &context.statistics;
    let mut found = false;
    let mut show = |cell: &Cell| {
        found = true;
        call.reply.open(&cell.full_name, Value::Unsigned(cell.value(context)));
        call.reply.close();
    };
    for wanted in call.args.list("statistics") {
        match wanted.split_last() {
            _ if wanted == b"all" => registry.all().for_each(&mut show),
            Some((b':', group)) => registry.group(group).unwrap_or_default().iter().for_each(&mut show),
            _ => registry.find(wanted).into_iter().for_each(&mut show),
        }
    }
    if found { Ok(()) } else { Err(NOT_FOUND) }
}

fn reset_statistics(call: &mut Call<'_>) -> Result<(), Fault> {
    let cells = call.args.list("statistics").filter_map(|wanted| call.context.statistics.find(wanted));
    let reset = cells.map(|cell| cell.reset(call.context)).count();
    if reset > 0 { Ok(()) } else { Err(NOT_FOUND) }
}
