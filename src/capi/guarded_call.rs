//! Functions of C that the attendant calls before it forks: if one ends it, the reader learns which; if one leaves a
//! thread, the start ends.

use std::ffi::c_int;

use crate::system::{last_words, patience, process};

/// Calls a function of a module, `what` to the reader.
///
/// # Errors
/// When it has started a thread that goes on.
pub(super) fn before_forks(
    module: &str,
    what: &str,
    function: impl FnOnce() -> c_int,
) -> Result<c_int, String> {
    log::debug!("module {module}: {what} is called");
    let result = last_words::with(&format!("module {module}: {what}"), function);
    // One that has ended is counted for a moment more.
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
