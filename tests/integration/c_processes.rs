//! What C modules do beside commands: processes of their own, timers, events. C: `start_module_procs` in sr_module.c,
//! timer.c, evi/event_interface.c.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::c_modules::{built, json_rpc, text};
use crate::events::Subscriber;
use crate::support::{Folder, Process, Server, Setup, Signal, is_alive, send, wait_for};

const PROCS: &str = "tests/integration/modules/procs.c";
pub(crate) const EVENTS: &str = "tests/integration/modules/events.c";
pub(crate) const ASKS: &str = "tests/integration/modules/asks.c";

/// By when a killed process has a successor.
const REPLACED_WITHIN: Duration = Duration::from_millis(100);

fn of_kind(server: &Server, kind: &str) -> Vec<Process> {
    server.ps().into_iter().filter(|process| process.kind == kind).collect()
}

fn statistic(server: &Server, name: &str) -> u64 {
    let reply = text(server, &format!(":get_statistics:\n{name}\n"));
    let value = reply.trim_end().rsplit(' ').next().and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{name}: {reply}"))
}

/// What the module knows of its processes, once it is what `ps` says.
fn tickers(server: &Server) -> Vec<Process> {
    wait_for("both tickers in their places", || {
        let said = text(server, ":tickers:\n");
        let found = of_kind(server, "Ticker");
        let lines: String =
            found.iter().map(|it| format!("Ticker:: ID={} PID={} rank=-2\n", it.id, it.pid)).collect();
        (found.len() == 2 && said.ends_with(&lines)).then_some(found)
    })
}

#[test]
fn processes_of_a_module_run_and_are_replaced_under_their_numbers() {
    let Some(setup) = built(Setup::unix().global("debug=3"), PROCS, "") else { return };
    let mut server = setup.start();
    let mut before = tickers(&server);
    assert_eq!(before[1].id, before[0].id + 1);
    assert_eq!(of_kind(&server, "nothing"), []);
    let forks = "200 OK\nForks:: before=1 after=1\nReturns:: 0\n";
    assert!(text(&server, ":tickers:\n").starts_with(forks));
    wait_for("its words", || server.stderr().contains("procs: tick: ticker 1 ticks").then_some(()));
    let mut times = Vec::new();
    for round in 0..6 {
        let victim = &before[round % 2];
        let start = Instant::now();
        send(victim.pid, Signal::SIGKILL);
        wait_for("a successor", || {
            let now = server.ps().into_iter().find(|it| it.id == victim.id)?;
            (now.pid != victim.pid && is_alive(now.pid)).then_some(())
        });
        times.push(start.elapsed());
        let after = tickers(&server);
        assert_eq!(after[1 - round % 2], before[1 - round % 2], "only the victim changes");
        before = after;
    }
    times.sort();
    assert!(times[times.len() / 2] <= REPLACED_WITHIN, "{times:?}");
    let ticks = statistic(&server, "ticks");
    wait_for("ticks of the successors", || (statistic(&server, "ticks") > ticks).then_some(()));
    assert!(text(&server, ":tickers:\n").starts_with(forks), "the functions around forks are called once");

    let started = Instant::now();
    assert!(server.stop(Signal::SIGTERM).is_some_and(|status| status.success()));
    assert!(started.elapsed() < Duration::from_secs(5), "it ends without force");
    server.assert_gone(&[]);
}

