//! A worker's loop: receive, answer, deliver.
//!
//! The plain blocking loop: two system calls a request and nothing else, until a client does not read. Only
//! while replies are parked does the worker look at the clock between requests, and only while some are to come later
//! does it wait for two things at once. A request that takes long has one time slice after the other, and between two
//! of them the worker serves what has arrived. C: `mi_datagram_server` and `mi_send_dgram` in datagram_fnc.c.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::COUNTERS;
use super::answer::{DatagramAnswerer, DatagramOutcome, UnfinishedDatagram};
use super::long::{LongRequests, Request};
use super::parked::{Doors, Gone, Outcome, Parked};
use super::settings::Settings;
use crate::logging::Throttle;
use crate::mi::Status;
use crate::module::{OpenError, Process, TransportCounter, TransportCounters};
use crate::shm::{Parcels, ReplyInbox, UnsentReply};
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

/// Requests that are served between two time slices of those that take long, at most.
const BURST: usize = 32;

/// What is answered to a request for which there is no room among those that take long.
const TOO_MANY: Status = Status::new(503, "Too many long requests, send it again later");

/// What is answered to those that are in hand when the server ends.
const ENDING: Status = Status::new(503, "Server is stopping");

/// One worker process.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    process: &'a Process<'a>,
    answerer: DatagramAnswerer<'a>,
    delivery: Delivery<'a>,
    inbox: ReplyInbox,
    long: LongRequests,
    request: Vec<u8>,
}

impl<'a> Worker<'a> {
    /// Gets everything that serving needs.
    pub(super) fn new(
        process: &'a Process<'a>,
        settings: &'a Settings,
        bound: &'a Socket,
        pool: Option<&Arc<SendPool>>,
        parcels: &'a Parcels,
    ) -> Result<Worker<'a>, OpenError> {
        let pool = pool.map(|pool| PoolSender::new(Arc::clone(pool), process.number()));
        let doors = Doors { bound, pool };
        Ok(Worker {
            process,
            answerer: DatagramAnswerer::new(process.context(), &settings.indent),
            delivery: Delivery {
                doors,
                parked: Parked::take_over(settings.timeout, parcels),
                counters: TransportCounters::find(process, &COUNTERS)?,
                receive_failed: Throttle::new(module_path!()),
                undeliverable: Throttle::new(module_path!()),
            },
            inbox: ReplyInbox::new(process.context().pending, process.context().slot),
            long: LongRequests::default(),
            request: vec![0; MAX_DATAGRAM_BYTES],
        })
    }

    /// Serves until the process is told to stop, then answers what is queued already.
    pub(super) fn serve(mut self) {
        self.process.set_ready();
        let mut peer = Peer::new();
        while !self.process.should_stop() {
            self.deliver_later();
            self.serve_next(&mut peer);
            if !self.delivery.parked.is_empty() {
                self.delivery.retry_when_due();
            }
            if !self.long.is_empty() {
                self.serve_arrived(&mut peer);
                self.go_on();
            }
        }
        self.drain();
    }

    /// Serves the next request. True when there was one.
    fn serve_next(&mut self, peer: &mut Peer) -> bool {
        match self.receive(peer) {
            Ok(length) => {
                self.handle(length, peer);
                return true;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => {
                self.delivery.report_receive_error(&error);
                std::thread::sleep(AFTER_RECEIVE_ERROR);
            }
        }
        false
    }

    /// Serves some of what has arrived, while requests that take long wait for their next time slice.
    fn serve_arrived(&mut self, peer: &mut Peer) {
        for _ in 0..BURST {
            if self.process.should_stop() || !self.serve_next(peer) {
                return;
            }
        }
    }

    /// Gives the next one of the clients whose requests take long its time slice.
    fn go_on(&mut self) {
        let Some(mut client) = self.long.take() else { return };
        self.process.set_busy(true);
        let answer = if let Some(unfinished) = client.unfinished.take() {
            Some(self.answerer.continue_request(unfinished))
        } else {
            client.next_request().map(|request| {
                let Request { bytes, length } = request;
                self.answerer.answer(&bytes, length, &client.peer)
            })
        };
        match answer {
            None => {}
            Some(DatagramOutcome::Unfinished(unfinished)) => client.unfinished = Some(unfinished),
            Some(DatagramOutcome::Deferred(number)) => self.inbox.expect(number),
            Some(DatagramOutcome::Complete { bytes, is_error }) => {
                self.delivery.conclude(bytes, is_error, &client.peer, client.row.take());
            }
        }
        self.process.set_busy(false);
        self.long.put_back(client);
    }

    /// The plain call, unless there is something else to be done meanwhile.
    fn receive(&mut self, peer: &mut Peer) -> io::Result<usize> {
        let Delivery { doors, parked, .. } = &self.delivery;
        if !self.long.is_empty() {
            return doors.bound.receive(&mut self.request, peer, Wait::No);
        }
        let notifier = self.inbox.notifier().filter(|_| !self.inbox.is_empty());
        let pause = (!parked.is_empty()).then(|| parked.pause());
        if pause.is_none() && notifier.is_none() {
            return doors.bound.receive(&mut self.request, peer, Wait::Forever);
        }
        doors.bound.wait(notifier, pause)?;
        doors.bound.receive(&mut self.request, peer, Wait::No)
    }

    /// Sends replies that come later, of those that have come.
    fn deliver_later(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        self.inbox.drain_notifier();
        while let Some(answered) = self.inbox.take(|address| !self.delivery.is_parked(address), |_| ()) {
            let Some(peer) = Peer::from_bytes(&answered.address) else { continue };
            self.process.set_busy(true);
            match self.answerer.write_deferred(&answered) {
                DatagramOutcome::Complete { bytes, is_error } => {
                    self.delivery.conclude(bytes, is_error, &peer, Some(answered.unsent));
                }
                DatagramOutcome::Unfinished(unfinished) => {
                    self.keep(unfinished, &peer, Some(answered.unsent))
                }
                DatagramOutcome::Deferred(_) => {} // never, as it has come
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
            return self.delivery.counters.count(TransportCounter::Ignored);
        }
        // Looked at only when it matters: it takes as long as the request.
        let is_reply = || is_udp && json_rpc::is_reply(request);
        if !self.long.is_empty() && self.long.holds(peer) && !is_reply() {
            self.delivery.counters.count(TransportCounter::Requests);
            if !self.long.add_behind(peer, request, length) {
                let bytes = self.answerer.refuse(request, &TOO_MANY);
                self.delivery.conclude(bytes, true, peer, None);
            }
            return;
        }
        self.process.set_busy(true);
        match self.answerer.answer(request, length, peer) {
            DatagramOutcome::Complete { is_error: true, .. } | DatagramOutcome::Unfinished(_)
                if is_reply() =>
            {
                self.process.set_busy(false);
                return self.delivery.counters.count(TransportCounter::Ignored);
            }
            DatagramOutcome::Complete { bytes, is_error } => {
                self.delivery.conclude(bytes, is_error, peer, None)
            }
            DatagramOutcome::Unfinished(unfinished) => self.keep(unfinished, peer, None),
            DatagramOutcome::Deferred(number) => self.inbox.expect(number),
        }
        self.delivery.counters.count(TransportCounter::Requests);
        self.process.set_busy(false);
    }

    /// Keeps a request for its next time slice.
    fn keep(&mut self, unfinished: Box<UnfinishedDatagram>, peer: &Peer, row: Option<UnsentReply>) {
        if let Err((unfinished, row)) = self.long.add(peer, unfinished, row) {
            let bytes = self.answerer.abort(*unfinished, &TOO_MANY);
            self.delivery.conclude(bytes, true, peer, row);
        }
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
                Err(_) if !self.long.is_empty() => {
                    self.go_on();
                    self.delivery.retry_when_due();
                }
                Err(_) if self.delivery.parked.is_empty() => return,
                Err(_) => {
                    // A signal may end the pause early, which does no harm.
                    let _paused = self.delivery.doors.bound.wait(None, Some(self.delivery.parked.pause()));
                    self.delivery.retry_when_due();
                }
            }
        }
        while let Some(mut client) = self.long.take() {
            if let Some(unfinished) = client.unfinished.take() {
                let bytes = self.answerer.abort(*unfinished, &ENDING);
                self.delivery.conclude(bytes, true, &client.peer, client.row.take());
            }
            while let Some(request) = client.next_request() {
                let bytes = self.answerer.refuse(&request.bytes, &ENDING);
                self.delivery.conclude(bytes, true, &client.peer, None);
            }
        }
    }
}

