//! Defers replies: a command may return before its reply is known, and any process gives the reply later.
//!
//! The row of such a command holds its function in a [`Deferrable`]. The function gets the number of a
//! pending request before it runs. It may hand the number to another process, and whichever process has the
//! number gives the reply by [`StoredReply::answer`]. [`crate::shm::pending`] keeps the pending requests. C:
//! `MI_ASYNC_RPL_FLAG` and `struct mi_handler` in mi/mi.h.

use super::command::{Call, CommandFunction, Delivery};
use super::reply::{Progress, Reply, Rest};
use super::snapshot::{Snapshot, SnapshotWriter};
use super::statistics::Statistic;
use super::status::{SERVER_ERROR, Status};
use crate::shm::PendingRequests;
use crate::shm::pending::{NewPending, NewPendingError, NotPending};

/// The reply to a request that is still pending after `mi_reply_timeout`.
const REPLY_TIMEOUT: Status = Status::new(408, "Reply timeout");

/// The reply to a request beyond [`MAX_PENDING`](crate::shm::pending::MAX_PENDING).
const TOO_MANY_PENDING: Status = Status::new(503, "Too many pending replies");

/// The reply to a request that is pending when the server stops, or that comes after that.
const SERVER_STOPPING: Status = Status::new(503, "Server is stopping");

/// The reply to a request of a batch whose command may defer its reply.
const NOT_IN_BATCH: Status = Status::new(500, "This command answers later, call it alone");

/// The statistics of pending requests. Registered when a command may defer its reply.
pub const STATISTICS: [Statistic; 2] = [
    Statistic::function("mi", "pending_replies", &|context| context.pending.count()),
    Statistic::counter("mi", TIMEOUTS),
];

/// The statistic, in the group `mi`, of pending requests that timed out.
pub const TIMEOUTS: &str = "pending_timeouts";

/// When a command gives its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The command has written the reply.
    Now,
    /// A process that has the number of the pending request gives the reply.
    Deferred,
}

/// The function of a command that may defer its reply. The function gets the number of the pending request,
/// which is valid only when the function returns [`Timing::Deferred`].
#[derive(Debug)]
pub struct Deferrable<F>(pub F);

impl<F: Fn(&mut Call<'_>, u64) -> Result<Timing, Status> + Sync> CommandFunction for Deferrable<F> {
    fn run(&self, call: &mut Call<'_>) -> Result<(), Status> {
        let slot = call.context.slot;
        let (slot, address, envelope) = match call.delivery {
            Delivery::Waiting { envelope } => (Some(slot), call.caller.address, envelope),
            Delivery::Discarded => (None, &[][..], &[][..]),
            Delivery::InBatch => return Err(NOT_IN_BATCH),
        };
        let request = NewPending { slot, command: call.name, address, envelope };
        let number = call.context.pending.add(&request).map_err(|error| {
            log::warn!(often = true; "{} is not run: {error}", call.name);
            match error {
                NewPendingError::TooMany => TOO_MANY_PENDING,
                NewPendingError::Stopping => SERVER_STOPPING,
                NewPendingError::Full(full) => SERVER_ERROR.with_cause(full),
            }
        })?;
        let timing = (self.0)(call, number);
        if timing == Ok(Timing::Deferred) {
            call.deferred = Some(number);
        } else {
            call.context.pending.remove(number);
        }
        timing.map(|_| ())
    }

    fn may_defer(&self) -> bool {
        true
    }
}

/// A complete reply: code, reason and nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReply {
    status: Status,
    nodes: Snapshot,
}

impl From<Status> for StoredReply {
    /// A reply without nodes.
    fn from(status: Status) -> StoredReply {
        StoredReply { status, nodes: Snapshot::default() }
    }
}

impl From<Snapshot> for StoredReply {
    /// `200 OK` with these nodes.
    fn from(nodes: Snapshot) -> StoredReply {
        StoredReply { status: Status::new(200, "OK"), nodes }
    }
}

impl StoredReply {
    /// A reply with this code and reason, and these nodes.
    #[must_use]
    pub fn new(status: Status, nodes: Snapshot) -> StoredReply {
        StoredReply { status, nodes }
    }

    /// Writes the reply as a command does. Returns the rest of a long reply.
    ///
    /// # Errors
    /// The code and reason of the reply, when they are an error to the caller: in JSON-RPC any code but 2xx
    /// is one. Without nodes, anything but `200 OK` is one.
    pub fn write(self, reply: &mut dyn Reply) -> Result<Option<Rest>, Status> {
        let StoredReply { status, nodes } = self;
        let is_ok = status.code == 200 && status.reason == "OK";
        if reply.is_json() && status.code / 100 != 2 || nodes.is_empty() && !is_ok {
            return Err(status);
        }
        if !reply.is_json() && !is_ok {
            reply.status(&status);
        }
        let mut writer = SnapshotWriter::new(nodes);
        let progress = writer.write_piece(reply);
        Ok((progress == Progress::More)
            .then(|| Rest::of_reply(move |_, reply| Ok(writer.write_piece(reply)))))
    }

    /// Answers the pending request of that number with this reply. Any process may call it.
    ///
    /// # Errors
    /// [`NotPending`]
    pub fn answer(&self, pending: &PendingRequests, number: u64) -> Result<(), NotPending> {
        pending.answer(number, &self.to_bytes(), &StoredReply::from(SERVER_ERROR).to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.status.code.to_le_bytes().to_vec();
        // A reason is one line, so its length fits.
        let reason = self.status.reason.as_bytes();
        bytes.extend(u32::try_from(reason.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(reason);
        self.nodes.write(&mut bytes);
        bytes
    }

    /// Decodes the bytes that [`answer`](StoredReply::answer) has stored. Other bytes decode to
    /// `500 Server Internal Error`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> StoredReply {
        let read = || {
            let (code, rest) = bytes.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (reason, rest) = rest.split_at_checked(length)?;
            let reason = String::from_utf8_lossy(reason);
            let status = match (i32::from_le_bytes(*code), &*reason) {
                (200, "OK") => Status::new(200, "OK"),
                (code, reason) => Status::formatted(code, reason),
            };
            Some(StoredReply { status, nodes: Snapshot::read(rest)? })
        };
        read().unwrap_or_else(|| StoredReply::from(SERVER_ERROR))
    }
}

/// Answers the pending requests that have timed out, and returns their number. The attendant calls it every
/// second.
pub fn answer_overdue(pending: &PendingRequests) -> usize {
    let commands = pending.sweep(&StoredReply::from(REPLY_TIMEOUT).to_bytes());
    commands.iter().for_each(|command| log::warn!(often = true; "{command}: no process has replied in time"));
    commands.len()
}

/// Answers all pending requests, and refuses new ones. The attendant calls it when the server stops.
pub fn answer_all_pending(pending: &PendingRequests) {
    let count = pending.stop(&StoredReply::from(SERVER_STOPPING).to_bytes());
    if count > 0 {
        log::warn!(
            "{count} deferred replies are missing; their clients get {} {}",
            SERVER_STOPPING.code,
            SERVER_STOPPING.reason
        );
    }
}

#[cfg(test)]
mod tests;
