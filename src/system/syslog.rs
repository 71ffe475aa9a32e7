//! The system log: a datagram a line, without ever waiting for the process that takes it.
//!
//! Not by syslog(3), which waits while that process is stopped. C: `syslog` as dprint.h uses it, with `LOG_PID` and
//! `LOG_NDELAY`. Differs: a line that the system log does not take is not written to the console.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::clock;

/// Where the system log listens. C: `_PATH_LOG`.
const PATH: &str = "/dev/log";

/// A connection to the system log. It survives forks and, while nobody restarts the system log, a change of the root
/// folder.
#[derive(Clone, Debug)]
pub struct Syslog(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    path: PathBuf,
    /// The program, as lines name it.
    name: String,
    facility: i32,
    socket: Mutex<Option<UnixDatagram>>,
}

impl Syslog {
    /// Opens the log under a program name, for a facility by its number (0 kernel … 23 local7).
    #[must_use]
    pub fn open(name: &[u8], facility: u8) -> Syslog {
        Syslog::open_at(Path::new(PATH), name, facility)
    }

    fn open_at(path: &Path, name: &[u8], facility: u8) -> Syslog {
        let name = String::from_utf8_lossy(name).into_owned();
        let facility = i32::from(facility) << 3;
        // Without anybody there it is tried again with each line.
        let socket = Mutex::new(connect(path).ok());
        Syslog(Arc::new(Connection { path: path.to_owned(), name, facility, socket }))
    }

    /// Writes one line at a priority of syslog (0 emergency … 7 debug).
    ///
    /// # Errors
    /// When it cannot be written now: `WouldBlock` when the system log does not take what it has already.
    pub fn write(&self, priority: i32, line: &str) -> io::Result<()> {
        let Connection { path, name, facility, socket } = &*self.0;
        let time = clock::log_time(clock::wall_seconds());
        let message = format!("<{}>{time} {name}[{}]: {line}", facility | priority, std::process::id());
        let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = &*socket {
            match socket.send(message.as_bytes()) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => {} // another one may have taken its place
                sent => return sent.map(|_| ()),
            }
        }
        *socket = None;
        socket.insert(connect(path)?).send(message.as_bytes())?;
        Ok(())
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut line = [0; 1000];
        let length = socket.recv(&mut line).unwrap();
        str::from_utf8(&line[..length]).unwrap().to_owned()
    }

    #[test]
    fn a_line_has_priority_time_name_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        Syslog::open_at(&path, b"opensips", 3).write(4, "WARNING:core: hello").unwrap();
        let line = receive(&server);
        // The time is 15 characters, as in `Nov 22 02:20:30`.
        assert_eq!(&line[..4], "<28>");
        assert_eq!(line[19..], format!(" opensips[{}]: WARNING:core: hello", std::process::id()));
    }

    #[test]
    fn a_stopped_system_log_makes_nobody_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::open_at(&path, b"opensips", 3);
        let full = (0..1_000_000).find_map(|_| syslog.write(4, "hello").err()).unwrap();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        receive(&server);
        syslog.write(4, "hello").unwrap();
    }

    #[test]
    fn the_log_may_begin_later_and_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let syslog = Syslog::open_at(&path, b"opensips", 3);
        syslog.write(4, "nobody").unwrap_err();
        for line in ["first", "second"] {
            let server = UnixDatagram::bind(&path).unwrap();
            syslog.write(4, line).unwrap();
            assert!(receive(&server).ends_with(line));
            std::fs::remove_file(&path).unwrap();
        }
    }
}
