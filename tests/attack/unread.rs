//! Clients that ask for replies and read none: the memory of their queues is charged to the server.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::memory_group::MemoryGroup;
use crate::support::{HELP, HELP_REPLY, Setup, StopOnDrop, skip, unread};

/// What the server may have, in bytes.
const GROUP_BYTES: usize = 200 << 20;

/// The longest that a client that reads may wait for one reply.
const LIMIT: Duration = Duration::from_secs(5);

fn attack(name: &str, clients: usize, request: &[u8]) {
    let group = MemoryGroup::new(name, GROUP_BYTES);
    let mut setup = Setup::unix().module("cachedb_local").workers(4);
    let command = group.as_ref().map(MemoryGroup::command).unwrap_or_default();
    if group.is_some() {
        let words: Vec<&OsStr> = command.iter().map(|word| word.as_os_str()).collect();
        setup = setup.under(&words);
    } else {
        skip(&format!("{name}, its memory"), "no memory control group can be made here");
    }
    let server = setup.start();
    let attendant = server.pid();
    unread::store(&server);
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut slowest = Duration::ZERO;
    let never = thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let reader = scope.spawn(|| {
            let (client, mut slowest) = (server.client(), Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(client.ask(HELP), HELP_REPLY);
                slowest = slowest.max(asked.elapsed());
                served.fetch_add(1, Ordering::Relaxed);
            }
            slowest
        });
        let never = unread::ask_and_never_read(&server, clients, request);
        // Somebody who comes when all room for long replies is taken.
        (0..100).for_each(|_| assert_eq!(server.ask(HELP), HELP_REPLY));
        stop.store(true, Ordering::Relaxed);
        slowest = slowest.max(reader.join().unwrap());
        never
    });
    let (drops, peak) =
        (unread::statistic(&server, "datagram_unread_drops"), group.as_ref().map(MemoryGroup::peak));
    let bytes = unread::bytes(&never);
    println!(
        "{name}: {clients} clients left {bytes} bytes unread, {drops} replies were dropped, peak of the group {peak:?}; \
         a reader got {served:?} replies meanwhile, the slowest in {slowest:?}"
    );
    assert!(bytes <= unread::UNREAD_BYTES && drops > 0);
    assert!(slowest < LIMIT);
    assert_eq!(server.ps()[0].pid, attendant);
    assert!(
        server.wait_for_workers(4).len() == 4 && !server.stderr().contains("SIGKILL"),
        "{}",
        server.stderr()
    );
    server.stop_clean(&[]);
}

#[test]
fn long_replies_that_284_clients_do_not_read_take_bounded_memory() {
    attack("unread-284", 284, unread::FETCH);
}

#[test]
fn long_replies_that_3000_clients_do_not_read_take_bounded_memory() {
    attack("unread-3000", 3000, unread::FETCH);
}

/// Those without a path have taken all that there is for short replies, too.
#[test]
fn short_replies_that_3000_clients_do_not_read_keep_none_from_a_reader_with_a_path() {
    attack("unread-short-3000", 3000, unread::FETCH_SHORT);
}
