//! State in a file: kill -9 of all processes at once, at any moment, loses nothing that was acknowledged.
//!
//! `MI_RESTARTS` is how often that is tried, 10 without it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::scripted::{exists, run};
use crate::support::{Folder, Outcome, Server, Setup, Signal, assert_same, send, skip, wait_for};

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
    fs::write(&state, "x".repeat(10_000)).unwrap();
    let server = setup(&state).start();
    assert_same("store", b"200 OK\n", &server.ask(b":cache_store:\nlocal\nk\nv\n"));
    wait_for("a line in the log", || {
        server.stderr().contains("is of another layout and was moved").then_some(())
    });
    assert_eq!(fs::read_to_string(folder.join("state.other-layout")).unwrap(), "x".repeat(10_000));
    server.stop_clean(&[]);
}

/// Stores the values 0 to `count`, each under the key of its number.
fn store(server: &Server, count: u64) {
    let client = server.client();
    for key in 0..count {
        let request = format!(":cache_store:\nlocal\nkey{key}\n{}\n", value(key));
        assert_same("store", b"200 OK\n", &client.ask(request.as_bytes()));
    }
}

#[track_caller]
fn assert_stored(server: &Server, count: u64) {
    for key in 0..count {
        assert_eq!(fetched(server, key), Some(key));
    }
}

#[test]
fn the_file_of_an_older_version_is_moved_aside() {
    let folder = Folder::new();
    let state = folder.join("state");
    let server = setup(&state).start();
    store(&server, KEYS);
    server.stop_clean(&[]);
    // Its version follows its first eight bytes.
    let file = File::options().read(true).write(true).open(&state).unwrap();
    let mut version = [0; 4];
    file.read_exact_at(&mut version, 8).unwrap();
    let older = u32::from_ne_bytes(version) - 1;
    file.write_all_at(&older.to_ne_bytes(), 8).unwrap();

    let server = setup(&state).start();
    assert_eq!(fetched(&server, 0), None);
    let aside = folder.join("state.other-layout");
    let line = format!("{}: is of another layout and was moved to {}", state.display(), aside.display());
    wait_for("a line in the log", || server.stderr().contains(&line).then_some(()));
    server.stop_clean(&[]);

    // Nothing of it is lost for a server of that version.
    File::options().write(true).open(&aside).unwrap().write_all_at(&version, 8).unwrap();
    let server = setup(&aside).start();
    assert_stored(&server, KEYS);
    server.stop_clean(&[]);
}

#[test]
fn a_damaged_entry_is_dropped_and_the_others_stay() {
    let folder = Folder::new();
    let state = folder.join("state");
    let server = setup(&state).start();
    store(&server, KEYS);
    server.stop_clean(&[]);
    // Key and value follow each other.
    let stored = format!("key7{}", value(7));
    let mut bytes = fs::read(&state).unwrap();
    let at = bytes.windows(20).position(|window| window == &stored.as_bytes()[..20]).unwrap();
    bytes[at + 10] ^= 1;
    fs::write(&state, &bytes).unwrap();

    let server = setup(&state).start();
    for key in 0..KEYS {
        assert_eq!(fetched(&server, key), (key != 7).then_some(key));
    }
    wait_for("a line in the log", || {
        server.stderr().contains("damaged entries that were dropped: 1\n").then_some(())
    });
    server.stop_clean(&[]);
}

#[test]
fn a_size_that_cannot_be_is_found_by_the_check() {
    let folder = Folder::new();
    let state = folder.join("state");
    let check = |setup: Setup, memory| {
        let config = setup.config_path();
        setup.run(&["-c", "-f", config.to_str().unwrap(), "-m", memory])
    };
    for size in ["1", "262145"] {
        let outcome = check(setup(&state), size);
        outcome.assert_refused(size, &["option -m", size, "expected 2 to 262144 megabytes"]);
        let global = format!("restart_persistency_size={size}");
        let outcome = check(setup(&state).global(&global), "64");
        outcome.assert_refused(&global, &[&global, "expected 2 to 262144 megabytes"]);
        // It is of no account where nothing is kept.
        assert_eq!(check(Setup::unix().global(&global), "64").status.code(), Some(0));
    }
    assert!(!state.exists());
}

/// Gives the command that follows a file system of its own at $2, so many bytes large as $1 says, with the state of $3
/// if that is there; then lists what is left and copies the state back.
const SMALL_DISK: &str = r#"
mount -t tmpfs -o size="$1" none "$2" && touch "$2/try" && rm "$2/try" || exit 77
disk=$2 kept=$3
if [ -e "$kept" ]; then cp "$kept" "$disk/state" && rm "$kept" || exit 76; fi
shift 3
"$@"
status=$?
echo "left: $(ls -A "$disk")"
if [ -e "$disk/state" ]; then cp "$disk/state" "$kept" || exit 76; fi
exit "$status"
"#;