/// Whether a datagram is meant as a request, and answered at least with an error.
fn is_request(datagram: &[u8]) -> bool {
    datagram.starts_with(b":") || json_rpc::is_json(datagram)
}

/// How replies reach their clients.
#[derive(Debug)]
struct Delivery<'a> {
    doors: Doors<'a>,
    parked: Parked<'a>,
    counters: TransportCounters,
    receive_failed: Throttle,
    undeliverable: Throttle,
}

impl Delivery<'_> {
    /// Counts a reply and sends it, unless it is one that nobody wants.
    fn conclude(&mut self, bytes: &[u8], is_error: bool, peer: &Peer, row: Option<UnsentReply>) {
        if is_error {
            self.counters.count(TransportCounter::Errors);
        }
        if !bytes.is_empty() {
            self.deliver(bytes, peer, row);
        }
    }

    /// Sends a reply, or keeps it. One that has come later has a row, which stays until it has left or is dropped.
    fn deliver(&mut self, bytes: &[u8], peer: &Peer, row: Option<UnsentReply>) {
        if !peer.has_address() {
            return self.drop_reply(peer, "the client has bound no name to answer to");
        }
        if !self.parked.is_empty() && self.parked.holds(peer) {
            self.retry_when_due();
            if self.parked.holds(peer) {
                return self.drop_reply(peer, "the client does not read its replies");
            }
        }
        row.iter().for_each(|row| row.set_in_flight(true));
        match self.doors.send(bytes, peer) {
            Outcome::Sent => {}
            Outcome::Full => {
                row.iter().for_each(|row| row.set_in_flight(false));
                if self.parked.park(bytes, peer, row) {
                    self.counters.count(TransportCounter::ParkedReplies);
                } else {
                    self.drop_reply(peer, "the client does not read its replies");
                }
            }
            Outcome::UnreadLimit => {
                self.counters.count(TransportCounter::UnreadDrops);
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
                counters.count(TransportCounter::Timeouts);
                undeliverable.warn(format_args!("reply to {peer} dropped: not read within socket_timeout"));
            }
            Gone::Failed(peer, error) => {
                counters.count(TransportCounter::DroppedReplies);
                undeliverable.warn(format_args!("reply to {peer} dropped: {}", explain(&error)));
            }
            Gone::UnreadLimit(peer) => {
                counters.count(TransportCounter::DroppedReplies);
                counters.count(TransportCounter::UnreadDrops);
                undeliverable.warn(format_args!("reply to {peer} dropped: {UnreadLimit}"));
            }
        });
    }

    fn drop_reply(&mut self, peer: &Peer, reason: &str) {
        self.counters.count(TransportCounter::DroppedReplies);
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
