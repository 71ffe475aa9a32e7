//! What a command can reach of the server.

use std::any::Any;
use std::ffi::OsString;

use super::command::CommandTable;
use super::statistics::StatisticRegistry;
use crate::shm::{PendingRequests, Segment};
use crate::system::datagram::Socket;
use crate::system::process::ProcessId;

/// The server as commands see it: fixed at the first fork, but for what lies in the segment.
#[derive(Debug)]
pub struct Context {
    /// The shared state.
    pub segment: &'static Segment,
    /// The requests whose replies are deferred.
    pub pending: &'static PendingRequests,
    /// All commands, for `which` and `help`.
    pub commands: CommandTable,
    /// All statistics.
    pub statistics: StatisticRegistry,
    /// What modules have made of their settings.
    pub states: ModuleStates,
    /// What each process is for, by slot: `attendant`, `MI Datagram`.
    pub processes: Vec<String>,
    /// The command line the server was started with.
    pub arguments: Vec<OsString>,
    /// The master process; SIGTERM to it ends the server.
    pub attendant: ProcessId,
    /// The UDP sockets of the server, to ask what waits in them.
    pub udp_sockets: Vec<Socket>,
    /// Whether TCP is switched off by the configuration.
    pub tcp_disabled: bool,
    /// The process that runs the command: its slot.
    pub slot: usize,
}

/// What modules have made of their settings, each found by its type. Fixed at the first fork: what changes
/// lies in the segment.
#[derive(Debug, Default)]
pub struct ModuleStates(Vec<Box<dyn Any>>);

impl ModuleStates {
    /// Adds a module's state.
    pub fn add(&mut self, state: Box<dyn Any>) {
        self.0.push(state);
    }

    /// The state of that type; `None` when its module is not loaded.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|state| state.downcast_ref())
    }
}
