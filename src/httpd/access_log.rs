//! Writes the access log: a line for each request, in the Common Log Format of web servers.
//!
//! The attendant opens the file before it gives up root, and the workers inherit it. When log rotation has
//! moved or removed the file, the attendant creates it again, as the user that it runs as by then; each
//! worker checks the path from time to time and goes on in the new file. C: `LogWrite` of the server inside
//! mi_xmlrpc.

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

/// Permissions of a new file: its owner writes, its group reads.
const MODE: u32 = 0o640;

/// The access log, as the attendant holds it.
#[derive(Debug)]
pub(super) struct AccessLog {
    path: PathBuf,
    owner: RunUser,
    file: File,
}

/// Why the access log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessLogError {
    /// The file cannot be created, or is not one that the server may write to.
    #[error(transparent)]
    Open(#[from] OwnFileError),
    /// The owner of a new file cannot be set.
    #[error("{path}: cannot give it to the server's user: {source}; start as root, or without -u and -g")]
    Owner {
        /// The path of the file.
        path: PathBuf,
        /// The error of `fchown`.
        source: io::Error,
    },
    /// The server's user cannot look the path up.
    #[error("{path}: cannot see whether it is still there: {}", presence::why_unseen(path, source))]
    Unseen {
        /// The path of the file.
        path: PathBuf,
        /// The error of `stat`.
        source: io::Error,
    },
}

/// The request and the reply of one line.
#[derive(Debug)]
pub(super) struct AccessLogEntry<'a> {
    pub(super) client: IpAddr,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) version: Version,
    pub(super) status: StatusCode,
    /// Bytes of the reply's body; `None` when the length is unknown as the reply begins.
    pub(super) length: Option<u64>,
}

impl AccessLog {
    /// Opens the file for appending, or creates it. Only a new file gets the owner.
    pub(super) fn open(path: &Path, owner: RunUser) -> Result<AccessLog, AccessLogError> {
        let Opened { file, is_new } = own_file::open(path, &append(), MODE, owner.uid)?;
        if is_new && (owner.uid.is_some() || owner.gid.is_some()) {
            let failed = |source| AccessLogError::Owner { path: path.to_owned(), source };
            fchown(&file, owner.uid, owner.gid).map_err(failed)?;
        }
        Ok(AccessLog { path: path.to_owned(), owner, file })
    }

    /// Creates the file again when the path no longer leads to it.
    pub(super) fn recreate_if_moved(&mut self) -> Result<(), AccessLogError> {
        let looked = inode(&self.file).and_then(|inode| presence::look(&self.path, inode));
        let unseen = |source| AccessLogError::Unseen { path: self.path.clone(), source };
        if looked.map_err(unseen)? != Presence::Ours {
            *self = AccessLog::open(&self.path, self.owner)?;
        }
        Ok(())
    }

    /// A writer for a worker.
    pub(super) fn writer(&self) -> io::Result<AccessLogWriter> {
        Ok(AccessLogWriter { path: self.path.clone(), file: RefCell::new(self.file.try_clone()?) })
    }
}

fn append() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    options
}

fn inode(file: &File) -> io::Result<Inode> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The access log, as a worker writes it.
#[derive(Debug)]
pub(super) struct AccessLogWriter {
    path: PathBuf,
    file: RefCell<File>,
}

impl AccessLogWriter {
    /// Opens the new file after log rotation. Until the attendant has created it, the writer goes on in the
    /// old one.
    pub(super) fn reopen_if_moved(&self) {
        let looked = inode(&self.file.borrow()).and_then(|inode| presence::look(&self.path, inode));
        if looked.is_ok_and(|presence| presence != Presence::Ours)
            && let Ok(file) = own_file::open_existing(&self.path, &append(), None)
        {
            self.file.replace(file);
        }
    }

