//! event_datagram: sends events as datagrams to UNIX sockets and over UDP.
//!
//! ```text
//! address.rs  parses and resolves the sockets of subscriptions
//! message.rs  encodes an event
//! ```
//!
//! Each thread that sends has its own UDP sockets and opens them when it sends its first event. C:
//! modules/event_datagram.

mod address;
mod message;

use std::io;
use std::sync::Arc;

use crate::evi::{Event, ParsedSocket, Sender, SubscribeError, Transport};
use crate::mi::Generation;
use crate::module::{Module, ModuleParts};
use crate::system::datagram::{Peer, Socket};
use crate::system::names::Resolver;
use crate::system::send_pool::{PoolSender, SendPool};
use address::SubscriberSocket;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "event_datagram",
    parameters: &[],
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|_, _| {
        Ok(ModuleParts { transports: vec![Box::new(DatagramTransport::default())], ..ModuleParts::default() })
    }),
};

/// The most bytes that subscribers at UNIX sockets may leave unread, from all processes together, with the
/// kernel's overhead.
const UNREAD_BYTES: usize = 16 << 20;

/// Serves the schemes `udp` and `unix`.
#[derive(Debug, Default)]
struct DatagramTransport {
    resolver: Resolver,
    /// The UNIX sockets that all processes send from.
    pool: Arc<SendPool>,
}

/// Sends to UNIX sockets from the shared pool, and over UDP from one socket per address family.
#[derive(Debug)]
struct DatagramSender {
    unix: PoolSender,
    /// Each opened when it is first needed.
    udp: Vec<UdpSocket>,
}

#[derive(Debug)]
struct UdpSocket {
    /// AF_INET or AF_INET6.
    family: u16,
    socket: Socket,
}

impl Transport for DatagramTransport {
    fn shared_descriptors(&self) -> u64 {
        // When the pool's size cannot be found out, `open` fails as well.
        SendPool::count(UNREAD_BYTES).unwrap_or(0) as u64
    }

    fn open(&mut self) -> io::Result<()> {
        self.pool = SendPool::create(UNREAD_BYTES)?;
        Ok(())
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["udp", "unix"]
    }

    fn parse(&self, scheme: &str, socket: &[u8]) -> Option<ParsedSocket> {
        let target = SubscriberSocket::parse(scheme, socket)?;
        let address = target.peer().map(|peer| peer.as_bytes().to_vec());
        Some(ParsedSocket { canonical: target.to_bytes(), address })
    }

    fn look_up(&self, scheme: &str, canonical: &[u8]) -> Result<Vec<u8>, SubscribeError> {
        let target = SubscriberSocket::parse(scheme, canonical).ok_or(SubscribeError::InvalidSocket)?;
        let peer = target.look_up(&self.resolver)?;
        Ok(peer.as_bytes().to_vec())
    }

    fn encode(&self, event: &Event<'_>, generation: Generation, message: &mut Vec<u8>) {
        message::encode(event, generation, message);
    }

    fn sender(&self) -> Box<dyn Sender> {
        Box::new(DatagramSender {
            unix: PoolSender::new(Arc::clone(&self.pool), std::process::id() as usize),
            udp: Vec::new(),
        })
    }
}

impl Sender for DatagramSender {
    fn send(&mut self, message: &[u8], address: &[u8]) -> io::Result<()> {
        let peer = Peer::from_bytes(address).ok_or(io::ErrorKind::InvalidInput)?;
        let sent = if i32::from(peer.family()) == libc::AF_UNIX {
            self.unix.send(message, &peer)
        } else {
            self.udp_socket(&peer)?.send(message, &peer)
        };
        sent.map_err(|error| if is_temporary(&error) { io::ErrorKind::WouldBlock.into() } else { error })
    }
}

impl DatagramSender {
    /// The UDP socket of a peer's address family.
    fn udp_socket(&mut self, peer: &Peer) -> io::Result<&Socket> {
        let family = peer.family();
        let index = match self.udp.iter().position(|socket| socket.family == family) {
            Some(index) => index,
            None => {
                self.udp.push(UdpSocket { family, socket: Socket::towards(peer)? });
                self.udp.len() - 1
            }
        };
        Ok(&self.udp[index].socket)
    }
}

/// Whether a retry can succeed: the system is short of memory, or subscribers leave too many bytes unread.
fn is_temporary(error: &io::Error) -> bool {
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
        DatagramTransport::default().parse("unix", path).unwrap().address.unwrap()
    }

    fn opened() -> DatagramTransport {
        let mut transport = DatagramTransport::default();
        transport.open().unwrap();
        transport
    }

    /// The unread bytes exceed one send buffer.
    #[test]
    fn subscribers_that_never_read_delay_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut sender = opened().sender();
        let message = [b'x'; 8000];
        let mut unread = 0;
        let dead: Vec<_> = (0..20)
            .map(|number| {
                let name = format!("dead-{number}");
                let socket = UnixDatagram::bind(folder.path().join(&name)).unwrap();
                while sender.send(&message, &address(&path(&folder, &name))).is_ok() {
                    unread += message.len();
                }
                socket
            })
            .collect();
        assert!(unread > 1_000_000, "only {unread} bytes lie unread at {} sockets", dead.len());
        let good = UnixDatagram::bind(folder.path().join("good")).unwrap();
        sender.send(&message, &address(&path(&folder, "good"))).unwrap();
        assert_eq!(good.recv(&mut [0; 9000]).unwrap(), message.len());
    }

    #[test]
    fn udp_addresses_of_one_family_share_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let transport = opened();
        let unix = PoolSender::new(Arc::clone(&transport.pool), 0);
        let mut sender = DatagramSender { unix, udp: Vec::new() };
        let _bound = UnixDatagram::bind(folder.path().join("s")).unwrap();
        for (scheme, socket) in
            [("unix", path(&folder, "s")), ("udp", b"127.0.0.1:9".to_vec()), ("udp", b"127.0.0.2:9".to_vec())]
        {
            let address = transport.parse(scheme, &socket).unwrap().address.unwrap();
            sender.send(b"E\n\n", &address).unwrap();
        }
        assert_eq!(sender.udp.len(), 1);
        let nobody = address(&path(&folder, "none"));
        assert_eq!(sender.send(b"E\n\n", &nobody).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(sender.send(b"E\n\n", b"?").is_err());
    }
}
