//! Listening on TCP, and what waits in a connection.
#![expect(unsafe_code, reason = "SIOCOUTQ has no safe call")]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{Backlog, setsockopt, sockopt};

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
    use std::net::TcpStream;

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
}
