//! Servers that are not well: they say too much, too little, too slowly, or no. Most are of the test's own and need no
//! redis-server.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::daemon::Redis;
use super::{FETCH_FAILED, OK, STORE_FAILED, fetch, remove, setup, store, timed_fetch};
use crate::support::{DEADLINE, Server, Signal, assert_same, send, wait_for, within};

/// What is sent for a command, piece by piece, with this pause behind each.
type Pieces = (Vec<&'static [u8]>, Duration);

/// A server that takes one connection after the other and answers each command as a function says.
struct Faulty {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Pieces sent so far.
    sent: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Faulty {
    /// `answer` gets the number of the connection, from 1, and the command as it was sent.
    fn start(answer: impl Fn(usize, &[u8]) -> Pieces + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free TCP port");
        let address = listener.local_addr().expect("the address just bound");
        let (connections, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let sent = Arc::new(AtomicUsize::new(0));
        let (count, pieces, is_over) = (Arc::clone(&connections), Arc::clone(&sent), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                let number = 1 + count.fetch_add(1, Ordering::AcqRel);
                serve(stream, &pieces, |command| answer(number, command));
            }
        });
        Self { address, connections, sent, ended, thread: Some(thread) }
    }

    /// The same answer to everything.
    fn saying(answer: &'static [u8]) -> Self {
        Self::start(move |_, _| (vec![answer], Duration::ZERO))
    }

    /// An opensips-mi that has it as `redis:g`.
    #[track_caller]
    fn server(&self, params: &[(&str, &str)]) -> Server {
        setup(&[&format!("redis:g://{}/", self.address)], params).start()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

/// Answers until the other side closes. A command is small enough to come in one piece.
fn serve(mut stream: TcpStream, sent: &AtomicUsize, answer: impl Fn(&[u8]) -> Pieces) {
    let mut command = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut command) {
        let (pieces, pause) = answer(&command[..length]);
        for piece in pieces {
            if stream.write_all(piece).is_err() {
                return;
            }
            sent.fetch_add(1, Ordering::AcqRel);
            std::thread::sleep(pause);
        }
    }
}

/// The server under test must be gone before, or the thread still serves it.
impl Drop for Faulty {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            assert!(std::thread::panicking(), "the faulty server has panicked");
        }
    }
}

/// SIGUSR2 comes with each `get_statistics all`.
#[test]
fn a_signal_leaves_a_query_alone() {
    let Some(redis) = Redis::start("a_signal_leaves_a_query_alone") else { return };
    let url = format!("redis:g://{}/", redis.address());
    let server = setup(&[&url], &[("query_timeout", "8000")]).workers(1).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    let connection = || redis.ask(&["CLIENT LIST"]).lines().next().map(str::to_owned).unwrap_or_default();
    let id = connection().split_once(" addr").expect("CLIENT LIST").0.to_owned();
    let worker = server.workers()[0].pid;
    redis.signal(Signal::SIGSTOP);
    let client = server.client();
    client.send(b":cache_fetch:\nredis:g\nk\n").unwrap();
    wait_for("a request that redis-server does not read", || redis.has_unread().then_some(()));
    let signals = [Signal::SIGUSR2, Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGSTOP, Signal::SIGCONT];
    let over = within(Duration::from_millis(200), || {
        signals.iter().for_each(|&signal| send(worker, signal));
        None::<()>
    });
    assert!(over.is_none());
    redis.signal(Signal::SIGCONT);
    assert_same("fetch", b"200 OK\nk = [v]\n", &client.receive(DEADLINE).unwrap());
    assert_eq!(server.stderr(), "");
    let now = redis.ask(&["CLIENT LIST"]);
    assert!(now.contains(&format!("{id} ")), "the connection {id} is gone: {now}");
}

