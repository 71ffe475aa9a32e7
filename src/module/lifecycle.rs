//! Tells modules when the server and its processes start and end.

use std::rc::Rc;

use super::{OpenError, Rank, Service};
use crate::mi::{Command, Context, Statistic};

/// What a module does when the server and its processes start and end. C modules have one.
pub trait Lifecycle: std::fmt::Debug {
    /// Starts the module: once, in load order, before the first fork and before the server gives up root.
    /// `events` are the names of the events that exist so far, in the order of their numbers. Returns what
    /// the module exports beyond its table.
    ///
    /// # Errors
    /// Why the server cannot start with the module.
    fn start(&self, events: &[&'static str]) -> Result<LateExports, OpenError>;

    /// Starts the module in one process, that of the context's slot, before the process serves.
    ///
    /// # Errors
    /// Why the process cannot start.
    fn start_process(&self, rank: Rank, context: &Rc<Context>) -> Result<(), OpenError>;

    /// Ends the module: once, in the attendant, when all other processes have ended.
    fn end(&self);
}

/// What a module exports when it has started, beyond its table.
#[derive(Debug, Default)]
pub struct LateExports {
    /// MI commands.
    pub commands: Vec<Command>,
    /// Statistics.
    pub statistics: Vec<Statistic>,
    /// Events. Their numbers follow those of the events before them.
    pub events: Vec<&'static str>,
    /// Services with processes of their own, in the order of the process table.
    pub services: Vec<Box<dyn Service>>,
}

/// The lifecycles of all loaded modules that have one. They lie among the context's states.
#[derive(Debug, Default)]
pub struct Lifecycles(Vec<Box<dyn Lifecycle>>);

impl Lifecycles {
    /// Adds the lifecycle of one module.
    pub fn add(&mut self, lifecycle: Box<dyn Lifecycle>) {
        self.0.push(lifecycle);
    }

    /// Starts all modules in one process.
    ///
    /// # Errors
    /// That of the first module that cannot start.
    pub fn start_process(&self, rank: Rank, context: &Rc<Context>) -> Result<(), OpenError> {
        self.0.iter().try_for_each(|lifecycle| lifecycle.start_process(rank, context))
    }

    /// Ends all modules, the one that was loaded last first.
    pub fn end(&self) {
        self.0.iter().rev().for_each(|lifecycle| lifecycle.end());
    }
}
