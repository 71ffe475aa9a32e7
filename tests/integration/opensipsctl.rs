//! The real opensipsctl with its engines UNIXSOCK and FIFO.
//!
//! It belongs to OpenSIPS and is not here: `OPENSIPSCTL_DIR` names a folder with it and its libraries (`scripts` of a
//! source tree). Without that these tests say that they are skipped.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::killpg;
use nix::unistd::Pid;

use crate::scripted::{Keeper, Running, run};
use crate::support::{Folder, Outcome, Server, Setup, Signal, is_alive, skip, wait_for};

/// How opensipsctl reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Unixsock,
    /// Its default: a reply FIFO for each command, with a new name.
    Fifo,
}

const ENGINES: [Engine; 2] = [Engine::Unixsock, Engine::Fifo];

impl Engine {
    /// The word before a command that goes to the server as it is.
    fn word(self) -> &'static str {
        match self {
            Engine::Unixsock => "unixsock",
            Engine::Fifo => "fifo",
        }
    }
}

/// The real opensipsctl with a home of its own, whose `.opensipsctlrc` tells it about our programs.
struct Opensipsctl {
    program: PathBuf,
    home: Folder,
}

impl Opensipsctl {
    /// `None`, said aloud, when there is none on this machine.
    fn new(test: &str, engine: Engine, setup: &Setup) -> Option<Self> {
        let Some(folder) = std::env::var_os("OPENSIPSCTL_DIR").map(PathBuf::from) else {
            skip(test, "OPENSIPSCTL_DIR does not name a folder with opensipsctl");
            return None;
        };
        let program = folder.join("opensipsctl");
        assert!(program.is_file(), "OPENSIPSCTL_DIR has no opensipsctl: {}", folder.display());
        let home = Folder::new();
        let engine = match engine {
            Engine::Unixsock => "CTLENGINE=UNIXSOCK".to_owned(),
            Engine::Fifo => {
                // It makes its reply FIFOs in CHROOT_DIR/tmp: the folder where the server looks for them.
                let folder = setup.folder.path();
                symlink(".", folder.join("tmp")).unwrap();
                let fifo = setup.fifo_path();
                format!("OSIPS_FIFO='{}'\nCHROOT_DIR='{}'", fifo.display(), folder.display())
            }
        };
        let lines = [
            engine,
            format!("OSIPSUNIX='{}'", env!("CARGO_BIN_EXE_opensipsunix")),
            format!("OSIPS_UNIXSOCK='{}'", setup.socket().display()),
            format!("OSIPSBIN='{}'", env!("CARGO_BIN_EXE_opensips-mi")),
            format!("PID_FILE='{}'", setup.folder.join("opensips.pid").display()),
            format!("STARTOPTIONS='-f {}'", setup.config_path().display()),
            format!("MYLIBDIR='{}'", folder.display()),
            "SIP_DOMAIN=example.org".to_owned(),
            "WATCH_PERIOD=0.05".to_owned(),
        ];
        fs::write(home.join(".opensipsctlrc"), lines.join("\n") + "\n").unwrap();
        Some(Self { program, home })
    }

    /// With another line in its `.opensipsctlrc`.
    fn with(self, line: &str) -> Self {
        let path = self.home.join(".opensipsctlrc");
        let lines = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{lines}{line}\n")).unwrap();
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("HOME", self.home.path()).env("TERM", "dumb");
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Outcome {
        run(&mut self.command(args), b"")
    }

    /// Runs a command that must work.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let outcome = self.run(args);
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{args:?}: {outcome:#?}");
        outcome.stdout
    }
}

/// Numbers that differ from one moment to the next, as `#`.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if shown.ends_with('#') => {}
            '0'..='9' => shown.push('#'),
            other => shown.push(other),
        }
    }
    shown
}

