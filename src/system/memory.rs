//! Memory: an anonymous file to share, and what the calling process uses for itself.
#![expect(unsafe_code, reason = "the C library's allocator figures")]

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

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
        fragments: info.ordblks as u64,
    }
}

/// Where control groups are mounted.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// The most memory that this process can have, swap not counted, and what limits it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// In bytes.
    pub bytes: u64,
    /// The control group whose limit it is; `None` for the machine's memory.
    pub group: Option<PathBuf>,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "the memory control group {}", group.display())?,
            None => f.write_str("this machine")?,
        }
        write!(f, " has {}", self.bytes >> 20)
    }
}

/// The least of the machine's memory and of the limits of the control groups that this process is in, of version 1 or 2.
/// `None` where the system tells of neither.
#[must_use]
pub fn limit() -> Option<Limit> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let machine = machine.map(|bytes| Limit { bytes, group: None });
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    machine.into_iter().chain(of_groups(Path::new(CONTROL_GROUPS), &groups)).min()
}

/// The machine's memory in bytes, by /proc/meminfo.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// The least limit of the groups that /proc/self/cgroup lists and of those around them.
fn of_groups(mount: &Path, listed: &str) -> Option<Limit> {
    let mut found = Vec::new();
    for line in listed.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            named if named.split(',').any(|name| name == "memory") => {
                (mount.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be that of another namespace, and `..` in it leads out of this one.
        let names = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
        let group = root.join(names.collect::<PathBuf>());
        for folder in group.ancestors().take_while(|folder| folder.starts_with(&root)) {
            let bytes = fs::read_to_string(folder.join(file)).ok();
            let bytes = bytes.and_then(|text| text.trim().parse().ok());
            found.extend(bytes.map(|bytes| Limit { bytes, group: Some(folder.to_owned()) }));
        }
    }
    found.into_iter().min()
}

/// Gives what the calling process's allocator holds free back to the system. Takes milliseconds when that is much.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a plain number and does not touch what is handed out.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(total("MemFree: 3 kB\nMemTotal:       16307180 kB\n"), Some(16_307_180 << 10));
        assert_eq!(total("MemTotal: much\n"), None);
        assert!(limit().is_some_and(|limit| limit.bytes > 0));
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_around_it_counts() {
        let mount = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let least = |listed| of_groups(mount.path(), listed).map(|limit| (limit.bytes, limit.group.unwrap()));
        let group = |path: &str| mount.path().join(path);
        assert_eq!(least("0::/a/b\n"), None);
        put("a/b/memory.max", "max\n");
        assert_eq!(least("0::/a/b\n"), None);
        put("a/memory.max", "1000\n");
        assert_eq!(least("0::/a/b\n"), Some((1000, group("a"))));
        put("a/b/memory.max", "500\n");
        assert_eq!(least("0::/a/b\n"), Some((500, group("a/b"))));
        // Of version 1, in a container that sees another path than its own.
        put("memory/memory.limit_in_bytes", "300\n");
        let listed = "4:cpu:/x\n3:hugetlb,memory:/docker/../1234\n0::/a/b\n";
        assert_eq!(least(listed), Some((300, group("memory"))));
        put("memory/docker/1234/memory.limit_in_bytes", "200\n");
        assert_eq!(least(listed), Some((200, group("memory/docker/1234"))));
        assert_eq!(least("garbage\n::\n"), None);
    }

    #[test]
    fn private_memory_adds_up() {
        // Other tests allocate at the same time, so only what holds in any case is compared.
        let held = vec![1_u8; 10_000_000];
        let figures = private();
        assert!(figures.used >= held.len() as u64, "{figures:?}");
        assert!(figures.total >= figures.used, "{figures:?}");
    }
}