#[test]
fn a_process_whose_function_returns_is_tried_again_with_patience() {
    let Some(setup) = built(Setup::unix(), PROCS, "-DRETURNS") else { return };
    let mut server = setup.start();
    let returns = || {
        let said = text(&server, ":tickers:\n");
        let found = said.lines().find_map(|line| line.strip_prefix("Returns:: ")).map(str::parse::<u32>);
        found.and_then(Result::ok).unwrap_or_else(|| panic!("{said}"))
    };
    let start = Instant::now();
    wait_for("the third try", || (returns() >= 3).then_some(()));
    assert!(start.elapsed() >= Duration::from_millis(150), "100 ms and 200 ms lie between three tries");
    tickers(&server);
    let said = server.stderr();
    for words in [
        "module procs: the function of its process \"Returner\" has returned",
        "ended soon after its start, the log says why; it is tried again in 100ms",
        "it is tried again in 200ms",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(server.stop(Signal::SIGTERM).is_some_and(|status| status.success()));
    server.assert_gone(&[]);
}

#[test]
fn processes_end_with_a_killed_attendant() {
    let Some(setup) = built(Setup::unix(), PROCS, "") else { return };
    let mut server = setup.start();
    let before = tickers(&server);
    send(server.pid(), Signal::SIGKILL);
    server.wait_end();
    wait_for("their end", || before.iter().all(|it| !is_alive(it.pid)).then_some(()));
}

/// How often the timers ran: each second, each tenth of it, slow ones, those of a process of their own.
fn runs(server: &Server) -> [u32; 4] {
    let said = text(server, ":timers:\n");
    let runs = said.lines().find_map(|line| line.strip_prefix("Runs:: ")).unwrap_or_else(|| panic!("{said}"));
    let runs: Vec<u32> = runs.split(' ').map(|run| run.parse().unwrap()).collect();
    runs.try_into().unwrap()
}

#[test]
fn timers_run_at_their_pace_in_processes_of_their_own() {
    let Some(setup) = built(Setup::unix(), "tests/integration/modules/timers.c", "") else { return };
    let mut server = setup.start();
    let start = Instant::now();
    let [_, tenths, slow, _] = wait_for("two seconds", || {
        let runs = runs(&server);
        (runs[0] >= 2 && runs[3] >= 2).then_some(runs)
    });
    let passed = start.elapsed();
    assert!(passed > Duration::from_millis(1500) && passed < Duration::from_secs(5), "{passed:?}");
    // An interval of a microsecond is one of a tenth of a second.
    let most = u32::try_from(passed.as_millis() / 100).unwrap() + 6;
    assert!((5..=most).contains(&tenths), "{tenths} tenths in {passed:?}");
    // Each takes a quarter of a second: what was due meanwhile is not made up for.
    let most = u32::try_from(passed.as_millis() / 250).unwrap() + 2;
    assert!((2..=most).contains(&slow), "{slow} slow runs in {passed:?}");
    let said = text(&server, ":timers:\n");
    assert!(said.ends_with("\nRanks:: -1 7\nWrong:: 0\n"), "{said}");
    assert!(server.stderr().contains("timer slow took "), "{}", server.stderr());
    let kinds: Vec<_> = server.ps().into_iter().map(|process| process.kind).collect();
    assert_eq!(kinds[kinds.len() - 3..], ["time_keeper", "timer: tenth", "timer: slow"]);

    let [keeper, other] = ["time_keeper", "timer: slow"].map(|kind| of_kind(&server, kind));
    for round in 0..2 {
        let before = of_kind(&server, "timer: tenth")[0].clone();
        if round == 0 {
            send(before.pid, Signal::SIGKILL);
        } else {
            assert_eq!(text(&server, ":crash_timer:\n"), "200 OK\n");
        }
        wait_for("a successor", || {
            let now = of_kind(&server, "timer: tenth");
            (now[0].pid != before.pid && is_alive(now[0].pid)).then(|| assert_eq!(now[0].id, before.id))
        });
        let [seconds, ..] = runs(&server);
        wait_for("a run in the successor", || (runs(&server)[0] > seconds).then_some(()));
    }
    assert_eq!(["time_keeper", "timer: slow"].map(|kind| of_kind(&server, kind)), [keeper, other]);
    assert!(server.stop(Signal::SIGTERM).is_some_and(|status| status.success()));
    server.assert_gone(&[]);
}

#[test]
fn events_of_a_module_reach_their_subscribers() {
    let setup = Setup::unix().module("event_datagram");
    let Some(setup) = built(setup, EVENTS, "") else { return };
    let server = setup.module("usrloc").start();
    let listed = text(&server, ":events_list:\n");
    let module =
        "Event:: E_CORE_PKG_THRESHOLD id=2\nEvent:: E_SAID id=3\nEvent:: E_TICKED id=4\nEvent:: E_UL_";
    assert!(listed.contains(module), "{listed}");
    let reply = |probe| format!("200 OK\nSaid:: 0 probe={probe} id=1 late=-1 wrong=-1\n");
    assert_eq!(text(&server, ":say:\n5\n"), reply(0));

    let folder = Folder::new();
    let [words, json, ticks] = ["text", "json", "ticks"].map(|name| Subscriber::unix(&folder, name));
    words.subscribe(&server.client(), "E_SAID", 60);
    ticks.subscribe(&server.client(), "E_TICKED", 60);
    assert_eq!(json_rpc(&server, "event_subscribe", &json!(["E_SAID", json.name()])), "OK");
    assert_eq!(text(&server, ":say:\n-7\n"), reply(1));
    assert_eq!(words.event(), "E_SAID\nwho::\"a \\\"command\\\"\nof two lines\"\nnumber::-7\n\n");
    let event: Value = serde_json::from_str(&json.event()).unwrap();
    let params = json!({"who": "a \"command\"\nof two lines", "number": -7});
    assert_eq!(event, json!({"jsonrpc": "2.0", "method": "E_SAID", "params": params}));
    assert_eq!(text(&server, ":have_said:\n8\n"), "200 OK\n");
    assert_eq!(words.event(), "E_SAID\nwho::process\nnumber::8\n\n");
    for _ in 0..2 {
        assert_eq!(ticks.event(), "E_TICKED\n\n");
    }
    server.stop_clean(&[]);
}

#[test]
fn a_module_asks_for_statistics_and_commands_of_the_server() {
    let setup = Setup::unix().module("cachedb_local");
    let Some(setup) = built(setup, ASKS, "") else { return };
    let server = setup.start();
    let processes = server.ps().len();
    wait_for("the process's own look", || {
        let size = format!("200 OK\ntotal_size:: 67108864 1 {processes}\n");
        (text(&server, ":ask_stat:\ntotal_size\n") == size).then_some(())
    });
    assert_eq!(text(&server, ":ask_stat:\nnone_such\n"), "200 OK\nNone:: \n");
    let own = text(&server, ":ask_stat:\nmine\n");
    assert!(own.starts_with("200 OK\nmine:: 0 1 "), "what it adds is reset again: {own}");
    let used = text(&server, ":ask_stat:\nreal_used_size\n");
    let used = used.strip_prefix("200 OK\nreal_used_size:: ").and_then(|it| it.split(' ').next());
    assert!(used.is_some_and(|used| used.parse::<u64>().is_ok_and(|used| used > 33 << 10)), "{used:?}");

    assert_eq!(text(&server, ":cache_store:\nlocal\nkey\nvalue\n"), "200 OK\n");
    for request in [
        "ps:\n",
        "list_blacklists:\n",
        "events_list:\n",
        "help:\nps\n",
        "help:\nnone_such\n",
        "cache_fetch:\nlocal\nkey\n",
        "cache_fetch:\nlocal\n",
        "cache_fetch:\nnowhere\nkey\n",
        "get_statistics:\nmine\ntotal_size\n",
        "ask_stat:\nnone_such\n",
    ] {
        let (name, parameters) = request.split_once(":\n").unwrap();
        let direct = text(&server, &format!(":{request}"));
        assert_eq!(text(&server, &format!(":ask_cmd:\n{name}\n{parameters}")), direct, "{request}");
    }
    assert_eq!(text(&server, ":ask_cmd:\nnone_such\n"), "404 No such command\n");
    assert_eq!(text(&server, ":ask_all:\n"), text(&server, ":which:\n"));
    // More than a piece of a reply.
    let all = text(&server, &format!(":ask_cmd:\nget_statistics\n{}", "mine\n".repeat(2000)));
    assert_eq!(all, format!("200 OK\n{}", "asks:mine:: 0\n".repeat(2000)));
    server.stop_clean(&[]);
}
