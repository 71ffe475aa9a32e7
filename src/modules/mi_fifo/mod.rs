//! mi_fifo: MI over a FIFO, with a FIFO of its own for each client's replies.
//!
//! ```text
//! settings.rs   what modparam says
//! worker.rs     the one process's loop: read, serve, go on with what waits
//! answer.rs     one request in, one reply out
//! replies/      replies that cannot leave at once
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
use settings::Settings;

/// The module's counters.
const COUNTERS: [CounterName; 5] = [
    (TransportCounter::Requests, "fifo_requests"),
    (TransportCounter::Errors, "fifo_errors"),
    (TransportCounter::ParkedReplies, "fifo_parked_replies"),
    (TransportCounter::Timeouts, "fifo_timeouts"),
    (TransportCounter::DroppedReplies, "fifo_dropped_replies"),
];

/// Reply FIFOs that the process must be able to have open.
const LEAST_REPLIES: u64 = 16;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_fifo",
    parameters: settings::PARAMETERS,
    commands: &[],
    statistics: &TransportCounters::statistics(COUNTERS),
    events: &[],
    load: Some(|settings, identity| {
        let service = Fifos { settings: Settings::new(settings, identity)?, open: None, complaint: None };
        Ok(ModuleParts { service: Some(Box::new(service)), ..ModuleParts::default() })
    }),
};

/// The service: one FIFO, served by one process.
#[derive(Debug)]
struct Fifos {
    settings: Settings,
    open: Option<Open>,
    /// What was last said of a FIFO that is not ours any more, to say it once.
    complaint: Option<String>,
}

/// What the server has of its FIFO.
#[derive(Debug)]
struct Open {
    endpoint: Endpoint,
    /// Open for reading and writing, so that what clients write is kept while no worker lives.
    requests: File,
    /// What the worker has read and not served.
    ahead: ReadAhead,
    /// Replies that wait for their clients.
    parcels: Parcels,
}

impl Fifos {
    fn make(&self) -> Result<Open, OpenError> {
        let (requests, endpoint) = Endpoint::make_fifo(&self.settings.path, self.settings.access)?;
        let ahead = ReadAhead::create(MAX_REQUEST_BYTES)?;
        let parcels = Parcels::create(replies::MAX_PARCELS, replies::PARCEL_BYTES)?;
        Ok(Open { endpoint, requests, ahead, parcels })
    }

    /// Looks at the folder of the reply FIFOs. C: the checks in `mi_mod_init`.
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

    /// Says whom the kernel will keep out, whatever fifo_mode says.
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

    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            log::error!("{complaint}");
            self.complaint = Some(complaint);
        }
    }
}

impl Service for Fifos {
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
        inherited + PLAIN_DESCRIPTORS + LEAST_REPLIES
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
        self.open = Some(self.make()?);
        self.warn_of_protection();
        Ok(())
    }

    fn repair(&mut self) -> bool {
        let Some(open) = &self.open else { return false };
        match open.endpoint.presence() {
            Ok(Presence::Ours) => {
                self.complaint = None;
                return false;
            }
            Ok(Presence::Missing | Presence::Foreign) => {}
            Err(error) => {
                let path = open.endpoint.path();
                let (reason, path) = (presence::why_unseen(path, &error), path.display());
                self.complain(format!("{path}: cannot see whether the FIFO is still there: {reason}"));
                return false;
            }
        }
        // Also in the place of another FIFO that nobody reads; anything else is left alone.
        match self.make() {
            Ok(open) => {
                log::warn!("{}: had vanished and was made again", self.settings.path.display());
                self.open = Some(open);
                self.complaint = None;
                true
            }
            Err(error) => {
                self.complain(format!("cannot make a vanished FIFO again: {error}"));
                false
            }
        }
    }

    fn path(&self) -> Option<&Path> {
        self.open.as_ref().map(|open| open.endpoint.path())
    }

    fn run(&self, process: &Process<'_>) -> Result<(), OpenError> {
        let open = self.open.as_ref().ok_or("the FIFO was never opened")?;
        worker::Worker::new(process, &self.settings, open)?.serve();
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
