//! A fixed set of UNIX sockets that all processes send datagrams from, which bounds what peers leave unread.
//!
//! The kernel charges an unread datagram to the send buffer of the socket that it left from, until the peer reads it or
//! ends. The sockets are made before the first fork and every process holds all of them, so the charge outlives a killed
//! process, and the sum of all send buffers is the limit for all peers and processes together. Beyond it
//! [`PoolSender::send`] refuses. Half of the sockets take short datagrams alone: peers that leave long ones unread do
//! not keep short ones from the others. Some more sockets are reserved for when those are full, each for the peers of
//! some users: whoever leaves everything unread keeps no datagram from the peers of others. C has one socket, and no
//! datagram leaves any more once its buffer is full.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::datagram::{Peer, Socket};

/// A datagram up to this length is short, in bytes.
pub const SHORT_BYTES: usize = 4096;

/// Sockets of each half at least, so that a few processes rarely send from the same one.
const LEAST_SOCKETS: usize = 8;

/// Sockets that are reserved.
const RESERVED_SOCKETS: usize = 16;

/// The part of all bytes that the reserved sockets have: one of so many.
const RESERVED_PART: usize = 4;

/// The limit is reached: peers have not read what was sent to them before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("clients leave too many datagrams unread")]
pub struct UnreadLimit;

/// The sockets.
#[derive(Debug, Default)]
pub struct SendPool {
    /// Those for datagrams of any length first, then as many for short ones.
    sockets: Vec<Socket>,
    /// By [`reserved_for`].
    reserved: Vec<Socket>,
}

impl SendPool {
    /// A pool whose peers may leave about so many bytes unread, with the kernel's overhead: a quarter of them in the
    /// reserved sockets, and half of the others in short datagrams. Each socket may exceed its part by one datagram.
    ///
    /// # Errors
    /// When no descriptors can be had.
    pub fn create(bytes: usize) -> io::Result<Arc<SendPool>> {
        let (half, reserved) = SendPool::parts(bytes);
        let make = |count, buffer| (0..count).map(|_| SendPool::socket(buffer)).collect::<io::Result<_>>();
        let sockets = make(SendPool::count(bytes)? - RESERVED_SOCKETS, half / LEAST_SOCKETS)?;
        Ok(Arc::new(SendPool { sockets, reserved: make(RESERVED_SOCKETS, reserved / RESERVED_SOCKETS)? }))
    }

    /// How many sockets a pool of so many bytes has, each with a descriptor: the smaller a send buffer this user may
    /// have, the more.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn count(bytes: usize) -> io::Result<usize> {
        let (half, _) = SendPool::parts(bytes);
        let each = SendPool::socket(half / LEAST_SOCKETS)?.send_buffer().unwrap_or(half).clamp(1, half);
        Ok(half / each * 2 + RESERVED_SOCKETS)
    }

    /// The bytes of each half of the sockets, and of those that are reserved.
    fn parts(bytes: usize) -> (usize, usize) {
        let reserved = bytes / RESERVED_PART;
        ((bytes - reserved) / 2, reserved)
    }

    /// A socket with a send buffer of so many bytes, or of as many as this user may have.
    fn socket(bytes: usize) -> io::Result<Socket> {
        let socket = Socket::unix()?;
        // The kernel doubles what is asked for.
        socket.raise_send_buffer(bytes / 2);
        Ok(socket)
    }
}

/// Which reserved socket a peer has: one for all that have no path, one for root, and the others by the user who owns what
/// is at the path.
fn reserved_for(peer: &Peer) -> usize {
    match peer.path().and_then(|path| path.symlink_metadata().ok()) {
        None => 0,
        Some(file) if file.uid() == 0 => 1,
        Some(file) => 2 + file.uid() as usize % (RESERVED_SOCKETS - 2),
    }
}

/// What one process, or one thread, sends with.
#[derive(Debug)]
pub struct PoolSender {
    pool: Arc<SendPool>,
    /// The socket that had room last, for datagrams of any length and for short ones.
    at: [usize; 2],
}

impl PoolSender {
    /// Begins with a socket that depends on `number`, so that processes of different numbers do not share one.
    #[must_use]
    pub fn new(pool: Arc<SendPool>, number: usize) -> PoolSender {
        let first = number % (pool.sockets.len() / 2).max(1);
        PoolSender { pool, at: [first; 2] }
    }

