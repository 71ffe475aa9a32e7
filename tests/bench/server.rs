//! A server under test: started in the foreground with a configuration of ours, or running already. Owns its
//! directory, its readiness and its end; measures nothing.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::children::{LOOK_AGAIN, Started};
use crate::error::{Error, Result};
use crate::fifo::Link;

/// How long a server may take to answer its first request.
const READY_TIME: Duration = Duration::from_secs(10);
/// How long a server may take to answer any other.
const REPLY_TIME: Duration = Duration::from_secs(2);
/// How often and at what distance a changing reply is asked for again.
const SETTLE_TRIES: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(25);
/// Number of a client that is none of the pool's.
const ASKING: usize = 9_999;
/// Room for any reply on a datagram, in bytes.
const REPLY_ROOM: usize = 1 << 17;
/// `Type` of the worker processes in the reply of `ps`.
const WORKER_TYPE: &str = "MI Datagram";
/// Shared memory of a server, in MiB, where nothing asks for more.
pub(crate) const MEMORY_MIB: u64 = 64;
/// The configuration when `--config` gives no other.
const DEFAULT_CONFIG: &str = r#"debug=0
log_stderror=yes
loadmodule "mi_datagram.so"
loadmodule "cachedb_local.so"
loadmodule "usrloc.so"
modparam("mi_datagram", "socket_name", "{socket}")
modparam("mi_datagram", "children_count", {workers})
"#;

/// The same over FIFOs; the socket is for the questions beside.
pub(crate) const FIFO_CONFIG: &str = r#"debug=0
log_stderror=yes
loadmodule "mi_datagram.so"
loadmodule "mi_fifo.so"
loadmodule "usrloc.so"
modparam("mi_datagram", "socket_name", "{socket}")
modparam("mi_datagram", "children_count", {workers})
modparam("mi_fifo", "fifo_name", "{fifo}")
modparam("mi_fifo", "reply_dir", "{replies}/")
"#;

/// The same with the module of speed.c.
pub(crate) const C_CONFIG: &str = r#"debug=0
log_stderror=yes
mpath="{replies}/"
loadmodule "mi_datagram.so"
loadmodule "speed.so"
modparam("mi_datagram", "socket_name", "{socket}")
modparam("mi_datagram", "children_count", {workers})
"#;

/// How to come by a server.
pub(crate) enum Source {
    /// A command line; `{config}`, `{socket}`, `{workers}`, `{memory}` and `{dir}` stand for what their names say.
    Command(Vec<OsString>),
    /// The socket of a server that runs already.
    Running(PathBuf),
}

/// A server's name in the report, and where it comes from.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) source: Source,
    /// Text of the configuration file, with the same placeholders; `None` for our own.
    pub(crate) config: Option<String>,
}

/// A server that answers; one that we started ends with this value.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) socket: PathBuf,
    /// Where mi_fifo's FIFO is, if it has one.
    pub(crate) fifo: PathBuf,
    pub(crate) workers: usize,
    process: Option<Started>,
    scratch: PathBuf,
}

/// One line of the reply to `ps`.
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) pid: u32,
    pub(crate) kind: String,
}

impl Server {
    /// Starts the server in `directory`, which must be new, with `workers` workers and `memory` MiB, and waits until
    /// it answers. A running one is only asked how many workers it has.
    pub(crate) fn start(plan: &Plan, directory: &Path, workers: usize, memory: u64) -> Result<Server> {
        fs::create_dir(directory).map_err(Error::os("create", directory))?;
        let scratch = directory.to_path_buf();
        let (socket, process) = match &plan.source {
            Source::Running(socket) => (socket.clone(), None),
            Source::Command(words) => {
                let socket = directory.join("mi.sock");
                let config = directory.join("opensips.cfg");
                let replies = directory.parent().unwrap_or(directory);
                let fill = |text: &str| {
                    text.replace("{socket}", &socket.to_string_lossy())
                        .replace("{workers}", &workers.to_string())
                        .replace("{memory}", &memory.to_string())
                        .replace("{dir}", &directory.to_string_lossy())
                        .replace("{fifo}", &directory.join("fifo").to_string_lossy())
                        .replace("{replies}", &replies.to_string_lossy())
                        .replace("{config}", &config.to_string_lossy())
                };
                let text = fill(plan.config.as_deref().unwrap_or(DEFAULT_CONFIG));
                fs::write(&config, text).map_err(Error::os("write", &config))?;
                let words: Vec<OsString> =
                    words.iter().map(|word| fill(&word.to_string_lossy()).into()).collect();
                let log = directory.join("server.log");
                (socket.clone(), Some(Started::program(&words, directory, &log)?))
            }
        };
        let fifo = directory.join("fifo");
        let mut server = Server { name: plan.name.clone(), socket, fifo, workers, process, scratch };
        server.workers = server.wait_until_ready(workers)?;
        Ok(server)
    }

