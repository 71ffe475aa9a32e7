//! Helps unit tests of commands: a context without processes, and a reply that records its nodes.

use super::{CommandTable, Context, Generation, ModuleStates, Reply, StatisticRegistry, Status, Value};
use std::time::Duration;

use crate::shm::{MIN_BYTES, PendingRequests, Segment};
use crate::system::pipe_notifier::PipeNotifier;
use crate::system::process::ProcessId;

/// A context with two process slots, eight counters, and no modules.
pub(crate) fn context() -> Context {
    let segment = Segment::create(MIN_BYTES, 2, 8).unwrap();
    let notifiers = (0..2).map(|_| PipeNotifier::new().unwrap()).collect();
    Context {
        segment,
        pending: Box::leak(Box::new(PendingRequests::new(segment, notifiers, Duration::from_secs(60)))),
        commands: CommandTable::default(),
        statistics: StatisticRegistry::default(),
        states: ModuleStates::default(),
        processes: vec![String::from("attendant"), String::from("MI Datagram")],
        arguments: vec!["opensips-mi".into(), "-F".into()],
        attendant: ProcessId::own(),
        udp_sockets: Vec::new(),
        tcp_disabled: false,
        slot: 1,
    }
}

/// A classic reply that records its nodes.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// The name and the value of each node.
    pub(crate) nodes: Vec<(String, String)>,
}

impl Reply for Recorder {
    fn generation(&self) -> Generation {
        Generation::Classic
    }
    fn status(&mut self, _status: &Status) {}
    fn open(&mut self, name: &[u8], value: Value<'_>) {
        self.nodes.push((String::from_utf8_lossy(name).into_owned(), format!("{value:?}")));
    }
    fn attribute(&mut self, _name: &[u8], _value: Value<'_>) {}
    fn close(&mut self) {}
}
