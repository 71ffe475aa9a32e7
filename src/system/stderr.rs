//! Standard error, written without ever waiting for whoever reads it.
//!
//! The file may be shared with other programs, a shell for one, so it is not made non-blocking for all: a pipe or a
//! terminal is opened a second time, for this server alone.
#![expect(unsafe_code, reason = "also written from handlers of signals, and by calls that nix lacks")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};

use nix::sys::stat::{SFlag, fstat};

/// What is written to: standard error itself, or what was opened in its place.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);

/// How: one of the constants below.
static WAY: AtomicU8 = AtomicU8::new(WRITE);

/// A plain write does not wait.
const WRITE: u8 = 0;
/// A socket.
const SEND: u8 = 1;
/// A pipe or terminal that cannot be opened again, as it is another user's.
const ASK: u8 = 2;

/// Finds out how standard error is written without waiting. To be called again when another file takes its place; not
/// while another thread writes.
pub fn open() {
    let stderr = io::stderr();
    let kind = fstat(&stderr).map_or(0, |status| status.st_mode & SFlag::S_IFMT.bits());
    let is_terminal = io::IsTerminal::is_terminal(&stderr);
    let (descriptor, way) = if kind == SFlag::S_IFSOCK.bits() {
        (libc::STDERR_FILENO, SEND)
    } else if kind == SFlag::S_IFIFO.bits() || is_terminal {
        open_again().map_or((libc::STDERR_FILENO, ASK), |descriptor| (descriptor, WRITE))
    } else {
        (libc::STDERR_FILENO, WRITE)
    };
    WAY.store(way, Ordering::Relaxed);
    let before = DESCRIPTOR.swap(descriptor, Ordering::Relaxed);
    if before != libc::STDERR_FILENO {
        // SAFETY: made by `open_again`, and nobody else has it.
        let _closed = unsafe { libc::close(before) };
    }
}

/// The file of standard error, opened by the name that the kernel has for it, without waiting.
fn open_again() -> io::Result<i32> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    Ok(OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/2")?.into_raw_fd())
}

/// Whether the last line was written in part: a terminal and a socket may take so much and no more.
static IS_TORN: AtomicBool = AtomicBool::new(false);

/// Writes a line. May be called in a handler of a signal.
///
/// # Errors
/// When it, or a part of it, cannot be written now.
pub fn write(line: &[u8]) -> io::Result<()> {
    if IS_TORN.load(Ordering::Relaxed) {
        write_piece(b"\n")?;
    }
    let result = write_piece(line);
    let is_torn = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WriteZero);
    IS_TORN.store(is_torn, Ordering::Relaxed);
    result
}

fn write_piece(line: &[u8]) -> io::Result<()> {
    let descriptor = DESCRIPTOR.load(Ordering::Relaxed);
    let (start, length) = (line.as_ptr().cast(), line.len());
    let written = match WAY.load(Ordering::Relaxed) {
        // SAFETY: the line is alive.
        SEND => unsafe { libc::send(descriptor, start, length, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) },
        ASK => write_if_ready(descriptor, line),
        // SAFETY: the line is alive.
        _ => unsafe { libc::write(descriptor, start, length) },
    };
    match usize::try_from(written) {
        Ok(written) if written == length => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Writes without waiting where the kernel can (pipes, since Linux 6.4); elsewhere when there is room, which another
/// process may take in between.
fn write_if_ready(descriptor: i32, line: &[u8]) -> isize {
    let piece = libc::iovec { iov_base: line.as_ptr().cast_mut().cast(), iov_len: line.len() };
    // SAFETY: the piece is of a line that is alive, and is only read.
    let written = unsafe { libc::pwritev2(descriptor, &raw const piece, 1, -1, libc::RWF_NOWAIT) };
    let error = io::Error::last_os_error().raw_os_error();
    if written >= 0 || !matches!(error, Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) {
        return written;
    }
    let mut wanted = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is to one entry.
    if unsafe { libc::poll(&raw mut wanted, 1, 0) } <= 0 {
        nix::errno::Errno::EAGAIN.set();
        return -1;
    }
    // SAFETY: the line is alive.
    unsafe { libc::write(descriptor, line.as_ptr().cast(), line.len()) }
}
