//! A file with a line for each request, in the common form of web servers.
//!
//! The attendant opens it, before it gives up root, and the workers have it from there. When it was moved or removed,
//! as tools do that keep logs short, the attendant makes it again, as the user that it runs as by then; each worker
//! finds that at its next look and goes on in the new one. C: `LogWrite` of the server inside mi_xmlrpc.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
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
    /// Opens the file, or makes it; what is there stays. Only one that was made changes its owner.
    pub(super) fn open(path: &Path, owner: Identity) -> io::Result<LogFile> {
        let file = match options().create_new(true).mode(MODE).open(path) {
            Ok(file) => {
                if owner.uid.is_some() || owner.gid.is_some() {
                    fchown(&file, owner.uid, owner.gid)?;
                }
                file
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => existing(path)?,
            Err(error) => return Err(error),
        };
        Ok(LogFile { path: path.to_owned(), owner, file })
    }

    /// Makes the file again if it has vanished.
    pub(super) fn repair(&mut self) -> io::Result<()> {
        if !self.is_there() {
            *self = LogFile::open(&self.path, self.owner)?;
        }
        Ok(())
    }

    /// Whether the path still leads to this file.
    fn is_there(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// The same, for a worker.
    pub(super) fn for_worker(&self) -> io::Result<LogWriter> {
        Ok(LogWriter { path: self.path.clone(), file: RefCell::new(self.file.try_clone()?) })
    }
}

/// Adds to the end. A FIFO that nobody reads would hold up the start, and a link lead elsewhere.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
    options
}

/// Opens a file that is there and has no other name: who may write to the folder could have given it one, for the
/// server to spoil as root what is somebody else's.
fn existing(path: &Path) -> io::Result<File> {
    let file = options().open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if found.nlink() > 1 {
        return Err(io::Error::other("it has another name, too (a hard link)"));
    }
    Ok(file)
}

fn is_at(file: &File, path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path).and_then(|there| Ok((there, file.metadata()?)));
    found.is_ok_and(|(there, own)| (there.dev(), there.ino()) == (own.dev(), own.ino()))
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
        if !is_at(&self.file.borrow(), &self.path)
            && let Ok(file) = existing(&self.path)
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
        // The only byte of an address that could end it too early.
        let uri = uri.to_string().replace('"', "%22");
        let line = format!("{client} - - [{time}] \"{method} {uri} {version:?}\" {status} {length}\n");
        self.file.borrow_mut().write_all(line.as_bytes())
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
        assert!(LogFile::open(folder.path(), Identity::default()).is_err());
    }

    #[test]
    fn a_file_that_is_somebody_elses_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (other, hard, soft) =
            (folder.path().join("other"), folder.path().join("hard"), folder.path().join("soft"));
        std::fs::write(&other, "precious\n").unwrap();
        std::fs::hard_link(&other, &hard).unwrap();
        std::os::unix::fs::symlink(&other, &soft).unwrap();
        let error = LogFile::open(&hard, Identity::default()).unwrap_err();
        assert!(error.to_string().contains("hard link"), "{error}");
        assert!(LogFile::open(&soft, Identity::default()).is_err());
        std::fs::remove_file(&hard).unwrap();
        LogFile::open(&other, Identity::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious\n");
    }

    /// Only root can give a file away; anybody else sees from the error that it was tried.
    #[test]
    fn only_a_new_file_gets_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Identity { uid: Some(65_534), gid: Some(65_534) };
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "").unwrap();
        LogFile::open(&old, owner).unwrap();
        let own = nix::unistd::geteuid();
        assert_eq!(std::fs::metadata(&old).unwrap().uid(), own.as_raw());
        let made = LogFile::open(&new, owner);
        if !own.is_root() {
            assert_eq!(made.unwrap_err().kind(), ErrorKind::PermissionDenied);
            return;
        }
        assert_eq!(std::fs::metadata(&new).unwrap().uid(), 65_534);
    }
}
