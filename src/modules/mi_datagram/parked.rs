//! Replies that their clients have no room for.
//!
//! A reply that cannot be delivered is kept and tried again between requests, until its deadline: the worker
//! never sleeps on it. Bounded: one reply a client, [`MAX_REPLIES`] in all. Each lies in shared memory as well, and the
//! successor of a killed worker goes on with it. A reply is lost if its worker is killed in the call that delivers it,
//! as nobody can tell then whether the client has it; a client whose queue is full is not sent to, so that a kill at
//! that time loses nothing. C has a `socket_timeout` too, but tries once and forgets.

use std::io;
use std::time::{Duration, Instant};

use crate::shm::{Parcel, Parcels, UnsentReply};
use crate::system::datagram::{Peer, Socket};
use crate::system::queue_probe::QueueProbe;
use crate::system::send_pool::{PoolSender, SHORT_BYTES};
use crate::wire::MAX_DATAGRAM_BYTES;

/// Replies that one worker keeps at most.
pub(super) const MAX_REPLIES: usize = 64;

/// The longest reply with its client's address, in bytes.
pub(super) const PARCEL_BYTES: usize = MAX_DATAGRAM_BYTES + size_of::<Peer>();

/// How soon a parked reply is first tried again.
const FIRST_PAUSE: Duration = Duration::from_micros(50);

/// How long the pause between two tries gets.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// The sockets a reply may leave from.
#[derive(Debug)]
pub(super) struct Doors<'a> {
    /// Where requests arrive.
    pub(super) bound: &'a Socket,
    /// For replies to UNIX clients, so that what they leave unread neither fills the buffer of the bound socket nor
    /// grows without a limit.
    pub(super) pool: Option<PoolSender>,
}

impl Doors<'_> {
    /// Sends a reply by whichever door the client accepts.
    ///
    /// A client that called `connect` accepts datagrams from the bound socket alone; any other door is EPERM.
    pub(super) fn send(&mut self, bytes: &[u8], peer: &Peer) -> Outcome {
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
            Ok(()) => Outcome::Sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Outcome::Full,
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => Outcome::UnreadLimit,
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
                ) =>
            {
                Outcome::Full
            }
            Err(error) => Outcome::Failed(error),
        }
    }
}

impl Doors<'_> {
    /// A connected client's queue has no limit of its own: what it does not read fills the send buffer that all
    /// connected clients share. Half of it is kept for short replies, so that those who hoard long ones leave room
    /// for the others.
    fn send_to_connected(&self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        if bytes.len() > SHORT_BYTES && self.bound.is_send_buffer_half_full() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bound.send(bytes, peer)
    }
}

/// What became of one try to send.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is with the client.
    Sent,
    /// The client has no room for it now.
    Full,
    /// Clients have left too much unread already, over all workers.
    UnreadLimit,
    /// It will never arrive.
    Failed(io::Error),
}

/// A reply that left the list.
#[derive(Debug)]
pub(super) enum Gone {
    /// Delivered late.
    Delivered,
    /// Its deadline has passed.
    TimedOut(Peer),
    /// Its client went away.
    Failed(Peer, io::Error),
    /// There is no room for it, over all workers.
    UnreadLimit(Peer),
}

/// The replies kept by one worker.
#[derive(Debug)]
pub(super) struct Parked<'a> {
    replies: Vec<Reply<'a>>,
    parcels: &'a Parcels,
    /// The order of the last parcel.
    last: u64,
    keep_for: Duration,
    pause: Duration,
    next_try: Instant,
}

#[derive(Debug)]
struct Reply<'a> {
    peer: Peer,
    bytes: Vec<u8>,
    deadline: Instant,
    copy: Copy<'a>,
    /// `None` for a client whose queue the kernel does not limit, or that cannot be asked: sending tells.
    queue: Option<QueueProbe>,
}

impl<'a> Reply<'a> {
    fn new(peer: Peer, bytes: &[u8], deadline: Instant, copy: Copy<'a>) -> Reply<'a> {
        Reply { peer, bytes: bytes.to_vec(), deadline, copy, queue: QueueProbe::connect(&peer) }
    }

    /// Sends the reply, unless the client's queue is full.
    fn send(&self, doors: &mut Doors<'_>) -> Outcome {
        if self.queue.as_ref().is_some_and(QueueProbe::is_full) {
            return Outcome::Full;
        }
        self.copy.set_in_flight(true);
        let outcome = doors.send(&self.bytes, &self.peer);
        if matches!(outcome, Outcome::Full) {
            self.copy.set_in_flight(false);
        }
        outcome
    }
}

/// Where a successor finds a reply.
#[derive(Debug)]
enum Copy<'a> {
    /// A reply that came at once. `None` when there was no room, which is never so: there are as many parcels as replies.
    Parcel(Option<Parcel<'a>>),
    /// One that has come later.
    Row(UnsentReply),
}

impl Copy<'_> {
    fn set_in_flight(&self, is_in_flight: bool) {
        match self {
            Copy::Parcel(parcel) => parcel.iter().for_each(|parcel| parcel.set_in_flight(is_in_flight)),
            Copy::Row(unsent) => unsent.set_in_flight(is_in_flight),
        }
    }
}

