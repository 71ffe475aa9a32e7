//! usrloc beyond what the recorded replies show: many clients at once, the end of contacts, a full table, sizes,
//! several tables.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{DEADLINE, Folder, Server, Setup, Signal, assert_same, is_alive, send, wait_for};

const OK: &[u8] = b"200 OK\n";

fn setup() -> Setup {
    Setup::unix().module("usrloc")
}

/// The request that adds a contact; it lives so many seconds, 0 for good.
fn add(table: &str, aor: &str, contact: &str, seconds: u32, q: &str) -> Vec<u8> {
    format!(":ul_add:\n{table}\n{aor}\n{contact}\n{seconds}\n{q}\n0\n0\n0\n0\n").into_bytes()
}

#[track_caller]
fn assert_added(server: &Server, aor: &str, contact: &str, seconds: u32, q: &str) {
    assert_same(contact, OK, &server.ask(&add("location", aor, contact, seconds, q)));
}

fn show(server: &Server, aor: &str) -> String {
    text(server.ask(format!(":ul_show_contact:\nlocation\n{aor}\n").as_bytes()))
}

fn text(reply: Vec<u8>) -> String {
    String::from_utf8(reply).unwrap()
}

/// The URIs of a reply of `ul_show_contact`, in their order; none when there is no such AOR.
#[track_caller]
fn uris(reply: &str) -> Vec<&str> {
    if reply.starts_with("404 ") {
        return Vec::new();
    }
    let lines = reply.strip_prefix("200 OK\n").unwrap_or_else(|| panic!("{reply}")).lines();
    lines.map(|line| line.strip_prefix("Contact:: <").unwrap().split('>').next().unwrap()).collect()
}

/// The values of the group, without their names' beginning.
fn statistics(server: &Server) -> Vec<(String, u64)> {
    let reply = text(server.ask(b":get_statistics:\nusrloc:\n"));
    let lines = reply.strip_prefix("200 OK\n").expect("statistics").lines();
    let pair = |line: &str| {
        let (name, value) = line.strip_prefix("usrloc:")?.split_once(":: ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    lines.map(|line| pair(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

#[track_caller]
fn assert_statistics(server: &Server, wanted: &[(&str, u64)]) {
    let found = statistics(server);
    let found: Vec<(&str, u64)> = found.iter().map(|(name, value)| (&name[..], *value)).collect();
    assert_eq!(found, wanted);
}

#[test]
fn workers_that_change_one_aor_at_the_same_moment_lose_nothing() {
    const CLIENTS: usize = 8;
    const CONTACTS: usize = 25;
    let server = setup().workers(2).start();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let client = server.client();
            scope.spawn(move || {
                for contact in 0..CONTACTS {
                    let uri = format!("sip:c{contact}@host{number}");
                    assert_same(&uri, OK, &client.ask(&add("location", "alice", &uri, 0, "0.5")));
                    let gone = format!("sip:gone{contact}@host{number}");
                    assert_same(&gone, OK, &client.ask(&add("location", "alice", &gone, 0, "1")));
                    let remove = format!(":ul_rm_contact:\nlocation\nalice\n{gone}\n");
                    assert_same(&remove, OK, &client.ask(remove.as_bytes()));
                }
            });
        }
    });
    let wanted: BTreeSet<String> = (0..CLIENTS)
        .flat_map(|number| (0..CONTACTS).map(move |contact| format!("sip:c{contact}@host{number}")))
        .collect();
    let reply = show(&server, "alice");
    let found = uris(&reply);
    assert_eq!(found.len(), CLIENTS * CONTACTS);
    assert_eq!(found.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
    let all = u64::try_from(CLIENTS * CONTACTS).unwrap();
    assert_statistics(
        &server,
        &[
            ("registered_users", 1),
            ("location-users", 1),
            ("location-contacts", all),
            ("location-expires", 0),
        ],
    );
    server.stop_clean(&[]);
}

/// AORs that share the contacts, so that those of each fit a reply.
const SPREAD: u32 = 200;

/// Adds contacts until `is_over`; returns those that were acknowledged.
fn add_until(server: &Server, number: usize, is_over: &AtomicBool) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    let mut client = server.client();
    for contact in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let uri = format!("sip:c{contact}@host{number}");
        let request = add("location", &format!("user{}", contact % SPREAD), &uri, 0, "1");
        // No reply comes when the worker that took the request was killed.
        match client.try_ask(&request, Duration::from_millis(500)) {
            Ok((reply, _)) if reply == OK => drop(acknowledged.insert(uri)),
            Ok((reply, _)) => assert_same(&uri, OK, &reply),
            // One that comes late must not count for another request.
            Err(_) => client = server.client(),
        }
    }
    acknowledged
}

