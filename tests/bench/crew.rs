//! Processes that do their tasks at the same time: starts them, tells each its task, has all begin at once, collects
//! what they say in the end, and gives up on one that does not answer. Knows no task; [`member`] is the other side.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::children::Started;
use crate::error::{Error, Result};

/// How long a process may be silent beyond the time its task takes: then a reply is missing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How often a wait looks at the stop flag.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// The processes; they end with this value.
pub(crate) struct Crew {
    members: Vec<Member>,
    stop: Arc<AtomicBool>,
}

struct Member {
    control: BufReader<UnixStream>,
    _process: Started,
}

impl Crew {
    /// Has `start` start `count` processes, each with its number and its standard input, a socket. `stop` is set by the
    /// signals that end the bench.
    pub(crate) fn start(
        count: usize,
        stop: Arc<AtomicBool>,
        start: impl Fn(usize, Stdio) -> Result<Started>,
    ) -> Result<Crew> {
        let member = |number| {
            let name = Path::new("a load client");
            let (ours, theirs) = UnixStream::pair().map_err(Error::os("make a socket pair for", name))?;
            ours.set_read_timeout(Some(STOP_CHECK)).map_err(Error::os("set the timeout for", name))?;
            let process = start(number, Stdio::from(OwnedFd::from(theirs)))?;
            Ok(Member { control: BufReader::new(ours), _process: process })
        };
        Ok(Crew { members: (0..count).map(member).collect::<Result<_>>()?, stop })
    }

    /// How many processes there are.
    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    /// One task for each of the first processes: told, all ready, go, done. Returns what each says of it; errors name
    /// `socket`, which the tasks are about.
    pub(crate) fn run(&mut self, tasks: &[Vec<u8>], socket: &Path, limit: Duration) -> Result<Vec<String>> {
        let failed =
            |client: usize, reason: String| Error::Client { client, socket: PathBuf::from(socket), reason };
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        for (number, (member, task)) in self.members.iter_mut().zip(tasks).enumerate() {
            member.control.get_mut().write_all(task).map_err(|error| failed(number, error.to_string()))?;
        }
        for (number, member) in self.members.iter_mut().take(tasks.len()).enumerate() {
            let line = member.line(PATIENCE, &self.stop).map_err(|error| give_up(error, number, &failed))?;
            if line != "ready" {
                return Err(failed(number, line));
            }
        }
        for (number, member) in self.members.iter_mut().take(tasks.len()).enumerate() {
            member.control.get_mut().write_all(b"go\n").map_err(|error| failed(number, error.to_string()))?;
        }
        let mut done = Vec::new();
        for (number, member) in self.members.iter_mut().take(tasks.len()).enumerate() {
            let line = member.line(limit, &self.stop).map_err(|error| give_up(error, number, &failed))?;
            let reason = line.strip_prefix("failed ").unwrap_or(&line);
            done.push(
                line.strip_prefix("done ").ok_or_else(|| failed(number, reason.to_owned()))?.to_owned(),
            );
        }
        Ok(done)
    }
}

impl Member {
    /// The process's next line, without its end.
    fn line(&mut self, limit: Duration, stop: &AtomicBool) -> io::Result<String> {
        let deadline = Instant::now() + limit;
        let mut line = String::new();
        loop {
            match self.control.read_line(&mut line) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(line.trim_end().to_owned()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// What it means that a process's line did not come.
fn give_up(error: io::Error, client: usize, failed: &impl Fn(usize, String) -> Error) -> Error {
    match error.kind() {
        io::ErrorKind::Interrupted => Error::Interrupted,
        io::ErrorKind::TimedOut => failed(client, "a reply did not come".to_owned()),
        io::ErrorKind::UnexpectedEof => failed(client, "the client process ended".to_owned()),
        _ => failed(client, error.to_string()),
    }
}

/// The process's side: takes tasks from its standard input until that ends.
///
/// Each task that `read` finds is answered with `ready`, started by `go`, and ended with `done` and what `work` says,
/// or with `failed REASON`.
///
/// # Errors
/// The stream ends between a task and its start.
pub(crate) fn member<T>(
    read: impl Fn(&mut BufReader<UnixStream>) -> io::Result<Option<T>>,
    mut work: impl FnMut(&T) -> io::Result<String>,
) -> io::Result<()> {
    let mut answers = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut tasks = BufReader::new(answers.try_clone()?);
    while let Ok(Some(task)) = read(&mut tasks) {
        answers.write_all(b"ready\n")?;
        let mut line = String::new();
        if tasks.read_line(&mut line)? == 0 {
            break;
        }
        let line = match work(&task) {
            Ok(done) => format!("done {done}\n"),
            Err(error) => format!("failed {error}\n"),
        };
        if answers.write_all(line.as_bytes()).is_err() {
            // The bench has given up; it says why.
            break;
        }
    }
    Ok(())
}
