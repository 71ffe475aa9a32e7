//! The mixed load of the soak run, as one client sends it: good and broken requests, connected sockets, senders
//! without an address, clients that have gone. Owns the mix; the memory is watched by `soak`.

use std::fs;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A reply that takes longer is missing.
const REPLY_TIME: Duration = Duration::from_secs(5);
/// Room for any reply on a datagram, in bytes.
const REPLY_ROOM: usize = 1 << 17;
/// Every how many requests one goes over a connected socket.
const CONNECTED_EVERY: u64 = 10;
/// Every how many requests one comes from a sender without an address, which nobody can answer.
const NAMELESS_EVERY: u64 = 50;
/// Every how many requests one comes from a client that has gone before the answer.
const GONE_EVERY: u64 = 1_000;
/// Every how many requests one is as long as a datagram may be, and the next longer.
const LONG_EVERY: u64 = 1_000;
/// Largest request that mi_datagram takes, in bytes.
const MAX_DATAGRAM_BYTES: usize = 65_457;

/// The requests that take turns; each is answered with a code of three digits. None changes the server.
const MIX: &[&[u8]] = &[
    b":version:\n",
    b":ps:\n",
    b":get_statistics:\ncore:\n",
    b":which:\n",
    b":nope:\n",
    b":uptime:\n",
    b":get_statistics:\nall\n",
    b"x",
    b":get_statistics:\nrcv_requests\nno_such_statistic\nfwd_requests\n",
    b":pwd:\n",
    b":get_statistics:\n\"no end\n",
    b":version:\nignored\nas\nwell\n",
    b":ver\0sion:\n",
    b":get_statistics:\nno_such_group:\n",
    b":debug:\n",
    b":get_statistics:\n",
    b":debug:\nnot a number\n",
    b"::\n",
    b":arg:\n",
];

/// Sends `requests` requests to `server` and awaits each answer that can come.
///
/// # Errors
/// A socket call fails, an answer does not come in time, or one does not begin with a code of three digits.
pub(crate) fn send(
    own: &UnixDatagram,
    address: &Path,
    server: &Path,
    requests: u64,
    connected: bool,
) -> io::Result<()> {
    let target = SocketAddr::from_pathname(server)?;
    let nameless = UnixDatagram::unbound()?;
    let fixed = Connected::open(address, server)?;
    own.set_read_timeout(Some(REPLY_TIME))?;
    let long = [long_request(MAX_DATAGRAM_BYTES), long_request(MAX_DATAGRAM_BYTES + 1)];
    let mut reply = vec![0; REPLY_ROOM];
    for (number, request) in (0..requests).zip(MIX.iter().cycle()) {
        if number % GONE_EVERY == 1 {
            send_and_go(address, &target, request)?;
            continue;
        }
        if number % NAMELESS_EVERY == 3 {
            nameless.send_to_addr(request, &target)?;
            continue;
        }
        if connected && number % CONNECTED_EVERY == 5 {
            fixed.socket.send(request)?;
            expect_code(fixed.socket.recv(&mut reply), &reply, request, "over a connected socket")?;
            continue;
        }
        let request = match number % LONG_EVERY {
            7 => long[0].as_slice(),
            8 => long[1].as_slice(),
            _ => request,
        };
        own.send_to_addr(request, &target)?;
        expect_code(own.recv(&mut reply), &reply, request, "over an unconnected socket")?;
    }
    own.set_read_timeout(None)
}

/// A socket bound beside `address` and connected to the server; its file goes with it.
struct Connected {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Connected {
    fn open(address: &Path, server: &Path) -> io::Result<Connected> {
        let path = address.with_extension("connected");
        let socket = UnixDatagram::bind(&path)?;
        let connected = Connected { socket, path };
        connected.socket.connect(server)?;
        connected.socket.set_read_timeout(Some(REPLY_TIME))?;
        Ok(connected)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // What is left goes with the directory.
        let _ = fs::remove_file(&self.path);
    }
}

/// A client that sends and goes without reading.
fn send_and_go(address: &Path, server: &SocketAddr, request: &[u8]) -> io::Result<()> {
    let path = address.with_extension("gone");
    let socket = UnixDatagram::bind(&path)?;
    let sent = socket.send_to_addr(request, server);
    drop(socket);
    fs::remove_file(&path)?;
    sent.map(drop)
}

/// `get_statistics` with one name, `bytes` long altogether.
fn long_request(bytes: usize) -> Vec<u8> {
    let mut request = b":get_statistics:\n".to_vec();
    request.resize(bytes - 1, b'x');
    request.push(b'\n');
    request
}

fn expect_code(received: io::Result<usize>, reply: &[u8], request: &[u8], way: &str) -> io::Result<()> {
    let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
    let size = received.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::other(format!("no reply to {shown:?} {way} in {REPLY_TIME:?}"))
        }
        _ => io::Error::other(format!("no reply to {shown:?} {way}: {error}")),
    })?;
    match &reply[..size] {
        [first, second, third, b' ', ..]
            if [first, second, third].iter().all(|byte| byte.is_ascii_digit()) =>
        {
            Ok(())
        }
        other => {
            let text = String::from_utf8_lossy(&other[..other.len().min(100)]);
            Err(io::Error::other(format!("reply to {shown:?} {way} has no code: {text:?}")))
        }
    }
}
