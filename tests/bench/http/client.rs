//! A load client: one process with some keep-alive connections, each with one request in flight. Owns the closed loop
//! and what a task looks like; it decides neither when nor how long.
//!
//! It goes round its connections: takes the reply of one, sends the next request there, and goes on to the next.

use std::io::{self, BufRead, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::crew;
use crate::message::Connection;
use crate::shape::Shape;

/// What a client is told to do. On the stream: a line with the numbers, then the bytes.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    pub(crate) address: SocketAddr,
    /// With its head.
    pub(crate) request: Vec<u8>,
    /// What the body of each reply is compared with.
    pub(crate) reply: Vec<u8>,
}

impl Task {
    /// The task for [`Task::read`].
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Task { time, connections, address, request, reply } = self;
        let line =
            format!("{} {connections} {address} {} {}\n", time.as_micros(), request.len(), reply.len());
        [line.as_bytes(), request, reply].concat()
    }

    /// The next task, or `None` at the end of the stream.
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Task>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[micros, connections, address, request, reply] = words.as_slice() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
        let mut bytes = |length: &str| {
            let mut bytes = Vec::new();
            stream.take(number(length)?).read_to_end(&mut bytes).map(|_| bytes)
        };
        Ok(Some(Task {
            time: Duration::from_micros(number(micros)?),
            connections: connections.parse().map_err(io::Error::other)?,
            address: address.parse().map_err(io::Error::other)?,
            request: bytes(request)?,
            reply: bytes(reply)?,
        }))
    }
}

/// The part `client`: does tasks, see [`crew::member`]. Says of each how many requests were answered, in how many ns,
/// and the time in ns that one of a hundred took longer than.
///
/// # Errors
/// The stream ends between a task and its start.
pub(crate) fn run() -> io::Result<()> {
    crew::member(Task::read, |task| {
        let (mut times, elapsed) = closed_loop(task)?;
        let place = times.len() * 99 / 100;
        let (_, slow, _) = times.select_nth_unstable(place);
        let slow = slow.as_nanos();
        Ok(format!("{} {} {slow}", times.len(), elapsed.as_nanos()))
    })
}

/// How long each request took, at least one, and all together.
fn closed_loop(task: &Task) -> io::Result<(Vec<Duration>, Duration)> {
    let opened = (0..task.connections.max(1)).map(|_| Connection::open(task.address));
    let mut connections = opened.collect::<io::Result<Vec<_>>>()?;
    let mut shape = Shape::of(&task.reply, false);
    let mut times = Vec::with_capacity(1 << 16);
    let begin = Instant::now();
    let mut sent = Vec::with_capacity(connections.len());
    for connection in &mut connections {
        connection.send(&task.request)?;
        sent.push(Some(Instant::now()));
    }
    let mut in_flight = connections.len();
    while in_flight > 0 {
        for (connection, sent) in connections.iter_mut().zip(&mut sent) {
            let Some(since) = sent.take() else { continue };
            let reply = connection.reply()?;
            if !shape.fits(reply, times.len() as u64) {
                let text = String::from_utf8_lossy(&reply[..reply.len().min(200)]);
                return Err(io::Error::other(format!("reply {} has another shape: {text:?}", times.len())));
            }
            let now = Instant::now();
            times.push(now - since);
            if now - begin < task.time {
                connection.send(&task.request)?;
                *sent = Some(now);
            } else {
                in_flight -= 1;
            }
        }
    }
    Ok((times, begin.elapsed()))
}