/// The limit is that of the whole answer, not of each byte.
#[test]
fn a_reply_in_drops_costs_the_limit_and_not_more() {
    const LIMIT: Duration = Duration::from_millis(400);
    let faulty = Faulty::start(|_, _| {
        let drops = std::iter::once(&b"$60\r\n"[..]).chain(std::iter::repeat_n(&b"x"[..], 60));
        (drops.collect(), Duration::from_millis(50))
    });
    let limit = LIMIT.as_millis().to_string();
    let server = faulty.server(&[("query_timeout", &limit)]);
    let (reply, time) = timed_fetch(&server, "redis:g");
    assert_same("fetch", FETCH_FAILED, &reply);
    assert!((LIMIT..LIMIT * 3).contains(&time), "{time:?}");
    let (reply, time) = timed_fetch(&server, "redis:g");
    assert_same("fetch", FETCH_FAILED, &reply);
    assert!(time < LIMIT / 2, "in the pause: {time:?}");
    assert!(server.stderr().contains("no answer within 400 ms"), "{}", server.stderr());
}

#[test]
fn a_mute_server_takes_at_most_half_of_a_workers_time() {
    const LIMIT: Duration = Duration::from_millis(200);
    let faulty = Faulty::start(|_, _| (Vec::new(), Duration::ZERO));
    let limit = LIMIT.as_millis().to_string();
    let server = faulty.server(&[("query_timeout", &limit)]);
    let (start, mut waits) = (Instant::now(), Vec::new());
    // Ends with a wait and its pause, so that whole rounds are counted.
    while waits.len() < 6 {
        let (reply, time) = timed_fetch(&server, "redis:g");
        assert_same("fetch", FETCH_FAILED, &reply);
        if time > LIMIT / 2 {
            waits.push((start.elapsed(), time));
        }
    }
    let (first, last) = (waits[0].0, waits[5].0);
    let waited: Duration = waits[1..].iter().map(|(_, time)| *time).sum();
    assert!(waited <= (last - first).mul_f64(0.55), "waited {waited:?} of {:?}: {waits:?}", last - first);
}

#[test]
fn a_huge_value_is_not_read() {
    const SIZE: usize = 64 << 20;
    let Some(redis) = Redis::start("a_huge_value_is_not_read") else { return };
    let server = setup(&[&format!("redis:g://{}/", redis.address())], &[]).workers(1).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    assert_eq!(redis.ask(&[&format!("SETRANGE huge {} x", SIZE - 1)]), format!(":{SIZE}"));
    let worker = server.workers()[0].pid;
    let before = most_memory(worker);
    for _ in 0..5 {
        assert_same("huge", FETCH_FAILED, &fetch(&server, "redis:g", "huge"));
        assert_same("no pause", b"200 OK\nk = [v]\n", &fetch(&server, "redis:g", "k"));
    }
    let after = most_memory(worker);
    assert!(after - before < 8 << 10, "{before} kB before, {after} kB after");
    let log = server.stderr();
    assert!(log.contains(&format!("the value has {SIZE} bytes, the limit is 1048576")), "{log}");
    redis.wait_for_clients(1);
}

/// The most memory that a process ever had, in kB.
fn most_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_error_of_redis_is_one_short_line_of_the_log() {
    let faulty = Faulty::start(|_, _| {
        let long: &'static [u8] = &[b'x'; 3000];
        (vec![b"-ERR evil\nFAKE LINE\x1b[31m\xff ", long, b"\r\n"], Duration::ZERO)
    });
    let server = faulty.server(&[]);
    assert_same("fetch", FETCH_FAILED, &fetch(&server, "redis:g", "k"));
    let log = server.stderr();
    assert!(log.contains(r"refuses a command: ERR evil\nFAKE LINE\x1b[31m\xff xxx"), "{log}");
    assert!(log.lines().count() == 1 && log.len() < 400, "{log}");
}

