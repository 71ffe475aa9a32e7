//! What is at a path of the server's, as far as its user can see it.
//!
//! A server that gave up root may be kept out of the folder of what it made as root. That its file cannot be seen does
//! not mean that it has vanished. C: `mi_sock_check` in datagram_fnc.c and `mi_fifo_check` in fifo_fnc.c, which take
//! every error for a vanished file.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::{endpoint, user};

/// What is at a path now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// What we made.
    Ours,
    /// Nothing.
    Missing,
    /// Something that is not ours.
    Foreign,
}

/// Device and number of an inode.
pub type Inode = (u64, u64);

/// Whether a path leads to that inode, following no link.
///
/// # Errors
/// When the path cannot be looked at, as by EACCES of a folder on the way.
pub fn look(path: &Path, inode: Inode) -> io::Result<Presence> {
    match fs::symlink_metadata(path) {
        Ok(found) if (found.dev(), found.ino()) == inode => Ok(Presence::Ours),
        Ok(_) => Ok(Presence::Foreign),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Presence::Missing),
        Err(error) => Err(error),
    }
}

/// Says which folder on the way to a path keeps this process's user out, and what to do; `None` when none does.
#[must_use]
pub fn closed_folder(path: &Path) -> Option<String> {
    let folder = std::path::absolute(endpoint::folder(path)).ok()?;
    let mut way: Vec<_> = folder.ancestors().collect();
    way.reverse();
    let is_closed =
        |folder: &Path| folder.is_dir() && eaccess(folder, AccessFlags::X_OK) == Err(Errno::EACCES);
    let closed = way.into_iter().find(|folder| is_closed(folder))?;
    let (user, closed) = (user::user_name(user::effective_user()), closed.display());
    Some(format!(
        "user {user} cannot enter {closed}; make {closed} searchable for that user, as by chmod o+x, or choose \
         another path"
    ))
}

/// As [`closed_folder`], and else the system's error: for a message about a path that cannot be looked at.
#[must_use]
pub fn why_unseen(path: &Path, error: &io::Error) -> String {
    closed_folder(path).unwrap_or_else(|| format!("{error}; see the system error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_missing_foreign_and_unseen_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let found = fs::metadata(&path).unwrap();
        let inode = (found.dev(), found.ino());
        assert_eq!(look(&path, inode).unwrap(), Presence::Ours);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        assert_eq!(look(&path, inode).unwrap(), Presence::Missing);
        fs::write(&path, "another's").unwrap();
        assert_eq!(look(&path, inode).unwrap(), Presence::Foreign);
        let error = look(&path.join("below"), inode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        assert!(why_unseen(&path.join("below"), &error).starts_with("Not a directory"));
        assert_eq!(closed_folder(&path), None);
    }
}
