//! The output: a line a check, and the sum at the end.

use std::process::ExitCode;
use std::time::Instant;

/// What a check saw, or why it failed.
pub(crate) type Outcome = Result<String, String>;

/// Counts checks as they are made.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Makes a check and prints its line.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Outcome) {
        let started = Instant::now();
        let (verdict, text) = match check() {
            Ok(seen) => {
                self.passed += 1;
                ("pass", seen)
            }
            Err(reason) => {
                self.failed += 1;
                ("FAIL", reason)
            }
        };
        println!("{verdict}  {name}: {text} [{:.1} s]", started.elapsed().as_secs_f64());
    }

    /// Prints the sum. Nothing checked is a failure too.
    pub(crate) fn finish(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
