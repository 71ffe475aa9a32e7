//! Keeps what the tasks of a worker process share: its connections, its memory budget, its counters.
//!
//! A worker has one thread, and each connection is a task of its own, so no connection waits for another. A
//! command runs to its end, or to the end of a piece of its reply, before the next task has a turn.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{self, Poll};

use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::ListenerConfig;
use super::access_log::{AccessLogEntry, AccessLogWriter};
use super::connection::{Activity, Closing};
use super::deferred::DeferredReplies;
use super::host::AllowedHosts;
use super::memory::{MemoryBudget, MemoryKind};
use super::turns::Turns;
use super::warnings::WarningThrottles;
use crate::mi::Context;
use crate::module::{OpenError, PLAIN_DESCRIPTORS, Process, TransportCounter, TransportCounters};
use crate::shm::Slot;
use crate::system::memory;
use crate::wire::PIECE_BYTES;
use crate::wire::http::Routes;

/// Bytes of a reply that may wait to be sent before hyper asks for the next piece.
pub(super) const BUFFER_BYTES: usize = 64 << 10;

/// Bytes that a reply may have waiting even when the budget is used up: more than a reply of short pieces
/// needs.
pub(super) const SHORT_REPLY_BYTES: usize = BUFFER_BYTES + 2 * PIECE_BYTES;

/// The most bytes that are read from a socket at once. The buffer of a connection that waits for its next
/// request has at most twice as many.
const READ_BYTES: usize = 8 << 10;

/// When the connections use so many bytes less than at their peak, the worker gives free memory back to the
/// system.
const TRIM_BYTES: usize = 8 << 20;

/// Estimated bytes of a connection besides what counts against the memory budget.
const CONNECTION_BYTES: usize = 16 << 10;

/// File descriptors that connections leave for other uses.
const SPARE_DESCRIPTORS: u64 = 64;

/// The number of connections for which a worker must have descriptors.
const MIN_CONNECTIONS: u64 = 16;

/// The limit of connections of a worker, however many descriptors it may have.
const MAX_CONNECTIONS: u64 = 4096;

/// What the tasks of a worker process share.
pub(super) struct HttpWorker {
    pub(super) context: Rc<Context>,
    pub(super) routes: Routes,
    /// The module's name, for the log.
    pub(super) module: &'static str,
    slot: &'static Slot,
    pub(super) access_log: Option<AccessLogWriter>,
    pub(super) counters: TransportCounters,
    pub(super) warnings: WarningThrottles,
    /// The host names that a request to a loopback address may have.
    pub(super) hosts: AllowedHosts,
    pub(super) deferred: DeferredReplies,
    pub(super) memory: Rc<MemoryBudget>,
    /// The tick at which no client was slow enough to be disconnected for its memory, by [`MemoryKind`].
    /// Until the next tick [`make_room`](HttpWorker::make_room) does not search again.
    no_room_at: [Cell<Option<u32>>; 2],
    /// The most bytes that the connections have used since memory was last given back to the system.
    peak_bytes: Cell<usize>,
    pub(super) turns: Turns,
    /// The time in ticks. It stands still while there is no connection.
    pub(super) clock: Rc<Cell<u32>>,
    /// The open connections, by their numbers in the order in which they came.
    pub(super) connections: RefCell<BTreeMap<u64, OpenConnection>>,
    max_connections: usize,
    /// Notified when a connection is opened or closed.
    pub(super) connections_changed: Notify,
    /// All connections read into this buffer; each then copies its bytes.
    pub(super) read_buffer: RefCell<Box<[u8]>>,
}

/// An open connection.
pub(super) struct OpenConnection {
    pub(super) activity: Rc<Activity>,
    pub(super) stream: Rc<TcpStream>,
}

/// The number of descriptors that a worker needs, with those that it has from the attendant.
pub(super) fn needed_descriptors(inherited: u64) -> u64 {
    (inherited + PLAIN_DESCRIPTORS).max(SPARE_DESCRIPTORS) + MIN_CONNECTIONS
}

fn max_connections(descriptors: u64) -> u64 {
    descriptors.saturating_sub(SPARE_DESCRIPTORS).clamp(1, MAX_CONNECTIONS)
}

impl HttpWorker {
    /// A worker without connections. `descriptors` is the process's limit of open files.
    pub(super) fn new(
        process: &Process<'_>,
        config: &ListenerConfig,
        routes: Routes,
        access_log: Option<AccessLogWriter>,
        hosts: AllowedHosts,
        descriptors: u64,
    ) -> Result<HttpWorker, OpenError> {
        Ok(HttpWorker {
            context: process.shared_context(),
            routes,
            module: config.module,
            slot: process.slot(),
            access_log,
            counters: TransportCounters::find(process, config.counters)?,
            warnings: WarningThrottles::new(config.module),
            hosts,
            deferred: DeferredReplies::new(process.context()),
            memory: Rc::default(),
            no_room_at: Default::default(),
            peak_bytes: Cell::new(0),
            turns: Turns::default(),
            clock: Rc::default(),
            connections: RefCell::default(),
            max_connections: usize::try_from(max_connections(descriptors))?,
            connections_changed: Notify::new(),
            read_buffer: RefCell::new(vec![0; READ_BYTES].into()),
        })
    }

    /// Runs a part of a request; the process table shows the process as busy meanwhile.
    pub(super) fn while_busy<T>(&self, run: impl FnOnce(&HttpWorker) -> T) -> T {
        self.slot.set_busy(true);
        let result = run(self);
        self.slot.set_busy(false);
        result
    }