/// What opensipsctl shows is the reply without its first line.
#[test]
fn opensipsctl_asks_the_server() {
    for engine in ENGINES {
        let server = Setup::unix().workers(2).fifo().start();
        let Some(opensipsctl) = Opensipsctl::new("opensipsctl", engine, &server.setup) else { return };
        for (args, request) in [
            (&["ps"][..], ":ps:\n"),
            (&["which"], ":which:\n"),
            (&["uptime"], ":uptime:\n"),
            (&["version"], ":version:\n"),
            (&["get_statistics", "core:"], ":get_statistics:\ncore:\n"),
            (&["get_statistics", "shmem:", "load:"], ":get_statistics:\nshmem:\nload:\n"),
            (&["debug", "2"], ":debug:\n"),
            (&["help", "ps"], ":help:\nps\n"),
        ] {
            let shown = opensipsctl.ok(&[&[engine.word()], args].concat());
            let reply = String::from_utf8(server.ask(request.as_bytes())).unwrap();
            let wanted = reply.strip_prefix("200 OK\n").unwrap();
            assert!(!wanted.is_empty(), "{args:?}");
            let same = if args[0] == "ps" {
                shown == wanted
            } else {
                without_numbers(&shown) == without_numbers(wanted)
            };
            assert!(same, "{engine:?} {args:?}: wanted {wanted}, found {shown}");
        }
        assert_eq!(opensipsctl.ok(&[engine.word(), "debug"]), "DEBUG:: 2\n", "the level that it set");
        let ps = opensipsctl.ok(&["ps"]);
        assert_eq!(ps.lines().count(), 5, "attendant, two workers, FIFO, time keeper: {ps}");
        let unknown = match engine {
            Engine::Unixsock => "500 command not available\n",
            Engine::Fifo => "500 command 'nope' not available\n",
        };
        assert_eq!(opensipsctl.ok(&[engine.word(), "nope"]), unknown);
        server.stop_clean(&[]);
    }
}

/// Each of many gets its own reply, whole and at once, ten at a time. That of OpenSIPS 2.4 writes under a lock. Older
/// ones write line by line, so that their lines come mixed, and nobody can tell whose a parameter is: these ask without
/// parameters at once, and with parameters one after the other.
#[test]
fn opensipsctl_gets_its_own_reply_among_many() {
    let server = Setup::unix().fifo().start();
    let Some(opensipsctl) = Opensipsctl::new("opensipsctl among many", Engine::Fifo, &server.setup) else {
        return;
    };
    let requests: [&[&str]; 5] = [
        &["which"],
        &["ps"],
        &["help", "ps"],
        &["get_statistics", "drop_requests", "drop_replies"],
        &["nope"],
    ];
    let ask = |args: &[&str]| opensipsctl.ok(&[&["fifo"], args].concat());
    let wanted = requests.map(ask);
    let library = opensipsctl.program.with_extension("fifo");
    let is_locked = fs::read_to_string(library).unwrap().contains("FLOCK");
    let (at_once, alone): (Vec<_>, Vec<_>) =
        (0..requests.len()).cycle().take(50).partition(|&at| is_locked || requests[at].len() == 1);
    std::thread::scope(|scope| {
        for chunk in at_once.chunks(at_once.len().div_ceil(10)) {
            let (ask, wanted) = (&ask, &wanted);
            scope.spawn(move || chunk.iter().for_each(|&at| assert_eq!(ask(requests[at]), wanted[at])));
        }
    });
    alone.into_iter().for_each(|at| assert_eq!(ask(requests[at]), wanted[at]));
    let counted = server.ask(b":get_statistics:\nfifo_requests\nfifo_timeouts\nfifo_dropped_replies\n");
    let wanted = "200 OK\nmi:fifo_requests:: 55\nmi:fifo_timeouts:: 0\nmi:fifo_dropped_replies:: 0\n";
    assert_eq!(String::from_utf8_lossy(&counted), wanted);
    let left = fs::read_dir(server.setup.folder.path()).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("o")).collect();
    assert_eq!(left, ["opensips.cfg"], "reply FIFOs are left");
    server.stop_clean(&[]);
}

#[test]
fn opensipsctl_starts_restarts_and_stops_the_server() {
    let setup = Setup::unix().workers(2);
    let pid_file = setup.folder.join("opensips.pid");
    let Some(opensipsctl) = Opensipsctl::new("opensipsctl start", Engine::Unixsock, &setup) else { return };
    fs::write(setup.config_path(), setup.config()).unwrap();
    let keeper = Keeper(&setup);
    let pid = || fs::read_to_string(&pid_file).unwrap().trim().parse::<i32>().unwrap();

    let said = opensipsctl.ok(&["start"]);
    let first = pid();
    assert!(said.contains(&format!("started (pid: {first})")), "{said}");
    assert_eq!(opensipsctl.ok(&["ps"]).lines().count(), 4);
    let again = opensipsctl.run(&["start"]);
    assert!(again.status.code() == Some(1) && again.stdout.contains("already running"), "{again:#?}");
    assert!(is_alive(first) && pid() == first, "a second start touched the server");

    let said = opensipsctl.ok(&["restart"]);
    let second = pid();
    assert!(second != first && said.contains(&format!("started (pid: {second})")), "{said}");
    assert!(!is_alive(first), "the first server runs on");
    assert_eq!(opensipsctl.ok(&["ps"]).lines().count(), 4);

    let said = opensipsctl.ok(&["stop"]);
    assert!(said.contains("stopped"), "{said}");
    keeper.wait_gone(&[&pid_file, setup.socket()]);
    assert_eq!(opensipsctl.run(&["stop"]).status.code(), Some(1), "there is nothing to stop");
}

