//! FIFOs: the one that requests come by, and those that replies leave by.
//!
//! C: `mi_init_fifo_server`, `mi_open_reply_pipe` and `mi_fifo_check` in fifo_fnc.c.
#![expect(unsafe_code, reason = "statx has no safe call that names the fields")]

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
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
    /// Replies would be the next requests.
    #[error("it is the FIFO of the requests")]
    Requests,
    /// Whoever made this one has not asked for the reply.
    #[error("another FIFO has taken its place")]
    Replaced,
    /// It cannot be opened.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Which FIFO it is, whatever its path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// When it was made, in nanoseconds, as a file system may use an inode's number again; 0 when it does not tell.
    born: u64,
}

impl Identity {
    /// Of what is open.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn of(file: &File) -> io::Result<Identity> {
        match statx(file.as_raw_fd(), c"") {
            Ok(found) => Ok(Identity::found(&found)),
            Err(_) => file.metadata().map(|found| Identity::plain(&found)),
        }
    }

    /// Of what stands at a path, be it a symbolic link.
    ///
    /// # Errors
    /// As `lstat(2)`.
    pub fn at(path: &Path) -> io::Result<Identity> {
        let name = CString::new(path.as_os_str().as_bytes())?;
        match statx(libc::AT_FDCWD, &name) {
            Ok(found) => Ok(Identity::found(&found)),
            Err(_) => std::fs::symlink_metadata(path).map(|found| Identity::plain(&found)),
        }
    }

    /// Where the system does not let ask for more.
    fn plain(found: &Metadata) -> Identity {
        Identity { device: found.dev(), inode: found.ino(), born: 0 }
    }

    fn found(found: &libc::statx) -> Identity {
        let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
        let seconds = u64::try_from(found.stx_btime.tv_sec).unwrap_or_default();
        let born = seconds.wrapping_mul(1_000_000_000).wrapping_add(found.stx_btime.tv_nsec.into());
        let has_born = found.stx_mask & libc::STATX_BTIME != 0;
        Identity { device, inode: found.stx_ino, born: if has_born { born } else { 0 } }
    }

    /// To be kept somewhere.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (to, number) in bytes.chunks_exact_mut(8).zip([self.device, self.inode, self.born]) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    /// What [`to_bytes`](Identity::to_bytes) gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 24]) -> Identity {
        let number = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[at * 8 + byte]));
        Identity { device: number(0), inode: number(1), born: number(2) }
    }
}

/// A FIFO that a reply is written to. Never waits.
#[derive(Debug)]
pub struct Reply {
    file: File,
    identity: Identity,
}

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
            // A socket gives that error too. Descriptors of this process come back as its replies leave.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::EMFILE | libc::ENFILE)) => {
                check(&std::fs::symlink_metadata(path)?)?;
                return Err(ReplyError::Absent);
            }
            Err(error) => return Err(error.into()),
        };
        let identity = check_open(&file)?;
        Ok(Reply { file, identity })
    }

    /// Looks at the FIFO at a path without opening it.
    ///
    /// # Errors
    /// See [`ReplyError`]; never [`ReplyError::Absent`].
    pub fn look(path: &Path) -> Result<Identity, ReplyError> {
        check(&std::fs::symlink_metadata(path)?)?;
        Ok(Identity::at(path)?)
    }

    /// Which FIFO it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Writes as much as there is room for. Returns how much that was.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, `BrokenPipe` when the reader is gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    /// Makes room for more at once, if the system allows it.
    pub fn widen(&self) {
        // Users who have used up their share of such room get their replies in smaller pieces.
        let _widened = fcntl(&self.file, FcntlArg::F_SETPIPE_SZ(WIDE_BYTES));
    }
}

/// What is asked of a FIFO.
///
/// Nothing else: with the times that a plain `fstat` asks for too, some file systems have to store a new one at the next
/// write, which costs more than all the rest of a reply. That of its birth never changes.
const ASKED: u32 = libc::STATX_TYPE | libc::STATX_NLINK | libc::STATX_INO | libc::STATX_BTIME;

/// Looks at what a path in `folder` names, or at `folder` itself for an empty one.
fn statx(folder: i32, path: &CStr) -> io::Result<libc::statx> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the path ends in NUL, and there is room for the result; a bad descriptor is an error.
    let result = unsafe { libc::statx(folder, path.as_ptr(), flags, ASKED, found.as_mut_ptr()) };
    // SAFETY: all of it is integers, which were zero before the call.
    let found = unsafe { found.assume_init() };
    if result == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}

/// As [`check`], for what is open.
fn check_open(file: &File) -> Result<Identity, ReplyError> {
    let needed = libc::STATX_TYPE | libc::STATX_NLINK;
    if let Ok(found) = statx(file.as_raw_fd(), c"")
        && found.stx_mask & needed == needed
        && u32::from(found.stx_mode) & libc::S_IFMT == libc::S_IFIFO
        && found.stx_nlink == 1
    {
        return Ok(Identity::found(&found));
    }
    // What is not right is told in words; so is what this file system or kernel does not tell in this way.
    check(&file.metadata()?)?;
    Ok(Identity::of(file)?)
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
        self.file.as_fd()
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

/// Waits until there is something to read from `requests` or `other`, one of the replies can go on, or the time is up;
/// `None` means no limit. A signal ends the wait early.
#[must_use]
pub fn wait(
    requests: BorrowedFd<'_>,
    other: Option<BorrowedFd<'_>>,
    replies: &[BorrowedFd<'_>],
    limit: Option<Duration>,
) -> Ready {
    let mut polled = vec![PollFd::new(requests, PollFlags::POLLIN)];
    polled.extend(other.map(|other| PollFd::new(other, PollFlags::POLLIN)));
    polled.extend(replies.iter().map(|&reply| PollFd::new(reply, PollFlags::POLLOUT)));
    let limit = limit.map(nix::sys::time::TimeSpec::from_duration);
    if nix::poll::ppoll(&mut polled, limit, None).is_err() {
        return Ready { readable: false, writable: vec![false; replies.len()] };
    }
    let mut ready = polled.iter().map(|polled| polled.any().unwrap_or(false));
    let readable = ready.next().unwrap_or(false);
    Ready { readable, writable: ready.skip(usize::from(other.is_some())).collect() }
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
    fn a_fifo_is_known_by_itself_and_not_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let first = Identity::at(&path).unwrap();
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        assert_eq!(Reply::open(&path).unwrap().identity(), first);
        assert_eq!(Identity::of(&reader).unwrap(), first);
        assert_eq!(Identity::from_bytes(first.to_bytes()), first);
        let moved = folder.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        assert_eq!(Identity::at(&moved).unwrap(), first);
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_ne!(Identity::at(&path).unwrap(), first);
        assert!(Identity::at(&folder.path().join("none")).is_err());
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
