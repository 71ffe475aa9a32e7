//! Listening on TCP, and what waits in a connection.
#![expect(unsafe_code, reason = "SIOCOUTQ has no safe call")]

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{Backlog, MsgFlags, recv, setsockopt, sockopt};

/// Connections that may wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 1024;

/// What is sent and not read may fill so many bytes of a connection; the system doubles it. A limit, as without one
/// many who do not read take much of the kernel's memory, and as room for a part of it says that somebody reads.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// A listener on that address. What was bound there until a moment ago does not hinder it, and a connection's bytes
/// leave as soon as they are written.
///
/// # Errors
/// As `bind(2)` and `listen(2)`.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Connections have these from their listener.
    setsockopt(&listener, sockopt::TcpNoDelay, &true)?;
    setsockopt(&listener, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    listener.set_nonblocking(true)?;
    nix::sys::socket::listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener)
}

/// How much of what was sent on a connection its other end has not acknowledged yet, in bytes.
///
/// # Errors
/// As `ioctl(2)`.
pub fn unsent(connection: &impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as `connection` is borrowed, and SIOCOUTQ, which is TIOCOUTQ by another
    // name, writes one int to where it is told, which `bytes` is.
    let result = unsafe { libc::ioctl(connection.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// What the other end of a connection has said last, behind all that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWords {
    /// Nothing, or bytes that are not read yet.
    None,
    /// That it sends nothing more.
    End,
    /// That it wants nothing more, either.
    Reset,
}

/// What the other end has said last. Takes nothing out of the connection.
pub fn last_words(connection: &impl AsFd) -> LastWords {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match recv(connection.as_fd().as_raw_fd(), &mut [0], flags) {
        Ok(0) => LastWords::End,
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => LastWords::None,
        Err(_) => LastWords::Reset,
    }
}

/// The TCP sockets of this machine that some process has open.
#[derive(Debug, Default)]
pub struct OpenSockets(HashSet<(String, String)>);

impl OpenSockets {
    /// Reads the kernel's tables, which takes a millisecond for some thousand connections.
    #[must_use]
    pub fn read() -> OpenSockets {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
        OpenSockets(tables.iter().flat_map(|table| table.lines()).filter_map(open_socket).collect())
    }

    /// Whether there is one of that address, connected to that other one.
    #[must_use]
    pub fn has(&self, own: SocketAddr, other: SocketAddr) -> bool {
        self.0.contains(&(hexadecimal(own), hexadecimal(other)))
    }
}

/// Own address and that of the other end in a row of the table, unless its socket was closed: it has no inode then.
fn open_socket(row: &str) -> Option<(String, String)> {
    let mut words = row.split_whitespace().skip(1);
    let (own, other) = (words.next()?, words.next()?);
    words.nth(6).filter(|inode| inode.bytes().any(|byte| byte != b'0'))?;
    Some((own.to_owned(), other.to_owned()))
}

/// An address as the table has it: words of 32 bits in the order of this machine.
fn hexadecimal(address: SocketAddr) -> String {
    let octets: Vec<u8> = match address.ip() {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    };
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let words: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{words}:{:04X}", address.port())
}

/// Has the end of a connection throw away what was not sent, rather than the system keep it for minutes.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn discard_unsent(connection: &impl AsFd) -> io::Result<()> {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(setsockopt(connection, sockopt::Linger, &at_once)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};

    use super::*;

    #[test]
    fn connections_inherit_what_the_listener_was_told() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _client = TcpStream::connect(address).unwrap();
        let (connection, _) = listener.accept().unwrap();
        assert!(connection.nodelay().unwrap());
        assert!(listen(address).is_err());
    }

    #[test]
    fn what_waits_is_known_and_can_be_thrown_away() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        assert_eq!(unsent(&connection).unwrap(), 0);
        connection.set_nonblocking(true).unwrap();
        while connection.write(&[0; 1 << 16]).is_ok() {}
        let waiting = unsent(&connection).unwrap();
        assert!(waiting > 0);
        client.read_exact(&mut vec![0; waiting]).unwrap();
        discard_unsent(&connection).unwrap();
        drop(connection);
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    /// One that sends no more is told from one that is closed.
    #[test]
    fn a_client_that_has_left_is_known() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = listen(host.parse().unwrap()) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (connection, peer) = listener.accept().unwrap();
            let own = connection.local_addr().unwrap();
            assert_eq!(last_words(&connection), LastWords::None);
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(last_words(&connection), LastWords::End);
            assert!(OpenSockets::read().has(peer, own), "{host}");
            drop(client);
            assert!(!OpenSockets::read().has(peer, own), "{host}");
            assert_eq!(last_words(&connection), LastWords::End);
        }
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        discard_unsent(&client).unwrap();
        drop(client);
        assert_eq!(last_words(&connection), LastWords::Reset);
    }
}
