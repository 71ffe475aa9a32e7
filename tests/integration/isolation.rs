//! Clients that harm themselves alone: a FIFO reader that stops in the middle of a long reply, one that never comes, and
//! datagram clients whose queues are full, all at once, while many others go on.
//! C: `mi_fifo_server` in fifo_fnc.c and `mi_send_dgram`. Differs: there each of them stops the process that serves it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::unread::statistic;
use crate::support::{
    Client, DEADLINE, FifoClient, HELP, HELP_REPLY, Kind, Server, Setup, StopOnDrop, assert_same, make_fifo,
    median, shown, wait_for, write_to,
};

const WORKERS: usize = 2;

/// Clients that go on, of each of the four kinds.
const EACH: usize = 5;

/// Time between two requests of one of them.
const PACE: Duration = Duration::from_millis(5);

/// For how long they are timed in one round: shorter than the server's patience with the others, which is two seconds.
const ROUND: Duration = Duration::from_millis(500);

/// Rounds that count.
const ROUNDS: usize = 3;

/// Rounds at most: one does not count in which the server has lost its patience, as on a machine that stood still.
const MOST_ROUNDS: usize = 30;

/// How much slower they may be, whatever the factor of two gives.
const ALLOWANCE: Duration = Duration::from_millis(5);

/// Length of the long reply, in bytes.
const LONG_BYTES: usize = 10_000_000;

/// Contacts that make it so long, with an address of [`ADDRESS_BYTES`].
const CONTACTS: usize = 20_000;
const ADDRESS_BYTES: usize = 400;

/// How much of it a client reads that then stops, in bytes.
const READ_BYTES: usize = 1_000_000;

/// Requests a datagram client sends ahead that never reads: more replies than its queue holds.
const AHEAD: usize = 200;

/// Where a client's requests go, and in what language.
#[derive(Clone, Copy, Debug)]
enum Way {
    FifoText,
    FifoJson,
    DatagramText,
    DatagramJson,
}

const WAYS: [Way; 4] = [Way::FifoText, Way::FifoJson, Way::DatagramText, Way::DatagramJson];

const JSON: &str = r#"{"jsonrpc":"2.0","id":7,"method":"help","params":{"mi_cmd":"ps"}}"#;

/// A client that goes on.
struct Good<'a> {
    server: &'a Server,
    way: Way,
    fifo: FifoClient,
    datagram: Client,
}

impl Good<'_> {
    fn ask(&mut self) -> Vec<u8> {
        let folder = self.server.setup.folder.path();
        match self.way {
            Way::FifoText => self.fifo.ask(folder, ":help:{R}\nps\n\n"),
            Way::FifoJson => self.fifo.ask(folder, &format!(":{{R}}:{JSON}")),
            Way::DatagramText => self.datagram.ask(HELP),
            Way::DatagramJson => self.datagram.ask(JSON.as_bytes()),
        }
    }

    /// The time of one reply.
    fn time(&mut self, wanted: &[u8]) -> Duration {
        let start = Instant::now();
        let reply = self.ask();
        let time = start.elapsed();
        assert!(reply == wanted, "{:?} got\n{}", self.way, shown(&reply));
        time
    }
}

/// The reply that each way has to give, checked by its status.
fn wanted(server: &Server, way: Way) -> Vec<u8> {
    let mut client = good(server, way, "first");
    let reply = client.ask();
    match way {
        Way::FifoText => assert_same("a FIFO's reply", &[HELP_REPLY, b"\n"].concat(), &reply),
        Way::DatagramText => assert_same("a datagram's reply", HELP_REPLY, &reply),
        Way::FifoJson | Way::DatagramJson => {
            assert!(reply.starts_with(br#"{"jsonrpc":"2.0","result":"#), "{}", shown(&reply));
        }
    }
    reply
}

fn good<'a>(server: &'a Server, way: Way, name: &str) -> Good<'a> {
    let fifo = server.fifo_client(&format!("{name}_{way:?}"));
    Good { server, way, fifo, datagram: server.client() }
}

/// A client of each of two servers that go on: the first is left alone, the second is not.
type Pair<'a> = [Good<'a>; 2];

/// The times of requests to both servers, which take turns, so that whatever else the machine does makes both slower.
/// `meanwhile` runs beside them now and then.
fn time_both(pairs: &mut [Pair<'_>], wanted: &[Vec<u8>], mut meanwhile: impl FnMut()) -> [Vec<Duration>; 2] {
    let stop = AtomicBool::new(false);
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = pairs
            .iter_mut()
            .map(|pair| {
                let (wanted, stop) = (&wanted[pair[0].way as usize], &stop);
                scope.spawn(move || {
                    let mut times = [Vec::new(), Vec::new()];
                    while !stop.load(Ordering::Relaxed) {
                        for (client, times) in pair.iter_mut().zip(&mut times) {
                            times.push(client.time(wanted));
                        }
                        std::thread::sleep(PACE);
                    }
                    times
                })
            })
            .collect();
        let stopping = StopOnDrop(&stop);
        let start = Instant::now();
        while start.elapsed() < ROUND {
            meanwhile();
            std::thread::sleep(2 * PACE);
        }
        drop(stopping);
        running.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let mut sum = [Vec::new(), Vec::new()];
    for times in all {
        sum.iter_mut().zip(times).for_each(|(sum, times)| sum.extend(times));
    }
    sum
}

/// The rest of a long reply, however long it takes as long as it goes on.
fn read_to_end(client: &FifoClient) -> Vec<u8> {
    let mut rest = Vec::new();
    loop {
        let piece = client.read_some(DEADLINE);
        if piece.is_empty() {
            return rest;
        }
        rest.extend(piece);
    }
}

/// Fills the user location until its dump is long. Returns the length of the dump over the FIFO.
fn fill(server: &Server) -> usize {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let (client, next) = (server.client(), &next);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= CONTACTS {
                        return;
                    }
                    let address = format!("sip:{number:0>ADDRESS_BYTES$}@192.0.2.1");
                    let add = format!(":ul_add:\nlocation\nuser{number}\n{address}\n0\n1\n0\n0\n0\n0\n");
                    assert_same("ul_add", b"200 OK\n", &client.ask(add.as_bytes()));
                }
            });
        }
    });
    let reader = server.fifo_client("whole");
    reader.send(":ul_dump:{R}\n\n");
    let length = read_to_end(&reader).len();
    assert!(length >= LONG_BYTES, "the dump has {length} bytes");
    length
}

