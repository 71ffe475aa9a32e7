//! Files that the server writes, opened so that nobody else has prepared them.
//!
//! A file that is not there is created exclusively. One that is there must be a regular file with one name, belong to
//! root, to the caller or to the user that the server is going to be, and have no write permission for its group and
//! for others. The folders on the way must not let everybody put something else in its place. C has no such check:
//! `daemonize` in daemonize.c and the log file of the server inside mi_xmlrpc take what is there.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::endpoint;
use super::user;

/// Permission bits of everybody but the owner to write.
const OTHERS_WRITE: u32 = 0o022;

/// Permission bit of everybody to write; in a folder, to make and to remove names.
const ALL_WRITE: u32 = 0o002;

/// Permission bit of a folder in which only the owner of a file may remove or rename it.
const STICKY: u32 = 0o1000;

/// How often a file that is removed between two looks is tried again.
const TRIES: usize = 10;

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum OwnFileError {
    /// Something else has that name.
    #[error("{path}: is {found}, not a regular file; it is left as it is: choose another path")]
    Kind {
        /// The file.
        path: PathBuf,
        /// What was found there.
        found: &'static str,
    },
    /// The file has other names, which may be in folders of other users.
    #[error(
        "{path}: has {links} names (hard links), so it may be somebody else's file; remove this name of it"
    )]
    Linked {
        /// The file.
        path: PathBuf,
        /// How many.
        links: u64,
    },
    /// The file belongs to somebody else.
    #[error("{path}: belongs to user {owner}, not to {}; remove it, or choose another path", Users(.wanted))]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner's name.
        owner: String,
        /// Names of the users that it may belong to.
        wanted: Vec<String>,
    },
    /// Others may change the file.
    #[error(
        "{path}: has mode {mode:04o}, so others than its owner may write to it; remove it, or run chmod go-w {path}"
    )]
    Writable {
        /// The file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Others may replace the file, or have named the folder that it is in.
    #[error("{path}: {weakness}, or choose another path")]
    Replaceable {
        /// The file.
        path: PathBuf,
        /// Which folder or link lets them.
        weakness: Weakness,
    },
    /// The system refused it.
    #[error("{path}: cannot open it: {source}; {remedy}")]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: String,
    },
}

/// Names for a message: `a, b or c`.
struct Users<'a>(&'a [String]);

impl fmt::Display for Users<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("nobody"),
            [one] => f.write_str(one),
            [others @ .., last] => write!(f, "{} or {last}", others.join(", ")),
        }
    }
}

/// A place on the way to a file at which everybody can lead to another file. Shown with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// A folder in which everybody may rename what is there.
    Folder(PathBuf),
    /// A symbolic link in a folder where everybody may make one.
    Link {
        /// The link.
        path: PathBuf,
        /// The name of the user who made it.
        owner: String,
    },
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weakness::Folder(folder) => {
                let folder = folder.display();
                write!(
                    f,
                    "everybody may put something else in its place, as the folder {folder} is writable for all \
                     without the sticky bit; run chmod o-w {folder} or chmod +t {folder}"
                )
            }
            Weakness::Link { path, owner } => {
                let path = path.display();
                write!(
                    f,
                    "{path} on the way is a symbolic link that user {owner} made in a folder where everybody may; \
                     remove {path}"
                )
            }
        }
    }
}

/// A file that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Whether it was created.
    pub is_new: bool,
}

