//! Files that others have prepared where the server is going to write, locks that others hold, and folders that the
//! server's user may not enter.

use std::fs::{self, File, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::support::{
    Endpoint, HELP, HELP_REPLY, Kind, Setup, Signal, assert_same, free_tcp_port, skip, wait_for,
};

/// A server that writes `file` in its folder.
type Writer = fn(Setup, &Path) -> Setup;

/// Every setting that names a file to write.
const WRITERS: [(&str, Writer); 4] = [
    ("-P", |setup, file| setup.arg("-P").arg(file)),
    ("-G", |setup, file| setup.arg("-G").arg(file)),
    ("log_file", |setup, file| {
        let setup = setup.module("mi_xmlrpc").param_of(
            "mi_xmlrpc",
            "port",
            &free_tcp_port(Ipv4Addr::LOCALHOST.into()).to_string(),
        );
        setup.param_of("mi_xmlrpc", "log_file", &format!("\"{}\"", file.display()))
    }),
    ("restart_persistency_cache_file", |setup, file| {
        let setup = setup.module("cachedb_local");
        let setup = setup.param_of("cachedb_local", "enable_restart_persistency", "1");
        setup.global(&format!("restart_persistency_cache_file=\"{}\"", file.display()))
    }),
];

/// Something at the path of a file, and a part of what the refusal says.
type Prepared = (&'static str, fn(&Path));

const PREPARED: [Prepared; 5] = [
    ("has 2 names (hard links)", |path| {
        put(&path.with_extension("target"), 0o644);
        fs::hard_link(path.with_extension("target"), path).unwrap();
    }),
    ("is a symbolic link", |path| {
        put(&path.with_extension("target"), 0o644);
        std::os::unix::fs::symlink(path.with_extension("target"), path).unwrap();
    }),
    ("is a FIFO", |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()),
    ("has mode 0666", |path| put(path, 0o666)),
    ("has mode 0664", |path| put(path, 0o664)),
];

fn put(path: &Path, mode: u32) {
    fs::write(path, "").unwrap();
    set_mode(path, mode);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn nobody() -> User {
    User::from_name("nobody").unwrap().expect("the user nobody")
}

#[test]
fn a_prepared_file_is_refused_with_the_reason() {
    for (setting, writer) in WRITERS {
        for (reason, prepare) in PREPARED {
            let setup = Setup::unix();
            let file = setup.folder.join("file");
            prepare(&file);
            let what = format!("{setting}: {reason}");
            writer(setup, &file).refuse().assert_refused(&what, &[&file.display().to_string(), reason]);
            let target = file.with_extension("target");
            if target.exists() {
                assert_eq!(fs::read(&target).unwrap(), b"", "{what}: the other file was written to");
            }
        }
    }
}

#[test]
fn a_file_of_another_user_is_refused_unless_the_server_runs_as_that_user() {
    if !Uid::effective().is_root() {
        let test = "own_files::a_file_of_another_user_is_refused_unless_the_server_runs_as_that_user";
        return skip(test, "needs root");
    }
    for (setting, writer) in WRITERS {
        let setup = Setup::unix();
        let file = setup.folder.join("file");
        put(&file, 0o644);
        chown(&file, Some(nobody().uid.as_raw()), None).unwrap();
        let setup = writer(setup, &file);
        setup.refuse().assert_refused(setting, &["belongs to user nobody, not to root", "remove it"]);
        let server = setup.arg("-u").arg("nobody").start();
        assert_same(setting, HELP_REPLY, &server.ask(HELP));
    }
}

#[test]
fn a_folder_in_which_everybody_may_rename_is_refused_for_files_and_warned_of_for_sockets() {
    for (setting, writer) in WRITERS {
        let setup = Setup::unix();
        let inner = setup.folder.join("inner");
        fs::create_dir(&inner).unwrap();
        set_mode(&inner, 0o777);
        let setup = writer(setup, &inner.join("file"));
        setup.refuse().assert_refused(setting, &["writable for all without the sticky bit", "chmod +t"]);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0, "{setting}");
        set_mode(&inner, 0o1777);
        setup.start().stop_clean(&[]);
    }
    let setup = Setup::unix().fifo();
    set_mode(setup.folder.path(), 0o777);
    let server = setup.start();
    let told = server.stderr().matches("writable for all without the sticky bit").count();
    assert_eq!(told, 2, "{}", server.stderr());
    server.stop_clean(&[]);
}

/// Everybody may read the file, and so wait for its lock, which is theirs when the server is killed.
#[test]
fn a_lock_on_the_pid_file_that_others_hold_does_not_stop_the_next_start() {
    let setup = Setup::unix();
    let (pid, pgid): (PathBuf, PathBuf) = (setup.folder.join("pid"), setup.folder.join("pgid"));
    let mut server = setup.arg("-P").arg(&pid).arg("-G").arg(&pgid).start();
    let files = [&pid, &pgid].map(|path| File::open(path).unwrap());
    for file in &files {
        assert!(file.try_lock().is_err(), "the server holds no lock");
    }
    server.stop(Signal::SIGKILL);
    wait_for("the locks of the killed server", || {
        files.iter().all(|file| file.try_lock().is_ok()).then_some(())
    });

    let second = Setup::unix().arg("-P").arg(&pid).arg("-G").arg(&pgid).start();
    assert!(second.stderr().contains("holds the lock of the file of an earlier one"), "{}", second.stderr());
    assert_eq!(fs::read_to_string(&pid).unwrap(), format!("{}\n", second.pid()));
    // Its own file is locked again, for everybody.
    for path in [&pid, &pgid] {
        assert!(File::open(path).unwrap().try_lock().is_err(), "{}", path.display());
    }
    for option in ["-P", "-G"] {
        let path = if option == "-P" { &pid } else { &pgid };
        let third = Setup::unix().arg(option).arg(path);
        third.refuse().assert_refused(option, &["is running"]);
    }
    second.stop_clean(&[&pid, &pgid]);
}

/// A daemon's group has a leader that has ended.
#[test]
fn the_group_file_of_a_daemon_is_not_taken_from_it() {
    let setup = Setup::unix();
    let pgid = setup.folder.join("pgid");
    let (outcome, server) = setup.arg("-G").arg(&pgid).start_daemon();
    assert!(outcome.status.success(), "{outcome:#?}");
    let before = fs::read(&pgid).unwrap();
    Setup::unix().arg("-G").arg(&pgid).refuse().assert_refused("the same -G", &["is running"]);
    assert_eq!(fs::read(&pgid).unwrap(), before);
    server.stop_clean(&[&pgid]);
}

/// Sockets that cannot be seen are whole: they answer, nobody is told to remove them, and they are not made again.
#[test]
fn a_folder_that_the_servers_user_may_not_enter_is_told_as_what_it_is() {
    if !Uid::effective().is_root() {
        let test = "own_files::a_folder_that_the_servers_user_may_not_enter_is_told_as_what_it_is";
        return skip(test, "needs root");
    }
    let setup = Setup::unix().fifo();
    let closed = setup.folder.path().to_owned();
    let mut server = setup.arg("-u").arg("nobody").start_while(|_| ());
    // The workers answer from where they are.
    set_mode(&closed, 0o750);
    let told = format!("user nobody cannot enter {}; make", closed.display());
    for kind in ["socket", "FIFO"] {
        let line = format!("cannot see whether the {kind} is still there: {told}");
        wait_for(&line, || server.stderr().contains(&line).then_some(()));
    }
    let client = server.client_of(Kind::Abstract);
    assert_same("behind a closed folder", HELP_REPLY, &client.ask(HELP));
    let stderr = server.stderr();
    for wrong in ["vanished", "is not our socket", "remove what is there"] {
        assert!(!stderr.contains(wrong), "{wrong}: {stderr}");
    }
    // Each is said once.
    assert_eq!(stderr.matches("cannot see whether").count(), 2, "{stderr}");
    set_mode(&closed, 0o777);
    fs::remove_file(server.socket()).unwrap();
    wait_for("the socket again", || server.socket().exists().then_some(()));
    set_mode(&closed, 0o750);
    server.stop(Signal::SIGTERM);
    assert!(server.stderr().contains("cannot remove"), "{}", server.stderr());

    let mut setup = Setup::unix().arg("-u").arg("nobody");
    let closed = setup.folder.join("closed");
    fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o750);
    setup.endpoint = Endpoint::Unix(closed.join("socket"));
    let mut server = setup.param("socket_name", &format!("\"{}\"", closed.join("socket").display())).start();
    let told = format!("user nobody cannot enter {}; make", closed.display());
    let line = "whether it vanishes cannot be seen, as ".to_owned() + &told;
    assert!(server.stderr().contains(&line), "{}", server.stderr());
    server.stop(Signal::SIGTERM);
}
