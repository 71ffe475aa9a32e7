//! Round trips over FIFOs: a client's FIFO for replies, and one request at a time. Owns the client's side alone; who
//! answers is a server or the bare echo of `floor`.
//!
//! The client opens its FIFO before it asks, so that nobody has to wait for it, and reads until the writer has closed
//! it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

/// Stands for the name of the client's FIFO in a request.
const FIELD: &str = "{R}";
/// Length of each such name, in bytes, so that the requests of all clients are as long.
const NAME_BYTES: usize = 15;
/// Most that is read at once, in bytes: what a FIFO holds.
pub(crate) const PIECE_BYTES: usize = 1 << 16;
/// How long a reply may stay away, in ms.
const PATIENCE_MS: u16 = 5_000;

/// A client's FIFO, and the one of its server.
pub(crate) struct Link {
    name: String,
    path: PathBuf,
    server: File,
}

/// Whether requests go there over a FIFO.
pub(crate) fn is_fifo(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.file_type().is_fifo())
}

/// Where a request names the client's FIFO, and the length of such a request.
pub(crate) fn name_place(request: &[u8]) -> (usize, usize) {
    let at = request.windows(FIELD.len()).position(|window| window == FIELD.as_bytes());
    at.map_or((0, request.len()), |at| (at, request.len() - FIELD.len() + NAME_BYTES))
}

/// The FIFO's name among those of a request as [`name_place`] has it.
pub(crate) fn name_in(request: &[u8], at: usize) -> &[u8] {
    &request[at..at + NAME_BYTES]
}

impl Link {
    /// Opens the server's FIFO, and makes one for the client of that number beside its socket, unless it is there.
    pub(crate) fn open(server: &Path, folder: &Path, number: usize) -> io::Result<Link> {
        let name = format!("bench-fifo-{number:04}");
        let path = folder.join(&name);
        match nix::unistd::mkfifo(&path, Mode::S_IRUSR) {
            // A server that runs as another user writes to it.
            Ok(()) => fs::set_permissions(&path, Permissions::from_mode(0o622))?,
            Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Link { name, path, server: OpenOptions::new().write(true).open(server)? })
    }

    /// The request with the name of this client's FIFO.
    pub(crate) fn fill(&self, request: &[u8]) -> Vec<u8> {
        let (at, length) = name_place(request);
        if length == request.len() {
            return request.to_vec();
        }
        [&request[..at], self.name.as_bytes(), &request[at + FIELD.len()..]].concat()
    }

    /// Asks, and hands each piece of the reply to `take` as it comes, through `buffer`.
    pub(crate) fn stream(
        &self,
        request: &[u8],
        buffer: &mut [u8],
        take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let replies = open_reader(&self.path)?;
        (&self.server).write_all(request)?;
        read_to_end(&replies, buffer, take)
    }

    /// Asks, and puts the reply into `buffer`. Returns its length.
    pub(crate) fn ask(&self, request: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        let mut piece = [0; PIECE_BYTES];
        self.stream(request, &mut piece, |bytes| {
            let room = buffer.get_mut(length..length + bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            room.copy_from_slice(bytes);
            length += bytes.len();
            Ok(())
        })?;
        Ok(length)
    }
}

fn open_reader(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

/// Hands on what comes until a writer has come and gone.
fn read_to_end(
    mut replies: &File,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    // Before its first writer has come, a FIFO reads as one whose writer has gone.
    let mut has_begun = false;
    loop {
        match replies.read(buffer) {
            Ok(0) if has_begun => return Ok(()),
            Ok(0) => {}
            Ok(count) => {
                has_begun = true;
                take(&buffer[..count])?;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let mut polled = [PollFd::new(replies.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, PollTimeout::from(PATIENCE_MS))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Has `cat` copy a file into a new FIFO in `folder`, and hands each piece to `take` as [`Link::stream`] does.
pub(crate) fn cat(
    file: &Path,
    folder: &Path,
    buffer: &mut [u8],
    take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let path = folder.join("cat");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU)?;
    let replies = open_reader(&path)?;
    let output = OpenOptions::new().write(true).open(&path)?;
    fs::remove_file(&path)?;
    // The command goes at the end of the line, and with it the bench's own writing end.
    let mut cat = Command::new("cat").arg(file).stdin(Stdio::null()).stdout(output).spawn()?;
    let read = read_to_end(&replies, buffer, take);
    drop(replies);
    let status = cat.wait()?;
    read.and(if status.success() { Ok(()) } else { Err(io::Error::other(format!("cat: {status}"))) })
}
