//! A client of one datagram socket, UNIX or UDP. Every receive has a deadline.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{self, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{DEADLINE, Endpoint, shown};

/// How a client comes to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name of its own, the server named with each request: what scripts do.
    Bound,
    /// A name of its own and `connect`: what a language's connect function does. On UDP also that.
    Connected,
    /// A name in the abstract namespace. UDP: as `Bound`.
    Abstract,
    /// No name, so there is no way to answer it. UDP: as `Bound`.
    Unbound,
}

/// A client. Its name is removed when it goes.
pub(crate) struct Client {
    link: Link,
    name: Option<PathBuf>,
}

enum Link {
    Unix { socket: UnixDatagram, server: PathBuf, connected: bool },
    Udp { socket: UdpSocket, server: SocketAddr, connected: bool },
}

impl Client {
    /// A client of `endpoint`; a name it needs is made in `folder`.
    pub(crate) fn new(endpoint: &Endpoint, folder: &Path, kind: Kind) -> io::Result<Self> {
        match endpoint {
            Endpoint::Unix(server) => Self::unix(server, folder, kind),
            Endpoint::Udp(server) => Self::udp(*server, kind),
        }
    }

    fn unix(server: &Path, folder: &Path, kind: Kind) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut name = None;
        let socket = match kind {
            Kind::Unbound => UnixDatagram::unbound()?,
            Kind::Abstract => {
                let text = format!("mi-test-{}-{count}", std::process::id());
                UnixDatagram::bind_addr(&net::SocketAddr::from_abstract_name(text)?)?
            }
            Kind::Bound | Kind::Connected => {
                let path = folder.join(format!("client-{count}"));
                let socket = UnixDatagram::bind(&path)?;
                // A server that gave up root may answer as well.
                fs::set_permissions(&path, Permissions::from_mode(0o777))?;
                name = Some(path);
                socket
            }
        };
        let connected = kind == Kind::Connected;
        let client = Self { link: Link::Unix { socket, server: server.to_owned(), connected }, name };
        if let (Link::Unix { socket, server, .. }, true) = (&client.link, connected) {
            socket.connect(server)?;
        }
        Ok(client)
    }

    fn udp(server: SocketAddr, kind: Kind) -> io::Result<Self> {
        let socket = UdpSocket::bind((server.ip(), 0))?;
        let connected = kind == Kind::Connected;
        if connected {
            socket.connect(server)?;
        }
        Ok(Self { link: Link::Udp { socket, server, connected }, name: None })
    }

    /// Sends one request; waits while the server's queue is full.
    pub(crate) fn send(&self, request: &[u8]) -> io::Result<()> {
        let sent = match &self.link {
            Link::Unix { socket, connected: true, .. } => socket.send(request),
            Link::Unix { socket, server, connected: false } => socket.send_to(request, server),
            Link::Udp { socket, connected: true, .. } => socket.send(request),
            Link::Udp { socket, server, connected: false } => socket.send_to(request, server),
        }?;
        assert_eq!(sent, request.len(), "a datagram went out in part");
        Ok(())
    }

    /// The next reply.
    ///
    /// # Errors
    /// `WouldBlock` when none came within `limit`; whatever the socket says else.
    pub(crate) fn receive(&self, limit: Duration) -> io::Result<Vec<u8>> {
        let limit = Some(limit.max(Duration::from_millis(1)));
        let mut buffer = vec![0; 128 * 1024];
        let length = match &self.link {
            Link::Unix { socket, .. } => {
                socket.set_read_timeout(limit)?;
                uninterrupted(|| socket.recv(&mut buffer))?
            }
            Link::Udp { socket, server, .. } => {
                socket.set_read_timeout(limit)?;
                let (length, from) = uninterrupted(|| socket.recv_from(&mut buffer))?;
                assert_eq!(from, *server, "the reply comes from another address than the request went to");
                length
            }
        };
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Whether a reply lies here unread. Does not wait.
    pub(crate) fn has_more(&self) -> bool {
        match self.receive(Duration::from_millis(1)) {
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => panic!("receive: {error}"),
        }
    }

    /// Sends a request and returns the reply. The test fails when none comes.
    #[track_caller]
    pub(crate) fn ask(&self, request: &[u8]) -> Vec<u8> {
        match self.send(request).and_then(|()| self.receive(DEADLINE)) {
            Ok(reply) => reply,
            Err(error) => panic!("no reply to\n{}: {error}", shown(request)),
        }
    }

    /// As [`Self::ask`], with the time it took and an error instead of a failed test.
    pub(crate) fn try_ask(&self, request: &[u8], limit: Duration) -> io::Result<(Vec<u8>, Duration)> {
        let start = Instant::now();
        self.send(request)?;
        let reply = self.receive(limit)?;
        Ok((reply, start.elapsed()))
    }

    /// From now on a send that would wait fails at once with `WouldBlock`.
    pub(crate) fn never_wait(&self) {
        let done = match &self.link {
            Link::Unix { socket, .. } => socket.set_nonblocking(true),
            Link::Udp { socket, .. } => socket.set_nonblocking(true),
        };
        done.expect("O_NONBLOCK");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::remove_file(name);
        }
    }
}

/// Repeats a call that a stop of the whole process has interrupted, as happens on virtual machines.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
