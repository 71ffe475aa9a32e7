//! The one HTTP listener: what a module serves over HTTP goes through here, whatever is spoken in the bodies.
//!
//! ```text
//! worker.rs       a process's loop: accept, close who takes too long, end in order
//! body.rs         the body of a request
//! connection.rs   one connection: what it is doing, for the deadlines, and what it holds
//! exchange.rs     one request in, one reply out, or its beginning
//! host.rs         which server a request names
//! later.rs        replies that come later than their requests
//! ledger.rs       what a process counts, and what it says in the log about its clients
//! log_file.rs     a line for each request, where that is asked for
//! memory.rs       how much memory requests and replies may take
//! settings.rs     what the settings of the modules that serve over HTTP have in common
//! stream.rs       the bytes of a connection
//! reply.rs        a reply on its way, piece by piece, as fast as the client takes it
//! work.rs         replies that take several time slices
//! ```
//!
//! Knows no command and no syntax of a body: that is a [`Dialect`](crate::wire::http::Dialect)'s. C:
//! modules/httpd, and the server `abyss` inside mi_xmlrpc.

mod body;
mod connection;
mod exchange;
mod host;
mod later;
mod ledger;
mod log_file;
mod memory;
mod reply;
pub mod settings;
mod stream;
mod work;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::module::{CounterName, OpenError, Process, RunUser, Service};
use crate::system::obstacle::{self, Obstacle, SockType};
use crate::system::{machine, tcp};
use crate::wire::http::{Route, Routes};
use host::Names;
use log_file::LogFile;

/// Longest request, in bytes of its body.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// What a listener is to do, and how it is called.
#[derive(Debug)]
pub struct Plan {
    /// The module, for the log.
    pub module: &'static str,
    /// The process type that `ps` shows.
    pub description: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How many processes.
    pub workers: usize,
    /// What it serves; without, what other modules have it serve.
    pub route: Option<Route>,
    /// The module's counters.
    pub counters: &'static [CounterName],
    /// The parameters that set address and port, for messages.
    pub parameters: &'static str,
    /// The file for a line for each request, and who is to own it.
    pub log_file: Option<(PathBuf, RunUser)>,
    /// Names that a request may ask for on loopback besides the machine's own.
    pub host_names: Vec<String>,
}

/// The service: one address, served by `workers` processes.
#[derive(Debug)]
pub struct Listener {
    plan: Plan,
    socket: Option<TcpListener>,
    log: Option<LogFile>,
    names: Names,
    /// What was last said of a log file that cannot be made again, to say it once.
    complaint: Option<String>,
}

impl Listener {
    /// A listener that is not open yet.
    #[must_use]
    pub fn new(plan: Plan) -> Listener {
        Listener { plan, socket: None, log: None, names: Names::default(), complaint: None }
    }

    fn listen_failed(&self, error: &io::Error) -> String {
        let Plan { address, parameters, .. } = &self.plan;
        format!("cannot listen on {address}: {error}; choose another in {parameters}")
    }
}

impl Service for Listener {
    fn description(&self) -> &str {
        &self.plan.description
    }

    fn workers(&self) -> usize {
        self.plan.workers
    }

    fn shared_descriptors(&self) -> u64 {
        1 + u64::from(self.plan.log_file.is_some())
    }

    fn descriptors(&self, inherited: u64) -> u64 {
        worker::descriptors(inherited)
    }

    fn load_name(&self) -> Option<String> {
        Some(format!("tcp:{}", self.plan.address))
    }

    fn obstacles(&self, root: &Path) -> Vec<(&'static str, Obstacle)> {
        let listen_failed = |error: &io::Error| self.listen_failed(error);
        let port = obstacle::to_address(self.plan.address, SockType::Stream, listen_failed);
        let log =
            self.plan.log_file.as_ref().and_then(|(path, _)| obstacle::to_file(&obstacle::below(root, path)));
        let named = |name: &'static str, found: Option<Obstacle>| found.map(|found| (name, found));
        named("port", port).into_iter().chain(named("log_file", log)).collect()
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let address = self.plan.address;
        let socket = tcp::listen(address).map_err(|error| self.listen_failed(&error))?;
        self.socket = Some(socket);
        if !address.ip().to_canonical().is_loopback() {
            log::warn!(
                target: self.plan.module,
                "whoever reaches {address} can run every command, kill as well; unless only those can who may, set ip \
                 to 127.0.0.1 and put a web server in front that asks for a password"
            );
        }
        let names = machine::names().into_iter().chain(self.plan.host_names.iter().cloned()).collect();
        self.names = Names { names, module: self.plan.module };
        if let Some((path, owner)) = &self.plan.log_file {
            self.log = Some(LogFile::open(path, *owner).map_err(|error| format!("log_file {error}"))?);
        }
        Ok(())
    }

    /// Only the log file can vanish. The workers find the new one by themselves, so none is replaced.
    fn repair(&mut self) -> bool {
        match self.log.as_mut().map_or(Ok(()), LogFile::repair) {
            Ok(()) => self.complaint = None,
            Err(error) => {
                let complaint = format!("log_file {error}");
                if self.complaint.as_ref() != Some(&complaint) {
                    log::error!(target: self.plan.module, "{complaint}");
                    self.complaint = Some(complaint);
                }
            }
        }
        false
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        let socket = self.socket.as_ref().ok_or("the socket was never opened")?;
        let routes = match &self.plan.route {
            Some(route) => Routes::from(route.clone()),
            None => process.context().states.get::<Routes>().cloned().unwrap_or_default(),
        };
        worker::serve(
            process,
            &self.plan,
            socket.try_clone()?,
            routes,
            self.log.as_ref().map(LogFile::for_worker).transpose()?,
            self.names.clone(),
        )
    }

    fn close(&mut self) {
        self.socket = None;
    }
}
