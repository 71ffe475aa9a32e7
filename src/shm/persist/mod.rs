//! Keyed state in a file, for restarts.
//!
//! The table's region is a mapping of the file, so there is nothing to save: what was acknowledged is in the file's
//! pages, which the kernel keeps when processes are killed, all of them and at any moment. The next start makes the
//! table whole as after any dead holder of a lock. **A power loss or a crash of the machine is another matter**: the
//! kernel writes dirty pages when it likes, so anything of the last half minute may be lost, and the table with it
//! may be torn; the walk at the start drops each entry that is not what was stored.
//!
//! While a server lives it holds a lock on the file. A file of another layout is moved aside, one of another size is
//! copied entry by entry into one of the right size. A new file is made beside its place, and put there when it is whole:
//! what lies at the path is a table, or nothing, or not ours.
//!
//! The file must keep its size while a server has it: where somebody cuts it off, each process that touches the missing
//! part ends by SIGBUS. Nothing here guards against that; the man page says so.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Persistent;
use super::keyed::{Layout, Space, Table};
use super::region::Region;
use super::timeline::Note;
use crate::system::own_file::{self, OwnFileError};

/// How long a start waits for the lock. The workers of a server whose attendant was killed end a moment after it.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How long it waits from one try to the next.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Who may read and write the file. Nobody else can open it, so nobody else can hold its lock.
const MODE: u32 = 0o600;

/// What of a file says how it is laid out, in bytes.
const HEAD_BYTES: usize = 4096;

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
    /// The file is not taken, or cannot be made.
    #[error("restart_persistency_cache_file: {0}")]
    Open(#[from] OwnFileError),
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
    #[error(
        "{path}: the state of {entries} entries does not fit; give {megabytes} megabytes or more, by restart_persistency_size or -m"
    )]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// How many there were.
        entries: u64,
        /// What the file had; with as many it is taken as it is.
        megabytes: usize,
    },
}

