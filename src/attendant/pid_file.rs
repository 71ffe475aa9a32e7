//! The files of `-P` and `-G`: the server's process number and process group, for init scripts.
//!
//! C: `daemonize` and `do_suid` in daemonize.c.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::module::RunUser;
use crate::system::own_file::{self, Opened, OwnFileError};
use crate::system::presence::{self, Inode, Presence};
use crate::system::process::ProcessId;
use crate::system::running::{self, Proof};
use crate::system::{endpoint, patience, user};

/// Who may read the file while the server is making it.
const MODE_BEFORE: u32 = 0o600;

/// Who may read it then: the number is no secret.
const MODE: u32 = 0o644;

/// The longest content that can be a number, in bytes.
const MAX_BYTES: u64 = 64;

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
    /// Somebody holds the lock, and no server is seen that does.
    #[error("{path}: another process holds its lock; remove the file, or choose another one with -P")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The same file twice.
    #[error("{path}: is named by -P and by -G; give two files, they hold different numbers")]
    Same {
        /// The file.
        path: PathBuf,
    },
    /// The file is not taken, or cannot be made.
    #[error(transparent)]
    Open(#[from] OwnFileError),
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
/// The file stays open and locked as long as any process of the server lives, so that a second start is refused
/// whatever the program is called. A process that others run may hold the lock of a file that an earlier server has left,
/// as everybody may read it, but not the lock of a live server's file: that is taken before others can open the file.
/// So a lock counts only while the process that the file names lives and has the file open.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    number: i32,
    inode: Inode,
    /// Holds the lock.
    file: File,
}

