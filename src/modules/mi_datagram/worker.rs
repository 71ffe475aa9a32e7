//! A worker's loop: receive, answer, deliver.
//!
//! The plain blocking loop: two system calls a request and nothing else, until a client does not read. Only
//! while replies are parked does the worker look at the clock between requests, and only while some are to come later
//! does it wait for two things at once. C: `mi_datagram_server` and `mi_send_dgram` in datagram_fnc.c.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::GROUP;
use super::answer::Answerer;
use super::parked::{Doors, Gone, Outcome, Parked};
use super::settings::Settings;
use crate::logging::Throttle;
use crate::module::{OpenError, Process};
use crate::shm::Inbox;
use crate::system::datagram::{Peer, Socket, Wait};
use crate::system::send_pool::{PoolSender, SendPool, UnreadLimit};
use crate::wire::{MAX_DATAGRAM_BYTES, json_rpc};

/// What clients may leave unread, over all workers, in bytes with the kernel's overhead; connected clients have
/// [`SEND_BUFFER_BYTES`].
pub(super) const UNREAD_BYTES: usize = 32 << 20;

/// Send buffer wanted for the bound socket, which all connected clients share, in bytes. The kernel doubles it.
pub(super) const SEND_BUFFER_BYTES: usize = 8 << 20;

/// Pause after an error that is not the client's doing, so that one that stays does not take a whole core.
const AFTER_RECEIVE_ERROR: Duration = Duration::from_millis(10);

/// How long a worker that was told to stop goes on answering what is queued.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// One worker process.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    process: &'a Process<'a>,
    answerer: Answerer<'a>,
    delivery: Delivery<'a>,
    inbox: Inbox,
    request: Vec<u8>,
}

impl<'a> Worker<'a> {
    /// Gets everything that serving needs.
    pub(super) fn new(
        process: &'a Process<'a>,
        settings: &'a Settings,
        bound: &'a Socket,
        pool: Option<&Arc<SendPool>>,
    ) -> Result<Worker<'a>, OpenError> {
        let pool = pool.map(|pool| PoolSender::new(Arc::clone(pool), process.number()));
        let doors = Doors { bound, pool };
        Ok(Worker {
            process,
            answerer: Answerer::new(process.context(), &settings.indent),
            delivery: Delivery {
                doors,
                parked: Parked::new(settings.timeout),
                counters: Counters::find(process)?,
                receive_failed: Throttle::new(module_path!()),
                undeliverable: Throttle::new(module_path!()),
            },
            inbox: Inbox::new(process.context().pending, process.context().slot),
            request: vec![0; MAX_DATAGRAM_BYTES],
        })
    }

    /// Serves until the process is told to stop, then answers what is queued already.
    pub(super) fn serve(mut self) {
        self.process.set_ready();
        let mut peer = Peer::new();
        while !self.process.should_stop() {
            self.deliver_later();
            match self.receive(&mut peer) {
                Ok(length) => self.handle(length, &peer),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => {
                    self.delivery.report_receive_error(&error);
                    std::thread::sleep(AFTER_RECEIVE_ERROR);
                }
            }
            if !self.delivery.parked.is_empty() {
                self.delivery.retry_when_due();
            }
        }
        self.drain();
    }

    /// The plain call, unless there is something else to be done meanwhile.
    fn receive(&mut self, peer: &mut Peer) -> io::Result<usize> {
        let Delivery { doors, parked, .. } = &self.delivery;
        let bell = self.inbox.bell().filter(|_| !self.inbox.is_empty());
        let pause = (!parked.is_empty()).then(|| parked.pause());
        if pause.is_none() && bell.is_none() {
            return doors.bound.receive(&mut self.request, peer, Wait::Forever);
        }
        doors.bound.wait(bell, pause)?;
        doors.bound.receive(&mut self.request, peer, Wait::No)
    }

    /// Sends replies that come later, of those that have come.
    fn deliver_later(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        self.inbox.listen();
        while let Some(due) = self.inbox.take(|address| !self.delivery.is_parked(address), |_| ()) {
            self.process.set_busy(true);
            let answer = self.answerer.tell(&due);
            if answer.is_error {
                count(self.delivery.counters.errors);
            }
            if let Some(peer) = Peer::from_bytes(&due.address) {
                self.delivery.deliver(answer.bytes, &peer);
            }
            self.process.set_busy(false);
        }
    }

    fn handle(&mut self, length: usize, peer: &Peer) {
        if length == 0 {
            return; // C ignores an empty datagram, and clients use one to look whether somebody is there.
        }
        let request = &self.request[..length.min(MAX_DATAGRAM_BYTES)];
        // Differs: C answers whatever comes over UDP. The reply to a datagram with a forged sender reaches a server again,
        // which answers it, and so on for ever. So nothing that a server sends is answered there.
        let is_udp = self.delivery.doors.pool.is_none();
        if is_udp && !is_request(request) {
            return count(self.delivery.counters.ignored);
        }
        self.process.set_busy(true);
        let answer = self.answerer.answer(request, length, peer.as_bytes());
        if is_udp && answer.is_error && json_rpc::is_reply(request) {
            self.process.set_busy(false);
            return count(self.delivery.counters.ignored);
        }
        answer.later.into_iter().for_each(|number| self.inbox.expect(number));
        count(self.delivery.counters.requests);
        if answer.is_error {
            count(self.delivery.counters.errors);
        }
        if !answer.bytes.is_empty() {
            self.delivery.deliver(answer.bytes, peer);
        }
        self.process.set_busy(false);
    }

    /// Requests that had arrived before the stop are answered too, and parked replies get a last chance.
    fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_TIME;
        let mut peer = Peer::new();
        while Instant::now() < deadline {
            self.deliver_later();
            match self.delivery.doors.bound.receive(&mut self.request, &mut peer, Wait::No) {
                Ok(length) => self.handle(length, &peer),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if self.delivery.parked.is_empty() => return,
                Err(_) => {
                    // A signal may end the pause early, which does no harm.
                    let _paused = self.delivery.doors.bound.wait(None, Some(self.delivery.parked.pause()));
                    self.delivery.retry_when_due();
                }
            }
        }
    }
}