    /// Counts a request, and an error if the reply reports one.
    pub(super) fn count_request(&self, is_error: bool) {
        self.counters.count(TransportCounter::Requests);
        if is_error {
            self.count_error();
        }
    }

    /// Counts an error. Called alone when a reply reports an error after its request was counted.
    pub(super) fn count_error(&self) {
        self.counters.count(TransportCounter::Errors);
    }

    /// Counts a reply that was not sent completely, because its client is gone.
    pub(super) fn count_dropped_reply(&self) {
        self.counters.count(TransportCounter::DroppedReplies);
    }

    /// Writes a request to the access log, if there is one.
    pub(super) fn log_access(&self, entry: &AccessLogEntry<'_>) {
        if let Some(log) = &self.access_log
            && let Err(error) = log.write(entry)
        {
            self.warnings.log_failed.borrow_mut().warn(format_args!("cannot write to log_file: {error}"));
        }
    }

    /// Whether as many connections are open as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.connections.borrow().len() >= self.max_connections
    }

    /// Closes the connection that has been idle for the longest time. When none is idle, closes the one whose
    /// client has delayed its request for the longest time.
    pub(super) fn evict_connection(&self) {
        let connections = self.connections.borrow();
        let open =
            || connections.values().map(|held| &held.activity).filter(|it| it.closing() == Closing::No);
        // Of several of the same age the one that came first.
        let age = |since: u32| Reverse(self.clock.get().wrapping_sub(since));
        let idle = open().filter_map(|it| Some((it.idle_since()?, it))).min_by_key(|(since, _)| age(*since));
        let slow =
            open().filter_map(|it| Some((it.delaying_since()?, it))).min_by_key(|(since, _)| age(*since));
        let (effect, evicted) = match (idle, slow) {
            (Some((_, activity)), _) => {
                ("idle ones are closed for new ones", Some((activity, Closing::Evicted)))
            }
            (None, Some((_, activity))) => {
                ("slow ones are closed for new ones", Some((activity, Closing::TimedOut)))
            }
            (None, None) => ("new ones wait", None),
        };
        self.warnings
            .too_many_connections
            .borrow_mut()
            .warn(format_args!("{} connections are open, as many as can be; {effect}", self.max_connections));
        if let Some((activity, closing)) = evicted {
            if closing == Closing::TimedOut {
                self.counters.count(TransportCounter::Timeouts);
            }
            activity.close(closing);
        }
    }

    /// Sets how many bytes of a request's head count against the memory budget.
    pub(super) fn count_head(&self, activity: &Activity, bytes: usize) {
        let before = activity.counted_head_bytes().replace(bytes);
        if bytes > before {
            self.memory.take(MemoryKind::Request, activity.memory(), bytes - before);
        } else {
            self.memory.give_back(MemoryKind::Request, activity.memory(), before - bytes);
        }
    }

    /// Waits until the memory budget has room for another reply.
    pub(super) async fn wait_for_reply_room(&self) {
        poll_fn(|cx| self.poll_reply_room(cx)).await;
    }

    /// Polls [`wait_for_reply_room`](HttpWorker::wait_for_reply_room).
    pub(super) fn poll_reply_room(&self, cx: &task::Context<'_>) -> Poll<()> {
        if self.make_room(MemoryKind::Reply, 1) {
            return Poll::Ready(());
        }
        self.memory.wake_on_room(cx);
        Poll::Pending
    }

    /// Makes room in the memory budget for `bytes` more; false when there is none. Disconnects stalled
    /// clients until there is room: first those that hold more than a short reply takes, the longest stalled
    /// one first.
    pub(super) fn make_room(&self, kind: MemoryKind, bytes: usize) -> bool {
        let now = self.clock.get();
        while !self.memory.has_room(kind, bytes) {
            if self.no_room_at[kind as usize].get() == Some(now) {
                return false;
            }
            let users = match kind {
                MemoryKind::Request => "requests that are being sent",
                MemoryKind::Reply => "replies that nobody reads",
            };
            self.warnings.no_memory[kind as usize]
                .borrow_mut()
                .warn(format_args!("{users} take all the memory that they may; slow clients are let go"));
            let connections = self.connections.borrow();
            let open =
                connections.values().map(|held| &held.activity).filter(|it| it.closing() == Closing::No);
            let stalled = open.filter_map(|it| Some((it.memory().bytes(kind), it.stalled_since()?, it)));
            let age = |since: u32| Reverse(now.wrapping_sub(since));
            let longest = stalled
                .filter(|(held, ..)| *held > 0)
                .min_by_key(|(held, since, _)| (*held <= SHORT_REPLY_BYTES, age(*since)));
            let Some((_, _, activity)) = longest else {
                self.no_room_at[kind as usize].set(Some(now));
                return false;
            };
            self.counters.count(TransportCounter::Timeouts);
            self.memory.write_off(activity.memory());
            activity.close(Closing::TimedOut);
        }
        true
    }

    /// Gives free memory back to the system when the connections use much less than at their peak.
    pub(super) fn trim_memory(&self) {
        let bytes = self.memory.used() + CONNECTION_BYTES * self.connections.borrow().len();
        let peak = self.peak_bytes.get().max(bytes);
        self.peak_bytes.set(peak);
        if peak - bytes > TRIM_BYTES {
            memory::trim();
            self.peak_bytes.set(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_other_uses() {
        assert_eq!(max_connections(1024), 960);
        assert_eq!(max_connections(1 << 20), MAX_CONNECTIONS);
        assert_eq!(max_connections(10), 1);
        assert_eq!(max_connections(needed_descriptors(20)), MIN_CONNECTIONS);
    }
}
