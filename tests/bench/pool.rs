//! The load clients as the bench sees them: gives them their tasks and adds up what they counted. How processes are told
//! is in `crew`, the loop itself in `client`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::children::Started;
use crate::client::{Asking, Task};
use crate::crew::{Crew, PATIENCE};
use crate::error::{Error, Result};
use crate::request::Numbers;

/// How long requests may take that are counted, not timed.
const COUNTED_TIME: Duration = Duration::from_secs(900);
/// The client processes; they end with this value.
pub(crate) struct Pool {
    clients: Crew,
}

impl Pool {
    /// Starts `count` clients with their sockets in `directory`. `stop` is set by the signals that end the bench.
    pub(crate) fn start(directory: &Path, count: usize, stop: Arc<AtomicBool>) -> Result<Pool> {
        let clients = Crew::start(count, stop, |number, stdin| {
            let address = directory.join(format!("client-{number}"));
            let number = OsString::from(number.to_string());
            Started::role("client", &[address.as_os_str(), &number], stdin)
        })?;
        Ok(Pool { clients })
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
        let clients = (self.clients.count() as u64).min(turn.numbers.count);
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
        let share = requests.div_ceil(self.clients.count() as u64);
        let task = Task::Soak { requests: share, connected, socket: socket.to_path_buf() };
        let tasks = vec![task; self.clients.count()];
        self.run(&tasks, socket, limit).map(drop)
    }

    /// One task for each of the first clients: told, all ready, go, done.
    fn run(&mut self, tasks: &[Task], socket: &Path, limit: Duration) -> Result<Vec<(u64, u64)>> {
        let tasks: Vec<Vec<u8>> = tasks.iter().map(Task::bytes).collect();
        let done = self.clients.run(&tasks, socket, limit)?;
        let counts = |(client, line): (usize, &String)| {
            let counts = line.split_once(' ');
            let counts = counts.and_then(|(count, nanos)| Some((count.parse().ok()?, nanos.parse().ok()?)));
            let socket = PathBuf::from(socket);
            counts.ok_or_else(|| Error::Client { client, socket, reason: line.clone() })
        };
        done.iter().enumerate().map(counts).collect()
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
