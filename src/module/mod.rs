//! Defines a module: a name and one table of what it exports.
//!
//! Built-in modules are rows in [`crate::modules`]; a C module fills in the same table. C: `struct
//! module_exports` in sr_module.h and `proc_export_t`.
//!
//! ```text
//! mod.rs          the table, and what a module makes of its settings
//! service.rs      what a module runs in processes of its own
//! lifecycle.rs    the start and the end of the server and its processes, for C modules
//! permissions.rs  the parameters of a module that say who may use its socket or FIFO
//! transport_counters.rs  the counters of all MI transports
//! ```

mod lifecycle;
mod permissions;
mod service;
mod transport_counters;

use std::any::Any;

use crate::cachedb::Backend;
use crate::config::{DefaultValue, ParameterKind, ParameterRow, Position, Settings};
use crate::evi::Transport;
use crate::mi::{Command, Context, Statistic};
use crate::shm::keyed::Space;
use crate::timer::Timer;
use crate::wire::http::Route;

pub use lifecycle::{LateExports, Lifecycle, Lifecycles};
pub use permissions::PermissionParameters;
pub use service::{OpenError, PLAIN_DESCRIPTORS, Process, Rank, ReadyNotifier, Service};
pub use transport_counters::{CounterName, TransportCounter, TransportCounters};

/// The table of one module.
#[derive(Debug)]
pub struct Module {
    /// The name in `loadmodule`, without folder and `.so`.
    pub name: &'static str,
    /// The parameters that `modparam` may set.
    pub parameters: &'static [ParameterRow],
    /// MI commands.
    pub commands: &'static [Command],
    /// Statistics that do not depend on the settings.
    pub statistics: &'static [Statistic],
    /// Events that the module raises. They are numbered in load order.
    pub events: &'static [&'static str],
    /// Makes the parts of the module from its settings; `None` for a module that has no parts beyond its
    /// table.
    pub load: Option<Load>,
}

/// Makes the parts of a module from its settings. The attendant calls it before the first fork and before it
/// gives up root.
pub type Load = fn(&Settings, RunUser) -> Result<ModuleParts, SettingError>;

/// The parts of a loaded module that depend on its settings.
#[derive(Debug, Default)]
pub struct ModuleParts {
    /// What the module runs in processes of its own.
    pub service: Option<Box<dyn Service>>,
    /// Statistics whose names depend on the settings.
    pub statistics: Vec<Statistic>,
    /// The state that the module's commands look up by type in `Context::states`.
    pub state: Option<Box<dyn Any>>,
    /// Functions that the time keeper calls at intervals.
    pub timers: Vec<Timer>,
    /// Called once, before the first fork, when the state that survived a restart is in the shared memory.
    pub restored: Option<fn(&Context)>,
    /// The module's space in the keyed table, which gets a share of the shared memory.
    pub keyed: Option<Space>,
    /// Spaces of the keyed table that survive a restart.
    pub persistent: Vec<Space>,
    /// Errors in values of parameters that may be set several times, each with its place.
    pub errors: Vec<(Position, SettingError)>,
    /// Cache systems.
    pub backends: Vec<Box<dyn Backend>>,
    /// Transports of events.
    pub transports: Vec<Box<dyn Transport>>,
    /// Paths that the HTTP listener of the module `httpd` serves for this one.
    pub routes: Vec<Route>,
    /// The start and the end of a C module.
    pub lifecycle: Option<Box<dyn Lifecycle>>,
}

/// The user and the group that the server runs as once it has given up root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunUser {
    /// User; `None` when the server keeps its own.
    pub uid: Option<u32>,
    /// Group; `None` when the server keeps its own.
    pub gid: Option<u32>,
}

/// A well-formed setting that cannot work on this system. Reported at the setting's place in the file.
#[derive(Debug)]
pub struct SettingError {
    /// The name of the parameter.
    pub parameter: &'static str,
    /// What was found, what was wanted, and the remedy.
    pub message: String,
}

/// Why [`TRACE_DESTINATION`] and [`TRACE_BWLIST`] have no effect.
const NO_TRACE: &str = "there is no module that traces";

/// Where the modules that OpenSIPS 2.3 and later can trace send the trace.
pub const TRACE_DESTINATION: ParameterRow = ParameterRow::without_effect(
    "trace_destination",
    ParameterKind::Text,
    DefaultValue::Absent,
    NO_TRACE,
    "where to send a trace of the commands",
);

/// Which commands of a module are traced.
pub const TRACE_BWLIST: ParameterRow = ParameterRow::without_effect(
    "trace_bwlist",
    ParameterKind::Text,
    DefaultValue::Absent,
    NO_TRACE,
    "which commands to trace",
);
