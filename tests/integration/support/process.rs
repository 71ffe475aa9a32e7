//! Processes as /proc shows them, and signals. Zombies count as gone: they hold nothing.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

pub(crate) use nix::sys::signal::Signal;

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn send(pid: i32, signal: Signal) {
    assert!(pid > 1, "would signal {pid}");
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("kill {pid}: {error}"),
    }
}

/// Whether the process exists and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    stat(pid).is_some()
}

/// The living children of a process.
pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    all().into_iter().filter(|&pid| stat(pid) == Some(parent)).collect()
}

/// The living processes whose command line names `path`. A forked worker has the command line of its attendant, so
/// these are all processes of a server whose configuration nobody else reads.
pub(crate) fn naming(path: &Path) -> Vec<i32> {
    let name = path.as_os_str().as_bytes();
    let names_it = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(name.len()).any(|part| part == name)
    };
    let own = std::process::id();
    all()
        .into_iter()
        .filter(|pid| u32::try_from(*pid) != Ok(own))
        .filter(names_it)
        .filter(|&pid| is_alive(pid))
        .collect()
}

/// The effective user of a process.
pub(crate) fn user_of(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The memory that a process has for itself, in kilobytes.
#[track_caller]
pub(crate) fn memory_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
}

/// The parent of a process; `None` if it is gone or a zombie.
fn stat(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also a closing parenthesis.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.next()?.parse().ok()
}

fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
