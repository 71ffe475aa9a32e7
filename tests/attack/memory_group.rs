//! A memory control group of its own for a server, where this user may make one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A group. It is removed when it goes, which its processes must have done.
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    /// The file with the most that was charged, in bytes.
    peak: &'static str,
}

impl MemoryGroup {
    /// A group that may use so many bytes, of version 2 or 1. `None` when none can be made.
    pub(crate) fn new(name: &str, bytes: usize) -> Option<MemoryGroup> {
        let versions = [
            ("/sys/fs/cgroup", "memory.max", "memory.peak"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        ];
        versions.into_iter().find_map(|(root, limit, peak)| {
            let folder = Path::new(root).join(format!("opensips-mi-{name}-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = MemoryGroup { folder, peak };
            // In a folder that is no group there are no such files.
            let is_group = [limit, peak].iter().all(|file| group.folder.join(file).exists());
            (is_group && fs::write(group.folder.join(limit), bytes.to_string()).is_ok()).then_some(group)
        })
    }

    /// A command that enters the group and becomes the command behind it.
    pub(crate) fn command(&self) -> [OsString; 3] {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.folder.display());
        ["sh".into(), "-c".into(), script.into()]
    }

    /// The most that was charged so far, in bytes.
    pub(crate) fn peak(&self) -> usize {
        let text = fs::read_to_string(self.folder.join(self.peak)).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The kernel needs a moment after the end of the last process.
        let removed = crate::support::within(crate::support::DEADLINE, || fs::remove_dir(&self.folder).ok());
        assert!(removed.is_some() || std::thread::panicking(), "{} is left", self.folder.display());
    }
}
