//! Events for subscribers who have no room for them now, or who were not there a moment ago.
//!
//! A thread tries them again, so that neither a burst is lost for one who reads nor a dead or slow subscriber holds up
//! whoever raises an event: what goes to a socket in trouble is put here without a try, and leaves in its order. One
//! for each process, bounded; what waits when the process ends is lost. What another process raises meanwhile waits in its
//! own outbox until what came before has left or is dropped. C tries once and forgets.

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

/// What may wait in one process, in bytes. One socket may have as much as the [`SHARE`]th part of what is
/// free, so that those who hoard leave room for others.
const MAX_BYTES: usize = 8 << 20;

/// See [`MAX_BYTES`].
const SHARE: usize = 8;

/// What a message costs besides its bytes.
const ENTRY_BYTES: usize = 64;

/// Sockets in trouble that are remembered while nothing waits for them.
const MAX_TROUBLED: usize = 4096;

/// How long a message waits for room.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// How soon a full socket is tried again.
const FIRST_PAUSE: Duration = Duration::from_micros(200);

/// How long that pause gets.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How soon a socket is tried again at which nobody was.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What is counted of events, in the process's own cells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: Option<&'static AtomicU64>,
    pub(super) dropped: Option<&'static AtomicU64>,
}

impl Counters {
    pub(super) fn add(&self, sent: u64, dropped: u64) {
        for (cell, more) in [(self.sent, sent), (self.dropped, dropped)] {
            if let Some(cell) = cell.filter(|_| more > 0) {
                cell.fetch_add(more, Ordering::Relaxed);
            }
        }
    }
}

/// What waits, and the thread that sends it. The thread is made when it is needed first, and stays.
#[derive(Debug)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
    /// What the thread sends with, until there is a thread.
    idle: Option<(Vec<Box<dyn Sender>>, Counters)>,
    /// What waits here and in other processes.
    backlog: Backlog,
}

#[derive(Debug, Default)]
struct Shared {
    sockets: Mutex<Sockets>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sockets in trouble, by their names.
#[derive(Debug, Default)]
struct Sockets {
    all: HashMap<Box<[u8]>, Socket>,
    /// What waits for all of them.
    bytes: usize,
    /// Until when the thread sleeps; `None` for ever.
    wakes: Option<Instant>,
}

#[derive(Debug)]
struct Socket {
    /// The transport's position.
    transport: usize,
    address: Box<[u8]>,
    hash: SocketHash,
    /// The oldest first.
    waiting: VecDeque<Waiting>,
    /// What waits, with what the thread has taken to try.
    bytes: usize,
    next_try: Instant,
    pause: Duration,
}

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    /// Among those of all processes.
    order: u64,
    deadline: Instant,
    message: Arc<[u8]>,
}

/// What the thread has taken to try.
#[derive(Debug)]
struct Batch {
    name: Box<[u8]>,
    transport: usize,
    address: Box<[u8]>,
    hash: SocketHash,
    waiting: VecDeque<Waiting>,
}

/// A message that can be put in the outbox for several sockets.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    shared: Option<Arc<[u8]>>,
}

impl Message {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.shared = None;
    }

    fn shared(&mut self) -> Arc<[u8]> {
        Arc::clone(self.shared.get_or_insert_with(|| Arc::from(&self.bytes[..])))
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination<'a> {
    /// The socket's name, as it is listed.
    pub(super) name: &'a [u8],
    /// The transport's position.
    pub(super) transport: usize,
    pub(super) address: &'a [u8],
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Dropped,
    /// It waits, and is counted later.
    Waits,
}

impl Outbox {
    /// An empty one; the thread sends with `senders`, one for each transport.
    pub(super) fn new(senders: Vec<Box<dyn Sender>>, counters: Counters, backlog: Backlog) -> Outbox {
        Outbox { shared: Arc::default(), idle: Some((senders, counters)), backlog }
    }

    /// The outbox for one event, which goes to many. The thread waits meanwhile.
    pub(super) fn open(&mut self) -> Open<'_> {
        let Outbox { shared, idle, backlog } = self;
        let (sockets, now, any_elsewhere) = (shared.lock(), Instant::now(), backlog.any_elsewhere());
        Open { sockets, shared, idle, backlog: *backlog, any_elsewhere, now, wake: false }
    }
}

