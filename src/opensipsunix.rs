//! The program `opensipsunix SOCKET`: sends stdin as one request to a UNIX datagram socket of the MI and
//! writes the reply to stdout. It neither builds requests nor reads replies: bytes in, bytes out.
//! C: `main` in utils/opensipsunix/opensipsunix.c, which `opensipsctl` runs for its UNIXSOCK engine.
//!
//! # The reply socket
//! Differs: C makes a file of mode 0666 in `$CHROOT_DIR/tmp` for the reply. Here the reply socket has a name
//! in Linux's abstract namespace instead, which belongs to no folder. So
//! - a server under `chroot` answers to the same name as one outside. C's file is found there only through a
//!   link inside the chroot that leads back to its root. Whatever `CHROOT_DIR` says is therefore honoured;
//! - a server of any user may answer: such a name has no owner, mode or folder that could forbid it;
//! - nothing is left behind, however the program ends: the name goes with the process, also on SIGKILL.
//!
//! As with C's file, any local process that finds the name could send something to it. Not reached is a
//! server in another network namespace: there the program has to run inside that namespace as well.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Largest request, in bytes: what `mi_datagram` accepts. C: `DATAGRAM_SOCK_BUF_SIZE`.
const MAX_REQUEST_BYTES: usize = 65_457;

/// Largest reply that is written out, in bytes. C: `BUF_SIZE`.
const MAX_REPLY_BYTES: usize = 65_536;

/// Longest path of a socket, in bytes; `sun_path` holds one more, the final zero.
const MAX_PATH_BYTES: usize = 107;

/// How long sending and waiting for the reply may take together. C: `DEFAULT_TIMEOUT`, defined, never used.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Exit status when the arguments are wrong, as in C.
const EXIT_USAGE: u8 = 1;

/// Exit status when there is no complete reply, as in C.
const EXIT_FAILURE: u8 = 255;

/// What `-h` prints.
const HELP: &str = "\
usage: opensipsunix SOCKET

Sends stdin as one request to the UNIX datagram socket SOCKET of mi_datagram
and writes the reply to stdout. Gives up after 5 s.

  -h, --help      print this help
  -V, --version   print the version

exit status: 0 a reply was written, 1 wrong arguments, 255 no complete reply

example: printf ':uptime:\\n' | opensipsunix /tmp/opensips.sock
";

/// Why there is no complete reply; one variant per step.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}; run opensipsunix -h for help")]
    Usage(#[from] lexopt::Error),
    #[error("no socket was named; run opensipsunix SOCKET, SOCKET being mi_datagram's socket_name")]
    NoSocketName,
    #[error("cannot read the request from stdin: {0}; pipe the request in")]
    ReadRequest(#[source] io::Error),
    #[error("nothing to send: stdin is empty; write a request to it, such as \":ps:\"")]
    EmptyRequest,
    #[error("the request is longer than {MAX_REQUEST_BYTES} bytes, the limit of mi_datagram; send less")]
    RequestTooLong,
    #[error(
        "{path:?} has {length} bytes, a socket's path at most {MAX_PATH_BYTES}; use a shorter one or a link"
    )]
    PathTooLong { path: PathBuf, length: usize },
    #[error("{path:?} cannot be a socket's path: {source}; give mi_datagram's socket_name")]
    BadPath { path: PathBuf, source: io::Error },
    #[error("cannot create the reply socket: {0}; see whether the system is short of descriptors or memory")]
    ReplySocket(#[source] io::Error),
    #[error("cannot send to {path:?}: {source}; {}", remedy(source))]
    Send { path: PathBuf, source: io::Error },
    #[error("{path:?}: the queue stayed full for {} s; see the server's log", waited.as_secs_f64())]
    QueueFull { path: PathBuf, waited: Duration },
    #[error(
        "{path:?}: no reply within {} s; see the server's log, and whether the server \
         is in another network namespace (then run opensipsunix there)",
        waited.as_secs_f64()
    )]
    NoReply { path: PathBuf, waited: Duration },
    #[error("cannot receive the reply of {path:?}: {source}; try again")]
    Receive { path: PathBuf, source: io::Error },
    #[error("the reply is longer than {MAX_REPLY_BYTES} bytes and was cut there; ask for less at a time")]
    ReplyTooLong,
    #[error("cannot write the reply to stdout: {0}; see where the output goes")]
    WriteReply(#[source] io::Error),
}

impl Error {
    fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NoSocketName => EXIT_USAGE,
            _ => EXIT_FAILURE,
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Action {
    Help,
    Version,
    Exchange(PathBuf),
}

/// Runs the program on the arguments and streams of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let status = run(arguments, &mut io::stdin().lock(), &mut io::stdout().lock(), &mut io::stderr().lock());
    ExitCode::from(status)
}

