//! What a test says when this machine cannot run it.

use std::io::Write;

/// Says on the terminal that a test was not run, and why. The test harness hides the output of passing tests, but
/// not this line. With `MI_TESTS_NO_SKIP` set a skipped test is a failed one.
#[track_caller]
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(std::env::var_os("MI_TESTS_NO_SKIP").is_none(), "{test} cannot run here: {reason}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}
