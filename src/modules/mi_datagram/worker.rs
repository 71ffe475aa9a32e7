//! Runs the loop of a worker: receives requests, answers them, and sends the replies.
//!
//! The worker blocks in `recvfrom`, and makes two system calls for a request. It reads the clock between
//! requests only while replies are parked, and polls two descriptors only while its requests are pending. A
//! request that takes long runs in time slices; between two slices the worker serves the requests that have
//! arrived. C: `mi_datagram_server` and `mi_send_dgram` in datagram_fnc.c.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::COUNTERS;
use super::answer::{DatagramAnswerer, DatagramOutcome, UnfinishedDatagram};
use super::long::{LongRequests, WaitingRequest};
use super::parked::{ParkedEnd, ParkedReplies, ReplySockets, SendOutcome};
use super::settings::DatagramSettings;
use crate::logging::Throttle;
use crate::mi::Status;
use crate::module::{OpenError, Process, TransportCounter, TransportCounters};
use crate::shm::{Parcels, ReplyInbox, UnsentReply};
use crate::system::datagram::{Peer, Socket, Wait};
use crate::system::send_pool::{PoolSender, SendPool, UnreadLimit};
use crate::wire::{MAX_DATAGRAM_BYTES, json_rpc};

/// The most bytes, with the kernel's overhead, that the clients of all workers may leave unread. Those of
/// connected clients have the limit [`SEND_BUFFER_BYTES`].
pub(super) const UNREAD_BYTES: usize = 32 << 20;

/// The send buffer of the bound socket, in bytes. The kernel doubles it. All connected clients share it.
pub(super) const SEND_BUFFER_BYTES: usize = 8 << 20;

/// Pause after an error of `recvfrom`, so that a lasting error does not take a whole core.
const AFTER_RECEIVE_ERROR: Duration = Duration::from_millis(10);

/// For how long a worker answers queued requests when it has to stop.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// The most requests that are served between two time slices of a long one.
const BURST: usize = 32;

/// The reply to a long request when [`LongRequests`] is full.
const TOO_MANY_LONG: Status = Status::new(503, "Too many long requests, send it again later");

/// The reply to a request that is not finished when the server stops.
const SERVER_STOPPING: Status = Status::new(503, "Server is stopping");

/// One worker process.
#[derive(Debug)]
pub(super) struct DatagramWorker<'a> {
    process: &'a Process<'a>,
    answerer: DatagramAnswerer<'a>,
    sender: ReplySender<'a>,
    inbox: ReplyInbox,
    long: LongRequests,
    request: Vec<u8>,
}