/// Opens a file for what `access` says, or creates it with that mode, less the umask. `run_user` is who the server is
/// going to be, where that is another user than the caller.
///
/// # Errors
/// See [`OwnFileError`].
pub fn open(
    path: &Path,
    access: &OpenOptions,
    mode: u32,
    run_user: Option<u32>,
) -> Result<Opened, OwnFileError> {
    check_way(path, run_user)?;
    let mut tries = 1..=TRIES;
    loop {
        match options(access).create_new(true).mode(mode).open(path) {
            Ok(file) => return Ok(Opened { file, is_new: true }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(refused(path, source)),
        }
        match existing(path, access, run_user) {
            // Somebody has removed it meanwhile.
            Err(OwnFileError::System { source, .. })
                if source.kind() == ErrorKind::NotFound && tries.next().is_some() => {}
            result => return result.map(|file| Opened { file, is_new: false }),
        }
    }
}

/// Opens a file that is there.
///
/// # Errors
/// See [`OwnFileError`].
pub fn open_existing(path: &Path, access: &OpenOptions, run_user: Option<u32>) -> Result<File, OwnFileError> {
    check_way(path, run_user)?;
    existing(path, access, run_user)
}

/// Which place on the way to a file lets everybody put another one there, if any does. What cannot be looked at is
/// passed over.
#[must_use]
pub fn weakness(path: &Path, run_user: Option<u32>) -> Option<Weakness> {
    let trusted = trusted_users(run_user);
    let folder = std::path::absolute(endpoint::folder(path)).ok()?;
    let real = fs::canonicalize(&folder).unwrap_or_default();
    folder.ancestors().chain(real.ancestors()).find_map(|place| {
        let found = fs::metadata(place).ok()?;
        if found.mode() & ALL_WRITE != 0 && found.mode() & STICKY == 0 {
            return Some(Weakness::Folder(place.to_owned()));
        }
        // As the kernel's fs.protected_symlinks, which may be off.
        let link = fs::symlink_metadata(place).ok().filter(Metadata::is_symlink)?;
        let parent = fs::metadata(endpoint::folder(place)).ok()?;
        let is_foreign = !trusted.contains(&link.uid()) && link.uid() != parent.uid();
        (parent.mode() & ALL_WRITE != 0 && is_foreign)
            .then(|| Weakness::Link { path: place.to_owned(), owner: user::user_name(link.uid()) })
    })
}

/// Users whose files are believed.
fn trusted_users(run_user: Option<u32>) -> Vec<u32> {
    let mut users = vec![user::effective_user()];
    for uid in run_user.into_iter().chain([0]) {
        if !users.contains(&uid) {
            users.push(uid);
        }
    }
    users
}

fn check_way(path: &Path, run_user: Option<u32>) -> Result<(), OwnFileError> {
    match weakness(path, run_user) {
        Some(weakness) => Err(OwnFileError::Replaceable { path: path.to_owned(), weakness }),
        None => Ok(()),
    }
}

/// A FIFO that nobody reads would hold up the start, and a link lead elsewhere.
fn options(access: &OpenOptions) -> OpenOptions {
    let mut options = access.clone();
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
    options
}

fn existing(path: &Path, access: &OpenOptions, run_user: Option<u32>) -> Result<File, OwnFileError> {
    // First by its name, as opening a device or a FIFO may have an effect; then what was opened, which may differ.
    let system = |source| refused(path, source);
    check(path, &fs::symlink_metadata(path).map_err(system)?, run_user)?;
    let file = options(access).open(path).map_err(system)?;
    check(path, &file.metadata().map_err(system)?, run_user)?;
    Ok(file)
}

fn check(path: &Path, found: &Metadata, run_user: Option<u32>) -> Result<(), OwnFileError> {
    let path = path.to_owned();
    if !found.is_file() {
        return Err(OwnFileError::Kind { path, found: endpoint::kind_name(found.file_type()) });
    }
    if found.nlink() > 1 {
        return Err(OwnFileError::Linked { path, links: found.nlink() });
    }
    let trusted = trusted_users(run_user);
    if !trusted.contains(&found.uid()) {
        let wanted = trusted.into_iter().map(user::user_name).collect();
        return Err(OwnFileError::Owner { path, owner: user::user_name(found.uid()), wanted });
    }
    if found.mode() & OTHERS_WRITE != 0 {
        return Err(OwnFileError::Writable { path, mode: found.mode() & 0o7777 });
    }
    Ok(())
}

fn refused(path: &Path, source: io::Error) -> OwnFileError {
    let remedy = endpoint::remedy(path, &source);
    OwnFileError::System { path: path.to_owned(), source, remedy }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    /// A user that is neither root nor the one of the tests.
    const STRANGER: u32 = 65_534;

    fn write() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true);
        options
    }

    fn try_open(path: &Path) -> Result<Opened, OwnFileError> {
        open(path, &write(), 0o640, None)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_missing_file_is_created_and_an_own_one_is_opened_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(try_open(&path).unwrap().is_new);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777 & !0o640, 0);
        fs::write(&path, "kept").unwrap();
        assert!(!try_open(&path).unwrap().is_new);
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        assert!(open_existing(&folder.path().join("no"), &write(), None).is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, fifo, nothing] =
            ["file", "link", "fifo", "nothing"].map(|name| folder.path().join(name));
        fs::write(&file, "precious").unwrap();
        symlink(&file, &link).unwrap();
        symlink(folder.path().join("target"), &nothing).unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, what) in [
            (&*link, "a symbolic link"),
            (&*nothing, "a symbolic link"),
            (&*fifo, "a FIFO"),
            (folder.path(), "a folder"),
            (Path::new("/dev/null"), "a device"),
        ] {
            let error = try_open(path).unwrap_err();
            assert!(matches!(error, OwnFileError::Kind { found, .. } if found == what), "{error}");
        }
        assert!(!folder.path().join("target").exists());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn a_file_with_two_names_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&file, "precious").unwrap();
        fs::hard_link(&file, &other).unwrap();
        let error = try_open(&other).unwrap_err();
        assert!(error.to_string().contains("has 2 names (hard links)"), "{error}");
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        for (mode, is_taken) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false), (0o666, false)]
        {
            set_mode(&path, mode);
            let opened = try_open(&path);
            assert_eq!(opened.is_ok(), is_taken, "{mode:o}: {opened:?}");
        }
        let error = try_open(&path).unwrap_err().to_string();
        assert!(error.contains("has mode 0666") && error.contains("chmod go-w"), "{error}");
    }

    /// Only root can make a file of somebody else.
    #[test]
    fn a_file_of_another_user_is_refused_unless_the_server_becomes_that_user() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        chown(&path, Some(STRANGER), None).unwrap();
        let error = try_open(&path).unwrap_err().to_string();
        let owner = user::user_name(STRANGER);
        assert!(error.contains(&format!("belongs to user {owner}, not to root; remove it")), "{error}");
        let error = open(&path, &write(), 0o600, Some(12_345)).unwrap_err().to_string();
        assert!(error.contains("not to root or 12345"), "{error}");
        open(&path, &write(), 0o600, Some(STRANGER)).unwrap();
    }

    #[test]
    fn a_folder_in_which_everybody_may_rename_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("file");
        for (outer_mode, inner_mode, is_taken) in [
            (0o755, 0o775, true),
            (0o755, 0o1777, true),
            (0o1777, 0o755, true),
            (0o755, 0o777, false),
            (0o777, 0o755, false),
        ] {
            set_mode(folder.path(), outer_mode);
            set_mode(&inner, inner_mode);
            let opened = try_open(&path);
            assert_eq!(opened.is_ok(), is_taken, "{outer_mode:o}/{inner_mode:o}: {opened:?}");
        }
        let error = try_open(&path).unwrap_err().to_string();
        let outer = folder.path().display();
        assert!(error.contains(&format!("as the folder {outer} is writable for all")), "{error}");
        assert!(error.contains(&format!("chmod +t {outer}")), "{error}");
    }

    /// The way may lead over links, as over `/var/run`, but not over those that anybody made.
    #[test]
    fn a_link_of_another_user_in_a_sticky_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, link) = (folder.path().join("inner"), folder.path().join("link"));
        fs::create_dir(&inner).unwrap();
        symlink(&inner, &link).unwrap();
        set_mode(folder.path(), 0o1777);
        try_open(&link.join("file")).unwrap();
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        std::os::unix::fs::lchown(&link, Some(STRANGER), None).unwrap();
        let error = try_open(&link.join("file")).unwrap_err();
        assert!(
            matches!(&error, OwnFileError::Replaceable { weakness: Weakness::Link { .. }, .. }),
            "{error}"
        );
        set_mode(folder.path(), 0o755);
        try_open(&link.join("file")).unwrap();
    }
}
