//! A client of HTTP that writes bytes as they are given and reads replies strictly. Every read has a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, setsockopt, socket, sockopt};

use super::{DEADLINE, shown};

/// What a narrow connection holds of what was not read, in bytes: the least that the system allows, some 2 kB.
const NARROW_BYTES: usize = 1;

/// The same of any other.
const WIDE_BYTES: usize = 1 << 20;

/// A connection.
pub(crate) struct Http {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A reply whose end was marked as HTTP wants it.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl HttpReply {
    /// The first line.
    pub(crate) fn first_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// A header's value, by its name as the server writes it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A POST as clients send it.
pub(crate) fn post(path: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A POST of a JSON-RPC request to the default path of mi_http.
pub(crate) fn json_rpc(method: &str, params: &str) -> Vec<u8> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    post("/mi", "application/json", body.as_bytes())
}

impl Http {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}"))
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, DEADLINE)?)
    }

    /// Connects with little room for what it has not read. Else the system tells the server of what was read in large
    /// steps, each of which takes a slow reader a long time.
    #[track_caller]
    pub(crate) fn connect_narrow(address: SocketAddr) -> Self {
        let connect = || {
            let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
            let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            setsockopt(&socket, sockopt::RcvBuf, &NARROW_BYTES)?;
            nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
            Self::over(socket.into())
        };
        connect().unwrap_or_else(|error| panic!("connect to {address}: {error}"))
    }

    /// Makes room for more.
    #[track_caller]
    pub(crate) fn widen(&self) {
        setsockopt(&self.stream, sockopt::RcvBuf, &WIDE_BYTES).expect("a receive buffer");
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Writes bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    /// Writes bytes if the server has not closed the connection.
    pub(crate) fn send_if_open(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes);
    }

    /// Says that nothing more comes.
    pub(crate) fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Sends a request and gives the reply to it.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &[u8]) -> HttpReply {
        self.send(request);
        self.reply().unwrap_or_else(|error| panic!("no reply to\n{}: {error}", shown(request)))
    }

    /// The next reply.
    ///
    /// # Errors
    /// Those of the connection; `UnexpectedEof` when it ends too early, `InvalidData` when it is no HTTP.
    pub(crate) fn reply(&mut self) -> io::Result<HttpReply> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).map_err(|_| ErrorKind::InvalidData)?;
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let mut reply = HttpReply { status: status.ok_or(ErrorKind::InvalidData)?, head, body: Vec::new() };
        if reply.status == 100 {
            return Ok(reply);
        }
        let length = reply.header("Content-Length").map(|length| length.parse().expect("a length"));
        reply.body = match length {
            Some(length) => self.exactly(length)?,
            None if reply.header("Transfer-Encoding") == Some("chunked") => self.chunks()?,
            None if reply.header("Connection") == Some("close") => self.rest()?,
            None => panic!("nothing tells where this reply ends: {reply:?}"),
        };
        Ok(reply)
    }

    /// The status of the next reply, of which no more than the head is taken.
    ///
    /// # Errors
    /// As those of [`reply`](Self::reply).
    pub(crate) fn status(&mut self) -> io::Result<u16> {
        let head = self.until(b"\r\n\r\n")?;
        let status = head
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
        Ok(status.ok_or(ErrorKind::InvalidData)?)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let digits = str::from_utf8(&line[..line.len() - 2]).map_err(|_| ErrorKind::InvalidData)?;
            let length = usize::from_str_radix(digits, 16).map_err(|_| ErrorKind::InvalidData)?;
            let chunk = self.exactly(length + 2)?;
            assert!(chunk.ends_with(b"\r\n"), "a chunk is longer than it says");
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Ok(self.unread.drain(..at + end.len()).collect());
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.more()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn more(&mut self) -> io::Result<()> {
        match self.some(64 << 10)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads up to so many bytes. 0 at the end.
    pub(crate) fn some(&mut self, room: usize) -> io::Result<usize> {
        let mut buffer = vec![0; room];
        let length = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.unread.extend_from_slice(&buffer[..length]);
        Ok(length)
    }

    /// Everything up to the end of the connection; the end may be an abort.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        match self.finish() {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
            _ => Ok(std::mem::take(&mut self.unread)),
        }
    }

    /// Reads to the end of the connection. How many bytes wait here then, and whether the end was none in order.
    pub(crate) fn abort(&mut self) -> (usize, Option<ErrorKind>) {
        let end = self.finish();
        (self.unread.len(), end.err().map(|error| error.kind()))
    }

    fn finish(&mut self) -> io::Result<()> {
        while self.some(64 << 10)? > 0 {}
        Ok(())
    }

    /// Whether the server has closed the connection. Waits no longer than `limit`.
    pub(crate) fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).expect("a time limit");
        let closed = match self.some(1) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
        closed
    }
}
