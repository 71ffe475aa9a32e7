//! The load as the bench sees it: connections spread over a few client processes, or Python's clients.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::children::Started;
use crate::client::Task;
use crate::commands::Command;
use crate::crew::{Crew, PATIENCE};
use crate::error::{Error, Result};

/// Most processes that share the connections.
pub(crate) const MOST_CLIENTS: usize = 4;
/// What Python runs.
const PROGRAM: &str = include_str!("load.py");

/// The client processes; they end with this value.
pub(crate) struct Load {
    clients: Crew,
    pythons: Option<Crew>,
}

/// What a turn comes to.
pub(crate) struct Turned {
    /// Round trips per second of all clients.
    pub(crate) rate: f64,
    /// What one request of a hundred took longer than, in the process where that is longest.
    pub(crate) slow: Duration,
}

impl Load {
    /// Starts the processes; Python's too, where `with_python`.
    pub(crate) fn start(directory: &Path, with_python: bool, stop: &Arc<AtomicBool>) -> Result<Load> {
        let clients =
            Crew::start(MOST_CLIENTS, Arc::clone(stop), |_, stdin| Started::role("client", &[], stdin))?;
        let program = directory.join("load.py");
        fs::write(&program, PROGRAM).map_err(Error::os("write", &program))?;
        let words = [OsStr::new("python3"), program.as_os_str()];
        let pythons =
            || Crew::start(MOST_CLIENTS, Arc::clone(stop), |_, stdin| Started::role("exec", &words, stdin));
        Ok(Load { clients, pythons: with_python.then(pythons).transpose()? })
    }

    /// Has `connections` connections ask the server at `address` for `time`.
    pub(crate) fn turn(
        &mut self,
        command: &Command,
        connections: usize,
        address: SocketAddr,
        reply: &[u8],
        time: Duration,
    ) -> Result<Turned> {
        let url = format!("http://{address}{}", command.door.path());
        let crew = match &mut self.pythons {
            Some(pythons) if command.by_python => pythons,
            _ => &mut self.clients,
        };
        let processes = connections.min(crew.count());
        let task = |process: usize| {
            if command.by_python {
                let call = command.words.join(" ");
                return format!("{} {url} {call}\n", time.as_micros()).into_bytes();
            }
            let share = connections / processes + usize::from(process < connections % processes);
            let (request, reply) = (command.request(), reply.to_vec());
            Task { time, connections: share, address, request, reply }.bytes()
        };
        let tasks: Vec<Vec<u8>> = (0..processes).map(task).collect();
        let socket = PathBuf::from(&url);
        let done = crew.run(&tasks, &socket, time + PATIENCE)?;
        let mut turned = Turned { rate: 0.0, slow: Duration::ZERO };
        for (client, line) in done.iter().enumerate() {
            let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            let &[count, nanos, slow] = numbers.as_slice() else {
                return Err(Error::Client { client, socket, reason: line.clone() });
            };
            turned.rate += count as f64 / (nanos as f64 / 1e9);
            turned.slow = turned.slow.max(Duration::from_nanos(slow));
        }
        Ok(turned)
    }
}