/// An outbox for one event.
pub(super) struct Open<'a> {
    sockets: MutexGuard<'a, Sockets>,
    shared: &'a Arc<Shared>,
    idle: &'a mut Option<(Vec<Box<dyn Sender>>, Counters)>,
    backlog: Backlog,
    /// Whether events wait in another process.
    any_elsewhere: bool,
    now: Instant,
    wake: bool,
}

impl Open<'_> {
    /// Sends a message by `send`, unless the socket is in trouble, here or in another process; then, and when there is no
    /// room, it waits here.
    pub(super) fn send(
        &mut self,
        to: Destination<'_>,
        message: &mut Message,
        send: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Fate {
        if !self.sockets.all.is_empty() && self.sockets.all.contains_key(to.name) {
            return self.put(to, message);
        }
        let is_elsewhere =
            self.any_elsewhere && self.backlog.oldest_elsewhere(SocketHash::of(to.name)).is_some();
        if is_elsewhere && self.has_thread() && self.sockets.trouble(to, self.now, FIRST_PAUSE) {
            return self.put(to, message);
        }
        let Err(error) = send(&message.bytes) else { return Fate::Sent };
        let is_full = error.kind() == ErrorKind::WouldBlock;
        let pause = if is_full { FIRST_PAUSE } else { AFTER_FAILURE };
        if self.has_thread() && self.sockets.trouble(to, self.now, pause) && is_full {
            return self.put(to, message);
        }
        complain(to.name, &error);
        Fate::Dropped
    }

    fn put(&mut self, to: Destination<'_>, message: &mut Message) -> Fate {
        let Sockets { all, bytes, wakes } = &mut *self.sockets;
        let Some(socket) = all.get_mut(to.name) else { return Fate::Dropped };
        let cost = message.bytes.len() + ENTRY_BYTES;
        if socket.bytes + cost > (MAX_BYTES - *bytes) / SHARE {
            complain(to.name, &ErrorKind::WouldBlock.into());
            return Fate::Dropped;
        }
        if *socket.address != *to.address {
            socket.address = to.address.into();
        }
        let order = self.backlog.next();
        if socket.bytes == 0 {
            self.backlog.set(socket.hash, order);
        }
        let deadline = self.now + KEPT_FOR;
        socket.waiting.push_back(Waiting { order, deadline, message: message.shared() });
        socket.bytes += cost;
        *bytes += cost;
        self.wake |= wakes.is_none_or(|wakes| socket.next_try < wakes);
        Fate::Waits
    }

    /// Makes the thread. False when there can be none; then nothing waits.
    fn has_thread(&mut self) -> bool {
        let Some((senders, counters)) = self.idle.take() else { return true };
        let (shared, backlog) = (Arc::clone(self.shared), self.backlog);
        let work = move || {
            // Signals are for the thread that serves.
            let _blocked = Blocked::new();
            serve(&shared, senders, counters, backlog);
        };
        let thread = std::thread::Builder::new().spawn(work);
        if let Err(error) = &thread {
            log::warn!("events for subscribers without room are dropped, there can be no thread: {error}");
        }
        thread.is_ok()
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.wake {
            self.shared.changed.notify_one();
        }
    }
}

impl Sockets {
    /// Remembers a socket in trouble. False when there are too many.
    fn trouble(&mut self, to: Destination<'_>, now: Instant, pause: Duration) -> bool {
        if self.all.len() >= MAX_TROUBLED {
            self.all.retain(|_, socket| socket.bytes > 0);
        }
        if self.all.len() >= MAX_TROUBLED {
            return false;
        }
        let socket = Socket {
            transport: to.transport,
            address: to.address.into(),
            hash: SocketHash::of(to.name),
            waiting: VecDeque::new(),
            bytes: 0,
            next_try: now + pause,
            pause,
        };
        self.all.insert(to.name.into(), socket);
        true
    }

    /// Takes what is due.
    fn take(&mut self, now: Instant) -> Vec<Batch> {
        let due =
            self.all.iter_mut().filter(|(_, socket)| !socket.waiting.is_empty() && socket.next_try <= now);
        due.map(|(name, socket)| Batch {
            name: name.clone(),
            transport: socket.transport,
            address: socket.address.clone(),
            hash: socket.hash,
            waiting: std::mem::take(&mut socket.waiting),
        })
        .collect()
    }

