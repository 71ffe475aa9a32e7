//! Replies that come later, under load, while whoever takes requests, answers them or looks at the time is killed: none
//! comes twice, and a kill loses at most the one that its process had in hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::c_modules::built;
use crate::later::statistic;
use crate::support::{Client, Server, Setup, Signal, children_of, send, wait_for};

/// For how long, unless `MI_KILL_SECONDS` says otherwise.
const SECONDS: u64 = 3;

/// Time between two kills.
const PACE: Duration = Duration::from_millis(25);

/// Clients that send datagrams.
const CLIENTS: usize = 4;

/// Requests of one client that are under way: its queue holds the replies to all of them, so that none is parked.
const UNDER_WAY: usize = 8;

/// After `mi_reply_timeout` and the seconds that it is late by, nothing comes any more.
const LOST: Duration = Duration::from_secs(5);

/// What became of the requests.
#[derive(Debug, Default)]
struct Tally {
    /// How many replies came to each.
    replies: HashMap<String, usize>,
    /// Of these, the ones that say that nobody has answered.
    late: usize,
}

impl Tally {
    /// The key of the next request, and the request.
    fn request(&mut self, client: &str) -> (String, String) {
        let key = format!("{client}-{}", self.replies.len());
        self.replies.insert(key.clone(), 0);
        let request = json!({"jsonrpc": "2.0", "id": key, "method": "keep", "params": [key]});
        (key, request.to_string())
    }

    fn note(&mut self, reply: &[u8]) -> String {
        let reply: Value = serde_json::from_slice(reply).unwrap_or_else(|error| panic!("{error}"));
        let key = reply["id"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
        match reply["error"]["code"].as_i64() {
            None => assert_eq!(reply["result"]["Answer"], Value::from(key.as_str()), "{reply}"),
            Some(code) => {
                assert_eq!(code, 408, "{reply}");
                self.late += 1;
            }
        }
        *self.replies.get_mut(&key).unwrap_or_else(|| panic!("nobody has asked for {key}")) += 1;
        key
    }

    fn with(&self, wanted: impl Fn(usize) -> bool) -> usize {
        self.replies.values().filter(|replies| wanted(**replies)).count()
    }
}

/// Asks by datagrams until it is told to stop, and reads until nothing is pending.
fn ask(client: &Client, name: &str, stop: &AtomicBool, is_over: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut under_way: HashMap<String, Instant> = HashMap::new();
    loop {
        under_way.retain(|_, since| since.elapsed() < LOST);
        while under_way.len() < UNDER_WAY && !stop.load(Ordering::Relaxed) {
            let (key, request) = tally.request(name);
            client.send(request.as_bytes()).unwrap();
            under_way.insert(key, Instant::now());
        }
        let is_last = is_over.load(Ordering::Relaxed);
        match client.receive(Duration::from_millis(100)) {
            Ok(reply) => under_way.remove(&tally.note(&reply)),
            Err(_) if is_last => return tally,
            Err(_) => None,
        };
    }
}

/// As [`ask`], by a FIFO, one after the other.
fn ask_by_fifo(server: &Server, stop: &AtomicBool) -> Tally {
    let (mut client, mut tally) = (server.fifo_client("killed"), Tally::default());
    while !stop.load(Ordering::Relaxed) {
        let (_, request) = tally.request("fifo");
        client.reopen(server.setup.folder.path());
        client.send(&format!(":{{R}}:{request}"));
        // The end of a FIFO without a byte is that of a process that was killed with the reply in hand.
        let reply = client.try_receive(LOST).filter(|reply| !reply.is_empty());
        reply.into_iter().for_each(|reply| {
            tally.note(&reply);
        });
    }
    tally
}

/// Kills one of the processes after the other. Gives how many.
fn kill(server: &Server, time: Duration) -> usize {
    let (begin, mut kills) = (Instant::now(), 0);
    while begin.elapsed() < time {
        // Each process in its turn, also where some are being replaced.
        let victims = children_of(server.pid());
        if let Some(victim) = victims.get(kills % victims.len().max(1)) {
            send(*victim, Signal::SIGKILL);
            kills += 1;
        }
        std::thread::sleep(PACE);
    }
    kills
}

#[test]
fn nothing_comes_twice_and_a_kill_loses_one_at_most() {
    let setup = Setup::unix().workers(3).fifo().global("mi_reply_timeout=1");
    let Some(setup) = built(setup, "tests/integration/modules/answerer.c", "") else { return };
    let server = setup.start();
    let seconds = std::env::var("MI_KILL_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let (stop, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (kills, tallies) = std::thread::scope(|scope| {
        let (server, stop, is_over) = (&server, &stop, &is_over);
        let by_fifo = scope.spawn(move || ask_by_fifo(server, stop));
        let others = (0..CLIENTS).map(|number| {
            scope.spawn(move || ask(&server.client(), &format!("client{number}"), stop, is_over))
        });
        let others: Vec<_> = others.collect();
        let kills = kill(server, Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        let mut tallies = vec![by_fifo.join().unwrap()];
        wait_for("nothing pending", || (statistic(server, "pending_replies") == 0).then_some(()));
        is_over.store(true, Ordering::Relaxed);
        tallies.extend(others.into_iter().map(|other| other.join().unwrap()));
        (kills, tallies)
    });
    let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum::<usize>();
    let (asked, once) = (sum(|it| it.replies.len()), sum(|it| it.with(|replies| replies == 1)));
    let (twice, late) = (sum(|it| it.with(|replies| replies > 1)), sum(|it| it.late));
    let lost = asked - once - twice;
    let said = format!("{kills} kills, {asked} requests, {late} late, {lost} lost, {twice} answered twice");
    assert_eq!(twice, 0, "{said}");
    assert!(lost <= kills, "{said}");
    assert!(kills >= 20 && once - late >= 100 && tallies[0].with(|replies| replies == 1) > 0, "{said}");
}
