//! mi_fifo: where requests end, who gets which reply, and that no client harms another. C: fifo_fnc.c of mi_fifo.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use crate::support::{
    DEADLINE, HELP_REPLY, Server, Setup, Signal, assert_same, is_alive, make_fifo, open_reader, send, shown,
    skip, user_of, wait_for, write_to,
};

/// A request with a fixed answer.
pub(super) const HELP: &str = ":help:{R}\nps\n\n";

/// Longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// By when a deleted FIFO is back.
const BACK_WITHIN: Duration = Duration::from_secs(1);

pub(super) fn start() -> Server {
    Setup::unix().fifo().module("cachedb_local").start()
}

pub(super) fn folder(server: &Server) -> &Path {
    server.setup.folder.path()
}

pub(super) fn help_reply() -> Vec<u8> {
    [HELP_REPLY, b"\n"].concat()
}

/// Asks on a reply FIFO of its own.
#[track_caller]
pub(super) fn ask(server: &Server, name: &str, request: &str) -> Vec<u8> {
    let client = server.fifo_client(name);
    client.send(request);
    let reply = client.receive();
    fs::remove_file(folder(server).join(name)).unwrap();
    reply
}

#[track_caller]
pub(super) fn assert_in_step(server: &Server, what: &str) {
    assert_same(what, &help_reply(), &ask(server, "in_step", HELP));
}

pub(super) fn statistic(server: &Server, name: &str) -> u64 {
    let reply = server.ask(format!(":get_statistics:\n{name}\n").as_bytes());
    let text = String::from_utf8(reply).unwrap();
    text.trim_end().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{text}"))
}

/// A request of about a megabyte, with its reply of nearly two.
fn long() -> (String, Vec<u8>) {
    let count = 70_000;
    let request = format!(":get_statistics:{{R}}\n{}\n", "drop_requests\n".repeat(count));
    let reply = format!("200 OK\n{}\n", "core:drop_requests:: 0\n".repeat(count));
    assert!(request.len() < MAX_REQUEST_BYTES);
    (request, reply.into_bytes())
}

#[test]
fn the_fifo_has_the_mode_and_owner_asked_for_and_goes_at_the_end() {
    for (value, wanted) in
        [(None, 0o660), (Some("0622"), 0o622), (Some("\"0600\""), 0o600), (Some("0"), 0o600)]
    {
        let setup = Setup::unix().fifo();
        let path = setup.fifo_path();
        make_fifo(&path); // stale
        let setup = match value {
            Some(value) => setup.param_of("mi_fifo", "fifo_mode", value),
            None => setup,
        };
        let server = setup.start();
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_fifo());
        assert_eq!(found.mode() & 0o7777, wanted, "fifo_mode {value:?}");
        assert_eq!(server.stderr().contains("fifo_mode 0"), value == Some("0"), "{}", server.stderr());
        assert_in_step(&server, "a new FIFO");
        server.stop_clean(&[&path]);
    }
}

