//! A process of the server as the kernel sees it: its memory and its descriptors.

use std::fs;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A process.
pub(crate) struct Worker {
    pid: u32,
}

impl Worker {
    pub(crate) fn new(pid: u32) -> Worker {
        Worker { pid }
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }

    /// A value of its status, in KiB.
    fn status(&self, name: &str) -> Result<u64> {
        let path = self.path("status");
        let text = fs::read_to_string(&path).map_err(Error::os("read", &path))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        value.ok_or_else(|| Error::server(&path.to_string_lossy(), format!("no {name}")))
    }

    /// Memory of its own, in KiB.
    pub(crate) fn own_memory(&self) -> Result<u64> {
        self.status("RssAnon")
    }

    /// Resident memory, the shared segment included, in KiB.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.status("VmRSS")
    }

    /// The most that was resident since [`Worker::forget_peak`], in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.status("VmHWM")
    }

    /// Has the kernel begin again to note the peak.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        let path = self.path("clear_refs");
        fs::write(&path, "5").map_err(Error::os("write", &path))
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let path = self.path("fd");
        Ok(fs::read_dir(&path).map_err(Error::os("list", &path))?.count())
    }
}
