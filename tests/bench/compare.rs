//! The comparison: floor, server, floor, server … for each command and number of clients. Owns what is a pair and a
//! turn; their order is in `rounds`; prints through `report`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::commands::Command;
use crate::error::{Error, Result};
use crate::floor::Floor;
use crate::options::Options;
use crate::pool::{Pool, Turn, Turned};
use crate::report::{Outcome, Report, Sample};
use crate::request::Template;
use crate::rounds;
use crate::server::{MEMORY_MIB, Server, Source};
use crate::shape;

/// Name of the second floor in the report.
const CONTROL: &str = "floor-again";
/// Most workers that a larger reply may cost.
const MAX_WORKERS: usize = 64;

/// Runs all commands; returns whether each target was met.
pub(crate) fn run(options: &Options, directory: &Path, pool: &mut Pool, report: &mut Report) -> Result<bool> {
    let mut bench = Bench::new(options, directory, pool, report);
    let mut met = bench.commands(options.scale.workers, false)?;
    if options.commands.iter().any(|command| command.large) {
        let workers = bench.workers_for_large()?;
        met &= bench.commands(workers, true)?;
    }
    Ok(met)
}

/// What a comparison works with.
pub(crate) struct Bench<'a> {
    options: &'a Options,
    pool: &'a mut Pool,
    report: &'a mut Report,
    places: Places<'a>,
}

/// Folders with names of their own.
struct Places<'a> {
    directory: &'a Path,
    next: u32,
}

/// One server (or second floor) and the floor it is measured against.
struct Pair {
    name: String,
    socket: PathBuf,
    workers: usize,
    reply: Vec<u8>,
    /// The reply to the command's `undo`, where something has to be taken back.
    undone: Option<Vec<u8>>,
    floor: Floor,
    /// Keeps the processes of a second floor.
    _control: Option<Floor>,
}

