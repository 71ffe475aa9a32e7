//! The processes that the bench starts: load clients, echo processes and servers. Owns how they start and that
//! none of them outlives the bench; what they do is in `client`, `floor` and `server`.
//!
//! Each one starts as this same program with `--role`. It first asks the kernel to end it together with the bench
//! (PR_SET_PDEATHSIG), which needs no code between fork and exec; a server is then put in its place by exec, which
//! keeps that wish. Each has a process group of its own, so that Ctrl-C reaches the bench alone, which then ends
//! them in order.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getppid};

use crate::error::{Error, Result};

/// First argument of a process that plays a part, before the part's name and the bench's process id.
pub(crate) const ROLE_FLAG: &str = "--role";
/// How long a server may take to stop after SIGTERM.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Pause between two looks at something that has to come soon.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A process that is ended and reaped when this value goes, with its whole process group.
pub(crate) struct Started {
    child: Child,
    /// Sent first, to the process alone; SIGKILL follows for its group.
    gentle: Option<Signal>,
}

impl Started {
    /// Starts this program in one of its parts.
    pub(crate) fn role(role: &str, arguments: &[&OsStr], stdin: Stdio) -> Result<Started> {
        let mut command = role_command(role)?;
        command.args(arguments).stdin(stdin);
        Ok(Started { child: spawn(&mut command, role)?, gentle: None })
    }

    /// Starts another program in the foreground, with its output in `log` and `directory` as working directory.
    pub(crate) fn program(words: &[OsString], directory: &Path, log: &Path) -> Result<Started> {
        let output = File::create(log).map_err(Error::os("create", log))?;
        let errors = output.try_clone().map_err(Error::os("duplicate", log))?;
        let mut command = role_command("exec")?;
        command.args(words).current_dir(directory).stdin(Stdio::null()).stdout(output).stderr(errors);
        Ok(Started { child: spawn(&mut command, "exec")?, gentle: Some(Signal::SIGTERM) })
    }

    /// The exit status, when the process has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().map(Pid::from_raw)
    }

    /// Ends the process; says whether it ended without being killed.
    pub(crate) fn stop(&mut self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let mut in_time = self.ended().is_some();
        if let (false, Some(signal)) = (in_time, self.gentle) {
            let deadline = Instant::now() + STOP_TIME;
            // A process that is gone already is what we want.
            let _ = kill(pid, signal);
            while !in_time && Instant::now() < deadline {
                thread::sleep(LOOK_AGAIN);
                in_time = self.ended().is_some();
            }
        }
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = self.child.wait();
        in_time
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.stop();
    }
}

fn role_command(role: &str) -> Result<Command> {
    let myself = std::env::current_exe().map_err(Error::os("find", Path::new("/proc/self/exe")))?;
    let mut command = Command::new(myself);
    command.arg(ROLE_FLAG).arg(role).arg(std::process::id().to_string()).process_group(0);
    Ok(command)
}

fn spawn(command: &mut Command, role: &str) -> Result<Child> {
    command.spawn().map_err(Error::os("start", Path::new(role)))
}

/// Has the kernel send `signal` to this process when the bench ends, and fails when it has ended already.
///
/// # Errors
/// The bench is no longer the parent, or prctl fails.
pub(crate) fn end_with_bench(bench: &OsStr, signal: Signal) -> io::Result<()> {
    prctl::set_pdeathsig(signal)?;
    if OsStr::new(&getppid().to_string()) == bench { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
}

/// The part `exec`: becomes the program in `words`.
///
/// # Errors
/// Only returns when the program cannot be run.
pub(crate) fn become_program(words: &[OsString]) -> io::Result<()> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Err(Command::new(program).args(arguments).exec())
}
