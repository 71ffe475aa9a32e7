//! A load client: one process, one bound socket, one request in flight; over a FIFO when that is what it is sent to. Owns the closed loop and what goes over
//! the control stream between it and `pool`; it decides neither when nor how long.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::crew;
use crate::fifo::{self, Link};
use crate::request::{Numbers, Template};
use crate::shape::Shape;
use crate::soak_client;

/// Room for any reply on a datagram, in bytes.
const REPLY_ROOM: usize = 1 << 17;

/// What a client is told to do. On the stream: a line with the kind and the numbers, then the bytes.
#[derive(Clone)]
pub(crate) enum Task {
    /// Ask one request after the other.
    Turn(Asking),
    /// Send `requests` mixed ones to `socket`, some over connected sockets.
    Soak { requests: u64, connected: bool, socket: PathBuf },
}

/// One turn of one client.
#[derive(Clone)]
pub(crate) struct Asking {
    /// How long, in µs.
    pub(crate) micros: u64,
    /// How many requests are enough before that.
    pub(crate) most: u64,
    /// The requests' numbers: that of this place, then of every `step`th one.
    pub(crate) first: u64,
    pub(crate) step: u64,
    pub(crate) numbers: Numbers,
    pub(crate) socket: PathBuf,
    /// Text of the template.
    pub(crate) request: Vec<u8>,
    /// What each answer is compared with.
    pub(crate) reply: Vec<u8>,
}

impl Task {
    /// The task for [`Task::read`].
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Task::Turn(Asking { micros, most, first, step, numbers, socket, request, reply }) => {
                let path = socket.as_os_str().as_bytes();
                let Numbers { start, count } = numbers;
                let (path_bytes, request_bytes, reply_bytes) = (path.len(), request.len(), reply.len());
                let numbers = format!("{micros} {most} {first} {step} {start} {count}");
                let line = format!("turn {numbers} {path_bytes} {request_bytes} {reply_bytes}\n");
                bytes.extend([line.as_bytes(), path, request, reply].concat());
            }
            Task::Soak { requests, connected, socket } => {
                let path = socket.as_os_str().as_bytes();
                let line = format!("soak {requests} {} {}\n", u8::from(*connected), path.len());
                bytes.extend([line.as_bytes(), path].concat());
            }
        }
        bytes
    }

    /// The next task, or `None` at the end of the stream.
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Task>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let (kind, numbers) = line.trim_end().split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        let numbers: Result<Vec<u64>, _> = numbers.split(' ').map(str::parse).collect();
        let mut bytes = |length: u64| {
            let mut bytes = Vec::new();
            stream.take(length).read_to_end(&mut bytes).map(|_| bytes)
        };
        match (kind, numbers.map_err(io::Error::other)?.as_slice()) {
            ("turn", &[micros, most, first, step, start, count, path, request, reply]) => {
                let (socket, numbers) = (OsString::from_vec(bytes(path)?).into(), Numbers { start, count });
                let (request, reply) = (bytes(request)?, bytes(reply)?);
                let asking = Asking { micros, most, first, step, numbers, socket, request, reply };
                Ok(Some(Task::Turn(asking)))
            }
            ("soak", &[requests, connected, path]) => {
                let socket = OsString::from_vec(bytes(path)?).into();
                Ok(Some(Task::Soak { requests, connected: connected != 0, socket }))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The part `client`: does tasks, see [`crew::member`]. Says of each how many requests it sent, in how many ns.
///
/// # Errors
/// The client's socket cannot be bound, or the stream ends between a task and its start.
pub(crate) fn run(arguments: &[OsString]) -> io::Result<()> {
    let [address, number] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let address = Path::new(address);
    let number = number.to_str().and_then(|number| number.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    let socket = UnixDatagram::bind(address)?;
    crew::member(Task::read, |task| {
        let (count, time) = work(task, &socket, address, number)?;
        Ok(format!("{count} {}", time.as_nanos()))
    })
}

fn work(task: &Task, own: &UnixDatagram, address: &Path, number: usize) -> io::Result<(u64, Duration)> {
    match task {
        Task::Turn(asking) if fifo::is_fifo(&asking.socket)? => {
            let folder = address.parent().ok_or(io::ErrorKind::InvalidInput)?;
            let link = Link::open(&asking.socket, folder, number)?;
            closed_loop(asking, &link.fill(&asking.request), |request, reply| link.ask(request, reply))
        }
        Task::Turn(asking) => {
            let server = SocketAddr::from_pathname(&asking.socket)?;
            closed_loop(asking, &asking.request, |request, reply| {
                own.send_to_addr(request, &server)?;
                own.recv(reply)
            })
        }
        Task::Soak { requests, connected, socket } => {
            let start = Instant::now();
            soak_client::send(own, address, socket, *requests, *connected)?;
            Ok((*requests, start.elapsed()))
        }
    }
}

/// Request, reply, request, reply … It blocks for ever on a reply that does not come; `pool` sees to that.
fn closed_loop(
    asking: &Asking,
    request: &[u8],
    mut ask: impl FnMut(&[u8], &mut [u8]) -> io::Result<usize>,
) -> io::Result<(u64, Duration)> {
    let mut request = Template::new(request);
    let mut shape = Shape::of(&asking.reply, request.changes());
    let time = Duration::from_micros(asking.micros);
    let mut reply = vec![0; REPLY_ROOM];
    let (mut count, mut place) = (0, asking.first);
    let start = Instant::now();
    loop {
        let size = ask(request.with(asking.numbers.at(place)), &mut reply)?;
        if !shape.fits(&reply[..size], count) {
            let text = String::from_utf8_lossy(&reply[..size.min(200)]);
            return Err(io::Error::other(format!(
                "reply {count} of {size} bytes has another shape: {text:?}"
            )));
        }
        count += 1;
        place += asking.step;
        let elapsed = start.elapsed();
        if elapsed >= time || count >= asking.most {
            return Ok((count, elapsed));
        }
    }
}