impl<'a> DatagramWorker<'a> {
    /// Makes the worker, with the parked replies of a predecessor.
    pub(super) fn new(
        process: &'a Process<'a>,
        settings: &'a DatagramSettings,
        bound: &'a Socket,
        pool: Option<&Arc<SendPool>>,
        parcels: &'a Parcels,
    ) -> Result<DatagramWorker<'a>, OpenError> {
        let pool = pool.map(|pool| PoolSender::new(Arc::clone(pool), process.number()));
        let sockets = ReplySockets { bound, pool };
        Ok(DatagramWorker {
            process,
            answerer: DatagramAnswerer::new(process.context(), &settings.indent),
            sender: ReplySender {
                sockets,
                parked: ParkedReplies::take_over(settings.timeout, parcels),
                counters: TransportCounters::find(process, &COUNTERS)?,
                receive_failed: Throttle::new(module_path!()),
                undeliverable: Throttle::new(module_path!()),
            },
            inbox: ReplyInbox::new(process.context().pending, process.context().slot),
            long: LongRequests::default(),
            request: vec![0; MAX_DATAGRAM_BYTES],
        })
    }

    /// Serves requests until the process has to stop, then those that are queued.
    pub(super) fn serve(mut self) {
        self.process.set_ready();
        let mut peer = Peer::new();
        while !self.process.should_stop() {
            self.send_deferred();
            self.serve_next(&mut peer);
            if !self.sender.parked.is_empty() {
                self.sender.retry_when_due();
            }
            if !self.long.is_empty() {
                self.serve_arrived(&mut peer);
                self.continue_long_request();
            }
        }
        self.drain();
    }

    /// Receives and serves the next request. False when there is none.
    fn serve_next(&mut self, peer: &mut Peer) -> bool {
        match self.receive(peer) {
            Ok(length) => {
                self.serve_request(length, peer);
                return true;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => {
                self.sender.report_receive_error(&error);
                std::thread::sleep(AFTER_RECEIVE_ERROR);
            }
        }
        false
    }

    /// Serves requests that have arrived between two time slices of a long one.
    fn serve_arrived(&mut self, peer: &mut Peer) {
        for _ in 0..BURST {
            if self.process.should_stop() || !self.serve_next(peer) {
                return;
            }
        }
    }

    /// Gives the next client with a long request a time slice.
    fn continue_long_request(&mut self) {
        let Some(mut client) = self.long.take() else { return };
        self.process.set_busy(true);
        let answer = if let Some(unfinished) = client.unfinished.take() {
            Some(self.answerer.continue_request(unfinished))
        } else {
            client.next_request().map(|request| {
                let WaitingRequest { bytes, length } = request;
                self.answerer.answer(&bytes, length, &client.peer)
            })
        };
        match answer {
            None => {}
            Some(DatagramOutcome::Unfinished(unfinished)) => client.unfinished = Some(unfinished),
            Some(DatagramOutcome::Deferred(number)) => self.inbox.expect(number),
            Some(DatagramOutcome::Complete { bytes, is_error }) => {
                self.sender.count_and_send(bytes, is_error, &client.peer, client.unsent.take());
            }
        }
        self.process.set_busy(false);
        self.long.put_back(client);
    }

    /// Receives a request. Blocks in `recvfrom` unless the worker has other work to do.
    fn receive(&mut self, peer: &mut Peer) -> io::Result<usize> {
        let ReplySender { sockets, parked, .. } = &self.sender;
        if !self.long.is_empty() {
            return sockets.bound.receive(&mut self.request, peer, Wait::No);
        }
        let notifier = self.inbox.notifier().filter(|_| !self.inbox.is_empty());
        let pause = (!parked.is_empty()).then(|| parked.pause());
        if pause.is_none() && notifier.is_none() {
            return sockets.bound.receive(&mut self.request, peer, Wait::Forever);
        }
        sockets.bound.wait(notifier, pause)?;
        sockets.bound.receive(&mut self.request, peer, Wait::No)
    }

    /// Sends the deferred replies that other processes have given.
    fn send_deferred(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        self.inbox.drain_notifier();
        while let Some(answered) = self.inbox.take(|address| !self.sender.is_parked(address), |_| ()) {
            let Some(peer) = Peer::from_bytes(&answered.address) else { continue };
            self.process.set_busy(true);
            match self.answerer.write_deferred(&answered) {
                DatagramOutcome::Complete { bytes, is_error } => {
                    self.sender.count_and_send(bytes, is_error, &peer, Some(answered.unsent));
                }
                DatagramOutcome::Unfinished(unfinished) => {
                    self.add_long_request(unfinished, &peer, Some(answered.unsent))
                }
                DatagramOutcome::Deferred(_) => {} // A deferred reply is not deferred again.
            }
            self.process.set_busy(false);
        }
    }

    fn serve_request(&mut self, length: usize, peer: &Peer) {
        if length == 0 {
            return; // C ignores an empty datagram. Clients send one to see whether the server is there.
        }
        let request = &self.request[..length.min(MAX_DATAGRAM_BYTES)];
        // Differs: C answers every UDP datagram. A reply to a datagram with a forged sender may reach another
        // server, which replies to it, and so on for ever. So a UDP worker does not answer what is a server's
        // reply.
        let is_udp = self.sender.sockets.pool.is_none();
        if is_udp && !is_request(request) {
            return self.sender.counters.count(TransportCounter::Ignored);
        }
        // Checked only for an error or a long request, as the check takes as long as the request.
        let is_reply = || is_udp && json_rpc::is_reply(request);
        if !self.long.is_empty() && self.long.has_client(peer) && !is_reply() {
            self.sender.counters.count(TransportCounter::Requests);
            if !self.long.add_waiting(peer, request, length) {
                let bytes = self.answerer.refuse(request, &TOO_MANY_LONG);
                self.sender.count_and_send(bytes, true, peer, None);
            }
            return;
        }
        self.process.set_busy(true);
        match self.answerer.answer(request, length, peer) {
            DatagramOutcome::Complete { is_error: true, .. } | DatagramOutcome::Unfinished(_)
                if is_reply() =>
            {
                self.process.set_busy(false);
                return self.sender.counters.count(TransportCounter::Ignored);
            }
            DatagramOutcome::Complete { bytes, is_error } => {
                self.sender.count_and_send(bytes, is_error, peer, None)
            }
            DatagramOutcome::Unfinished(unfinished) => self.add_long_request(unfinished, peer, None),
            DatagramOutcome::Deferred(number) => self.inbox.expect(number),
        }
        self.sender.counters.count(TransportCounter::Requests);
        self.process.set_busy(false);
    }

    /// Keeps a long request for its next time slice, or refuses it.
    fn add_long_request(
        &mut self,
        unfinished: Box<UnfinishedDatagram>,
        peer: &Peer,
        unsent: Option<UnsentReply>,
    ) {
        if let Err((unfinished, unsent)) = self.long.add(peer, unfinished, unsent) {
            let bytes = self.answerer.abort(*unfinished, &TOO_MANY_LONG);
            self.sender.count_and_send(bytes, true, peer, unsent);
        }
    }

    /// Answers requests that had arrived before the stop, and retries parked replies.
    fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_TIME;
        let mut peer = Peer::new();
        while Instant::now() < deadline {
            self.send_deferred();
            match self.sender.sockets.bound.receive(&mut self.request, &mut peer, Wait::No) {
                Ok(length) => self.serve_request(length, &peer),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if !self.long.is_empty() => {
                    self.continue_long_request();
                    self.sender.retry_when_due();
                }
                Err(_) if self.sender.parked.is_empty() => return,
                Err(_) => {
                    // A signal may end the pause early. The loop continues then.
                    let _paused = self.sender.sockets.bound.wait(None, Some(self.sender.parked.pause()));
                    self.sender.retry_when_due();
                }
            }
        }
        while let Some(mut client) = self.long.take() {
            if let Some(unfinished) = client.unfinished.take() {
                let bytes = self.answerer.abort(*unfinished, &SERVER_STOPPING);
                self.sender.count_and_send(bytes, true, &client.peer, client.unsent.take());
            }
            while let Some(request) = client.next_request() {
                let bytes = self.answerer.refuse(&request.bytes, &SERVER_STOPPING);
                self.sender.count_and_send(bytes, true, &client.peer, None);
            }
        }
    }
}

