//! Reads and writes the bytes of a connection for hyper, within the memory budget and with the worker's
//! deadlines.

use std::cell::Cell;
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
use super::memory::{FREE_HEAD_BYTES, MemoryKind};
use super::worker::HttpWorker;

/// The socket of a connection, as hyper uses it.
pub(super) struct ConnectionIo {
    worker: Rc<HttpWorker>,
    /// Shared with the task that checks the deadlines.
    stream: Rc<TcpStream>,
    activity: Rc<Activity>,
    status_line: StatusLineRewriter,
}

impl ConnectionIo {
    pub(super) fn new(worker: Rc<HttpWorker>, stream: Rc<TcpStream>, activity: Rc<Activity>) -> ConnectionIo {
        ConnectionIo { worker, stream, activity, status_line: StatusLineRewriter::default() }
    }

    /// How many of `wanted` bytes may be read. A long head waits until the memory budget has room for it.
    fn poll_room(&self, cx: &Context<'_>, wanted: usize) -> Poll<usize> {
        let Some(head_bytes) = self.activity.head_bytes() else { return Poll::Ready(wanted) };
        let counted = self.activity.counted_head_bytes().get();
        let more = (head_bytes + wanted).saturating_sub(FREE_HEAD_BYTES).saturating_sub(counted);
        if more == 0 || self.worker.make_room(MemoryKind::Request, more) {
            return Poll::Ready(wanted);
        }
        if head_bytes < FREE_HEAD_BYTES {
            return Poll::Ready(FREE_HEAD_BYTES - head_bytes);
        }
        self.worker.memory.wake_on_room(cx);
        Poll::Pending
    }

    fn note_read(&self, bytes: usize) {
        self.activity.note_read(bytes);
        if let Some(head_bytes) = self.activity.head_bytes() {
            self.worker.count_head(&self.activity, head_bytes.saturating_sub(FREE_HEAD_BYTES));
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

impl Read for ConnectionIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut read_buffer = self.worker.read_buffer.borrow_mut();
        let room = ready!(self.poll_room(cx, buffer.remaining().min(read_buffer.len())));
        let read = loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(&mut read_buffer[..room]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => break read?,
            }
        };
        if read > 0 {
            self.note_read(read);
            buffer.put_slice(&read_buffer[..read]);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for ConnectionIo {
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
        let written = match self.status_line.rewrite(slices, self.activity.is_http_1_0()) {
            None => self.write(cx, slices),
            Some(slices) => self.write(cx, &slices).map_ok(|written| {
                self.status_line.note_written(written);
                written
            }),
        };
        self.activity.note_write(written)
    }
}

/// Replaces `HTTP/1.0` by `HTTP/1.1` in the status lines of replies to HTTP/1.0.
///
/// hyper answers HTTP/1.0 with HTTP/1.0. The servers of OpenSIPS, abyss and libmicrohttpd, always answer with
/// HTTP/1.1, as RFC 9110 (6.2) asks for, and opensips-cp up to 6.0 requires that.
#[derive(Debug, Default)]
struct StatusLineRewriter {
    /// Bytes of the new version that have left; `None` while no status line is being rewritten.
    sent: Cell<Option<usize>>,
}

impl StatusLineRewriter {
    const OLD_VERSION: &[u8] = b"HTTP/1.0";
    const NEW_VERSION: &[u8] = b"HTTP/1.1";

    /// The slices to write in place of `slices`, of the same length in total; `None` when they are right as
    /// they are.
    fn rewrite<'a>(&self, slices: &'a [IoSlice<'_>], is_http_1_0: &Cell<bool>) -> Option<Vec<IoSlice<'a>>> {
        let (first, others) = slices.split_first()?;
        if is_http_1_0.get() && first.starts_with(b"HTTP/") {
            is_http_1_0.set(false);
            self.sent.set(first.starts_with(StatusLineRewriter::OLD_VERSION).then_some(0));
        }
        let rest = StatusLineRewriter::NEW_VERSION.get(self.sent.get()?..)?;
        let mut rewritten = vec![IoSlice::new(rest), IoSlice::new(first.get(rest.len()..)?)];
        rewritten.extend(others.iter().map(|slice| IoSlice::new(slice)));
        Some(rewritten)
    }

    /// Notes how many bytes of rewritten slices have left.
    fn note_written(&self, bytes: usize) {
        let sent = self.sent.get().map(|sent| sent + bytes);
        self.sent.set(sent.filter(|&sent| sent < StatusLineRewriter::NEW_VERSION.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes that leave when the socket takes at most `most` bytes at a time.
    fn sent(reply: &[u8], is_http_1_0: bool, most: usize) -> Vec<u8> {
        let (status_line, is_http_1_0) = (StatusLineRewriter::default(), Cell::new(is_http_1_0));
        let (mut unsent, mut sent) = (reply, Vec::new());
        while !unsent.is_empty() {
            let (head, body) = unsent.split_at(unsent.len().min(12));
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let rewritten = status_line.rewrite(&slices, &is_http_1_0);
            let bytes: Vec<u8> =
                rewritten.as_deref().unwrap_or(&slices).iter().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(bytes.len(), unsent.len());
            let count = bytes.len().min(most);
            if rewritten.is_some() {
                status_line.note_written(count);
            }
            sent.extend_from_slice(&bytes[..count]);
            unsent = &unsent[count..];
        }
        sent
    }

    #[test]
    fn a_reply_to_http_1_0_begins_with_http_1_1() {
        let reply = b"HTTP/1.0 200 OK\r\n\r\nHTTP/1.0 HTTP/1.0";
        let rewritten = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.0 HTTP/1.0";
        for most in [1, 3, 7, 8, 9, 100] {
            assert_eq!(sent(reply, true, most), rewritten, "{most}");
            assert_eq!(sent(reply, false, most), reply, "{most}");
            assert_eq!(sent(rewritten, true, most), rewritten, "{most}");
        }
    }
}