#[test]
fn the_owner_is_given_by_name_or_number() {
    if !Uid::effective().is_root() {
        return skip("fifo::the_owner_is_given_by_name_or_number", "needs root");
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("the user nobody");
    for user in ["\"nobody\"".to_owned(), nobody.uid.to_string()] {
        let setup = Setup::unix().fifo().param_of("mi_fifo", "fifo_user", &user);
        let server = setup.param_of("mi_fifo", "fifo_group", &nobody.gid.to_string()).start();
        let found = fs::symlink_metadata(server.setup.fifo_path()).unwrap();
        assert_eq!((found.uid(), found.gid()), (nobody.uid.as_raw(), nobody.gid.as_raw()), "{user}");
        server.stop_clean(&[]);
    }
    let setup = Setup::unix().fifo().arg("-u").arg("nobody");
    fs::set_permissions(setup.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let server = setup.start();
    assert_in_step(&server, "without root");
    assert_eq!(user_of(worker(&server)), Some(nobody.uid.as_raw()));
    let path = server.setup.fifo_path();
    server.stop_clean(&[&path]);
}

/// The PID of its FIFO process.
pub(super) fn worker(server: &Server) -> i32 {
    wait_for("the FIFO process", || {
        let process = server.ps().into_iter().find(|process| process.kind == "MI FIFO")?;
        (process.pid > 0 && is_alive(process.pid)).then_some(process.pid)
    })
}

#[test]
fn what_stands_at_the_path_is_refused_and_untouched() {
    let refused = |what: &str, place: &dyn Fn(&Path)| {
        let setup = Setup::unix().fifo();
        let path = setup.fifo_path();
        place(&path);
        let before = fs::symlink_metadata(&path).unwrap();
        setup.refuse().assert_refused(what, &[&path.display().to_string()]);
        let after = fs::symlink_metadata(&path).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()), "{what}");
    };
    refused("a regular file", &|path| fs::write(path, "precious").unwrap());
    refused("a folder", &|path| fs::create_dir(path).unwrap());
    refused("a link to a stale FIFO", &|path| {
        make_fifo(&path.with_extension("target"));
        symlink(path.with_extension("target"), path).unwrap();
    });
    let first = start();
    let name = format!("\"{}\"", first.setup.fifo_path().display());
    let second = Setup::unix().fifo().param_of("mi_fifo", "fifo_name", &name);
    second
        .refuse()
        .assert_refused("the FIFO of a live server", &[&first.setup.fifo_path().display().to_string()]);
    assert_in_step(&first, "the first server");
    let missing = Setup::unix().fifo().param_of("mi_fifo", "reply_dir", "\"/no/such/folder/\"");
    missing.refuse().assert_refused("a missing folder", &["reply_dir", "/no/such/folder"]);
}

#[test]
fn a_deleted_or_replaced_fifo_is_back() {
    let server = start();
    let path = server.setup.fifo_path();
    let back = |what: &str| {
        let start = Instant::now();
        wait_for(what, || {
            let found = fs::symlink_metadata(&path).ok()?;
            (found.file_type().is_fifo() && found.mode() & 0o777 == 0o660).then_some(())
        });
        assert!(start.elapsed() <= BACK_WITHIN, "{what}: {:?}", start.elapsed());
        assert_in_step(&server, what);
    };
    for _ in 0..2 {
        fs::remove_file(&path).unwrap();
        back("a deleted FIFO");
    }
    // One with another mode.
    let other = path.with_extension("other");
    make_fifo(&other);
    fs::rename(&other, &path).unwrap();
    back("a replaced FIFO");
    // What a client's `>` makes while the FIFO is away is not ours to remove; without it the FIFO comes back.
    fs::write(&other, ":help:x\n").unwrap();
    fs::rename(&other, &path).unwrap();
    wait_for("a complaint", || server.stderr().contains("is a regular file, not a FIFO").then_some(()));
    assert_eq!(fs::read(&path).unwrap(), b":help:x\n");
    fs::remove_file(&path).unwrap();
    back("a FIFO after a file");
    server.stop_clean(&[&path]);
}

