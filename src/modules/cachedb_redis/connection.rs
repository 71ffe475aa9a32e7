//! A TCP connection to a Redis server, on which every step ends by a point in time.
//!
//! The time that is left is told to the kernel before each read and each write, so that a server that sends a byte now
//! and then gains nothing by it; a signal only makes us look at the clock. Knows neither log-in nor what to do about a
//! failure: that is [`super::link`]. C: hiredis, whose limits count for each read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::resp::{self, Reply, ReplyError};

/// How much is read at once, in bytes.
const READ_BYTES: usize = 16 << 10;

/// When something must have ended, and how long it had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    until: Instant,
    limit: Duration,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("it closed the connection")]
    Closed,
    #[error("it sent more than was asked for")]
    Extra,
    #[error("its reply belongs to another command")]
    Other,
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error(transparent)]
    Io(io::Error),
}

impl Deadline {
    /// After so long, from now.
    pub(super) fn after(limit: Duration) -> Deadline {
        Deadline::at(Instant::now(), limit)
    }

    /// So long after `start`.
    pub(super) fn at(start: Instant, limit: Duration) -> Deadline {
        Deadline { until: start + limit, limit }
    }

    /// After so long, from now, or at this one if it comes first.
    pub(super) fn shorter(self, limit: Duration) -> Deadline {
        let now = Instant::now();
        if now + limit < self.until { Deadline { until: now + limit, limit } } else { self }
    }

    /// What is left, never zero.
    ///
    /// # Errors
    /// [`Failure::Late`] when nothing is.
    pub(super) fn left(&self) -> Result<Duration, Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.late()) } else { Ok(left) }
    }

    /// What to say when it is over.
    pub(super) fn late(&self) -> Failure {
        Failure::Late(self.limit)
    }
}

/// What an operation on the socket failed with. The kernel's own end of a wait, and a signal, are no failures: the
/// deadline says when it is enough.
fn tolerate(error: io::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(()),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Err(Failure::Closed)
        }
        _ => Err(Failure::Io(error)),
    }
}

/// A connection that answers commands one by one. After a failure it is good for nothing.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Whether bytes came behind the last reply.
    has_extra: bool,
}