impl PidFile {
    /// Makes the files that were asked for: process number and process group.
    pub(super) fn make(
        process: Option<&Path>,
        group: Option<&Path>,
        identity: RunUser,
    ) -> Result<Vec<PidFile>, PidFileError> {
        if let Some(path) = process.filter(|_| process == group) {
            return Err(PidFileError::Same { path: path.to_owned() });
        }
        let mut made: Vec<PidFile> = Vec::new();
        for (path, number) in [(process, Number::of_process()), (group, Number::of_group())] {
            let Some(path) = path else { continue };
            match PidFile::make_one(path, number, identity) {
                Ok(file) => made.push(file),
                Err(error) => {
                    made.iter().for_each(PidFile::remove);
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn make_one(path: &Path, number: Number, identity: RunUser) -> Result<PidFile, PidFileError> {
        // The workers of a server that was killed hold the lock until they have ended too, and a server that begins at
        // this moment has the lock before it has written its number.
        let may_pass = |error: &PidFileError| {
            matches!(error, PidFileError::Running { .. } | PidFileError::Locked { .. })
        };
        match patience::retry(|| PidFile::write(path, number, identity), may_pass) {
            Err(PidFileError::Locked { .. }) => PidFile::replace(path, number, identity),
            made => made,
        }
    }

    /// Puts a new file in the place of one whose lock a process holds that is no server.
    ///
    /// Another start may do the same at this moment, so one waits for the other, and looks again.
    fn replace(path: &Path, number: Number, identity: RunUser) -> Result<PidFile, PidFileError> {
        let _turn = endpoint::take_turn(endpoint::folder(path));
        match PidFile::write(path, number, identity) {
            Err(PidFileError::Locked { .. }) => {}
            made => return made,
        }
        log::warn!(
            "{}: a process that is no server holds the lock of the file of an earlier one; it is replaced",
            path.display()
        );
        let failed = |source| {
            let remedy = "remove it as its folder's owner";
            PidFileError::System { path: path.to_owned(), step: "remove it", source, remedy }
        };
        fs::remove_file(path).map_err(failed)?;
        PidFile::write(path, number, identity)
    }

    fn write(path: &Path, number: Number, identity: RunUser) -> Result<PidFile, PidFileError> {
        let step =
            |step, remedy| move |source| PidFileError::System { path: path.to_owned(), step, source, remedy };
        let mut access = OpenOptions::new();
        access.read(true).write(true);
        let Opened { mut file, is_new } = own_file::open(path, &access, MODE_BEFORE, identity.uid)?;
        let found = file.metadata().map_err(step("look at it", "see the system error"))?;
        let inode = (found.dev(), found.ino());
        let named = number_in(&file);
        let running = |processes: Vec<ProcessId>, proof| {
            let users = [user::effective_user(), 0, found.uid(), identity.uid.unwrap_or_default()];
            processes.into_iter().any(|process| running::is_server(process, &users, proof))
        };
        let path_and_number = || (path.to_owned(), named.unwrap_or_default());
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let processes = named.map_or_else(Vec::new, |named| number.processes(named));
                let (path, pid) = path_and_number();
                let is_held = running(processes, Proof::Has(inode));
                return Err(if is_held {
                    PidFileError::Running { path, pid }
                } else {
                    PidFileError::Locked { path }
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(step("lock it", "put it on a local file system")(source));
            }
        }
        // Another start may have replaced the file before the lock was taken, or the server that ended have removed it.
        if !presence::look(path, inode).is_ok_and(|found| found == Presence::Ours) {
            return Err(PidFileError::Locked { path: path.to_owned() });
        }
        // OpenSIPS knows no lock.
        let original = named.and_then(ProcessId::from_number).filter(|&process| process != ProcessId::own());
        if running(original.into_iter().collect(), Proof::Called("opensips")) {
            let (path, pid) = path_and_number();
            return Err(PidFileError::Running { path, pid });
        }
        let number = number.value;
        let fill = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{number}")
        };
        let filled = fill(&mut file).map_err(step("write the number", "free some space")).and_then(|()| {
            let owner = "start as root, or without -u and -g";
            fchown(&file, identity.uid, identity.gid).map_err(step("give it to the server's user", owner))?;
            let mode = file.set_permissions(Permissions::from_mode(MODE));
            mode.map_err(step("make it readable", "see the system error"))
        });
        if let Err(error) = filled {
            if is_new {
                // Best effort: the error itself says more than a failed clean-up could.
                let _removed = fs::remove_file(path);
            }
            return Err(error);
        }
        Ok(PidFile { path: path.to_owned(), number, inode, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, if it is still ours and holds our number.
    pub(super) fn remove(&self) {
        let path = self.path.display();
        let removed = match presence::look(&self.path, self.inode) {
            Ok(Presence::Ours) if number_in(&self.file) == Some(self.number) => fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) => {
                log::warn!("cannot remove {path}: {}", presence::why_unseen(&self.path, &error));
                Ok(())
            }
        };
        if let Err(error) = removed {
            log::warn!("cannot remove {path}: {error}; remove it as its folder's owner");
        }
    }
}

/// What a file is to hold.
#[derive(Clone, Copy, Debug)]
struct Number {
    value: i32,
    is_group: bool,
}

impl Number {
    fn of_process() -> Number {
        Number { value: ProcessId::own().number(), is_group: false }
    }

    fn of_group() -> Number {
        Number { value: crate::system::process::group(), is_group: true }
    }

    /// The processes that another number of this kind stands for. The leader of a daemon's group has ended.
    fn processes(self, named: i32) -> Vec<ProcessId> {
        if self.is_group {
            running::members(named)
        } else {
            ProcessId::from_number(named).into_iter().collect()
        }
    }
}

fn number_in(mut file: &File) -> Option<i32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> Result<PidFile, PidFileError> {
        PidFile::make(Some(path), None, RunUser::default()).map(|mut files| files.remove(0))
    }

    /// Writes a file as a server makes it, whatever the umask is.
    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(MODE)).unwrap();
    }

    fn content(path: &Path) -> Option<i32> {
        number_in(&File::open(path).unwrap())
    }

    #[test]
    fn a_fifo_and_one_path_for_two_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let both = PidFile::make(Some(&path), Some(&path), RunUser::default());
        assert!(matches!(both, Err(PidFileError::Same { .. })) && !path.exists());
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(write(&path).is_err());
        let error = write(&folder.path().join("no/pid")).unwrap_err().to_string();
        assert!(error.contains("cannot open it: No such file") && error.contains("/no first"), "{error}");
    }

    #[test]
    fn stale_content_is_replaced_and_only_our_own_file_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        // Process 1 is alive but no server of this kind.
        for stale in ["", "rubbish", "999999999", "-5", "1"] {
            put(&path, stale);
            let file = write(&path).unwrap();
            assert_eq!(content(&path), Some(ProcessId::own().number()));
            file.remove();
            assert!(!path.exists());
        }
        let file = write(&path).unwrap();
        put(&path, "1");
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
        put(&target, "precious");
        let path = folder.path().join("pid");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(write(&path), Err(PidFileError::Open(OwnFileError::Kind { .. }))));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn a_file_that_others_may_write_or_with_another_name_is_refused_and_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("pid"), folder.path().join("other"));
        put(&path, "precious");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(write(&path), Err(PidFileError::Open(OwnFileError::Writable { .. }))));
        put(&path, "precious");
        fs::hard_link(&path, &other).unwrap();
        assert!(matches!(write(&path), Err(PidFileError::Open(OwnFileError::Linked { .. }))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    /// Another start has put its file there since this one has seen that the lock is no server's.
    #[test]
    fn of_two_starts_that_replace_a_file_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        put(&path, "999999999\n");
        let stranger = File::open(&path).unwrap();
        stranger.lock_shared().unwrap();
        let replace = || PidFile::replace(&path, Number::of_process(), RunUser::default());
        let first = replace().unwrap();
        let second = replace();
        assert!(matches!(second, Err(PidFileError::Running { .. })), "{second:?}");
        assert_eq!(presence::look(&path, first.inode).unwrap(), Presence::Ours);
    }

    /// The lock is somebody else's here: each open file has its own.
    #[test]
    fn a_lock_that_no_server_holds_does_not_stop_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        // A process that has ended, one that has not the file open, and none.
        for stale in ["999999999\n", "1\n", ""] {
            put(&path, stale);
            let other = File::open(&path).unwrap();
            other.lock_shared().unwrap();
            let file = write(&path).unwrap_or_else(|error| panic!("{stale:?}: {error}"));
            assert_eq!(content(&path), Some(ProcessId::own().number()));
            assert!(matches!(write(&path), Err(PidFileError::Running { .. })));
            file.remove();
            assert!(!path.exists());
        }
    }
}
