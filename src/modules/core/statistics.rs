//! The groups `core`, `net`, `load` and `pkmem`.
//!
//! The server handles no SIP, so what counts SIP messages stays zero for good. C: core_stats.c; `register_udp_load_stat` in statistics.c.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mi::{Context, Statistic, StatisticSource};
use crate::shm::{PrivateMemory, Slot};
use crate::system::clock;

const fn sip(name: &'static str) -> Statistic {
    Statistic::zero("core", name)
}

/// Statistics that do not depend on the configuration.
pub(super) const STATISTICS: [Statistic; 14] = [
    sip("rcv_requests"),
    sip("rcv_replies"),
    sip("fwd_requests"),
    sip("fwd_replies"),
    sip("drop_requests"),
    sip("drop_replies"),
    sip("err_requests"),
    sip("err_replies"),
    sip("bad_URIs_rcvd"),
    sip("unsupported_methods"),
    sip("bad_msg_hdr"),
    Statistic::function("core", "timestamp", &|context| context.segment.header().uptime()),
    Statistic::function("net", "waiting_udp", &|context| {
        context.udp_sockets.iter().map(crate::system::datagram::Socket::bytes_waiting).sum()
    }),
    Statistic::function("net", "waiting_tcp", &|_| 0),
];

type Figure = fn(&Figures) -> u64;

const FIGURES: [(&str, Figure); 6] = [
    ("total_size", |figures| figures.total),
    ("used_size", |figures| figures.used),
    ("real_used_size", |figures| figures.real_used),
    ("max_used_size", |figures| figures.max_used),
    ("free_size", |figures| figures.total.saturating_sub(figures.real_used)),
    ("fragments", |figures| figures.fragments),
];

/// What a process has for itself, in bytes.
struct Figures {
    total: u64,
    used: u64,
    real_used: u64,
    max_used: u64,
    fragments: u64,
}

impl Figures {
    /// The total is what a process of OpenSIPS would have, `least`, or more where the process has taken more from the
    /// kernel, as there is no limit here: what is free is not only what the allocator holds at the moment.
    fn of(memory: &PrivateMemory, least: u64) -> Figures {
        let figure = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let max_used = figure(&memory.max_used);
        Figures {
            total: figure(&memory.total).max(max_used).max(least),
            used: figure(&memory.used),
            real_used: figure(&memory.real_used),
            max_used,
            fragments: figure(&memory.fragments),
        }
    }
}

/// The group `pkmem`: what each process uses for itself, six rows a process.
///
/// A process publishes its figures when it is ready and when asked, by a signal, at most once a second: a
/// reader sees figures that are a second old, or older when nobody read them. `least` is what a process has at least, in
/// bytes. C: `init_pkg_stats`.
#[must_use]
pub fn private_memory_statistics(processes: usize, least: u64) -> Vec<Statistic> {
    let mut rows = Vec::new();
    for slot in 0..processes {
        for (name, figure) in FIGURES {
            let value = move |context: &Context| {
                context.segment.slots().get(slot).map_or(0, |process| {
                    ask_for_figures(process);
                    figure(&Figures::of(process.memory(), least))
                })
            };
            rows.push(row("pkmem", format!("{slot}-{name}"), value));
        }
    }
    rows
}

fn ask_for_figures(process: &Slot) {
    if process.figures_due(clock::coarse_seconds())
        && let Some(id) = process.process()
    {
        id.ask_for_figures();
    }
}

/// A row of the group `load`: how many of the processes in `slots` are handling a request, in per cent.
#[must_use]
pub fn load_statistics(endpoint: &str, slots: Range<usize>) -> Statistic {
    let share = move |context: &Context| {
        let processes = context.segment.slots().get(slots.clone()).unwrap_or_default();
        let busy = processes.iter().filter(|process| process.is_busy()).count();
        (busy * 100 / processes.len().max(1)) as u64
    };
    row("load", format!("{endpoint}-load"), share)
}

/// The row of the group `mi` that counts how often a module's workers were replaced.
#[must_use]
pub fn restart_statistics(module: &str, slots: Range<usize>) -> Statistic {
    let transport = module.strip_prefix("mi_").unwrap_or(module);
    let restarts = move |context: &Context| {
        let processes = context.segment.slots().get(slots.clone()).unwrap_or_default();
        processes.iter().map(Slot::restarts).sum()
    };
    row("mi", format!("{transport}_worker_restarts"), restarts)
}

/// A row whose name or value depends on the configuration. Made once at the start, kept to the end.
fn row(group: &'static str, name: String, value: impl Fn(&Context) -> u64 + Sync + 'static) -> Statistic {
    Statistic {
        group,
        name: Box::leak(name.into_boxed_str()),
        source: StatisticSource::Function(Box::leak(Box::new(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::context;

    #[test]
    fn load_is_the_share_of_busy_processes() {
        let mut context = context();
        context.statistics.add(&[load_statistics("udp:127.0.0.1:8080", 0..2)]);
        let row = context.statistics.find(b"udp:127.0.0.1:8080-load").unwrap();
        assert_eq!(row.value(&context), 0);
        context.segment.slots()[1].set_busy(true);
        assert_eq!(row.value(&context), 50);
    }

    #[test]
    fn private_memory_shows_what_was_published() {
        let mut context = context();
        context.statistics.add(&private_memory_statistics(2, 10));
        let figures = crate::system::memory::Private { total: 5, used: 1, real_used: 2, fragments: 4 };
        context.segment.slots()[1].publish(figures);
        context.segment.slots()[1].publish(crate::system::memory::Private { real_used: 1, ..figures });
        let names = ["total_size", "used_size", "real_used_size", "max_used_size", "free_size", "fragments"];
        let values = |context: &Context| {
            names.map(|name| context.statistics.find(format!("1-{name}").as_bytes()).unwrap().value(context))
        };
        assert_eq!(values(&context), [10, 1, 1, 2, 9, 4]);
        context.segment.slots()[1].publish(crate::system::memory::Private { real_used: 20, ..figures });
        context.segment.slots()[1].publish(crate::system::memory::Private { real_used: 5, ..figures });
        assert_eq!(values(&context), [20, 1, 5, 20, 15, 4], "no share is above 100 %");
    }
}
