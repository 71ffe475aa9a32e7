//! Defines what a module runs in processes of its own, and what such a process offers the module.

use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use crate::mi::Context;
use crate::shm::Slot;
use crate::system::datagram::Socket;
use crate::system::obstacle::Obstacle;
use crate::system::signal;

/// Why an endpoint cannot be opened or a process cannot start, with the remedy.
pub type OpenError = Box<dyn std::error::Error + Send + Sync>;

/// Descriptors that each process opens for itself: a clock, a socket, files of /proc.
pub const PLAIN_DESCRIPTORS: u64 = 8;

/// The purpose of a process, passed to a module when the process starts. C: the ranks of sr_module.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The attendant. C: `PROC_MAIN`.
    Attendant,
    /// A process that serves MI. C: `PROC_MODULE`, and the start functions of MI commands.
    Worker,
    /// A module's own process that wants all modules started in it. C: `PROC_FLAG_INITCHILD`, `PROC_MODULE`.
    Module,
    /// A process that runs timers of C modules. C: `PROC_TIMER`.
    Timer,
    /// A process in which no module is started.
    Plain,
}

/// What a module runs in processes of its own. The attendant makes it before the first fork and calls all of
/// it but `run`, which each worker process calls.
pub trait Service: std::fmt::Debug {
    /// The process type that `ps` shows.
    fn description(&self) -> &str;

    /// The purpose of the processes.
    fn rank(&self) -> Rank {
        Rank::Worker
    }

    /// The number of processes.
    fn workers(&self) -> usize;

    /// The number of descriptors that [`Service::open`] takes in the attendant and all processes inherit.
    fn shared_descriptors(&self) -> u64 {
        0
    }

    /// The most descriptors that one of the processes has open at once, when it inherits `inherited` from the
    /// attendant.
    fn descriptors(&self, inherited: u64) -> u64 {
        inherited + PLAIN_DESCRIPTORS
    }

    /// The name of the endpoint in the statistics of the group `load`, e.g. `udp:127.0.0.1:8080`; `None` for
    /// a service without an endpoint.
    fn load_name(&self) -> Option<String> {
        None
    }

    /// Makes the endpoint, before the attendant gives up root.
    ///
    /// # Errors
    /// Why the endpoint cannot be made.
    fn open(&mut self) -> Result<(), OpenError> {
        Ok(())
    }

    /// Finds the obstacles to [`Service::open`], each with the parameter that names the endpoint. Makes
    /// nothing. `root` is the folder that will be the root. For `-c`.
    fn obstacles(&self, _root: &Path) -> Vec<(&'static str, Obstacle)> {
        Vec::new()
    }

    /// Makes the endpoint again if its file has vanished. Returns true when the workers must be replaced,
    /// since they serve an endpoint that no client can reach any more. The attendant calls it a few times a
    /// second.
    fn repair(&mut self) -> bool {
        false
    }

    /// Called once, right before the first of the processes is forked.
    ///
    /// # Errors
    /// Why the server cannot start.
    fn before_forks(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// Called once, right after the last of the processes was forked.
    ///
    /// # Errors
    /// Why the server cannot start.
    fn after_forks(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// The UDP socket of the service, for the statistics of the bytes that wait in it.
    fn udp_socket(&self) -> Option<&Socket> {
        None
    }

    /// The path of the endpoint, for messages.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// Serves until [`Process::should_stop`].
    ///
    /// # Errors
    /// What the process lacks to start. The error ends the process.
    fn run(&self, process: &Process<'_>) -> Result<(), OpenError>;

    /// Removes the endpoint at the end of the server.
    fn close(&mut self) {}
}

/// Notified once, when a worker serves.
pub trait ReadyNotifier: std::fmt::Debug {
    /// The worker serves from now on.
    fn notify(&self);
}

/// The worker process that a service runs in.
#[derive(Debug)]
pub struct Process<'a> {
    context: &'a Rc<Context>,
    slot: &'static Slot,
    number: usize,
    ready: &'a dyn ReadyNotifier,
}

impl<'a> Process<'a> {
    /// The process of the context's slot, worker `number` of its service. `None` when the segment has no such
    /// slot.
    #[must_use]
    pub fn new(context: &'a Rc<Context>, number: usize, ready: &'a dyn ReadyNotifier) -> Option<Process<'a>> {
        let slot = context.segment.slots().get(context.slot)?;
        Some(Process { context, slot, number, ready })
    }

    /// The tables of the server and the shared memory.
    #[must_use]
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// The same context, for values that outlive the call that makes them.
    #[must_use]
    pub fn shared_context(&self) -> Rc<Context> {
        Rc::clone(self.context)
    }

    /// The slot of the process in the process table.
    #[must_use]
    pub fn slot(&self) -> &'static Slot {
        self.slot
    }

    /// The number of the process within its service, from 0. A process that replaces another has the same
    /// number.
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

    /// Declares that the process serves from now on, and publishes its memory figures.
    pub fn set_ready(&self) {
        self.publish_memory();
        self.slot.set_ready();
        self.ready.notify();
    }

    /// Marks the process as handling a request, or not.
    pub fn set_busy(&self, busy: bool) {
        self.slot.set_busy(busy);
    }

    /// Handles pending signals. True when the process should end.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        if signal::pending() && signal::take_publish() {
            self.publish_memory();
        }
        signal::stop_requested()
    }

    fn publish_memory(&self) {
        self.slot.publish(crate::system::memory::private());
    }
}
