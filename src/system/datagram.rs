//! Datagram sockets, UNIX and UDP: receive, send, and who sent.
//!
//! A received address is kept as the kernel gave it and handed back as it is, so named, abstract and UDP
//! peers need no distinction. C: `mi_datagram_server` and `mi_send_dgram` in datagram_fnc.c.
#![expect(unsafe_code, reason = "recvfrom and sendto without copying or parsing the address")]

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

/// The sender of a datagram.
#[derive(Clone, Copy)]
pub struct Peer {
    address: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Peer {
    /// No peer yet: to be filled by [`Socket::receive`].
    #[must_use]
    pub fn new() -> Peer {
        // SAFETY: sockaddr_storage is plain numbers, for which zero is a value.
        let address = unsafe { std::mem::zeroed() };
        Peer { address, length: 0 }
    }

    /// The peer at a UNIX socket's path. `None` for a path that is empty, holds a NUL or does not fit an address.
    #[must_use]
    pub fn unix(path: &[u8]) -> Option<Peer> {
        // The kernel wants a NUL behind the path.
        let fits = (1..size_of::<libc::sockaddr_un>() - size_of::<libc::sa_family_t>()).contains(&path.len());
        (fits && !path.contains(&0)).then(|| Peer::join(libc::AF_UNIX, &[path, b"\0"])).flatten()
    }

    /// The peer at an IP address and port.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Peer {
        let port = address.port().to_be_bytes();
        let peer = match address {
            SocketAddr::V4(v4) => Peer::join(libc::AF_INET, &[&port, &v4.ip().octets(), &[0; 8]]),
            SocketAddr::V6(v6) => {
                let (flow, scope) = (v6.flowinfo().to_be_bytes(), v6.scope_id().to_ne_bytes());
                Peer::join(libc::AF_INET6, &[&port, &flow, &v6.ip().octets(), &scope])
            }
        };
        peer.unwrap_or_default()
    }

    /// A peer from what [`as_bytes`](Peer::as_bytes) gave. `None` when that is no address.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Peer> {
        let mut peer = Peer::new();
        let fits =
            (size_of::<libc::sa_family_t>()..=size_of::<libc::sockaddr_storage>()).contains(&bytes.len());
        let length = libc::socklen_t::try_from(bytes.len()).ok().filter(|_| fits)?;
        // SAFETY: the storage has room for that many bytes (checked above), is plain numbers of which any bytes
        // are values, and does not overlap with the slice.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut peer.address).cast(), bytes.len()) };
        peer.length = length;
        Some(peer)
    }

    /// Connects a socket of the address's family to it.
    ///
    /// # Errors
    /// As `connect(2)`.
    pub(super) fn connect(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: the address is live and given with its real length; nothing is written through it.
        let status =
            unsafe { libc::connect(socket.as_raw_fd(), (&raw const self.address).cast(), self.length) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn join(family: i32, parts: &[&[u8]]) -> Option<Peer> {
        let family = libc::sa_family_t::try_from(family).ok()?;
        Peer::from_bytes(&[&family.to_ne_bytes(), parts.concat().as_slice()].concat())
    }

    /// The kind of address, as the kernel numbers it.
    #[must_use]
    pub fn family(&self) -> u16 {
        self.address.ss_family
    }

    /// Whether a reply can be sent: a UNIX client that bound no name has no address.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.length as usize > std::mem::size_of::<libc::sa_family_t>()
    }

    /// The path that a UNIX client's socket is bound to; `None` for one that another process may see elsewhere.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        let name = self.as_bytes().get(size_of::<libc::sa_family_t>()..)?;
        let path = Path::new(OsStr::from_bytes(name.split(|&byte| byte == 0).next()?));
        (i32::from(self.address.ss_family) == libc::AF_UNIX && path.is_absolute()).then_some(path)
    }

    /// The address as the kernel has it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let length = (self.length as usize).min(std::mem::size_of::<libc::sockaddr_storage>());
        // SAFETY: the storage is `length` initialized bytes or more: it was zeroed and then written by the
        // kernel, and the borrow ends with `self`.
        unsafe { std::slice::from_raw_parts((&raw const self.address).cast(), length) }
    }
}

impl Default for Peer {
    fn default() -> Peer {
        Peer::new()
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Peer) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Peer {}

/// For the log: `/path`, `@abstract`, `127.0.0.1:5060`, `[::1]:5060`, or `no address`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        match i32::from(self.address.ss_family) {
            libc::AF_UNIX if self.has_address() => {
                let name = &bytes[std::mem::size_of::<libc::sa_family_t>()..];
                match name.split_first() {
                    Some((0, abstract_name)) => write!(f, "@{}", abstract_name.escape_ascii()),
                    _ => write!(f, "{}", name.split(|&b| b == 0).next().unwrap_or_default().escape_ascii()),
                }
            }
            libc::AF_INET if bytes.len() >= 8 => {
                let port = u16::from_be_bytes([bytes[2], bytes[3]]);
                write!(f, "{}.{}.{}.{}:{port}", bytes[4], bytes[5], bytes[6], bytes[7])
            }
            libc::AF_INET6 if bytes.len() >= 24 => {
                let port = u16::from_be_bytes([bytes[2], bytes[3]]);
                let mut address = [0_u8; 16];
                address.copy_from_slice(&bytes[8..24]);
                write!(f, "[{}]:{port}", Ipv6Addr::from(address))
            }
            _ => f.write_str("no address"),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({self})")
    }
}

