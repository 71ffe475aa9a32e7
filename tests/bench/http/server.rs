//! The server under test: started in the foreground with a configuration of ours. Owns its directory, its ports, its
//! readiness and its end; measures nothing.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::children::{LOOK_AGAIN, Started};
use crate::commands::Door;
use crate::error::{Error, Result};
use crate::message::Connection;

/// Name of the server under test in the report.
const SUBJECT: &str = "opensips-mi";
/// How long it may take to answer its first request.
const READY_TIME: Duration = Duration::from_secs(10);
/// How often and at what distance a changing reply is asked for again.
const SETTLE_TRIES: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(25);
/// Shared memory, in MiB, where nothing asks for more.
pub(crate) const MEMORY_MIB: u64 = 64;

/// A server that answers; it ends with this value.
pub(crate) struct Server {
    pub(crate) name: String,
    /// Of each door.
    pub(crate) workers: usize,
    process: Started,
    log: PathBuf,
    /// As in [`Door::ALL`].
    addresses: [SocketAddr; 2],
}

impl Server {
    /// Starts it in `directory`, which must be new, and waits until each door has all its workers.
    pub(crate) fn start(program: &Path, directory: &Path, workers: usize, memory: u64) -> Result<Server> {
        fs::create_dir(directory).map_err(Error::os("create", directory))?;
        let addresses = free_addresses().map_err(Error::os("find free ports for", program))?;
        let [xml, json] = addresses.map(|address| address.port());
        let text = format!(
            r#"debug=0
log_stderror=yes
loadmodule "usrloc.so"
loadmodule "mi_xmlrpc.so"
loadmodule "httpd.so"
loadmodule "mi_http.so"
modparam("mi_xmlrpc", "port", {xml})
modparam("mi_xmlrpc", "children_count", {workers})
modparam("httpd", "port", {json})
modparam("httpd", "children_count", {workers})
"#
        );
        let config = directory.join("opensips.cfg");
        fs::write(&config, text).map_err(Error::os("write", &config))?;
        let memory = memory.to_string();
        let words = [program.as_os_str(), "-F".as_ref(), "-m".as_ref(), memory.as_ref(), "-f".as_ref()];
        let words: Vec<_> = words.iter().map(Into::into).chain([config.into()]).collect();
        let log = directory.join("server.log");
        let process = Started::program(&words, directory, &log)?;
        let mut server = Server { name: SUBJECT.to_owned(), workers, process, log, addresses };
        let deadline = Instant::now() + READY_TIME;
        while let Some(missing) = server.missing() {
            if let Some(status) = server.process.ended() {
                return Err(server.error(format!("{status} at its start")));
            }
            if Instant::now() >= deadline {
                return Err(server.error(format!("not ready in {READY_TIME:?}: {missing}")));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(server)
    }

    /// Why it is not ready yet.
    fn missing(&self) -> Option<String> {
        for door in Door::ALL {
            let asked = Connection::open(self.address(door)).and_then(|mut connection| {
                connection.ask(&door.request(&["version"]))?;
                Ok(())
            });
            if let Err(error) = asked {
                return Some(format!("{door:?}: {error}"));
            }
            match self.pids(door) {
                Ok(pids) if pids.len() == self.workers => {}
                Ok(pids) => return Some(format!("{door:?}: {} workers", pids.len())),
                Err(error) => return Some(error.to_string()),
            }
        }
        None
    }

    /// Where a door is.
    pub(crate) fn address(&self, door: Door) -> SocketAddr {
        let [xml, json] = self.addresses;
        match door {
            Door::XmlRpc => xml,
            Door::JsonRpc => json,
        }
    }

    /// The body of the reply to these words.
    pub(crate) fn ask(&self, door: Door, words: &[&str]) -> Result<Vec<u8>> {
        let asked = Connection::open(self.address(door))
            .and_then(|mut connection| connection.ask(&door.request(words)).map(<[u8]>::to_vec));
        asked.map_err(|error| self.error(format!("no reply to {words:?}: {error}")))
    }

    /// The same once its length has stopped changing: a server that has just started may still fill in the numbers of
    /// its processes. A reply that keeps changing is taken as it is in the end.
    pub(crate) fn ask_settled(&self, door: Door, words: &[&str]) -> Result<Vec<u8>> {
        let mut reply = self.ask(door, words)?;
        for _ in 0..SETTLE_TRIES {
            thread::sleep(SETTLE_PAUSE);
            let next = self.ask(door, words)?;
            if next.len() == reply.len() {
                return Ok(next);
            }
            reply = next;
        }
        Ok(reply)
    }

    /// What it calls itself, in a line like that of `version`.
    pub(crate) fn version(&self) -> Result<String> {
        let reply = self.ask(Door::XmlRpc, &["version"])?;
        let text = String::from_utf8_lossy(&reply);
        let from = text.find("Server:: ").unwrap_or(0);
        Ok(text[from..].split('<').next().unwrap_or_default().to_owned())
    }

    /// The processes behind a door.
    pub(crate) fn pids(&self, door: Door) -> Result<Vec<u32>> {
        let reply = self.ask(Door::XmlRpc, &["ps"])?;
        let text = String::from_utf8_lossy(&reply);
        let pid = |line: &str| {
            let (_, rest) = line.split_once(" PID=")?;
            let (pid, kind) = rest.split_once(" Type=")?;
            if kind.starts_with(door.process_type()) { pid.parse().ok() } else { None }
        };
        Ok(text.lines().filter_map(pid).collect())
    }

    /// A statistic of group `mi`.
    pub(crate) fn counter(&self, name: &str) -> Result<u64> {
        let reply = self.ask(Door::XmlRpc, &["get_statistics", name])?;
        let text = String::from_utf8_lossy(&reply);
        let value = text.split_once(&format!("{name}:: ")).map(|(_, rest)| rest);
        let digits = value.and_then(|rest| rest.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok());
        digits.ok_or_else(|| self.error(format!("get_statistics has no {name}")))
    }

    /// Ends it.
    ///
    /// # Errors
    /// It had to be killed, or it had ended before: both are findings.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some(status) = self.process.ended() {
            return Err(self.error(format!("{status} under load")));
        }
        if self.process.stop() { Ok(()) } else { Err(self.error("did not stop after SIGTERM")) }
    }

    /// A complaint about it, with the end of its log.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let mut lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.reverse();
        let reason: String = reason.into();
        Error::server(&self.name, format!("{reason}; its log ends: {}", lines.join(" / ")))
    }
}

/// Two ports that nobody has, both found before the first is let go.
fn free_addresses() -> io::Result<[SocketAddr; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (listen()?, listen()?);
    Ok([one.local_addr()?, other.local_addr()?])
}
