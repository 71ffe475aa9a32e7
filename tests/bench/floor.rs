//! The floor: a bare pre-forked blocking echo, the least that any server of datagrams or FIFOs has to do. Owns its
//! socket or FIFO and its processes; knows no command.
//!
//! As many processes as the server has workers block in recvfrom on one bound socket. Each answers every datagram
//! with the same stored bytes, those of a real reply, through an unbound socket of its own (the server's way) or,
//! with `--one-socket`, through the bound one. It looks at nothing, counts nothing and allocates nothing.
//!
//! Over FIFOs it is one process that blocks in read. All requests are as long and name the client's FIFO at one place,
//! so that it need not look for it; it opens that FIFO, writes the stored bytes and closes it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::stat::Mode;

use crate::children::Started;
use crate::error::{Error, Result};
use crate::fifo;

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

    /// Starts an echo over a FIFO in `directory`, which must be new, whose clients' FIFOs lie in the folder above, and
    /// which answers all requests that are like `request` with `reply`.
    pub(crate) fn over_fifo(directory: &Path, request: &[u8], reply: &[u8]) -> Result<Floor> {
        fs::create_dir(directory).map_err(Error::os("create", directory))?;
        let reply_file = directory.join("reply");
        fs::write(&reply_file, reply).map_err(Error::os("write", &reply_file))?;
        let socket = directory.join("fifo");
        let made = nix::unistd::mkfifo(&socket, Mode::S_IRWXU).map_err(io::Error::from);
        made.map_err(Error::os("make the FIFO", &socket))?;
        let requests = OpenOptions::new().read(true).write(true).open(&socket);
        let requests = requests.map_err(Error::os("open", &socket))?;
        let replies = directory.parent().unwrap_or(directory);
        let (at, length) = fifo::name_place(request);
        let (at, length) = (at.to_string(), length.to_string());
        let arguments = [reply_file.as_os_str(), replies.as_os_str(), at.as_ref(), length.as_ref()];
        let process = Started::role("fifo-echo", &arguments, Stdio::from(requests))?;
        Ok(Floor { socket, _processes: vec![process] })
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

/// The part `fifo-echo`: answers until it is killed.
///
/// # Errors
/// A missing argument, an unreadable reply, or an error of a FIFO other than that of a client that has gone.
pub(crate) fn fifo_echo(arguments: &[OsString]) -> io::Result<()> {
    let [reply_file, folder, at, length] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<usize>().ok());
    let (Some(at), Some(length)) = (number(at), number(length)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let reply = fs::read(reply_file)?;
    let mut requests = fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut buffer = vec![0; 1 << 16];
    let folder = [folder.as_bytes(), b"/"].concat();
    let mut path = Vec::new();
    loop {
        let count = requests.read(&mut buffer)?;
        for request in buffer[..count].chunks_exact(length) {
            path.clear();
            path.extend_from_slice(&folder);
            path.extend_from_slice(fifo::name_in(request, at));
            match options
                .open(Path::new(OsStr::from_bytes(&path)))
                .and_then(|mut fifo| fifo.write_all(&reply))
            {
                Ok(()) => {}
                Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => {}
                Err(gone) if gone.raw_os_error() == Some(nix::libc::ENXIO) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
