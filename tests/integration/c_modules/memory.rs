//! C modules in the real server under valgrind, and compiled with AddressSanitizer. Both are shown to find
//! mistakes: those of the module `slips`, in the same run.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::transports::{Connection, Syntax, drive, fifo, with_http, with_modules};
use super::{SLIPS, built, text};
use crate::c_processes::{ASKS, EVENTS};
use crate::deferred::{DEFERRED, finish, json_request, receive, xml_call};
use crate::events::Subscriber;
use crate::support::{DEADLINE, Folder, Http, Server, Setup, Signal, post, skip, wait_for};

/// Rounds of requests, so that what each of them leaves behind is seen.
const ROUNDS: usize = 100;

/// Rounds of deferred replies, each of them several requests.
const DEFERRED_ROUNDS: usize = 15;

/// Blocks in use that a worker may have more than a process that serves nothing.
const MORE_BLOCKS: usize = 60;

/// Requests with replies of all kinds, also those that a module gets wrong on purpose.
const REQUESTS: [&str; 17] = [
    ":helpers:\n some text \n",
    ":helpers_add:\n",
    ":say:\n3\n",
    ":ask_stat:\nreal_used_size\n",
    ":ask_cmd:\nps\n",
    ":ask_cmd:\nhelp\nnone_such\n",
    ":ask_cmd:\nget_statistics\nall\n",
    ":example_show:\n",
    ":example_echo:\na\nx::b\n\"q\"\n",
    ":nodes:\n20\n",
    ":shape:\nempty\n",
    ":shape:\nerror\n",
    ":shape:\nnothing\n",
    ":shape:\ndeep\n",
    ":shape:\nown words\n",
    ":keep:\nwhat stays\n",
    r#"{"jsonrpc":"2.0","id":1,"method":"nodes","params":["20"]}"#,
];

/// The modules beside those that every transport test has.
const MORE: [&str; 7] = [
    "tests/integration/modules/procs.c",
    "tests/integration/modules/timers.c",
    "tests/integration/modules/helpers.c",
    EVENTS,
    ASKS,
    DEFERRED,
    SLIPS,
];

/// A server with all modules, if they can be had.
fn setup(defines: &str) -> Option<(Setup, [SocketAddr; 2])> {
    let setup = with_modules(Setup::unix().slow().arg("-m").arg("8").module("event_datagram"), defines)?;
    let setup = MORE.into_iter().try_fold(setup, |setup, source| built(setup, source, defines))?;
    let (setup, http) = with_http(setup.fifo().global("mi_reply_timeout=5"), 1);
    Some((setup, http))
}

/// Makes all calls over one connection of each kind.
fn drive_all(server: &Server, [own, shared]: [SocketAddr; 2]) {
    let late = [server.client(), server.client()];
    late[0].send(b":later:\nnever\n").unwrap();
    late[1].send(json_request("never").as_bytes()).unwrap();
    drive(&mut [
        ("datagram", Syntax::Text, Connection::Datagram(server.client())),
        ("datagram", Syntax::JsonRpc, Connection::Datagram(server.client())),
        ("FIFO", Syntax::Text, fifo(server, "text")),
        ("FIFO", Syntax::JsonRpc, fifo(server, "json")),
        ("mi_xmlrpc", Syntax::XmlText, Connection::Http(own)),
        ("mi_http", Syntax::JsonRpc, Connection::Http(shared)),
    ]);
    check_deferred_replies(server, [own, shared]);
    let (client, folder) = (server.client(), Folder::new());
    let subscriber = Subscriber::unix(&folder, "events");
    subscriber.subscribe(&client, "E_SAID", 60);
    for _ in 0..ROUNDS {
        REQUESTS.iter().for_each(|request| assert!(!client.ask(request.as_bytes()).is_empty()));
        assert!(subscriber.event().starts_with("E_SAID\n"));
    }
    assert_eq!(text(server, ":have_said:\n77\n"), "200 OK\n");
    assert!(subscriber.event().contains("77"));
    assert_eq!(receive(&late[0]), "408 Reply timeout\n");
    assert!(receive(&late[1]).contains("408"));
    wait_for("a run of each timer, and ticks of each process", || {
        let timers = text(server, ":timers:\n");
        let runs = timers.lines().find_map(|line| line.strip_prefix("Runs:: ")).expect("runs").split(' ');
        (runs.into_iter().all(|run| run != "0") && !text(server, ":tickers:\n").contains("PID=0"))
            .then_some(())
    });
}

