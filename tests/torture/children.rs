//! The processes of the torture: started, limited in time, killed and waited for. Each of them ends with the program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm};
use opensips_mi::system::process::{self, Ending, Fork, ProcessId};

/// After this many seconds a process that looks at the table counts as hung, and SIGALRM ends it.
const LOOK_SECONDS: u32 = 20;

/// How long processes that were told to stop may take. One that hangs does so for ever; without optimization, and
/// with many other processes, one that does not may need more than a second.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

/// Starts a process that does `work` and ends with status 0, or 1 with a line on standard error, or 2 by a panic.
/// SIGALRM ends it after `seconds`; 0 is no limit.
pub(crate) fn start(seconds: u32, work: impl FnOnce() -> Result<(), String>) -> Result<ProcessId, String> {
    let parent = ProcessId::own();
    match process::fork().map_err(|error| format!("cannot fork: {error}"))? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let tied = || {
                process::end_with(parent).map_err(|error| error.to_string())?;
                if seconds > 0 {
                    alarm::set(seconds);
                }
                work()
            };
            let status = match catch_unwind(AssertUnwindSafe(tied)) {
                Ok(Ok(())) => 0,
                Ok(Err(reason)) => {
                    eprintln!("process {}: {reason}", ProcessId::own().number());
                    1
                }
                Err(_) => 2,
            };
            process::exit_child(status)
        }
    }
}

/// Does `look` in a process of its own, so that a lock that never comes back is seen as such.
pub(crate) fn second_process(look: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    match wait(start(LOOK_SECONDS, look)?)? {
        Ending::Exited(0) => Ok(()),
        Ending::Killed(libc::SIGALRM) => Err(format!("a second process hung for {LOOK_SECONDS} s")),
        ending => Err(format!("the second process {ending}; its reason is on standard error")),
    }
}

/// Kills a process and waits for its end, which must be that kill.
pub(crate) fn kill(child: ProcessId) -> Result<(), String> {
    child.kill();
    match wait(child)? {
        Ending::Killed(libc::SIGKILL) => Ok(()),
        ending => Err(format!("process {} {ending} before it was killed", child.number())),
    }
}

/// Waits until a process ends.
pub(crate) fn wait(child: ProcessId) -> Result<Ending, String> {
    loop {
        if let Some(ending) = ending(changed(child, WaitPidFlag::empty())?) {
            return Ok(ending);
        }
    }
}

/// Waits until a process stops itself by SIGSTOP.
pub(crate) fn wait_stopped(child: ProcessId) -> Result<(), String> {
    match changed(child, WaitPidFlag::WUNTRACED)? {
        WaitStatus::Stopped(_, nix::sys::signal::Signal::SIGSTOP) => Ok(()),
        other => Err(format!("process {} did not stop: {other:?}", child.number())),
    }
}

/// `Err` when a process has ended.
pub(crate) fn is_there(child: ProcessId) -> Result<(), String> {
    match changed(child, WaitPidFlag::WNOHANG)? {
        WaitStatus::StillAlive => Ok(()),
        other => Err(format!("process {} did not wait: {other:?}", child.number())),
    }
}

/// Waits until all end with status 0; those that take longer than `limit` are killed and reported.
/// Returns how long it took.
pub(crate) fn wait_all(mut children: Vec<ProcessId>, limit: Duration) -> Result<Duration, String> {
    let started = Instant::now();
    let mut wrong = Vec::new();
    while !children.is_empty() {
        let mut left = Vec::new();
        for child in children {
            match ending(changed(child, WaitPidFlag::WNOHANG)?) {
                None => left.push(child),
                Some(Ending::Exited(0)) => {}
                Some(ending) => wrong.push(format!("process {} {ending}", child.number())),
            }
        }
        children = left;
        if started.elapsed() > limit && !children.is_empty() {
            wrong.push(format!("{} processes did not end within {limit:?}", children.len()));
            for child in children {
                kill(child)?;
            }
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    if wrong.is_empty() { Ok(started.elapsed()) } else { Err(wrong.join("; ")) }
}

fn changed(child: ProcessId, flags: WaitPidFlag) -> Result<WaitStatus, String> {
    waitpid(Pid::from_raw(child.number()), Some(flags))
        .map_err(|error| format!("cannot wait for process {}: {error}", child.number()))
}

fn ending(status: WaitStatus) -> Option<Ending> {
    match status {
        WaitStatus::Exited(_, status) => Some(Ending::Exited(status)),
        WaitStatus::Signaled(_, signal, _) => Some(Ending::Killed(signal as i32)),
        _ => None,
    }
}