#[test]
fn what_is_not_redis_is_an_error() {
    for answer in
        [&b"HTTP/1.1 400 Bad Request\n\x1b\r\n\r\n"[..], b"*1\r\n$1\r\nv\r\n", b"+OK\r\n", b":1\r\n"]
    {
        let faulty = Faulty::saying(answer);
        let server = faulty.server(&[]);
        assert_same("fetch", FETCH_FAILED, &fetch(&server, "redis:g", "k"));
        let log = server.stderr();
        assert!(log.contains("was lost: it") && !log.contains('\x1b'), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

/// An answer too many must not become the answer to the next command, whether it comes at once or later.
#[test]
fn an_extra_reply_is_nobodys() {
    for pause in [Duration::ZERO, Duration::from_millis(50)] {
        let faulty = Faulty::start(move |connection, _| match connection {
            1 => (vec![b"$5\r\nright\r\n", b"$5\r\nwrong\r\n"], pause),
            _ => (vec![b"$6\r\nright2\r\n"], Duration::ZERO),
        });
        let server = faulty.server(&[]);
        assert_same("first", b"200 OK\na = [right]\n", &fetch(&server, "redis:g", "a"));
        wait_for("both replies", || (faulty.sent.load(Ordering::Acquire) == 2).then_some(()));
        assert_same("second", b"200 OK\nb = [right2]\n", &fetch(&server, "redis:g", "b"));
        assert_same("third", b"200 OK\nc = [right2]\n", &fetch(&server, "redis:g", "c"));
        assert_eq!(faulty.connections(), 2);
        assert!(server.stderr().contains("sent more than was asked for"), "{}", server.stderr());
    }
}

/// After a failover the old master is a replica; only a new connection may find the new one.
#[test]
fn a_replica_is_left() {
    let Some(redis) = Redis::start("a_replica_is_left") else { return };
    let server = setup(&[&format!("redis:g://{}/", redis.address())], &[]).workers(1).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    redis.wait_for_clients(1);
    assert_eq!(redis.ask(&["REPLICAOF 127.0.0.1 1"]), "+OK");
    assert_same("read only", STORE_FAILED, &store(&server, "redis:g", "k", "new"));
    assert!(server.stderr().contains("refuses a command: READONLY"), "{}", server.stderr());
    redis.wait_for_clients(0);
    assert_eq!(redis.ask(&["REPLICAOF NO ONE"]), "+OK");
    assert_same("store", OK, &store(&server, "redis:g", "k", "new"));
    assert_same("remove", OK, &remove(&server, "redis:g", "k"));
    redis.wait_for_clients(1);
}

/// A server that repeats what it was sent, as Redis does with a command that it does not know.
#[test]
fn a_password_is_not_logged() {
    let faulty =
        Faulty::saying(b"-ERR unknown command `AUTH`, with args beginning with: `mi` `pa/ss@w` \r\n");
    let server = setup(&[&format!("redis:g://mi:pa/ss@w@{}/", faulty.address)], &[]).start();
    assert_same("fetch", FETCH_FAILED, &fetch(&server, "redis:g", "k"));
    let log = server.stderr();
    assert!(log.contains("cannot log in to") && log.contains("`***`") && !log.contains("pa/ss"), "{log}");
}

#[test]
fn a_configuration_error_shows_no_password() {
    for (url, words) in [
        ("redis:g://mi:hush/hush@h:x/", "port \"x\" is not in"),
        ("redis:g://hushhush@h/name", "database \"name\""),
    ] {
        let outcome = setup(&[url], &[]).check();
        outcome.assert_refused("a bad URL", &[words, "***@h", "cachedb_url"]);
        assert!(!outcome.stderr.contains("hush"), "{}", outcome.stderr);
    }
    let (urls, params) = (["redis:g://hushhush@h/"], [("cachedb_url", "redis:g://:hushhush@h/")]);
    for setup in [setup(&[], &params), setup(&[], &[("connect_timeout", "\"redis:g://:hushhush@h/\"")])] {
        let outcome = setup.check();
        outcome.assert_refused("not a string, not a number", &[]);
        assert!(!outcome.stderr.contains("hush"), "{}", outcome.stderr);
    }
    let server = setup(&urls, &[]).start();
    let log = server.stderr();
    assert!(log.contains("is not used; write redis:g://:PASSWORD@h:6379/"), "{log}");
    assert!(!log.contains("hush"), "{log}");
}
