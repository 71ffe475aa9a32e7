//! Options that each bench has: the load, its length, and what becomes of the figures.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Parser, ValueExt};

use crate::error::Result;
use crate::limits::within;

/// What is measured of each command, and how long.
pub(crate) struct Scale {
    /// Numbers of clients, each a measurement.
    pub(crate) clients: Vec<usize>,
    /// Most that there may be.
    most_clients: usize,
    /// Of the server.
    pub(crate) workers: usize,
    pub(crate) rounds: u32,
    /// Of each side.
    pub(crate) round_time: Duration,
    /// Stretches that the time of a round is cut into.
    pub(crate) turns: u32,
    pub(crate) control: bool,
    pub(crate) check: bool,
    pub(crate) raw: Option<PathBuf>,
}

impl Scale {
    /// What it is without options.
    pub(crate) fn new(clients: &[usize], most_clients: usize, workers: usize) -> Scale {
        // A debug build only shows that the bench works: its figures say nothing.
        let (rounds, round_time) = if cfg!(debug_assertions) {
            (1, Duration::from_millis(50))
        } else {
            (9, Duration::from_millis(300))
        };
        Scale {
            clients: clients.to_vec(),
            most_clients,
            workers,
            rounds,
            round_time,
            turns: 6,
            control: false,
            check: false,
            raw: None,
        }
    }

    /// Reads the long option of that name. False when it is none of these.
    ///
    /// # Errors
    /// A value that is missing or out of its limits.
    pub(crate) fn take(&mut self, name: &str, parser: &mut Parser) -> Result<bool> {
        match name {
            // What cargo adds by itself.
            "bench" => {}
            "control" => self.control = true,
            "check" => self.check = true,
            "raw" => self.raw = Some(parser.value()?.into()),
            "clients" => {
                let list = parser.value()?.string()?;
                let most = self.most_clients;
                self.clients = list.split(',').map(|one| within(one, 1, most)).collect::<Result<_>>()?;
            }
            "workers" => self.workers = within(&parser.value()?.string()?, 1, 64)?,
            "rounds" => self.rounds = within(&parser.value()?.string()?, 1, 1_000)?,
            "round-ms" => {
                self.round_time = Duration::from_millis(within(&parser.value()?.string()?, 10, 60_000)?);
            }
            "turns" => self.turns = within(&parser.value()?.string()?, 1, 100)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
