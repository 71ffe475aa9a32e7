//! Runs MI commands: the table of commands, their parameters, and their replies.
//!
//! ```text
//! recipe.rs       the parameters that a command takes
//! params.rs       the parameters of a request
//! command.rs      a command, the table of all commands, and the function that runs one
//! caller.rs       the sender of a request, for log lines and deferred replies
//! reply.rs        the sink into which a command writes its reply, and the rest of a long one
//! deferred/       commands that give their reply later
//! snapshot/       a reply stored as a tree
//! status.rs       code and reason of a reply
//! statistics.rs   the statistics of all modules
//! number.rs       numbers in parameters
//! ```
//!
//! A transport decodes a request into a command's name and [`Params`]. [`CommandTable::find`] finds the
//! command, its recipe checks the parameters, and [`run`] calls its function. The function writes nodes into
//! the [`Reply`], which encodes them in the syntax of the caller. A long reply is left as a [`Rest`], whose
//! pieces the transport requests one by one.
//!
//! Nothing here knows the syntax of a request. Commands do I/O through the [`Context`]: they read and write
//! the shared segment, and store deferred replies in it. C: mi/mi.c and mi/tree.c.

mod caller;
mod command;
mod deferred;
mod number;
mod params;
mod recipe;
mod reply;
mod snapshot;
mod statistics;
mod status;

use std::any::Any;
use std::ffi::OsString;

pub use caller::{Caller, OwnedCaller, PeerName};
pub use command::{
    Call, Changes, Command, CommandEntry, CommandFunction, CommandOutcome, CommandTable, Delivery, run,
};
pub use deferred::{
    Deferrable, STATISTICS, StoredReply, TIMEOUTS, Timing, answer_all_pending, answer_overdue,
};
pub use number::{signed, unsigned};
pub use params::{Args, OwnedValues, Params};
pub use recipe::{Classic, Parameter, ParameterKind, optional, required};
pub use reply::{Generation, Progress, Reply, Rest, Value};
pub use snapshot::Snapshot;
pub use statistics::{RegisteredStatistic, Statistic, StatisticRegistry, StatisticSource};
pub use status::{
    BAD_PARAMETER, COMMAND_FAILED, COMMAND_NOT_AVAILABLE, MISSING_PARAMETER, PARSE_ERROR, SERVER_ERROR,
    Status,
};

use crate::shm::{PendingRequests, Segment};
use crate::system::datagram::Socket;
use crate::system::process::ProcessId;

/// The server as commands see it. Fixed before the first fork; only the contents of the segment change.
#[derive(Debug)]
pub struct Context {
    /// The state that all processes share.
    pub segment: &'static Segment,
    /// The requests whose replies are deferred.
    pub pending: &'static PendingRequests,
    /// The commands of all modules.
    pub commands: CommandTable,
    /// The statistics of all modules.
    pub statistics: StatisticRegistry,
    /// The state that modules have made from their parameters.
    pub states: ModuleStates,
    /// The description of each process, by slot: `attendant`, `MI Datagram`.
    pub processes: Vec<String>,
    /// The command line of the server.
    pub arguments: Vec<OsString>,
    /// The master process. SIGTERM stops the server.
    pub attendant: ProcessId,
    /// The UDP sockets of the server, whose queues the statistics report.
    pub udp_sockets: Vec<Socket>,
    /// The configuration disables TCP.
    pub tcp_disabled: bool,
    /// The slot of this process.
    pub slot: usize,
}

/// The state that modules have made from their parameters, by its type. Fixed before the first fork.
#[derive(Debug, Default)]
pub struct ModuleStates(Vec<Box<dyn Any>>);

impl ModuleStates {
    /// Adds the state of a module.
    pub fn add(&mut self, state: Box<dyn Any>) {
        self.0.push(state);
    }

    /// The state of type `T`; `None` when its module is not loaded.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|state| state.downcast_ref())
    }
}

#[cfg(test)]
pub(crate) mod testing;
