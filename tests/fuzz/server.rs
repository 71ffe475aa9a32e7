//! A server to answer requests in a fuzz target: all commands and statistics, a small cache, no process.

use std::time::Duration;

use opensips_mi::mi::{CommandTable, Context, ModuleStates, StatisticRegistry};
use opensips_mi::modules;
use opensips_mi::shm::{MIN_BYTES, PendingRequests, Segment};
use opensips_mi::system::process::ProcessId;

/// Process slots of the server that answers.
const PROCESSES: usize = 2;

/// A number that no process can have. C: `PID_MAX_LIMIT` of Linux is far below, so `kill` ends nobody.
const NOBODY: i32 = i32::MAX;

thread_local! {
    pub(super) static SERVER: Context = server();
}

fn server() -> Context {
    let mut commands = CommandTable::default();
    let mut statistics = StatisticRegistry::default();
    for module in modules::ALWAYS.into_iter().chain(modules::LOADABLE) {
        let taken = commands.add(module.name, module.commands).err();
        assert!(taken.is_none(), "two modules export {taken:?}");
        statistics.add(module.statistics);
    }
    statistics.add(&modules::private_memory_statistics(PROCESSES, 0));
    statistics.add(&[
        modules::load_statistics("unix:/run/mi.sock", 1..PROCESSES),
        modules::restart_statistics("mi_datagram", 1..PROCESSES),
    ]);
    let segment = Segment::create(MIN_BYTES, PROCESSES, statistics.counters());
    let (Ok(segment), Some(attendant)) = (segment, ProcessId::from_number(NOBODY)) else {
        panic!("no memory for a small segment, or a positive number names no process");
    };
    Context {
        segment,
        pending: Box::leak(Box::new(PendingRequests::new(segment, Vec::new(), Duration::ZERO))),
        commands,
        statistics,
        states: ModuleStates::default(),
        processes: vec![String::from("attendant"), String::from("MI Datagram")],
        arguments: vec!["opensips-mi".into(), "-F".into()],
        attendant,
        udp_sockets: Vec::new(),
        tcp_disabled: false,
        slot: 1,
    }
}
