//! What OpenSIPS calls a module: a name and one table of what it exports.
//!
//! Built-in modules are rows in [`crate::modules`]; a C module fills in the same table. C: `struct
//! module_exports` in sr_module.h and `proc_export_t` in sr_module.h.

mod permissions;

use std::any::Any;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use crate::cachedb::Backend;
use crate::config::{DefaultValue, ParameterKind, ParameterRow, Position, Settings};
use crate::evi::Transport;
use crate::mi::{Command, Context, Statistic};
use crate::shm::Slot;
use crate::shm::keyed::Space;
use crate::system::datagram::Socket;
use crate::system::obstacle::Obstacle;
use crate::system::signal;
use crate::timer::Timer;
use crate::wire::http::Door;

pub use permissions::PermissionParameters;

/// One module's table.
#[derive(Debug)]
pub struct Module {
    /// As `loadmodule` names it, without folder and `.so`.
    pub name: &'static str,
    /// What `modparam` may set.
    pub parameters: &'static [ParameterRow],
    /// MI commands.
    pub commands: &'static [Command],
    /// Statistics that do not depend on the configuration.
    pub statistics: &'static [Statistic],
    /// Events it raises; their numbers go by the order in which modules are loaded.
    pub events: &'static [&'static str],
    /// Makes of the settings what the module needs to run.
    pub load: Option<Load>,
}

/// Makes of a module's settings what it needs to run. Called before the first fork, while the server still has
/// its first user.
pub type Load = fn(&Settings, Identity) -> Result<Loaded, SettingError>;

/// What a module becomes by its settings.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What it runs in processes of its own.
    pub service: Option<Box<dyn Service>>,
    /// Statistics whose names depend on the settings.
    pub statistics: Vec<Statistic>,
    /// What its commands find in the context again.
    pub state: Option<Box<dyn Any>>,
    /// What is to be done from time to time.
    pub timers: Vec<Timer>,
    /// What is to be done once, before the first fork, when the state that survived a restart is there.
    pub restored: Option<fn(&Context)>,
    /// Keyed state of it, which has a share of the shared memory.
    pub keyed: Option<Space>,
    /// Keyed state of it that is to survive a restart.
    pub persistent: Vec<Space>,
    /// Settings of it that cannot work, each with its place: for parameters that are set several times.
    pub errors: Vec<(Position, SettingError)>,
    /// Cache systems it provides.
    pub backends: Vec<Box<dyn Backend>>,
    /// Ways of events to their subscribers.
    pub transports: Vec<Box<dyn Transport>>,
    /// What the HTTP listener of the module `httpd` serves for it.
    pub doors: Vec<Door>,
    /// What it does when the server and its processes begin and end.
    pub life: Option<Box<dyn Life>>,
}

/// What a module does when the server and its processes begin and end.
pub trait Life: std::fmt::Debug {
    /// Called once, in the order in which modules are loaded, before the first fork and while the server still has its
    /// first user. The events are those that there are so far, in the order of their numbers. Gives what the module
    /// exports beyond its table.
    ///
    /// # Errors
    /// Why the server cannot start with it.
    fn begin(&self, events: &[&'static str]) -> Result<Exported, OpenError>;

    /// Called in each process, that of the context's slot, before it serves.
    ///
    /// # Errors
    /// Why the process cannot begin.
    fn begin_process(&self, rank: Rank, context: &Rc<Context>) -> Result<(), OpenError>;

    /// Called once, in the attendant, when all other processes have ended.
    fn end(&self);
}

/// What a module exports that its table does not have.
#[derive(Debug, Default)]
pub struct Exported {
    /// MI commands.
    pub commands: Vec<Command>,
    /// Statistics.
    pub statistics: Vec<Statistic>,
    /// Events, whose numbers follow those that there were.
    pub events: Vec<&'static str>,
    /// What it runs in processes of its own, in the order of its table.
    pub services: Vec<Box<dyn Service>>,
}

/// What a process is for. C: the ranks of sr_module.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The attendant. C: `PROC_MAIN`.
    Attendant,
    /// A process that serves MI. C: `PROC_MODULE`, and the beginnings of commands.
    Worker,
    /// A process of a module's own that wants all modules to begin in it. C: `PROC_FLAG_INITCHILD`, `PROC_MODULE`.
    Module,
    /// A process that runs timers of C modules. C: `PROC_TIMER`.
    Timer,
    /// A process in which no module begins: it has no rank.
    Plain,
}

/// The lives of all loaded modules that have one; found among the context's states.
#[derive(Debug, Default)]
pub struct Lives(Vec<Box<dyn Life>>);

impl Lives {
    /// Adds a module's.
    pub fn add(&mut self, life: Box<dyn Life>) {
        self.0.push(life);
    }

    /// Tells all that a process begins.
    ///
    /// # Errors
    /// That of the first module that cannot begin in it.
    pub fn begin_process(&self, rank: Rank, context: &Rc<Context>) -> Result<(), OpenError> {
        self.0.iter().try_for_each(|life| life.begin_process(rank, context))
    }

    /// Tells all that the server has ended, the one that was loaded last first.
    pub fn end(&self) {
        self.0.iter().rev().for_each(|life| life.end());
    }
}

/// Who the server runs as after it has given up root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User, when it is to change.
    pub uid: Option<u32>,
    /// Group, when it is to change.
    pub gid: Option<u32>,
}

