//! Programs and scripts run from outside, and the end of a server that one of them started. Holds no test.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Outcome, Setup, Signal, send, wait_for, within};

/// How long a script may take. The longest, a restart by opensipsctl, sleeps for five seconds.
const SCRIPT_DEADLINE: Duration = Duration::from_secs(60);

/// Runs a program to its end with `input` on stdin. Its output goes to files: a daemon that it leaves behind could
/// hold a pipe open.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Outcome {
    let (mut stdin, mut stdout, mut stderr) = (file(), file(), file());
    stdin.write_all(input).and_then(|()| stdin.rewind()).expect("the input");
    let share = |file: &File| Stdio::from(file.try_clone().expect("a descriptor"));
    command.stdin(share(&stdin)).stdout(share(&stdout)).stderr(share(&stderr));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let ended = within(SCRIPT_DEADLINE, || child.try_wait().expect("wait"));
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
    match ended {
        Some((status, _)) => Outcome { status, stdout, stderr },
        None => {
            panic!("{command:?}: still running after {SCRIPT_DEADLINE:?}; stdout {stdout}, stderr {stderr}")
        }
    }
}

fn file() -> File {
    tempfile::tempfile().expect("a temporary file")
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("the output");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a program can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).exists())
}

/// Ends what scripts started with a configuration, whatever becomes of the test.
pub(crate) struct Keeper<'a>(pub(crate) &'a Setup);

impl Keeper<'_> {
    /// Waits until no process of the server is left and none of `files`.
    #[track_caller]
    pub(crate) fn wait_gone(&self, files: &[&Path]) {
        wait_for("the end of all processes", || self.0.processes().is_empty().then_some(()));
        for file in files {
            assert!(file.symlink_metadata().is_err(), "left: {}", file.display());
        }
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            self.0.processes().into_iter().for_each(|pid| send(pid, signal));
            let _ = within(Duration::from_secs(3), || self.0.processes().is_empty().then_some(()));
        }
    }
}

/// A program that runs while a test looks at it, and ends with it.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
