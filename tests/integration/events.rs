//! Events reach those who have subscribed, as OpenSIPS writes them, and nobody else is held up. C: evi/, event_datagram.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Client, DEADLINE, Folder, Server, Setup, Signal, assert_same, has_ipv6, is_alive, send, wait_for,
};

/// Somebody who subscribes: a socket, and how a subscription names it.
pub(crate) struct Subscriber {
    socket: Socket,
    name: String,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Subscriber {
    pub(crate) fn unix(folder: &Folder, name: &str) -> Self {
        let path = folder.join(name);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self { socket: Socket::Unix(socket), name: format!("unix:{}", path.display()) }
    }

    /// On `host`, which a subscription calls `called`.
    fn udp(host: &str, called: &str) -> Self {
        let socket = UdpSocket::bind((host, 0)).expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        Self { socket: Socket::Udp(socket), name: format!("udp:{called}:{port}") }
    }

    /// As a subscription calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next event; `None` when there is none in time.
    fn next(&self, limit: Duration) -> Option<String> {
        let mut buffer = vec![0; 65_536];
        let limit = Some(limit);
        let receive = |buffer: &mut [u8]| match &self.socket {
            Socket::Unix(socket) => socket.set_read_timeout(limit).and_then(|()| socket.recv(buffer)),
            Socket::Udp(socket) => socket.set_read_timeout(limit).and_then(|()| socket.recv(buffer)),
        };
        let received = loop {
            match receive(&mut buffer) {
                // Whoever stops this process and lets it go on ends the call, too.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        match received {
            Ok(length) => Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("receive: {error}"),
        }
    }

    #[track_caller]
    pub(crate) fn event(&self) -> String {
        self.next(DEADLINE).unwrap_or_else(|| panic!("no event at {}", self.name))
    }

    /// Whether an event lies here. One that is raised by a request has left before its reply.
    fn has_event(&self) -> bool {
        self.next(Duration::from_millis(1)).is_some()
    }

    #[track_caller]
    pub(crate) fn subscribe(&self, client: &Client, event: &str, seconds: u32) {
        // In quotes, as the colons of an IPv6 address would end a parameter's name.
        let request = format!(":event_subscribe:\n{event}\n\"{}\"\n{seconds}\n", self.name);
        assert_same(&request, b"200 OK\n", &client.ask(request.as_bytes()));
    }
}

fn setup() -> Setup {
    Setup::unix().module("cachedb_local").module("event_datagram")
}

/// A server on which each storing of [`SLOW`] raises an event.
fn slow_cache() -> Setup {
    setup().param_of("cachedb_local", "exec_threshold", "1")
}

/// Stores a value so large that it takes more than a microsecond.
#[track_caller]
fn store_slowly(client: &Client, key: &str) {
    let request = format!(":cache_store:\nlocal\n{key}\n{}\n", "x".repeat(60_000));
    assert_same("cache_store", b"200 OK\n", &client.ask(request.as_bytes()));
}

/// What such a storing tells.
#[track_caller]
fn assert_slow(event: &str, key: &str) {
    let time = event
        .strip_prefix("E_CORE_THRESHOLD\nsource::cachedb_local insert\ntime::")
        .and_then(|rest| rest.strip_suffix(&format!("\nextra::{key}\n\n")))
        .and_then(|time| time.parse::<u64>().ok());
    assert!(time.is_some_and(|micros| micros > 1), "{event:?}");
}

fn subscribers(client: &Client) -> String {
    String::from_utf8_lossy(&client.ask(b":subscribers_list:\n")).into_owned()
}

/// The value of a statistic.
#[track_caller]
fn statistic(client: &Client, name: &str) -> u64 {
    let reply = client.ask(format!(":get_statistics:\n{name}\n").as_bytes());
    let text = String::from_utf8_lossy(&reply);
    let value = text.trim_end().rsplit(' ').next().and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{name}: {text}"))
}

#[test]
fn event_rows_of_1_11() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1.11-events.jsonl");
    let text = std::fs::read_to_string(&path).expect("the recording");
    let server = setup().module("usrloc").start();
    let (client, folder) = (server.client(), Folder::new());
    let (unix, udp) = (Subscriber::unix(&folder, "ev.sock"), Subscriber::udp("127.0.0.1", "127.0.0.1"));
    let (mut replies, mut events) = (0, 0);
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let what = format!("{} step {}", row["case"], row["step"]);
        let request = row["request"].as_str().expect("request");
        let reply = row["reply"].as_str();
        if row["transport"] == "datagram" {
            let request = request
                .replace("unix:/run/opensips/ev.sock", &unix.name)
                .replace("udp:127.0.0.1:28999", &udp.name);
            assert_same(&what, reply.expect("reply").as_bytes(), &client.ask(request.as_bytes()));
            replies += 1;
            continue;
        }
        events += 1;
        let found = [&unix, &udp].into_iter().find_map(|one| one.next(Duration::from_millis(1)));
        assert_eq!(found.as_deref(), reply, "{what}");
        assert!(!unix.has_event() && !udp.has_event(), "{what}: one more event");
    }
    assert_eq!((replies, events), (7, 4), "rows of the recording");
    server.stop_clean(&[]);
}

