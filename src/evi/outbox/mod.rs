//! Keeps the messages that cannot be sent at once, and retries them in a thread.
//!
//! A full socket, or one without a receiver, is backlogged: further messages to it are queued here and leave
//! in their order. So a burst is not lost for a subscriber that reads, and a slow or dead subscriber does not
//! delay the process that raises an event. Each process has one outbox of limited size; queued messages are
//! lost when the process ends. A process queues messages to a socket also while older ones to it wait in
//! another process. C tries once and drops.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Sender;
use crate::logging::Shown;
use crate::shm::{Backlog, SocketHash};
use crate::system::signal::Blocked;

#[cfg(test)]
mod tests;

/// The most bytes that are queued in one process.
const MAX_QUEUED_BYTES: usize = 8 << 20;

/// A socket may queue this part of the free bytes, one n-th, so that slow subscribers leave room for others.
const SHARE_OF_FREE_BYTES: usize = 8;

/// Bytes that a queued message takes besides its own.
const OVERHEAD_BYTES: usize = 64;

/// The most backlogged sockets. Those without queued messages are forgotten first.
const MAX_BACKLOGGED: usize = 4096;

/// How long a message is kept while its socket is full.
const MAX_QUEUED_TIME: Duration = Duration::from_secs(2);

/// The pause before the first retry to a full socket. It doubles with each retry that sends nothing.
const FIRST_PAUSE: Duration = Duration::from_micros(200);

/// The longest pause between two retries to a full socket.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The pause after another error, such as a socket without a receiver.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// The cells of the process in the statistics of events; `None` when the statistics are not registered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventCounters {
    pub(super) sent: Option<&'static AtomicU64>,
    pub(super) dropped: Option<&'static AtomicU64>,
}

impl EventCounters {
    pub(super) fn add(&self, sent: u64, dropped: u64) {
        for (cell, more) in [(self.sent, sent), (self.dropped, dropped)] {
            if let Some(cell) = cell.filter(|_| more > 0) {
                cell.fetch_add(more, Ordering::Relaxed);
            }
        }
    }
}

/// The senders and the counters of the retry thread.
type ThreadParts = (Vec<Box<dyn Sender>>, EventCounters);

/// The queued messages of a process, and the thread that retries them. The thread is started for the first
/// queued message and lasts as long as the process.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Arc<OutboxQueue>,
    /// Taken when the thread is started.
    thread_parts: Option<ThreadParts>,
    /// Tells other processes which sockets are backlogged here, and shows which are there.
    backlog: Backlog,
}

/// The sockets that the process and its retry thread share.
#[derive(Debug, Default)]
struct OutboxQueue {
    sockets: Mutex<BackloggedSockets>,
    /// Notified when a message must be retried before the thread would wake up.
    changed: Condvar,
}

impl OutboxQueue {
    fn lock(&self) -> MutexGuard<'_, BackloggedSockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All backlogged sockets.
#[derive(Debug, Default)]
struct BackloggedSockets {
    by_name: HashMap<Box<[u8]>, BackloggedSocket>,
    /// Bytes of all queued messages, with their overhead.
    bytes: usize,
    /// When the thread wakes up by itself; `None` when it only waits for a notification.
    wakes_at: Option<Instant>,
}

#[derive(Debug)]
struct BackloggedSocket {
    /// The index of the transport.
    transport: usize,
    address: Box<[u8]>,
    hash: SocketHash,
    /// The oldest message first.
    queued: VecDeque<QueuedMessage>,
    /// Bytes of the queued messages and of those in the current batch, with their overhead.
    bytes: usize,
    next_try: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct QueuedMessage {
    /// The position among the queued messages of all processes.
    order: u64,
    deadline: Instant,
    message: Arc<[u8]>,
}

/// The messages to one socket that the thread has taken from the queue to retry them.
#[derive(Debug)]
struct RetryBatch {
    name: Box<[u8]>,
    transport: usize,
    address: Box<[u8]>,
    hash: SocketHash,
    messages: VecDeque<QueuedMessage>,
}

/// The message of an event. When it is queued for several sockets they share one copy.
#[derive(Debug, Default)]
pub(super) struct EncodedEvent {
    pub(super) bytes: Vec<u8>,
    shared: Option<Arc<[u8]>>,
}

impl EncodedEvent {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.shared = None;
    }

    fn shared(&mut self) -> Arc<[u8]> {
        Arc::clone(self.shared.get_or_insert_with(|| Arc::from(&self.bytes[..])))
    }
}

/// The socket that a message goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination<'a> {
    /// The socket as it is listed.
    pub(super) name: &'a [u8],
    /// The index of the transport.
    pub(super) transport: usize,
    pub(super) address: &'a [u8],
}

/// The outcome of sending a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendOutcome {
    Sent,
    Dropped,
    /// The thread retries it, and counts it later.
    Queued,
}

impl Outbox {
    /// An empty outbox. `senders` are for the thread, one for each transport.
    pub(super) fn new(senders: Vec<Box<dyn Sender>>, counters: EventCounters, backlog: Backlog) -> Outbox {
        Outbox { queue: Arc::default(), thread_parts: Some((senders, counters)), backlog }
    }

