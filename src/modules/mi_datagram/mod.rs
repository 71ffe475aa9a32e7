//! Implements the module mi_datagram: MI over datagrams, on a UNIX socket or on UDP.
//!
//! ```text
//! settings.rs   reads the module's parameters
//! worker.rs     the loop of a worker: receives requests, sends replies
//! answer.rs     answers one request
//! long.rs       keeps requests that take several time slices
//! parked.rs     keeps replies whose clients do not read
//! ```
//!
//! C: modules/mi_datagram.

mod answer;
mod long;
mod parked;
mod settings;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::module::{
    CounterName, Module, ModuleParts, OpenError, Process, Service, TransportCounter, TransportCounters,
};
use crate::shm::Parcels;
use crate::system::datagram::Socket;
use crate::system::endpoint::{Endpoint, Kind};
use crate::system::obstacle::{self, Obstacle, SockType};
use crate::system::presence::{self, Presence};
use crate::system::send_pool::SendPool;
use settings::{DatagramSettings, ListenAddress};

/// The module's counters.
const COUNTERS: [CounterName; 7] = [
    (TransportCounter::Requests, "datagram_requests"),
    (TransportCounter::Errors, "datagram_errors"),
    (TransportCounter::ParkedReplies, "datagram_parked_replies"),
    (TransportCounter::Timeouts, "datagram_timeouts"),
    (TransportCounter::DroppedReplies, "datagram_dropped_replies"),
    (TransportCounter::UnreadDrops, "datagram_unread_drops"),
    (TransportCounter::Ignored, "datagram_ignored"),
];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_datagram",
    parameters: settings::PARAMETERS,
    commands: &[],
    statistics: &TransportCounters::statistics(COUNTERS),
    events: &[],
    load: Some(|settings, identity| {
        let service = DatagramService::new(DatagramSettings::new(settings, identity)?);
        Ok(ModuleParts { service: Some(Box::new(service)), ..ModuleParts::default() })
    }),
};

/// One socket, served by `children_count` worker processes.
#[derive(Debug)]
struct DatagramService {
    settings: DatagramSettings,
    socket: Option<Socket>,
    endpoint: Option<Endpoint>,
    /// Sends replies to UNIX clients. Stays the same when the endpoint is made again, so that the replies
    /// that clients have not read are counted on.
    pool: Option<Arc<SendPool>>,
    /// The parked replies of each worker, in shared memory.
    parcels: Vec<Parcels>,
    /// The last error about a missing or foreign endpoint, which is logged once.
    last_error: Option<String>,
}

impl DatagramService {
    fn new(settings: DatagramSettings) -> DatagramService {
        DatagramService {
            settings,
            socket: None,
            endpoint: None,
            pool: None,
            parcels: Vec::new(),
            last_error: None,
        }
    }

    fn log_once(&mut self, error: String) {
        if self.last_error.as_ref() != Some(&error) {
            log::error!("{error}");
            self.last_error = Some(error);
        }
    }
}

fn bind_failed(address: SocketAddr, error: &io::Error) -> String {
    format!("cannot bind udp:{address}: {error}; choose another address or port in socket_name")
}

impl Service for DatagramService {
    fn description(&self) -> &'static str {
        "MI Datagram"
    }

    fn workers(&self) -> usize {
        self.settings.workers
    }

    fn shared_descriptors(&self) -> u64 {
        match &self.settings.address {
            // When the pool cannot be sized, creating the pool fails, too.
            ListenAddress::Unix { .. } => 1 + SendPool::count(worker::UNREAD_BYTES).unwrap_or(0) as u64,
            ListenAddress::Udp(_) => 2,
        }
    }

    fn load_name(&self) -> Option<String> {
        Some(self.settings.address.to_string())
    }

    fn obstacles(&self, root: &Path) -> Vec<(&'static str, Obstacle)> {
        let found = match &self.settings.address {
            ListenAddress::Unix { path, .. } => {
                obstacle::to_endpoint(&obstacle::below(root, path), Kind::Socket)
            }
            ListenAddress::Udp(address) => {
                obstacle::to_address(*address, SockType::Datagram, |error| bind_failed(*address, error))
            }
        };
        found.map(|found| ("socket_name", found)).into_iter().collect()
    }

    fn open(&mut self) -> Result<(), OpenError> {
        while self.parcels.len() < self.settings.workers {
            self.parcels.push(Parcels::create(parked::MAX_REPLIES, parked::PARCEL_BYTES)?);
        }
        match &self.settings.address {
            ListenAddress::Unix { path, access } => {
                let (socket, endpoint) = Endpoint::bind(path, *access)?;
                socket.raise_send_buffer(worker::SEND_BUFFER_BYTES);
                if self.pool.is_none() {
                    self.pool = Some(SendPool::create(worker::UNREAD_BYTES)?);
                }
                self.socket = Some(socket);
                self.endpoint = Some(endpoint);
            }
            ListenAddress::Udp(address) => {
                let socket = Socket::udp_bound(*address).map_err(|error| bind_failed(*address, &error))?;
                self.socket = Some(socket);
                if !address.ip().to_canonical().is_loopback() {
                    log::warn!(
                        "anyone who can reach udp:{address} can run every command, including kill; unless a firewall \
                         prevents that, set socket_name to a UNIX socket or to udp:127.0.0.1:{}",
                        address.port()
                    );
                }
            }
        }
        Ok(())
    }

    fn repair(&mut self) -> bool {
        let Some(endpoint) = &self.endpoint else { return false };
        let path = endpoint.path().display().to_string();
        let presence = match endpoint.presence() {
            Ok(presence) => presence,
            Err(error) => {
                let reason = presence::why_unseen(endpoint.path(), &error);
                self.log_once(format!("{path}: cannot see whether the socket is still there: {reason}"));
                return false;
            }
        };
        match presence {
            Presence::Ours => {
                self.last_error = None;
                false
            }
            Presence::Foreign => {
                self.log_once(format!(
                    "{path}: is not our socket any more; remove what is there and it is made again"
                ));
                false
            }
            Presence::Missing => match self.open() {
                Ok(()) => {
                    log::warn!("{path}: had vanished and was made again");
                    self.last_error = None;
                    true
                }
                Err(error) => {
                    self.log_once(format!("cannot make a vanished socket again: {error}"));
                    false
                }
            },
        }
    }

    fn udp_socket(&self) -> Option<&Socket> {
        matches!(self.settings.address, ListenAddress::Udp(_)).then_some(self.socket.as_ref()).flatten()
    }

    fn path(&self) -> Option<&Path> {
        self.endpoint.as_ref().map(Endpoint::path)
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        let socket = self.socket.as_ref().ok_or("the socket was never opened")?;
        let parcels = self.parcels.get(process.number()).ok_or("the worker has no place for replies")?;
        worker::DatagramWorker::new(process, &self.settings, socket, self.pool.as_ref(), parcels)?.serve();
        Ok(())
    }

    fn close(&mut self) {
        self.socket = None;
        if let Some(endpoint) = self.endpoint.take()
            && let Err(error) = endpoint.remove()
        {
            log::warn!(
                "cannot remove {}: {error}; remove it as its folder's owner",
                endpoint.path().display()
            );
        }
    }
}