#[test]
fn a_slow_query_is_told_over_every_transport() {
    let server = slow_cache().start();
    let (client, folder) = (server.client(), Folder::new());
    let mut all = vec![
        Subscriber::unix(&folder, "a b.sock"),
        Subscriber::udp("127.0.0.1", "127.0.0.1"),
        Subscriber::udp("127.0.0.1", "localhost"),
    ];
    if has_ipv6() {
        all.push(Subscriber::udp("::1", "[::1]"));
    }
    let nobody = Subscriber::unix(&folder, "nobody.sock");
    for one in &all {
        one.subscribe(&client, "E_CORE_THRESHOLD", 60);
    }
    nobody.subscribe(&client, "E_CORE_PKG_THRESHOLD", 60);
    let listed = subscribers(&client);
    for one in &all {
        assert!(listed.contains(&format!("socket={} expire=60\n", one.name)), "{} in {listed}", one.name);
    }
    store_slowly(&client, "key");
    for one in &all {
        assert_slow(&one.event(), "key");
        assert!(!one.has_event(), "{}: one more event", one.name);
    }
    assert!(!nobody.has_event(), "an event nobody subscribed to");
    server.stop_clean(&[]);
}

#[test]
fn a_subscription_ends_with_its_time_or_when_it_is_given_up() {
    let server = slow_cache().start();
    let (client, folder) = (server.client(), Folder::new());
    let one = Subscriber::unix(&folder, "one.sock");
    let start = Instant::now();
    one.subscribe(&client, "E_CORE_THRESHOLD", 1);
    assert!(subscribers(&client).contains("expire=1\n"));
    wait_for("an empty list", || (subscribers(&client) == "200 OK\n").then_some(()));
    assert!(start.elapsed() < Duration::from_millis(2500), "gone only after {:?}", start.elapsed());
    store_slowly(&client, "late");
    assert!(!one.has_event(), "an event after the end");

    one.subscribe(&client, "E_CORE_THRESHOLD", 60);
    store_slowly(&client, "again");
    assert_slow(&one.event(), "again");
    one.subscribe(&client, "E_CORE_THRESHOLD", 0);
    store_slowly(&client, "given up");
    assert!(!one.has_event(), "an event after the subscription was given up");
    server.stop_clean(&[]);
}

#[test]
fn a_subscription_outlives_the_worker_that_took_it() {
    let server = slow_cache().start();
    let folder = Folder::new();
    let one = Subscriber::unix(&folder, "one.sock");
    one.subscribe(&server.client(), "E_CORE_THRESHOLD", 60);
    let worker = server.workers()[0].pid;
    send(worker, Signal::SIGKILL);
    wait_for("another worker", || server.workers().iter().all(|it| it.pid != worker).then_some(()));
    store_slowly(&server.client(), "key");
    assert_slow(&one.event(), "key");
    server.stop_clean(&[]);
}

/// Stores a contact that lasts for so many seconds.
#[track_caller]
fn add_contact(client: &Client, aor: &str, seconds: u32) {
    let request = format!(":ul_add:\nlocation\n{aor}\nsip:{aor}@192.0.2.1\n{seconds}\n1\n0\n0\n0\n0\n");
    assert_same(aor, b"200 OK\n", &client.ask(request.as_bytes()));
}

