//! Listening on TCP.

use std::io;
use std::net::{SocketAddr, TcpListener};

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

#[cfg(test)]
mod tests {
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
}
