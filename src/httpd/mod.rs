//! Serves HTTP: one listener per address, for all modules whose requests come over HTTP.
//!
//! ```text
//! settings.rs       the parameters that the HTTP modules share
//! serve.rs          the worker process: accept loop, deadlines, end
//! worker.rs         what the tasks of a worker process share
//! connection.rs     what one connection is doing, and how it is to be closed
//! connection_io.rs  reads and writes the bytes of a connection
//! exchange.rs       one request and the beginning of its reply
//! host.rs           the host name of a request
//! body.rs           the body of a request
//! reply.rs          the body of a reply
//! remaining.rs      the rest of a reply that takes several time slices
//! turns.rs          the queue for time slices
//! deferred.rs       deferred replies
//! memory.rs         the memory budget of requests and replies
//! access_log.rs     a line for each request
//! warnings.rs       how often warnings are logged
//! ```
//!
//! Knows no command and no syntax of a body: a [`Dialect`](crate::wire::http::Dialect) does. C:
//! modules/httpd, and the server `abyss` inside mi_xmlrpc.

mod access_log;
mod body;
mod connection;
mod connection_io;
mod deferred;
mod exchange;
mod host;
mod memory;
mod remaining;
mod reply;
mod serve;
pub mod settings;
mod turns;
mod warnings;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::module::{CounterName, OpenError, Process, RunUser, Service};
use crate::system::obstacle::{self, Obstacle, SockType};
use crate::system::{machine, tcp};
use crate::wire::http::{Route, Routes};
use access_log::AccessLog;
use host::AllowedHosts;

/// The longest body of a request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// The configuration of a listener.
#[derive(Debug)]
pub struct ListenerConfig {
    /// The module's name, for the log.
    pub module: &'static str,
    /// The process type that `ps` shows.
    pub description: String,
    /// The address to listen on.
    pub address: SocketAddr,
    /// The number of worker processes.
    pub workers: usize,
    /// The only route; `None` for the routes of all other modules.
    pub route: Option<Route>,
    /// The module's counters.
    pub counters: &'static [CounterName],
    /// The module parameters that set address and port, for messages.
    pub parameters: &'static str,
    /// The path of the access log and the owner of a new one; `None` for no log.
    pub log_file: Option<(PathBuf, RunUser)>,
    /// The host names that a request to a loopback address may have besides those of this machine.
    pub host_names: Vec<String>,
}

/// The HTTP service: one address, served by one or more worker processes.
#[derive(Debug)]
pub struct HttpListener {
    config: ListenerConfig,
    socket: Option<TcpListener>,
    access_log: Option<AccessLog>,
    hosts: AllowedHosts,
    /// The last error of creating the access log again, so that each error is logged once.
    last_error: Option<String>,
}

impl HttpListener {
    /// A listener whose socket is not open yet.
    #[must_use]
    pub fn new(config: ListenerConfig) -> HttpListener {
        HttpListener {
            config,
            socket: None,
            access_log: None,
            hosts: AllowedHosts::default(),
            last_error: None,
        }
    }

    fn listen_failed(&self, error: &io::Error) -> String {
        let ListenerConfig { address, parameters, .. } = &self.config;
        format!("cannot listen on {address}: {error}; choose another in {parameters}")
    }
}

impl Service for HttpListener {
    fn description(&self) -> &str {
        &self.config.description
    }

    fn workers(&self) -> usize {
        self.config.workers
    }

    fn shared_descriptors(&self) -> u64 {
        1 + u64::from(self.config.log_file.is_some())
    }

    fn descriptors(&self, inherited: u64) -> u64 {
        worker::needed_descriptors(inherited)
    }

    fn load_name(&self) -> Option<String> {
        Some(format!("tcp:{}", self.config.address))
    }

    fn obstacles(&self, root: &Path) -> Vec<(&'static str, Obstacle)> {
        let listen_failed = |error: &io::Error| self.listen_failed(error);
        let port = obstacle::to_address(self.config.address, SockType::Stream, listen_failed);
        let log = self
            .config
            .log_file
            .as_ref()
            .and_then(|(path, _)| obstacle::to_file(&obstacle::below(root, path)));
        let named =
            |name: &'static str, obstacle: Option<Obstacle>| obstacle.map(|obstacle| (name, obstacle));
        named("port", port).into_iter().chain(named("log_file", log)).collect()
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let address = self.config.address;
        let socket = tcp::listen(address).map_err(|error| self.listen_failed(&error))?;
        self.socket = Some(socket);
        if !address.ip().to_canonical().is_loopback() {
            log::warn!(
                target: self.config.module,
                "anyone who can reach {address} can run every command, including kill; unless a firewall prevents \
                 that, set ip to 127.0.0.1 and put a web server that asks for a password in front"
            );
        }
        let names = machine::names().into_iter().chain(self.config.host_names.iter().cloned()).collect();
        self.hosts = AllowedHosts { names, module: self.config.module };
        if let Some((path, owner)) = &self.config.log_file {
            self.access_log =
                Some(AccessLog::open(path, *owner).map_err(|error| format!("log_file {error}"))?);
        }
        Ok(())
    }

    /// Creates a moved access log again. The workers find the new file by themselves, so none is replaced.
    fn repair(&mut self) -> bool {
        match self.access_log.as_mut().map_or(Ok(()), AccessLog::recreate_if_moved) {
            Ok(()) => self.last_error = None,
            Err(error) => {
                let message = format!("log_file {error}");
                if self.last_error.as_ref() != Some(&message) {
                    log::error!(target: self.config.module, "{message}");
                    self.last_error = Some(message);
                }
            }
        }
        false
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        let socket = self.socket.as_ref().ok_or("the socket is not open")?;
        let routes = match &self.config.route {
            Some(route) => Routes::from(route.clone()),
            None => process.context().states.get::<Routes>().cloned().unwrap_or_default(),
        };
        serve::serve(
            process,
            &self.config,
            socket.try_clone()?,
            routes,
            self.access_log.as_ref().map(AccessLog::writer).transpose()?,
            self.hosts.clone(),
        )
    }

    fn close(&mut self) {
        self.socket = None;
    }
}
