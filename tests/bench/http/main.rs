//! Speed of the HTTP doors as a ratio to a bare hyper server, and what readers of a long dump cost the others.
//! README.md beside this file says how to run it and what its figures mean. Owns the order of the run, the signals
//! and the exit status.
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
mod readers;
#[path = "../report.rs"]
mod report;
#[path = "../rounds.rs"]
mod rounds;
mod server;
#[path = "../shape.rs"]
mod shape;
mod worker;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::children::ROLE_FLAG;
use crate::error::{Error, Result};
use crate::options::{HELP, Options};

/// A target was missed (with `--check`), or readers of a dump cost too much.
const EXIT_NOT_REACHED: u8 = 1;
/// The bench could not do its work.
const EXIT_FAILED: u8 = 2;
/// Ended by a signal, as a shell would say it for SIGINT.
const EXIT_SIGNAL: u8 = 130;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == ROLE_FLAG) {
        return play(&arguments.split_off(1));
    }
    match Options::parse(arguments).and_then(|options| options.map_or_else(help, |options| bench(&options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_NOT_REACHED),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(if matches!(error, Error::Interrupted) { EXIT_SIGNAL } else { EXIT_FAILED })
        }
    }
}

fn help() -> Result<bool> {
    print!("{HELP}");
    Ok(true)
}

/// Everything that is started lives in values of this function, so it ends with them, also by a panic.
fn bench(options: &Options) -> Result<bool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(Error::os("catch signals for", "the bench".as_ref()))?;
    }
    let temporary = tempfile::Builder::new()
        .prefix("mi-bench-")
        .tempdir()
        .map_err(Error::os("create a folder in", &std::env::temp_dir()))?;
    let reached = match options.contacts {
        None => compare::run(options, temporary.path(), &stop)? || !options.check,
        Some(contacts) => readers::run(contacts, options, temporary.path(), &stop)?,
    };
    temporary.close().map_err(Error::os("remove", &std::env::temp_dir()))?;
    Ok(reached)
}

/// One of the parts that the bench starts: `ROLE BENCH_PID ARGUMENTS…`.
fn play(arguments: &[OsString]) -> ExitCode {
    let [role, bench, rest @ ..] = arguments else { return ExitCode::from(EXIT_FAILED) };
    let begin = |signal| children::end_with_bench(bench, signal);
    let played = match role.to_str() {
        Some("client") => begin(Signal::SIGKILL).and_then(|()| client::run()),
        Some("floor") => begin(Signal::SIGKILL).and_then(|()| floor::serve(rest)),
        Some("exec") => begin(Signal::SIGTERM).and_then(|()| children::become_program(rest)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench {}: {error}", role.display());
            ExitCode::from(EXIT_FAILED)
        }
    }
}
