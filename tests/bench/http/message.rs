//! One keep-alive connection of a client, as little of HTTP as that needs: a POST out, a reply with its length in.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Room for any reply that is measured, in bytes.
const REPLY_ROOM: usize = 1 << 17;
/// How long a reply may take.
const REPLY_TIME: Duration = Duration::from_secs(5);
/// How a reply that is well begins.
const OK: [&[u8]; 2] = [b"HTTP/1.1 200 ", b"HTTP/1.1 202 "];

/// A whole request.
pub(crate) fn post(path: &str, media_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// The connection, and the reply read last.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIME))?;
        Ok(Connection { stream, buffer: vec![0; REPLY_ROOM] })
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// The body of the next reply.
    ///
    /// # Errors
    /// Its status is neither 200 nor 202, it does not say how long it is, or is not read in time.
    pub(crate) fn reply(&mut self) -> io::Result<&[u8]> {
        let mut read = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[read..])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read += count;
            let Some(head) = self.buffer[..read].windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let length = length(&self.buffer[..head]).ok_or_else(|| {
                let head = String::from_utf8_lossy(&self.buffer[..head]);
                io::Error::other(format!("not what was asked for: {head:?}"))
            })?;
            let body = head + 4..head + 4 + length;
            if read >= body.end {
                return Ok(&self.buffer[body]);
            }
        }
    }

    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.send(request)?;
        self.reply()
    }

    /// What was opened.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// The length that the head of a good reply names.
fn length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    if !OK.iter().any(|begin| head.starts_with(begin)) {
        return None;
    }
    let mut lines = head.split(|&byte| byte == b'\n');
    let line =
        lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}