    /// Locks the outbox for the messages of one event. The thread waits meanwhile.
    pub(super) fn lock(&mut self) -> LockedOutbox<'_> {
        let Outbox { queue, thread_parts, backlog } = self;
        let (sockets, now) = (queue.lock(), Instant::now());
        let is_any_elsewhere = backlog.any_elsewhere();
        let backlog = *backlog;
        LockedOutbox { sockets, queue, thread_parts, backlog, is_any_elsewhere, now, must_notify: false }
    }
}

/// An outbox that is locked for the messages of one event.
pub(super) struct LockedOutbox<'a> {
    sockets: MutexGuard<'a, BackloggedSockets>,
    queue: &'a Arc<OutboxQueue>,
    thread_parts: &'a mut Option<ThreadParts>,
    backlog: Backlog,
    /// Messages are queued in another process.
    is_any_elsewhere: bool,
    now: Instant,
    /// The thread must be notified before it wakes up by itself.
    must_notify: bool,
}

impl LockedOutbox<'_> {
    /// Sends a message by `send`, or queues it when the socket is full or backlogged, here or in another
    /// process.
    pub(super) fn send(
        &mut self,
        destination: Destination<'_>,
        message: &mut EncodedEvent,
        send: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> SendOutcome {
        if !self.sockets.by_name.is_empty() && self.sockets.by_name.contains_key(destination.name) {
            return self.enqueue(destination, message);
        }
        let is_backlogged_elsewhere = self.is_any_elsewhere
            && self.backlog.oldest_elsewhere(SocketHash::of(destination.name)).is_some();
        if is_backlogged_elsewhere
            && self.ensure_thread()
            && self.sockets.add(destination, self.now, FIRST_PAUSE)
        {
            return self.enqueue(destination, message);
        }
        let Err(error) = send(&message.bytes) else { return SendOutcome::Sent };
        let is_full = error.kind() == ErrorKind::WouldBlock;
        let pause = if is_full { FIRST_PAUSE } else { PAUSE_AFTER_ERROR };
        if self.ensure_thread() && self.sockets.add(destination, self.now, pause) && is_full {
            return self.enqueue(destination, message);
        }
        log_dropped(destination.name, &error);
        SendOutcome::Dropped
    }

    /// Queues a message for a backlogged socket, or drops it when the socket has used up its share of memory.
    fn enqueue(&mut self, destination: Destination<'_>, message: &mut EncodedEvent) -> SendOutcome {
        let BackloggedSockets { by_name, bytes, wakes_at } = &mut *self.sockets;
        let Some(socket) = by_name.get_mut(destination.name) else { return SendOutcome::Dropped };
        let cost = message.bytes.len() + OVERHEAD_BYTES;
        if socket.bytes + cost > (MAX_QUEUED_BYTES - *bytes) / SHARE_OF_FREE_BYTES {
            log_dropped(destination.name, &ErrorKind::WouldBlock.into());
            return SendOutcome::Dropped;
        }
        if *socket.address != *destination.address {
            socket.address = destination.address.into();
        }
        let order = self.backlog.next();
        if socket.bytes == 0 {
            self.backlog.set(socket.hash, order);
        }
        let deadline = self.now + MAX_QUEUED_TIME;
        socket.queued.push_back(QueuedMessage { order, deadline, message: message.shared() });
        socket.bytes += cost;
        *bytes += cost;
        self.must_notify |= wakes_at.is_none_or(|wakes_at| socket.next_try < wakes_at);
        SendOutcome::Queued
    }

    /// Starts the thread if it does not run yet. False when it cannot be started; then nothing is queued.
    fn ensure_thread(&mut self) -> bool {
        let Some((senders, counters)) = self.thread_parts.take() else { return true };
        let (queue, backlog) = (Arc::clone(self.queue), self.backlog);
        let work = move || {
            // Only the main thread handles signals.
            let _blocked = Blocked::new();
            retry_forever(&queue, senders, counters, backlog);
        };
        let thread = std::thread::Builder::new().spawn(work);
        if let Err(error) = &thread {
            log::warn!("events for full sockets are dropped, as no thread can be started: {error}");
        }
        thread.is_ok()
    }
}

impl Drop for LockedOutbox<'_> {
    fn drop(&mut self) {
        if self.must_notify {
            self.queue.changed.notify_one();
        }
    }
}

impl BackloggedSockets {
    /// Adds a socket that is tried again after `pause`. False when there are too many.
    fn add(&mut self, destination: Destination<'_>, now: Instant, pause: Duration) -> bool {
        if self.by_name.len() >= MAX_BACKLOGGED {
            self.by_name.retain(|_, socket| socket.bytes > 0);
        }
        if self.by_name.len() >= MAX_BACKLOGGED {
            return false;
        }
        let socket = BackloggedSocket {
            transport: destination.transport,
            address: destination.address.into(),
            hash: SocketHash::of(destination.name),
            queued: VecDeque::new(),
            bytes: 0,
            next_try: now + pause,
            pause,
        };
        self.by_name.insert(destination.name.into(), socket);
        true
    }

