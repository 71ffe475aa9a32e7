//! The comparison: floor and server in turns for each command and number of connections. Owns what is a pair; the
//! order of the turns is in `rounds`; prints through `report`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::commands::{Command, MOST_PYTHONS, TARGET};
use crate::error::Result;
use crate::floor::Floor;
use crate::load::Load;
use crate::options::Options;
use crate::report::{Line, Outcome, Report, Sample};
use crate::rounds;
use crate::server::{MEMORY_MIB, Server};
use crate::shape;

/// Name of the second floor in the report.
const CONTROL: &str = "floor-again";

/// The server (or second floor) and the floor it is measured against.
struct Pair {
    name: String,
    address: SocketAddr,
    reply: Vec<u8>,
    floor: Floor,
    /// Keeps the processes of a second floor.
    _control: Option<Floor>,
}

/// Runs all commands; returns whether each target was met.
pub(crate) fn run(options: &Options, directory: &Path, stop: &Arc<AtomicBool>) -> Result<bool> {
    let with_python = options.commands.iter().any(|command| command.by_python);
    let mut load = Load::start(directory, with_python, stop)?;
    let scale = &options.scale;
    let mut report = Report::begin(options)?;
    let server = Server::start(&options.program, &directory.join("server"), scale.workers, MEMORY_MIB)?;
    report.server(&server, server.version()?.as_bytes());
    let mut missed = Vec::new();
    for (number, command) in options.commands.iter().enumerate() {
        let pairs = pairs(command, options, &directory.join(format!("floor-{number}")), &server)?;
        for &connections in &scale.clients {
            if command.by_python && connections > MOST_PYTHONS {
                continue;
            }
            let time = scale.round_time / scale.turns;
            let samples = rounds::interleave(scale.rounds, scale.turns, pairs.len(), |pair, floor_first| {
                let pair = &pairs[pair];
                let mut rate = |address| {
                    let turned = load.turn(command, connections, address, &pair.reply, time);
                    turned.map(|turned| turned.rate).map_err(|error| match error {
                        crate::error::Error::Client { .. } => server.error(error.to_string()),
                        other => other,
                    })
                };
                let (floor, server);
                if floor_first {
                    floor = rate(pair.floor.address)?;
                    server = rate(pair.address)?;
                } else {
                    server = rate(pair.address)?;
                    floor = rate(pair.floor.address)?;
                }
                Ok(Sample { floor, server })
            })?;
            for (number, (pair, samples)) in pairs.iter().zip(&samples).enumerate() {
                let line = Line {
                    command: &command.name,
                    server: &pair.name,
                    clients: connections,
                    workers: scale.workers,
                    request_bytes: command.request().len(),
                    reply_bytes: pair.reply.len(),
                    // The target is the server's; the second floor has none.
                    target: (number == 0).then_some(TARGET),
                };
                let outcome = report.line(&line, samples)?;
                if !outcome.is_met() {
                    missed.push(outcome);
                }
            }
        }
    }
    server.stop()?;
    for Outcome { command, server, clients, ratio, target } in &missed {
        let target = target.unwrap_or_default();
        println!("missed: {command} of {server}, {clients} connections: {ratio:.3}, not {target:.2}");
    }
    Ok(missed.is_empty())
}

/// The server and its floor, which gives the reply that the server gives now; with `--control` two floors as well.
fn pairs(command: &Command, options: &Options, directory: &Path, server: &Server) -> Result<Vec<Pair>> {
    let media_type = command.door.media_type();
    let reply = server.ask_settled(command.door, command.words)?;
    let is_fault = reply.windows(7).any(|window| window == b"<fault>");
    if !shape::is_good(&reply) && (is_fault || !reply.starts_with(b"<?xml ")) {
        let text = String::from_utf8_lossy(&reply[..reply.len().min(200)]).into_owned();
        return Err(server.error(format!("{} answers {text:?}", command.name)));
    }
    let floor = |number: u32| {
        let directory = directory.with_extension(number.to_string());
        Floor::start(&directory, options.scale.workers, &reply, media_type)
    };
    let address = server.address(command.door);
    let name = server.name.clone();
    let mut pairs = vec![Pair { name, address, reply: reply.clone(), floor: floor(0)?, _control: None }];
    if options.scale.control {
        let again = floor(1)?;
        let (name, address) = (CONTROL.to_owned(), again.address);
        pairs.push(Pair { name, address, reply: reply.clone(), floor: floor(2)?, _control: Some(again) });
    }
    Ok(pairs)
}
