//! Speed of MI over UNIX datagrams as a ratio to a bare echo, and memory of the server under a long mixed load.
//! README.md beside this file says how to run it and what its figures mean. Owns the order of the run, the signals
//! and the exit status.
//!
//! The program starts copies of itself: load clients and echo processes are parts of it, chosen by `--role`.

#![expect(clippy::print_stdout, reason = "the figures are its output")]
#![expect(clippy::print_stderr, reason = "a program of its own, which reports its errors there")]

mod c_module;
mod children;
mod client;
mod commands;
mod compare;
mod contacts;
mod crew;
mod dump;
mod error;
mod fifo;
mod floor;
mod limits;
mod options;
mod pool;
mod report;
mod request;
mod rounds;
mod server;
mod shape;
mod soak;
mod soak_client;

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::children::ROLE_FLAG;
use crate::error::{Error, Result};
use crate::options::{HELP, Options};
use crate::pool::Pool;
use crate::report::Report;
use crate::server::{MEMORY_MIB, Server};

/// A target was missed (with `--check`), or the memory was not flat.
const EXIT_NOT_REACHED: u8 = 1;
/// The bench could not do its work.
const EXIT_FAILED: u8 = 2;
/// Ended by a signal, as a shell would say it for SIGINT.
const EXIT_SIGNAL: u8 = 130;
/// Load clients of a soak run.
const SOAK_CLIENTS: usize = 4;

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
    let directory = temporary.path();
    // A server that runs as another user has to reach the clients' sockets.
    fs::set_permissions(directory, Permissions::from_mode(0o711)).map_err(Error::os("open", directory))?;
    if let Some(source) = options.c_source {
        c_module::compile(source, directory)?;
    }
    let reached = match &options.soak {
        None => {
            let most = options.clients.iter().copied().max().unwrap_or(1);
            let mut pool = Pool::start(directory, most, stop)?;
            let mut report = Report::begin(options)?;
            let met = match (options.dump, options.contacts.as_slice()) {
                (Some(contacts), _) => dump::run(contacts, options, directory, &mut pool, &mut report)?,
                (None, []) => compare::run(options, directory, &mut pool, &mut report)?,
                (None, sizes) => contacts::run(sizes, options, directory, &mut pool, &mut report)?,
            };
            met || !options.check
        }
        Some(soak) => {
            report::print_machine();
            let mut flat = true;
            for plan in &options.plans {
                let mut pool = Pool::start(directory, SOAK_CLIENTS, Arc::clone(&stop))?;
                let mut server =
                    Server::start(plan, &directory.join(&plan.name), options.workers, MEMORY_MIB)?;
                println!("server {}: {} requests", server.name, soak.requests);
                flat &= soak::run(soak, &server, &mut pool).map_err(|error| match error {
                    Error::Client { .. } => server.explain(&error),
                    other => other,
                })?;
                server.stop()?;
            }
            flat
        }
    };
    temporary.close().map_err(Error::os("remove", &std::env::temp_dir()))?;
    Ok(reached)
}

/// One of the parts that the bench starts: `ROLE BENCH_PID ARGUMENTS…`.
fn play(arguments: &[OsString]) -> ExitCode {
    let [role, bench, rest @ ..] = arguments else { return ExitCode::from(EXIT_FAILED) };
    let begin = |signal| children::end_with_bench(bench, signal);
    let played = match role.to_str() {
        Some("client") => begin(Signal::SIGKILL).and_then(|()| client::run(rest)),
        Some("echo") => begin(Signal::SIGKILL).and_then(|()| floor::echo(rest)),
        Some("fifo-echo") => begin(Signal::SIGKILL).and_then(|()| floor::fifo_echo(rest)),
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