impl<'a> Parked<'a> {
    /// The list that a predecessor has left, whose replies are kept for so long from now on.
    pub(super) fn take_over(keep_for: Duration, parcels: &'a Parcels) -> Parked<'a> {
        let now = Instant::now();
        let mut parked =
            Parked { replies: Vec::new(), parcels, last: 0, keep_for, pause: FIRST_PAUSE, next_try: now };
        for (order, parcel, bytes) in parcels.take_over() {
            parked.last = order;
            let Some((&length, rest)) = bytes.split_first() else { continue };
            let Some((address, bytes)) = rest.split_at_checked(usize::from(length)) else { continue };
            let Some(peer) = Peer::from_bytes(address) else { continue };
            let copy = Copy::Parcel(Some(parcel));
            parked.replies.push(Reply::new(peer, bytes, now + keep_for, copy));
        }
        parked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// How long to wait for a request before the replies are tried again; zero when they are due.
    pub(super) fn pause(&self) -> Duration {
        self.next_try.saturating_duration_since(Instant::now())
    }

    /// Whether a reply to that client waits already: a later one must not overtake it.
    pub(super) fn holds(&self, peer: &Peer) -> bool {
        self.replies.iter().any(|reply| reply.peer == *peer)
    }

    /// Keeps a reply, which has come later when there is a row for it. False when there is no room, or no time to keep it.
    pub(super) fn park(&mut self, bytes: &[u8], peer: &Peer, row: Option<UnsentReply>) -> bool {
        if self.replies.len() >= MAX_REPLIES || self.keep_for.is_zero() || self.holds(peer) {
            return false;
        }
        let now = Instant::now();
        self.pause = FIRST_PAUSE;
        self.next_try = now + FIRST_PAUSE;
        let deadline = now + self.keep_for;
        let copy = row.map_or_else(|| self.keep(bytes, peer), Copy::Row);
        self.replies.push(Reply::new(*peer, bytes, deadline, copy));
        true
    }

    fn keep(&mut self, bytes: &[u8], peer: &Peer) -> Copy<'a> {
        self.last += 1;
        let address = peer.as_bytes();
        // An address has at most 128 bytes.
        let length = u8::try_from(address.len()).unwrap_or(u8::MAX);
        Copy::Parcel(self.parcels.keep(self.last, &[&[length], address, bytes]))
    }

    /// Tries all replies once more, when that is due; tells `gone` of each that leaves the list.
    pub(super) fn retry_when_due(&mut self, doors: &mut Doors<'_>, gone: impl FnMut(Gone)) {
        if Instant::now() >= self.next_try {
            self.retry(doors, gone);
        }
    }

    /// Tries all replies once more; tells `gone` of each that leaves the list.
    pub(super) fn retry(&mut self, doors: &mut Doors<'_>, mut gone: impl FnMut(Gone)) {
        let now = Instant::now();
        self.replies.retain(|reply| {
            let end = match reply.send(doors) {
                Outcome::Sent => Gone::Delivered,
                Outcome::Failed(error) => Gone::Failed(reply.peer, error),
                Outcome::UnreadLimit => Gone::UnreadLimit(reply.peer),
                Outcome::Full if now >= reply.deadline => Gone::TimedOut(reply.peer),
                Outcome::Full => return true,
            };
            gone(end);
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

    struct Place {
        folder: tempfile::TempDir,
        server: Socket,
    }

    impl Place {
        fn new() -> Place {
            let folder = tempfile::tempdir().unwrap();
            let server = Socket::unix_bound(&folder.path().join("server")).unwrap();
            Place { folder, server }
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
            self.server.receive(&mut [0; 8], &mut peer, Wait::No).unwrap();
            (client, peer)
        }
    }

    fn doors(place: &Place) -> Doors<'_> {
        let pool = SendPool::create(8 << 20).unwrap();
        Doors { bound: &place.server, pool: Some(PoolSender::new(pool, 0)) }
    }

    #[test]
    fn connected_and_unconnected_clients_both_get_their_reply() {
        let place = Place::new();
        for connected in [false, true] {
            let (client, peer) = place.client(if connected { "c" } else { "u" }, connected);
            assert!(matches!(doors(&place).send(b"reply", &peer), Outcome::Sent));
            assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
        }
    }

    #[test]
    fn unread_replies_of_some_do_not_use_up_the_room_of_others() {
        let place = Place::new();
        let mut doors = doors(&place);
        let long = vec![b'x'; 60_000];
        let hoarders: Vec<_> = (0..4).map(|n| place.client(&format!("hoarder{n}"), false)).collect();
        let mut left_unread = 0;
        for (_, peer) in &hoarders {
            while matches!(doors.send(&long, peer), Outcome::Sent) {
                left_unread += 1;
            }
        }
        assert!(left_unread >= 4 * 10, "{left_unread}: each queue should be full, not the socket's buffer");
        let (good, peer) = place.client("good", false);
        assert!(matches!(doors.send(b"reply", &peer), Outcome::Sent));
        assert_eq!(good.recv(&mut [0; 16]).unwrap(), 5);
        let (hoarder, _) = &hoarders[0];
        assert_eq!(hoarder.recv(&mut vec![0; 70_000]).unwrap(), long.len());
    }

    #[test]
    fn a_full_queue_parks_and_delivers_once_there_is_room() {
        let place = Place::new();
        let mut doors = doors(&place);
        let (client, peer) = place.client("slow", false);
        while matches!(doors.send(b"first", &peer), Outcome::Sent) {}
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = Parked::take_over(Duration::from_secs(60), &parcels);
        assert!(parked.park(b"late", &peer, None));
        assert!(parked.holds(&peer) && !parked.park(b"later still", &peer, None));
        parked.retry(&mut doors, |gone| panic!("{gone:?}"));
        let mut buffer = [0; 16];
        client.recv(&mut buffer).unwrap();
        let mut delivered = 0;
        parked.retry(&mut doors, |gone| delivered += usize::from(matches!(gone, Gone::Delivered)));
        assert_eq!((delivered, parked.is_empty()), (1, true));
    }

    #[test]
    fn a_deadline_ends_it_and_a_gone_client_too() {
        let place = Place::new();
        let mut doors = doors(&place);
        let (client, peer) = place.client("never", false);
        while matches!(doors.send(b"first", &peer), Outcome::Sent) {}
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = Parked::take_over(Duration::from_nanos(1), &parcels);
        assert!(parked.park(b"late", &peer, None));
        let mut ends = Vec::new();
        parked.retry(&mut doors, |gone| ends.push(gone));
        assert!(matches!(ends[..], [Gone::TimedOut(_)]), "{ends:?}");
        assert!(parked.park(b"late", &peer, None));
        drop(client);
        ends.clear();
        parked.retry(&mut doors, |gone| ends.push(gone));
        assert!(matches!(ends[..], [Gone::Failed(..)]), "{ends:?}");
        assert!(!Parked::take_over(Duration::ZERO, &parcels).park(b"", &peer, None));
    }

    #[test]
    fn the_list_is_bounded_and_the_pause_grows_to_its_limit() {
        let place = Place::new();
        let mut doors = doors(&place);
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = Parked::take_over(Duration::from_secs(60), &parcels);
        let clients: Vec<_> = (0..=MAX_REPLIES).map(|n| place.client(&format!("{n}"), false)).collect();
        for (_, peer) in &clients {
            while matches!(doors.send(b"fill", peer), Outcome::Sent) {}
        }
        let kept = clients.iter().filter(|(_, peer)| parked.park(b"late", peer, None)).count();
        assert_eq!(kept, MAX_REPLIES);
        assert_eq!(parked.pause, FIRST_PAUSE);
        (0..20).for_each(|_| parked.retry(&mut doors, |_| {}));
        assert_eq!(parked.pause, LONGEST_PAUSE);
        assert!(parked.pause() <= LONGEST_PAUSE);
    }

    #[test]
    fn a_successor_goes_on_with_replies_of_every_length() {
        let place = Place::new();
        let mut doors = doors(&place);
        let parcels = Parcels::create(MAX_REPLIES, PARCEL_BYTES).unwrap();
        let mut parked = Parked::take_over(Duration::from_secs(60), &parcels);
        let clients: Vec<_> = (0..MAX_REPLIES).map(|n| place.client(&format!("{n}"), false)).collect();
        let reply = |n: usize| vec![u8::try_from(n).unwrap(); MAX_DATAGRAM_BYTES * (n % 2) + 1 - n % 2];
        for (n, (_, peer)) in clients.iter().enumerate() {
            while matches!(doors.send(b"fill", peer), Outcome::Sent) {}
            assert!(parked.park(&reply(n), peer, None));
        }
        parked.retry(&mut doors, |gone| panic!("{gone:?}"));
        // As if its process had been killed while it sent the first one.
        parked.replies[0].copy.set_in_flight(true);
        std::mem::forget(parked);
        let mut successor = Parked::take_over(Duration::from_secs(60), &parcels);
        assert!(!successor.holds(&clients[0].1) && successor.holds(&clients[1].1));
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES + 1];
        for (n, (client, _)) in clients.iter().enumerate().skip(1) {
            client.set_nonblocking(true).unwrap();
            while client.recv(&mut buffer).is_ok() {}
            successor.retry(&mut doors, |gone| assert!(matches!(gone, Gone::Delivered), "{gone:?}"));
            let length = client.recv(&mut buffer).unwrap();
            assert!(buffer[..length] == reply(n), "{n}: {length} bytes");
        }
        assert!(successor.is_empty() && parcels.take_over().is_empty());
    }
}
