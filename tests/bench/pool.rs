//! The load clients as the bench sees them: starts them, gives them one task at the same time, collects what they
//! counted, and gives up on one that does not answer. The loop itself is in `client`.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::children::Started;
use crate::client::{Asking, Task};
use crate::error::{Error, Result};
use crate::request::Numbers;

/// How long a client may be silent beyond the time its task takes: then a reply is missing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long requests may take that are counted, not timed.
const COUNTED_TIME: Duration = Duration::from_secs(900);
/// How often a wait looks at the stop flag.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// The client processes; they end with this value.
pub(crate) struct Pool {
    clients: Vec<Client>,
    stop: Arc<AtomicBool>,
}

struct Client {
    control: BufReader<UnixStream>,
    _process: Started,
}

impl Pool {
    /// Starts `count` clients with their sockets in `directory`. `stop` is set by the signals that end the bench.
    pub(crate) fn start(directory: &Path, count: usize, stop: Arc<AtomicBool>) -> Result<Pool> {
        let start = |number: usize| {
            let address = directory.join(format!("client-{number}"));
            let (ours, theirs) = UnixStream::pair().map_err(Error::os("make a socket pair for", &address))?;
            ours.set_read_timeout(Some(STOP_CHECK)).map_err(Error::os("set the timeout for", &address))?;
            let stdin = Stdio::from(OwnedFd::from(theirs));
            let number = OsString::from(number.to_string());
            let process = Started::role("client", &[address.as_os_str(), &number], stdin)?;
            Ok(Client { control: BufReader::new(ours), _process: process })
        };
        Ok(Pool { clients: (0..count).map(start).collect::<Result<_>>()?, stop })
    }

    /// Has the first `clients` clients do one turn of a round.
    pub(crate) fn turn(&mut self, clients: usize, turn: &Turn<'_>) -> Result<Turned> {
        let task = turn.asking(clients, turn.time, u64::MAX);
        let tasks: Vec<Task> =
            turn.places(clients).map(|first| Task::Turn(Asking { first, ..task.clone() })).collect();
        let done = self.run(&tasks, turn.socket, turn.time + PATIENCE)?;
        Ok(Turned {
            rate: done.iter().map(|(count, nanos)| *count as f64 / (*nanos as f64 / 1e9)).sum(),
            counts: done.iter().map(|(count, _)| *count).collect(),
        })
    }

    /// Has as many clients as there are `counts` send so many requests each, however long that takes.
    pub(crate) fn counted(&mut self, counts: &[u64], turn: &Turn<'_>) -> Result<()> {
        let task = turn.asking(counts.len(), COUNTED_TIME, 0);
        let tasks: Vec<Task> = (turn.places(counts.len()).zip(counts))
            .map(|(first, &most)| Task::Turn(Asking { first, most, ..task.clone() }))
            .collect();
        let done = self.run(&tasks, turn.socket, COUNTED_TIME + PATIENCE)?;
        match done.iter().zip(counts).position(|((did, _), count)| did != count) {
            None => Ok(()),
            Some(client) => {
                let reason = format!("not done with its requests after {COUNTED_TIME:?}");
                Err(Error::Client { client, socket: turn.socket.to_path_buf(), reason })
            }
        }
    }

    /// Has all clients together send one request for each of the turn's numbers.
    pub(crate) fn each_number(&mut self, turn: &Turn<'_>) -> Result<()> {
        let clients = (self.clients.len() as u64).min(turn.numbers.count);
        let counts: Vec<u64> =
            (0..clients).map(|client| (turn.numbers.count - client).div_ceil(clients)).collect();
        self.counted(&counts, &Turn { from: 0, ..*turn })
    }

    /// Has all clients together send `requests` mixed requests within `limit`.
    pub(crate) fn soak(
        &mut self,
        socket: &Path,
        requests: u64,
        connected: bool,
        limit: Duration,
    ) -> Result<()> {
        let share = requests.div_ceil(self.clients.len() as u64);
        let task = Task::Soak { requests: share, connected, socket: socket.to_path_buf() };
        let tasks = vec![task; self.clients.len()];
        self.run(&tasks, socket, limit).map(drop)
    }

    /// One task for each of the first clients: told, all ready, go, done.
    fn run(&mut self, tasks: &[Task], socket: &Path, limit: Duration) -> Result<Vec<(u64, u64)>> {
        let failed =
            |client: usize, reason: String| Error::Client { client, socket: PathBuf::from(socket), reason };
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        for (number, (client, task)) in self.clients.iter_mut().zip(tasks).enumerate() {
            task.write(client.control.get_mut()).map_err(|error| failed(number, error.to_string()))?;
        }
        for (number, client) in self.clients.iter_mut().take(tasks.len()).enumerate() {
            let line = client.line(PATIENCE, &self.stop).map_err(|error| give_up(error, number, &failed))?;
            if line != "ready" {
                return Err(failed(number, line));
            }
        }
        for (number, client) in self.clients.iter_mut().take(tasks.len()).enumerate() {
            client.control.get_mut().write_all(b"go\n").map_err(|error| failed(number, error.to_string()))?;
        }
        let mut done = Vec::new();
        for (number, client) in self.clients.iter_mut().take(tasks.len()).enumerate() {
            let line = client.line(limit, &self.stop).map_err(|error| give_up(error, number, &failed))?;
            let counts = line.strip_prefix("done ").and_then(|counts| counts.split_once(' '));
            let counts = counts.and_then(|(count, nanos)| Some((count.parse().ok()?, nanos.parse().ok()?)));
            let reason = line.strip_prefix("failed ").unwrap_or(&line);
            done.push(counts.ok_or_else(|| failed(number, reason.to_owned()))?);
        }
        Ok(done)
    }
}

/// One turn of one side.
pub(crate) struct Turn<'a> {
    pub(crate) socket: &'a Path,
    /// Text of a template.
    pub(crate) request: &'a [u8],
    pub(crate) reply: &'a [u8],
    pub(crate) numbers: Numbers,
    /// Place of the first number; the clients take the places from there on in turns.
    pub(crate) from: u64,
    /// Without meaning where requests are counted.
    pub(crate) time: Duration,
}

/// What came of it.
pub(crate) struct Turned {
    /// Sum of the clients' round trips per second.
    pub(crate) rate: f64,
    /// Round trips of each client.
    pub(crate) counts: Vec<u64>,
}

impl Turn<'_> {
    /// The first client's task.
    fn asking(&self, clients: usize, time: Duration, most: u64) -> Asking {
        Asking {
            micros: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
            most,
            first: self.from,
            step: clients as u64,
            numbers: self.numbers,
            socket: self.socket.to_path_buf(),
            request: self.request.to_vec(),
            reply: self.reply.to_vec(),
        }
    }

    /// Where each client begins.
    fn places(&self, clients: usize) -> std::ops::Range<u64> {
        self.from..self.from + clients as u64
    }
}

impl Client {
    /// The client's next line, without its end.
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

/// What it means that a client's line did not come.
fn give_up(error: io::Error, client: usize, failed: &impl Fn(usize, String) -> Error) -> Error {
    match error.kind() {
        io::ErrorKind::Interrupted => Error::Interrupted,
        io::ErrorKind::TimedOut => failed(client, "a reply did not come".to_owned()),
        io::ErrorKind::UnexpectedEof => failed(client, "the client process ended".to_owned()),
        _ => failed(client, error.to_string()),
    }
}
