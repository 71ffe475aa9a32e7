//! A client of mi_fifo: writes into the server's FIFO and reads from one of its own.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::Mode;

use super::{DEADLINE, wait_for};

/// A client with a reply FIFO that it has open, so that the server never has to wait for it.
pub(crate) struct FifoClient {
    server: PathBuf,
    reply: File,
    name: String,
}

impl FifoClient {
    /// Makes the reply FIFO `name` in `folder` and opens it.
    pub(crate) fn new(server: &Path, folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        make_fifo(&path);
        Self { server: server.to_owned(), reply: open_reader(&path), name: name.to_owned() }
    }

    /// Writes the request, in which `{R}` stands for this client's name.
    #[track_caller]
    pub(crate) fn send(&self, text: &str) {
        write_to(&self.server, text.replace("{R}", &self.name).as_bytes());
    }

    /// The next reply: all that comes until its writer has closed the FIFO.
    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        match self.try_receive(DEADLINE) {
            Some(reply) => reply,
            None => panic!("no reply on {} within {DEADLINE:?}", self.name),
        }
    }

    /// As [`Self::receive`]; `None` when no whole reply came within `limit`.
    pub(crate) fn try_receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut reply = Vec::new();
        let mut buffer = [0; 65536];
        loop {
            match (&self.reply).read(&mut buffer) {
                // Nobody has it open for writing: before the reply, or behind it.
                Ok(0) if self.has_hung_up() && !self.has_input() => return Some(reply),
                Ok(0) => {}
                Ok(count) => {
                    reply.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("read: {error}"),
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let mut polled = [PollFd::new(self.reply.as_fd(), PollFlags::POLLIN)];
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap();
            let _ready = nix::poll::poll(&mut polled, left);
        }
    }

    /// What comes within `limit`, perhaps nothing.
    pub(crate) fn read_some(&self, limit: Duration) -> Vec<u8> {
        let mut polled = [PollFd::new(self.reply.as_fd(), PollFlags::POLLIN)];
        let _ready = nix::poll::poll(&mut polled, PollTimeout::try_from(limit).unwrap());
        let mut buffer = vec![0; 65536];
        let count = (&self.reply).read(&mut buffer).unwrap_or(0);
        buffer.truncate(count);
        buffer
    }

    /// Whether a writer has come and gone; never so before the first one.
    fn has_hung_up(&self) -> bool {
        self.events().contains(PollFlags::POLLHUP)
    }

    /// Whether something lies there unread.
    pub(crate) fn has_input(&self) -> bool {
        self.events().contains(PollFlags::POLLIN)
    }

    fn events(&self) -> PollFlags {
        let mut polled = [PollFd::new(self.reply.as_fd(), PollFlags::POLLIN)];
        nix::poll::poll(&mut polled, PollTimeout::ZERO).expect("poll");
        polled[0].revents().unwrap_or(PollFlags::empty())
    }

    /// Opens the FIFO anew, as a client does that asks again: what the last writer has left behind is over.
    pub(crate) fn reopen(&mut self, folder: &Path) {
        self.reply = open_reader(&folder.join(&self.name));
    }

    /// Writes a request and returns the reply.
    #[track_caller]
    pub(crate) fn ask(&mut self, folder: &Path, text: &str) -> Vec<u8> {
        self.reopen(folder);
        self.send(text);
        self.receive()
    }
}

/// Makes a FIFO that everybody may use.
pub(crate) fn make_fifo(path: &Path) {
    nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)).expect("a FIFO");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("its mode");
}

/// Opens a FIFO for reading, without waiting for a writer.
pub(crate) fn open_reader(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).expect("the reply FIFO")
}

/// Writes bytes into the server's FIFO; waits for room.
#[track_caller]
pub(crate) fn write_to(server: &Path, bytes: &[u8]) {
    let mut fifo = wait_for("the server's FIFO", || {
        OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(server).ok()
    });
    nix::fcntl::fcntl(&fifo, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).expect("blocking");
    fifo.write_all(bytes).expect("the request");
}
