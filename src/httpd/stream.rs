//! The bytes of a connection, as hyper reads and writes them.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};
use tokio::net::TcpStream;

use super::connection::Activity;
use super::memory::{FREE_HEAD_BYTES, Kind};
use super::worker::Worker;

/// Most that is read at once, in bytes. A buffer of a connection that waits for its next request has no more than twice
/// as much.
const SCRATCH_BYTES: usize = 8 << 10;

/// What bytes are read into before they have a place of their own; the connections of a worker share it.
pub(super) type Scratch = RefCell<Box<[u8]>>;

/// A new one.
pub(super) fn scratch() -> Scratch {
    RefCell::new(vec![0; SCRATCH_BYTES].into())
}

/// The bytes of a connection.
pub(super) struct Io {
    worker: Rc<Worker>,
    /// Shared with whoever looks at the deadlines.
    stream: Rc<TcpStream>,
    activity: Rc<Activity>,
    version: Version,
}

impl Io {
    pub(super) fn new(worker: Rc<Worker>, stream: Rc<TcpStream>, activity: Rc<Activity>) -> Io {
        Io { worker, stream, activity, version: Version::default() }
    }

    /// How many bytes may be read, of so many that could be: a long head waits for its part of the memory.
    fn poll_room(&self, cx: &Context<'_>, wanted: usize) -> Poll<usize> {
        let Some(head) = self.activity.head() else { return Poll::Ready(wanted) };
        let counted = self.activity.counted_head().get();
        let more = (head + wanted).saturating_sub(FREE_HEAD_BYTES).saturating_sub(counted);
        if more == 0 || self.worker.has_room(Kind::Request, more) {
            return Poll::Ready(wanted);
        }
        if head < FREE_HEAD_BYTES {
            return Poll::Ready(FREE_HEAD_BYTES - head);
        }
        self.worker.memory.want(cx);
        Poll::Pending
    }

    fn note_read(&self, bytes: usize) {
        self.activity.note_read(bytes);
        if let Some(head) = self.activity.head() {
            self.worker.count_head(&self.activity, head.saturating_sub(FREE_HEAD_BYTES));
        }
    }

    fn write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write_vectored(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = self.worker.scratch.borrow_mut();
        let room = ready!(self.poll_room(cx, buffer.remaining().min(scratch.len())));
        let read = loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(&mut scratch[..room]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => break read?,
            }
        };
        if read > 0 {
            self.note_read(read);
            buffer.put_slice(&scratch[..read]);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match shutdown(self.stream.as_raw_fd(), Shutdown::Write) {
            Ok(()) | Err(Errno::ENOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.version.replaced(slices, self.activity.is_reply_old()) {
            None => self.write(cx, slices),
            Some(slices) => self.write(cx, &slices).map_ok(|written| {
                self.version.note_written(written);
                written
            }),
        };
        self.activity.note_write(written)
    }
}

/// The version at the beginning of replies.
///
/// Hyper answers HTTP/1.0 with HTTP/1.0. The servers of OpenSIPS, abyss and libmicrohttpd, say HTTP/1.1 to everybody,
/// as RFC 9110 (6.2) wants it, and there are clients that look for that: opensips-cp up to 6.0.
#[derive(Debug, Default)]
struct Version {
    /// How many bytes of it have left, while some are to be written.
    sent: Cell<Option<usize>>,
}

impl Version {
    const OLD: &[u8] = b"HTTP/1.0";
    const NEW: &[u8] = b"HTTP/1.1";

    /// What is to be written in place of bytes that begin a reply of the old version, in as many bytes.
    fn replaced<'a>(&self, slices: &'a [IoSlice<'_>], is_reply_old: &Cell<bool>) -> Option<Vec<IoSlice<'a>>> {
        let (first, others) = slices.split_first()?;
        if is_reply_old.get() && first.starts_with(b"HTTP/") {
            is_reply_old.set(false);
            self.sent.set(first.starts_with(Version::OLD).then_some(0));
        }
        let rest = Version::NEW.get(self.sent.get()?..)?;
        let mut replaced = vec![IoSlice::new(rest), IoSlice::new(first.get(rest.len()..)?)];
        replaced.extend(others.iter().map(|slice| IoSlice::new(slice)));
        Some(replaced)
    }

    /// Notes bytes that have left, of those in place of others.
    fn note_written(&self, bytes: usize) {
        let sent = self.sent.get().map(|sent| sent + bytes);
        self.sent.set(sent.filter(|&sent| sent < Version::NEW.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves when so many bytes at most are taken at a time.
    fn sent(reply: &[u8], is_old: bool, most: usize) -> Vec<u8> {
        let (version, is_reply_old) = (Version::default(), Cell::new(is_old));
        let (mut left, mut sent) = (reply, Vec::new());
        while !left.is_empty() {
            let (head, body) = left.split_at(left.len().min(12));
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let replaced = version.replaced(&slices, &is_reply_old);
            let bytes: Vec<u8> =
                replaced.as_deref().unwrap_or(&slices).iter().flat_map(|it| it.to_vec()).collect();
            assert_eq!(bytes.len(), left.len());
            let count = bytes.len().min(most);
            if replaced.is_some() {
                version.note_written(count);
            }
            sent.extend_from_slice(&bytes[..count]);
            left = &left[count..];
        }
        sent
    }

    #[test]
    fn a_reply_to_an_old_client_begins_with_the_new_version() {
        let reply = b"HTTP/1.0 200 OK\r\n\r\nHTTP/1.0 HTTP/1.0";
        let new = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.0 HTTP/1.0";
        for most in [1, 3, 7, 8, 9, 100] {
            assert_eq!(sent(reply, true, most), new, "{most}");
            assert_eq!(sent(reply, false, most), reply, "{most}");
            assert_eq!(sent(new, true, most), new, "{most}");
        }
    }
}