#[test]
fn a_killed_worker_takes_no_acknowledged_contact_along() {
    const KILLS: u32 = 20;
    let server = setup().workers(3).start();
    let is_over = AtomicBool::new(false);
    let acknowledged: BTreeSet<String> = std::thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        let clients: Vec<_> =
            (0..3).map(|number| scope.spawn(move || add_until(server, number, is_over))).collect();
        for _ in 0..KILLS {
            let victim = server.workers().into_iter().map(|worker| worker.pid).find(|&pid| is_alive(pid));
            victim.into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
            wait_for("the end of the victim", || victim.is_none_or(|pid| !is_alive(pid)).then_some(()));
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    server.wait_for_workers(3);
    let replies: Vec<String> = (0..SPREAD).map(|user| show(&server, &format!("user{user}"))).collect();
    let found: BTreeSet<String> = replies.iter().flat_map(|reply| uris(reply)).map(str::to_owned).collect();
    assert!(!acknowledged.is_empty());
    let lost: Vec<&String> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let counted = statistics(&server)[2].1;
    assert_eq!(counted, u64::try_from(found.len()).unwrap(), "counted, shown");
}

#[test]
fn an_expired_contact_is_shown_as_such_until_it_is_removed() {
    let server = setup().start();
    assert_added(&server, "alice", "sip:a@short", 1, "1");
    assert_added(&server, "bob", "sip:b@short", 1, "1");
    assert_added(&server, "bob", "sip:b@good", 0, "0.5");
    wait_for("the end of both", || {
        let gone = show(&server, "alice") == "404 AOR has no contacts\n";
        (gone && uris(&show(&server, "bob")) == ["sip:b@good"]).then_some(())
    });
    // In the second of its end a contact is gone for callers and has 0 left in a dump.
    wait_for("a dump with two expired contacts and a permanent one", || {
        let dump = text(server.ask(b":ul_dump:\n"));
        let lives: Vec<&str> =
            dump.lines().filter_map(|line| line.trim().strip_prefix("Expires:: ")).collect();
        let count = |wanted: &str| lives.iter().filter(|life| **life == wanted).count();
        (count("expired") == 2 && count("permanent") == 1 && lives.len() == 3).then_some(())
    });
    assert_statistics(
        &server,
        &[("registered_users", 2), ("location-users", 2), ("location-contacts", 3), ("location-expires", 0)],
    );

    assert_same("ul_flush", OK, &server.ask(b":ul_flush:\n"));
    assert_eq!(show(&server, "alice"), "404 AOR not found\n");
    assert!(!text(server.ask(b":ul_dump:\n")).contains("expired"));
    assert_statistics(
        &server,
        &[("registered_users", 1), ("location-users", 1), ("location-contacts", 1), ("location-expires", 2)],
    );
    assert_same("reset", OK, &server.ask(b":reset_statistics:\nlocation-expires\nlocation-users\n"));
    assert_statistics(
        &server,
        &[("registered_users", 1), ("location-users", 1), ("location-contacts", 1), ("location-expires", 0)],
    );
}

#[test]
fn the_timer_removes_what_has_expired() {
    let server = setup().param_of("usrloc", "timer_interval", "1").start();
    assert_added(&server, "alice", "sip:a@short", 1, "1");
    assert_added(&server, "bob", "sip:b@short", 1, "1");
    assert_added(&server, "bob", "sip:b@long", 1000, "0.5");
    let wanted = [1, 1, 1, 2];
    wait_for("two contacts less", || {
        let values: Vec<u64> = statistics(&server).into_iter().map(|(_, value)| value).collect();
        (values == wanted).then_some(())
    });
    assert_eq!(show(&server, "alice"), "404 AOR not found\n");
    assert_eq!(uris(&show(&server, "bob")), ["sip:b@long"]);
}

#[test]
fn a_full_table_says_so_and_takes_new_contacts_after_a_removal() {
    const FULL: &[u8] = b"500 shared memory is full; give a larger -m, or remove something\n";
    let server = setup().arg("-m3").start();
    let client = server.client();
    let mut added = 0_u32;
    let mut refused = 0;
    // One full shard is not a full table yet: go on until many are.
    while refused < 500 {
        let request = add("location", &format!("user{}", added + refused), "sip:someone@somewhere", 0, "1");
        match &client.ask(&request)[..] {
            OK => added += 1,
            reply => {
                assert_same("a full table", FULL, reply);
                refused += 1;
            }
        }
    }
    assert!(added > 1000, "{added}");
    let count = u64::from(added);
    assert_statistics(
        &server,
        &[
            ("registered_users", count),
            ("location-users", count),
            ("location-contacts", count),
            ("location-expires", 0),
        ],
    );
    // What is there can be changed and removed.
    assert_added(&server, "user0", "sip:someone@somewhere", 100, "0.1");
    assert!(show(&server, "user0").contains(";q=0.1;"));
    for user in 0..added {
        assert_same("ul_rm", OK, &client.ask(format!(":ul_rm:\nlocation\nuser{user}\n").as_bytes()));
    }
    assert_added(&server, "somebody-else", "sip:someone@somewhere", 0, "1");
    server.stop_clean(&[]);
}

#[test]
fn the_contacts_of_one_aor_have_a_largest_size() {
    let server = setup().start();
    let client = server.client();
    let uri = |number: u32| format!("sip:{number}@{}", "x".repeat(4000));
    let refused = (0..100).find(|&number| {
        let reply = client.ask(&add("location", "alice", &uri(number), 0, "1"));
        if reply != OK {
            let wanted = b"500 too many contacts; those of one AOR take at most 65536 bytes, remove some\n";
            assert_same("too large", wanted, &reply);
        }
        reply != OK
    });
    // 26 bytes, and the URI; with the key.
    assert_eq!(refused, Some(16));
    assert_same("changed", OK, &client.ask(&add("location", "alice", &uri(3), 0, "0.5")));
    let remove = format!(":ul_rm_contact:\nlocation\nalice\n{}\n", uri(3));
    assert_same("removed", OK, &client.ask(remove.as_bytes()));
    assert_same("added", OK, &client.ask(&add("location", "alice", &uri(50), 0, "1")));
    assert_statistics(
        &server,
        &[("registered_users", 1), ("location-users", 1), ("location-contacts", 16), ("location-expires", 0)],
    );
}

#[test]
fn a_dump_that_does_not_fit_a_datagram_is_an_error() {
    const USERS: u64 = 5000;
    let server = setup().start();
    let client = server.client();
    for user in 0..USERS {
        let reply = client.ask(&add("location", &format!("user{user:05}"), "sip:someone@somewhere", 0, "1"));
        assert_same("ul_add", OK, &reply);
    }
    for (request, bytes) in [(&b":ul_dump:\nbrief\n"[..], 17), (b":ul_dump:\n", 150)] {
        let reply = text(client.ask(request));
        let size = reply.strip_prefix("500 reply too large: ").and_then(|rest| rest.split(' ').next());
        let size: u64 = size.and_then(|size| size.parse().ok()).unwrap_or_else(|| panic!("{reply}"));
        assert!(size > USERS * bytes, "{reply}");
    }
    assert_statistics(
        &server,
        &[
            ("registered_users", USERS),
            ("location-users", USERS),
            ("location-contacts", USERS),
            ("location-expires", 0),
        ],
    );
}

#[test]
fn tables_are_apart_and_counted_each() {
    let server = setup()
        .param_of("usrloc", "domain", "\"aliases\"")
        .param_of("usrloc", "domain", "\"more\"")
        .param_of("usrloc", "domain", "\"aliases\"")
        .param_of("usrloc", "hash_size", "4")
        .start();
    assert_added(&server, "alice", "sip:a@one", 0, "1");
    for contact in ["sip:a@two", "sip:a@three"] {
        assert_same(contact, OK, &server.ask(&add("aliases", "alice", contact, 0, "1")));
    }
    let wanted = [
        ("registered_users", 2),
        ("location-users", 1),
        ("location-contacts", 1),
        ("location-expires", 0),
        ("aliases-users", 1),
        ("aliases-contacts", 2),
        ("aliases-expires", 0),
        ("more-users", 0),
        ("more-contacts", 0),
        ("more-expires", 0),
    ];
    assert_statistics(&server, &wanted);
    assert_same(
        "ul_dump",
        b"200 OK\nDomain:: location table=16 records=1\n\tAOR:: alice\nDomain:: aliases table=16 records=1\n\
          \tAOR:: alice\nDomain:: more table=16 records=0\n",
        &server.ask(b":ul_dump:\nbrief\n"),
    );
    assert_same("ul_rm", OK, &server.ask(b":ul_rm:\naliases\nalice\n"));
    assert_eq!(uris(&show(&server, "alice")), ["sip:a@one"]);
    assert_same("nope", b"404 Table not found\n", &server.ask(b":ul_rm:\nnope\nalice\n"));
}

#[test]
fn the_domain_of_an_aor_counts_when_asked_for() {
    let server = setup().param_of("usrloc", "use_domain", "1").start();
    assert_added(&server, "alice@one", "sip:a@one", 0, "1");
    assert_added(&server, "alice@two", "sip:a@two", 0, "1");
    assert_eq!(uris(&show(&server, "alice@one")), ["sip:a@one"]);
    assert_eq!(show(&server, "alice"), "400 Domain missing in AOR\n");
    assert_eq!(show(&server, "alice@three"), "404 AOR not found\n");
    let reply = server.ask(&add("nope", "alice", "notauri", 0, "x"));
    assert_same("the table comes first", b"404 Table not found\n", &reply);
    let reply = server.ask(&add("location", "alice", "notauri", 0, "x"));
    assert_same("then the AOR", b"400 Domain missing in AOR\n", &reply);
}

#[test]
fn the_newest_contact_comes_first_when_asked_for() {
    let server = setup().param_of("usrloc", "desc_time_order", "1").start();
    for (contact, q) in [("sip:a", "1"), ("sip:b", "0"), ("sip:c", "0.5"), ("sip:a", "0.2")] {
        assert_added(&server, "alice", contact, 0, q);
    }
    assert_eq!(uris(&show(&server, "alice")), ["sip:a", "sip:c", "sip:b"]);
}

#[test]
fn contacts_survive_a_restart_when_asked_for() {
    let folder = Folder::new();
    let state = folder.join("state");
    let start = || {
        let setup = setup().param_of("usrloc", "restart_persistency", "\"load-from-file\"").arg("-m8");
        setup.global(&format!("restart_persistency_cache_file=\"{}\"", state.display())).start()
    };
    let server = start();
    assert_added(&server, "alice", "sip:a@good", 0, "1");
    assert_added(&server, "alice", "sip:a@long", 100_000, "0.5");
    server.stop_clean(&[]);
    let server = start();
    assert_eq!(uris(&show(&server, "alice")), ["sip:a@good", "sip:a@long"]);
    assert_statistics(
        &server,
        &[("registered_users", 1), ("location-users", 1), ("location-contacts", 2), ("location-expires", 0)],
    );
}

#[test]
fn records_of_a_table_that_is_no_longer_named_stay_and_are_reported() {
    let folder = Folder::new();
    let global = format!("restart_persistency_cache_file=\"{}\"", folder.join("state").display());
    let kept =
        || setup().param_of("usrloc", "restart_persistency", "\"load-from-file\"").arg("-m8").global(&global);
    let named = || kept().param_of("usrloc", "domain", "\"aliases\"").start();
    let server = named();
    assert_added(&server, "alice", "sip:a@one", 0, "1");
    assert_same("ul_add", OK, &server.ask(&add("aliases", "alias", "sip:alice@one", 0, "1")));
    server.stop_clean(&[]);
    let server = kept().start();
    let line = "1 records of the table \"aliases\" are kept and not shown";
    assert!(server.stderr().contains(line), "{}", server.stderr());
    assert_statistics(
        &server,
        &[("registered_users", 1), ("location-users", 1), ("location-contacts", 1), ("location-expires", 0)],
    );
    server.stop_clean(&[]);
    let server = named();
    assert!(!server.stderr().contains("are kept and not shown"), "{}", server.stderr());
    assert_statistics(
        &server,
        &[
            ("registered_users", 2),
            ("location-users", 1),
            ("location-contacts", 1),
            ("location-expires", 0),
            ("aliases-users", 1),
            ("aliases-contacts", 1),
            ("aliases-expires", 0),
        ],
    );
}

#[test]
fn what_makes_no_sense_is_said() {
    let refused = setup().param_of("usrloc", "domain", "\"a b\"").refuse();
    refused.assert_refused("a table's name", &["modparam(\"usrloc\", \"domain\"", "no name of a table"]);
    let server = setup()
        .param_of("usrloc", "db_mode", "2")
        .param_of("usrloc", "db_url", "\"mysql://opensips@localhost/opensips\"")
        .param_of("usrloc", "restart_persistency", "\"load-from-sql\"")
        .start();
    for words in ["db_mode: there is no database", "use \"load-from-file\""] {
        assert!(server.stderr().contains(words), "{}", server.stderr());
    }
    let reply = server.client().try_ask(b":ul_sync:\nlocation\n", DEADLINE).unwrap().0;
    assert_same("ul_sync", b"200 Contacts already synced\n", &reply);
}
