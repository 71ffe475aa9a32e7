//! kill -9 with a C module in the load: four workers change one counter under a `gen_lock_t` and texts in
//! shared memory, while one after the other is killed. Nothing that was acknowledged is lost, no lock stays
//! taken, and the memory still serves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{CHURN, SHAPES, built, text};
use crate::support::{Server, Setup, Signal, StopOnDrop, children_of, send, wait_for};

/// Clients, each with slots of its own.
const CLIENTS: usize = 8;

/// Slots of each client.
const SLOTS: usize = 8;

/// Longest text, in bytes.
const LONGEST: usize = 3000;

/// How long a client waits for a reply before it takes it for lost.
pub(super) const LOST_AFTER: Duration = Duration::from_millis(500);

/// Time from one kill to the next.
pub(super) const KILL_EVERY: Duration = Duration::from_millis(30);

/// The replies that one client counted.
#[derive(Debug, Default)]
struct ClientCounts {
    acknowledged: usize,
    lost: usize,
}

/// A generator of numbers; good enough to choose by.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// A text that a slot may hold: its bytes, all the same; `None` is no text.
type Text = Option<(usize, char)>;

/// Puts texts into the client's slots until told to stop. Each reply must say what the last one put there, or
/// one that was lost after it.
fn load(server: &Server, number: usize, stop: &AtomicBool) -> ClientCounts {
    let mut client = server.client();
    let mut random = Random(number as u64 + 1);
    let mut slots: Vec<Vec<Text>> = vec![vec![None]; SLOTS];
    let (mut seen, mut last) = (ClientCounts::default(), 0);
    while !stop.load(Ordering::Relaxed) {
        let (slot, length) = (random.below(SLOTS), 1 + random.below(LONGEST));
        let byte = char::from(b'a' + u8::try_from(random.below(26)).unwrap());
        client.send(format!(":put:\n{}\n{length}\n{byte}\n", number * SLOTS + slot).as_bytes()).unwrap();
        let Ok(reply) = client.receive(LOST_AFTER) else {
            slots[slot].push(Some((length, byte)));
            seen.lost += 1;
            // A late reply is not to be taken for the next one.
            client = server.client();
            continue;
        };
        let reply = String::from_utf8(reply).unwrap();
        let mut lines = reply.strip_prefix("200 OK\nCount:: ").unwrap_or_else(|| panic!("{reply}")).lines();
        let count: usize = lines.next().unwrap().parse().unwrap();
        assert!(count > last, "the counter went from {last} to {count}");
        let before = lines.next().map(|line| line.strip_prefix("Before:: ").unwrap());
        let is_it = |text: &Text| match (text, before) {
            (None, None) => true,
            (Some((length, byte)), Some(found)) => {
                found.len() == *length && found.chars().all(|found| found == *byte)
            }
            _ => false,
        };
        assert!(slots[slot].iter().any(is_it), "slot {slot} held {before:?}, put were {:?}", slots[slot]);
        slots[slot] = vec![Some((length, byte))];
        last = count;
        seen.acknowledged += 1;
    }
    seen
}

fn used_bytes(server: &Server) -> usize {
    number(&text(server, ":get_statistics:\nreal_used_size\n"))
}

/// The number at the end of a reply.
pub(super) fn number(reply: &str) -> usize {
    reply
        .trim_end()
        .rsplit(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("{reply}"))
}

/// How long to kill: 3 s, or `MI_TORTURE_SECONDS`.
pub(super) fn seconds() -> Duration {
    let seconds = std::env::var("MI_TORTURE_SECONDS").map_or(3, |text| text.parse().expect("seconds"));
    Duration::from_secs(seconds)
}

/// Kills the process that `choose` names, one every 30 ms; gives how many. Ends early when a client has
/// failed.
pub(super) fn kill_while(is_going: impl Fn() -> bool, mut choose: impl FnMut() -> Option<i32>) -> usize {
    let (start, mut kills) = (Instant::now(), 0);
    while start.elapsed() < seconds() && is_going() {
        std::thread::sleep(KILL_EVERY);
        if let Some(victim) = choose() {
            send(victim, Signal::SIGKILL);
            kills += 1;
        }
    }
    kills
}

/// Workers are killed.
#[test]
fn after_kills_everything_acknowledged_is_there() {
    let setup = Setup::unix().workers(4).arg("-m").arg("16");
    let Some(setup) = built(setup, CHURN, "").and_then(|setup| built(setup, SHAPES, "")) else { return };
    let server = setup.start();
    let workers = server.wait_for_workers(4);
    let is_worker = |pid: &i32| workers.iter().any(|worker| worker.pid == *pid);
    let others: Vec<i32> = children_of(server.pid()).into_iter().filter(|pid| !is_worker(pid)).collect();
    let (used, filled) = (used_bytes(&server), text(&server, ":fill:\n"));

    let stop = AtomicBool::new(false);
    let mut random = Random(u64::from(std::process::id()));
    let (kills, seen) = std::thread::scope(|scope| {
        let running = StopOnDrop(&stop);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn({
                    let (server, stop) = (&server, &stop);
                    move || load(server, number, stop)
                })
            })
            .collect();
        let kills = kill_while(
            || !clients.iter().any(|it| it.is_finished()),
            || {
                let mut victims = children_of(server.pid());
                victims.retain(|pid| !others.contains(pid));
                (!victims.is_empty()).then(|| victims[random.below(victims.len())])
            },
        );
        drop(running);
        let seen: Vec<ClientCounts> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (kills, seen)
    });
    let (acknowledged, lost) = seen
        .iter()
        .fold((0, 0), |(acknowledged, lost), seen| (acknowledged + seen.acknowledged, lost + seen.lost));
    server.wait_for_workers(4);
    assert!(kills >= 20 && acknowledged > 10 * kills, "{kills} kills, {acknowledged} replies");
    assert!(lost <= kills, "{lost} requests without a reply at {kills} kills");
    let count = number(&text(&server, ":empty:\n"));
    assert!((acknowledged..=acknowledged + lost).contains(&count), "{acknowledged} + {lost}: {count}");

    // What a process had in its hands when it died stays taken: at most the old and the new text.
    let (more, blocks) = (used_bytes(&server) - used, number(&text(&server, ":fill:\n")));
    let most = kills * 2 * (LONGEST + 64);
    assert!(more <= most, "{more} bytes stay taken after {kills} kills");
    assert!(number(&filled) - blocks <= more / 65_536 + kills, "{filled}, now {blocks} blocks fit");
    let said = server.stderr();
    assert!(!said.contains("past the end"), "{said}");
    // `fill` has one such mistake.
    assert!(said.matches("is no block in use").count() <= 2, "{said}");
    assert!(said.contains("the holder of its lock"), "no kill came while the lock was held:\n{said}");
    wait_for("the counter", || text(&server, ":count:\n").starts_with("200 OK\n").then_some(()));
    server.stop_clean(&[]);
}