impl Connection {
    /// Connects within a time, which is not zero.
    ///
    /// # Errors
    /// [`Failure::Late`], and what the system says.
    pub(super) fn open(address: SocketAddr, limit: Duration) -> Result<Connection, Failure> {
        let stream = TcpStream::connect_timeout(&address, limit).map_err(|error| match error.kind() {
            ErrorKind::TimedOut => Failure::Late(limit),
            _ => Failure::Io(error),
        })?;
        stream.set_nodelay(true).map_err(Failure::Io)?;
        Ok(Connection { stream, has_extra: false })
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// [`Failure::Closed`] and [`Failure::Extra`] also for what came before: then the command was not sent.
    pub(super) fn query(&mut self, command: &[u8], deadline: Deadline) -> Result<Reply, Failure> {
        self.check_in_step()?;
        self.send(command, deadline)?;
        self.receive(deadline)
    }

    /// Whether there is nothing to read: what there is would be taken for the reply to the next command.
    fn check_in_step(&self) -> Result<(), Failure> {
        if self.has_extra {
            return Err(Failure::Extra);
        }
        loop {
            let mut descriptors = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, PollTimeout::ZERO) {
                Ok(0) => return Ok(()),
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(Failure::Io(error.into())),
            }
        }
        match self.stream.peek(&mut [0]) {
            Ok(0) => Err(Failure::Closed),
            Ok(_) => Err(Failure::Extra),
            Err(error) => tolerate(error),
        }
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Deadline) -> Result<(), Failure> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(deadline.left()?)).map_err(Failure::Io)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(Failure::Closed),
                Ok(written) => bytes = &bytes[written..],
                Err(error) => tolerate(error)?,
            }
        }
        Ok(())
    }

    /// Holds at most a value of the largest size, its first line, and one read more.
    fn receive(&mut self, deadline: Deadline) -> Result<Reply, Failure> {
        let (mut received, mut chunk) = (Vec::new(), [0; READ_BYTES]);
        loop {
            self.stream.set_read_timeout(Some(deadline.left()?)).map_err(Failure::Io)?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Failure::Closed),
                Ok(length) => received.extend_from_slice(&chunk[..length]),
                Err(error) => {
                    tolerate(error)?;
                    continue;
                }
            }
            if let Some((reply, length)) = resp::parse(&received)? {
                self.has_extra = received.len() > length;
                return Ok(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// A connection and its other end.
    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let connection = Connection::open(listener.local_addr().unwrap(), LIMIT).unwrap();
        (connection, listener.accept().unwrap().0)
    }

    /// Asks while a thread reads the command and sends these pieces, with a pause behind each.
    fn ask(pieces: Vec<Vec<u8>>, pause: Duration, limit: Duration) -> (Result<Reply, Failure>, Connection) {
        let (mut connection, mut server) = pair();
        let thread = std::thread::spawn(move || {
            let _command = server.read(&mut [0; 100]);
            for piece in pieces {
                if server.write_all(&piece).is_err() {
                    break;
                }
                std::thread::sleep(pause);
            }
            server
        });
        let reply = connection.query(b"x", Deadline::after(limit));
        let _server = thread.join().unwrap();
        (reply, connection)
    }

    #[test]
    fn the_largest_value_is_read() {
        let size = resp::MAX_VALUE_BYTES;
        let value = vec![b'x'; size];
        let pieces = vec![format!("${size}\r\n").into_bytes(), value.clone(), b"\r".to_vec(), b"\n".to_vec()];
        let (reply, connection) = ask(pieces, Duration::ZERO, LIMIT);
        assert_eq!(reply.unwrap(), Reply::Value(Some(value)));
        assert!(!connection.has_extra);
    }

    /// The limit is that of the whole reply.
    #[test]
    fn a_byte_now_and_then_gains_no_time() {
        let mut pieces = vec![b"$60\r\n".to_vec()];
        pieces.extend(vec![b"x".to_vec(); 60]);
        let (start, limit) = (Instant::now(), Duration::from_millis(200));
        let (mut connection, mut server) = pair();
        let thread = std::thread::spawn(move || {
            for piece in pieces {
                if server.write_all(&piece).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        // Whatever has come before the command counts as extra, so begin with the reply.
        let reply = connection.receive(Deadline::after(limit));
        let taken = start.elapsed();
        assert!(matches!(reply, Err(Failure::Late(late)) if late == limit), "{reply:?}");
        assert!((limit..limit * 5).contains(&taken), "{taken:?}");
        drop(connection);
        thread.join().unwrap();
    }

    #[test]
    fn a_write_that_nobody_reads_ends_too() {
        let (mut connection, _server) = pair();
        let (start, limit) = (Instant::now(), Duration::from_millis(200));
        let reply = connection.query(&vec![b'x'; 64 << 20], Deadline::after(limit));
        assert!(matches!(reply, Err(Failure::Late(_))), "{reply:?}");
        assert!((limit..limit * 5).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[test]
    fn what_comes_unasked_is_no_reply() {
        let (reply, mut connection) = ask(vec![b"+OK\r\n$1\r\nx\r\n".to_vec()], Duration::ZERO, LIMIT);
        assert_eq!(reply.unwrap(), Reply::Ok);
        assert!(matches!(connection.query(b"x", Deadline::after(LIMIT)), Err(Failure::Extra)));

        let (mut connection, mut server) = pair();
        server.write_all(b"+OK\r\n").unwrap();
        connection.stream.peek(&mut [0]).unwrap();
        assert!(matches!(connection.query(b"x", Deadline::after(LIMIT)), Err(Failure::Extra)));
    }

    #[test]
    fn a_closed_connection_is_known_before_a_command_is_sent() {
        let (mut connection, server) = pair();
        drop(server);
        assert_eq!(connection.stream.peek(&mut [0]).unwrap(), 0);
        assert!(matches!(connection.query(b"x", Deadline::after(LIMIT)), Err(Failure::Closed)));
    }

    #[test]
    fn a_shorter_deadline_never_ends_later() {
        let whole = Deadline::after(Duration::from_secs(1));
        assert!(whole.shorter(Duration::from_secs(9)).until == whole.until);
        assert!(whole.shorter(Duration::from_millis(9)).until < whole.until);
        let over = Deadline::after(Duration::ZERO);
        assert!(matches!(over.left(), Err(Failure::Late(_))));
    }
}