/// Clients that have asked and do not take their replies.
struct Bad<'a> {
    server: &'a Server,
    stopped: FifoClient,
    /// How much of its reply it has read, in bytes.
    read: usize,
    deaf: Vec<Client>,
    absent: u32,
}

impl<'a> Bad<'a> {
    fn new(server: &'a Server, round: usize) -> Bad<'a> {
        let deaf: Vec<Client> = (0..WORKERS).map(|_| server.client_of(Kind::Bound)).collect();
        for client in &deaf {
            client.never_wait();
            for _ in 0..AHEAD {
                wait_for("room in the queue of the server", || client.send(HELP).ok());
            }
        }
        let stopped = server.fifo_client(&format!("stopped{round}"));
        stopped.send(":ul_dump:{R}\n\n");
        let mut read = 0;
        while read < READ_BYTES {
            let piece = stopped.read_some(DEADLINE);
            assert!(!piece.is_empty(), "the dump has ended after {read} bytes");
            read += piece.len();
        }
        make_fifo(&server.setup.folder.path().join(format!("absent{round}")));
        write_to(&server.setup.fifo_path(), format!(":help:absent{round}\nps\n\n").as_bytes());
        Bad { server, stopped, read, deaf, absent: 1 }
    }

    /// Asks again, to be in the way all the time.
    fn go_on(&mut self) {
        for client in &self.deaf {
            // A full queue of the server shows as an error here, as these clients do not wait.
            let _ = client.send(HELP);
        }
        self.absent += 1;
        // No such FIFO: the request is refused, which has to delay nobody either.
        write_to(&self.server.setup.fifo_path(), format!(":help:nobody{}\nps\n\n", self.absent).as_bytes());
    }
}

/// One round. `None` when the server has given a bad client up before its end, so that it shows nothing.
fn round(
    server: &Server,
    number: usize,
    pairs: &mut [Pair<'_>],
    wanted: &[Vec<u8>],
    length: usize,
) -> Option<[Vec<Duration>; 2]> {
    let parked = ["fifo_parked_replies", "datagram_parked_replies"];
    let before = parked.map(|name| statistic(server, name));
    let timeouts = statistic(server, "fifo_timeouts");
    let mut bad = Bad::new(server, number);
    let times = time_both(pairs, wanted, || bad.go_on());
    let have_lasted = || statistic(server, "fifo_timeouts") == timeouts;
    if !have_lasted() {
        return None;
    }
    let after = parked.map(|name| statistic(server, name));
    assert!(after[0] >= before[0] + 2 && after[1] >= before[1] + 2, "parked: {before:?}, then {after:?}");
    // Who comes back in time has lost nothing.
    let rest = read_to_end(&bad.stopped);
    let is_whole = rest.ends_with(b"\n\n") && rest.len() + bad.read == length;
    assert!(is_whole || !have_lasted(), "{} of {length} bytes", rest.len());
    Some(times)
}

#[test]
fn clients_that_stop_delay_nobody_else() {
    let [quiet, hindered] = [(), ()].map(|()| {
        let server = Setup::unix().fifo().module("usrloc").workers(WORKERS).start();
        server.wait_for_workers(WORKERS);
        server
    });
    let length = fill(&hindered);
    let wanted = WAYS.map(|way| wanted(&hindered, way));
    let both = [&quiet, &hindered];
    let mut pairs: Vec<Pair<'_>> = (0..EACH)
        .flat_map(|number| WAYS.map(|way| both.map(|server| good(server, way, &format!("good{number}")))))
        .collect();
    let mut times = [Vec::new(), Vec::new()];
    let mut counted = 0;
    for number in 0..MOST_ROUNDS {
        if let Some(more) = round(&hindered, number, &mut pairs, &wanted, length) {
            times.iter_mut().zip(more).for_each(|(times, more)| times.extend(more));
            counted += 1;
        }
        if counted == ROUNDS {
            break;
        }
    }
    assert_eq!(counted, ROUNDS, "in other rounds the server gave bad clients up before the end");
    let count = times[1].len();
    let [without, with] = times.map(median);
    assert!(
        with <= (without * 2).max(without + ALLOWANCE),
        "{with:?} beside clients that stop, {without:?} without, {count} requests each"
    );
    drop(pairs);
    for server in [quiet, hindered] {
        server.stop_clean(&[]);
    }
}
