//! kill -9 while commands of a C module defer their replies: clients over datagrams and FIFO ask, other
//! workers finish what they asked, and workers and the time keeper are killed one after the other. Every
//! request that was taken gets one reply, its own or the one of its time limit, and none gets two.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::killed::{LOST_AFTER, Random, kill_while, number};
use super::{built, text};
use crate::deferred::DEFERRED;
use crate::support::{Client, Server, Setup, StopOnDrop, children_of, is_alive, wait_for};

/// Clients over datagrams, and over FIFO.
const CLIENTS: [usize; 2] = [8, 2];

/// One in so many kills is of the time keeper, so that it runs long enough to see to what is late.
const KEEPER_EVERY: usize = 20;

/// Time limit of a request, in seconds.
const REPLY_TIMEOUT_SECONDS: u64 = 2;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestOutcome {
    Answered,
    /// Timed out: the process that ran it was killed.
    Late,
    Lost,
}

/// Requests of one client, by their keys.
#[derive(Default)]
struct SentRequests(HashMap<String, RequestOutcome>);

impl SentRequests {
    /// A key that no other request has, of a length that all have.
    fn next(&mut self, client: usize) -> String {
        let key = format!("k{client:02}-{:06}", self.0.len());
        self.0.insert(key.clone(), RequestOutcome::Lost);
        key
    }

    fn is_over(&self, key: &str) -> bool {
        self.0[key] != RequestOutcome::Lost
    }

    /// Notes a reply; it must be the first one to its request.
    fn hear(&mut self, reply: &[u8]) {
        let reply: Value =
            serde_json::from_slice(reply).unwrap_or_else(|error| panic!("{error}: {}", reply.escape_ascii()));
        let key = reply["id"].as_str().unwrap_or_else(|| panic!("{reply}"));
        let outcome = match reply["error"]["code"].as_u64() {
            Some(408) => RequestOutcome::Late,
            Some(_) => panic!("{reply}"),
            None => {
                assert_eq!(reply["result"], json!({"Answer": {"value": key, "said": "x"}}));
                RequestOutcome::Answered
            }
        };
        let before = self.0.insert(key.to_owned(), outcome);
        assert_eq!(before, Some(RequestOutcome::Lost), "a second reply, or to nobody's request: {reply}");
    }

    fn count(&self, wanted: RequestOutcome) -> usize {
        self.0.values().filter(|outcome| **outcome == wanted).count()
    }
}

fn request(key: &str) -> String {
    json!({"jsonrpc": "2.0", "id": key, "method": "later", "params": [key, "x"]}).to_string()
}

/// Has a request finished, by whatever worker and twice; until that is said or some time is over. A worker
/// that is killed at it has done so or has not.
fn finish(server: &Server, key: &str) {
    let start = Instant::now();
    while start.elapsed() < LOST_AFTER {
        match server.client().try_ask(format!(":finish:\n{key}\ntwice\n").as_bytes(), LOST_AFTER) {
            Ok((reply, _)) if reply.starts_with(b"200 OK\n") => return,
            // It has not come so far, or it never will.
            Ok((reply, _)) => assert_eq!(reply, b"404 Nothing there\n"),
            Err(_) => {}
        }
    }
}

/// Asks and finishes until told to stop; a reply that does not come is not waited for long.
fn over_datagrams(server: &Server, number: usize, stop: &AtomicBool) -> (SentRequests, Client) {
    let (client, mut asked) = (server.client(), SentRequests::default());
    while !stop.load(Ordering::Relaxed) {
        let key = asked.next(number);
        client.send(request(&key).as_bytes()).unwrap();
        finish(server, &key);
        while !asked.is_over(&key) {
            let Ok(reply) = client.receive(LOST_AFTER) else { break };
            asked.hear(&reply);
        }
    }
    (asked, client)
}

