//! The floor: a bare pre-forked blocking echo, the least that any server of datagrams has to do. Owns its socket
//! and its processes; knows no command.
//!
//! As many processes as the server has workers block in recvfrom on one bound socket. Each answers every datagram
//! with the same stored bytes, those of a real reply, through an unbound socket of its own (the server's way) or,
//! with `--one-socket`, through the bound one. It looks at nothing, counts nothing and allocates nothing.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::children::Started;
use crate::error::{Error, Result};

/// Largest datagram, in bytes, as in mi_datagram.
const MAX_DATAGRAM_BYTES: usize = 65_457;

/// A running echo; its processes end with this value.
pub(crate) struct Floor {
    pub(crate) socket: PathBuf,
    _processes: Vec<Started>,
}

impl Floor {
    /// Starts an echo in `directory`, which must be new, with `workers` processes that answer `reply`.
    pub(crate) fn start(directory: &Path, workers: usize, reply: &[u8], one_socket: bool) -> Result<Floor> {
        fs::create_dir(directory).map_err(Error::os("create", directory))?;
        let reply_file = directory.join("reply");
        fs::write(&reply_file, reply).map_err(Error::os("write", &reply_file))?;
        let socket = directory.join("mi.sock");
        // Requests wait in the socket until the processes are there, so nobody needs to wait for them here.
        let bound = UnixDatagram::bind(&socket).map_err(Error::os("bind", &socket))?;
        let way = if one_socket { "one-socket" } else { "two-sockets" };
        let start = |_| {
            let inherited = bound.try_clone().map_err(Error::os("duplicate", &socket))?;
            Started::role(
                "echo",
                &[reply_file.as_os_str(), way.as_ref()],
                Stdio::from(OwnedFd::from(inherited)),
            )
        };
        let processes = (0..workers).map(start).collect::<Result<_>>()?;
        Ok(Floor { socket, _processes: processes })
    }
}

/// The part `echo`: answers until it is killed.
///
/// # Errors
/// A missing argument, an unreadable reply, or a socket error other than a client that has gone.
pub(crate) fn echo(arguments: &[OsString]) -> io::Result<()> {
    let [reply_file, way] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let reply = fs::read(reply_file)?;
    let bound = UnixDatagram::from(io::stdin().as_fd().try_clone_to_owned()?);
    let unbound = UnixDatagram::unbound()?;
    let answers = if way == "one-socket" { &bound } else { &unbound };
    let mut request = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let (_, client) = bound.recv_from(&mut request)?;
        match answers.send_to_addr(&reply, &client) {
            Ok(_) => {}
            Err(gone)
                if matches!(gone.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
}
