//! Writers that never end what they begin, all at once and without a pause; another client asks by the same FIFO.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{HELP_REPLY, Setup, StopOnDrop, assert_same, make_fifo, write_to};

/// How long each attack lasts.
const ATTACK: Duration = Duration::from_secs(4);

/// Time between two writes of one writer.
const PACE: Duration = Duration::from_millis(20);

/// The longest that the other client may wait for one reply.
const LIMIT: Duration = Duration::from_secs(1);

/// What the writers write, each of them one, again and again. `x` is a FIFO that nobody reads, `gone` is none.
const UNFINISHED: [&[u8]; 12] = [
    b":get_statistics:x\n",
    b":get_statistics:gone\n",
    b":get_statistics:x",
    b":cache_store:x\nlocal\nkey\n\"open\n",
    b":cache_store:x\nlocal\nkey\n\"open",
    b":nope:x\nline\n",
    b":ps:x\n",
    b"\0\0\0\0",
    b"no request",
    b":x:{\"jsonrpc\":\"2.0\",\"method\":",
    b":x:{\"jsonrpc\":\"2",
    b":x:[[[",
];

#[test]
fn writers_that_never_end_a_request_delay_no_other_client() {
    for attack in UNFINISHED {
        let shown = attack.escape_ascii().to_string();
        let slowest = slowest_reply_under(&[attack]);
        println!("fifo_unfinished: slowest reply {slowest:?} under {shown}");
    }
    let slowest = slowest_reply_under(&UNFINISHED);
    println!("fifo_unfinished: slowest reply {slowest:?} under all of them");
}

fn slowest_reply_under(attacks: &[&[u8]]) -> Duration {
    let server = Setup::unix().fifo().module("cachedb_local").start();
    let fifo = server.setup.fifo_path();
    make_fifo(&server.setup.folder.join("x"));
    let stop = AtomicBool::new(false);
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        for attack in attacks {
            let (fifo, stop) = (&fifo, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    write_to(fifo, attack);
                    thread::sleep(PACE);
                }
            });
        }
        let help = [HELP_REPLY, b"\n"].concat();
        let kinds = [
            (":help:{R}\nps\n\n", &help[..]),
            (":cache_store:{R}\nlocal\nk\n\"a\n:ps:{R}\nb\"\n\n", b"200 OK\n\n"),
            (":cache_fetch:{R}\nlocal\nk\n\n", b"200 OK\nk = [a\n:ps:reply\nb]\n\n"),
            (
                ":{R}:{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"cache_remove\",\"params\":[\"local\",\"k\"]}\n",
                b"{\"jsonrpc\":\"2.0\",\"result\":\"OK\",\"id\":1}",
            ),
        ];
        let start = Instant::now();
        for (request, wanted) in kinds.iter().cycle().take_while(|_| start.elapsed() < ATTACK) {
            let asked = Instant::now();
            let client = server.fifo_client("reply");
            client.send(request);
            assert_same(request, wanted, &client.receive());
            slowest = slowest.max(asked.elapsed());
            fs::remove_file(server.setup.folder.join("reply")).unwrap();
        }
    });
    assert!(slowest < LIMIT, "a reply took {slowest:?}");
    slowest
}