    /// Appends a line by one system call, so that lines of several processes do not mix.
    pub(super) fn write(&self, entry: &AccessLogEntry<'_>) -> io::Result<()> {
        let AccessLogEntry { client, method, uri, version, status, length } = entry;
        let time = clock::web_time(clock::wall_seconds());
        let status = status.as_u16();
        let length = length.map_or_else(|| String::from("-"), |length| length.to_string());
        let uri = percent_encoded(&uri.to_string());
        let line = format!("{client} - - [{time}] \"{method} {uri} {version:?}\" {status} {length}\n");
        self.file.borrow_mut().write_all(line.as_bytes())
    }
}

/// A URI in visible ASCII characters. All others, and the double quote that ends the field, are
/// percent-encoded.
fn percent_encoded(uri: &str) -> String {
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

    /// Creates a file whose permissions do not depend on the umask.
    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).unwrap();
    }

    #[test]
    fn lines_are_appended_and_a_moved_file_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        write(&path, "before\n");
        let mut log = AccessLog::open(&path, RunUser::default()).unwrap();
        let uri = Uri::from_static("/RPC2\"?x");
        let entry = AccessLogEntry {
            client: "::1".parse().unwrap(),
            method: &Method::POST,
            uri: &uri,
            version: Version::HTTP_11,
            status: StatusCode::OK,
            length: Some(7),
        };
        let writer = log.writer().unwrap();
        writer.write(&entry).unwrap();
        log.recreate_if_moved().unwrap();
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        // The worker opens no new file before the attendant has created it.
        writer.reopen_if_moved();
        assert!(!path.exists());
        writer.write(&entry).unwrap();
        log.recreate_if_moved().unwrap();
        writer.reopen_if_moved();
        writer.write(&AccessLogEntry { length: None, ..entry }).unwrap();
        let old = std::fs::read_to_string(folder.path().join("log.1")).unwrap();
        assert!(
            old.starts_with("before\n::1 - - [") && old.ends_with("] \"POST /RPC2%22?x HTTP/1.1\" 200 7\n"),
            "{old}"
        );
        let new = std::fs::read_to_string(&path).unwrap();
        assert!(new.starts_with("::1 - - [") && new.ends_with("200 -\n"), "{new}");
        assert_eq!((old.lines().count(), new.lines().count()), (3, 1));
        assert!(AccessLog::open(folder.path(), RunUser::default()).is_err());
    }

    #[test]
    fn a_uri_with_invisible_characters_is_percent_encoded() {
        assert_eq!(percent_encoded("/a?b=~\"\u{7f}\u{9b}2J\u{202e}é"), "/a?b=~%22%7F%C2%9B2J%E2%80%AE%C3%A9");
    }

    #[test]
    fn a_file_with_a_second_link_is_refused_and_left_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (other, hard, soft) =
            (folder.path().join("other"), folder.path().join("hard"), folder.path().join("soft"));
        write(&other, "precious\n");
        std::fs::hard_link(&other, &hard).unwrap();
        std::os::unix::fs::symlink(&other, &soft).unwrap();
        let error = AccessLog::open(&hard, RunUser::default()).unwrap_err();
        assert!(error.to_string().contains("hard link"), "{error}");
        assert!(AccessLog::open(&soft, RunUser::default()).is_err());
        std::fs::remove_file(&hard).unwrap();
        AccessLog::open(&other, RunUser::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious\n");
    }

    /// Only root can change the owner; for other users the error shows that the server tried.
    #[test]
    fn only_a_new_file_gets_the_configured_owner() {
        let folder = tempfile::tempdir().unwrap();
        let owner = RunUser { uid: Some(65_534), gid: Some(65_534) };
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        write(&old, "");
        AccessLog::open(&old, owner).unwrap();
        let own = nix::unistd::geteuid();
        assert_eq!(std::fs::metadata(&old).unwrap().uid(), own.as_raw());
        let made = AccessLog::open(&new, owner);
        if !own.is_root() {
            let error = made.unwrap_err();
            assert!(matches!(error, AccessLogError::Owner { .. }), "{error}");
            return;
        }
        assert_eq!(std::fs::metadata(&new).unwrap().uid(), 65_534);
    }
}
