//! FIFOs: the one that requests come by, and those that replies leave by.
//!
//! C: `mi_init_fifo_server`, `mi_open_reply_pipe` and `mi_fifo_check` in fifo_fnc.c.
#![expect(unsafe_code, reason = "statx has no safe call that names the fields")]

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags};

use super::endpoint;

/// How much a widened FIFO holds, in bytes; the system's limit for everybody.
const WIDE_BYTES: i32 = 1 << 20;

/// Why no reply can be written to a FIFO.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// Nobody has opened it for reading.
    #[error("nobody reads it")]
    Absent,
    /// It is something else.
    #[error("it is {0}, not a FIFO")]
    Kind(&'static str),
    /// It has other names, which may be in folders of other users.
    #[error("it has {0} names")]
    Linked(u64),
    /// It cannot be opened.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A FIFO that a reply is written to. Never waits.
#[derive(Debug)]
pub struct Reply(File);

impl Reply {
    /// Opens the FIFO at a path that its reader has opened.
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub fn open(path: &Path) -> Result<Reply, ReplyError> {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(ReplyError::Kind("a symbolic link"));
            }
            // A socket gives that error too.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                check(&std::fs::symlink_metadata(path)?)?;
                return Err(ReplyError::Absent);
            }
            Err(error) => return Err(error.into()),
        };
        check_open(&file)?;
        Ok(Reply(file))
    }

    /// Writes as much as there is room for. Returns how much that was.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, `BrokenPipe` when the reader is gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    /// Makes room for more at once, if the system allows it.
    pub fn widen(&self) {
        // Users who have used up their share of such room get their replies in smaller pieces.
        let _widened = fcntl(&self.0, FcntlArg::F_SETPIPE_SZ(WIDE_BYTES));
    }
}

/// As [`check`], for what is open.
///
/// Asks for nothing else: with the times that a plain `fstat` asks for too, some file systems have to store a new one
/// at the next write, which costs more than all the rest of a reply.
fn check_open(file: &File) -> Result<(), ReplyError> {
    let (wanted, mut found) = (libc::STATX_TYPE | libc::STATX_NLINK, MaybeUninit::<libc::statx>::zeroed());
    // SAFETY: the path is an empty string that ends in NUL, the descriptor is open, and there is room for the result.
    let result = unsafe {
        libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, wanted, found.as_mut_ptr())
    };
    // SAFETY: all of it is integers, which were zero before the call.
    let found = unsafe { found.assume_init() };
    let is_known = result == 0 && found.stx_mask & wanted == wanted;
    let is_fifo = u32::from(found.stx_mode) & libc::S_IFMT == libc::S_IFIFO;
    // What is not right is told in words; so is what this file system or kernel does not tell in this way.
    if is_known && is_fifo && found.stx_nlink == 1 { Ok(()) } else { check(&file.metadata()?) }
}

/// Whether a reply may be written there.
fn check(found: &Metadata) -> Result<(), ReplyError> {
    if !found.file_type().is_fifo() {
        return Err(ReplyError::Kind(endpoint::kind_name(found.file_type())));
    }
    if found.nlink() > 1 {
        return Err(ReplyError::Linked(found.nlink()));
    }
    Ok(())
}

impl AsFd for Reply {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a wait has shown.
#[derive(Debug, Default)]
pub struct Ready {
    /// Whether there is something to read.
    pub readable: bool,
    /// For each reply, whether it can go on or has lost its reader.
    pub writable: Vec<bool>,
}

/// Waits until there is something to read from `requests`, one of the replies can go on, or the time is up;
/// `None` means no limit. A signal ends the wait early.
#[must_use]
pub fn wait(requests: BorrowedFd<'_>, replies: &[BorrowedFd<'_>], limit: Option<Duration>) -> Ready {
    let mut polled = vec![PollFd::new(requests, PollFlags::POLLIN)];
    polled.extend(replies.iter().map(|&reply| PollFd::new(reply, PollFlags::POLLOUT)));
    let limit = limit.map(nix::sys::time::TimeSpec::from_duration);
    if nix::poll::ppoll(&mut polled, limit, None).is_err() {
        return Ready { readable: false, writable: vec![false; replies.len()] };
    }
    let mut ready = polled.iter().map(|polled| polled.any().unwrap_or(false));
    Ready { readable: ready.next().unwrap_or(false), writable: ready.collect() }
}

/// Whom the kernel keeps from a FIFO: with `fs.protected_fifos` it refuses an open that may create, as a shell's `>`
/// does, to all but the owner of a FIFO in a sticky folder of somebody else that others may write. The value of that
/// setting, when it is so.
#[must_use]
pub fn protection(path: &Path) -> Option<u8> {
    let setting = std::fs::read_to_string("/proc/sys/fs/protected_fifos").ok()?.trim().parse().ok()?;
    let folder = std::fs::metadata(endpoint::folder(path)).ok()?;
    let owner = std::fs::symlink_metadata(path).ok()?.uid();
    is_protected(setting, folder.mode(), folder.uid() == owner).then_some(setting)
}

/// C: `may_create_in_sticky` in the kernel's fs/namei.c.
fn is_protected(setting: u8, folder_mode: u32, same_owner: bool) -> bool {
    let by_all = setting >= 1 && folder_mode & 0o002 != 0;
    let by_group = setting >= 2 && folder_mode & 0o020 != 0;
    folder_mode & 0o1000 != 0 && !same_owner && (by_all || by_group)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_a_fifo_with_one_name_and_a_reader_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reply");
        assert!(matches!(Reply::open(&path), Err(ReplyError::System(_))));
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(matches!(Reply::open(&path), Err(ReplyError::Absent)));
        let _reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        assert_eq!(Reply::open(&path).unwrap().write(b"x").unwrap(), 1);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(Reply::open(&link), Err(ReplyError::Kind("a symbolic link"))));
        fs::hard_link(&path, folder.path().join("hard")).unwrap();
        assert!(matches!(Reply::open(&path), Err(ReplyError::Linked(2))));
        let socket = folder.path().join("socket");
        let _bound = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
        assert!(matches!(Reply::open(&socket), Err(ReplyError::Kind("a socket"))));
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(Reply::open(&file), Err(ReplyError::Kind("a regular file"))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn the_kernel_protects_fifos_of_others_in_sticky_folders() {
        for (setting, mode, same_owner, wanted) in [
            (0, 0o1777, false, false),
            (1, 0o1777, false, true),
            (1, 0o1777, true, false),
            (1, 0o0777, false, false),
            (1, 0o1770, false, false),
            (2, 0o1770, false, true),
            (2, 0o1775, false, true),
            (2, 0o1755, false, false),
        ] {
            assert_eq!(is_protected(setting, mode, same_owner), wanted, "{setting} {mode:o} {same_owner}");
        }
    }
}
