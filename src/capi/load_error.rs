//! Describes why a C module cannot be loaded.

use crate::config::Position;

/// One reason why a C module cannot be loaded.
#[derive(Debug)]
pub struct LoadError {
    /// Where the configuration sets the refused parameter. `None` when no parameter is at fault.
    pub position: Option<Position>,
    /// What was found, what was wanted, and the remedy.
    pub message: String,
}