/// A setting that is well formed but cannot work on this system. Reported at the setting's place in the file.
#[derive(Debug)]
pub struct SettingError {
    /// The parameter.
    pub parameter: &'static str,
    /// What was found, what was wanted, what to do.
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

/// Which of the commands of a module are traced.
pub const TRACE_BWLIST: ParameterRow = ParameterRow::without_effect(
    "trace_bwlist",
    ParameterKind::Text,
    DefaultValue::Absent,
    NO_TRACE,
    "which commands to trace",
);

/// Why an endpoint could not be opened, with its remedy.
pub type OpenError = Box<dyn std::error::Error + Send + Sync>;

/// Descriptors that a process opens for itself, for a clock, a socket of its own, a look into /proc.
pub const PLAIN_DESCRIPTORS: u64 = 8;

/// What a module runs in processes of its own. Made before the first fork; `run` is its life in each child.
pub trait Service: std::fmt::Debug {
    /// The process type that `ps` shows.
    fn description(&self) -> &str;

    /// What its processes are for.
    fn rank(&self) -> Rank {
        Rank::Worker
    }

    /// How many processes.
    fn workers(&self) -> usize;

    /// How many descriptors [`Service::open`] takes in the attendant, from which all processes have them.
    fn shared_descriptors(&self) -> u64 {
        0
    }

    /// How many descriptors one of its processes may have to have at once, when it has so many from the attendant.
    fn descriptors(&self, inherited: u64) -> u64 {
        inherited + PLAIN_DESCRIPTORS
    }

    /// What the `load` group calls its endpoint, e.g. `udp:127.0.0.1:8080`, if it has one.
    fn load_name(&self) -> Option<String> {
        None
    }

    /// Makes the endpoint. Called in the attendant while it still has its first user.
    ///
    /// # Errors
    /// When it cannot be made.
    fn open(&mut self) -> Result<(), OpenError> {
        Ok(())
    }

    /// What would keep [`Service::open`] from making the endpoint, each with its parameter; makes nothing. `root` is the
    /// folder that will be the root. For `-c`.
    fn obstacles(&self, _root: &Path) -> Vec<(&'static str, Obstacle)> {
        Vec::new()
    }

    /// Makes the endpoint again if it has vanished. True when the workers must be replaced, since they serve
    /// one that nobody can reach. Called a few times a second in the attendant.
    fn repair(&mut self) -> bool {
        false
    }

    /// Called once in the attendant, right before the first of its processes is forked.
    ///
    /// # Errors
    /// Why the server cannot start.
    fn before_forks(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// Called once in the attendant, right after the last of its processes was forked.
    ///
    /// # Errors
    /// Why the server cannot start.
    fn after_forks(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// A UDP socket of the service, for the statistics of what waits in it.
    fn udp_socket(&self) -> Option<&Socket> {
        None
    }

    /// The path of the endpoint, for messages.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// Serves until the process is told to stop. An error ends the process before it was ready.
    ///
    /// # Errors
    /// What the process lacks to begin.
    fn run(&self, process: &Process<'_>) -> Result<(), OpenError>;

    /// Removes what only the running server needs.
    fn close(&mut self) {}
}

/// A worker process, as its service sees it.
#[derive(Debug)]
pub struct Process<'a> {
    context: &'a Rc<Context>,
    slot: &'static Slot,
    number: usize,
    ready: &'a dyn Ready,
}

/// Told once, when a worker serves.
pub trait Ready: std::fmt::Debug {
    /// The worker serves from now on.
    fn tell(&self);
}

impl<'a> Process<'a> {
    /// The process of the context's slot, the one of that number among its service's. `None` when the segment has no
    /// such slot.
    #[must_use]
    pub fn new(context: &'a Rc<Context>, number: usize, ready: &'a dyn Ready) -> Option<Process<'a>> {
        let slot = context.segment.slots().get(context.slot)?;
        Some(Process { context, slot, number, ready })
    }

    /// The server.
    #[must_use]
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// The server, for what outlives the call that it is made in.
    #[must_use]
    pub fn shared_context(&self) -> Rc<Context> {
        Rc::clone(self.context)
    }

    /// The process's entry in the table.
    #[must_use]
    pub fn slot(&self) -> &'static Slot {
        self.slot
    }

    /// Which of its service's processes it is, from 0. A successor has the number of the one that it takes the place of.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The process's own cell of a counter of its module's statistics.
    #[must_use]
    pub fn counter(&self, group: &str, name: &str) -> Option<&'static AtomicU64> {
        let segment = self.context.segment;
        self.context.statistics.counter(segment.row(self.context.slot), group, name)
    }

    /// Says that the process serves from now on, and publishes its memory figures.
    pub fn set_ready(&self) {
        self.publish();
        self.slot.set_ready();
        self.ready.tell();
    }

    /// Marks the process as handling a request, or not.
    pub fn set_busy(&self, busy: bool) {
        self.slot.set_busy(busy);
    }

    /// Does what signals have asked for. True when the process should end.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        if signal::pending() && signal::take_publish() {
            self.publish();
        }
        signal::stop_requested()
    }

    fn publish(&self) {
        self.slot.publish(crate::system::memory::private());
    }
}
