//! Keeps replies whose clients have no room for them.
//!
//! The worker retries a parked reply between requests, until its deadline, and never sleeps for it. It keeps
//! one reply for each client, and at most [`MAX_REPLIES`]. Each parked reply is in shared memory as well, and
//! the successor of a killed worker sends it. A reply is lost when its worker is killed within the call that
//! sends it, as the client may have received it. While the client's queue is full, the worker makes no such
//! call, so a kill then loses nothing. Differs: C has a `socket_timeout` too, but sends once and drops the
//! reply.

use std::io;
use std::time::{Duration, Instant};

use crate::shm::{Parcel, Parcels, UnsentReply};
use crate::system::datagram::{Peer, Socket};
use crate::system::queue_probe::QueueProbe;
use crate::system::send_pool::{PoolSender, SHORT_BYTES};
use crate::wire::MAX_DATAGRAM_BYTES;

/// The most replies that one worker keeps.
pub(super) const MAX_REPLIES: usize = 64;

/// The longest reply with the client's address, in bytes.
pub(super) const PARCEL_BYTES: usize = MAX_DATAGRAM_BYTES + size_of::<Peer>();

/// The pause before the first retry.
const FIRST_PAUSE: Duration = Duration::from_micros(50);

/// The longest pause between two retries. Each pause is twice the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// The sockets from which replies are sent.
#[derive(Debug)]
pub(super) struct ReplySockets<'a> {
    /// The socket that receives requests.
    pub(super) bound: &'a Socket,
    /// Sends replies to UNIX clients, so that their unread replies do not fill the send buffer of the bound
    /// socket, and have a limit. `None` for UDP.
    pub(super) pool: Option<PoolSender>,
}

impl ReplySockets<'_> {
    /// Sends a reply from a socket that the client accepts. A client that has called `connect` accepts
    /// datagrams from the bound socket only; other sockets get EPERM.
    pub(super) fn send(&mut self, bytes: &[u8], peer: &Peer) -> SendOutcome {
        let first = match &mut self.pool {
            Some(pool) => pool.send(bytes, peer),
            None => self.bound.send(bytes, peer),
        };
        let result = match first {
            Err(error) if self.pool.is_some() && error.raw_os_error() == Some(libc::EPERM) => {
                self.send_to_connected(bytes, peer)
            }
            first => first,
        };
        match result {
            Ok(()) => SendOutcome::Sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => SendOutcome::NoRoom,
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => SendOutcome::UnreadLimit,
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
                ) =>
            {
                SendOutcome::NoRoom
            }
            Err(error) => SendOutcome::Failed(error),
        }
    }

    /// Sends a reply from the bound socket. The unread replies of all connected clients share its send
    /// buffer. Half of the buffer is reserved for short replies, so that clients that leave long ones unread
    /// leave room for others.
    fn send_to_connected(&self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        if bytes.len() > SHORT_BYTES && self.bound.is_send_buffer_half_full() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bound.send(bytes, peer)
    }
}

/// What became of one attempt to send.
#[derive(Debug)]
pub(super) enum SendOutcome {
    /// The reply is in the client's queue.
    Sent,
    /// The client has no room now.
    NoRoom,
    /// The clients of all workers have left too many bytes unread.
    UnreadLimit,
    /// The reply can never be sent.
    Failed(io::Error),
}

/// How a parked reply has left the list.
#[derive(Debug)]
pub(super) enum ParkedEnd {
    /// A retry has sent it.
    Sent,
    /// The client has not read by the deadline.
    TimedOut(Peer),
    /// The reply can never be sent, for example as the client is gone.
    Failed(Peer, io::Error),
    /// The clients of all workers have left too many bytes unread.
    UnreadLimit(Peer),
}

/// The parked replies of one worker.
#[derive(Debug)]
pub(super) struct ParkedReplies<'a> {
    replies: Vec<ParkedReply<'a>>,
    parcels: &'a Parcels,
    /// The number of the last parcel.
    last_number: u64,
    timeout: Duration,
    pause: Duration,
    next_try: Instant,
}

