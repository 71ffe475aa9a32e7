//! event_datagram: events as datagrams to UNIX sockets and over UDP.
//!
//! Each thread that sends has sockets of its own, which it opens when it has its first event to send. C:
//! modules/event_datagram.

mod address;
mod message;

use std::io;
use std::sync::Arc;

use crate::evi::{Event, Place, Sender, SubscribeError, Transport};
use crate::mi::Generation;
use crate::module::{Module, ModuleParts};
use crate::system::datagram::{Peer, Socket};
use crate::system::names::Resolver;
use crate::system::send_pool::{PoolSender, SendPool};
use address::Target;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "event_datagram",
    parameters: &[],
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|_, _| {
        Ok(ModuleParts { transports: vec![Box::new(Datagrams::default())], ..ModuleParts::default() })
    }),
};

/// What subscribers at UNIX sockets may leave unread, over all processes, in bytes with the kernel's overhead.
const UNREAD_BYTES: usize = 16 << 20;

/// The schemes `udp` and `unix`.
#[derive(Debug, Default)]
struct Datagrams {
    resolver: Resolver,
    pool: Arc<SendPool>,
}

/// The pool for UNIX subscribers, and a socket for each other family of addresses that was sent to.
#[derive(Debug)]
struct Doors {
    unix: PoolSender,
    others: Vec<Door>,
}

#[derive(Debug)]
struct Door {
    family: u16,
    socket: Socket,
}

impl Transport for Datagrams {
    fn shared_descriptors(&self) -> u64 {
        // Without a descriptor for a look the pool is refused, too.
        SendPool::count(UNREAD_BYTES).unwrap_or(0) as u64
    }

    fn open(&mut self) -> io::Result<()> {
        self.pool = SendPool::create(UNREAD_BYTES)?;
        Ok(())
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["udp", "unix"]
    }

    fn parse(&self, scheme: &str, socket: &[u8]) -> Option<Place> {
        let target = Target::parse(scheme, socket)?;
        let address = target.peer().map(|peer| peer.as_bytes().to_vec());
        Some(Place { canonical: target.to_bytes(), address })
    }

    fn look_up(&self, scheme: &str, canonical: &[u8]) -> Result<Vec<u8>, SubscribeError> {
        let target = Target::parse(scheme, canonical).ok_or(SubscribeError::Socket)?;
        let peer = target.look_up(&self.resolver)?;
        Ok(peer.as_bytes().to_vec())
    }

    fn encode(&self, event: &Event<'_>, generation: Generation, message: &mut Vec<u8>) {
        message::encode(event, generation, message);
    }

    fn sender(&self) -> Box<dyn Sender> {
        Box::new(Doors {
            unix: PoolSender::new(Arc::clone(&self.pool), std::process::id() as usize),
            others: Vec::new(),
        })
    }
}

impl Sender for Doors {
    fn send(&mut self, message: &[u8], address: &[u8]) -> io::Result<()> {
        let peer = Peer::from_bytes(address).ok_or(io::ErrorKind::InvalidInput)?;
        let sent = if i32::from(peer.family()) == libc::AF_UNIX {
            self.unix.send(message, &peer)
        } else {
            self.other(&peer)?.send(message, &peer)
        };
        sent.map_err(|error| if has_no_room(&error) { io::ErrorKind::WouldBlock.into() } else { error })
    }
}

impl Doors {
    /// The socket of a peer's family.
    fn other(&mut self, peer: &Peer) -> io::Result<&Socket> {
        let family = peer.family();
        let at = match self.others.iter().position(|door| door.family == family) {
            Some(at) => at,
            None => {
                self.others.push(Door { family, socket: Socket::towards(peer)? });
                self.others.len() - 1
            }
        };
        Ok(&self.others[at].socket)
    }
}

/// Whether there is no room just now: the system is short of memory, or subscribers leave too much unread.
fn has_no_room(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::QuotaExceeded
        || matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn path(folder: &tempfile::TempDir, name: &str) -> Vec<u8> {
        folder.path().join(name).as_os_str().as_encoded_bytes().to_vec()
    }

    fn address(path: &[u8]) -> Vec<u8> {
        Datagrams::default().parse("unix", path).unwrap().address.unwrap()
    }

    fn opened() -> Datagrams {
        let mut events = Datagrams::default();
        events.open().unwrap();
        events
    }

    /// More than one send buffer holds is left unread, and the next one is served all the same.
    #[test]
    fn many_that_never_read_take_nothing_from_one_who_does() {
        let folder = tempfile::tempdir().unwrap();
        let mut doors = opened().sender();
        let message = [b'x'; 8000];
        let mut unread = 0;
        let dead: Vec<_> = (0..20)
            .map(|number| {
                let name = format!("dead-{number}");
                let socket = UnixDatagram::bind(folder.path().join(&name)).unwrap();
                while doors.send(&message, &address(&path(&folder, &name))).is_ok() {
                    unread += message.len();
                }
                socket
            })
            .collect();
        assert!(unread > 1_000_000, "only {unread} bytes lie unread at {} sockets", dead.len());
        let good = UnixDatagram::bind(folder.path().join("good")).unwrap();
        doors.send(&message, &address(&path(&folder, "good"))).unwrap();
        assert_eq!(good.recv(&mut [0; 9000]).unwrap(), message.len());
    }

    #[test]
    fn a_socket_is_opened_once_for_a_family() {
        let folder = tempfile::tempdir().unwrap();
        let events = opened();
        let unix = PoolSender::new(Arc::clone(&events.pool), 0);
        let mut doors = Doors { unix, others: Vec::new() };
        let _bound = UnixDatagram::bind(folder.path().join("s")).unwrap();
        for (scheme, socket) in
            [("unix", path(&folder, "s")), ("udp", b"127.0.0.1:9".to_vec()), ("udp", b"127.0.0.2:9".to_vec())]
        {
            let address = events.parse(scheme, &socket).unwrap().address.unwrap();
            doors.send(b"E\n\n", &address).unwrap();
        }
        assert_eq!(doors.others.len(), 1);
        let nobody = address(&path(&folder, "none"));
        assert_eq!(doors.send(b"E\n\n", &nobody).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(doors.send(b"E\n\n", b"?").is_err());
    }
}
