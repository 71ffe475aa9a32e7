//! A file with a line for each request, in the common form of web servers.
//!
//! The attendant opens it, before it gives up root, and the workers have it from there. When it was moved or removed,
//! as tools do that keep logs short, the attendant makes it again, as the user that it runs as by then; each worker
//! finds that at its next look and goes on in the new one. C: `LogWrite` of the server inside mi_xmlrpc.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use hyper::{Method, StatusCode, Uri, Version};

use crate::module::RunUser;
use crate::system::clock;
use crate::system::own_file::{self, Opened, OwnFileError};
use crate::system::presence::{self, Inode, Presence};

/// Who may read it: its owner and group.
const MODE: u32 = 0o640;

/// The file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    owner: RunUser,
    file: File,
}

/// Why there is no file to write to.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogFileError {
    /// The file is not taken, or cannot be made.
    #[error(transparent)]
    Open(#[from] OwnFileError),
    /// The new file cannot be given to the server's user.
    #[error("{path}: cannot give it to the server's user: {source}; start as root, or without -u and -g")]
    Owner {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server's user cannot see whether the file is still there.
    #[error("{path}: cannot see whether it is still there: {}", presence::why_unseen(path, source))]
    Unseen {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a line tells of a request.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) client: IpAddr,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) version: Version,
    pub(super) status: StatusCode,
    /// Bytes of the body, where they are known when it begins.
    pub(super) length: Option<u64>,
}

impl LogFile {
    /// Opens the file, or makes it; what is there stays. Only one that was made changes its owner.
    pub(super) fn open(path: &Path, owner: RunUser) -> Result<LogFile, LogFileError> {
        let Opened { file, is_new } = own_file::open(path, &append(), MODE, owner.uid)?;
        if is_new && (owner.uid.is_some() || owner.gid.is_some()) {
            let failed = |source| LogFileError::Owner { path: path.to_owned(), source };
            fchown(&file, owner.uid, owner.gid).map_err(failed)?;
        }
        Ok(LogFile { path: path.to_owned(), owner, file })
    }

    /// Makes the file again if it has vanished.
    pub(super) fn repair(&mut self) -> Result<(), LogFileError> {
        let looked = inode(&self.file).and_then(|inode| presence::look(&self.path, inode));
        let unseen = |source| LogFileError::Unseen { path: self.path.clone(), source };
        if looked.map_err(unseen)? != Presence::Ours {
            *self = LogFile::open(&self.path, self.owner)?;
        }
        Ok(())
    }

    /// The same, for a worker.
    pub(super) fn for_worker(&self) -> io::Result<LogWriter> {
        Ok(LogWriter { path: self.path.clone(), file: RefCell::new(self.file.try_clone()?) })
    }
}

fn append() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    options
}

fn inode(file: &File) -> io::Result<Inode> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

/// The file, as a worker has it.
#[derive(Debug)]
pub(super) struct LogWriter {
    path: PathBuf,
    file: RefCell<File>,
}

impl LogWriter {
    /// Goes on in the file that the path leads to by now. While there is none that will do, in the one that was moved.
    pub(super) fn follow(&self) {
        let looked = inode(&self.file.borrow()).and_then(|inode| presence::look(&self.path, inode));
        if looked.is_ok_and(|found| found != Presence::Ours)
            && let Ok(file) = own_file::open_existing(&self.path, &append(), None)
        {
            self.file.replace(file);
        }
    }

    /// Adds a line. One call, so that lines of several processes do not mix.
    pub(super) fn write(&self, entry: &Entry<'_>) -> io::Result<()> {
        let Entry { client, method, uri, version, status, length } = entry;
        let time = clock::web_time(clock::wall_seconds());
        let status = status.as_u16();
        let length = length.map_or_else(|| String::from("-"), |length| length.to_string());
        let uri = escaped(&uri.to_string());
        let line = format!("{client} - - [{time}] \"{method} {uri} {version:?}\" {status} {length}\n");
        self.file.borrow_mut().write_all(line.as_bytes())
    }
}

/// An address in characters that have a shape: others, and what could end it too early, are escaped as in URLs.
fn escaped(uri: &str) -> String {
    let mut text = String::with_capacity(uri.len());
    for byte in uri.bytes() {
        match byte {
            b'"' => text += "%22",
            b'!'..=b'~' => text.push(char::from(byte)),
            byte => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A file as it is made under any umask.
    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).unwrap();
    }

    #[test]
    fn lines_are_added_and_a_file_that_was_moved_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        write(&path, "before\n");
        let mut log = LogFile::open(&path, RunUser::default()).unwrap();
        let uri = Uri::from_static("/RPC2\"?x");
        let entry = Entry {
            client: "::1".parse().unwrap(),
            method: &Method::POST,
            uri: &uri,
            version: Version::HTTP_11,
            status: StatusCode::OK,
            length: Some(7),
        };
        let writer = log.for_worker().unwrap();
        writer.write(&entry).unwrap();
        log.repair().unwrap();
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        // Not before the attendant has made it.
        writer.follow();
        assert!(!path.exists());
        writer.write(&entry).unwrap();
        log.repair().unwrap();
        writer.follow();
        writer.write(&Entry { length: None, ..entry }).unwrap();
        let old = std::fs::read_to_string(folder.path().join("log.1")).unwrap();
        assert!(
            old.starts_with("before\n::1 - - [") && old.ends_with("] \"POST /RPC2%22?x HTTP/1.1\" 200 7\n"),
            "{old}"
        );
        let new = std::fs::read_to_string(&path).unwrap();
        assert!(new.starts_with("::1 - - [") && new.ends_with("200 -\n"), "{new}");
        assert_eq!((old.lines().count(), new.lines().count()), (3, 1));
        assert!(LogFile::open(folder.path(), RunUser::default()).is_err());
    }

    #[test]
    fn an_address_has_no_characters_without_a_shape() {
        assert_eq!(escaped("/a?b=~\"\u{7f}\u{9b}2J\u{202e}é"), "/a?b=~%22%7F%C2%9B2J%E2%80%AE%C3%A9");
    }

    #[test]
    fn a_file_that_is_somebody_elses_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (other, hard, soft) =
            (folder.path().join("other"), folder.path().join("hard"), folder.path().join("soft"));
        write(&other, "precious\n");
        std::fs::hard_link(&other, &hard).unwrap();
        std::os::unix::fs::symlink(&other, &soft).unwrap();
        let error = LogFile::open(&hard, RunUser::default()).unwrap_err();
        assert!(error.to_string().contains("hard link"), "{error}");
        assert!(LogFile::open(&soft, RunUser::default()).is_err());
        std::fs::remove_file(&hard).unwrap();
        LogFile::open(&other, RunUser::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious\n");
    }

    /// Only root can give a file away; anybody else sees from the error that it was tried.
    #[test]
    fn only_a_new_file_gets_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let owner = RunUser { uid: Some(65_534), gid: Some(65_534) };
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        write(&old, "");
        LogFile::open(&old, owner).unwrap();
        let own = nix::unistd::geteuid();
        assert_eq!(std::fs::metadata(&old).unwrap().uid(), own.as_raw());
        let made = LogFile::open(&new, owner);
        if !own.is_root() {
            let error = made.unwrap_err();
            assert!(matches!(error, LogFileError::Owner { .. }), "{error}");
            return;
        }
        assert_eq!(std::fs::metadata(&new).unwrap().uid(), 65_534);
    }
}