    /// Asks until there is an answer, and until a server that we started lists all its workers; returns how many it
    /// has. Between two tries it pauses, because a socket that is not there yet gives nothing to wait on.
    fn wait_until_ready(&mut self, workers: usize) -> Result<usize> {
        let deadline = Instant::now() + READY_TIME;
        loop {
            let answer = self.try_ask(b":ps:\n").map(|reply| count_workers(&reply));
            match (&answer, &self.process) {
                (Ok(found), Some(_)) if *found == workers => return Ok(workers),
                // One that speaks another protocol does not say; then --workers holds.
                (Ok(0), None) => return Ok(workers),
                (Ok(found), None) => return Ok(*found),
                _ => {}
            }
            if let Some(status) = self.process.as_mut().and_then(Started::ended) {
                return Err(Error::server(&self.name, format!("{status} at its start; {}", self.log_end())));
            }
            if Instant::now() >= deadline {
                let last = match answer {
                    Ok(found) => format!("{found} of {workers} workers"),
                    Err(error) => error.to_string(),
                };
                let reason = format!("not ready in {READY_TIME:?}: {last}; {}", self.log_end());
                return Err(Error::server(&self.name, reason));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// One request and its reply, from a new client.
    pub(crate) fn ask(&self, request: &[u8]) -> Result<Vec<u8>> {
        let shown = || String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        self.try_ask(request)
            .map_err(|error| Error::server(&self.name, format!("no reply to {:?}: {error}", shown())))
    }

    /// The reply to `request` once its length has stopped changing: a server that has just started may still fill in
    /// the numbers of its processes. A reply that keeps changing is taken as it is in the end.
    pub(crate) fn ask_settled(&self, request: &[u8]) -> Result<Vec<u8>> {
        let mut reply = self.ask(request)?;
        for _ in 0..SETTLE_TRIES {
            thread::sleep(SETTLE_PAUSE);
            let next = self.ask(request)?;
            if next.len() == reply.len() {
                return Ok(next);
            }
            reply = next;
        }
        Ok(reply)
    }

    /// One request over the FIFO and its reply.
    pub(crate) fn ask_by_fifo(&self, request: &[u8]) -> Result<Vec<u8>> {
        // What `ps` lists is complete then.
        self.ask_settled(b":ps:\n")?;
        let replies = self.scratch.parent().unwrap_or(&self.scratch);
        let mut reply = vec![0; REPLY_ROOM];
        let asked = Link::open(&self.fifo, replies, ASKING).and_then(|link| {
            let length = link.ask(&link.fill(request), &mut reply)?;
            reply.truncate(length);
            Ok(reply)
        });
        asked.map_err(|error| Error::server(&self.name, format!("no reply over its FIFO: {error}")))
    }

    fn try_ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let address = self.scratch.join(format!("ask-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let client = UnixDatagram::bind(&address)?;
        let mut reply = vec![0; REPLY_ROOM];
        let answer = client
            .set_read_timeout(Some(REPLY_TIME))
            .and_then(|()| client.send_to(request, &self.socket))
            .and_then(|_| client.recv(&mut reply));
        // The directory goes at the end in any case.
        let _ = fs::remove_file(&address);
        reply.truncate(answer?);
        Ok(reply)
    }

    /// The processes that `ps` lists; empty for a server that lists none in OpenSIPS's way.
    pub(crate) fn processes(&self) -> Result<Vec<Process>> {
        let reply = self.ask(b":ps:\n")?;
        Ok(parse_processes(&reply))
    }

    /// Whether the bench started this server.
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_some()
    }

    /// Ends a server that we started.
    ///
    /// # Errors
    /// It had to be killed, or it had ended before: both are findings.
    pub(crate) fn stop(mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        if let Some(status) = process.ended() {
            return Err(Error::server(&self.name, format!("{status} under load; {}", self.log_end())));
        }
        if process.stop() { Ok(()) } else { Err(Error::server(&self.name, "did not stop after SIGTERM")) }
    }

    /// Adds to an error under load what the server's end, if it has ended, and its log say.
    pub(crate) fn explain(&mut self, error: &Error) -> Error {
        let ended = self.process.as_mut().map(Started::ended);
        let state = match ended {
            None => return Error::server(&self.name, error.to_string()),
            Some(Some(status)) => format!("it has ended with {status}"),
            Some(None) => "it still runs".to_owned(),
        };
        Error::server(&self.name, format!("{error}; {state}; {}", self.log_end()))
    }

    /// The last lines of the log, for an error.
    fn log_end(&self) -> String {
        let log = fs::read(self.scratch.join("server.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let mut lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.reverse();
        if lines.is_empty() {
            "its log is empty".to_owned()
        } else {
            format!("log ends: {}", lines.join(" / "))
        }
    }
}

fn count_workers(reply: &[u8]) -> usize {
    parse_processes(reply).iter().filter(|process| process.kind == WORKER_TYPE).count()
}

fn parse_processes(reply: &[u8]) -> Vec<Process> {
    String::from_utf8_lossy(reply).lines().filter_map(parse_process).collect()
}

/// `Process::  ID=1 PID=99 Type=MI Datagram`
fn parse_process(line: &str) -> Option<Process> {
    let (id, rest) = line.strip_prefix("Process::  ID=")?.split_once(" PID=")?;
    let (pid, kind) = rest.split_once(" Type=")?;
    Some(Process { id: id.parse().ok()?, pid: pid.parse().ok()?, kind: kind.trim_end().to_owned() })
}