#[derive(Debug)]
struct ParkedReply<'a> {
    peer: Peer,
    bytes: Vec<u8>,
    deadline: Instant,
    copy: StoredCopy<'a>,
    /// `None` when the client's queue has no limit of its own, or cannot be probed.
    queue: Option<QueueProbe>,
}

impl<'a> ParkedReply<'a> {
    fn new(peer: Peer, bytes: &[u8], deadline: Instant, copy: StoredCopy<'a>) -> ParkedReply<'a> {
        ParkedReply { peer, bytes: bytes.to_vec(), deadline, copy, queue: QueueProbe::connect(&peer) }
    }

    /// Sends the reply, unless the client's queue is full.
    fn send(&self, sockets: &mut ReplySockets<'_>) -> SendOutcome {
        if self.queue.as_ref().is_some_and(QueueProbe::is_full) {
            return SendOutcome::NoRoom;
        }
        self.copy.set_in_flight(true);
        let outcome = sockets.send(&self.bytes, &self.peer);
        if matches!(outcome, SendOutcome::NoRoom) {
            self.copy.set_in_flight(false);
        }
        outcome
    }
}

/// The copy in shared memory, from which a successor sends the reply.
#[derive(Debug)]
enum StoredCopy<'a> {
    /// Of a reply that was not deferred. Never `None`, as there are as many parcels as replies.
    Parcel(Option<Parcel<'a>>),
    /// Of a deferred reply.
    Pending(UnsentReply),
}

impl StoredCopy<'_> {
    fn set_in_flight(&self, is_in_flight: bool) {
        match self {
            StoredCopy::Parcel(parcel) => parcel.iter().for_each(|parcel| parcel.set_in_flight(is_in_flight)),
            StoredCopy::Pending(unsent) => unsent.set_in_flight(is_in_flight),
        }
    }
}

