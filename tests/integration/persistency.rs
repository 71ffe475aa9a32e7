//! State in a file: kill -9 of all processes at once, at any moment, loses nothing that was acknowledged.
//!
//! `MI_RESTARTS` is how often that is tried, 10 without it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{Folder, Server, Setup, Signal, assert_same, send, wait_for};

/// Keys that are written in turn.
const KEYS: u64 = 50;

/// Bytes of a value, all of them its number.
const REPEATS: usize = 40;

fn setup(state: &Path) -> Setup {
    Setup::unix()
        .workers(4)
        .global(&format!("restart_persistency_cache_file=\"{}\"", state.display()))
        .arg("-m8")
        .module("cachedb_local")
        .param_of("cachedb_local", "enable_restart_persistency", "1")
}

fn value(number: u64) -> String {
    format!("{number}.").repeat(REPEATS)
}

/// The number that a fetched value repeats; `None` for a key without a value.
fn fetched(server: &Server, key: u64) -> Option<u64> {
    let reply =
        String::from_utf8(server.ask(format!(":cache_fetch:\nlocal\nkey{key}\n").as_bytes())).unwrap();
    let value =
        reply.strip_prefix(&format!("200 OK\nkey{key} = ["))?.strip_suffix("]\n").expect("a whole value");
    let number = value.split('.').next().unwrap().parse().unwrap();
    assert_eq!(value, self::value(number), "a torn value");
    Some(number)
}

/// Kills the attendant, and with it all processes, while clients store.
fn kill_while_storing(mut server: Server, acknowledged: &[AtomicU64], begun: &[AtomicU64], after: Duration) {
    let attendant = server.pid();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let client = server.client();
            scope.spawn(move || {
                for number in 1.. {
                    let key = thread + 4 * (number % (KEYS / 4));
                    let cell = usize::try_from(key).unwrap();
                    let next = begun[cell].fetch_add(1, Ordering::Relaxed) + 1;
                    let request = format!(":cache_store:\nlocal\nkey{key}\n{}\n", value(next));
                    match client.try_ask(request.as_bytes(), Duration::from_millis(200)) {
                        Ok((reply, _)) if reply == b"200 OK\n" => {
                            acknowledged[cell].store(next, Ordering::Relaxed)
                        }
                        _ => return,
                    }
                }
            });
        }
        std::thread::sleep(after);
        send(attendant, Signal::SIGKILL);
    });
    server.wait_end();
}

#[test]
fn acknowledged_values_survive_the_end_of_all_processes() {
    let rounds: u64 = std::env::var("MI_RESTARTS").map_or(10, |rounds| rounds.parse().unwrap());
    let folder = Folder::new();
    let state = folder.join("state");
    let cells = || -> Vec<AtomicU64> { (0..KEYS).map(|_| AtomicU64::new(0)).collect() };
    let (acknowledged, begun) = (cells(), cells());
    for round in 0..rounds {
        let server = setup(&state).start();
        for key in 0..KEYS {
            let cell = usize::try_from(key).unwrap();
            let (least, most) =
                (acknowledged[cell].load(Ordering::Relaxed), begun[cell].load(Ordering::Relaxed));
            let found = fetched(&server, key).unwrap_or(0);
            assert!(
                (least..=most).contains(&found),
                "round {round}, key {key}: {found} is not in {least}..={most}"
            );
        }
        kill_while_storing(server, &acknowledged, &begun, Duration::from_millis(5 + round * 37 % 90));
    }
    assert!(acknowledged.iter().any(|cell| cell.load(Ordering::Relaxed) > 10), "hardly anything was stored");
}

#[test]
fn a_second_server_is_kept_from_the_state_of_the_first() {
    let folder = Folder::new();
    let state = folder.join("state");
    let first = setup(&state).start();
    setup(&state).refuse().assert_refused("a second server", &["another server keeps its state there"]);
    first.stop_clean(&[]);
}

#[test]
fn a_file_of_something_else_is_moved_aside() {
    let folder = Folder::new();
    let state = folder.join("state");
    std::fs::write(&state, "x".repeat(10_000)).unwrap();
    let server = setup(&state).start();
    assert_same("store", b"200 OK\n", &server.ask(b":cache_store:\nlocal\nk\nv\n"));
    wait_for("a line in the log", || {
        server.stderr().contains("is of another layout and was moved").then_some(())
    });
    assert_eq!(std::fs::read_to_string(folder.join("state.other-layout")).unwrap(), "x".repeat(10_000));
    server.stop_clean(&[]);
}