    /// Takes the queued messages of all sockets whose next try is due.
    fn take_due(&mut self, now: Instant) -> Vec<RetryBatch> {
        let due =
            self.by_name.iter_mut().filter(|(_, socket)| !socket.queued.is_empty() && socket.next_try <= now);
        due.map(|(name, socket)| RetryBatch {
            name: name.clone(),
            transport: socket.transport,
            address: socket.address.clone(),
            hash: socket.hash,
            messages: std::mem::take(&mut socket.queued),
        })
        .collect()
    }

    /// Puts the unsent messages of a batch back, before those that were queued meanwhile. A socket that has
    /// taken all messages is no longer backlogged.
    fn put_back(&mut self, batch: RetryBatch, result: &RetryResult, now: Instant, backlog: Backlog) {
        let Some(socket) = self.by_name.get_mut(&batch.name) else { return };
        self.bytes -= result.removed_bytes;
        socket.bytes -= result.removed_bytes;
        let mut queued = batch.messages;
        queued.append(&mut socket.queued);
        socket.queued = queued;
        match socket.queued.front() {
            Some(oldest) => backlog.set(socket.hash, oldest.order),
            None => backlog.clear(socket.hash),
        }
        socket.pause = match result.error {
            None => Duration::ZERO,
            Some(ErrorKind::WouldBlock) if result.sent > 0 => FIRST_PAUSE,
            Some(ErrorKind::WouldBlock) => (socket.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
            Some(_) => PAUSE_AFTER_ERROR,
        };
        socket.next_try = now + socket.pause;
        if result.error.is_none() && socket.queued.is_empty() {
            self.by_name.remove(&batch.name);
        }
    }

    /// When the next try of any socket is due; `None` when nothing is queued.
    fn next_try(&self) -> Option<Instant> {
        let waiting = self.by_name.values().filter(|socket| !socket.queued.is_empty());
        waiting.map(|socket| socket.next_try).min()
    }
}

/// The outcome of retrying a batch.
#[derive(Debug, Default)]
struct RetryResult {
    sent: u64,
    dropped: u64,
    /// Bytes of the messages that were sent or dropped, with their overhead.
    removed_bytes: usize,
    /// The first error; `None` when all messages were sent.
    error: Option<ErrorKind>,
}

/// Sends the messages of a batch until the socket is full. Then drops those past their deadline; after
/// another error drops all.
fn retry(batch: &mut RetryBatch, sender: &mut dyn Sender, now: Instant, backlog: Backlog) -> RetryResult {
    let mut result = RetryResult::default();
    while let Some(QueuedMessage { order, deadline, message }) = batch.messages.front() {
        if result.error.is_none() {
            let oldest_elsewhere = backlog.oldest_elsewhere(batch.hash);
            let sent = if oldest_elsewhere.is_some_and(|oldest| oldest < *order) {
                Err(ErrorKind::WouldBlock.into())
            } else {
                sender.send(message, &batch.address)
            };
            match sent {
                Ok(()) => result.sent += 1,
                Err(error) => {
                    result.error = Some(error.kind());
                    if error.kind() != ErrorKind::WouldBlock || *deadline <= now {
                        log_dropped(&batch.name, &error);
                    }
                    continue;
                }
            }
        } else if result.error == Some(ErrorKind::WouldBlock) && *deadline > now {
            break;
        } else {
            result.dropped += 1;
        }
        result.removed_bytes += message.len() + OVERHEAD_BYTES;
        batch.messages.pop_front();
    }
    result
}

/// The loop of the retry thread.
fn retry_forever(
    queue: &OutboxQueue,
    mut senders: Vec<Box<dyn Sender>>,
    counters: EventCounters,
    backlog: Backlog,
) {
    let mut sockets = queue.lock();
    loop {
        let now = Instant::now();
        let batches = sockets.take_due(now);
        if batches.is_empty() {
            sockets.wakes_at = sockets.next_try();
            sockets = match sockets.wakes_at {
                None => queue.changed.wait(sockets).unwrap_or_else(PoisonError::into_inner),
                Some(wakes_at) => {
                    let limit = wakes_at.saturating_duration_since(now);
                    let waited = queue.changed.wait_timeout(sockets, limit);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            continue;
        }
        drop(sockets);
        let mut retried = Vec::with_capacity(batches.len());
        for mut batch in batches {
            let Some(sender) = senders.get_mut(batch.transport) else { continue };
            let result = retry(&mut batch, &mut **sender, now, backlog);
            counters.add(result.sent, result.dropped);
            retried.push((batch, result));
        }
        sockets = queue.lock();
        let now = Instant::now();
        for (batch, result) in retried {
            sockets.put_back(batch, &result, now, backlog);
        }
    }
}

fn log_dropped(socket: &[u8], error: &io::Error) {
    log::warn!(often = true; "an event to {} is dropped: {error}", Shown(socket));
}
