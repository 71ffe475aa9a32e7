//! Memory: an anonymous file to share, and what the calling process uses for itself.
#![expect(unsafe_code, reason = "the C library's allocator figures")]

use std::fs::File;
use std::io;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// A file of `bytes` zero bytes that lives in memory only and has no name others can open.
///
/// # Errors
/// When the kernel has no such file to give.
pub fn anonymous_file(bytes: u64) -> io::Result<File> {
    let file = File::from(memfd_create(c"opensips-mi", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(bytes)?;
    Ok(file)
}

/// What the calling process's own allocator holds, in bytes (`fragments` is a count).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Private {
    /// Taken from the kernel.
    pub total: u64,
    /// Handed out to the program.
    pub used: u64,
    /// Handed out, with what the allocator keeps beside it.
    pub real_used: u64,
    /// Free to be handed out again.
    pub free: u64,
    /// Free pieces.
    pub fragments: u64,
}

/// Reads the figures. Microseconds, not for every request. C: `set_pkg_stats` in mem.c.
#[must_use]
pub fn private() -> Private {
    // SAFETY: mallinfo2 takes no argument and returns plain numbers.
    let info = unsafe { libc::mallinfo2() };
    let total = info.arena + info.hblkhd;
    let used = info.uordblks + info.hblkhd;
    Private {
        total: total as u64,
        used: used as u64,
        real_used: total.saturating_sub(info.fordblks) as u64,
        free: info.fordblks as u64,
        fragments: info.ordblks as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_adds_up() {
        // Other tests allocate at the same time, so only what holds in any case is compared.
        let held = vec![1_u8; 10_000_000];
        let figures = private();
        assert!(figures.used >= held.len() as u64, "{figures:?}");
        assert!(figures.total >= figures.used && figures.total >= figures.free, "{figures:?}");
    }
}
