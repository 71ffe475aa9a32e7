//! Keyed state in a file, for restarts.
//!
//! The table's region is a mapping of the file, so there is nothing to save: what was acknowledged is in the file's
//! pages, which the kernel keeps when processes are killed, all of them and at any moment. The next start makes the
//! table whole as after any dead holder of a lock. **A power loss or a crash of the machine is another matter**: the
//! kernel writes dirty pages when it likes, so anything of the last half minute may be lost, and the table with it
//! may be torn; the walk at the start drops what is not sound.
//!
//! While a server lives it holds a lock on the file. A file of another layout is moved aside, one of another size is
//! copied entry by entry into one of the right size.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Persistent;
use super::keyed::{Layout, Space, Stamp, Table};
use super::region::Region;
use super::timeline::Note;

/// Why the state of an earlier server cannot be used, and none be kept.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// Another server has the file.
    #[error(
        "{path}: another server keeps its state there; stop it, or set another restart_persistency_cache_file"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A step failed.
    #[error("{path}: cannot {step}: {source}; {remedy}")]
    Step {
        /// The file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The memory has become too small.
    #[error("{path}: the state of {entries} entries does not fit; give as much memory as before, or more")]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// How many there were.
        entries: u64,
    },
}

/// Opens the file of a server's state, or makes it, and makes the table whole.
pub(super) fn open(
    wanted: Persistent<'_>,
    bytes: usize,
    layout: Layout,
) -> Result<(File, Region), PersistError> {
    let path = wanted.path;
    let file = lock(path)?;
    let length = file.metadata().map_err(failed(path, "look at it", "see the system error"))?.len();
    let found = if length >= 4096 {
        stamp(path, &file)?
    } else if is_blank(&file).map_err(failed(path, "read it", "see the system error"))? {
        Stamp::Blank
    } else {
        Stamp::Other
    };
    match found {
        Stamp::Known(size) if size == bytes as u64 && length == size => {
            let region = map(path, &file, bytes)?;
            let table = Table::new(&region, layout);
            table.recover();
            keep_only(&table, wanted.spaces);
            log::info!("{}: found {} entries again", path.display(), count(&table, wanted.spaces));
            Ok((file, region))
        }
        Stamp::Known(size) if length == size => resize(wanted, &file, size, bytes, layout),
        Stamp::Blank => make(path, file, bytes, layout),
        Stamp::Known(_) | Stamp::Other => {
            let aside = beside(path, ".other-layout");
            fs::rename(path, &aside).map_err(failed(path, "move it aside", "remove it"))?;
            log::warn!(
                "{}: is of another layout and was moved to {}; the server starts without it",
                path.display(),
                aside.display()
            );
            make(path, lock(path)?, bytes, layout)
        }
    }
}

fn failed<'a>(
    path: &'a Path,
    step: &'static str,
    remedy: &'static str,
) -> impl FnOnce(io::Error) -> PersistError + 'a {
    move |source| PersistError::Step { path: path.to_owned(), step, source, remedy }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Opens the file and takes its lock.
fn lock(path: &Path) -> Result<File, PersistError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let remedy = "set restart_persistency_cache_file to a file in a folder that the server may write";
    let file = options.open(path).map_err(failed(path, "open it", remedy))?;
    let in_use = PersistError::InUse { path: path.to_owned() };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use),
        Err(TryLockError::Error(source)) => {
            return Err(failed(path, "lock it", "put it on a local file system")(source));
        }
    }
    // Another server that starts at this moment may have removed or replaced the file before the lock was taken.
    let is_there = match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
        _ => false,
    };
    if is_there { Ok(file) } else { Err(in_use) }
}

/// Whether a file holds nothing but zeros: it is new, or a server was killed before it had its size.
fn is_blank(mut file: &File) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.iter().all(|&byte| byte == 0))
}

fn stamp(path: &Path, file: &File) -> Result<Stamp, PersistError> {
    Ok(Stamp::of(&map(path, file, 4096)?))
}

fn map(path: &Path, file: &File, bytes: usize) -> Result<Region, PersistError> {
    Region::of(file, bytes).map_err(failed(path, "map it into memory", "give a smaller -m, or free memory"))
}

/// Makes an empty table in a new file. All of it is allocated now: a hole that the disk cannot fill later would be
/// a SIGBUS.
fn make(path: &Path, file: File, bytes: usize, layout: Layout) -> Result<(File, Region), PersistError> {
    let step =
        failed(path, "give it its size", "free disk space, or give a smaller restart_persistency_size");
    let allocate = || {
        file.set_len(0)?;
        let length = i64::try_from(bytes).map_err(io::Error::other)?;
        nix::fcntl::posix_fallocate(&file, 0, length).map_err(io::Error::from)
    };
    match allocate().map_err(step).and_then(|()| map(path, &file, bytes)) {
        Ok(region) => {
            Table::new(&region, layout).initialize();
            Ok((file, region))
        }
        Err(error) => {
            // Best effort: an empty file counts as new at the next start.
            let _emptied = file.set_len(0);
            let _removed = fs::remove_file(path);
            Err(error)
        }
    }
}

/// Copies the state into a file of another size, which takes the old one's place when it is whole.
fn resize(
    wanted: Persistent<'_>,
    old_file: &File,
    old_bytes: u64,
    bytes: usize,
    layout: Layout,
) -> Result<(File, Region), PersistError> {
    let path = wanted.path;
    let old_length = usize::try_from(old_bytes).unwrap_or(usize::MAX);
    let Some(old_layout) = Layout::new(old_length) else { return make(path, lock(path)?, bytes, layout) };
    let old_region = map(path, old_file, old_length)?;
    let old = Table::new(&old_region, old_layout);
    old.recover();
    let new_path = beside(path, ".new");
    let (file, region) = make(&new_path, lock(&new_path)?, bytes, layout)?;
    let table = Table::new(&region, layout);
    Note::read(&old_region).write(&region);
    for &space in wanted.spaces {
        let mut fits = true;
        old.list(space, 0, |entry| {
            fits = table.insert(space, entry).is_ok();
            fits
        });
        if !fits {
            // Best effort: the old file is the one that counts.
            let _removed = fs::remove_file(&new_path);
            return Err(PersistError::TooSmall {
                path: path.to_owned(),
                entries: count(&old, wanted.spaces),
            });
        }
    }
    fs::rename(&new_path, path).map_err(failed(
        path,
        "put the resized state in its place",
        "see the system error",
    ))?;
    log::info!("{}: {} entries copied to the new size", path.display(), count(&table, wanted.spaces));
    Ok((file, region))
}

fn count(table: &Table<'_>, spaces: &[Space]) -> u64 {
    spaces.iter().map(|&space| table.count(space)).sum()
}

fn keep_only(table: &Table<'_>, spaces: &[Space]) {
    for space in Space::ALL.into_iter().filter(|space| !spaces.contains(space)) {
        table.clear(space);
    }
}

#[cfg(test)]
mod tests;
