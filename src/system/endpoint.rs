//! The name of a UNIX socket or a FIFO in the file system: created so that nobody can open it who could not at the
//! end, watched, and removed only while it is still ours.
//!
//! The steps, each a system call that strace shows: bind or make it under umask 0177 (only the owner can open it),
//! pin the new inode by an `O_PATH` descriptor that follows no link, give it away by `fchownat` on that
//! descriptor, then set the final mode through it, then compare what the path leads to with what is pinned.
//! C: `mi_init_datagram_server` and `mi_sock_check` in datagram_fnc.c, `mi_init_fifo_server` in fifo_fnc.c, which
//! make it with the caller's umask.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, fchownat};

use super::datagram::Socket;
use super::patience;
use super::presence::{self, Inode, Presence};

/// Longest path of a UNIX socket, in bytes, without the closing NUL.
pub const MAX_PATH_BYTES: usize = 107;

/// What kind of file an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UNIX socket.
    Socket,
    /// A FIFO.
    Fifo,
}

/// As messages name it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Socket => "socket",
            Kind::Fifo => "FIFO",
        })
    }
}

impl Kind {
    fn is(self, found: fs::FileType) -> bool {
        match self {
            Kind::Socket => found.is_socket(),
            Kind::Fifo => found.is_fifo(),
        }
    }
}

/// Who may use an endpoint: permission bits and, where they are to differ from the process's own, the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permission bits, e.g. 0o660.
    pub mode: u32,
    /// Owner, when not the effective user.
    pub uid: Option<u32>,
    /// Group, when not the effective group.
    pub gid: Option<u32>,
}

/// Why an endpoint could not be made at a path.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not fit the kernel's address.
    #[error(
        "{path}: the path has {length} bytes, a UNIX socket takes at most {MAX_PATH_BYTES}; choose a shorter one"
    )]
    TooLong {
        /// As configured.
        path: PathBuf,
        /// In bytes.
        length: usize,
    },
    /// Something else has that name.
    #[error(
        "{path}: exists and is {found}, not a {kind}; it is left as it is: move it away or choose another path"
    )]
    Occupied {
        /// As configured.
        path: PathBuf,
        /// What was wanted.
        kind: Kind,
        /// What was found there.
        found: &'static str,
    },
    /// Another server answers there.
    #[error(
        "{path}: another server is using this {kind}; it is left alone: stop that server or choose another path"
    )]
    InUse {
        /// As configured.
        path: PathBuf,
        /// What it is.
        kind: Kind,
    },
    /// A step failed.
    #[error("{path}: cannot {step}: {source}; {remedy}")]
    Step {
        /// As configured.
        path: PathBuf,
        /// What was tried.
        step: String,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
    /// The path leads elsewhere after the endpoint was made.
    #[error(
        "{path}: somebody replaced the new {kind} while it was being set up; use a folder that only the server's user can write"
    )]
    Replaced {
        /// As configured.
        path: PathBuf,
        /// What it is.
        kind: Kind,
    },
}

/// The name of a socket or a FIFO and the inode behind it.
#[derive(Debug)]
pub struct Endpoint {
    path: PathBuf,
    inode: Inode,
}

impl Endpoint {
    /// Makes a bound socket at `path`. A stale socket there is replaced; anything else is left alone.
    ///
    /// # Errors
    /// See [`BindError`]; after an error nothing of ours is left at the path, if it is still ours.
    pub fn bind(path: &Path, access: Access) -> Result<(Socket, Endpoint), BindError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH_BYTES {
            return Err(BindError::TooLong { path: path.to_owned(), length });
        }
        Endpoint::make(path, Kind::Socket, access, Socket::unix_bound)
    }

    /// Makes a FIFO at `path` and opens it for both reading and writing. A FIFO there that nobody reads is replaced;
    /// anything else is left alone.
    ///
    /// # Errors
    /// As [`bind`](Endpoint::bind).
    pub fn make_fifo(path: &Path, access: Access) -> Result<(File, Endpoint), BindError> {
        // Opened before it has its owner and mode, which may keep this process out.
        let made = Endpoint::make(path, Kind::Fifo, access, |path| {
            nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
            fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)
        })?;
        let (fifo, endpoint) = &made;
        let is_ours = fifo.metadata().is_ok_and(|opened| (opened.dev(), opened.ino()) == endpoint.inode);
        if is_ours { Ok(made) } else { Err(BindError::Replaced { path: path.to_owned(), kind: Kind::Fifo }) }
    }

    fn make<T>(
        path: &Path,
        kind: Kind,
        access: Access,
        make: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<(T, Endpoint), BindError> {
        let _turn = take_turn(folder(path));
        patience::retry(|| clear(path, kind), |error| matches!(error, BindError::InUse { .. }))?;
        let before = umask(Mode::from_bits_truncate(0o177));
        let made = make(path);
        umask(before);
        let made = made.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::AlreadyExists => {
                BindError::InUse { path: path.to_owned(), kind }
            }
            _ => make_failed(path, kind, source),
        })?;
        match finish(path, kind, access) {
            Ok(endpoint) => Ok((made, endpoint)),
            Err(error) => {
                if !matches!(error, BindError::Replaced { .. }) {
                    // Best effort: the error itself says more than a failed clean-up could.
                    let _removed = fs::remove_file(path);
                }
                Err(error)
            }
        }
    }

    /// The path as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at what is at the path now.
    ///
    /// # Errors
    /// When this process may not look there, as after it gave up root.
    pub fn presence(&self) -> io::Result<Presence> {
        presence::look(&self.path, self.inode)
    }

    /// Removes the name, if it is still ours.
    ///
    /// # Errors
    /// As `unlink(2)` and `lstat(2)`.
    pub fn remove(&self) -> io::Result<()> {
        if self.presence()? == Presence::Ours { fs::remove_file(&self.path) } else { Ok(()) }
    }
}

