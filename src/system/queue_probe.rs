//! Tells whether a UNIX client's receive queue has room for a datagram, without sending one.
//!
//! The kernel reports a connected datagram socket as writable when its peer's queue has room. Sockets that send replies
//! stay unconnected, as they send to many clients, so a second socket is connected for the question alone.

use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::datagram::Peer;

/// A socket that is connected to one client and sends nothing.
#[derive(Debug)]
pub struct QueueProbe(OwnedFd);

impl QueueProbe {
    /// Connects to a client. `None` when it is no UNIX client, has ended, is connected to another socket (the kernel
    /// limits no queue of such a client), or no descriptor can be had.
    #[must_use]
    pub fn connect(peer: &Peer) -> Option<QueueProbe> {
        if i32::from(peer.family()) != libc::AF_UNIX {
            return None;
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).ok()?;
        peer.connect(socket.as_fd()).ok()?;
        Some(QueueProbe(socket))
    }

    /// Whether the client's queue takes no datagram now. A client that has ended is not full: sending tells so.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        nix::poll::poll(&mut polled, PollTimeout::ZERO) == Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::system::datagram::{Socket, Wait};

    #[test]
    fn a_queue_is_full_until_its_client_reads_or_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server");
        let server = Socket::unix_bound(&path).unwrap();
        let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
        client.send_to(b"x", &path).unwrap();
        let mut peer = Peer::new();
        server.receive(&mut [0; 8], &mut peer, Wait::No).unwrap();
        let probe = QueueProbe::connect(&peer).unwrap();
        assert!(!probe.is_full());
        while server.send(b"reply", &peer).is_ok() {}
        assert!(probe.is_full());
        client.recv(&mut [0; 8]).unwrap();
        assert!(!probe.is_full());
        server.send(b"reply", &peer).unwrap();
        assert!(probe.is_full());
        drop(client);
        assert!(!probe.is_full());
    }

    #[test]
    fn a_client_that_is_connected_to_the_server_has_no_probe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server");
        let server = Socket::unix_bound(&path).unwrap();
        let client = UnixDatagram::bind(folder.path().join("client")).unwrap();
        client.connect(&path).unwrap();
        client.send(b"x").unwrap();
        let mut peer = Peer::new();
        server.receive(&mut [0; 8], &mut peer, Wait::No).unwrap();
        assert!(QueueProbe::connect(&peer).is_none());
        assert!(QueueProbe::connect(&Peer::udp("127.0.0.1:9".parse().unwrap())).is_none());
    }
}
