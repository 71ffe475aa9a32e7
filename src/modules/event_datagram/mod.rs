//! event_datagram: events as datagrams to UNIX sockets and over UDP.
//!
//! Each process sends from sockets of its own, which it opens when it has its first event to send. C:
//! modules/event_datagram.

mod address;
mod message;

use std::cell::RefCell;
use std::io;

use crate::evi::{Event, Transport};
use crate::mi::Generation;
use crate::module::{Loaded, Module};
use crate::system::datagram::{Peer, Socket};
use crate::system::names::Resolver;
use address::Target;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "event_datagram",
    parameters: &[],
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|_, _| Ok(Loaded { transports: vec![Box::new(Datagrams::default())], ..Loaded::default() })),
};

/// The schemes `udp` and `unix`.
#[derive(Debug, Default)]
struct Datagrams {
    /// A socket for each family of addresses that was sent to.
    sockets: RefCell<Vec<Door>>,
    resolver: Resolver,
}

#[derive(Debug)]
struct Door {
    family: u16,
    socket: Socket,
}

impl Transport for Datagrams {
    fn schemes(&self) -> &'static [&'static str] {
        &["udp", "unix"]
    }

    fn canonical(&self, scheme: &str, socket: &[u8]) -> Option<Vec<u8>> {
        Target::parse(scheme, socket).map(|target| target.to_bytes())
    }

    fn resolve(&self, scheme: &str, socket: &[u8]) -> Option<Vec<u8>> {
        let peer = Target::parse(scheme, socket)?.peer(&self.resolver)?;
        Some(peer.as_bytes().to_vec())
    }

    fn encode(&self, event: &Event<'_>, generation: Generation, message: &mut Vec<u8>) {
        message::encode(event, generation, message);
    }

    fn send(&self, message: &[u8], address: &[u8]) -> io::Result<()> {
        let peer = Peer::from_bytes(address).ok_or(io::ErrorKind::InvalidInput)?;
        let family = peer.family();
        let mut doors = self.sockets.borrow_mut();
        let at = match doors.iter().position(|door| door.family == family) {
            Some(at) => at,
            None => {
                doors.push(Door { family, socket: Socket::towards(&peer)? });
                doors.len() - 1
            }
        };
        let door = &mut doors[at];
        door.socket.send_renewing(message, &peer, || Socket::towards(&peer))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn path(folder: &tempfile::TempDir, name: &str) -> Vec<u8> {
        folder.path().join(name).as_os_str().as_encoded_bytes().to_vec()
    }

    /// More than one send buffer holds is left unread, and the next one is served all the same.
    #[test]
    fn many_that_never_read_take_nothing_from_one_who_does() {
        let folder = tempfile::tempdir().unwrap();
        let events = Datagrams::default();
        let address = |name: &str| events.resolve("unix", &path(&folder, name)).unwrap();
        let message = [b'x'; 8000];
        let mut unread = 0;
        let dead: Vec<_> = (0..20)
            .map(|number| {
                let name = format!("dead-{number}");
                let socket = UnixDatagram::bind(folder.path().join(&name)).unwrap();
                while events.send(&message, &address(&name)).is_ok() {
                    unread += message.len();
                }
                socket
            })
            .collect();
        assert!(unread > 1_000_000, "only {unread} bytes lie unread at {} sockets", dead.len());
        let good = UnixDatagram::bind(folder.path().join("good")).unwrap();
        events.send(&message, &address("good")).unwrap();
        assert_eq!(good.recv(&mut [0; 9000]).unwrap(), message.len());
    }

    #[test]
    fn a_socket_is_opened_once_for_a_family() {
        let folder = tempfile::tempdir().unwrap();
        let events = Datagrams::default();
        let _bound = UnixDatagram::bind(folder.path().join("s")).unwrap();
        for (scheme, socket) in
            [("unix", path(&folder, "s")), ("udp", b"127.0.0.1:9".to_vec()), ("udp", b"127.0.0.2:9".to_vec())]
        {
            let address = events.resolve(scheme, &socket).unwrap();
            events.send(b"E\n\n", &address).unwrap();
        }
        assert_eq!(events.sockets.borrow().len(), 2);
        let nobody = events.resolve("unix", &path(&folder, "none")).unwrap();
        assert_eq!(events.send(b"E\n\n", &nobody).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(events.send(b"E\n\n", b"?").is_err());
    }
}
