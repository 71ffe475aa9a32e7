//! Clients that harm themselves alone: a FIFO reader that stops in the middle of a long reply, one that never comes, and
//! datagram clients whose queues are full, all at once, while many others go on.
//! C: `mi_fifo_server` in fifo_fnc.c and `mi_send_dgram`. Differs: there each of them stops the process that serves it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Client, DEADLINE, FifoClient, HELP, HELP_REPLY, Kind, Server, Setup, assert_same, make_fifo, shown,
    wait_for, write_to,
};

const WORKERS: usize = 2;

/// Clients that go on, of each of the four kinds.
const EACH: usize = 5;

/// Time between two requests of one of them.
const PACE: Duration = Duration::from_millis(5);

/// For how long they are timed: shorter than the server's patience with the others, which is two seconds.
const TIMED: Duration = Duration::from_secs(1);

/// How much slower they may be, whatever the factor of two gives.
const ALLOWANCE: Duration = Duration::from_millis(5);

/// How often it is tried: on a machine that is busy with other things one good round tells more than a bad one.
const TRIES: usize = 4;

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

    /// Asks until it is told to stop. The time of each reply.
    fn go_on(&mut self, wanted: &[u8], stop: &AtomicBool) -> Vec<Duration> {
        let mut times = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            let reply = self.ask();
            times.push(start.elapsed());
            assert!(reply == wanted, "{:?} got\n{}", self.way, shown(&reply));
            std::thread::sleep(PACE);
        }
        times
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

/// The time that 99 of 100 requests of the good clients do not exceed, while `meanwhile` runs beside them now and then.
fn p99(clients: &mut [Good<'_>], wanted: &[Vec<u8>], mut meanwhile: impl FnMut()) -> Duration {
    let stop = AtomicBool::new(false);
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let (wanted, stop) = (&wanted[client.way as usize], &stop);
                scope.spawn(move || client.go_on(wanted, stop))
            })
            .collect();
        let start = Instant::now();
        while start.elapsed() < TIMED {
            meanwhile();
            std::thread::sleep(2 * PACE);
        }
        stop.store(true, Ordering::Relaxed);
        running.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    times.sort();
    assert!(times.len() > clients.len() * 10, "only {} requests in {TIMED:?}", times.len());
    times[times.len() * 99 / 100]
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
    let length = reader.receive().len();
    assert!(length >= LONG_BYTES, "the dump has {length} bytes");
    length
}

/// Clients that have asked and do not take their replies.
struct Bad<'a> {
    server: &'a Server,
    stopped: FifoClient,
    /// How much of its reply it has read, in bytes.
    read: usize,
    since: Instant,
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
        Bad { server, stopped, read, since: Instant::now(), deaf, absent: 1 }
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

    /// Whether the stopped reader's reply and the absent one's wait still, so that they did all the time before.
    fn have_lasted(&self, timeouts: u64) -> bool {
        // Two seconds after their last move they are given up.
        self.since.elapsed() < TIMED * 2 && statistic(self.server, "fifo_timeouts") == timeouts
    }
}

fn statistic(server: &Server, name: &str) -> u64 {
    let reply = server.ask(format!(":get_statistics:\n{name}\n").as_bytes());
    let text = String::from_utf8(reply).unwrap();
    text.trim_end().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{text}"))
}

/// Fails with what was wrong with this round.
fn try_once(server: &Server, round: usize, wanted: &[Vec<u8>], length: usize) -> Result<(), String> {
    let mut clients: Vec<Good<'_>> = (0..EACH)
        .flat_map(|number| WAYS.map(|way| good(server, way, &format!("good{round}_{number}"))))
        .collect();
    let undisturbed = p99(&mut clients, wanted, || ());
    let parked = ["fifo_parked_replies", "datagram_parked_replies"];
    let before = parked.map(|name| statistic(server, name));
    let timeouts = statistic(server, "fifo_timeouts");
    let mut bad = Bad::new(server, round);
    let beside = p99(&mut clients, wanted, || bad.go_on());
    if !bad.have_lasted(timeouts) {
        return Err("the bad clients were given up before the end: too slow a machine".to_owned());
    }
    let after = parked.map(|name| statistic(server, name));
    assert!(after[0] >= before[0] + 2 && after[1] >= before[1] + 2, "parked: {before:?}, then {after:?}");
    let limit = (undisturbed * 2).max(undisturbed + ALLOWANCE);
    if beside > limit {
        return Err(format!("p99 is {beside:?}, and undisturbed {undisturbed:?}"));
    }
    // Who comes back in time has lost nothing.
    let rest = bad.stopped.receive();
    assert!(rest.ends_with(b"\n\n") && rest.len() + bad.read == length, "{} of {length} bytes", rest.len());
    Ok(())
}

#[test]
fn clients_that_stop_delay_nobody_else() {
    let server = Setup::unix().fifo().module("usrloc").workers(WORKERS).start();
    server.wait_for_workers(WORKERS);
    let length = fill(&server);
    let wanted = WAYS.map(|way| wanted(&server, way));
    let mut wrong = Vec::new();
    while let Err(what) = try_once(&server, wrong.len(), &wanted, length) {
        wrong.push(what);
        assert!(wrong.len() < TRIES, "{wrong:#?}");
    }
    server.stop_clean(&[]);
}
