//! Speed of MI over UNIX datagrams as a ratio to a bare echo, and memory of the server under a long mixed load.
//! README.md beside this file says how to run it and what its figures mean. Owns the order of the run.
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
mod program;
mod report;
mod request;
mod rounds;
mod scale;
mod server;
mod shape;
mod soak;
mod soak_client;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::{Error, Result};
use crate::options::{HELP, Options};
use crate::pool::Pool;
use crate::program::{Part, Program};
use crate::report::Report;
use crate::server::{MEMORY_MIB, Server};

/// Load clients of a soak run.
const SOAK_CLIENTS: usize = 4;

/// What it starts of itself.
const PARTS: &[Part] = &[("client", client::run), ("echo", floor::echo), ("fifo-echo", floor::fifo_echo)];

fn main() -> ExitCode {
    Program { help: HELP, parse: Options::parse, measure, parts: PARTS }.run()
}

fn measure(options: &Options, directory: &Path, stop: &Arc<AtomicBool>) -> Result<bool> {
    // A server that runs as another user has to reach the clients' sockets.
    fs::set_permissions(directory, Permissions::from_mode(0o711)).map_err(Error::os("open", directory))?;
    if let Some(source) = options.c_source {
        c_module::compile(source, directory)?;
    }
    match &options.soak {
        None => {
            let most = options.scale.clients.iter().copied().max().unwrap_or(1);
            let mut pool = Pool::start(directory, most, Arc::clone(stop))?;
            let mut report = Report::begin(options)?;
            let met = match (options.dump, options.contacts.as_slice()) {
                (Some(contacts), _) => dump::run(contacts, options, directory, &mut pool, &mut report)?,
                (None, []) => compare::run(options, directory, &mut pool, &mut report)?,
                (None, sizes) => contacts::run(sizes, options, directory, &mut pool, &mut report)?,
            };
            Ok(met || !options.scale.check)
        }
        Some(soak) => {
            report::print_machine();
            let mut flat = true;
            for plan in &options.plans {
                let mut pool = Pool::start(directory, SOAK_CLIENTS, Arc::clone(stop))?;
                let mut server =
                    Server::start(plan, &directory.join(&plan.name), options.scale.workers, MEMORY_MIB)?;
                println!("server {}: {} requests", server.name, soak.requests);
                flat &= soak::run(soak, &server, &mut pool).map_err(|error| match error {
                    Error::Client { .. } => server.explain(&error),
                    other => other,
                })?;
                server.stop()?;
            }
            Ok(flat)
        }
    }
}