impl<'a> ParkedReplies<'a> {
    /// Takes over the replies that a predecessor has left, and keeps them for `timeout` from now on.
    pub(super) fn take_over(timeout: Duration, parcels: &'a Parcels) -> ParkedReplies<'a> {
        let now = Instant::now();
        let mut parked = ParkedReplies {
            replies: Vec::new(),
            parcels,
            last_number: 0,
            timeout,
            pause: FIRST_PAUSE,
            next_try: now,
        };
        for (number, parcel, bytes) in parcels.take_over() {
            parked.last_number = number;
            let Some((&length, rest)) = bytes.split_first() else { continue };
            let Some((address, bytes)) = rest.split_at_checked(usize::from(length)) else { continue };
            let Some(peer) = Peer::from_bytes(address) else { continue };
            let copy = StoredCopy::Parcel(Some(parcel));
            parked.replies.push(ParkedReply::new(peer, bytes, now + timeout, copy));
        }
        parked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// The time until the next retry; zero when it is due.
    pub(super) fn pause(&self) -> Duration {
        self.next_try.saturating_duration_since(Instant::now())
    }

    /// A reply to the client is parked, so another reply must not overtake it.
    pub(super) fn has_peer(&self, peer: &Peer) -> bool {
        self.replies.iter().any(|reply| reply.peer == *peer)
    }

    /// Parks a reply. `unsent` is that of a deferred reply. False when there is no room, or the timeout is
    /// zero.
    pub(super) fn park(&mut self, bytes: &[u8], peer: &Peer, unsent: Option<UnsentReply>) -> bool {
        if self.replies.len() >= MAX_REPLIES || self.timeout.is_zero() || self.has_peer(peer) {
            return false;
        }
        let now = Instant::now();
        self.pause = FIRST_PAUSE;
        self.next_try = now + FIRST_PAUSE;
        let deadline = now + self.timeout;
        let copy = unsent.map_or_else(|| self.store_copy(bytes, peer), StoredCopy::Pending);
        self.replies.push(ParkedReply::new(*peer, bytes, deadline, copy));
        true
    }

    fn store_copy(&mut self, bytes: &[u8], peer: &Peer) -> StoredCopy<'a> {
        self.last_number += 1;
        let address = peer.as_bytes();
        // An address has at most 128 bytes.
        let length = u8::try_from(address.len()).unwrap_or(u8::MAX);
        StoredCopy::Parcel(self.parcels.keep(self.last_number, &[&[length], address, bytes]))
    }

    /// Retries all replies, when that is due. Calls `ended` for each reply that leaves the list.
    pub(super) fn retry_when_due(&mut self, sockets: &mut ReplySockets<'_>, ended: impl FnMut(ParkedEnd)) {
        if Instant::now() >= self.next_try {
            self.retry(sockets, ended);
        }
    }

    /// Retries all replies. Calls `ended` for each reply that leaves the list.
    pub(super) fn retry(&mut self, sockets: &mut ReplySockets<'_>, mut ended: impl FnMut(ParkedEnd)) {
        let now = Instant::now();
        self.replies.retain(|reply| {
            let end = match reply.send(sockets) {
                SendOutcome::Sent => ParkedEnd::Sent,
                SendOutcome::Failed(error) => ParkedEnd::Failed(reply.peer, error),
                SendOutcome::UnreadLimit => ParkedEnd::UnreadLimit(reply.peer),
                SendOutcome::NoRoom if now >= reply.deadline => ParkedEnd::TimedOut(reply.peer),
                SendOutcome::NoRoom => return true,
            };
            ended(end);
            false
        });
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.next_try = now + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::system::datagram::Wait;
    use crate::system::send_pool::SendPool;

    struct ServerSocket {
        folder: tempfile::TempDir,
        socket: Socket,
    }

    impl ServerSocket {
        fn new() -> ServerSocket {
            let folder = tempfile::tempdir().unwrap();
            let socket = Socket::unix_bound(&folder.path().join("server")).unwrap();
            ServerSocket { folder, socket }
        }

        fn client(&self, name: &str, connected: bool) -> (UnixDatagram, Peer) {
            let client = UnixDatagram::bind(self.folder.path().join(name)).unwrap();
            let server = self.folder.path().join("server");
            if connected {
                client.connect(&server).unwrap();
                client.send(b"x").unwrap();
            } else {
                client.send_to(b"x", &server).unwrap();
            }
            let mut peer = Peer::new();
            self.socket.receive(&mut [0; 8], &mut peer, Wait::No).unwrap();
            (client, peer)
        }
    }

    fn sockets(server: &ServerSocket) -> ReplySockets<'_> {
        let pool = SendPool::create(8 << 20).unwrap();
        ReplySockets { bound: &server.socket, pool: Some(PoolSender::new(pool, 0)) }
    }

    #[test]
    fn connected_and_unconnected_clients_get_their_replies() {
        let server = ServerSocket::new();
        for connected in [false, true] {
            let (client, peer) = server.client(if connected { "c" } else { "u" }, connected);
            assert!(matches!(sockets(&server).send(b"reply", &peer), SendOutcome::Sent));
            assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
        }
    }

    #[test]
    fn unread_replies_of_some_clients_leave_room_for_others() {
        let server = ServerSocket::new();
        let mut sockets = sockets(&server);
        let long = vec![b'x'; 60_000];
        let slows: Vec<_> = (0..4).map(|n| server.client(&format!("slow{n}"), false)).collect();
        let mut left_unread = 0;
        for (_, peer) in &slows {
            while matches!(sockets.send(&long, peer), SendOutcome::Sent) {
                left_unread += 1;
            }
        }
        assert!(left_unread >= 4 * 10, "{left_unread}: each queue should be full, not the socket's buffer");
        let (good, peer) = server.client("good", false);
        assert!(matches!(sockets.send(b"reply", &peer), SendOutcome::Sent));
        assert_eq!(good.recv(&mut [0; 16]).unwrap(), 5);
        let (slow, _) = &slows[0];
        assert_eq!(slow.recv(&mut vec![0; 70_000]).unwrap(), long.len());
    }

    #[test]
    fn a_reply_to_a_full_queue_is_sent_when_the_client_has_read() {
        let server = ServerSocket::new();
        let mut sockets = sockets(&server);
        let (client, peer) = server.client("slow", false);
        while matches!(sockets.send(b"first", &peer), SendOutcome::Sent) {}
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = ParkedReplies::take_over(Duration::from_secs(60), &parcels);
        assert!(parked.park(b"late", &peer, None));
        assert!(parked.has_peer(&peer) && !parked.park(b"later still", &peer, None));
        parked.retry(&mut sockets, |end| panic!("{end:?}"));
        let mut buffer = [0; 16];
        client.recv(&mut buffer).unwrap();
        let mut delivered = 0;
        parked.retry(&mut sockets, |end| delivered += usize::from(matches!(end, ParkedEnd::Sent)));
        assert_eq!((delivered, parked.is_empty()), (1, true));
    }

    #[test]
    fn a_parked_reply_ends_at_its_deadline_or_when_its_client_is_gone() {
        let server = ServerSocket::new();
        let mut sockets = sockets(&server);
        let (client, peer) = server.client("never", false);
        while matches!(sockets.send(b"first", &peer), SendOutcome::Sent) {}
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = ParkedReplies::take_over(Duration::from_nanos(1), &parcels);
        assert!(parked.park(b"late", &peer, None));
        let mut ends = Vec::new();
        parked.retry(&mut sockets, |end| ends.push(end));
        assert!(matches!(ends[..], [ParkedEnd::TimedOut(_)]), "{ends:?}");
        assert!(parked.park(b"late", &peer, None));
        drop(client);
        ends.clear();
        parked.retry(&mut sockets, |end| ends.push(end));
        assert!(matches!(ends[..], [ParkedEnd::Failed(..)]), "{ends:?}");
        assert!(!ParkedReplies::take_over(Duration::ZERO, &parcels).park(b"", &peer, None));
    }

    #[test]
    fn parked_replies_and_the_pause_have_limits() {
        let server = ServerSocket::new();
        let mut sockets = sockets(&server);
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = ParkedReplies::take_over(Duration::from_secs(60), &parcels);
        let clients: Vec<_> = (0..=MAX_REPLIES).map(|n| server.client(&format!("{n}"), false)).collect();
        for (_, peer) in &clients {
            while matches!(sockets.send(b"fill", peer), SendOutcome::Sent) {}
        }
        let kept = clients.iter().filter(|(_, peer)| parked.park(b"late", peer, None)).count();
        assert_eq!(kept, MAX_REPLIES);
        assert_eq!(parked.pause, FIRST_PAUSE);
        (0..20).for_each(|_| parked.retry(&mut sockets, |_| {}));
        assert_eq!(parked.pause, LONGEST_PAUSE);
        assert!(parked.pause() <= LONGEST_PAUSE);
    }

    #[test]
    fn a_successor_sends_parked_replies_of_every_length() {
        let server = ServerSocket::new();
        let mut sockets = sockets(&server);
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = ParkedReplies::take_over(Duration::from_secs(60), &parcels);
        let clients: Vec<_> = (0..MAX_REPLIES).map(|n| server.client(&format!("{n}"), false)).collect();
        let reply = |n: usize| vec![u8::try_from(n).unwrap(); MAX_DATAGRAM_BYTES * (n % 2) + 1 - n % 2];
        for (n, (_, peer)) in clients.iter().enumerate() {
            while matches!(sockets.send(b"fill", peer), SendOutcome::Sent) {}
            assert!(parked.park(&reply(n), peer, None));
        }
        parked.retry(&mut sockets, |end| panic!("{end:?}"));
        // As if the worker had been killed while it sent the first one.
        parked.replies[0].copy.set_in_flight(true);
        std::mem::forget(parked);
        let mut successor = ParkedReplies::take_over(Duration::from_secs(60), &parcels);
        assert!(!successor.has_peer(&clients[0].1) && successor.has_peer(&clients[1].1));
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES + 1];
        for (n, (client, _)) in clients.iter().enumerate().skip(1) {
            client.set_nonblocking(true).unwrap();
            while client.recv(&mut buffer).is_ok() {}
            successor.retry(&mut sockets, |end| assert!(matches!(end, ParkedEnd::Sent), "{end:?}"));
            let length = client.recv(&mut buffer).unwrap();
            assert!(buffer[..length] == reply(n), "{n}: {length} bytes");
        }
        assert!(successor.is_empty() && parcels.take_over().is_empty());
    }
}