/// More events at once than a socket's queue takes.
#[test]
fn a_burst_reaches_one_who_reads() {
    const BURST: usize = 100;
    let server = setup().module("usrloc").start();
    let (client, folder) = (server.client(), Folder::new());
    let one = Subscriber::unix(&folder, "one.sock");
    one.subscribe(&client, "E_UL_AOR_INSERT", 600);
    // Nobody reads while they are raised.
    (0..BURST).for_each(|number| add_contact(&client, &format!("a{number}"), 1));
    for number in 0..BURST {
        assert_eq!(one.event(), format!("E_UL_AOR_INSERT\naor::a{number}\n\n"));
    }
    one.subscribe(&client, "E_UL_AOR_DELETE", 600);
    let mut gone: Vec<String> = std::thread::scope(|scope| {
        let read = scope.spawn(|| (0..BURST).map(|_| one.event()).collect());
        wait_for("an empty table", || {
            assert_same("ul_flush", b"200 OK\n", &client.ask(b":ul_flush:\n"));
            (statistic(&client, "location-contacts") == 0).then_some(())
        });
        read.join().expect("the reader")
    });
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), BURST);
    assert!(!one.has_event());
    assert_eq!(statistic(&client, "events_dropped"), 0);
    server.stop_clean(&[]);
}

/// A socket that nobody has subscribed needs no look-up to be ended, even when the event is crowded.
#[test]
fn ending_what_is_not_there_is_fine() {
    let server = setup().start();
    for socket in ["udp:127.0.0.1:9", "udp:no.such.host.invalid:9", "unix:/none"] {
        let request = format!(":event_subscribe:\nE_CORE_THRESHOLD\n{socket}\n0\n");
        assert_same(socket, b"200 OK\n", &server.ask(request.as_bytes()));
    }
    assert_eq!(subscribers(&server.client()), "200 OK\n");
    server.stop_clean(&[]);
}

/// One worker, so that one send that waits would hold up everything.
#[test]
fn a_hundred_subscribers_are_served_beside_those_who_never_read_or_are_gone() {
    const ROUNDS: usize = 60;
    let server = slow_cache().start();
    let (client, folder) = (server.client(), Folder::new());
    let readers: Vec<_> = (0..100).map(|number| Subscriber::unix(&folder, &format!("r{number}"))).collect();
    let silent: Vec<_> = (0..20).map(|number| Subscriber::unix(&folder, &format!("s{number}"))).collect();
    let gone = {
        let gone = Subscriber::unix(&folder, "gone");
        gone.subscribe(&client, "E_CORE_THRESHOLD", 600);
        folder.join("gone")
    };
    std::fs::remove_file(gone).expect("the socket of the one who is gone");
    for one in readers.iter().chain(&silent) {
        one.subscribe(&client, "E_CORE_THRESHOLD", 600);
    }
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let (key, start) = (format!("key {round}"), Instant::now());
        store_slowly(&client, &key);
        slowest = slowest.max(start.elapsed());
        readers.iter().for_each(|one| assert_slow(&one.event(), &key));
    }
    assert!(slowest < Duration::from_secs(1), "a request took {slowest:?}");
    let raised = (ROUNDS * (readers.len() + silent.len() + 1)) as u64;
    let dropped = wait_for("an end of what waits for room", || {
        let (sent, dropped) = (statistic(&client, "events_sent"), statistic(&client, "events_dropped"));
        (sent + dropped == raised).then_some(dropped)
    });
    assert!(dropped > ROUNDS as u64, "{dropped} dropped: the silent ones were never full");
    server.stop_clean(&[]);
}

#[test]
fn without_a_transport_nobody_can_subscribe() {
    let server = Setup::unix().start();
    for socket in ["udp:127.0.0.1:9999", "unix:/tmp/none.sock"] {
        let request = format!(":event_subscribe:\nE_CORE_THRESHOLD\n{socket}\n");
        assert_same(socket, b"400 Bad parameter\n", &server.ask(request.as_bytes()));
    }
    server.stop_clean(&[]);
}