/// Runs the program and gives back its exit status: 0 when the reply was written whole, 1 when `arguments`
/// (without the program's name) are wrong, 255 in every other case. The reason is then a line on `errors`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    input: &mut impl Read,
    output: &mut impl Write,
    errors: &mut impl Write,
) -> u8 {
    match perform(arguments, input, output, TIMEOUT) {
        Ok(()) => 0,
        Err(error) => {
            // When stderr is closed too, the exit status is all there is left to say it with.
            let _ = writeln!(errors, "opensipsunix: {error}");
            error.exit_status()
        }
    }
}

fn perform(
    arguments: impl IntoIterator<Item = OsString>,
    input: &mut impl Read,
    output: &mut impl Write,
    timeout: Duration,
) -> Result<(), Error> {
    let reply = match parse(arguments)? {
        Action::Help => HELP.as_bytes().to_vec(),
        Action::Version => concat!("opensipsunix ", env!("CARGO_PKG_VERSION"), "\n").as_bytes().to_vec(),
        Action::Exchange(path) => exchange(&path, &read_request(input)?, timeout)?,
    };
    let whole = reply.get(..MAX_REPLY_BYTES).unwrap_or(&reply);
    output.write_all(whole).and_then(|()| output.flush()).map_err(Error::WriteReply)?;
    if reply.len() > MAX_REPLY_BYTES { Err(Error::ReplyTooLong) } else { Ok(()) }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Action, Error> {
    use lexopt::Arg::{Long, Short, Value};
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut socket = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Action::Help),
            Short('V') | Long("version") => return Ok(Action::Version),
            Value(path) if socket.is_none() && !path.is_empty() => socket = Some(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    socket.map(Action::Exchange).ok_or(Error::NoSocketName)
}

/// Reads `input` to its end; a request that the server would refuse is refused here, not cut as in C.
fn read_request(input: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut request = Vec::new();
    let one_too_many = MAX_REQUEST_BYTES as u64 + 1;
    input.take(one_too_many).read_to_end(&mut request).map_err(Error::ReadRequest)?;
    match request.len() {
        0 => Err(Error::EmptyRequest),
        length if length > MAX_REQUEST_BYTES => Err(Error::RequestTooLong),
        _ => Ok(request),
    }
}

/// Sends `request` to the socket at `path` and waits for the reply, `timeout` for both together. A reply of
/// more than [`MAX_REPLY_BYTES`] comes back cut to one byte more than that.
fn exchange(path: &Path, request: &[u8], timeout: Duration) -> Result<Vec<u8>, Error> {
    let address = server_address(path)?;
    let socket = reply_socket().map_err(Error::ReplySocket)?;
    let deadline = Instant::now() + timeout;

    // Not connected: OpenSIPS answers from another socket, from which a connected one takes nothing.
    let send = || socket.send_to_addr(request, &address);
    match until(deadline, |left| socket.set_write_timeout(Some(left)).and_then(|()| send())) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(Error::QueueFull { path: path.into(), waited: timeout });
        }
        Err(source) => return Err(Error::Send { path: path.into(), source }),
    }

    let mut reply = vec![0; MAX_REPLY_BYTES + 1];
    match until(deadline, |left| socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut reply))) {
        Ok(length) => reply.truncate(length),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(Error::NoReply { path: path.into(), waited: timeout });
        }
        Err(source) => return Err(Error::Receive { path: path.into(), source }),
    }
    Ok(reply)
}

fn server_address(path: &Path) -> Result<SocketAddr, Error> {
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_PATH_BYTES {
        return Err(Error::PathTooLong { path: path.into(), length });
    }
    SocketAddr::from_pathname(path).map_err(|source| Error::BadPath { path: path.into(), source })
}

/// A socket under an abstract name of its own. The random part is there for a server whose late reply to a
/// process that has ended would otherwise reach the next one with the same process id.
fn reply_socket() -> io::Result<UnixDatagram> {
    let process = std::process::id();
    let random = RandomState::new().hash_one(process);
    let name = format!("opensipsunix/{process}/{random:016x}");
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Repeats `step`, given the time left, while signals interrupt it; `WouldBlock` once `deadline` is past.
fn until<T>(deadline: Instant, mut step: impl FnMut(Duration) -> io::Result<T>) -> io::Result<T> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::WouldBlock.into());
        }
        match step(left) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What to do about a failed send.
