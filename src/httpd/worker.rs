//! A process's loop: accept connections, close those that take too long, end in order.
//!
//! One thread. A connection is a task of its own, so none waits for another; a command runs to its end, or to the end
//! of a piece of its reply, before the next task has a turn. C: `httpd_proc` in httpd_proc.c.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::task::{self, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Plan;
use super::connection::{Activity, End, TICK};
use super::exchange::{self, Ends};
use super::host::Names;
use super::later::{self, Later};
use super::ledger::Ledger;
use super::log_file::{Entry, LogWriter};
use super::memory::{Kind, Memory};
use super::stream::{Io, Scratch, scratch};
use super::work::Turns;
use crate::mi::Context;
use crate::module::{OpenError, PLAIN_DESCRIPTORS, Process, TransportCounter, TransportCounters};
use crate::shm::Slot;
use crate::system::{memory, process, signal, tcp};
use crate::wire::PIECE_BYTES;
use crate::wire::http::Routes;

/// How long the head of a request may be, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How much of a reply waits before the next piece is asked for, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// What connections have had more than now, in bytes, for the rest to be given back to the system.
const TRIM_BYTES: usize = 8 << 20;

/// What a connection has in any case, in bytes, roughly.
const CONNECTION_BYTES: usize = 16 << 10;

/// What a reply may have waiting however much waits of others, in bytes: more than of one that comes in short pieces.
pub(super) const SHORT_BYTES: usize = BUFFER_BYTES + 2 * PIECE_BYTES;

/// Descriptors that are left for other things than connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// Connections that a process must be able to have.
const LEAST_CONNECTIONS: u64 = 16;

/// Connections of a process at most, whatever descriptors it may have.
const MAX_CONNECTIONS: u64 = 4096;

/// Pause after an error of accepting, so that one that stays does not take a whole core.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(100);

/// How long a worker that was told to stop goes on with the replies in hand.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// What the tasks of a process share.
pub(super) struct Worker {
    pub(super) context: Rc<Context>,
    pub(super) routes: Routes,
    /// For the log.
    pub(super) module: &'static str,
    slot: &'static Slot,
    log: Option<LogWriter>,
    counters: TransportCounters,
    ledger: Ledger,
    /// The names that a request may ask for on loopback.
    pub(super) names: Names,
    pub(super) later: Later,
    pub(super) memory: Rc<Memory>,
    /// Since when nobody can be let go for memory of each kind; that changes with the time.
    no_room_since: [Cell<Option<u32>>; 2],
    /// The most that the connections have had since memory was last given back, in bytes.
    peak_bytes: Cell<usize>,
    pub(super) turns: Turns,
    /// The time in ticks; it stands still while there is no connection.
    clock: Rc<Cell<u32>>,
    connections: RefCell<BTreeMap<u64, Held>>,
    max_connections: usize,
    /// Told when a connection has come or gone.
    changed: Notify,
    pub(super) scratch: Scratch,
}

/// A connection, as the worker sees it.
struct Held {
    activity: Rc<Activity>,
    stream: Rc<TcpStream>,
}