/// The same over FIFO, whose process is not killed: no request is lost.
fn over_fifo(server: &Server, number: usize, stop: &AtomicBool) -> SentRequests {
    let mut client = server.fifo_client(&format!("replies-{number}"));
    let mut asked = SentRequests::default();
    while !stop.load(Ordering::Relaxed) {
        let key = asked.next(number);
        client.reopen(server.setup.folder.path());
        client.send(&format!(":{{R}}:{}", request(&key)));
        finish(server, &key);
        asked.hear(&client.receive());
        assert!(asked.is_over(&key), "the reply is one to another request");
    }
    asked
}

#[test]
fn after_kills_each_deferred_request_has_one_reply() {
    let limit = format!("mi_reply_timeout={REPLY_TIMEOUT_SECONDS}");
    let Some(setup) = built(Setup::unix().workers(4).fifo().global(&limit), DEFERRED, "") else { return };
    let server = setup.start();
    server.wait_for_workers(4);
    let pending = || number(&text(&server, ":get_statistics:\npending_replies\n"));
    // The process of mi_fifo, whatever its number, is the only one that is spared.
    let spared = wait_for("all processes", || {
        let all = server.ps();
        let fifo = all.iter().find(|process| process.kind.contains("FIFO")).expect("mi_fifo").pid;
        all.iter().all(|process| is_alive(process.pid)).then_some(fifo)
    });

    let stop = AtomicBool::new(false);
    let mut random = Random(u64::from(std::process::id()));
    let (kills, datagrams, fifos) = std::thread::scope(|scope| {
        let running = StopOnDrop(&stop);
        let (server, stop) = (&server, &stop);
        let [datagrams, fifos] = CLIENTS;
        let fifos: Vec<_> = (0..fifos)
            .map(|number| scope.spawn(move || over_fifo(server, datagrams + number, stop)))
            .collect();
        let datagrams: Vec<_> =
            (0..datagrams).map(|number| scope.spawn(move || over_datagrams(server, number, stop))).collect();
        let is_going =
            || !datagrams.iter().any(|it| it.is_finished()) && !fifos.iter().any(|it| it.is_finished());
        let (mut turn, mut keeper) = (0, None);
        let kills = kill_while(is_going, || {
            // Its successor is known one turn later.
            if turn % KEEPER_EVERY == 0 {
                keeper = server.ps().into_iter().find(|it| it.kind == "time_keeper").map(|it| it.pid);
            }
            turn += 1;
            let mut victims = children_of(server.pid());
            if turn % KEEPER_EVERY == 0 {
                return keeper.filter(|keeper| victims.contains(keeper));
            }
            victims.retain(|pid| *pid != spared && Some(*pid) != keeper);
            (!victims.is_empty()).then(|| victims[random.below(victims.len())])
        });
        drop(running);
        let datagrams: Vec<_> = datagrams.into_iter().map(|it| it.join().unwrap()).collect();
        let fifos: Vec<_> = fifos.into_iter().map(|it| it.join().unwrap()).collect();
        (kills, datagrams, fifos)
    });
    server.wait_for_workers(4);
    wait_for("the end of all time limits", || (pending() == 0).then_some(()));
    let asked = datagrams.into_iter().map(|(mut asked, client)| {
        while let Ok(reply) = client.receive(LOST_AFTER / 10) {
            asked.hear(&reply);
        }
        asked
    });
    let asked: Vec<SentRequests> = asked.collect();
    let [answered, late, lost] = [RequestOutcome::Answered, RequestOutcome::Late, RequestOutcome::Lost]
        .map(|outcome| asked.iter().map(|it| it.count(outcome)).sum::<usize>());
    let over_fifo = [RequestOutcome::Answered, RequestOutcome::Late]
        .map(|outcome| fifos.iter().map(|it| it.count(outcome)).sum::<usize>());
    let figures = format!(
        "{kills} kills; datagrams: {answered} answered, {late} late, {lost} lost; FIFO: {over_fifo:?}"
    );
    assert!(kills >= 20 && answered > 5 * kills && over_fifo[0] > 0, "{figures}");
    // A kill costs what its victim had in hand, be it the request, its end, or the reply.
    assert!(lost + late + over_fifo[1] <= kills, "{figures}");
    server.stop_clean(&[]);
}