    /// Puts back what is left of a batch, before what came meanwhile; a socket that took all of it is in trouble no
    /// more.
    fn put_back(&mut self, batch: Batch, tried: &Tried, now: Instant, backlog: Backlog) {
        let Some(socket) = self.all.get_mut(&batch.name) else { return };
        self.bytes -= tried.bytes;
        socket.bytes -= tried.bytes;
        let mut waiting = batch.waiting;
        waiting.append(&mut socket.waiting);
        socket.waiting = waiting;
        match socket.waiting.front() {
            Some(oldest) => backlog.set(socket.hash, oldest.order),
            None => backlog.clear(socket.hash),
        }
        socket.pause = match tried.end {
            None => Duration::ZERO,
            Some(ErrorKind::WouldBlock) if tried.sent > 0 => FIRST_PAUSE,
            Some(ErrorKind::WouldBlock) => (socket.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
            Some(_) => AFTER_FAILURE,
        };
        socket.next_try = now + socket.pause;
        if tried.end.is_none() && socket.waiting.is_empty() {
            self.all.remove(&batch.name);
        }
    }

    /// When something is due next.
    fn next_try(&self) -> Option<Instant> {
        let waiting = self.all.values().filter(|socket| !socket.waiting.is_empty());
        waiting.map(|socket| socket.next_try).min()
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Tried {
    sent: u64,
    dropped: u64,
    /// What has left the outbox.
    bytes: usize,
    /// What came in the way of the rest.
    end: Option<ErrorKind>,
}

/// Sends as much of a batch as there is room for. When nobody is there all of it is dropped, and what has waited too
/// long for room is too.
fn try_again(batch: &mut Batch, sender: &mut dyn Sender, now: Instant, backlog: Backlog) -> Tried {
    let mut tried = Tried::default();
    while let Some(Waiting { order, deadline, message }) = batch.waiting.front() {
        if tried.end.is_none() {
            let is_behind = backlog.oldest_elsewhere(batch.hash).is_some_and(|oldest| oldest < *order);
            let sent = if is_behind {
                Err(ErrorKind::WouldBlock.into())
            } else {
                sender.send(message, &batch.address)
            };
            match sent {
                Ok(()) => tried.sent += 1,
                Err(error) => {
                    tried.end = Some(error.kind());
                    if error.kind() != ErrorKind::WouldBlock || *deadline <= now {
                        complain(&batch.name, &error);
                    }
                    continue;
                }
            }
        } else if tried.end == Some(ErrorKind::WouldBlock) && *deadline > now {
            break;
        } else {
            tried.dropped += 1;
        }
        tried.bytes += message.len() + ENTRY_BYTES;
        batch.waiting.pop_front();
    }
    tried
}

/// The thread's life.
fn serve(shared: &Shared, mut senders: Vec<Box<dyn Sender>>, counters: Counters, backlog: Backlog) {
    let mut sockets = shared.lock();
    loop {
        let now = Instant::now();
        let batches = sockets.take(now);
        if batches.is_empty() {
            sockets.wakes = sockets.next_try();
            sockets = match sockets.wakes {
                None => shared.changed.wait(sockets).unwrap_or_else(PoisonError::into_inner),
                Some(wakes) => {
                    let limit = wakes.saturating_duration_since(now);
                    let waited = shared.changed.wait_timeout(sockets, limit);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            continue;
        }
        drop(sockets);
        let mut done = Vec::with_capacity(batches.len());
        for mut batch in batches {
            let Some(sender) = senders.get_mut(batch.transport) else { continue };
            let tried = try_again(&mut batch, &mut **sender, now, backlog);
            counters.add(tried.sent, tried.dropped);
            done.push((batch, tried));
        }
        sockets = shared.lock();
        let now = Instant::now();
        for (batch, tried) in done {
            sockets.put_back(batch, &tried, now, backlog);
        }
    }
}

fn complain(socket: &[u8], error: &io::Error) {
    log::warn!(often = true; "an event to {} is dropped: {error}", Shown(socket));
}