/// The folder that a path lies in.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How long a start waits for another one in the same folder.
const TURN_LIMIT: Duration = Duration::from_secs(1);

/// Keeps others of this server out of a folder while the returned file lives: what is seen to be stale must not
/// become somebody's live socket before it is removed. Anyone may hold such a lock, so the wait is short, and
/// without the lock the start goes on.
pub fn take_turn(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    let deadline = Instant::now() + TURN_LIMIT;
    while file.try_lock().is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(file)
}

/// Removes an endpoint that nobody serves; refuses everything else.
fn clear(path: &Path, kind: Kind) -> Result<(), BindError> {
    if !stale(path, kind)? {
        return Ok(());
    }
    fs::remove_file(path).map_err(|source| BindError::Step {
        path: path.to_owned(),
        step: format!("remove the stale {kind} there"),
        source,
        remedy: String::from("remove it as its owner"),
    })
}

/// Whether an endpoint that nobody serves is at the path, or nothing; everything else is an error.
pub(super) fn stale(path: &Path, kind: Kind) -> Result<bool, BindError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(make_failed(path, kind, source)),
    };
    if !kind.is(found.file_type()) {
        let found = kind_name(found.file_type());
        return Err(BindError::Occupied { path: path.to_owned(), kind, found });
    }
    let probed = match kind {
        Kind::Socket => UnixDatagram::unbound().and_then(|probe| probe.connect(path)),
        Kind::Fifo => {
            let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
            fs::OpenOptions::new().write(true).custom_flags(flags).open(path).map(drop)
        }
    };
    match probed {
        // Nobody serves the socket, nobody reads the FIFO.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNREFUSED | libc::ENXIO)) => Ok(true),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => Err(BindError::Step {
            path: path.to_owned(),
            step: format!("see whether another server uses the {kind} there"),
            source,
            remedy: String::from("start as its owner, or choose another path"),
        }),
        _ => Err(BindError::InUse { path: path.to_owned(), kind }),
    }
}

/// What messages call a file of that type.
pub(super) fn kind_name(kind: fs::FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_file() {
        "a regular file"
    } else {
        "a device"
    }
}

/// What to do about an error of making a file at a path.
pub(super) fn remedy(path: &Path, error: &io::Error) -> String {
    let folder = folder(path);
    match error.kind() {
        io::ErrorKind::NotFound => format!("make the folder {} first", folder.display()),
        io::ErrorKind::PermissionDenied => {
            let user = super::user::user_name(super::user::effective_user());
            format!("make the folder {} writable for user {user}, or choose another path", folder.display())
        }
        _ => String::from("choose another path"),
    }
}

pub(super) fn make_failed(path: &Path, kind: Kind, source: io::Error) -> BindError {
    let remedy = remedy(path, &source);
    let step = match kind {
        Kind::Socket => String::from("bind"),
        Kind::Fifo => String::from("make the FIFO"),
    };
    BindError::Step { path: path.to_owned(), step, source, remedy }
}

