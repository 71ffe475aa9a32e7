//! Implements the module mi_fifo: MI over a FIFO, with a reply FIFO of each client.
//!
//! ```text
//! settings.rs   reads the module's parameters
//! worker.rs     the loop of the worker: reads requests, sends replies
//! answer.rs     answers one request
//! replies/      keeps replies that are not completely sent
//! ```
//!
//! C: modules/mi_fifo.

mod answer;
mod replies;
mod settings;
mod worker;

use std::fs::File;
use std::path::Path;

use crate::module::{
    CounterName, Module, ModuleParts, OpenError, PLAIN_DESCRIPTORS, Process, Service, TransportCounter,
    TransportCounters,
};
use crate::shm::{Parcels, ReadAhead};
use crate::system::endpoint::{self, Endpoint, Kind};
use crate::system::obstacle::{self, Obstacle};
use crate::system::presence::{self, Presence};
use crate::system::{fifo, user};
use crate::wire::frame::MAX_REQUEST_BYTES;
use settings::FifoSettings;

/// The module's counters.
const COUNTERS: [CounterName; 5] = [
    (TransportCounter::Requests, "fifo_requests"),
    (TransportCounter::Errors, "fifo_errors"),
    (TransportCounter::ParkedReplies, "fifo_parked_replies"),
    (TransportCounter::Timeouts, "fifo_timeouts"),
    (TransportCounter::DroppedReplies, "fifo_dropped_replies"),
];

/// The number of reply FIFOs that the worker must be able to have open.
const MIN_OPEN_REPLIES: u64 = 16;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_fifo",
    parameters: settings::PARAMETERS,
    commands: &[],
    statistics: &TransportCounters::statistics(COUNTERS),
    events: &[],
    load: Some(|settings, identity| {
        let service =
            FifoService { settings: FifoSettings::new(settings, identity)?, open: None, last_error: None };
        Ok(ModuleParts { service: Some(Box::new(service)), ..ModuleParts::default() })
    }),
};

/// One FIFO, served by one worker process.
#[derive(Debug)]
struct FifoService {
    settings: FifoSettings,
    open: Option<OpenedFifo>,
    /// The last error about a missing or foreign FIFO, which is logged once.
    last_error: Option<String>,
}

/// The FIFO, and what its worker keeps in shared memory for a successor.
#[derive(Debug)]
struct OpenedFifo {
    endpoint: Endpoint,
    /// The FIFO, open for reading and writing, so that the kernel keeps what clients write while there is no
    /// worker.
    requests: File,
    /// The bytes that the worker has read, and whose requests have not run.
    ahead: ReadAhead,
    /// Replies of which nothing is sent.
    parcels: Parcels,
}

impl FifoService {
    fn make_fifo(&self) -> Result<OpenedFifo, OpenError> {
        let (requests, endpoint) = Endpoint::make_fifo(&self.settings.path, self.settings.access)?;
        let ahead = ReadAhead::create(MAX_REQUEST_BYTES)?;
        let parcels = Parcels::create(replies::MAX_PARCELS, replies::PARCEL_BYTES)?;
        Ok(OpenedFifo { endpoint, requests, ahead, parcels })
    }

    /// Checks the folder of the reply FIFOs. C: `mi_mod_init`.
    fn check_reply_dir(&self) -> Result<(), OpenError> {
        let (name, folder) = (self.settings.reply_dir.display(), self.settings.reply_folder());
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(format!("reply_dir {name}: there is no folder {folder}; make it first").into());
        }
        if !self.settings.ends_in_slash() && self.settings.reply_dir.is_dir() {
            log::warn!(
                "reply_dir {name} has no slash at its end: the reply FIFO x will be {name}x; write {name}/"
            );
        }
        Ok(())
    }

    /// Logs which users cannot open the FIFO because of `fs.protected_fifos`, in spite of `fifo_mode`.
    fn warn_of_protection(&self) {
        let path = &self.settings.path;
        if let Some(setting) = fifo::protection(path) {
            let owner = self.settings.access.uid.unwrap_or_else(user::effective_user);
            log::warn!(
                "{}: is in a sticky folder, and fs.protected_fifos is {setting}: whoever is not user {}, root \
                 neither, gets \"Permission denied\" on opening it by a shell's '>', as opensipsctl does; set fifo_name \
                 to a path in a folder of its own, e.g. /run/opensips/opensips_fifo, or run sysctl \
                 fs.protected_fifos=0",
                path.display(),
                user::user_name(owner)
            );
        }
    }

    fn log_once(&mut self, error: String) {
        if self.last_error.as_ref() != Some(&error) {
            log::error!("{error}");
            self.last_error = Some(error);
        }
    }
}

impl Service for FifoService {
    fn description(&self) -> &'static str {
        "MI FIFO"
    }

    fn workers(&self) -> usize {
        1
    }

    fn shared_descriptors(&self) -> u64 {
        1
    }

    fn descriptors(&self, inherited: u64) -> u64 {
        inherited + PLAIN_DESCRIPTORS + MIN_OPEN_REPLIES
    }

    fn load_name(&self) -> Option<String> {
        Some(format!("fifo:{}", self.settings.path.display()))
    }

    fn obstacles(&self, root: &Path) -> Vec<(&'static str, Obstacle)> {
        let fifo = obstacle::to_endpoint(&obstacle::below(root, &self.settings.path), Kind::Fifo);
        let replies = obstacle::to_folder(&obstacle::below(root, self.settings.reply_folder()));
        let named = |name: &'static str, found: Option<Obstacle>| found.map(|found| (name, found));
        named("fifo_name", fifo).into_iter().chain(named("reply_dir", replies)).collect()
    }

    fn open(&mut self) -> Result<(), OpenError> {
        self.check_reply_dir()?;
        self.open = Some(self.make_fifo()?);
        self.warn_of_protection();
        Ok(())
    }

    fn repair(&mut self) -> bool {
        let Some(open) = &self.open else { return false };
        match open.endpoint.presence() {
            Ok(Presence::Ours) => {
                self.last_error = None;
                return false;
            }
            Ok(Presence::Missing | Presence::Foreign) => {}
            Err(error) => {
                let path = open.endpoint.path();
                let (reason, path) = (presence::why_unseen(path, &error), path.display());
                self.log_once(format!("{path}: cannot see whether the FIFO is still there: {reason}"));
                return false;
            }
        }
        // A foreign FIFO that no process reads is replaced. Any other foreign file is an error.
        match self.make_fifo() {
            Ok(open) => {
                log::warn!("{}: had vanished and was made again", self.settings.path.display());
                self.open = Some(open);
                self.last_error = None;
                true
            }
            Err(error) => {
                self.log_once(format!("cannot make a vanished FIFO again: {error}"));
                false
            }
        }
    }

    fn path(&self) -> Option<&Path> {
        self.open.as_ref().map(|open| open.endpoint.path())
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        let open = self.open.as_ref().ok_or("the FIFO was never opened")?;
        worker::FifoWorker::new(process, &self.settings, open)?.serve();
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take()
            && let Err(error) = open.endpoint.remove()
        {
            let path = open.endpoint.path();
            let folder = endpoint::folder(path).display();
            log::warn!("cannot remove {}: {error}; remove it as the owner of {folder}", path.display());
        }
    }
}