/// Whether a datagram is meant as a request, and answered at least with an error.
fn is_request(datagram: &[u8]) -> bool {
    datagram.starts_with(b":") || json_rpc::is_json(datagram)
}

/// The worker's own cells of the module's statistics.
#[derive(Clone, Copy, Debug)]
struct Counters {
    requests: &'static AtomicU64,
    errors: &'static AtomicU64,
    parked: &'static AtomicU64,
    timeouts: &'static AtomicU64,
    dropped: &'static AtomicU64,
    unread_drops: &'static AtomicU64,
    ignored: &'static AtomicU64,
}

impl Counters {
    fn find(process: &Process<'_>) -> Result<Counters, OpenError> {
        let cell =
            |name: &str| process.counter(GROUP, name).ok_or(format!("statistic {GROUP}:{name} is missing"));
        Ok(Counters {
            requests: cell("datagram_requests")?,
            errors: cell("datagram_errors")?,
            parked: cell("datagram_parked_replies")?,
            timeouts: cell("datagram_timeouts")?,
            dropped: cell("datagram_dropped_replies")?,
            unread_drops: cell("datagram_unread_drops")?,
            ignored: cell("datagram_ignored")?,
        })
    }
}

fn count(cell: &AtomicU64) {
    cell.fetch_add(1, Ordering::Relaxed);
}

/// How replies reach their clients.
#[derive(Debug)]
struct Delivery<'a> {
    doors: Doors<'a>,
    parked: Parked,
    counters: Counters,
    receive_failed: Throttle,
    undeliverable: Throttle,
}

impl Delivery<'_> {
    fn deliver(&mut self, bytes: &[u8], peer: &Peer) {
        if !peer.has_address() {
            return self.drop_reply(peer, "the client has bound no name to answer to");
        }
        if !self.parked.is_empty() && self.parked.holds(peer) {
            self.retry_when_due();
            if self.parked.holds(peer) {
                return self.drop_reply(peer, "the client does not read its replies");
            }
        }
        match self.doors.send(bytes, peer) {
            Outcome::Sent => {}
            Outcome::Full if self.parked.park(bytes, peer) => count(self.counters.parked),
            Outcome::Full => self.drop_reply(peer, "the client does not read its replies"),
            Outcome::UnreadLimit => {
                count(self.counters.unread_drops);
                self.drop_reply(peer, &UnreadLimit.to_string());
            }
            Outcome::Failed(error) => self.drop_reply(peer, &explain(&error)),
        }
    }

    /// Whether a reply to that client waits for it to read.
    fn is_parked(&self, address: &[u8]) -> bool {
        !self.parked.is_empty() && Peer::from_bytes(address).is_some_and(|peer| self.parked.holds(&peer))
    }

    fn retry_when_due(&mut self) {
        let Delivery { doors, parked, counters, undeliverable, .. } = self;
        parked.retry_when_due(doors, |gone| match gone {
            Gone::Delivered => {}
            Gone::TimedOut(peer) => {
                count(counters.timeouts);
                undeliverable.warn(format_args!("reply to {peer} dropped: not read within socket_timeout"));
            }
            Gone::Failed(peer, error) => {
                count(counters.dropped);
                undeliverable.warn(format_args!("reply to {peer} dropped: {}", explain(&error)));
            }
            Gone::UnreadLimit(peer) => {
                count(counters.dropped);
                count(counters.unread_drops);
                undeliverable.warn(format_args!("reply to {peer} dropped: {UnreadLimit}"));
            }
        });
    }

    fn drop_reply(&mut self, peer: &Peer, reason: &str) {
        count(self.counters.dropped);
        self.undeliverable.warn(format_args!("reply to {peer} dropped: {reason}"));
    }

    fn report_receive_error(&mut self, error: &io::Error) {
        self.receive_failed.warn(format_args!("cannot receive: {error}"));
    }
}

/// What the system's error means for whoever runs the client.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES) => format!(
            "{error}; let user {} write to the client's socket and search its folder",
            crate::system::user::user_name(crate::system::user::effective_user())
        ),
        Some(libc::ENOENT | libc::ECONNREFUSED) => format!("{error}; the client is gone"),
        _ => error.to_string(),
    }
}