#[test]
fn a_sticky_folder_is_warned_of_where_the_kernel_protects_fifos() {
    if !Uid::effective().is_root() {
        return skip("fifo::a_sticky_folder_is_warned_of_where_the_kernel_protects_fifos", "needs root");
    }
    let setting = fs::read_to_string("/proc/sys/fs/protected_fifos").unwrap_or_default();
    let is_protected = matches!(setting.trim(), "1" | "2");
    for (user, mode, wanted) in
        [("nobody", 0o1777, is_protected), ("nobody", 0o777, false), ("root", 0o1777, false)]
    {
        let setup = Setup::unix().fifo().param_of("mi_fifo", "fifo_user", &format!("\"{user}\""));
        fs::set_permissions(setup.folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let server = setup.start();
        let stderr = server.stderr();
        assert_eq!(stderr.contains("fs.protected_fifos"), wanted, "{user} {mode:o} {setting}: {stderr}");
        assert!(!wanted || (stderr.contains("/run/opensips") && stderr.contains("sysctl")), "{stderr}");
        server.stop_clean(&[]);
    }
}

#[test]
fn requests_up_to_a_megabyte_are_answered_and_longer_ones_refused() {
    let server = start();
    let filled = |length: usize| {
        let head = ":help:r\nps\n";
        format!("{head}{}\n\n", "x".repeat(length - head.len() - 2))
    };
    let value = |length: usize| {
        let (head, tail) = (":r:{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"nope\",\"params\":[\"", "\"]}");
        format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
    };
    let unknown =
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601,\"message\":\"Method not found\"},\"id\":7}";
    let text = |found: &str| format!("500 request too large: {found} bytes, limit 1048576\n\n");
    let json = |found: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"error\":{{\"code\":500,\"message\":\"request too large: {found} bytes, limit \
             1048576\"}},\"id\":null}}"
        )
    };
    let above = "more than 1048576";
    for (request, wanted) in [
        (filled(MAX_REQUEST_BYTES), String::from_utf8(help_reply()).unwrap()),
        (value(MAX_REQUEST_BYTES), unknown.to_owned()),
        (filled(MAX_REQUEST_BYTES + 1), text("1048577")),
        (value(MAX_REQUEST_BYTES + 1), json("1048577")),
        (filled(3 * MAX_REQUEST_BYTES), text(above)),
        (value(3 * MAX_REQUEST_BYTES), json(above)),
    ] {
        let found = ask(&server, "r", &request);
        // Where the end of a request that is too long was seen depends on how it came.
        let found = String::from_utf8_lossy(&found).replace("1048577", above);
        assert_eq!(found, wanted.replace("1048577", above), "{} bytes", request.len());
        assert_in_step(&server, "after a long request");
    }
    server.stop_clean(&[]);
}

#[test]
fn garbage_is_answered_when_it_names_a_reply_fifo_and_hides_no_request() {
    let server = start();
    let parse_error =
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"Parse error\"},\"id\":null}";
    let all = String::from_utf8((0..=255).collect::<Vec<u8>>().iter().map(|&b| b % 128).collect()).unwrap();
    for (number, bad) in
        ["{bad}", "{\"jsonrpc\":", "{\"a\":\"", "[1,2", "{} rest", "[[[[[[[["].iter().enumerate()
    {
        let client = server.fifo_client(&format!("bad{number}"));
        client.send(&format!(":{{R}}:{bad}"));
        assert_eq!(String::from_utf8_lossy(&client.receive()), parse_error, "{bad}");
        assert_in_step(&server, bad);
    }
    let good = "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"nope\"}";
    let wanted =
        b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601,\"message\":\"Method not found\"},\"id\":\"x\"}";
    for (number, bad) in [":x:{\"a", "hello", ":ps", "\0\0\0", &all, ":x:{}:y:{", "::"].iter().enumerate() {
        let client = server.fifo_client(&format!("good{number}"));
        client.send(&format!("{bad}:{{R}}:{good}"));
        assert_same(bad, wanted, &client.receive());
        write_to(&server.setup.fifo_path(), b"\n\n");
        assert_in_step(&server, bad);
    }
    for bad in
        ["version:x\n\n", "hello\nmore\n\n", ":x/y:z\nmore\n\n", ":help:a/b\nps\n\n", ":set:r\n\"open\n\n"]
    {
        write_to(&server.setup.fifo_path(), bad.as_bytes());
        assert_in_step(&server, bad);
    }
    server.stop_clean(&[]);
}

#[test]
fn json_without_a_wish_for_a_reply_runs() {
    let server = start();
    let store = |key: &str| {
        format!("{{\"jsonrpc\":\"2.0\",\"method\":\"cache_store\",\"params\":[\"local\",\"{key}\",\"v\"]}}")
    };
    let fetch = |key: &str| ask(&server, "fetched", &format!(":cache_fetch:{{R}}\nlocal\n{key}\n\n"));
    write_to(&server.setup.fifo_path(), format!("::{}", store("nowhere")).as_bytes());
    assert_same("::{}", b"200 OK\nnowhere = [v]\n\n", &fetch("nowhere"));
    let client = server.fifo_client("told");
    client.send(&format!(":{{R}}:{}", store("told")));
    assert_same("a notification opens the FIFO and closes it", b"", &client.receive());
    assert_same("a notification", b"200 OK\ntold = [v]\n\n", &fetch("told"));
    write_to(&server.setup.fifo_path(), b":cache_store:\nlocal\ntext\nv\n\n");
    assert_same("text without a reply", b"200 OK\ntext = [v]\n\n", &fetch("text"));
    server.stop_clean(&[]);
}

