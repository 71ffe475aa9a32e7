//! Speed of the HTTP doors as a ratio to a bare hyper server, and what readers of a long dump cost the others.
//! README.md beside this file says how to run it and what its figures mean. Owns the order of the run.
//!
//! The program starts copies of itself: load clients and floors are parts of it, chosen by `--role`.

#![expect(clippy::print_stdout, reason = "the figures are its output")]
#![expect(clippy::print_stderr, reason = "a program of its own, which reports its errors there")]

#[path = "../children.rs"]
mod children;
mod client;
mod commands;
mod compare;
#[path = "../crew.rs"]
mod crew;
#[path = "../error.rs"]
mod error;
mod floor;
#[path = "../limits.rs"]
mod limits;
mod load;
mod message;
mod options;
#[path = "../program.rs"]
mod program;
mod readers;
#[path = "../report.rs"]
mod report;
#[path = "../rounds.rs"]
mod rounds;
#[path = "../scale.rs"]
mod scale;
mod server;
#[path = "../shape.rs"]
mod shape;
mod worker;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::Result;
use crate::options::{HELP, Options};
use crate::program::{Part, Program};

/// What it starts of itself.
const PARTS: &[Part] = &[("client", |_| client::run()), ("floor", floor::serve)];

fn main() -> ExitCode {
    Program { help: HELP, parse: Options::parse, measure, parts: PARTS }.run()
}

fn measure(options: &Options, directory: &Path, stop: &Arc<AtomicBool>) -> Result<bool> {
    match options.contacts {
        None => Ok(compare::run(options, directory, stop)? || !options.scale.check),
        Some(contacts) => readers::run(contacts, options, directory, stop),
    }
}
