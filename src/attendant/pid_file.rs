//! The files of `-P` and `-G`: the server's process number and process group, for init scripts.
//!
//! C: `daemonize` and `do_suid` in daemonize.c.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::module::Identity;
use crate::system::patience;
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
    /// The same file twice.
    #[error("{path}: is named by -P and by -G; give two files, they hold different numbers")]
    Same {
        /// The file.
        path: PathBuf,
    },
    /// Something else has that name.
    #[error("{path}: is not a regular file; it is left as it is: choose another path")]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The system refused a step.
    #[error("{path}: cannot {step}: {source}; {remedy}")]
    System {
        /// The file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
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
    /// Makes the files that were asked for: process number and process group.
    pub(super) fn make(
        process: Option<&Path>,
        group: Option<&Path>,
        identity: Identity,
    ) -> Result<Vec<PidFile>, PidFileError> {
        if let Some(path) = process.filter(|_| process == group) {
            return Err(PidFileError::Same { path: path.to_owned() });
        }
        let numbers = [(process, ProcessId::own().number()), (group, crate::system::process::group())];
        let mut made: Vec<PidFile> = Vec::new();
        for (path, number) in numbers {
            let Some(path) = path else { continue };
            // The workers of a server that was killed hold the lock until they have ended too.
            let may_pass = |error: &PidFileError| matches!(error, PidFileError::Running { .. });
            match patience::retry(|| PidFile::write(path, number, identity), may_pass) {
                Ok(file) => made.push(file),
                Err(error) => {
                    made.iter().for_each(PidFile::remove);
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn write(path: &Path, number: i32, identity: Identity) -> Result<PidFile, PidFileError> {
        let step =
            |step, remedy| move |source| PidFileError::System { path: path.to_owned(), step, source, remedy };
        let running = |pid| PidFileError::Running { path: path.to_owned(), pid };
        let is_new = fs::symlink_metadata(path).is_err();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o644);
        // A FIFO there would hold up the start, a link would lead elsewhere.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let opened = options.open(path);
        let mut file = opened
            .map_err(step("open it", "make its folder, writable for the user that starts the server"))?;
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return Err(PidFileError::Occupied { path: path.to_owned() });
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(running(number_in(path).unwrap_or_default())),
            Err(TryLockError::Error(source)) => {
                return Err(step("lock it", "put it on a local file system")(source));
            }
        }
        if let Some(pid) = other_server(path) {
            return Err(running(pid));
        }
        let fill = |file: &mut File| {
            file.set_len(0)?;
            writeln!(file, "{number}")
        };
        let filled = fill(&mut file).map_err(step("write the number", "free some space")).and_then(|()| {
            let owner = "start as root, or without -u and -g";
            fchown(&file, identity.uid, identity.gid).map_err(step("give it to the server's user", owner))
        });
        if let Err(error) = filled {
            if is_new {
                // Best effort: the error itself says more than a failed clean-up could.
                let _removed = fs::remove_file(path);
            }
            return Err(error);
        }
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

/// The running OpenSIPS that the file names: it knows no lock. A number that the system has since
/// given to some other program is stale, and so is what is no number.
fn other_server(path: &Path) -> Option<i32> {
    let number = number_in(path)?;
    let process = ProcessId::from_number(number).filter(|&process| process != ProcessId::own())?;
    // `PID (NAME) STATE …`: a zombie has ended and only waits to be reaped.
    let is_server = fs::read_to_string(format!("/proc/{number}/stat")).map_or(process.exists(), |stat| {
        let state = stat.rsplit(") ").next().unwrap_or_default();
        stat.contains(" (opensips) ") && !state.starts_with(['Z', 'X'])
    });
    is_server.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> Result<PidFile, PidFileError> {
        PidFile::make(Some(path), None, Identity::default()).map(|mut files| files.remove(0))
    }

    #[test]
    fn a_fifo_and_one_path_for_two_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let both = PidFile::make(Some(&path), Some(&path), Identity::default());
        assert!(matches!(both, Err(PidFileError::Same { .. })) && !path.exists());
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(write(&path).is_err());
        let error = write(&folder.path().join("no/pid")).unwrap_err().to_string();
        assert!(
            error.contains("cannot open it: No such file") && error.contains("make its folder"),
            "{error}"
        );
    }

    #[test]
    fn stale_content_is_replaced_and_only_our_own_file_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        // Process 1 is alive but no server of this kind.
        for stale in ["", "rubbish", "999999999", "-5", "1"] {
            fs::write(&path, stale).unwrap();
            let file = write(&path).unwrap();
            assert_eq!(number_in(&path), Some(ProcessId::own().number()));
            file.remove();
            assert!(!path.exists());
        }
        let file = write(&path).unwrap();
        fs::write(&path, "1").unwrap();
        file.remove();
        assert!(path.exists());
    }

    #[test]
    fn a_server_that_holds_the_file_is_running() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let _held = write(&path).unwrap();
        let error = write(&path).unwrap_err();
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
        assert!(matches!(write(&path), Err(PidFileError::System { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }
}
