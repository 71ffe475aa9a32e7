//! A fixed set of UNIX sockets that all processes send datagrams from, which bounds what peers leave unread.
//!
//! The kernel charges an unread datagram to the send buffer of the socket that it left from, until the peer reads it or
//! ends. The sockets are made before the first fork and every process holds all of them, so the charge outlives a killed
//! process, and the sum of all send buffers is the limit for all peers and processes together. Beyond it
//! [`PoolSender::send`] refuses. Half of the sockets take short datagrams alone: peers that leave long ones unread do
//! not keep short ones from the others. C has one socket, and no datagram leaves any more once its buffer is full.

use std::io;
use std::sync::Arc;

use super::datagram::{Peer, Socket};

/// A datagram up to this length is short, in bytes.
pub const SHORT_BYTES: usize = 4096;

/// Sockets of each half at least, so that a few processes rarely send from the same one.
const LEAST_SOCKETS: usize = 8;

/// The limit is reached: peers have not read what was sent to them before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("clients leave too many datagrams unread")]
pub struct UnreadLimit;

/// The sockets: those for datagrams of any length first, then as many for short ones.
#[derive(Debug, Default)]
pub struct SendPool {
    sockets: Vec<Socket>,
}

impl SendPool {
    /// A pool whose peers may leave about so many bytes unread, with the kernel's overhead, half of them in short
    /// datagrams. Each socket may exceed its part by one datagram.
    ///
    /// # Errors
    /// When no descriptors can be had.
    pub fn create(bytes: usize) -> io::Result<Arc<SendPool>> {
        let count = SendPool::count(bytes)?;
        let sockets = (0..count).map(|_| SendPool::socket(bytes)).collect::<io::Result<_>>()?;
        Ok(Arc::new(SendPool { sockets }))
    }

    /// How many sockets a pool of so many bytes has, each with a descriptor: the smaller a send buffer this user may
    /// have, the more.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn count(bytes: usize) -> io::Result<usize> {
        let half = bytes / 2;
        let each = SendPool::socket(bytes)?.send_buffer().unwrap_or(half).clamp(1, half);
        Ok(half / each * 2)
    }

    /// One of the sockets of a pool of so many bytes.
    fn socket(bytes: usize) -> io::Result<Socket> {
        let socket = Socket::unix()?;
        // The kernel doubles what is asked for, and cuts it to its own limit.
        socket.raise_send_buffer(bytes / 2 / LEAST_SOCKETS / 2);
        Ok(socket)
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

    /// Sends one datagram, without waiting: from the socket that had room last, else from the next one that has.
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
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, UnreadLimit))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

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

        /// Lets new peers get datagrams of so many bytes, and read none, until the limit is reached. Gives the bytes.
        fn hoard(&mut self, sender: &mut PoolSender, length: usize) -> usize {
            let (bytes, mut sent) = (vec![b'x'; length], 0);
            loop {
                let peer = self.add();
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
        assert_eq!(pool.sockets.len(), SendPool::count(BYTES).unwrap());
        assert!(pool.sockets.len() >= 2 * LEAST_SOCKETS);
        // So small a send buffer every user may have.
        let small = SendPool::count(LEAST_SOCKETS << 15).unwrap();
        assert_eq!(small, 2 * LEAST_SOCKETS);
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