/// Owner, mode and the final check of what was just made for its owner only.
fn finish(path: &Path, kind: Kind, access: Access) -> Result<Endpoint, BindError> {
    let step = |step: String, remedy: &str| {
        let (path, remedy) = (path.to_owned(), remedy.to_owned());
        move |source: io::Error| BindError::Step { path, step, source, remedy }
    };
    let replaced = || BindError::Replaced { path: path.to_owned(), kind };
    let pin: File = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)
        .map_err(step(format!("open the new {kind}"), "try again"))?;
    let pinned = pin.metadata().map_err(step(format!("look at the new {kind}"), "try again"))?;
    let owned = pinned.uid() == super::user::effective_user();
    if !kind.is(pinned.file_type()) || !owned || pinned.nlink() != 1 || pinned.mode() & 0o177 != 0 {
        return Err(replaced());
    }
    if access.uid.is_some() || access.gid.is_some() {
        let (uid, gid) = (access.uid.map(Uid::from_raw), access.gid.map(Gid::from_raw));
        fchownat(&pin, "", uid, gid, AtFlags::AT_EMPTY_PATH).map_err(io::Error::from).map_err(step(
            format!("give the {kind} to its user and group"),
            "only root may give it to others; let the server run as that user, with a group it is in",
        ))?;
    }
    set_mode(path, &pin, access.mode)
        .map_err(step(format!("set the {kind}'s mode"), "see the system error"))?;
    let found = fs::symlink_metadata(path).map_err(|_| replaced())?;
    if (found.dev(), found.ino()) != (pinned.dev(), pinned.ino()) || found.mode() & 0o777 != access.mode {
        return Err(replaced());
    }
    Ok(Endpoint { path: path.to_owned(), inode: (found.dev(), found.ino()) })
}

/// `chmod` of a pinned inode goes by way of /proc; where that is not mounted (a bare chroot) by its path.
fn set_mode(path: &Path, pin: &File, mode: u32) -> io::Result<()> {
    let mode = fs::Permissions::from_mode(mode);
    match fs::set_permissions(format!("/proc/self/fd/{}", pin.as_raw_fd()), mode.clone()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (found, pinned) = (fs::symlink_metadata(path)?, pin.metadata()?);
            if (found.dev(), found.ino()) != (pinned.dev(), pinned.ino()) {
                return Err(io::Error::other("somebody replaced it"));
            }
            fs::set_permissions(path, mode)
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Access = Access { mode: 0o666, uid: None, gid: None };

    /// As after SIGKILL to an attendant, whose workers take some milliseconds to end.
    #[test]
    fn a_server_that_is_ending_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let ending = Socket::unix_bound(&path).unwrap();
        let end = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            drop(ending);
        });
        Endpoint::bind(&path, OPEN).unwrap();
        end.join().unwrap();
    }

    #[test]
    fn the_mode_is_as_asked_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o620, 0o660, 0o666, 0o777] {
            let path = folder.path().join(format!("{mode:o}"));
            let (_socket, endpoint) = Endpoint::bind(&path, Access { mode, uid: None, gid: None }).unwrap();
            assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, mode);
            assert_eq!(endpoint.presence().unwrap(), Presence::Ours);
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (socket, live) = Endpoint::bind(&path, OPEN).unwrap();
        assert!(matches!(Endpoint::bind(&path, OPEN), Err(BindError::InUse { .. })));
        assert_eq!(live.presence().unwrap(), Presence::Ours);
        drop(socket);
        let (_socket, _endpoint) = Endpoint::bind(&path, OPEN).unwrap();
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link, &folder.path().to_owned()] {
            assert!(matches!(Endpoint::bind(path, OPEN), Err(BindError::Occupied { .. })), "{path:?}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_fifo_is_made_as_a_socket_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (fifo, endpoint) =
            Endpoint::make_fifo(&path, Access { mode: 0o222, uid: None, gid: None }).unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_fifo() && found.mode() & 0o777 == 0o222);
        assert!(matches!(Endpoint::make_fifo(&path, OPEN), Err(BindError::InUse { .. })));
        assert!(matches!(Endpoint::bind(&path, OPEN), Err(BindError::Occupied { found: "a FIFO", .. })));
        drop(fifo);
        drop(endpoint);
        let (_fifo, endpoint) = Endpoint::make_fifo(&path, OPEN).unwrap();
        assert_eq!(endpoint.presence().unwrap(), Presence::Ours);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        let error = Endpoint::make_fifo(&path, OPEN).unwrap_err().to_string();
        assert!(error.contains("is a regular file, not a FIFO"), "{error}");
    }

    #[test]
    fn long_paths_and_missing_folders_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(120));
        let error = Endpoint::bind(&long, OPEN).unwrap_err().to_string();
        assert!(error.ends_with("a UNIX socket takes at most 107; choose a shorter one"), "{error}");
        let missing = folder.path().join("no/s");
        let error = Endpoint::bind(&missing, OPEN).unwrap_err().to_string();
        assert!(error.contains("No such file") && error.contains("/no first"), "{error}");
    }

    #[test]
    fn only_our_own_name_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (_socket, endpoint) = Endpoint::bind(&path, OPEN).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(endpoint.presence().unwrap(), Presence::Missing);
        fs::write(&path, "another's").unwrap();
        assert_eq!(endpoint.presence().unwrap(), Presence::Foreign);
        endpoint.remove().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
    }
}