impl<'a> Bench<'a> {
    /// Servers and floors get folders of their own in `directory`.
    pub(crate) fn new(
        options: &'a Options,
        directory: &'a Path,
        pool: &'a mut Pool,
        report: &'a mut Report,
    ) -> Bench<'a> {
        Bench { options, pool, report, places: Places { directory, next: 0 } }
    }

    /// Starts the servers with `workers` workers and measures the commands that are or are not `large`; returns
    /// whether each target was met.
    fn commands(&mut self, workers: usize, large: bool) -> Result<bool> {
        let commands: Vec<&Command> = self.options.commands.iter().filter(|one| one.large == large).collect();
        if commands.is_empty() {
            return Ok(true);
        }
        let mut servers = self.servers(workers, MEMORY_MIB)?;
        let mut met = true;
        for command in commands {
            met &= self.measure(command, &mut servers)?.iter().all(Outcome::is_met);
        }
        servers.into_iter().try_for_each(Server::stop).map(|()| met)
    }

    /// Starts the servers.
    pub(crate) fn servers(&mut self, workers: usize, memory: u64) -> Result<Vec<Server>> {
        let mut servers = Vec::new();
        for plan in &self.options.plans {
            let server = Server::start(plan, &self.places.place(&plan.name), workers, memory)?;
            self.report.server(&server, &server.ask(b":version:\n")?);
            servers.push(server);
        }
        Ok(servers)
    }

    /// Measures a command with all numbers of clients.
    pub(crate) fn measure(&mut self, command: &Command, servers: &mut [Server]) -> Result<Vec<Outcome>> {
        if let Some(request) = &command.fill {
            for server in servers.iter_mut() {
                self.fill(server, command, request)?;
            }
        }
        let pairs = self.pairs(command, servers)?;
        let mut outcomes = Vec::new();
        for &clients in &self.options.scale.clients {
            let more = self.rounds(command, clients, &pairs);
            outcomes.extend(more.map_err(|error| explain(error, servers))?);
        }
        Ok(outcomes)
    }

    /// Sends `request` with each of the command's numbers.
    pub(crate) fn fill(&mut self, server: &mut Server, command: &Command, request: &[u8]) -> Result<()> {
        let numbers = command.numbers;
        let reply = ask_well(server, command, Template::new(request).with(numbers.at(0)))?;
        let turn =
            Turn { socket: &server.socket, request, reply: &reply, numbers, from: 0, time: Duration::ZERO };
        let filled = self.pool.each_number(&turn);
        filled.map_err(|error| server.explain(&error))
    }

    /// A floor for each server, with as many processes and the reply that the server gives now.
    fn pairs(&mut self, command: &Command, servers: &[Server]) -> Result<Vec<Pair>> {
        let one_socket = self.options.one_socket;
        let mut pairs = Vec::new();
        for server in servers {
            let number = command.numbers.at(0);
            let mut request = Template::new(&command.request);
            let reply = ask_well(server, command, request.with(number))?;
            let undo =
                command.undo.as_ref().map(|undo| ask_well(server, command, Template::new(undo).with(number)));
            let start = |place: &Path| {
                if command.by_fifo {
                    Floor::over_fifo(place, &command.request, &reply)
                } else {
                    Floor::start(place, server.workers, &reply, one_socket)
                }
            };
            let floor = start(&self.places.place("floor"))?;
            pairs.push(Pair {
                name: server.name.clone(),
                socket: if command.by_fifo { &server.fifo } else { &server.socket }.clone(),
                workers: if command.by_fifo { 1 } else { server.workers },
                reply,
                undone: undo.transpose()?,
                floor,
                _control: None,
            });
        }
        if let (true, Some(first)) = (self.options.scale.control, pairs.first()) {
            let (workers, reply) = (first.workers, first.reply.clone());
            let start = |place: PathBuf| {
                if command.by_fifo {
                    Floor::over_fifo(&place, &command.request, &reply)
                } else {
                    Floor::start(&place, workers, &reply, one_socket)
                }
            };
            let floor = start(self.places.place("floor"))?;
            let again = start(self.places.place("floor"))?;
            let (name, socket) = (CONTROL.to_owned(), again.socket.clone());
            pairs.push(Pair { name, socket, workers, reply, undone: None, floor, _control: Some(again) });
        }
        Ok(pairs)
    }

    /// All rounds of one command with so many clients, and its lines in the report.
    fn rounds(&mut self, command: &Command, clients: usize, pairs: &[Pair]) -> Result<Vec<Outcome>> {
        // Where each pair is among the numbers.
        let mut places = vec![0; pairs.len()];
        let (rounds, turns) = (self.options.scale.rounds, self.options.scale.turns);
        let samples = rounds::interleave(rounds, turns, pairs.len(), |number, floor_first| {
            self.turn(command, clients, &pairs[number], &mut places[number], floor_first)
        })?;
        let mut outcomes = Vec::new();
        for (number, (pair, samples)) in pairs.iter().zip(&samples).enumerate() {
            // The targets are the subject's; peers and the second floor have none.
            let target = if number == 0 { command.target(clients) } else { None };
            let line = crate::report::Line {
                command: &command.name,
                server: &pair.name,
                clients,
                workers: pair.workers,
                request_bytes: command.request_bytes(),
                reply_bytes: pair.reply.len(),
                target,
            };
            outcomes.push(self.report.line(&line, samples)?);
        }
        Ok(outcomes)
    }

    /// One turn of each side of a pair, with the same numbers; `place` moves on to the next that are new.
    fn turn(
        &mut self,
        command: &Command,
        clients: usize,
        pair: &Pair,
        place: &mut u64,
        floor_first: bool,
    ) -> Result<Sample> {
        let time = self.options.scale.round_time / self.options.scale.turns;
        let (numbers, from) = (command.numbers, *place);
        let mut measure = |socket: &Path| {
            let turn = Turn { socket, request: &command.request, reply: &pair.reply, numbers, from, time };
            self.pool.turn(clients, &turn)
        };
        let (floor, server) = if floor_first {
            (measure(&pair.floor.socket)?, measure(&pair.socket)?)
        } else {
            let server = measure(&pair.socket)?;
            (measure(&pair.floor.socket)?, server)
        };
        self.undo(command, pair, from, &server)?;
        *place += server.counts.iter().max().copied().unwrap_or(0) * clients as u64;
        Ok(Sample { floor: floor.rate, server: server.rate })
    }

    /// Takes back what the server did in a turn.
    fn undo(&mut self, command: &Command, pair: &Pair, from: u64, turned: &Turned) -> Result<()> {
        let (Some(request), Some(reply)) = (&command.undo, &pair.undone) else { return Ok(()) };
        let (socket, numbers) = (pair.socket.as_path(), command.numbers);
        let turn = Turn { socket, request, reply, numbers, from, time: Duration::ZERO };
        self.pool.counted(&turned.counts, &turn)
    }

    /// With how many workers the subject's reply to `all` reaches the wanted size: each process adds a fixed part,
    /// which two starts show. A running server is taken as it is.
    fn workers_for_large(&mut self) -> Result<usize> {
        let (Some(plan), Some(command)) =
            (self.options.plans.first(), self.options.commands.iter().find(|command| command.large))
        else {
            return Ok(self.options.scale.workers);
        };
        let few = self.options.scale.workers;
        if matches!(plan.source, Source::Running(_)) {
            return Ok(few);
        }
        let mut size = |workers: usize| {
            let server = Server::start(plan, &self.places.place("size"), workers, MEMORY_MIB)?;
            let bytes = server.ask_settled(&command.request)?.len();
            server.stop().map(|()| bytes)
        };
        let many = (few + 4).min(MAX_WORKERS);
        let (with_few, with_many) = (size(few)?, size(many)?);
        let missing = self.options.large_bytes.saturating_sub(with_few);
        let each = with_many.saturating_sub(with_few) / (many - few).max(1);
        // No part for each process: then more of them do not help.
        let more = if each == 0 { 0 } else { missing.div_ceil(each) };
        Ok((few + more).min(MAX_WORKERS))
    }
}

/// The server's reply to one of the command's requests.
///
/// # Errors
/// There is none, or it is not a good one and has to be.
fn ask_well(server: &Server, command: &Command, request: &[u8]) -> Result<Vec<u8>> {
    let reply = if command.by_fifo { server.ask_by_fifo(request)? } else { server.ask_settled(request)? };
    if !command.any_reply && !shape::is_good(&reply) {
        let text = String::from_utf8_lossy(&reply[..reply.len().min(60)]).into_owned();
        return Err(Error::server(&server.name, format!("{} answers {text:?}", command.name)));
    }
    Ok(reply)
}

/// Lets the server that a client's error is about say what it knows.
fn explain(error: Error, servers: &mut [Server]) -> Error {
    let Error::Client { socket, .. } = &error else { return error };
    match servers.iter_mut().find(|server| server.socket == *socket) {
        Some(server) => server.explain(&error),
        None => error,
    }
}

impl Places<'_> {
    /// A folder that does not exist yet.
    fn place(&mut self, name: &str) -> PathBuf {
        self.next += 1;
        self.directory.join(format!("{}-{name}", self.next))
    }
}