#[test]
fn a_reply_goes_to_a_fifo_with_one_name_in_the_folder_or_nothing_runs() {
    let server = start();
    let folder = folder(&server).to_owned();
    fs::create_dir(folder.join("inner")).unwrap();
    let hidden = folder.join("inner/fifo");
    make_fifo(&hidden);
    let reader = open_reader(&hidden);
    symlink(&hidden, folder.join("link")).unwrap();
    fs::hard_link(&hidden, folder.join("hard")).unwrap();
    fs::write(folder.join("file"), "precious").unwrap();
    let outside = format!("../{}/inner/fifo", folder.file_name().unwrap().display());
    for name in [
        "inner/fifo",
        &outside,
        "..",
        ".",
        "a\\b",
        "link",
        "hard",
        "file",
        "inner",
        "missing",
        "a.b",
        "requests",
    ] {
        let request = format!(":cache_store:{name}\nlocal\nkey\nvalue\n\n");
        write_to(&server.setup.fifo_path(), request.as_bytes());
        let fetched = ask(&server, "r", ":cache_fetch:{R}\nlocal\nkey\n\n");
        assert!(!fetched.windows(5).any(|part| part == b"value"), "{name}: {}", shown(&fetched));
        let json = format!(":{name}:{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}}");
        write_to(&server.setup.fifo_path(), json.as_bytes());
        assert_in_step(&server, name);
    }
    assert_eq!((&reader).read(&mut [0; 16]).unwrap_or(0), 0, "a reply came by another name");
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"precious");
    assert!(server.stderr().contains("nothing is run"), "{}", server.stderr());
    server.stop_clean(&[]);
}

#[test]
fn a_reader_that_stops_in_the_middle_delays_nobody() {
    let server = start();
    let (request, wanted) = long();
    let slow = server.fifo_client("slow");
    let deaf = server.fifo_client("deaf");
    let absent = folder(&server).join("absent");
    make_fifo(&absent);
    slow.send(&request);
    deaf.send(&request);
    write_to(&server.setup.fifo_path(), b":help:absent\nps\n\n");
    wait_for("the beginning of a reply", || slow.has_input().then_some(()));
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            let start = Instant::now();
            assert_in_step(&server, "beside readers that have stopped");
            start.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[25] < Duration::from_millis(100), "{times:?}");
    // Two of them come back in time, and have lost nothing.
    assert_same("a late reply", &help_reply(), &read_whole(&absent));
    assert_same("a slow reader's reply", &wanted, &slow.receive());
    wait_for("the end of the server's patience", || (statistic(&server, "fifo_timeouts") == 1).then_some(()));
    assert!(statistic(&server, "fifo_parked_replies") >= 3);
    assert_eq!(statistic(&server, "fifo_dropped_replies"), 0);
    // Who goes away is dropped at once.
    let gone = server.fifo_client("gone");
    gone.send(&request);
    wait_for("the beginning of a reply", || gone.has_input().then_some(()));
    drop(gone);
    wait_for("a dropped reply", || (statistic(&server, "fifo_dropped_replies") == 1).then_some(()));
    server.stop_clean(&[]);
}

