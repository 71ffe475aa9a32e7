//! The init script and the install script, in a tree of their own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::interop::answers;
use crate::scripted::{Keeper, Running, exists, run};
use crate::support::{Folder, Outcome, Setup, Signal, is_alive, send, skip, user_of, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_opensips-mi");

/// Exit statuses of an init script. C: none; Linux Standard Base, "Init Script Actions".
const DEAD_WITH_PID_FILE: i32 = 1;
const NOT_RUNNING: i32 = 3;
const WRONG_ARGUMENT: i32 = 2;
const NOT_INSTALLED: i32 = 5;
const NOT_CONFIGURED: i32 = 6;
const NOT_RUNNING_TO_RELOAD: i32 = 7;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

/// What the init script needs below one folder: configuration, defaults, run folder.
struct Tree {
    setup: Setup,
    daemon: PathBuf,
}

impl Tree {
    /// `None`, said aloud, where an init script cannot work.
    fn new(test: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip(test, "an init script needs root");
            return None;
        }
        if !["/usr/sbin", "/sbin"].iter().any(|folder| Path::new(folder).join("start-stop-daemon").exists()) {
            skip(test, "no start-stop-daemon");
            return None;
        }
        let tree = Self { setup: Setup::unix(), daemon: PathBuf::from(PROGRAM) };
        tree.configure(&format!(
            "loadmodule \"mi_datagram.so\"\n\
             modparam(\"mi_datagram\", \"socket_name\", \"{}\")\n\
             modparam(\"mi_datagram\", \"children_count\", 2)\n",
            tree.socket().display()
        ));
        tree.default_settings("RUN_OPENSIPS=yes\nUSER=nobody\nGROUP=nogroup\nS_MEMORY=\"8 MB\"\n");
        Some(tree)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.setup.folder.join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("run/mi.sock")
    }

    fn pid_file(&self) -> PathBuf {
        self.path("run/opensips.pid")
    }

    #[track_caller]
    fn pid(&self) -> i32 {
        let file = self.pid_file();
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.trim().parse().unwrap()
    }

    fn configure(&self, text: &str) {
        fs::write(self.setup.config_path(), text).unwrap();
    }

    fn configuration(&self) -> String {
        fs::read_to_string(self.setup.config_path()).unwrap()
    }

    fn default_settings(&self, text: &str) {
        fs::write(self.path("defaults"), text).unwrap();
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg(script("opensips-mi.init")).arg(action).env_clear();
        command.env("DAEMON", &self.daemon).env("CFGFILE", self.setup.config_path());
        command.env("HOMEDIR", self.path("run")).env("DEFAULTS", self.path("defaults"));
        command.env("M4CFGFILE", self.path("opensips.m4")).env("M4ARCHIVEDIR", self.path("archive"));
        command
    }

    #[track_caller]
    fn run(&self, action: &str) -> Outcome {
        run(&mut self.command(action), b"")
    }

    /// Runs an action that must end with this status.
    #[track_caller]
    fn ends(&self, action: &str, status: i32) -> Outcome {
        let outcome = self.run(action);
        assert_eq!(outcome.status.code(), Some(status), "{action}: {outcome:#?}");
        outcome
    }

    fn answers(&self) -> bool {
        answers(&self.socket(), self.setup.folder.path())
    }
}

#[test]
fn the_init_script_starts_restarts_and_stops() {
    let Some(tree) = Tree::new("the_init_script_starts_restarts_and_stops") else { return };
    let keeper = Keeper(&tree.setup);
    tree.ends("status", NOT_RUNNING);
    tree.ends("start", 0);
    let first = tree.pid();
    assert!(tree.answers(), "start returned before the server answers");
    assert_eq!(user_of(first), Some(nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw()));
    let said = tree.ends("status", 0).stdout;
    assert!(said.contains(&first.to_string()), "{said}");
    assert!(tree.ends("start", 0).stdout.contains("already running"));
    assert_eq!(tree.pid(), first, "a second start started something");

    for action in ["restart", "force-reload"] {
        let before = tree.pid();
        tree.ends(action, 0);
        assert_ne!(tree.pid(), before, "{action}");
        assert!(!is_alive(before) && tree.answers(), "{action}");
    }
    tree.ends("stop", 0);
    keeper.wait_gone(&[&tree.pid_file(), &tree.socket()]);
    tree.ends("status", NOT_RUNNING);
    tree.ends("stop", 0);
    tree.ends("restart", 0);
    assert!(tree.answers(), "restart starts a server that did not run");
}