#[test]
fn odd_sockets_are_refused_and_the_event_has_a_limit() {
    let server = setup().start();
    let client = server.client();
    let path = "x".repeat(108);
    for socket in ["udp:127.0.0.1", "udp:127.0.0.1:0", "udp:127.0.0.1:70000", "unix:", "udp"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("unix:{path}")])
    {
        let request = format!(":event_subscribe:\nE_CORE_THRESHOLD\n{socket}\n");
        assert_same(&socket, b"400 Bad parameter\n", &client.ask(request.as_bytes()));
    }
    wait_for("word of the name servers", || {
        let reply = client.ask(b":event_subscribe:\nE_CORE_THRESHOLD\nudp:no such host:1\n");
        (reply != b"500 host name not resolved in time, try again\n").then(|| {
            assert_same("an unknown host", b"400 Bad parameter\n", &reply);
        })
    });
    let ask =
        |number: u32| client.ask(format!(":event_subscribe:\nE_CORE_THRESHOLD\nunix:/{number}\n").as_bytes());
    for number in 0..1000 {
        assert_same("within the limit", b"200 OK\n", &ask(number));
    }
    assert_same("beyond it", b"500 too many subscribers, at most 1000 for an event\n", &ask(1000));
    assert_same("known already", b"200 OK\n", &ask(7));
    let end = client.ask(b":event_subscribe:\nE_CORE_THRESHOLD\nunix:/1000\n0\n");
    assert_same("the end of what is not there", b"200 OK\n", &end);
    server.stop_clean(&[]);
}

/// The figures of an event of shared memory: usage, threshold, used, size.
#[track_caller]
fn memory_event(event: &str) -> [u64; 4] {
    let rest = event.strip_prefix("E_CORE_SHM_THRESHOLD\n").and_then(|rest| rest.strip_suffix("\n\n"));
    let mut lines = rest.unwrap_or_else(|| panic!("{event:?}")).lines();
    let figures = ["usage", "threshold", "used", "size"].map(|name| {
        let value = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix("::")?.parse().ok());
        value.unwrap_or_else(|| panic!("{name}: {event:?}"))
    });
    assert_eq!(lines.next(), None, "{event:?}");
    figures
}

/// The process that looks at memory is killed between the way up and the way down.
#[test]
fn memory_above_its_threshold_is_told_and_below_again() {
    let server = setup().arg("-m").arg("8").global("event_shm_threshold=50").start();
    let (client, folder) = (server.client(), Folder::new());
    let one = Subscriber::unix(&folder, "one.sock");
    one.subscribe(&client, "E_CORE_SHM_THRESHOLD", 600);
    let mut count = 0;
    while statistic(&client, "real_used_size") * 100 / (8 << 20) < 70 {
        store_slowly(&client, &format!("key {count}"));
        count += 1;
        assert!(count < 200, "memory does not fill");
    }
    // The way up may be told in steps.
    let last = wait_for("an event at the last usage", || {
        let figures = memory_event(&one.next(DEADLINE)?);
        let [usage, threshold, used, size] = figures;
        assert!(usage >= 50 && threshold == 50 && size == 8 << 20, "{figures:?}");
        assert_eq!(usage, used * 100 / size, "{figures:?}");
        (usage == statistic(&client, "real_used_size") * 100 / size).then_some(usage)
    });
    assert!(last >= 70, "{last}");

    let keeper = time_keeper(&server);
    send(keeper, Signal::SIGKILL);
    wait_for("another time keeper", || {
        let now = time_keeper(&server);
        (now != keeper && is_alive(now)).then_some(())
    });
    assert_same("clear", b"200 OK\n", &client.ask(b":cache_remove_chunk:\n*\n"));
    let [usage, ..] = memory_event(&one.event());
    assert!(usage < 50, "told again what was told before: {usage}");
    server.stop_clean(&[]);
}

fn time_keeper(server: &Server) -> i32 {
    wait_for("a time keeper", || {
        server.ps().into_iter().find(|process| process.kind == "time_keeper").map(|process| process.pid)
    })
}

/// Who subscribes twice has one subscription; a socket that was made anew is served again.
#[test]
fn a_subscriber_that_comes_back_is_served_again() {
    let server = slow_cache().start();
    let (client, folder) = (server.client(), Folder::new());
    let first = Subscriber::unix(&folder, "one.sock");
    first.subscribe(&client, "E_CORE_THRESHOLD", 600);
    first.subscribe(&client, "E_CORE_THRESHOLD", 700);
    assert_eq!(subscribers(&client).matches("Subscriber").count(), 1);
    drop(first);
    store_slowly(&client, "nobody there");
    let path: PathBuf = folder.join("one.sock");
    std::fs::remove_file(path).expect("the old socket");
    let second = Subscriber::unix(&folder, "one.sock");
    store_slowly(&client, "back");
    assert_slow(&second.event(), "back");
    assert!(!second.has_event());
    server.stop_clean(&[]);
}
