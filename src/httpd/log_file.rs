//! A file with a line for each request, in the common form of web servers.
//!
//! The attendant opens it, before it gives up root, and the workers have it from there. When it was moved or removed,
//! as tools do that keep logs short, it is made again. C: `LogWrite` of the server inside mi_xmlrpc.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use hyper::{Method, StatusCode, Uri, Version};

use crate::module::Identity;
use crate::system::clock;

/// Who may read it: its owner and group.
const MODE: u32 = 0o640;

/// The file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    owner: Identity,
    file: File,
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
    /// Opens the file, or makes it; what is there stays.
    pub(super) fn open(path: &Path, owner: Identity) -> io::Result<LogFile> {
        // A FIFO that nobody reads would hold up the start.
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(MODE).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if owner.uid.is_some() || owner.gid.is_some() {
            fchown(&file, owner.uid, owner.gid)?;
        }
        Ok(LogFile { path: path.to_owned(), owner, file })
    }

    /// The same, for a worker to keep.
    pub(super) fn duplicate(&self) -> io::Result<LogFile> {
        Ok(LogFile { path: self.path.clone(), owner: self.owner, file: self.file.try_clone()? })
    }

    /// Whether the path still leads to this file.
    fn is_there(&self) -> bool {
        let found =
            std::fs::symlink_metadata(&self.path).and_then(|there| Ok((there, self.file.metadata()?)));
        found.is_ok_and(|(there, own)| (there.dev(), there.ino()) == (own.dev(), own.ino()))
    }

    /// Makes the file again if it has vanished. True when it was.
    pub(super) fn repair(&mut self) -> io::Result<bool> {
        if self.is_there() {
            return Ok(false);
        }
        *self = LogFile::open(&self.path, self.owner)?;
        Ok(true)
    }

    /// Adds a line. One call, so that lines of several processes do not mix.
    pub(super) fn write(&self, entry: &Entry<'_>) -> io::Result<()> {
        let Entry { client, method, uri, version, status, length } = entry;
        let time = clock::web_time(clock::wall_seconds());
        let status = status.as_u16();
        let length = length.map_or_else(|| String::from("-"), |length| length.to_string());
        let line = format!("{client} - - [{time}] \"{method} {uri} {version:?}\" {status} {length}\n");
        (&self.file).write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_and_a_file_that_was_moved_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        let mut log = LogFile::open(&path, Identity::default()).unwrap();
        let uri = Uri::from_static("/RPC2?x");
        let entry = Entry {
            client: "::1".parse().unwrap(),
            method: &Method::POST,
            uri: &uri,
            version: Version::HTTP_11,
            status: StatusCode::OK,
            length: Some(7),
        };
        log.write(&entry).unwrap();
        assert!(!log.repair().unwrap());
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        assert!(log.repair().unwrap() && !log.repair().unwrap());
        log.write(&Entry { length: None, ..entry }).unwrap();
        let old = std::fs::read_to_string(folder.path().join("log.1")).unwrap();
        assert!(
            old.starts_with("before\n::1 - - [") && old.ends_with("] \"POST /RPC2?x HTTP/1.1\" 200 7\n"),
            "{old}"
        );
        let new = std::fs::read_to_string(&path).unwrap();
        assert!(new.starts_with("::1 - - [") && new.ends_with("200 -\n"), "{new}");
        assert!(LogFile::open(folder.path(), Identity::default()).is_err());
    }
}