    /// Sends one datagram, without waiting: from the socket that had room last, else from the next one that has, or from
    /// the reserved one. Long ones leave half of that for short ones.
    ///
    /// # Errors
    /// As [`Socket::send`], where `WouldBlock` means that the peer's own queue is full; [`UnreadLimit`] of the kind
    /// `QuotaExceeded` when no socket has room.
    pub fn send(&mut self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        let sockets = &self.pool.sockets;
        let is_short = bytes.len() <= SHORT_BYTES;
        let count = if is_short { sockets.len() } else { sockets.len() / 2 };
        let at = &mut self.at[usize::from(is_short)];
        for _ in 0..count {
            match sockets[*at].send(bytes, peer) {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && sockets[*at].is_send_buffer_full() =>
                {
                    *at = (*at + 1) % count;
                }
                result => return result,
            }
        }
        let reserved = self.pool.reserved.get(reserved_for(peer));
        match reserved.filter(|socket| is_short || !socket.is_send_buffer_half_full()) {
            None => {}
            Some(socket) => match socket.send(bytes, peer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && socket.is_send_buffer_full() => {}
                result => return result,
            },
        }
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, UnreadLimit))
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    const BYTES: usize = 4 << 20;

    struct Peers {
        folder: tempfile::TempDir,
        sockets: Vec<UnixDatagram>,
    }

    impl Peers {
        fn new() -> Peers {
            Peers { folder: tempfile::tempdir().unwrap(), sockets: Vec::new() }
        }

        fn add(&mut self) -> Peer {
            let path = self.folder.path().join(self.sockets.len().to_string());
            self.sockets.push(UnixDatagram::bind(&path).unwrap());
            Peer::unix(path.as_os_str().as_encoded_bytes()).unwrap()
        }

        /// The same, without a path.
        fn add_abstract(&mut self) -> Peer {
            let name = format!("{}/{}", self.folder.path().display(), self.sockets.len());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            self.sockets.push(UnixDatagram::bind_addr(&address).unwrap());
            let family = u16::try_from(libc::AF_UNIX).unwrap().to_ne_bytes();
            Peer::from_bytes(&[&family, &b"\0"[..], name.as_bytes()].concat()).unwrap()
        }

        /// Lets new peers get datagrams of so many bytes, and read none, until the limit is reached. Gives the bytes.
        fn hoard(&mut self, sender: &mut PoolSender, length: usize) -> usize {
            self.hoard_by(Peers::add, sender, length)
        }

        fn hoard_by(&mut self, add: fn(&mut Peers) -> Peer, sender: &mut PoolSender, length: usize) -> usize {
            let (bytes, mut sent) = (vec![b'x'; length], 0);
            loop {
                let peer = add(self);
                loop {
                    match sender.send(&bytes, &peer) {
                        Ok(()) => sent += length,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => {
                            assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded, "{error}");
                            return sent;
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_peers_leave_unread_is_bounded_for_all_senders_together() {
        let (pool, mut peers) = (SendPool::create(BYTES).unwrap(), Peers::new());
        let mut senders = [0, 1].map(|number| PoolSender::new(Arc::clone(&pool), number));
        let long = peers.hoard(&mut senders[0], 60_000);
        assert!((BYTES / 8..BYTES).contains(&long), "{long}");
        let none = peers.hoard(&mut senders[1], 60_000);
        assert_eq!(none, 0, "another process has no room of its own");
        // Short ones have room, of which a datagram takes more than its bytes.
        let peer = peers.add();
        senders[1].send(b"short", &peer).unwrap();
        let short = peers.hoard(&mut senders[1], SHORT_BYTES);
        assert!((BYTES / 8..BYTES).contains(&short), "{short}");
        assert_eq!(peers.hoard(&mut senders[0], 1), 0);
    }

    #[test]
    fn a_pool_has_as_many_sockets_as_were_told() {
        let pool = SendPool::create(BYTES).unwrap();
        let count = pool.sockets.len() + pool.reserved.len();
        assert_eq!(count, SendPool::count(BYTES).unwrap());
        assert!(count >= 2 * LEAST_SOCKETS + RESERVED_SOCKETS);
        // So small a send buffer every user may have.
        let small = SendPool::count(LEAST_SOCKETS << 15).unwrap();
        assert_eq!(small, 2 * LEAST_SOCKETS + RESERVED_SOCKETS);
    }

    #[test]
    fn peers_that_leave_everything_unread_keep_nothing_from_those_of_others() {
        let (pool, mut peers) = (SendPool::create(BYTES).unwrap(), Peers::new());
        let mut sender = PoolSender::new(pool, 0);
        for length in [60_000, SHORT_BYTES, 1] {
            peers.hoard_by(Peers::add_abstract, &mut sender, length);
        }
        let nameless = peers.add_abstract();
        assert_eq!(sender.send(b"short", &nameless).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        let peer = peers.add();
        for length in [60_000, 1] {
            sender.send(&vec![b'x'; length], &peer).unwrap();
            assert_eq!(peers.sockets.last().unwrap().recv(&mut [0; 70_000]).unwrap(), length);
        }
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        // So do those with a path, of another user.
        peers.hoard(&mut sender, SHORT_BYTES);
        let peer = peers.add();
        sender.send(b"short", &peer).unwrap_err();
        std::os::unix::fs::chown(peer.path().unwrap(), Some(65_534), None).unwrap();
        sender.send(b"short", &peer).unwrap();
    }

    #[test]
    fn room_that_is_freed_by_a_reader_is_used_again() {
        let (pool, mut peers) = (SendPool::create(BYTES).unwrap(), Peers::new());
        let mut sender = PoolSender::new(pool, 0);
        peers.hoard(&mut sender, SHORT_BYTES);
        peers.hoard(&mut sender, 60_000);
        drop(peers);
        let mut peers = Peers::new();
        let peer = peers.add();
        for length in [60_000, 1] {
            sender.send(&vec![b'x'; length], &peer).unwrap();
            assert_eq!(peers.sockets[0].recv(&mut [0; 70_000]).unwrap(), length);
        }
    }
}