/// A server with the tables `location` and `aliases`.
fn user_location() -> Server {
    Setup::unix().workers(2).fifo().module("usrloc").param_of("usrloc", "domain", "\"aliases\"").start()
}

/// A contact as `ul show` shows it.
fn contact(uri: &str, expires: &str) -> String {
    format!(
        "\t\tContact:: {uri} Q=1\n\t\t\tExpires:: {expires}\n\t\t\tCallid:: dfjrewr12386fd6-343@opensips.mi\n\
         \t\t\tCseq:: 1\n\t\t\tUser-agent:: OpenSIPS MI Server\n\t\t\tState:: CS_NEW\n\t\t\tFlags:: 0\n\
         \t\t\tCflags:: \n\t\t\tMethods:: 4294967295\n"
    )
}

/// The lines of an AOR in `ul show`.
fn lines_of(shown: &str, aor: &str) -> String {
    let mut lines = shown.lines().skip_while(|line| *line != format!("\tAOR:: {aor}")).skip(1);
    let mut found = String::new();
    while let Some(line) = lines.next().filter(|line| line.starts_with("\t\t")) {
        found += &format!("{line}\n");
    }
    found
}

#[test]
fn opensipsctl_adds_shows_and_removes_contacts() {
    ENGINES.into_iter().for_each(adds_shows_and_removes_contacts);
}

fn adds_shows_and_removes_contacts(engine: Engine) {
    let server = user_location();
    let Some(opensipsctl) = Opensipsctl::new("opensipsctl ul", engine, &server.setup) else { return };
    assert_eq!(opensipsctl.ok(&["online"]), "");
    for added in [
        &["alice", "sip:alice@192.0.2.1"][..],
        &["alice", "sip:alice@192.0.2.2:5070"],
        &["bob@example.net", "sip:bob@host.example.net", "86400"],
    ] {
        assert_eq!(opensipsctl.ok(&[&["ul", "add"], added].concat()), "", "{added:?}");
    }

    let shown = opensipsctl.ok(&["ul", "show"]);
    assert!(shown.starts_with("Domain:: location table=512 records=2\n"), "{shown}");
    assert!(shown.ends_with("Domain:: aliases table=512 records=0\n"), "{shown}");
    let both =
        contact("sip:alice@192.0.2.1", "permanent") + &contact("sip:alice@192.0.2.2:5070", "permanent");
    assert_eq!(lines_of(&shown, "alice"), both, "{shown}");
    // Seconds may have passed.
    let bob = without_numbers(&contact("sip:bob@host.example.net", "86400"));
    assert_eq!(without_numbers(&lines_of(&shown, "bob")), bob, "{shown}");

    let brief = opensipsctl.ok(&["ul", "show", "--brief"]);
    let mut aors: Vec<&str> = brief.lines().filter_map(|line| line.strip_prefix("\tAOR:: ")).collect();
    aors.sort_unstable();
    assert_eq!((aors, brief.lines().count()), (vec!["alice", "bob"], 4), "{brief}");
    assert_eq!(opensipsctl.ok(&["online"]), "alice\nbob\n");

    let one = |uri: &str| {
        format!(
            "Contact:: <{uri}>;q=1;expires=0;flags=0x0;cflags=0x0;socket=<NULL>;\
             callid=<dfjrewr12386fd6-343@opensips.mi>;methods=0xFFFFFFFF;user_agent=<OpenSIPS MI Server>\n"
        )
    };
    let first = one("sip:alice@192.0.2.1");
    assert_eq!(
        opensipsctl.ok(&["ul", "show", "alice"]),
        format!("{first}{}", one("sip:alice@192.0.2.2:5070"))
    );
    assert_eq!(opensipsctl.ok(&["ul", "rm", "alice", "sip:alice@192.0.2.2:5070"]), "");
    assert_eq!(opensipsctl.ok(&["ul", "show", "alice"]), first);
    assert_eq!(opensipsctl.ok(&["ul", "rm", "alice"]), "");
    assert_eq!(opensipsctl.ok(&["ul", "show", "alice"]), "404 AOR not found\n");
    assert_eq!(opensipsctl.ok(&["online"]), "bob\n");
    server.stop_clean(&[]);
}