#[test]
fn the_init_script_reloads_and_says_what_that_does() {
    let Some(tree) = Tree::new("the_init_script_reloads_and_says_what_that_does") else { return };
    let _keeper = Keeper(&tree.setup);
    assert!(tree.ends("reload", NOT_RUNNING_TO_RELOAD).stderr.contains("not running"));
    tree.ends("start", 0);
    let before = tree.pid();
    fs::remove_file(tree.socket()).unwrap();
    assert!(tree.ends("reload", 0).stdout.contains("for a changed configuration run"));
    wait_for("the socket again", || tree.answers().then_some(()));
    assert_eq!(tree.pid(), before, "reload replaced the server");
    tree.ends("stop", 0);
}

#[test]
fn the_init_script_knows_a_server_that_died() {
    let Some(tree) = Tree::new("the_init_script_knows_a_server_that_died") else { return };
    let _keeper = Keeper(&tree.setup);
    tree.ends("start", 0);
    let pid = tree.pid();
    send(pid, Signal::SIGKILL);
    wait_for("the end of all processes", || tree.setup.processes().is_empty().then_some(()));
    wait_for("the system to forget it", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    tree.ends("status", DEAD_WITH_PID_FILE);
    tree.ends("start", 0);
    assert!(tree.answers(), "over the pid file and the socket of a dead server");
    tree.ends("status", 0);
}

/// As in a container whose first process reaps nobody: a killed server stays in the process table as a zombie.
#[test]
fn a_zombie_does_not_keep_the_pid_file() {
    let Some(tree) = Tree::new("a_zombie_does_not_keep_the_pid_file") else { return };
    let _keeper = Keeper(&tree.setup);
    let debug = Running(tree.command("debug").stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_for("an answer", || tree.answers().then_some(()));
    let pid = tree.pid();
    send(pid, Signal::SIGKILL);
    wait_for("the end of all processes", || tree.setup.processes().is_empty().then_some(()));
    assert!(Path::new(&format!("/proc/{pid}")).exists(), "somebody reaped it");
    tree.ends("status", DEAD_WITH_PID_FILE);
    tree.ends("start", 0);
    assert!(tree.answers());
    drop(debug);
}

#[test]
fn the_init_script_says_why_it_does_not_start() {
    let Some(mut tree) = Tree::new("the_init_script_says_why_it_does_not_start") else { return };
    let good = tree.configuration();
    let refused = |tree: &Tree, action: &str, status: i32, word: &str| {
        let outcome = tree.ends(action, status);
        assert!(outcome.stderr.contains(word), "{action}: {word:?} is not said: {outcome:#?}");
        // The starting process says why as soon as it knows, and the server's own ends a moment later.
        wait_for("the end of all processes", || tree.setup.processes().is_empty().then_some(()));
        assert!(!tree.socket().exists(), "{action}: the socket is there");
    };
    let file = tree.setup.config_path();
    tree.configure("debug=1\nno_such_global=1\n");
    for action in ["start", "restart", "debug"] {
        refused(&tree, action, NOT_CONFIGURED, &format!("{}:2:1: unknown global", file.display()));
    }
    tree.configure(&format!("fork=no\n{good}"));
    refused(&tree, "start", NOT_CONFIGURED, "fork=no");
    fs::remove_file(&file).unwrap();
    refused(&tree, "start", NOT_CONFIGURED, &file.display().to_string());
    tree.configure(&good.replace("run/mi.sock", "missing/mi.sock"));
    refused(&tree, "start", NOT_CONFIGURED, "missing/mi.sock");
    // The check passes, and yet it cannot start.
    let other = std::os::unix::net::UnixDatagram::bind(tree.path("other.sock")).unwrap();
    tree.configure(&good.replace("run/mi.sock", "other.sock"));
    refused(&tree, "start", 1, "another server is using this socket");
    drop(other);
    tree.configure(&good);
    refused(&tree, "begin", WRONG_ARGUMENT, "usage:");

    tree.default_settings("RUN_OPENSIPS=no\nUSER=nobody\nGROUP=nogroup\n");
    let said = tree.ends("start", 0).stdout;
    assert!(said.contains("RUN_OPENSIPS") && tree.setup.processes().is_empty(), "{said}");
    tree.daemon = tree.path("nothing");
    refused(&tree, "start", NOT_INSTALLED, "nothing");
}

#[test]
fn a_running_server_survives_a_restart_with_a_wrong_configuration() {
    let Some(tree) = Tree::new("a_running_server_survives_a_restart_with_a_wrong_configuration") else {
        return;
    };
    let _keeper = Keeper(&tree.setup);
    tree.ends("start", 0);
    let pid = tree.pid();
    tree.configure("no_such_global=1\n");
    tree.ends("restart", NOT_CONFIGURED);
    assert_eq!(tree.pid(), pid);
    assert!(is_alive(pid) && tree.answers());
}

#[test]
fn the_init_script_debugs_in_the_foreground() {
    let Some(tree) = Tree::new("the_init_script_debugs_in_the_foreground") else { return };
    let _keeper = Keeper(&tree.setup);
    tree.configure(&format!("debug=4\n{}", tree.configuration()));
    let log = tree.path("log");
    let output = || fs::File::options().create(true).append(true).open(&log).unwrap();
    let mut command = tree.command("debug");
    command.stdin(Stdio::null()).stdout(output()).stderr(output());
    let mut debug = Running(command.spawn().unwrap());
    let pid = i32::try_from(debug.0.id()).unwrap();
    wait_for("an answer", || tree.answers().then_some(()));
    assert_eq!(tree.pid(), pid, "the server is the script's own process");
    assert_eq!(tree.run("start").status.code(), Some(0), "already running");
    tree.ends("debug", 1);
    send(pid, Signal::SIGTERM);
    let status = wait_for("the end", || debug.0.try_wait().unwrap());
    let text = fs::read_to_string(&log).unwrap();
    assert!(status.success() && !text.is_empty(), "{status:?}; the log on stderr: {text:?}");
}

#[test]
fn the_init_script_makes_the_configuration_with_m4() {
    if !exists("m4") {
        return skip("the_init_script_makes_the_configuration_with_m4", "no m4");
    }
    let Some(tree) = Tree::new("the_init_script_makes_the_configuration_with_m4") else { return };
    let _keeper = Keeper(&tree.setup);
    let old = tree.configuration();
    let source = format!("define(`WORKERS', `3')dnl\n{}", old.replace("\", 2)", "\", WORKERS)"));
    fs::write(tree.path("opensips.m4"), &source).unwrap();
    tree.ends("start", 0);
    assert_eq!(tree.configuration(), old.replace("\", 2)", "\", 3)"));
    let archived: Vec<_> = fs::read_dir(tree.path("archive")).unwrap().flatten().collect();
    assert_eq!(archived.len(), 1);
    assert_eq!(fs::read_to_string(archived[0].path()).unwrap(), old, "the archived configuration");
    fs::write(tree.path("opensips.m4"), source.replace("`3'", "`none'")).unwrap();
    tree.ends("restart", NOT_CONFIGURED);
    assert!(tree.answers(), "what runs, runs on");
    assert_eq!(tree.configuration(), old.replace("\", 2)", "\", 3)"), "a wrong one took its place");
}

/// Every file below a folder, without the folder.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Runs install.sh with the programs of this build, as if `cargo build --release` had made them.
#[track_caller]
fn install(folder: &Folder, more: &[&str]) -> Outcome {
    let built = folder.join("built/release");
    fs::create_dir_all(&built).unwrap();
    for (name, program) in [("opensips-mi", PROGRAM), ("opensipsunix", env!("CARGO_BIN_EXE_opensipsunix"))] {
        let _there_already = symlink(program, built.join(name));
    }
    let mut command = Command::new("sh");
    command
        .arg(script("install.sh"))
        .args(["--prefix=/usr", "--destdir"])
        .arg(folder.join("root"))
        .args(more);
    for variable in ["PREFIX", "DESTDIR", "SYSCONFDIR", "UNITDIR"] {
        command.env_remove(variable);
    }
    run(command.env("CARGO_TARGET_DIR", folder.join("built")), b"")
}

const CONFIGURATIONS: [&str; 2] = ["etc/default/opensips-mi", "etc/opensips/opensips.cfg"];

/// What is installed besides, with its mode.
const INSTALLED: [(&str, u32); 7] = [
    ("etc/init.d/opensips-mi", 0o755),
    ("usr/lib/systemd/system/opensips-mi.service", 0o644),
    ("usr/sbin/opensips-mi", 0o755),
    ("usr/sbin/opensipsunix", 0o755),
    ("usr/share/doc/opensips-mi/opensips.cfg.example", 0o644),
    ("usr/share/man/man8/opensips-mi.8", 0o644),
    ("usr/share/man/man8/opensipsunix.8", 0o644),
];

/// Folders that are made empty, and removed when they are empty.
const FOLDERS: [&str; 2] = ["var/log/opensips", "var/lib/opensips"];

/// Where the headers for modules in C are.
const HEADERS: &str = "usr/include/opensips-mi";

/// The headers of this project, as they are installed.
fn headers() -> Vec<String> {
    let ours = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("c-compat/include"));
    assert!(ours.iter().any(|name| name == "modules/module/module.mk"), "{ours:?}");
    ours.iter().map(|name| format!("{HEADERS}/{name}")).collect()
}

/// Compiles the example of a C module with what is installed, and has the installed program load it.
fn check_headers(folder: &Folder) {
    if !exists("make") || !exists("cc") {
        return skip("the_install_script_installs_and_uninstalls", "make and a C compiler are needed");
    }
    let (root, own) = (folder.join("root"), folder.join("example"));
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("c-compat/example/example.c");
    fs::create_dir(&own).unwrap();
    fs::copy(example, own.join("example.c")).unwrap();
    let rules = format!("include {}/modules/module/module.mk\n", root.join(HEADERS).display());
    fs::write(own.join("Makefile"), format!("NAME := example\n{rules}")).unwrap();
    let made = run(Command::new("make").arg("-C").arg(&own), b"");
    assert!(made.status.success(), "{made:#?}");
    let configuration = own.join("opensips.cfg");
    fs::write(&configuration, format!("loadmodule \"{}\"\n", own.join("example.so").display())).unwrap();
    let check = run(Command::new(root.join("usr/sbin/opensips")).args(["-c", "-f"]).arg(configuration), b"");
    assert_eq!(check.status.code(), Some(0), "{check:#?}");
}

#[test]
fn the_install_script_installs_and_uninstalls() {
    let folder = Folder::new();
    let root = folder.join("root");
    let outcome = install(&folder, &["--as-opensips"]);
    assert!(outcome.status.success(), "{outcome:#?}");
    let mut wanted: Vec<&str> = INSTALLED.iter().map(|(name, _)| *name).chain(CONFIGURATIONS).collect();
    wanted.push("usr/sbin/opensips");
    let headers = headers();
    wanted.extend(headers.iter().map(String::as_str));
    wanted.sort_unstable();
    assert_eq!(files_below(&root), wanted);
    for folder in FOLDERS {
        let found = fs::metadata(root.join(folder)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, 0o750, "{folder}: {found:o}");
    }
    for (name, mode) in INSTALLED {
        let found = fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{name}: {found:o}");
    }
    let check = run(
        Command::new(root.join("usr/sbin/opensips")).args(["-c", "-f"]).arg(root.join(CONFIGURATIONS[1])),
        b"",
    );
    assert_eq!(check.status.code(), Some(0), "the installed program on the installed file: {check:#?}");

    check_headers(&folder);

    // Again, over a program without its mode and a configuration that was changed.
    fs::write(root.join(CONFIGURATIONS[1]), "# mine\n").unwrap();
    fs::set_permissions(root.join("usr/sbin/opensipsunix"), Permissions::from_mode(0o600)).unwrap();
    let outcome = install(&folder, &["--as-opensips"]);
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_eq!(fs::read_to_string(root.join(CONFIGURATIONS[1])).unwrap(), "# mine\n");
    assert!(outcome.stdout.contains("kept"), "{}", outcome.stdout);
    assert_eq!(fs::metadata(root.join("usr/sbin/opensipsunix")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(files_below(&root), wanted, "after the second run");

    fs::write(root.join(FOLDERS[1]).join("state"), "").unwrap();
    let outcome = install(&folder, &["--uninstall"]);
    assert!(outcome.status.success(), "{outcome:#?}");
    assert!(outcome.stdout.contains(&format!("kept      {}", root.join(FOLDERS[1]).display())));
    assert!(!root.join(FOLDERS[0]).exists(), "an empty folder is left");
    fs::remove_file(root.join(FOLDERS[1]).join("state")).unwrap();
    assert_eq!(files_below(&root), CONFIGURATIONS, "configurations stay");
    assert!(!root.join(HEADERS).exists(), "empty folders of headers are left");
    assert!(install(&folder, &["--uninstall"]).status.success(), "there is nothing left to remove");
}

/// A program named opensips that is not ours is not replaced.
#[test]
fn the_install_script_leaves_a_real_opensips_alone() {
    let folder = Folder::new();
    let theirs = folder.join("root/usr/sbin/opensips");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "theirs").unwrap();
    let outcome = install(&folder, &["--as-opensips"]);
    outcome.assert_refused("--as-opensips", &["is not ours"]);
    assert!(install(&folder, &["--uninstall", "--prefix=/usr"]).status.success());
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    install(&folder, &["--prefix"]).assert_refused("--prefix without a folder", &["--prefix needs a folder"]);
    install(&folder, &["--prefix="]).assert_refused("--prefix= without a folder", &["--prefix="]);
    install(&folder, &["--no-such"]).assert_refused("an unknown option", &["--no-such"]);
}