/// Deferred replies, from another process but for the first ones; what is finished wrongly, as well.
fn check_deferred_replies(server: &Server, [own, shared]: [SocketAddr; 2]) {
    let client = server.client();
    let mut fifo = server.fifo_client("later");
    let (mut xml, mut json) = (Http::connect(own), Http::connect(shared));
    let answer = "200 OK\nAnswer:: k said=x\n";
    for _ in 0..DEFERRED_ROUNDS {
        for (how, wanted) in [
            ("", answer),
            ("twice", answer),
            ("null", "500 command failed\n"),
            ("error", "480 No way\n"),
            ("keep", answer),
            ("interim", answer),
        ] {
            client.send(b":later:\nk\nx\n").unwrap();
            finish(server, "k", &format!("{how}\n"));
            if ["keep", "interim"].contains(&how) {
                finish(server, "k", "");
            }
            assert_eq!(receive(&client), wanted, "{how}");
        }
        fifo.reopen(server.setup.folder.path());
        fifo.send(":later:{R}\nk\nx\n\n");
        xml.send(&xml_call("x"));
        json.send(&post("/mi", "application/json", json_request("j").as_bytes()));
        ["k", "x", "j"].into_iter().for_each(|key| finish(server, key, ""));
        assert_eq!(fifo.receive(), format!("{answer}\n").as_bytes());
        assert!(xml.reply().unwrap().text().contains("Answer:: x said=xy"));
        assert!(json.reply().unwrap().text().contains("\"said\":\"xy\""));
    }
    assert_eq!(text(server, ":later:\nfail\n"), text(server, ":no_input:\n"));
}

/// What a checker has written to the files of this name, with the process that each is about.
fn reports(server: &Server, name: &str) -> Vec<(i32, String)> {
    let files = fs::read_dir(server.setup.folder.path()).unwrap().map(|file| file.unwrap().path());
    let process = |path: &PathBuf| {
        let own = path.file_stem().is_some_and(|stem| stem == name);
        own.then(|| path.extension()?.to_str()?.parse().ok()).flatten()
    };
    files.filter_map(|path| Some((process(&path)?, fs::read_to_string(&path).unwrap()))).collect()
}

/// The paragraphs of a report of valgrind.
fn paragraphs(report: &str) -> Vec<String> {
    let lines = report.lines().map(|line| line.split_once("== ").map_or("", |(_, line)| line));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split("\n\n").map(|part| part.trim_start_matches('\n').to_owned()).collect()
}

/// The number before a word.
fn number_before(text: &str, words: &str) -> Option<usize> {
    let (before, _) = text.split_once(words)?;
    before.rsplit(' ').next()?.replace(',', "").parse().ok()
}

