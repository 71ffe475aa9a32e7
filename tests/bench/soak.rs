//! `--soak N`: whether the memory of the server's processes stays flat over N mixed requests. Owns the measuring
//! and the rule; the load is in `soak_client`.
//!
//! Rule: the first tenth of the requests warms the processes up. From then on no process may have more than
//! [`GROWTH_LIMIT_KIB`] more resident memory than after the first tenth, at none of the points measured, and each
//! must still be the same process.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::server::{Process, Server};

/// Growth of one process after the warm-up that still counts as flat, in KiB.
const GROWTH_LIMIT_KIB: u64 = 256;
/// Points of measurement, after each tenth.
const POINTS: u64 = 10;

/// What the soak run is asked to do.
pub(crate) struct Soak {
    pub(crate) requests: u64,
    pub(crate) connected: bool,
    /// All of it has to be over by then.
    pub(crate) limit: Duration,
}

/// Memory of one process, in KiB.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    /// Resident and of the process alone, so without the segment and the program's own pages.
    anonymous: u64,
}

/// Runs the load and prints the memory before, after each tenth, and at the end.
///
/// Returns whether all processes stayed flat.
///
/// # Errors
/// A reply is missing or has no code, a process was replaced, the time is up, or /proc cannot be read.
pub(crate) fn run(soak: &Soak, server: &Server, pool: &mut Pool) -> Result<bool> {
    let processes = server.processes()?;
    if processes.is_empty() {
        return Err(Error::server(&server.name, "ps lists no process to watch"));
    }
    if server.is_ours() {
        // Broken requests may be logged; this is about memory, not about the log.
        server.ask(b":debug:\n-3\n")?;
    }
    println!(
        "resident (anonymous) KiB of each process; flat: at most {GROWTH_LIMIT_KIB} KiB above the 10 % row"
    );
    print_names(&processes);
    print_row("before", &read_all(server, &processes)?, 0.0);
    let start = Instant::now();
    let mut warm = Vec::new();
    let mut worst = vec![0; processes.len()];
    for point in 1..=POINTS {
        let limit = soak.limit.saturating_sub(start.elapsed());
        let share = soak.requests * point / POINTS - soak.requests * (point - 1) / POINTS;
        pool.soak(&server.socket, share, soak.connected, limit)?;
        let now = read_all(server, &processes)?;
        print_row(&format!("{} %", point * 100 / POINTS), &now, start.elapsed().as_secs_f64());
        if point == 1 {
            warm = now;
            continue;
        }
        for ((worst, now), warm) in worst.iter_mut().zip(&now).zip(&warm) {
            *worst = now.resident.saturating_sub(warm.resident).max(*worst);
        }
    }
    let grown: Vec<String> = (processes.iter().zip(&worst))
        .filter(|(_, growth)| **growth > GROWTH_LIMIT_KIB)
        .map(|(process, growth)| format!("ID {} ({}) by {growth} KiB", process.id, process.kind))
        .collect();
    let highest = worst.iter().max().copied().unwrap_or_default();
    let rate = soak.requests as f64 / start.elapsed().as_secs_f64();
    println!("{} requests, {rate:.0}/s; largest growth after the first tenth: {highest} KiB", soak.requests);
    match grown.as_slice() {
        [] => println!("flat: yes"),
        grown => println!("flat: no, grown: {}", grown.join(", ")),
    }
    Ok(grown.is_empty())
}

/// The memory of each of `processes`, after a look whether they are still the same.
fn read_all(server: &Server, processes: &[Process]) -> Result<Vec<Memory>> {
    let now = server.processes()?;
    for process in processes {
        let (id, kind, pid) = (process.id, &process.kind, process.pid);
        match now.iter().find(|other| other.id == id).map(|other| other.pid) {
            Some(same) if same == pid => {}
            Some(other) => {
                let reason = format!("process ID {id} ({kind}) was replaced: {pid} is now {other}");
                return Err(Error::server(&server.name, reason));
            }
            None => {
                return Err(Error::server(&server.name, format!("process ID {id} ({kind}, {pid}) has gone")));
            }
        }
    }
    processes.iter().map(|process| read_memory(process.pid)).collect()
}

fn read_memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let path = Path::new(&path);
    let text = fs::read_to_string(path).map_err(Error::os("read", path))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number =
            line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
        number.ok_or_else(|| {
            Error::os("find Rss and Anonymous in", path)(std::io::ErrorKind::InvalidData.into())
        })
    };
    Ok(Memory { resident: field("Rss:")?, anonymous: field("Anonymous:")? })
}

fn print_names(processes: &[Process]) {
    let cells: Vec<String> = processes
        .iter()
        .map(|process| format!("{:>15}", process.kind.chars().take(15).collect::<String>()))
        .collect();
    println!("{:>8} {:>8} {}", "", "s", cells.join(" "));
}

fn print_row(label: &str, memory: &[Memory], seconds: f64) {
    let cell = |memory: &Memory| format!("{:>15}", format!("{} ({})", memory.resident, memory.anonymous));
    let cells: Vec<String> = memory.iter().map(cell).collect();
    println!("{label:>8} {seconds:>8.1} {}", cells.join(" "));
}