fn remedy(error: &io::Error) -> &'static str {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::NotFound, _) => "start the server, or give the path that mi_datagram's socket_name names",
        (ErrorKind::ConnectionRefused, _) => "nobody reads from there; start the server",
        (ErrorKind::PermissionDenied, _) => {
            "run as a user or group that unix_socket_mode of mi_datagram lets in"
        }
        (_, Some(libc::EPROTOTYPE)) => "it is not a datagram socket; give the path of mi_datagram's socket",
        _ => "see whether the server runs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use tempfile::TempDir;

    const SHORT: Duration = Duration::from_millis(30);

    /// A folder with a datagram socket `mi` in it, which nobody reads until a test does.
    fn server() -> (TempDir, PathBuf, UnixDatagram) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("mi");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time limit");
        (folder, path, socket)
    }

    /// Runs the program against a server that answers one request with `reply`: status, stdout, stderr and
    /// the request as the server saw it.
    fn answered(request: &[u8], reply: &[u8]) -> (u8, Vec<u8>, String, Vec<u8>) {
        let (_folder, path, socket) = server();
        std::thread::scope(|scope| {
            let seen = scope.spawn(move || {
                let mut buffer = vec![0; 70_000];
                let (length, peer) = socket.recv_from(&mut buffer).expect("a request");
                socket.send_to_addr(reply, &peer).expect("a reply that leaves");
                buffer.truncate(length);
                buffer
            });
            let (mut output, mut errors) = (Vec::new(), Vec::new());
            let status = run([path.into_os_string()], &mut &*request, &mut output, &mut errors);
            let errors = String::from_utf8(errors).expect("text");
            (status, output, errors, seen.join().expect("the server's end"))
        })
    }

    fn failure(path: &Path, request: &[u8]) -> Error {
        let mut output = Vec::new();
        let error = perform([path.into()], &mut &*request, &mut output, SHORT).expect_err("no reply");
        assert_eq!((output, error.exit_status()), (vec![], EXIT_FAILURE));
        error
    }

    #[test]
    fn request_and_reply_pass_as_bytes() {
        let request = [b"\0:x\xff".as_slice(), &[7; MAX_REQUEST_BYTES - 4]].concat();
        let reply = [b"200 \0\xfe%s".as_slice(), &[9; MAX_REPLY_BYTES - 8]].concat();
        let (status, output, errors, seen) = answered(&request, &reply);
        assert_eq!((status, errors.as_str()), (0, ""));
        assert!(output == reply && seen == request);
    }

    #[test]
    fn a_longer_reply_is_cut_and_says_so() {
        let (status, output, errors, _) = answered(b":ps:\n", &[9; MAX_REPLY_BYTES + 1]);
        assert_eq!((status, output.len()), (EXIT_FAILURE, MAX_REPLY_BYTES));
        assert!(errors.contains("longer than 65536 bytes"), "{errors}");
    }

    #[test]
    fn silence_and_a_full_queue_end_in_time() {
        let (_folder, path, _socket) = server();
        let silent = failure(&path, b":ps:\n").to_string();
        assert!(silent.contains("no reply within 0.03 s"), "{silent}");

        let flood = UnixDatagram::unbound().expect("a socket");
        flood.set_nonblocking(true).expect("a socket that does not block");
        let full =
            (0..100_000).find_map(|_| flood.send_to(b":ps:\n", &path).err()).expect("an end of the queue");
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let message = failure(&path, b":ps:\n").to_string();
        assert!(message.contains("the queue stayed full for 0.03 s"), "{message}");
    }

    #[test]
    fn unusable_requests_and_sockets_are_refused() {
        let (folder, path, socket) = server();
        let stream = folder.path().join("stream");
        let _listener = UnixListener::bind(&stream).expect("a stream socket");
        assert!(matches!(failure(&path, b""), Error::EmptyRequest));
        assert!(matches!(failure(&path, &[7; MAX_REQUEST_BYTES + 1]), Error::RequestTooLong));
        assert!(matches!(failure(Path::new(&"x".repeat(108)), b":"), Error::PathTooLong { length: 108, .. }));
        let message = |path: &Path| failure(path, b":ps:\n").to_string();
        assert!(message(&folder.path().join("none")).ends_with("mi_datagram's socket_name names"));
        assert!(message(&stream).contains("not a datagram socket"));
        drop(socket);
        assert!(message(&path).ends_with("(os error 111); nobody reads from there; start the server"));
    }

    #[test]
    fn arguments_are_one_socket_or_a_question() {
        let parsed = |words: &[&str]| parse(words.iter().map(OsString::from));
        assert_eq!(parsed(&["a"]).expect("a socket"), Action::Exchange("a".into()));
        assert_eq!(parsed(&["--", "-a"]).expect("a socket"), Action::Exchange("-a".into()));
        assert_eq!(parsed(&["-h"]).expect("help"), Action::Help);
        assert_eq!(parsed(&["-V"]).expect("version"), Action::Version);
        for wrong in [&[][..], &[""], &["-x"], &["a", "b"]] {
            assert_eq!(parsed(wrong).expect_err("wrong").exit_status(), EXIT_USAGE, "{wrong:?}");
        }
    }
}