#[test]
fn valgrind_finds_nothing_but_what_is_wrong() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skip("valgrind_finds_nothing_but_what_is_wrong", "no valgrind");
    }
    let Some((setup, http)) = setup("") else { return };
    let file = format!("--log-file={}/valgrind.%p", setup.folder.path().display());
    let words =
        ["--trace-children=yes", "--leak-check=full", "--show-leak-kinds=definite", "--num-callers=80"];
    let mut under = vec![OsStr::new("valgrind"), OsStr::new(&file)];
    under.extend(words.map(OsStr::new));
    let mut server = setup.under(&under).start();
    drive_all(&server, http);
    for kind in ["none", "write", "read", "branch", "value", "leak", "leak"] {
        assert_eq!(text(&server, &format!(":slip:\n{kind}\n")), "200 OK\n");
    }
    let processes = server.ps().len();
    let status = server.stop(Signal::SIGTERM).unwrap();
    assert!(status.success(), "{status:?}: {}", server.stderr());

    let reports = reports(&server, "valgrind");
    assert!(reports.len() >= processes, "{} reports of {processes} processes", reports.len());
    let (mut found, mut blocks) = (Vec::new(), Vec::new());
    for (process, report) in &reports {
        assert!(report.contains("ERROR SUMMARY: "), "a process has not come to its end:\n{report}");
        for paragraph in paragraphs(report) {
            let title = paragraph.lines().find(|line| !line.starts_with(' ')).unwrap_or_default().to_owned();
            let is_lost = title.contains(" definitely lost in ");
            // The tables of the modules are kept for good by being leaked, before the fork.
            let is_served = paragraph.contains("opensips_mi::worker::");
            if paragraph.contains(": mi_slip (slips.c:") {
                assert!(is_served, "a stack does not go down to the worker:\n{paragraph}");
                found.push(if is_lost { title.split_once(" in loss").unwrap().0.to_owned() } else { title });
            } else {
                assert!(!(is_lost && is_served), "lost by requests:\n{paragraph}");
                // A process of a module's own is ended by the signal.
                let is_end = title.starts_with("Process terminating") && title.ends_with("(SIGTERM)");
                let is_error = !is_lost && !is_end && paragraph.contains("\n   at 0x");
                assert!(!is_error, "{paragraph}\n\nin\n{report}");
            }
        }
        // The attendant gives back what it has.
        if *process != server.pid() {
            let line = report.lines().find(|line| line.contains("in use at exit")).expect("what is in use");
            blocks.push(number_before(line, " blocks").expect("a number of blocks"));
        }
    }
    found.sort();
    let wanted = [
        "80 bytes in 2 blocks are definitely lost",
        "Conditional jump or move depends on uninitialised value(s)",
        "Invalid read of size 1",
        "Invalid read of size 1",
        "Invalid write of size 1",
    ];
    assert_eq!(found, wanted);
    // One of them serves nothing.
    let (least, most) = (blocks.iter().min().unwrap(), blocks.iter().max().unwrap());
    assert!(most - least < MORE_BLOCKS, "{blocks:?} blocks in use at the end");
}

#[test]
fn address_sanitizer_finds_nothing_but_what_is_wrong() {
    let name = "address_sanitizer_finds_nothing_but_what_is_wrong";
    let runtime = Command::new("cc").arg("-print-file-name=libasan.so").output();
    let runtime = runtime.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let Some(runtime) = runtime.ok().filter(|path| path.starts_with('/')) else {
        return skip(name, "the C compiler has no libasan.so");
    };
    let Some((setup, http)) = setup("-fsanitize=address") else { return };
    let preload = format!("LD_PRELOAD={runtime}");
    // Leaks are valgrind's business.
    let file = setup.folder.join("sanitizer");
    let options = format!("ASAN_OPTIONS=detect_leaks=0:exitcode=99:log_path={}", file.display());
    let server = setup.under(&["env", &preload, &options].map(OsStr::new)).start();
    drive_all(&server, http);
    assert_eq!(text(&server, ":slip:\nnone\n"), "200 OK\n");
    assert_eq!(reports(&server, "sanitizer"), []);
    let slips = [
        ("write", "heap-buffer-overflow", "WRITE of size 1"),
        ("read", "heap-use-after-free", "READ of size 1"),
        ("value", "heap-buffer-overflow", "READ of size 1"),
    ];
    for (count, (kind, name, access)) in slips.into_iter().enumerate() {
        let client = server.client();
        client.send(format!(":slip:\n{kind}\n").as_bytes()).unwrap();
        // The worker ends by it, and another one takes its place.
        let all = wait_for("a report", || {
            Some(reports(&server, "sanitizer"))
                .filter(|all| all.len() > count && all.iter().all(|(_, report)| report.contains("ABORTING")))
        });
        assert_eq!(all.len(), count + 1, "{all:?}");
        let is_it = |report: &str| [name, access, " in mi_slip "].iter().all(|words| report.contains(words));
        assert!(all.iter().any(|(_, report)| is_it(report)), "{kind}: {all:?}");
        assert!(client.receive(DEADLINE / 100).is_err(), "{kind}: a reply after all");
        server.wait_for_workers(1);
    }
    server.stop_clean(&[]);
}