/// Serves until the process is told to stop, then answers what is in hand.
pub(super) fn serve(
    process: &Process<'_>,
    plan: &Plan,
    listener: TcpListener,
    routes: Routes,
    log: Option<LogWriter>,
    names: Names,
) -> Result<(), OpenError> {
    let wake = signal::wake_up()?;
    let descriptors = process::open_files()?;
    let worker = Rc::new(Worker {
        context: process.shared_context(),
        routes,
        module: plan.module,
        slot: process.slot(),
        log,
        counters: TransportCounters::find(process, plan.counters)?,
        ledger: Ledger::new(plan.module),
        names,
        later: Later::new(process.context()),
        memory: Rc::default(),
        no_room_since: Default::default(),
        peak_bytes: Cell::new(0),
        turns: Turns::default(),
        clock: Rc::default(),
        connections: RefCell::default(),
        max_connections: usize::try_from(max_connections(descriptors))?,
        changed: Notify::new(),
        scratch: scratch(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let wake = UnixStream::from_std(wake)?;
        if let Some(bell) = worker.later.bell()? {
            let worker = Rc::clone(&worker);
            spawn_local(async move {
                if let Err(error) = worker.later.listen(bell).await {
                    log::error!(target: worker.module, "replies that come later are lost: {error}");
                }
            });
        }
        process.set_ready();
        let accepting = spawn_local(Rc::clone(&worker).accept(listener));
        spawn_local(Rc::clone(&worker).watch());
        while !process.should_stop() {
            wake.readable().await?;
            let _emptied = wake.try_read(&mut [0; 64]);
        }
        accepting.abort();
        worker.drain().await;
        Ok(())
    })
}

/// How many descriptors a process must be able to have, with those that it has from the attendant.
pub(super) fn descriptors(inherited: u64) -> u64 {
    (inherited + PLAIN_DESCRIPTORS).max(SPARE_DESCRIPTORS) + LEAST_CONNECTIONS
}

fn max_connections(descriptors: u64) -> u64 {
    descriptors.saturating_sub(SPARE_DESCRIPTORS).clamp(1, MAX_CONNECTIONS)
}

impl Worker {
    /// Does what belongs to a request; the process counts as busy meanwhile.
    pub(super) fn busy<T>(&self, run: impl FnOnce(&Worker) -> T) -> T {
        self.slot.set_busy(true);
        let made = run(self);
        self.slot.set_busy(false);
        made
    }

    /// Counts a request.
    pub(super) fn note_request(&self, is_error: bool) {
        self.counters.count(TransportCounter::Requests);
        if is_error {
            self.counters.count(TransportCounter::Errors);
        }
    }

    /// Counts an error that shows after its request was counted.
    pub(super) fn note_error(&self) {
        self.counters.count(TransportCounter::Errors);
    }

    /// Writes a request to the log file, if there is one.
    pub(super) fn log(&self, entry: &Entry<'_>) {
        if let Some(log) = &self.log
            && let Err(error) = log.write(entry)
        {
            self.ledger.unwritable.borrow_mut().warn(format_args!("cannot write to log_file: {error}"));
        }
    }

    /// Counts a reply that was not sent to its end, as its client is gone.
    pub(super) fn note_dropped(&self) {
        self.counters.count(TransportCounter::DroppedReplies);
    }

    async fn accept(self: Rc<Worker>, listener: tokio::net::TcpListener) {
        let mut next = 0;
        loop {
            while self.is_full() {
                // What came with the last ones is answered before room is made.
                yield_now().await;
                yield_now().await;
                if self.is_full() {
                    self.make_room();
                    // Who can be closed later is found then.
                    let _told = timeout(TICK, self.changed.notified()).await;
                }
            }
            match listener.accept().await {
                Ok((stream, client)) => {
                    self.counters.count(TransportCounter::Connections);
                    // Counts at once, before its task has a turn: those that wait may come all at a time.
                    let activity = Rc::new(Activity::new(&self.clock));
                    let stream = Rc::new(stream);
                    let held = Held { activity: Rc::clone(&activity), stream: Rc::clone(&stream) };
                    self.connections.borrow_mut().insert(next, held);
                    self.changed.notify_waiters();
                    spawn_local(Rc::clone(&self).converse(stream, client.ip(), next, activity));
                    next += 1;
                }
                // Its client has ended it before it was accepted.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    self.ledger.unacceptable.borrow_mut().warn(format_args!(
                        "cannot accept a connection: {error}; raise open_files_limit if that stays"
                    ));
                    sleep(AFTER_ACCEPT_ERROR).await;
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.connections.borrow().len() >= self.max_connections
    }

    /// Closes the connection that has done nothing for the longest time. When each has a request in hand, the one
    /// whose client has held it up for the longest time.
    fn make_room(&self) {
        let connections = self.connections.borrow();
        let open = || connections.values().map(|held| &held.activity).filter(|it| it.ending() == End::NotYet);
        // Of several of the same age the first that came.
        let age = |since: u32| Reverse(self.clock.get().wrapping_sub(since));
        let spare =
            open().filter_map(|it| Some((it.spare_since()?, it))).min_by_key(|(since, _)| age(*since));
        let slow =
            open().filter_map(|it| Some((it.waiting_since()?, it))).min_by_key(|(since, _)| age(*since));
        let (effect, closed) = match (spare, slow) {
            (Some((_, activity)), _) => ("idle ones are closed for new ones", Some((activity, End::Evicted))),
            (None, Some((_, activity))) => ("slow ones are closed for new ones", Some((activity, End::Late))),
            (None, None) => ("new ones wait", None),
        };
        self.ledger
            .full
            .borrow_mut()
            .warn(format_args!("{} connections are open, as many as can be; {effect}", self.max_connections));
        if let Some((activity, end)) = closed {
            if end == End::Late {
                self.counters.count(TransportCounter::Timeouts);
            }
            activity.end(end);
        }
    }

    /// Has the head of a request have so many bytes of the memory.
    pub(super) fn count_head(&self, activity: &Activity, bytes: usize) {
        let before = activity.counted_head().replace(bytes);
        if bytes > before {
            self.memory.take(Kind::Request, activity, bytes - before);
        } else {
            self.memory.give_back(Kind::Request, activity, before - bytes);
        }
    }

    /// Waits until there is room for another reply.
    pub(super) async fn room(&self) {
        poll_fn(|cx| self.poll_room(cx)).await;
    }

    /// As [`room`](Worker::room).
    pub(super) fn poll_room(&self, cx: &task::Context<'_>) -> Poll<()> {
        if self.has_room(Kind::Reply, 1) {
            return Poll::Ready(());
        }
        self.memory.want(cx);
        Poll::Pending
    }

    /// Whether there are so many bytes more. Clients that neither send nor read make room, as many as must: first those
    /// who hold more than a short reply takes, and of these the one that has done nothing for the longest time.
    pub(super) fn has_room(&self, kind: Kind, more: usize) -> bool {
        let now = self.clock.get();
        while !self.memory.has_room(kind, more) {
            if self.no_room_since[kind as usize].get() == Some(now) {
                return false;
            }
            let held = match kind {
                Kind::Request => "requests that are being sent",
                Kind::Reply => "replies that nobody reads",
            };
            self.ledger.no_room[kind as usize]
                .borrow_mut()
                .warn(format_args!("{held} take all the memory that they may; slow clients are let go"));
            let connections = self.connections.borrow();
            let open =
                connections.values().map(|held| &held.activity).filter(|it| it.ending() == End::NotYet);
            let slow = open.filter_map(|it| Some((it.held(kind)?.get(), it.stalled_since()?, it)));
            let age = |since: u32| Reverse(now.wrapping_sub(since));
            let longest = slow
                .filter(|(bytes, ..)| *bytes > 0)
                .min_by_key(|(bytes, since, _)| (*bytes <= SHORT_BYTES, age(*since)));
            let Some((_, _, activity)) = longest else {
                self.no_room_since[kind as usize].set(Some(now));
                return false;
            };
            self.counters.count(TransportCounter::Timeouts);
            self.memory.write_off(activity);
            activity.end(End::Late);
        }
        true
    }

    /// Gives memory that connections do not have any more back to the system.
    fn trim(&self) {
        let bytes = self.memory.taken() + CONNECTION_BYTES * self.connections.borrow().len();
        let peak = self.peak_bytes.get().max(bytes);
        self.peak_bytes.set(peak);
        if peak - bytes > TRIM_BYTES {
            memory::trim();
            self.peak_bytes.set(bytes);
        }
    }

    /// One connection, from its first byte to its last.
    async fn converse(
        self: Rc<Worker>,
        stream: Rc<TcpStream>,
        client: IpAddr,
        id: u64,
        activity: Rc<Activity>,
    ) {
        // One that cannot be found out is taken for loopback, where less is allowed.
        let is_loopback = stream.local_addr().map_or(true, |own| own.ip().to_canonical().is_loopback());
        let ends = Ends { client, is_loopback };
        let io = Io::new(Rc::clone(&self), Rc::clone(&stream), Rc::clone(&activity));
        let service =
            service_fn(|request| exchange::answer(Rc::clone(&self), Rc::clone(&activity), ends, request));
        let connection = http1::Builder::new()
            .half_close(true)
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES)
            .max_header_size(MAX_HEAD_BYTES)
            .title_case_headers(true)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let mut is_told = false;
        poll_fn(|cx| {
            match activity.poll_end(cx) {
                End::NotYet => {}
                End::InOrder if is_told => {}
                End::InOrder => {
                    is_told = true;
                    connection.as_mut().graceful_shutdown();
                }
                End::Late | End::Evicted | End::Gone => return Poll::Ready(()),
            }
            connection.as_mut().poll(cx).map(|ended| {
                if let Err(error) = ended {
                    // What is no HTTP is answered before it gets to `exchange`.
                    if error.is_parse() {
                        self.note_request(true);
                    }
                    log::debug!(target: self.module, "a connection has ended: {error}");
                }
            })
        })
        .await;
        if activity.ending() == End::Late
            && activity.is_blocked()
            && let Err(error) = tcp::discard_unsent(&stream)
        {
            log::debug!(target: self.module, "a connection keeps what it did not send: {error}");
        }
        self.count_head(&activity, 0);
        self.connections.borrow_mut().remove(&id);
        self.changed.notify_waiters();
    }

    /// Lets the time pass and closes who takes too long.
    async fn watch(self: Rc<Worker>) {
        loop {
            while self.connections.borrow().is_empty() {
                self.changed.notified().await;
            }
            // Before the first request after a time without one, too.
            if let Some(log) = &self.log {
                log.follow();
            }
            sleep(TICK).await;
            self.clock.set(self.clock.get().wrapping_add(1));
            // Clients may be slow by now that were not before.
            self.memory.wake();
            self.trim();
            let connections = self.connections.borrow();
            let mut open_sockets = None;
            for Held { activity, stream } in connections.values() {
                if activity.ending() != End::NotYet {
                    continue;
                }
                if activity.is_deferred().get() && later::has_left(stream, &mut open_sockets) {
                    self.note_dropped();
                    activity.end(End::Gone);
                    continue;
                }
                if activity.is_blocked()
                    && let Ok(bytes) = tcp::unsent(stream)
                {
                    activity.note_unsent(bytes);
                }
                if !activity.is_late() {
                    continue;
                }
                if !activity.is_punctual() {
                    self.counters.count(TransportCounter::Timeouts);
                    let mut late = self.ledger.late.borrow_mut();
                    late.warn(format_args!("a connection is closed: its client sends or reads nothing"));
                }
                activity.end(End::Late);
            }
        }
    }

    /// Requests that have arrived are answered; replies in hand get a last chance, idle connections end.
    async fn drain(&self) {
        let deadline = Instant::now() + DRAIN_TIME;
        // What has arrived is looked at in the turn after this one, and answered in the next.
        yield_now().await;
        yield_now().await;
        self.connections.borrow().values().for_each(|held| held.activity.end(End::InOrder));
        while !self.connections.borrow().is_empty() {
            if timeout_at(deadline, self.changed.notified()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(max_connections(1024), 960);
        assert_eq!(max_connections(1 << 20), MAX_CONNECTIONS);
        assert_eq!(max_connections(10), 1);
        assert_eq!(max_connections(descriptors(20)), LEAST_CONNECTIONS);
    }
}