/// Opens the file of a server's state, or makes it, and makes the table whole.
pub(super) fn open(wanted: Persistent<'_>, layout: Layout) -> Result<(File, Region), PersistError> {
    let path = wanted.path;
    let file = lock(path, wanted.run_user)?;
    match layout_of(path, &file)? {
        Some(old) if old == layout => {
            let region = map(path, &file, layout.bytes())?;
            let table = Table::new(&region, layout);
            recover(path, &table);
            keep_only(&table, wanted.spaces);
            log::info!("{}: found {} entries again", path.display(), count(&table, wanted.spaces));
            Ok((file, region))
        }
        Some(old) => resize(wanted, &file, old, layout),
        None if is_blank(&file).map_err(failed(path, "read it", "see the system error"))? => {
            begin(wanted, &file, layout)
        }
        None => {
            let aside = beside(path, ".other-layout");
            fs::rename(path, &aside).map_err(failed(path, "move it aside", "remove it"))?;
            log::warn!(
                "{}: is of another layout and was moved to {}; the server starts without it",
                path.display(),
                aside.display()
            );
            begin(wanted, &lock(path, wanted.run_user)?, layout)
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
fn lock(path: &Path, run_user: Option<u32>) -> Result<File, PersistError> {
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(file) = try_lock(path, run_user)? {
            return Ok(file);
        }
        if Instant::now() >= end {
            return Err(PersistError::InUse { path: path.to_owned() });
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// `None` when another process has the lock.
fn try_lock(path: &Path, run_user: Option<u32>) -> Result<Option<File>, PersistError> {
    let mut access = OpenOptions::new();
    access.read(true).write(true);
    let file = own_file::open(path, &access, MODE, run_user)?.file;
    let close_to_others = || {
        let is_open = file.metadata()?.mode() & !MODE & 0o777 != 0;
        if is_open { file.set_permissions(fs::Permissions::from_mode(MODE)) } else { Ok(()) }
    };
    close_to_others().map_err(failed(path, "make it readable for its owner alone", "run chmod 600 on it"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(source)) => {
            return Err(failed(path, "lock it", "put it on a local file system")(source));
        }
    }
    // Another server that starts at this moment may have removed or replaced the file before the lock was taken.
    let is_there = match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
        _ => false,
    };
    Ok(is_there.then_some(file))
}

/// How the file is laid out; `None` when it holds no table of this version, or not all of it.
fn layout_of(path: &Path, file: &File) -> Result<Option<Layout>, PersistError> {
    let length = file.metadata().map_err(failed(path, "look at it", "see the system error"))?.len();
    if length < HEAD_BYTES as u64 {
        return Ok(None);
    }
    let layout = Layout::of(&map(path, file, HEAD_BYTES)?);
    Ok(layout.filter(|layout| layout.bytes() as u64 == length))
}

/// Whether a file holds nothing but zeros, or nothing.
fn is_blank(mut file: &File) -> io::Result<bool> {
    let mut bytes = vec![0; 1 << 16];
    file.rewind()?;
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(true),
            length if bytes[..length].iter().any(|&byte| byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

fn map(path: &Path, file: &File, bytes: usize) -> Result<Region, PersistError> {
    Region::of(file, bytes).map_err(failed(path, "map it into memory", "give a smaller -m, or free memory"))
}

/// Makes an empty table in place of a blank file, whose lock is held.
fn begin(wanted: Persistent<'_>, blank: &File, layout: Layout) -> Result<(File, Region), PersistError> {
    let path = wanted.path;
    blank.set_len(0).map_err(failed(path, "empty it", "remove it"))?;
    let made = replace(wanted, layout, |_| Ok(()));
    if made.is_err() {
        // Best effort: an empty file counts as new at the next start.
        let _removed = fs::remove_file(path);
    }
    made
}

/// Makes a table in a new file, lets it be filled, and puts the file in the place of the one at the path.
///
/// All of it is allocated now: a hole that the disk cannot fill later would be a SIGBUS.
fn replace(
    wanted: Persistent<'_>,
    layout: Layout,
    fill: impl FnOnce(&Region) -> Result<(), PersistError>,
) -> Result<(File, Region), PersistError> {
    let path = wanted.path;
    let new_path = beside(path, ".new");
    let file = lock(&new_path, wanted.run_user)?;
    let allocate = || {
        file.set_len(0)?;
        let length = i64::try_from(layout.bytes()).map_err(io::Error::other)?;
        nix::fcntl::posix_fallocate(&file, 0, length).map_err(io::Error::from)
    };
    let make = || {
        let remedy = "free disk space, or give a smaller restart_persistency_size";
        allocate().map_err(failed(&new_path, "give it its size", remedy))?;
        let region = map(&new_path, &file, layout.bytes())?;
        Table::new(&region, layout).initialize();
        fill(&region)?;
        // A power loss must not find the new name without what it stands for.
        file.sync_all().map_err(failed(&new_path, "write it to the disk", "see the system error"))?;
        fs::rename(&new_path, path).map_err(failed(path, "put it in its place", "see the system error"))?;
        Ok(region)
    };
    match make() {
        Ok(region) => Ok((file, region)),
        Err(error) => {
            // Best effort: it is made anew at the next start.
            let _removed = fs::remove_file(&new_path);
            Err(error)
        }
    }
}

/// Copies the state into a file of another size, which takes the old one's place when it is whole.
fn resize(
    wanted: Persistent<'_>,
    old_file: &File,
    old_layout: Layout,
    layout: Layout,
) -> Result<(File, Region), PersistError> {
    let path = wanted.path;
    let old_region = map(path, old_file, old_layout.bytes())?;
    let old = Table::new(&old_region, old_layout);
    recover(path, &old);
    let made = replace(wanted, layout, |region| {
        Note::read(&old_region).write(region);
        let table = Table::new(region, layout);
        let mut fits = true;
        for &space in wanted.spaces {
            old.list(space, 0, |entry| {
                fits = fits && table.insert(space, entry).is_ok();
                fits
            });
        }
        fits.then_some(()).ok_or_else(|| PersistError::TooSmall {
            path: path.to_owned(),
            entries: count(&old, wanted.spaces),
            megabytes: old_layout.bytes().div_ceil(1 << 20),
        })
    })?;
    let entries = count(&Table::new(&made.1, layout), wanted.spaces);
    log::info!("{}: {entries} entries copied to the new size", path.display());
    Ok(made)
}

fn recover(path: &Path, table: &Table<'_>) {
    let lost = table.recover();
    if lost > 0 {
        log::warn!("{}: damaged entries that were dropped: {lost}", path.display());
    }
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