/// With `ALIASES_TYPE=UL` it looks for an alias of the name before it adds; that of OpenSIPS 2 no longer does.
#[test]
fn opensipsctl_asks_for_aliases_before_it_adds() {
    let server = user_location();
    let Some(opensipsctl) = Opensipsctl::new("opensipsctl ul add", Engine::Fifo, &server.setup) else {
        return;
    };
    if !fs::read_to_string(&opensipsctl.program).unwrap().contains("check_ul_alias") {
        return skip("opensipsctl ul add", "this opensipsctl has no aliases in user location");
    }
    let opensipsctl = opensipsctl.with("ALIASES_TYPE=UL").with("ALS_TABLE=aliases");
    let add = ["fifo", "ul_add", "aliases", "carol@example.org", "sip:alice@example.org"];
    assert_eq!(opensipsctl.ok(&[&add[..], &["0", "1", "0", "0", "0", "0"]].concat()), "");
    assert_eq!(opensipsctl.ok(&["ul", "add", "alice", "sip:alice@192.0.2.1"]), "");
    let refused = opensipsctl.run(&["ul", "add", "carol", "sip:carol@192.0.2.1"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:#?}");
    assert!(refused.stdout.contains("Contact:: <sip:alice@example.org>"), "{refused:#?}");
    assert_eq!(opensipsctl.ok(&["online"]), "alice\ncarol\n");
    assert_eq!(opensipsctl.ok(&["ul", "show", "carol"]), "404 AOR not found\n");
}

/// One screen of `monitor`; the statistics of SIP are those of modules that are not there. This engine asks for each
/// on its own.
const UNIXSOCK_SCREEN: &str = "\
Server:: OpenSIPS
Now:: DATE
Up since:: DATE
Up time:: # [sec]
Transaction Statistics
404 Statistics Not Found
404 Statistics Not Found
404 Statistics Not Found
Stateless Server Statistics
404 Statistics Not Found
404 Statistics Not Found
404 Statistics Not Found
UsrLoc Stats
usrloc:registered_users:: 1
usrloc:location-users:: 1
usrloc:location-contacts:: 2
usrloc:location-expires:: 0
";

/// The same by FIFO.
const FIFO_SCREEN: &str = "\
Server:: OpenSIPS
Now:: DATE
Up since:: DATE
Up time:: # [sec]

Transaction Statistics: 
404 Statistics Not Found

Stateless Server Statistics: 
404 Statistics Not Found

UsrLoc Stats: 
usrloc:registered_users:: 1
usrloc:location-users:: 1
usrloc:location-contacts:: 2
usrloc:location-expires:: 0
usrloc:aliases-users:: 0
usrloc:aliases-contacts:: 0
usrloc:aliases-expires:: 0
";

/// A screen without what differs from one moment, or one machine, to the next.
fn plain(screen: &str) -> String {
    let line = |line: &str| match line.split_once(":: ") {
        Some((name @ ("Now" | "Up since"), _)) => format!("{name}:: DATE\n"),
        Some(("Server", version)) if version.starts_with("OpenSIPS (") => "Server:: OpenSIPS\n".to_owned(),
        Some(("Up time", time)) => format!("Up time:: {}\n", without_numbers(time)),
        _ => format!("{line}\n"),
    };
    screen.lines().map(line).collect()
}

#[test]
fn opensipsctl_monitors_the_server() {
    monitors_the_server(Engine::Unixsock, UNIXSOCK_SCREEN);
}

#[test]
fn opensipsctl_monitors_the_server_by_fifo() {
    monitors_the_server(Engine::Fifo, FIFO_SCREEN);
}

fn monitors_the_server(engine: Engine, wanted: &str) {
    let server = user_location();
    let Some(opensipsctl) = Opensipsctl::new("opensipsctl monitor", engine, &server.setup) else { return };
    for uri in ["sip:alice@192.0.2.1", "sip:alice@192.0.2.2"] {
        assert_eq!(opensipsctl.ok(&["ul", "add", "alice", uri]), "");
    }
    // It goes on for ever; each of its commands is of its process group.
    let (screens, errors) = (opensipsctl.home.join("screens"), opensipsctl.home.join("errors"));
    let mut command = opensipsctl.command(&["monitor"]);
    command.process_group(0).stdin(Stdio::null());
    command.stdout(File::create(&screens).unwrap()).stderr(File::create(&errors).unwrap());
    let monitor = Running(command.spawn().expect("opensipsctl"));
    let shown = wait_for("three screens", || {
        let shown = fs::read_to_string(&screens).unwrap();
        shown.contains("[cycle #: 4;").then_some(shown)
    });
    killpg(Pid::from_raw(i32::try_from(monitor.0.id()).unwrap()), Signal::SIGKILL).unwrap();
    drop(monitor);
    assert_eq!(fs::read_to_string(&errors).unwrap(), "");
    let mut found = shown.split("[cycle #: ").skip(1);
    for cycle in 1..=3 {
        let screen = found.next().unwrap();
        let head = format!("{cycle}; if constant make sure server lives]\n");
        let screen = screen.strip_prefix(&head).unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(plain(screen), wanted, "{shown}");
    }
}
