//! `--contacts LIST`: what the user location's commands and its memory cost as it grows. Owns the order of the sizes,
//! the memory's figures and the table of growth; the turns are those of `compare`.
//!
//! For each size the servers are started again and filled, then measured like any command. A turn that adds AoRs
//! removes them afterwards, so a size stays what it is called.

use std::path::Path;

use crate::commands;
use crate::compare::Bench;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::pool::Pool;
use crate::report::{Outcome, Report};
use crate::server::{MEMORY_MIB, Server};

/// Least part of the ratio with the fewest contacts that still counts as flat.
const FLAT: f64 = 0.90;
/// Shared memory that the bench asks for each contact, in bytes; it measures how much is used.
const BYTES_EACH: u64 = 512;
/// More AoRs than this nobody adds in a second.
const ADDED_PER_SECOND: u64 = 200_000;

/// Memory that a server has used for its contacts, in bytes for each.
struct Memory {
    server: String,
    /// In entries.
    used: u64,
    /// In pages that hold entries.
    claimed: u64,
}

/// Shared memory as the server's statistics tell it, in bytes.
struct Shared {
    used: u64,
    claimed: u64,
}

/// Measures all sizes and prints how the cost grows; returns whether each target was met and the cost was flat.
///
/// # Errors
/// As for a comparison; a server without user location or without statistics of shared memory; contacts that are
/// missing in the end, or too many.
pub(crate) fn run(
    sizes: &[u64],
    options: &Options,
    directory: &Path,
    pool: &mut Pool,
    report: &mut Report,
) -> Result<bool> {
    let mut bench = Bench::new(options, directory, pool, report);
    let (mut outcomes, mut memory) = (Vec::new(), Vec::new());
    let turn = options.scale.round_time / options.scale.turns;
    for &contacts in sizes {
        let added = u64::try_from(turn.as_millis()).unwrap_or(u64::MAX) * ADDED_PER_SECOND / 1_000;
        let mib = MEMORY_MIB + (contacts + added) * BYTES_EACH / (1 << 20);
        let mut servers = bench.servers(options.scale.workers, mib)?;
        let fill = commands::contacts_fill(contacts);
        for server in &mut servers {
            let before = shared(server)?;
            bench.fill(server, &fill, &fill.request)?;
            expect_contacts(server, contacts)?;
            let after = shared(server)?;
            let each = |before: u64, after: u64| after.saturating_sub(before) / contacts;
            let (used, claimed) = (each(before.used, after.used), each(before.claimed, after.claimed));
            println!(
                "server {}: {contacts} contacts in {mib} MiB, each uses {used} bytes, with pages {claimed}",
                server.name
            );
            memory.push(Memory { server: server.name.clone(), used, claimed });
        }
        let mut rows = Vec::new();
        for command in commands::contacts_table(contacts) {
            rows.extend(bench.measure(&command, &mut servers)?);
        }
        for server in servers {
            expect_contacts(&server, contacts)?;
            server.stop()?;
        }
        outcomes.push(rows);
    }
    print_memory(sizes, &memory);
    let is_flat = print_growth(sizes, &outcomes);
    Ok(is_flat && outcomes.iter().flatten().all(Outcome::is_met))
}

fn shared(server: &Server) -> Result<Shared> {
    Ok(Shared {
        used: statistic(server, "shmem:used_size")?,
        claimed: statistic(server, "shmem:real_used_size")?,
    })
}

/// Fails when the server has not `contacts` contacts.
fn expect_contacts(server: &Server, contacts: u64) -> Result<()> {
    match statistic(server, "usrloc:location-contacts")? {
        found if found == contacts => Ok(()),
        found => Err(Error::server(&server.name, format!("{found} contacts, not {contacts}"))),
    }
}

fn statistic(server: &Server, name: &str) -> Result<u64> {
    let (_, short) = name.split_once(':').unwrap_or(("", name));
    let reply = server.ask(format!(":get_statistics:\n{short}\n").as_bytes())?;
    let text = String::from_utf8_lossy(&reply);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("::")?.trim().parse().ok());
    line.ok_or_else(|| Error::server(&server.name, format!("get_statistics has no {name}")))
}

/// Bytes for each contact, size by size.
fn print_memory(sizes: &[u64], memory: &[Memory]) {
    let servers = memory.len() / sizes.len();
    print_names("bytes per contact, used (with pages)", sizes);
    for number in 0..servers {
        let column: Vec<&Memory> = memory.iter().skip(number).step_by(servers).collect();
        let name = column.first().map_or("", |first| first.server.as_str());
        print_row(name, column.iter().map(|one| format!("{} ({})", one.used, one.claimed)), "");
    }
}

/// Each ratio, and what part it is of the one with the fewest contacts. Returns whether those with a target are flat.
fn print_growth(sizes: &[u64], outcomes: &[Vec<Outcome>]) -> bool {
    print_names("ratio (by that of the fewest contacts)", sizes);
    let mut all_flat = true;
    for (row, smallest) in outcomes.first().into_iter().flatten().enumerate() {
        let ratios: Vec<f64> =
            outcomes.iter().filter_map(|rows| rows.get(row)).map(|outcome| outcome.ratio).collect();
        let is_flat = ratios.iter().all(|ratio| ratio / smallest.ratio >= FLAT);
        let verdict = match (smallest.target, is_flat) {
            (None, _) => "-".to_owned(),
            (Some(_), true) => format!(">= {FLAT:.2} flat"),
            (Some(_), false) => format!(">= {FLAT:.2} NOT FLAT"),
        };
        all_flat &= is_flat || smallest.target.is_none();
        let command = smallest.command.split('@').next().unwrap_or_default();
        let label = format!("{command:<12} {:<14} {:>2} clients", smallest.server, smallest.clients);
        let cells = ratios.iter().map(|ratio| format!("{ratio:.3} ({:.2})", ratio / smallest.ratio));
        print_row(&label, cells, &verdict);
    }
    all_flat
}

fn print_names(title: &str, sizes: &[u64]) {
    print_row(title, sizes.iter().map(u64::to_string), "");
}

fn print_row(label: &str, cells: impl Iterator<Item = String>, verdict: &str) {
    let cells: Vec<String> = cells.map(|cell| format!("{cell:>15}")).collect();
    println!("{}", format!("{label:<40} {}  {verdict}", cells.join(" ")).trim_end());
}
