//! `--slow-readers N`: what readers of a long dump cost the process that serves them, and the others it serves. Owns
//! the order of the run, the rules and their table.
//!
//! For each door: the dump is read once as fast as it comes. Then, some times, some clients read it slowly and some not
//! at all, beside connections under load; the last time is measured. In the end the slow ones read on to the end, which
//! must be whole; those that do not read are let go by the server, and nothing of any of them may stay.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::commands::{Command, Door};
use crate::error::{Error, Result};
use crate::load::Load;
use crate::message::{self, Connection};
use crate::options::Options;
use crate::report;
use crate::server::{MEMORY_MIB, Server};
use crate::worker::Worker;

/// Shared memory for each contact, in bytes.
const BYTES_EACH: u64 = 512;
/// Contacts that one request adds.
const BATCH: usize = 1_000;
/// Clients that read slowly, and those that do not read.
const SLOW: usize = 10;
const STOPPED: usize = 10;
/// How often all that is done before what it leaves behind is measured.
const WARM_UPS: u32 = 2;
/// How a slow one reads: so many bytes at most, then a pause.
const SLOW_BYTES: usize = 16 << 10;
const SLOW_PAUSE: Duration = Duration::from_millis(50);
/// How long a measurement of the others takes.
const LOAD_TIME: Duration = Duration::from_secs(2);
/// How often it is tried, because machines are noisy.
const TRIES: u32 = 4;
/// What a request may take more than twice as long as alone.
const ALLOWANCE: Duration = Duration::from_millis(5);
/// Memory of the process beyond what it had, in KiB: at most at any time, and when the last readers have gone beyond
/// what it had before them.
const PEAK_KIB: u64 = 16 << 10;
const KEPT_KIB: u64 = 1 << 10;
/// How long the server may take to let go of those that do not read; it says 10 s.
const LET_GO_TIME: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How a body of no known length ends.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// Runs it for each door; returns whether all rules were kept.
///
/// # Errors
/// As for a comparison; a dump that is not whole; a process that was replaced.
pub(crate) fn run(
    contacts: u64,
    options: &Options,
    directory: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<bool> {
    report::print_machine();
    let mut load = Load::start(directory, false, stop)?;
    let memory = MEMORY_MIB + contacts * BYTES_EACH / (1 << 20);
    let server = Server::start(&options.program, &directory.join("server"), 1, memory)?;
    fill(&server, contacts, stop).map_err(|error| match error {
        Error::Interrupted => error,
        other => server.error(other.to_string()),
    })?;
    println!("server {}: {contacts} contacts; {SLOW} slow readers, {STOPPED} that do not read", server.name);
    let mut is_kept = true;
    for door in Door::ALL {
        is_kept &= measure(door, &server, &options.scale.clients, &mut load, stop)?;
    }
    server.stop().map(|()| is_kept)
}

/// Adds the contacts, by notifications.
fn fill(server: &Server, contacts: u64, stop: &AtomicBool) -> Result<()> {
    let address = server.address(Door::JsonRpc);
    let failed = |error: io::Error| server.error(format!("contacts cannot be added: {error}"));
    let mut connection = Connection::open(address).map_err(failed)?;
    for first in (0..contacts).step_by(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let requests: Vec<String> = (first..contacts.min(first + BATCH as u64))
            .map(|id| {
                format!(
                    r#"{{"jsonrpc":"2.0","method":"ul_add","params":["location","user-{id:08}","sip:user-{id:08}@192.0.2.1:5060","86400","1","0","0","0"]}}"#
                )
            })
            .collect();
        let body = format!("[{}]", requests.join(","));
        connection
            .ask(&message::post(Door::JsonRpc.path(), Door::JsonRpc.media_type(), &body))
            .map_err(failed)?;
    }
    Ok(())
}

/// Runs it for one door; returns whether all rules were kept.
fn measure(
    door: Door,
    server: &Server,
    clients: &[usize],
    load: &mut Load,
    stop: &Arc<AtomicBool>,
) -> Result<bool> {
    let pids = server.pids(door)?;
    let &[pid] = pids.as_slice() else { return Err(server.error(format!("{door:?}: not one process"))) };
    let worker = Worker::new(pid);
    let failed = |error: io::Error| server.error(format!("{door:?}: {error}"));
    let begin = Instant::now();
    let whole = Reader::open(server, door).and_then(|reader| reader.read(|| None)).map_err(failed)?;
    let rate = whole as f64 / 1e6 / begin.elapsed().as_secs_f64();
    println!("{door:?}: a dump of {:.1} MB, {rate:.0} MB/s to one that reads", whole as f64 / 1e6);
    let command = Command { name: "version".to_owned(), door, words: &["version"], by_python: false };
    let reply = server.ask(door, command.words)?;
    let mut slow_of = |connections: usize| {
        load.turn(&command, connections, server.address(door), &reply, LOAD_TIME).map(|turned| turned.slow)
    };
    // Before, so that what connections cost is not taken for what readers cost.
    let alone = clients.iter().map(|&connections| slow_of(connections)).collect::<Result<Vec<_>>>()?;
    let descriptors = quiet_descriptors(&worker)?;
    worker.forget_peak()?;
    let resident = worker.resident()?;
    // Some before, so that what the process keeps for the next ones is not taken for what it loses. Those that do not
    // read vanish in the middle.
    for _ in 0..WARM_UPS {
        let mut readers = Readers::start(server, door).map_err(failed)?;
        clients.iter().try_for_each(|&connections| slow_of(connections).map(drop))?;
        readers.finish(whole).map_err(failed)?;
        drop(readers);
        wait(LET_GO_TIME, stop, || Ok(worker.descriptors()? <= descriptors))?;
    }
    let timeouts = timeouts(server, door)?;
    let own = worker.own_memory()?;
    let mut readers = Readers::start(server, door).map_err(failed)?;
    let mut table = Table { is_kept: true };
    for (&connections, &alone) in clients.iter().zip(&alone) {
        let most = (alone * 2).max(alone + ALLOWANCE);
        let mut beside = slow_of(connections)?;
        let mut tries = 1;
        while beside > most && tries < TRIES {
            beside = beside.min(slow_of(connections)?);
            tries += 1;
        }
        let what = format!("p99 of {connections} connections");
        table.row(
            &what,
            &format!("{beside:.2?}, alone {alone:.2?}"),
            &format!("<= {most:.2?}"),
            beside <= most,
        );
    }
    let during = worker.own_memory()?;
    let (least, most) = readers.finish(whole).map_err(failed)?;
    let text = format!("{SLOW} of {SLOW}, {least} to {most} bytes");
    table.row("slow readers have it whole", &text, "all", true);
    let wanted = timeouts + STOPPED as u64;
    wait(LET_GO_TIME, stop, || Ok(self::timeouts(server, door)? >= wanted))?;
    let let_go = self::timeouts(server, door)? - timeouts;
    table.row(
        "let go, as they do not read",
        &let_go.to_string(),
        &STOPPED.to_string(),
        let_go == STOPPED as u64,
    );
    wait(LET_GO_TIME, stop, || Ok(worker.descriptors()? <= descriptors))?;
    let after = worker.descriptors()?;
    table.row("descriptors after", &after.to_string(), &format!("<= {descriptors}"), after <= descriptors);
    let peak = worker.peak()?.saturating_sub(resident);
    let text = format!("{own} KiB, beside readers {during} KiB, peak + {peak} KiB");
    table.row("memory", &text, &format!("<= + {PEAK_KIB} KiB"), peak <= PEAK_KIB);
    let kept = worker.own_memory()?.saturating_sub(own);
    table.row("memory after", &format!("{kept} KiB"), &format!("<= {KEPT_KIB} KiB"), kept <= KEPT_KIB);
    if server.pids(door)? != pids {
        return Err(server.error(format!("{door:?}: its process was replaced")));
    }
    Ok(table.is_kept)
}

/// The least number of descriptors seen for a while: connections that clients have closed are still open for a moment.
fn quiet_descriptors(worker: &Worker) -> Result<usize> {
    let mut least = worker.descriptors()?;
    for _ in 0..25 {
        thread::sleep(LOOK_AGAIN);
        least = least.min(worker.descriptors()?);
    }
    Ok(least)
}

/// How many clients a door has let go because they took too long.
fn timeouts(server: &Server, door: Door) -> Result<u64> {
    server.counter(match door {
        Door::XmlRpc => "xmlrpc_timeouts",
        Door::JsonRpc => "http_timeouts",
    })
}

/// Looks again and again whether something is so, until `limit`.
fn wait(limit: Duration, stop: &AtomicBool, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !is_so()? && Instant::now() < deadline {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Prints what was found and what was wanted.
struct Table {
    is_kept: bool,
}

impl Table {
    fn row(&mut self, what: &str, found: &str, wanted: &str, is_kept: bool) {
        self.is_kept &= is_kept;
        println!("  {what:<28} {found:<56} {wanted:<14} {}", if is_kept { "met" } else { "MISSED" });
    }
}

/// The clients that take the dump.
struct Readers {
    slow: Vec<JoinHandle<io::Result<u64>>>,
    _stopped: Vec<Reader>,
    /// They may read on without pauses.
    hurry: Arc<AtomicBool>,
}

impl Readers {
    /// Has them ask for the dump.
    fn start(server: &Server, door: Door) -> io::Result<Readers> {
        let hurry = Arc::new(AtomicBool::new(false));
        let stopped = (0..STOPPED).map(|_| Reader::open(server, door)).collect::<io::Result<_>>()?;
        let slow = (0..SLOW).map(|_| {
            let (reader, hurry) = (Reader::open(server, door)?, Arc::clone(&hurry));
            Ok(thread::spawn(move || {
                reader.read(|| (!hurry.load(Ordering::Relaxed)).then_some((SLOW_BYTES, SLOW_PAUSE)))
            }))
        });
        Ok(Readers { slow: slow.collect::<io::Result<_>>()?, _stopped: stopped, hurry })
    }

    /// Has the slow ones read on as fast as it comes; returns the least and the most that one of them got.
    ///
    /// # Errors
    /// One has not got it to its end, or not as much as there is: `whole` bytes, but for the digits in it.
    fn finish(&mut self, whole: u64) -> io::Result<(u64, u64)> {
        self.hurry.store(true, Ordering::Relaxed);
        let (mut least, mut most) = (u64::MAX, 0);
        for reader in self.slow.drain(..) {
            let read = reader.join().map_err(|_| io::Error::other("a reader has panicked"))??;
            least = least.min(read);
            most = most.max(read);
        }
        if least < whole - whole / 50 || most > whole + whole / 50 {
            return Err(io::Error::other(format!("dumps of {least} to {most} bytes, not {whole}")));
        }
        Ok((least, most))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Whoever still reads must not do so slowly until the end of time.
        self.hurry.store(true, Ordering::Relaxed);
    }
}

/// One that has asked for the dump.
struct Reader {
    connection: Connection,
    end: Vec<u8>,
}

impl Reader {
    fn open(server: &Server, door: Door) -> io::Result<Reader> {
        let mut connection = Connection::open(server.address(door))?;
        connection.send(&door.request(&["ul_dump"]))?;
        Ok(Reader { connection, end: [door.end(), LAST_CHUNK].concat() })
    }

    /// Reads to the end, while `pace` says so only so many bytes at once and then not for that long; returns how many
    /// came, head and all.
    fn read(self, pace: impl Fn() -> Option<(usize, Duration)>) -> io::Result<u64> {
        let mut stream = self.connection.into_stream();
        let mut buffer = vec![0; 1 << 18];
        let mut tail: Vec<u8> = Vec::new();
        let mut total = 0;
        while !tail.ends_with(&self.end) {
            let pause = pace();
            let room = pause.map_or(buffer.len(), |(bytes, _)| bytes);
            let count = stream.read(&mut buffer[..room])?;
            if count == 0 {
                return Err(io::Error::other(format!("a dump ends after {total} bytes")));
            }
            total += count as u64;
            tail.extend(&buffer[count.saturating_sub(self.end.len())..count]);
            tail.drain(..tail.len().saturating_sub(self.end.len()));
            if let Some((_, time)) = pause {
                thread::sleep(time);
            }
        }
        Ok(total)
    }
}