/// The size of a type, as socket calls take it.
const fn socket_length<T>() -> libc::socklen_t {
    assert!(size_of::<T>() <= 1024, "no address or option is that large");
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    let length = size_of::<T>() as libc::socklen_t;
    length
}

/// Whether a call may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until there is something, or a signal comes.
    Forever,
    /// Not at all.
    No,
}

/// A datagram socket. Closed when dropped.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// A UNIX socket without a name: it can send to named peers that have not connected.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn unix() -> io::Result<Socket> {
        Ok(Socket(UnixDatagram::unbound()?.into()))
    }

    /// A UNIX socket bound to a path, with the mode that the umask leaves.
    ///
    /// # Errors
    /// As `bind(2)`; also for a path that does not fit a socket address.
    pub fn unix_bound(path: &Path) -> io::Result<Socket> {
        Ok(Socket(UnixDatagram::bind(path)?.into()))
    }

    /// A UDP socket bound to an address.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn udp_bound(address: SocketAddr) -> io::Result<Socket> {
        Ok(Socket(UdpSocket::bind(address)?.into()))
    }

    /// A socket of its own to send from to an IP peer and others of its kind. What is sent to it is not kept: nobody
    /// reads it, so it has the smallest receive buffer.
    ///
    /// # Errors
    /// When no descriptor can be had, or there is no such kind.
    pub fn towards(peer: &Peer) -> io::Result<Socket> {
        let socket = match i32::from(peer.family()) {
            libc::AF_INET => Socket::udp_bound((Ipv4Addr::UNSPECIFIED, 0).into()),
            libc::AF_INET6 => Socket::udp_bound((Ipv6Addr::UNSPECIFIED, 0).into()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }?;
        setsockopt(&socket.0, sockopt::RcvBuf, &0)?;
        Ok(socket)
    }

    /// A second descriptor of the same socket.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn duplicate(&self) -> io::Result<Socket> {
        Ok(Socket(self.0.try_clone()?))
    }

    /// Receives one datagram and its sender. Returns the datagram's full length, which is more than the
    /// buffer's when the rest was cut off.
    ///
    /// # Errors
    /// As `recvfrom(2)`: `Interrupted` when a signal came, `WouldBlock` when there is none and `wait` is no.
    pub fn receive(&self, buffer: &mut [u8], peer: &mut Peer, wait: Wait) -> io::Result<usize> {
        peer.length = socket_length::<libc::sockaddr_storage>();
        let flags = libc::MSG_TRUNC | if wait == Wait::No { libc::MSG_DONTWAIT } else { 0 };
        // SAFETY: buffer and address are live, writable and given with their real lengths.
        let received = unsafe {
            libc::recvfrom(
                self.0.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags,
                (&raw mut peer.address).cast(),
                &raw mut peer.length,
            )
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Sends one datagram to a peer, without waiting.
    ///
    /// # Errors
    /// As `sendto(2)`: `WouldBlock` when the peer's queue or this socket's buffer is full, `PermissionDenied`
    /// when the peer is connected to another socket.
    pub fn send(&self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        // SAFETY: both pointers are live and given with their real lengths; nothing is written through them.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                (&raw const peer.address).cast(),
                peer.length,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until there is a datagram to receive, the other descriptor is readable, or the time is up; without a limit
    /// it waits for ever.
    ///
    /// # Errors
    /// `Interrupted` when a signal came.
    pub fn wait(&self, other: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> io::Result<()> {
        let own = PollFd::new(self.0.as_fd(), PollFlags::POLLIN);
        let mut descriptors = [own, PollFd::new(other.unwrap_or(self.0.as_fd()), PollFlags::POLLIN)];
        let used = if other.is_some() { 2 } else { 1 };
        let limit = limit.map(nix::sys::time::TimeSpec::from_duration);
        nix::poll::ppoll(&mut descriptors[..used], limit, None)?;
        Ok(())
    }

    /// Makes the send buffer as large as `bytes`, or as large as the system lets this user have.
    pub fn raise_send_buffer(&self, bytes: usize) {
        if setsockopt(&self.0, sockopt::SndBufForce, &bytes).is_err() {
            // The kernel cuts the value to its limit; no buffer is worse than the default.
            let _raised = setsockopt(&self.0, sockopt::SndBuf, &bytes);
        }
    }

    /// Bytes of kernel memory that hold datagrams not yet received, over all processes that share the socket.
    ///
    /// C: `get_total_bytes_waiting` reads the same figure from /proc/net/udp.
    #[must_use]
    pub fn bytes_waiting(&self) -> u64 {
        self.memory().map_or(0, |[received, ..]| received.into())
    }

    /// The limit of what peers may leave unread, in bytes with the kernel's overhead.
    #[must_use]
    pub fn send_buffer(&self) -> Option<usize> {
        self.memory().and_then(|[_, _, _, limit, ..]| usize::try_from(limit).ok())
    }

    /// Whether datagrams that peers have not read use up this socket's send buffer.
    #[must_use]
    pub fn is_send_buffer_full(&self) -> bool {
        self.memory().is_some_and(|[_, _, sent, limit, ..]| sent >= limit)
    }

    /// Whether they use up half of it.
    #[must_use]
    pub fn is_send_buffer_half_full(&self) -> bool {
        self.memory().is_some_and(|[_, _, sent, limit, ..]| sent >= limit / 2)
    }

    /// The kernel's figures of the socket: what waits to be received, the limit of that, what was sent and not
    /// read, the limit of that, and five others.
    fn memory(&self) -> Option<[u32; 9]> {
        let mut figures = [0_u32; 9];
        let mut length = socket_length::<[u32; 9]>();
        // SAFETY: the buffer is live, writable and given with its real length.
        let status = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                figures.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        (status == 0).then_some(figures)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of the descriptors is readable, or the time is up; signals end the wait early.
pub fn wait_any(descriptors: &[BorrowedFd<'_>], limit: Duration) {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|&descriptor| PollFd::new(descriptor, PollFlags::POLLIN)).collect();
    // poll counts whole milliseconds; one that is cut off would make the caller spin through it.
    let limit = PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    // Interrupted, timed out or readable: the caller looks at its flags in each case.
    let _ready = nix::poll::poll(&mut polled, limit);
}

/// Whether reading would not block now.
#[must_use]
pub fn is_readable(descriptor: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(descriptor, PollFlags::POLLIN)];
    nix::poll::poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_datagram_reports_its_full_length() {
        let folder = tempfile::tempdir().unwrap();
        let server = Socket::unix_bound(&folder.path().join("s")).unwrap();
        let client = UnixDatagram::bind(folder.path().join("c")).unwrap();
        client.send_to(&[7; 100], folder.path().join("s")).unwrap();
        let mut buffer = [0; 10];
        let mut peer = Peer::new();
        assert_eq!(server.receive(&mut buffer, &mut peer, Wait::No).unwrap(), 100);
        assert_eq!(buffer, [7; 10]);
        assert!(peer.has_address());
        assert_eq!(peer.to_string(), folder.path().join("c").to_string_lossy());
        Socket::unix().unwrap().send(b"back", &peer).unwrap();
        let mut reply = [0; 10];
        assert_eq!(client.recv(&mut reply).unwrap(), 4);
    }

    #[test]
    fn an_unbound_client_has_no_address() {
        let folder = tempfile::tempdir().unwrap();
        let server = Socket::unix_bound(&folder.path().join("s")).unwrap();
        UnixDatagram::unbound().unwrap().send_to(b"x", folder.path().join("s")).unwrap();
        let mut peer = Peer::new();
        assert_eq!(server.receive(&mut [0; 8], &mut peer, Wait::No).unwrap(), 1);
        assert!(!peer.has_address());
        assert_eq!(peer.to_string(), "no address");
    }

    #[test]
    fn udp_peers_are_named_and_counted() {
        let server = Socket::udp_bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = UdpSocket::from(server.0.try_clone().unwrap()).local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(server.bytes_waiting(), 0);
        client.send_to(b"hello", address).unwrap();
        server.wait(None, Some(Duration::from_secs(5))).unwrap();
        assert!(server.bytes_waiting() >= 5);
        let mut peer = Peer::new();
        server.receive(&mut [0; 8], &mut peer, Wait::No).unwrap();
        assert_eq!(peer.to_string(), client.local_addr().unwrap().to_string());
    }

    #[test]
    fn a_socket_to_send_from_keeps_little_of_what_it_gets() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = Peer::udp(receiver.local_addr().unwrap());
        let socket = Socket::towards(&peer).unwrap();
        socket.send(b"event", &peer).unwrap();
        let mut buffer = [0; 8];
        let (_, from) = receiver.recv_from(&mut buffer).unwrap();
        for _ in 0..100 {
            receiver.send_to(&[0; 1000], from).unwrap();
        }
        assert!(socket.bytes_waiting() < 10_000, "{}", socket.bytes_waiting());
    }

    #[test]
    fn nothing_to_receive_does_not_wait_when_told_not_to() {
        let folder = tempfile::tempdir().unwrap();
        let server = Socket::unix_bound(&folder.path().join("s")).unwrap();
        let error = server.receive(&mut [0; 8], &mut Peer::new(), Wait::No).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
