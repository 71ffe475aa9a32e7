//! The files of `-P` and `-G`: the server's process number and process group, for init scripts.
//!
//! C: `daemonize` and `do_suid` in daemonize.c.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::module::Identity;
use crate::system::process::ProcessId;

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another server runs.
    #[error("{path}: process {pid} is running; stop it first, or choose another file with -P")]
    Running {
        /// The file.
        path: PathBuf,
        /// Its content.
        pid: i32,
    },
    /// The system refused it.
    #[error(
        "{path}: cannot write the process number: {source}; make its folder writable, or choose another file"
    )]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file that holds a number of this server. Removed at the end by [`PidFile::remove`].
///
/// It stays open and locked as long as any process of the server lives, so that a second start is refused
/// whatever the program is called.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    number: i32,
    _locked: File,
}

impl PidFile {
    /// Writes the server's process number, unless the file names a server that runs.
    pub(super) fn process(path: &Path, identity: Identity) -> Result<PidFile, PidFileError> {
        PidFile::write(path, ProcessId::own().number(), identity)
    }

    /// Writes the server's process group.
    pub(super) fn group(path: &Path, identity: Identity) -> Result<PidFile, PidFileError> {
        PidFile::write(path, crate::system::process::group(), identity)
    }

    fn write(path: &Path, number: i32, identity: Identity) -> Result<PidFile, PidFileError> {
        let failed = |source| PidFileError::System { path: path.to_owned(), source };
        let running = |pid| PidFileError::Running { path: path.to_owned(), pid };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o644).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(running(number_in(path).unwrap_or_default())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if let Some(pid) = other_server(path) {
            return Err(running(pid));
        }
        let mut fill = || {
            file.set_len(0)?;
            writeln!(file, "{number}")?;
            fchown(&file, identity.uid, identity.gid)
        };
        fill().map_err(failed)?;
        Ok(PidFile { path: path.to_owned(), number, _locked: file })
    }

    /// Removes the file, if it still holds our number.
    pub(super) fn remove(&self) {
        if number_in(&self.path) != Some(self.number) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {error}; remove it as its folder's owner", self.path.display());
        }
    }
}

fn number_in(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The running server that the file names: an OpenSIPS, which knows no lock. A number that the system has since
/// given to some other program is stale, and so is what is no number.
fn other_server(path: &Path) -> Option<i32> {
    let number = number_in(path)?;
    let process = ProcessId::from_number(number).filter(|&process| process != ProcessId::own())?;
    // `PID (NAME) STATE …`: a zombie has ended and only waits to be reaped.
    let is_server = fs::read_to_string(format!("/proc/{number}/stat")).map_or(process.exists(), |stat| {
        let state = stat.rsplit(") ").next().unwrap_or_default();
        stat.contains(" (opensips") && !state.starts_with(['Z', 'X'])
    });
    is_server.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_content_is_replaced_and_only_our_own_file_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        // Process 1 is alive but no server of this kind.
        for stale in ["", "rubbish", "999999999", "-5", "1"] {
            fs::write(&path, stale).unwrap();
            let file = PidFile::process(&path, Identity::default()).unwrap();
            assert_eq!(number_in(&path), Some(ProcessId::own().number()));
            file.remove();
            assert!(!path.exists());
        }
        let file = PidFile::process(&path, Identity::default()).unwrap();
        fs::write(&path, "1").unwrap();
        file.remove();
        assert!(path.exists());
    }

    #[test]
    fn a_server_that_holds_the_file_is_running() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let _held = PidFile::process(&path, Identity::default()).unwrap();
        let error = PidFile::process(&path, Identity::default()).unwrap_err();
        assert!(
            matches!(error, PidFileError::Running { pid, .. } if pid == ProcessId::own().number()),
            "{error}"
        );
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "precious").unwrap();
        let path = folder.path().join("pid");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(PidFile::process(&path, Identity::default()), Err(PidFileError::System { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }
}
