//! The socket file: its mode and owner, and what stood at its path before.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

use crate::support::{HELP, HELP_REPLY, Setup, assert_same, skip, user_of};

/// Longest path of a socket, in bytes; `sun_path` holds one more, the final zero.
const MAX_PATH_BYTES: usize = 107;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_mode_is_0660_or_what_is_given_as_integer_or_string() {
    let forms = [
        (None, 0o660),
        (Some("0600"), 0o600),
        (Some("\"0600\""), 0o600),
        (Some("0666"), 0o666),
        (Some("\"0666\""), 0o666),
        (Some("432"), 0o660),
        (Some("0x180"), 0o600),
        (Some("0777"), 0o777),
        (Some("0640"), 0o640),
    ];
    for (value, wanted) in forms {
        let mut setup = Setup::unix();
        if let Some(value) = value {
            setup = setup.param("unix_socket_mode", value);
        }
        let server = setup.start();
        let found = mode(server.socket());
        assert_eq!(found, wanted, "unix_socket_mode {value:?}: {found:o} instead of {wanted:o}");
        server.stop_clean(&[]);
    }
}

/// Differs: C leaves the mode that the umask gave.
#[test]
fn mode_0_means_0600_with_a_warning() {
    for value in ["0", "\"0\""] {
        let server = Setup::unix().param("unix_socket_mode", value).start();
        assert_eq!(mode(server.socket()), 0o600, "unix_socket_mode {value}");
        let stderr = server.stderr();
        assert!(stderr.contains("unix_socket_mode"), "unix_socket_mode {value}: no warning in\n{stderr}");
        server.stop_clean(&[]);
    }
}

#[test]
fn the_owner_is_given_by_name_or_number() {
    if !Uid::effective().is_root() {
        return skip("permissions::the_owner_is_given_by_name_or_number", "needs root");
    }
    let user = User::from_name("nobody").unwrap().expect("the user nobody");
    let group = Group::from_gid(user.gid).unwrap().expect("a name for the group of nobody");
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let users = ["\"nobody\"".to_owned(), format!("\"{uid}\""), uid.to_string()];
    let groups = [format!("\"{}\"", group.name), format!("\"{gid}\""), gid.to_string()];
    for (user, group) in users.iter().zip(&groups) {
        let setup = Setup::unix().param("unix_socket_user", user).param("unix_socket_group", group);
        let server = setup.start();
        let found = fs::metadata(server.socket()).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid), "user {user}, group {group}");
        server.stop_clean(&[]);
    }
    let server = Setup::unix().param("unix_socket_group", &groups[0]).start();
    let found = fs::metadata(server.socket()).unwrap();
    assert_eq!((found.uid(), found.gid()), (Uid::effective().as_raw(), gid), "the group alone");
    server.stop_clean(&[]);
}

#[test]
fn an_unknown_owner_is_refused() {
    for (name, value) in [("unix_socket_user", "no-such-user"), ("unix_socket_group", "no-such-group")] {
        let setup = Setup::unix().param(name, &format!("\"{value}\""));
        setup.refuse().assert_refused(name, &[name, value]);
        assert!(!setup.socket().exists(), "{name}: the socket was made");
    }
}

#[test]
fn the_server_answers_without_root() {
    if !Uid::effective().is_root() {
        return skip("permissions::the_server_answers_without_root", "needs root");
    }
    let user = User::from_name("nobody").unwrap().expect("the user nobody");
    let setup = Setup::unix().workers(2).param("unix_socket_user", "\"nobody\"");
    fs::set_permissions(setup.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let server = setup.arg("-u").arg("nobody").arg("-g").arg(user.gid.to_string()).start();
    assert_same("as nobody", HELP_REPLY, &server.ask(HELP));
    for process in server.wait_for_workers(2) {
        assert_eq!(user_of(process.pid), Some(user.uid.as_raw()), "{process:?}");
    }
    server.stop_clean(&[]);
}

/// A number of 60000 and above that no user has.
fn number_without_user() -> String {
    let uid = (60_000..60_999).find(|&uid| User::from_uid(Uid::from_raw(uid)).unwrap().is_none());
    uid.expect("a number without a user").to_string()
}

/// The group would stay root's.
#[test]
fn a_user_without_an_entry_needs_a_group() {
    let number = number_without_user();
    let setup = Setup::unix().arg("-u").arg(&number);
    let words = ["option -u: user", &number, "has no entry in passwd", "by -g"];
    setup.refuse().assert_refused("-u", &words);
    assert!(!setup.socket().exists());
    let setup = Setup::unix().global(&format!("user=\"{number}\""));
    setup.refuse().assert_refused("user", &["opensips.cfg:3:", &number, "by group="]);
    setup.check().assert_refused("-c", &[&number, "by group="]);

    if !Uid::effective().is_root() {
        return skip("permissions::a_user_without_an_entry_needs_a_group", "needs root");
    }
    let setup = Setup::unix().arg("-u").arg(&number).arg("-g").arg("65534");
    fs::set_permissions(setup.socket().parent().unwrap(), fs::Permissions::from_mode(0o1777)).unwrap();
    let server = setup.param("unix_socket_mode", "0666").start();
    for process in server.wait_for_workers(1) {
        assert_eq!(user_of(process.pid).map(|uid| uid.to_string()), Some(number.clone()));
        let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        assert_eq!(field("Gid:"), "65534\t65534\t65534\t65534");
        assert_eq!(field("Groups:"), "65534");
    }
    server.stop_clean(&[]);
}

#[test]
fn a_stale_socket_is_replaced() {
    let setup = Setup::unix();
    drop(UnixDatagram::bind(setup.socket()).unwrap());
    let stale = fs::metadata(setup.socket()).unwrap();
    assert!(stale.file_type().is_socket());
    fs::set_permissions(setup.socket(), fs::Permissions::from_mode(0o777)).unwrap();
    let server = setup.start();
    assert_same("after a stale socket", HELP_REPLY, &server.ask(HELP));
    assert_eq!(mode(server.socket()), 0o660);
    server.stop_clean(&[]);
}

/// What is at the path, in a form that shows any change.
fn state(path: &Path) -> (u64, u32, u32, Option<std::path::PathBuf>, Option<Vec<u8>>) {
    let found = fs::symlink_metadata(path).unwrap();
    let content = found.is_file().then(|| fs::read(path).unwrap());
    (found.ino(), found.mode(), found.uid(), fs::read_link(path).ok(), content)
}

#[test]
fn anything_but_a_stale_socket_is_refused_and_untouched() {
    type Place = fn(&Path) -> Option<Box<dyn std::any::Any>>;
    let places: [(&str, Place); 8] = [
        ("a regular file", |path| {
            fs::write(path, "precious").unwrap();
            None
        }),
        ("an empty file", |path| {
            fs::write(path, "").unwrap();
            None
        }),
        ("a folder", |path| {
            fs::create_dir(path).unwrap();
            None
        }),
        ("a FIFO", |path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
            None
        }),
        ("a link to a file", |path| {
            fs::write(path.with_extension("target"), "precious").unwrap();
            symlink(path.with_extension("target"), path).unwrap();
            None
        }),
        ("a link to a stale socket", |path| {
            drop(UnixDatagram::bind(path.with_extension("target")).unwrap());
            symlink(path.with_extension("target"), path).unwrap();
            None
        }),
        ("a link to nothing", |path| {
            symlink(path.with_extension("target"), path).unwrap();
            None
        }),
        ("a live stream socket", |path| Some(Box::new(UnixListener::bind(path).unwrap()))),
    ];
    for (what, place) in places {
        let setup = Setup::unix();
        let path = setup.socket().to_owned();
        let held = place(&path);
        let before = state(&path);
        setup.refuse().assert_refused(what, &[&path.display().to_string()]);
        assert_eq!(state(&path), before, "{what} was touched");
        let target = path.with_extension("target");
        match what {
            "a link to nothing" => assert!(!target.exists(), "the server bound through the link"),
            "a link to a file" => assert_eq!(fs::read(&target).unwrap(), b"precious"),
            "a link to a stale socket" => assert!(target.exists(), "the link's target was removed"),
            _ => {}
        }
        drop(held);
    }
}