/// Opens a FIFO that nobody had open, and reads to its end.
fn read_whole(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_reader_that_never_comes_delays_nobody() {
    let server = start();
    for number in 0..20 {
        let name = format!("absent{number}");
        make_fifo(&folder(&server).join(&name));
        write_to(&server.setup.fifo_path(), format!(":help:{name}\nps\n\n").as_bytes());
    }
    let start = Instant::now();
    assert_in_step(&server, "beside readers that do not come");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    wait_for("the end of the server's patience", || {
        (statistic(&server, "fifo_timeouts") == 20).then_some(())
    });
    server.stop_clean(&[]);
}

/// The habit of osipsconsole: all clients read from one FIFO.
#[test]
fn replies_to_one_fifo_leave_one_after_the_other() {
    let server = start();
    let (request, long) = long();
    let client = server.fifo_client("shared");
    std::thread::scope(|scope| {
        scope.spawn(|| client.send(&format!("{request}{HELP}:nope:{{R}}\n\n{request}{HELP}")));
        let wanted =
            [&long, &help_reply(), &b"500 command 'nope' not available\n"[..], &long, &help_reply()].concat();
        let mut found = Vec::new();
        while found.len() < wanted.len() {
            found.extend(client.receive());
        }
        assert_same("all replies", &wanted, &found);
    });
    server.stop_clean(&[]);
}

/// Each request has an answer of its own, so that each can be counted: at most one that the killed process had in hand
/// is missing, and none is answered twice.
#[test]
fn what_was_read_ahead_survives_a_killed_worker() {
    const ROUNDS: usize = 10;
    const REQUESTS: usize = 2000;
    let server = start();
    let client = server.fifo_client("r");
    let mut kept_open = fs::File::options().write(true).open(folder(&server).join("r")).unwrap();
    for round in 0..ROUNDS {
        let victim = worker(&server);
        let text: String = (0..REQUESTS).map(|number| format!(":no{round}x{number}:{{R}}\n\n")).collect();
        let mut answers: BTreeMap<String, usize> = BTreeMap::new();
        std::thread::scope(|scope| {
            scope.spawn(|| client.send(&format!("{text}:end{round}:{{R}}\n\n")));
            let mut found = Vec::new();
            let end = format!("500 command 'end{round}' not available\n");
            let mut is_killed = false;
            let deadline = Instant::now() + DEADLINE;
            while !found.ends_with(end.as_bytes()) {
                assert!(Instant::now() < deadline, "the last request is not answered: {}", shown(&found));
                let before = found.len();
                found.extend(client.read_some(Duration::from_millis(5)));
                // At some other place each time.
                if !is_killed && found.len() > round * 4000 {
                    is_killed = true;
                    send(victim, Signal::SIGKILL);
                }
                // The last request may be the one that was in hand.
                if is_killed && before == found.len() && worker(&server) != victim {
                    client.send(&format!(":end{round}:{{R}}\n\n"));
                }
            }
            for line in String::from_utf8(found).unwrap().lines() {
                *answers.entry(line.to_owned()).or_default() += 1;
            }
        });
        let of = |number| answers.get(&format!("500 command 'no{round}x{number}' not available"));
        let missing: Vec<usize> = (0..REQUESTS).filter(|number| of(*number).is_none()).collect();
        assert!(missing.len() <= 1, "round {round}: no answer to {missing:?}");
        assert!(
            (0..REQUESTS).all(|number| of(number).is_none_or(|&count| count == 1)),
            "one is answered twice"
        );
    }
    std::io::Write::flush(&mut kept_open).unwrap();
    drop(kept_open);
    server.stop_clean(&[]);
}

#[test]
fn the_end_answers_what_was_written_before() {
    let mut server = start();
    let pid = worker(&server);
    send(pid, Signal::SIGSTOP);
    let client = server.fifo_client("r");
    client.send(HELP);
    let late = folder(&server).join("late");
    make_fifo(&late);
    write_to(&server.setup.fifo_path(), b":help:late\nps\n\n");
    std::thread::scope(|scope| {
        let late = scope.spawn(|| read_whole(&late));
        send(server.pid(), Signal::SIGTERM);
        send(pid, Signal::SIGCONT);
        assert_same("a request before the end", &help_reply(), &client.receive());
        assert_same("one for another reader", &help_reply(), &late.join().unwrap());
    });
    assert!(server.wait_end().unwrap().success());
}
