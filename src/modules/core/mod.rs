//! The core: commands and statistics that are there without any module.

mod cache;
mod commands;
mod events;
mod log_level;
mod statistics;

use crate::evi;
use crate::module::Module;

pub use events::watch;
pub use statistics::{load_statistics, private_memory_statistics, restart_statistics};

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "core",
    parameters: &[],
    commands: &commands::COMMANDS,
    statistics: &statistics::STATISTICS,
    events: &evi::CORE_EVENTS,
    load: None,
};
