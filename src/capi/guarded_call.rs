//! Calls a module's functions in the attendant before it forks. When one of them crashes or exits, the log
//! names it. When one leaves a thread running, the start fails.

use std::ffi::c_int;

use crate::system::{last_words, patience, process};

/// Calls a function of a module and gives its result. `what` names the function in messages, as "its init
/// function".
///
/// # Errors
/// When a thread that the function started is still running.
pub(super) fn before_forks(
    module: &str,
    what: &str,
    function: impl FnOnce() -> c_int,
) -> Result<c_int, String> {
    log::debug!("module {module}: calling {what}");
    let result = last_words::with(&format!("module {module}: {what}"), function);
    // The kernel counts a joined thread for a moment longer.
    let others = || match process::threads() {
        0 | 1 => Ok(()),
        count => Err(count - 1),
    };
    match patience::retry(others, |_| true) {
        Ok(()) => Ok(result),
        Err(count) => Err(format!(
            "{what} has started {count} of its own threads, which no other process has; start them in init_child_f, with a rank below 0"
        )),
    }
}