/// `unshare` into namespaces of its own kind; a user who is not root needs one of users too.
fn unshare(kind: &'static str) -> Vec<&'static OsStr> {
    let mut command = vec!["unshare", kind];
    if !nix::unistd::geteuid().is_root() {
        command.push("--map-root-user");
    }
    command.into_iter().map(OsStr::new).collect()
}

/// What came of a command in [`SMALL_DISK`]; `setup` is what the server would be on an ordinary disk.
fn on_small_disk(bytes: &str, kept: &Path, disk: &Path, setup: Setup) -> Outcome {
    let arguments = [OsStr::new("sh"), "-c".as_ref(), SMALL_DISK.as_ref(), "sh".as_ref(), bytes.as_ref()];
    let mut command = unshare("--mount");
    command.extend(arguments);
    command.extend([disk.as_os_str(), kept.as_os_str()]);
    setup.under(&command).refuse()
}

/// Whether this machine lets a test have a file system of its own. Says so when not.
fn has_small_disks(test: &str) -> bool {
    let mut command = unshare("--mount").into_iter();
    let mut probe = Command::new(command.next().unwrap());
    let folder = Folder::new();
    probe.args(command).args(["sh", "-c", SMALL_DISK, "sh", "64k"]).arg(folder.path()).args(["", "true"]);
    let is_there = exists("unshare") && run(&mut probe, b"").status.success();
    if !is_there {
        skip(test, "unshare --mount and mount -t tmpfs are not allowed, or not there");
    }
    is_there
}

#[test]
fn a_full_disk_is_an_error_at_the_start() {
    if !has_small_disks("persistency::a_full_disk_is_an_error_at_the_start") {
        return;
    }
    let (disk, folder) = (Folder::new(), Folder::new());
    let kept = folder.join("none");
    let outcome = on_small_disk("4m", &kept, disk.path(), setup(&disk.join("state")));
    let wanted =
        format!("{}: cannot give it its size: No space left on device", disk.join("state.new").display());
    let words = [&*wanted, "free disk space, or give a smaller restart_persistency_size"];
    outcome.assert_refused("a full disk", &words);
    assert_eq!(outcome.stdout, "left: \n", "the disk");
    assert!(!kept.exists());
}

#[test]
fn a_disk_without_room_for_another_size_costs_no_state() {
    if !has_small_disks("persistency::a_disk_without_room_for_another_size_costs_no_state") {
        return;
    }
    let (disk, folder) = (Folder::new(), Folder::new());
    let kept = folder.join("state");
    let server = setup(&kept).start();
    store(&server, KEYS);
    server.stop_clean(&[]);
    for size in ["-m6", "-m12"] {
        // The later of two -m counts.
        let outcome = on_small_disk("10m", &kept, disk.path(), setup(&disk.join("state")).arg(size));
        let new =
            format!("{}: cannot give it its size: No space left on device", disk.join("state.new").display());
        outcome.assert_refused(size, &[&new]);
        assert_eq!(outcome.stdout, "left: state\n", "{size}: the disk");
    }
    let server = setup(&kept).start();
    assert_stored(&server, KEYS);
    server.stop_clean(&[]);
}

/// A machine that was started anew has a boot clock that tells another time, which must not matter for what a file
/// keeps. Namespaces of time stand for the starts; no clock of this machine is touched.
#[test]
fn a_time_limit_survives_a_start_of_the_machine() {
    const TEST: &str = "persistency::a_time_limit_survives_a_start_of_the_machine";
    const AHEAD: &str = "1000000000";
    const SECONDS: u64 = 100_000;
    if !exists("unshare") {
        return skip(TEST, "no unshare of util-linux");
    }
    let mut later = unshare("--time");
    later.extend([OsStr::new("--boottime"), AHEAD.as_ref(), "--monotonic".as_ref(), AHEAD.as_ref()]);
    let mut probe = Command::new(later[0]);
    let uptime = run(probe.args(&later[1..]).args(["cat", "/proc/uptime"]), b"").stdout;
    if uptime
        .split('.')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .is_none_or(|now: u64| now < 1_000_000_000)
    {
        return skip(TEST, "unshare --time --boottime is not allowed, or not there");
    }

    let folder = Folder::new();
    let state = folder.join("state");
    let setup = || {
        setup(&state)
            .module("usrloc")
            .param_of("usrloc", "restart_persistency", "\"load-from-file\"")
            .param_of("usrloc", "timer_interval", "1")
    };
    let left = |server: &Server| -> u64 {
        let reply = String::from_utf8(server.ask(b":ul_show_contact:\nlocation\nalice\n")).unwrap();
        let (_, rest) = reply.split_once(";expires=").unwrap_or_else(|| panic!("{reply}"));
        rest.split(';').next().unwrap().parse().unwrap()
    };
    let server = setup().start();
    for request in [
        format!(":ul_add:\nlocation\nalice\nsip:a@good\n{SECONDS}\n1\n0\n0\n0\n0\n"),
        ":ul_add:\nlocation\nbob\nsip:b@short\n1\n1\n0\n0\n0\n0\n".to_owned(),
        format!(":cache_store:\nlocal\nlong\nvalue\n{SECONDS}\n"),
        ":cache_store:\nlocal\nshort\nvalue\n1\n".to_owned(),
    ] {
        assert_same(&request, b"200 OK\n", &server.ask(request.as_bytes()));
    }
    server.stop_clean(&[]);

    for (what, setup) in [("a later boot clock", setup().under(&later)), ("an earlier one", setup())] {
        let server = setup.start();
        let seconds = left(&server);
        assert!((SECONDS - 100..=SECONDS).contains(&seconds), "{what}: {seconds} seconds are left");
        assert_same(what, b"200 OK\nlong = [value]\n", &server.ask(b":cache_fetch:\nlocal\nlong\n"));
        wait_for("the end of the short ones", || {
            let user = server.ask(b":ul_show_contact:\nlocation\nbob\n");
            let value = server.ask(b":cache_fetch:\nlocal\nshort\n");
            (user == b"404 AOR not found\n" && value == b"200 OK\nValue not found\n").then_some(())
        });
        server.stop_clean(&[]);
    }
}
