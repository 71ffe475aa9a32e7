//! Files that a process removes when a function that is not ours ends it, by a crash or by exit(3): pid files, sockets
//! and FIFOs, which it would else leave behind. See [`last_words`](super::last_words).
#![expect(unsafe_code, reason = "a handler of a signal can reach nothing but a static pointer")]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::sys::stat::{FileStat, lstat};

use super::process::ProcessId;

/// What is to be removed; null while there is nothing.
static LEFTOVERS: AtomicPtr<Leftovers> = AtomicPtr::new(null_mut());

/// Made in advance, as a handler of a signal can make nothing.
struct Leftovers {
    process: ProcessId,
    files: Vec<(CString, FileStat)>,
}

/// Says which files to remove, in place of those that were said before. To be called a few times in a process, as what
/// is said is never freed: a handler may be reading it.
pub fn set<'a>(paths: impl Iterator<Item = &'a Path>) {
    let named = paths.filter_map(|path| CString::new(path.as_os_str().as_bytes()).ok());
    let files = named.filter_map(|path| lstat(path.as_c_str()).ok().map(|found| (path, found))).collect();
    let leftovers = Leftovers { process: ProcessId::own(), files };
    LEFTOVERS.store(Box::leak(Box::new(leftovers)), Ordering::Release);
}

/// Removes the files that are still those that were named, if this is the process that has named them. May be called by
/// a handler of a signal: it allocates nothing, and lstat(2) and unlink(2) may be called there.
pub(super) fn remove() {
    let leftovers = LEFTOVERS.load(Ordering::Acquire).cast_const();
    // SAFETY: null, or what is never freed.
    let Some(leftovers) = (unsafe { leftovers.as_ref() }) else { return };
    if leftovers.process != ProcessId::own() {
        return;
    }
    for (path, made) in &leftovers.files {
        let path: &CStr = path;
        if lstat(path).is_ok_and(|found| (found.st_dev, found.st_ino) == (made.st_dev, made.st_ino)) {
            // The process ends: nobody is there to be told of a failure.
            let _removed = nix::unistd::unlink(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_named_and_is_still_there_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let [kept, moved, new] = ["kept", "moved", "new"].map(|name| folder.path().join(name));
        for path in [&kept, &moved] {
            std::fs::write(path, "").unwrap();
        }
        set([&*kept, &*moved, &*new].into_iter());
        std::fs::rename(&moved, folder.path().join("elsewhere")).unwrap();
        std::fs::write(&moved, "another's").unwrap();
        std::fs::write(&new, "another's").unwrap();
        remove();
        assert!(!kept.exists() && moved.exists() && new.exists());
    }
}
