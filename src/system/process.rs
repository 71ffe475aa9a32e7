//! Processes: fork, wait, kill, sessions, and the ties of a child to its parent.
//!
//! C: `internal_fork` in pt.c, `daemonize` and `do_suid` in daemonize.c.
#![expect(unsafe_code, reason = "fork and prctl")]

use std::fs::File;
use std::io;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid};

/// A process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId(i32);

impl ProcessId {
    /// The calling process.
    #[must_use]
    pub fn own() -> ProcessId {
        ProcessId(std::process::id().cast_signed())
    }

    /// The parent of the calling process.
    #[must_use]
    pub fn parent() -> ProcessId {
        ProcessId(nix::unistd::getppid().as_raw())
    }

    /// A process by number; `None` for what is not one process (0 and below).
    #[must_use]
    pub fn from_number(number: i32) -> Option<ProcessId> {
        (number > 0).then_some(ProcessId(number))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Whether there is such a process, of whatever user.
    #[must_use]
    pub fn exists(self) -> bool {
        !matches!(kill(Pid::from_raw(self.0), None), Err(nix::errno::Errno::ESRCH))
    }

    /// Sends SIGTERM: finish what is in hand, then end.
    pub fn terminate(self) {
        self.send(Signal::SIGTERM);
    }

    /// Sends SIGKILL.
    pub fn kill(self) {
        self.send(Signal::SIGKILL);
    }

    /// Sends SIGCONT: go on after a stop.
    pub fn resume(self) {
        self.send(Signal::SIGCONT);
    }

    /// Sends SIGUSR2: publish memory figures.
    pub fn ask_for_figures(self) {
        self.send(Signal::SIGUSR2);
    }

    fn send(self, signal: Signal) {
        // A process that is gone needs no signal.
        let _sent = kill(Pid::from_raw(self.0), signal);
    }
}

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The caller, with the new process's number.
    Parent(ProcessId),
}

/// Forks. The server has one thread per process, so the child may go on running ordinary code.
///
/// # Errors
/// When the kernel has no room for another process.
pub fn fork() -> io::Result<Fork> {
    debug_assert!(threads() == 1, "a process forks before it starts a thread");
    // SAFETY: no other thread exists, so no lock can be held by one that the child lacks: the server never starts one
    // before or outside a forked child, and takes no C module that does.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Fork::Child),
        ForkResult::Parent { child } => Ok(Fork::Parent(ProcessId(child.as_raw()))),
    }
}

/// How many threads the calling process has; 1 where the system does not say.
#[must_use]
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exited(status) => write!(f, "exited with status {status}"),
            Ending::Killed(signal) => match Signal::try_from(*signal) {
                Ok(name) => write!(f, "ended by {name}"),
                Err(_) => write!(f, "ended by signal {signal}"),
            },
        }
    }
}

/// What has become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has ended, and is reaped.
    Ended(Ending),
    /// A signal has stopped it, as SIGSTOP does.
    Stopped,
    /// It goes on after it was stopped.
    Continued,
}

/// The next child whose state has changed, without waiting for one.
///
/// Not by nix, whose signals lack the real-time ones: a child that one of them ended would be reaped and lost.
#[must_use]
pub fn next_change() -> Option<(ProcessId, Change)> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    loop {
        // SAFETY: the pointer is to a live value.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        let change = match pid {
            0 => return None,
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => continue,
            -1 => return None,
            _ if libc::WIFEXITED(status) => Change::Ended(Ending::Exited(libc::WEXITSTATUS(status))),
            _ if libc::WIFSIGNALED(status) => Change::Ended(Ending::Killed(libc::WTERMSIG(status))),
            _ if libc::WIFSTOPPED(status) => Change::Stopped,
            _ if libc::WIFCONTINUED(status) => Change::Continued,
            _ => continue,
        };
        return Some((ProcessId(pid), change));
    }
}

/// Ties the calling child to its parent: when that ends, the kernel kills this process.
///
/// To be called after any change of user, which clears the tie.
///
/// # Errors
/// When the parent is gone already.
pub fn end_with(parent: ProcessId) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if ProcessId::parent() == parent {
        Ok(())
    } else {
        Err(io::Error::other(format!("the attendant, process {}, is gone", parent.number())))
    }
}

/// How much sooner than its parent the kernel is to end the calling process when memory runs out, in its own units: of
/// 1000, a thousandth stands for a thousandth of the memory.
const OOM_SCORE: i32 = 500;

/// Has the kernel end the calling process before its parent when memory runs out. Without /proc nothing happens.
///
/// # Errors
/// As `write(2)` on `/proc/self/oom_score_adj`.
pub fn raise_oom_score() -> io::Result<()> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let Ok(text) = std::fs::read_to_string(FILE) else { return Ok(()) };
    let inherited: i32 = text.trim().parse().unwrap_or(0);
    let score = inherited.saturating_add(OOM_SCORE).min(1000).to_string();
    // A process that may not leave a core file does not own its files in /proc.
    let is_dumpable = nix::sys::prctl::get_dumpable()?;
    nix::sys::prctl::set_dumpable(true)?;
    let written = std::fs::write(FILE, score);
    nix::sys::prctl::set_dumpable(is_dumpable)?;
    written
}

/// Makes a session of its own, without a terminal. `Err` when the caller leads a process group.
///
/// # Errors
/// EPERM for a process group leader.
pub fn new_session() -> io::Result<()> {
    nix::unistd::setsid()?;
    Ok(())
}

/// The process group of the calling process.
#[must_use]
pub fn group() -> i32 {
    nix::unistd::getpgrp().as_raw()
}

/// Changes the root directory, and the working directory into it.
///
/// # Errors
/// As `chroot(2)` and `chdir(2)`.
pub fn change_root(folder: &Path) -> io::Result<()> {
    nix::unistd::chroot(folder)?;
    std::env::set_current_dir("/")
}

/// Whether the process may leave a core file when it crashes.
///
/// # Errors
/// When the limits cannot be changed.
pub fn allow_core_dumps(allowed: bool) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    nix::sys::prctl::set_dumpable(allowed)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, if allowed { hard } else { 0 }, hard)?;
    Ok(())
}

/// How many descriptors this process may have.
///
/// # Errors
/// As `getrlimit(2)`.
pub fn open_files() -> io::Result<u64> {
    use nix::sys::resource::{Resource, getrlimit};
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// How many descriptors this process has; `None` where the system does not tell.
#[must_use]
pub fn descriptors() -> Option<u64> {
    // One of them is for the folder that is being read.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1) as u64)
}

/// Raises how many files the process may have open. A limit that is as high already stays.
///
/// # Errors
/// When the limit is above what the user may have. C: `increase_open_fds` in main.c.
pub fn raise_open_files(count: u64) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if count > soft {
        setrlimit(Resource::RLIMIT_NOFILE, count, hard.max(count))?;
    }
    Ok(())
}

/// Points standard input and output, and standard error when `with_error`, at another file.
///
/// # Errors
/// As `dup2(2)`.
pub fn replace_standard_streams(file: &File, with_error: bool) -> io::Result<()> {
    nix::unistd::dup2_stdin(file)?;
    nix::unistd::dup2_stdout(file)?;
    if with_error {
        nix::unistd::dup2_stderr(file)?;
        super::stderr::open();
    }
    Ok(())
}

/// Ends the calling process at once, without running what its parent has registered for its own exit.
pub fn exit_child(status: i32) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(status) }
}