#[test]
fn the_socket_of_a_live_server_is_refused_and_untouched() {
    let first = Setup::unix().start();
    let before = state(first.socket());
    let second = Setup::unix().param("socket_name", &format!("\"{}\"", first.socket().display()));
    second.refuse().assert_refused("a live socket", &[&first.socket().display().to_string()]);
    assert_eq!(state(first.socket()), before);
    assert_same("the first server", HELP_REPLY, &first.ask(HELP));
    first.stop_clean(&[]);

    let other = Setup::unix();
    let holder = UnixDatagram::bind(other.socket()).unwrap();
    holder.set_nonblocking(true).unwrap();
    other
        .refuse()
        .assert_refused("a live socket of another program", &[&other.socket().display().to_string()]);
    let got = holder.recv(&mut [0; 16]).map_err(|error| error.kind());
    assert_eq!(got, Err(ErrorKind::WouldBlock), "the other program was sent something");
}

#[test]
fn the_longest_path_works_and_a_longer_one_is_refused() {
    let named = |length: usize| {
        let setup = Setup::unix();
        let start = setup.folder.path().as_os_str().len() + 1;
        let path = setup.folder.join(&"s".repeat(length - start));
        assert_eq!(path.as_os_str().len(), length);
        let setup = setup.param("socket_name", &format!("\"{}\"", path.display()));
        (setup, path)
    };
    let (mut setup, path) = named(MAX_PATH_BYTES);
    setup.endpoint = crate::support::Endpoint::Unix(path);
    let server = setup.start();
    assert_same("the longest path", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);

    for length in [MAX_PATH_BYTES + 1, 200] {
        let (setup, path) = named(length);
        setup.refuse().assert_refused("an over-long path", &[&path.display().to_string()]);
        let entries = fs::read_dir(setup.folder.path()).unwrap().flatten();
        let cut = entries.filter(|entry| entry.file_type().unwrap().is_socket()).count();
        assert_eq!(cut, 0, "a socket with a cut name was made");
    }
}

#[test]
fn a_missing_folder_is_refused_by_name() {
    let setup = Setup::unix();
    let path = setup.folder.join("missing/mi.sock");
    let setup = setup.param("socket_name", &format!("\"{}\"", path.display()));
    setup.refuse().assert_refused("a missing folder", &[&path.display().to_string()]);
    assert!(!path.parent().unwrap().exists());
}

/// The end removes the server's own socket, nothing that somebody put in its place.
#[test]
fn what_took_the_place_of_the_socket_stays() {
    let mut server = Setup::unix().start();
    let path = server.socket().to_owned();
    let file = path.with_extension("new");
    fs::write(&file, "precious").unwrap();
    fs::rename(&file, &path).unwrap();
    let status = server.stop(nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(status.success(), "{status:?}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_group_number_works_without_a_name() {
    if !Uid::effective().is_root() {
        return skip("permissions::a_group_number_works_without_a_name", "needs root");
    }
    let gid = (60_000..60_999).find(|&gid| Group::from_gid(Gid::from_raw(gid)).unwrap().is_none()).unwrap();
    let server = Setup::unix().param("unix_socket_group", &gid.to_string()).start();
    assert_eq!(fs::metadata(server.socket()).unwrap().gid(), gid);
    server.stop_clean(&[]);
}
