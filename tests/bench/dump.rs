//! `--dump N`: a dump of N contacts over the FIFO against `cat` of as many bytes, and the memory it takes. Owns the
//! order of the run, the reading of /proc and the two verdicts.
//!
//! One client reads both sides in the same way. `cat` copies a file, which holds the server's own reply, into a FIFO.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::commands;
use crate::compare::Bench;
use crate::error::{Error, Result};
use crate::fifo::{Link, PIECE_BYTES, cat};
use crate::options::Options;
use crate::pool::Pool;
use crate::report::{Line, Outcome, Report, Sample};
use crate::server::{MEMORY_MIB, Server};

/// Number of the client that reads the dump: none of the pool's.
const READER: usize = 9_998;
/// The dump of all contacts.
const REQUEST: &[u8] = b":ul_dump:{R}\n\n";
/// The least ratio to `cat`.
const TARGET: f64 = 0.30;
/// The most that the process may ever have resident beside the segment, in KiB.
const MEMORY_LIMIT_KIB: u64 = 16 << 10;
/// Shared memory that is asked for each contact, in bytes.
const BYTES_EACH: u64 = 512;
/// Type of the process in the reply of `ps`.
const PROCESS_TYPE: &str = "MI FIFO";

/// Memory of the process that answers, in KiB.
#[derive(Clone, Copy)]
struct Memory {
    /// The most that was ever resident.
    peak: u64,
    /// Resident of the segment.
    shared: u64,
    /// Resident and of the process alone.
    anonymous: u64,
}

/// Measures the dump; returns whether both targets were met.
///
/// # Errors
/// As for a comparison; a dump that is cut or changes its length.
pub(crate) fn run(
    contacts: u64,
    options: &Options,
    directory: &Path,
    pool: &mut Pool,
    report: &mut Report,
) -> Result<bool> {
    let mut bench = Bench::new(options, directory, pool, report);
    let mib = MEMORY_MIB + contacts * BYTES_EACH / (1 << 20);
    let mut servers = bench.servers(options.scale.workers, mib)?;
    let fill = commands::contacts_fill(contacts);
    for server in &mut servers {
        bench.fill(server, &fill, &fill.request)?;
    }
    let mut met = true;
    for server in servers {
        let (line, samples, is_small) = measure(&server, options, directory)?;
        let target = (server.name == options.plans[0].name).then_some(TARGET);
        let outcome = report.line(
            &Line {
                command: "ul_dump-MB",
                server: &server.name,
                clients: 1,
                workers: 1,
                request_bytes: REQUEST.len(),
                reply_bytes: line,
                target,
            },
            &samples,
        )?;
        met &= is_small && Outcome::is_met(&outcome);
        server.stop()?;
    }
    Ok(met)
}

/// Length of the reply, the rounds in MB/s, and whether the memory stayed small.
fn measure(server: &Server, options: &Options, directory: &Path) -> Result<(usize, Vec<Sample>, bool)> {
    let failed = |error: io::Error| Error::server(&server.name, format!("a dump over its FIFO: {error}"));
    let process = server.processes()?.into_iter().find(|process| process.kind == PROCESS_TYPE);
    let process = process.ok_or_else(|| Error::server(&server.name, "ps lists no MI FIFO"))?;
    let link = Link::open(&server.fifo, directory, READER).map_err(failed)?;
    let request = link.fill(REQUEST);
    let before = memory(server, process.pid)?;
    let copy = directory.join("dump");
    let mut file = File::create(&copy).map_err(Error::os("create", &copy))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut length = 0;
    link.stream(&request, &mut piece, |bytes| {
        length += bytes.len();
        file.write_all(bytes)
    })
    .map_err(failed)?;
    let mut samples = Vec::new();
    for round in 0..=options.scale.rounds {
        let mut sides = [0.0; 2];
        for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let start = Instant::now();
            let mut read = 0;
            let take = |bytes: &[u8]| {
                read += bytes.len();
                Ok(())
            };
            match side {
                0 => cat(&copy, directory, &mut piece, take).map_err(failed)?,
                _ => link.stream(&request, &mut piece, take).map_err(failed)?,
            }
            if read != length {
                return Err(Error::server(&server.name, format!("a dump of {read} bytes, not {length}")));
            }
            sides[side] = length as f64 / 1e6 / start.elapsed().as_secs_f64();
        }
        // The first one does not count.
        if round > 0 {
            samples.push(Sample { floor: sides[0], server: sides[1] });
        }
    }
    let after = memory(server, process.pid)?;
    Ok((length, samples, print_memory(&server.name, before, after)))
}

/// Says how much memory the dumps took; returns whether that is little.
fn print_memory(name: &str, before: Memory, after: Memory) -> bool {
    let beside = |memory: Memory| memory.peak.saturating_sub(memory.shared);
    let is_small = beside(after) <= MEMORY_LIMIT_KIB;
    println!(
        "server {name}: its MI FIFO has at most {} KiB resident, {} of them the segment: {} beside it (limit {}, {}); \
         anonymous {} KiB, before {}",
        after.peak,
        after.shared,
        beside(after),
        MEMORY_LIMIT_KIB,
        if is_small { "met" } else { "MISSED" },
        after.anonymous,
        before.anonymous
    );
    is_small
}

fn memory(server: &Server, pid: u32) -> Result<Memory> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(&path).map_err(Error::os("read", &path))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kib.ok_or_else(|| Error::server(&server.name, format!("{} has no {name}", path.display())))
    };
    Ok(Memory { peak: field("VmHWM")?, shared: field("RssShmem")?, anonymous: field("RssAnon")? })
}