/// The datagram begins as a request, so it gets at least an error.
fn is_request(datagram: &[u8]) -> bool {
    datagram.starts_with(b":") || json_rpc::is_json(datagram)
}

/// Sends and parks replies, and counts them.
#[derive(Debug)]
struct ReplySender<'a> {
    sockets: ReplySockets<'a>,
    parked: ParkedReplies<'a>,
    counters: TransportCounters,
    receive_failed: Throttle,
    undeliverable: Throttle,
}

impl ReplySender<'_> {
    /// Counts a reply, and sends it unless it is empty. `unsent` is that of a deferred reply.
    fn count_and_send(&mut self, bytes: &[u8], is_error: bool, peer: &Peer, unsent: Option<UnsentReply>) {
        if is_error {
            self.counters.count(TransportCounter::Errors);
        }
        if !bytes.is_empty() {
            self.send(bytes, peer, unsent);
        }
    }

    /// Sends a reply, or parks it. `unsent` keeps a deferred reply in shared memory until it is sent or
    /// dropped.
    fn send(&mut self, bytes: &[u8], peer: &Peer, unsent: Option<UnsentReply>) {
        if !peer.has_address() {
            return self.drop_reply(peer, "the client has bound no name to answer to");
        }
        if !self.parked.is_empty() && self.parked.has_peer(peer) {
            self.retry_when_due();
            if self.parked.has_peer(peer) {
                return self.drop_reply(peer, "the client does not read its replies");
            }
        }
        unsent.iter().for_each(|unsent| unsent.set_in_flight(true));
        match self.sockets.send(bytes, peer) {
            SendOutcome::Sent => {}
            SendOutcome::NoRoom => {
                unsent.iter().for_each(|unsent| unsent.set_in_flight(false));
                if self.parked.park(bytes, peer, unsent) {
                    self.counters.count(TransportCounter::ParkedReplies);
                } else {
                    self.drop_reply(peer, "the client does not read its replies");
                }
            }
            SendOutcome::UnreadLimit => {
                self.counters.count(TransportCounter::UnreadDrops);
                self.drop_reply(peer, &UnreadLimit.to_string());
            }
            SendOutcome::Failed(error) => self.drop_reply(peer, &explain(&error)),
        }
    }

    /// A reply to the client at this address is parked.
    fn is_parked(&self, address: &[u8]) -> bool {
        !self.parked.is_empty() && Peer::from_bytes(address).is_some_and(|peer| self.parked.has_peer(&peer))
    }

    fn retry_when_due(&mut self) {
        let ReplySender { sockets, parked, counters, undeliverable, .. } = self;
        parked.retry_when_due(sockets, |end| match end {
            ParkedEnd::Sent => {}
            ParkedEnd::TimedOut(peer) => {
                counters.count(TransportCounter::Timeouts);
                undeliverable.warn(format_args!("reply to {peer} dropped: not read within socket_timeout"));
            }
            ParkedEnd::Failed(peer, error) => {
                counters.count(TransportCounter::DroppedReplies);
                undeliverable.warn(format_args!("reply to {peer} dropped: {}", explain(&error)));
            }
            ParkedEnd::UnreadLimit(peer) => {
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

/// Explains an error of a send to the administrator of the client.
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
