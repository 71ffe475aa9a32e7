//! A process that goes on by one instruction at a time.
//!
//! By `ptrace`, so it stands between two instructions of its own code; a system call is one step.

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use opensips_mi::system::process::{Ending, ProcessId};

use crate::children;
use crate::stage::Stage;

/// An operation that takes more instructions than this does not end.
pub(crate) const MOST_STEPS: usize = 50_000_000;

/// While it lives, this process and those it starts run on one processor: a step is then a switch and not a wake-up.
pub(crate) struct OneProcessor(CpuSet);

impl OneProcessor {
    pub(crate) fn choose() -> nix::Result<OneProcessor> {
        let own = Pid::from_raw(0);
        let before = sched_getaffinity(own)?;
        let mut one = CpuSet::new();
        one.set(sched_getcpu()?)?;
        sched_setaffinity(own, &one)?;
        Ok(OneProcessor(before))
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        // What was allowed before is allowed still.
        let _restored = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// A process under our control, killed when dropped.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) process: ProcessId,
    ended: Option<Ending>,
}

impl Stepped {
    /// Starts a process that stands still right before `work`.
    pub(crate) fn start(work: impl FnOnce() -> Result<(), String>) -> Result<Stepped, String> {
        let process = children::start(0, || {
            ptrace::traceme().map_err(|error| format!("ptrace is not allowed here: {error}"))?;
            raise(Signal::SIGSTOP).map_err(|error| error.to_string())?;
            work()
        })?;
        children::wait_stopped(process)?;
        Ok(Stepped { process, ended: None })
    }

    /// One instruction. False when the process has ended in order.
    pub(crate) fn step(&mut self) -> Result<bool, String> {
        let pid = Pid::from_raw(self.process.number());
        ptrace::step(pid, None).map_err(|error| format!("cannot step: {error}"))?;
        match waitpid(pid, None).map_err(|error| format!("cannot wait for a step: {error}"))? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Ok(true),
            WaitStatus::Exited(_, status) => {
                self.ended = Some(Ending::Exited(status));
                match status {
                    0 => Ok(false),
                    _ => Err(String::from("the stepped process failed; its reason is on standard error")),
                }
            }
            other => {
                self.ended = matches!(other, WaitStatus::Signaled(..)).then_some(Ending::Killed(0));
                Err(format!("a step led to {other:?}"))
            }
        }
    }

    /// So many instructions. False when the process has ended in order before.
    pub(crate) fn advance(&mut self, steps: usize) -> Result<bool, String> {
        for _ in 0..steps {
            if !self.step()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it holds a lock of the table.
    pub(crate) fn holds(&self, stage: &Stage) -> bool {
        stage.table.holders().any(|holder| holder.process == self.process)
    }

    /// Kills it, if it is still there. What it leaves must be what [`Stage::image`] has foretold.
    pub(crate) fn kill(self, stage: &Stage) -> Result<(), String> {
        self.kill_leaving(|process, image| stage.image(process, image))
    }

    /// The same with what copies the memory as a kill of a process would leave it.
    pub(crate) fn kill_leaving(
        mut self,
        copy: impl Fn(ProcessId, &mut Vec<u8>) -> Result<bool, String>,
    ) -> Result<(), String> {
        if self.ended.is_some() {
            return Ok(());
        }
        let (mut foretold, mut left) = (Vec::new(), Vec::new());
        copy(self.process, &mut foretold)?;
        self.ended = Some(Ending::Killed(libc::SIGKILL));
        children::kill(self.process)?;
        copy(self.process, &mut left)?;
        if foretold == left {
            Ok(())
        } else {
            Err(String::from("a copy of the memory is not what a kill leaves"))
        }
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Whatever failed before has been reported.
            let _ended = children::kill(self.process);
        }
    }
}
