//! The cache systems on real Redis servers: what is stored there, how long a lost or stuck server is waited for, and
//! how it is found again. Without Debian's redis-server all but the configuration is skipped, said aloud.

mod daemon;
mod faulty;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{Backlog, listen};

use crate::support::{DEADLINE, Server, Setup, Signal, assert_same, shown, wait_for};
use daemon::Redis;

const OK: &[u8] = b"200 OK\n";
const NOT_FOUND: &[u8] = b"200 OK\nValue not found\n";
const STORE_FAILED: &[u8] = b"500 Cache store command failed\n";
const FETCH_FAILED: &[u8] = b"500 Cache fetch command failed\n";
const REMOVE_FAILED: &[u8] = b"500 Cache remove command failed\n";

/// A server that has the systems of these URLs, and these further parameters.
fn setup(urls: &[&str], params: &[(&str, &str)]) -> Setup {
    let setup = urls.iter().fold(Setup::unix().module("cachedb_redis"), |setup, url| {
        setup.param_of("cachedb_redis", "cachedb_url", &format!("\"{url}\""))
    });
    params.iter().fold(setup, |setup, (name, value)| setup.param_of("cachedb_redis", name, value))
}

#[track_caller]
fn store(server: &Server, system: &str, key: &str, value: &str) -> Vec<u8> {
    server.ask(format!(":cache_store:\n{system}\n{key}\n{value}\n").as_bytes())
}

#[track_caller]
fn fetch(server: &Server, system: &str, key: &str) -> Vec<u8> {
    server.ask(format!(":cache_fetch:\n{system}\n{key}\n").as_bytes())
}

#[track_caller]
fn remove(server: &Server, system: &str, key: &str) -> Vec<u8> {
    server.ask(format!(":cache_remove:\n{system}\n{key}\n").as_bytes())
}

/// Asks and gives the time that it took as well.
#[track_caller]
fn timed_fetch(server: &Server, system: &str) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    let reply = fetch(server, system, "k");
    (reply, start.elapsed())
}

/// Waits until a stored value can be fetched again.
#[track_caller]
fn wait_until_served(server: &Server, system: &str) {
    wait_for("a value stored in redis-server", || (store(server, system, "k", "v") == OK).then_some(()));
    assert_same("fetch", b"200 OK\nk = [v]\n", &fetch(server, system, "k"));
}

#[test]
fn values_lie_in_redis() {
    let Some(redis) = Redis::start("values_lie_in_redis") else { return };
    let server = setup(&[&format!("redis:group1://{}/", redis.address())], &[]).start();
    for system in ["redis:group1", "redis"] {
        assert_same("nothing there", NOT_FOUND, &fetch(&server, system, "k"));
        assert_same("store", OK, &store(&server, system, "k", "v"));
        assert_same("fetch", b"200 OK\nk = [v]\n", &fetch(&server, system, "k"));
        assert_eq!(redis.ask(&["GET k"]), "v");
        assert_same("store again", OK, &store(&server, system, "k", "other"));
        assert_eq!(redis.ask(&["GET k"]), "other");
        assert_same("remove", OK, &remove(&server, system, "k"));
        assert_eq!(redis.ask(&["GET k"]), "$-1");
        assert_same("remove again", OK, &remove(&server, system, "k"));
        assert_same("removed", NOT_FOUND, &fetch(&server, system, "k"));
    }
    redis.ask(&["SET theirs set-by-another"]);
    let found = fetch(&server, "redis", "theirs");
    assert_same("a value of another client", b"200 OK\ntheirs = [set-by-another]\n", &found);
    server.stop_clean(&[]);
}

#[test]
fn values_are_bytes() {
    let Some(redis) = Redis::start("values_are_bytes") else { return };
    let server = setup(&[&format!("redis://{}/", redis.address())], &[]).start();
    let request = b":cache_store:\nredis\n\"k \xff\r\n$1\"\n\"a\r\nb\x01\xc3\xa4\xfe\"\n";
    assert_same("store", OK, &server.ask(request));
    assert_eq!(redis.ask(&[r#"GET "k \xff\r\n$1""#]), r"a\r\nb\x01\xc3\xa4\xfe");
    let wanted = b"200 OK\nk \xff\r\n$1 = [a\r\nb\x01\xc3\xa4\xfe]\n";
    assert_same("fetch", wanted, &server.ask(b":cache_fetch:\nredis\n\"k \xff\r\n$1\"\n"));

    let long = "x".repeat(60_000);
    assert_same("store a long value", OK, &store(&server, "redis", "long", &long));
    assert_eq!(redis.ask(&["STRLEN long"]), ":60000");
    assert_same("long", format!("200 OK\nlong = [{long}]\n").as_bytes(), &fetch(&server, "redis", "long"));
}

#[test]
fn values_expire() {
    let Some(redis) = Redis::start("values_expire") else { return };
    let server = setup(&[&format!("redis:g://{}/", redis.address())], &[]).start();
    assert_same("100 s", OK, &server.ask(b":cache_store:\nredis:g\nk\nv\n100\n"));
    let left = redis.ask(&["TTL k"]);
    let seconds: u32 = left.strip_prefix(':').and_then(|left| left.parse().ok()).expect(&left);
    assert!((80..=100).contains(&seconds), "{left}");
    assert_same("for good", OK, &store(&server, "redis:g", "k", "v"));
    assert_eq!(redis.ask(&["TTL k"]), ":-1");
    assert_same("0 is for good", OK, &server.ask(b":cache_store:\nredis:g\nk\nv\n0\n"));
    assert_eq!(redis.ask(&["TTL k"]), ":-1");
    assert_same("the longest", OK, &server.ask(b":cache_store:\nredis:g\nk\nv\n4294967295\n"));
    assert_same("1 s", OK, &server.ask(b":cache_store:\nredis:g\nk\nv\n1\n"));
    wait_for("the end of a value", || (fetch(&server, "redis:g", "k") == NOT_FOUND).then_some(()));
}

#[test]
fn each_group_is_a_server() {
    let test = "each_group_is_a_server";
    let (Some(one), Some(two)) = (Redis::start(test), Redis::start(test)) else { return };
    let first = format!("redis:one://{}/", one.address());
    let second = format!("redis:two://127.0.0.1:{}/7", two.port());
    let server = setup(&[&first, &second], &[]).start();
    assert_same("one", OK, &store(&server, "redis:one", "k", "1"));
    assert_same("two", OK, &store(&server, "redis:two", "k", "2"));
    assert_same("the first", b"200 OK\nk = [1]\n", &fetch(&server, "redis", "k"));
    assert_eq!(one.ask(&["GET k"]), "1");
    assert_eq!((two.ask(&["GET k"]), two.ask(&["SELECT 7", "GET k"])), ("$-1".to_owned(), "2".to_owned()));
    assert_same("no such group", STORE_FAILED, &store(&server, "redis:three", "k", "3"));
    assert_same("no such group", FETCH_FAILED, &fetch(&server, "redis:", "k"));
    drop(server);

    // One without a group is the default, wherever it stands; of two with the same group the first counts.
    let (plain, again) = (format!("redis://{}/", two.address()), format!("redis:one://{}/", two.address()));
    let server = setup(&[&first, &again, &plain], &[]).start();
    assert_same("without a group", OK, &store(&server, "redis", "plain", "2"));
    assert_same("the first of a group", b"200 OK\nk = [1]\n", &fetch(&server, "redis:one", "k"));
    assert_eq!(two.ask(&["GET plain"]), "2");
    assert!(server.stderr().contains("redis:one is on"), "{}", server.stderr());
}

#[test]
fn a_restart_of_redis_is_not_noticed() {
    let Some(mut redis) = Redis::start("a_restart_of_redis_is_not_noticed") else { return };
    let server = setup(&[&format!("redis:g://{}/", redis.address())], &[]).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    redis.kill();
    redis.start_again();
    assert_same("at once", OK, &store(&server, "redis:g", "k", "new"));
    assert_eq!(redis.ask(&["GET k"]), "new");
    assert_eq!(server.stderr(), "");
}

#[test]
fn a_lost_redis_is_an_error_and_is_found_again() {
    let Some(mut redis) = Redis::start("a_lost_redis_is_an_error_and_is_found_again") else { return };
    let server = setup(&[&format!("redis:g://{}/", redis.address())], &[]).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    redis.kill();
    for _ in 0..50 {
        assert_same("store", STORE_FAILED, &store(&server, "redis:g", "k", "v"));
        let (reply, time) = timed_fetch(&server, "redis:g");
        assert_same("fetch", FETCH_FAILED, &reply);
        assert!(time < Duration::from_secs(1), "a closed port is noticed at once, not after {time:?}");
        assert_same("remove", REMOVE_FAILED, &remove(&server, "redis:g", "k"));
    }
    let log = server.stderr();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("WARNING:")).collect();
    assert!(lines.len() <= 2, "150 failures, too many lines: {log}");
    for word in ["WARNING:cachedb_redis: redis:g: cannot connect to", &redis.address(), "Connection refused"]
    {
        assert!(lines[0].contains(word), "no {word:?} in {log}");
    }
    redis.start_again();
    wait_until_served(&server, "redis:g");
    server.stop_clean(&[]);
}

#[test]
fn redis_may_come_after_the_server() {
    let Some(mut redis) = Redis::start("redis_may_come_after_the_server") else { return };
    redis.kill();
    let server = setup(&[&format!("redis:g://localhost:{}/", redis.port())], &[]).start();
    assert_same("fetch", FETCH_FAILED, &fetch(&server, "redis:g", "k"));
    redis.start_again();
    wait_until_served(&server, "redis:g");
}

/// A request costs the limit once; the next ones cost nothing, and other requests are answered.
#[test]
fn a_stuck_redis_costs_the_limit_and_not_more() {
    const LIMIT: Duration = Duration::from_millis(700);
    let Some(redis) = Redis::start("a_stuck_redis_costs_the_limit_and_not_more") else { return };
    let url = format!("redis:g://{}/", redis.address());
    let limit = LIMIT.as_millis().to_string();
    let server = setup(&[&url], &[("query_timeout", &limit)]).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    redis.signal(Signal::SIGSTOP);
    // The first time on the old connection, the second time on a new one, which the system still accepts.
    for round in 1..=2 {
        let (reply, time) = wait_for("a request that is not in a pause", || {
            Some(timed_fetch(&server, "redis:g")).filter(|(_, time)| *time > LIMIT / 2)
        });
        assert_same("fetch", FETCH_FAILED, &reply);
        assert!((LIMIT..LIMIT * 3).contains(&time), "round {round} took {time:?}");
        let (reply, time) = timed_fetch(&server, "redis:g");
        assert_same("fetch", FETCH_FAILED, &reply);
        assert!(time < LIMIT / 2, "round {round}, in the pause: {time:?}");
    }
    assert!(server.stderr().contains("no answer within 700 ms"), "{}", server.stderr());
    redis.signal(Signal::SIGCONT);
    wait_until_served(&server, "redis:g");
}

/// The late answer to a request that was given up must not become the answer to another one.
#[test]
fn a_late_answer_is_nobodys() {
    let Some(redis) = Redis::start("a_late_answer_is_nobodys") else { return };
    let url = format!("redis:g://{}/", redis.address());
    let server = setup(&[&url], &[("query_timeout", "200")]).start();
    for key in ["a", "b"] {
        assert_same("store", OK, &store(&server, "redis:g", key, &format!("value-of-{key}")));
    }
    redis.signal(Signal::SIGSTOP);
    assert_same("given up", FETCH_FAILED, &fetch(&server, "redis:g", "a"));
    redis.signal(Signal::SIGCONT);
    let reply = wait_for("an answer", || {
        let reply = fetch(&server, "redis:g", "b");
        (reply != FETCH_FAILED).then_some(reply)
    });
    assert_same("the answer to b", b"200 OK\nb = [value-of-b]\n", &reply);
}

/// Needs no redis-server: a port whose queue is full drops what comes, as a firewall does.
#[test]
fn an_unreachable_redis_costs_the_limit_and_not_more() {
    const LIMIT: Duration = Duration::from_millis(700);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let queue: Vec<TcpStream> = (0..10)
        .map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok())
        .collect();
    assert!(queue.len() < 10, "the queue of {address} never fills");

    let limit = LIMIT.as_millis().to_string();
    let server = setup(&[&format!("redis:g://{address}/")], &[("connect_timeout", &limit)]).start();
    let (reply, time) = timed_fetch(&server, "redis:g");
    assert_same("fetch", FETCH_FAILED, &reply);
    assert!((LIMIT..LIMIT * 3).contains(&time), "{time:?}");
    let (reply, time) = timed_fetch(&server, "redis:g");
    assert_same("fetch", FETCH_FAILED, &reply);
    assert!(time < LIMIT / 2, "in the pause: {time:?}");
    let log = server.stderr();
    assert!(log.contains("cannot connect to") && log.contains("no answer within 700 ms"), "{log}");
    server.stop_clean(&[]);
}

#[test]
fn the_server_ends_while_redis_is_stuck() {
    let Some(redis) = Redis::start("the_server_ends_while_redis_is_stuck") else { return };
    let mut server = setup(&[&format!("redis:g://{}/", redis.address())], &[]).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    redis.signal(Signal::SIGSTOP);
    let client = server.client();
    client.send(b":cache_fetch:\nredis:g\nk\n").unwrap();
    wait_for("a request that redis-server does not read", || redis.has_unread().then_some(()));
    let start = Instant::now();
    let status = server.stop(Signal::SIGTERM);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert!(start.elapsed() < DEADLINE / 2, "waited for redis-server: {:?}", start.elapsed());
    server.assert_gone(&[]);
}

#[test]
fn passwords_and_users() {
    let args = ["--requirepass", "secret", "--user", "mi", "on", ">mipass", "~*", "+@all"];
    let Some(redis) = Redis::start_with("passwords_and_users", &args) else { return };
    let address = redis.address();
    for login in [":secret@", "mi:mipass@", "nobody:secret@"] {
        let server = setup(&[&format!("redis:g://{login}{address}/3")], &[]).start();
        assert_same(login, OK, &store(&server, "redis:g", "k", login));
        assert_eq!(redis.ask(&["AUTH secret", "SELECT 3", "GET k"]), login);
        assert_eq!(server.stderr(), "");
    }
    for (login, words) in [
        (":wrong@", "cannot log in to"),
        ("mi:wrong@", "cannot log in to"),
        ("", "Authentication required"),
        ("secret@", "Authentication required"),
    ] {
        let server = setup(&[&format!("redis:g://{login}{address}/")], &[]).start();
        assert_same(login, FETCH_FAILED, &fetch(&server, "redis:g", "k"));
        let log = server.stderr();
        assert!(log.contains(words) && !log.contains("wrong"), "{login}: {log}");
    }
}

/// What has a meaning elsewhere in a URL has none in a password.
#[test]
fn a_password_may_hold_any_character() {
    let password = "/s:e@c?r://e,t/";
    let Some(redis) = Redis::start_with("a_password_may_hold_any_character", &["--requirepass", password])
    else {
        return;
    };
    let server = setup(&[&format!("redis:g://:{password}@{}/3", redis.address())], &[]).start();
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    assert_eq!(redis.ask(&[&format!("AUTH {password}"), "SELECT 3", "GET k"]), "v");
    assert_eq!(server.stderr(), "");
}

#[test]
fn an_answer_no_is_an_error_and_nothing_more() {
    let Some(redis) = Redis::start("an_answer_no_is_an_error_and_nothing_more") else { return };
    let address = redis.address();
    let server = setup(&[&format!("redis:g://{address}/")], &[]).start();
    assert_eq!(redis.ask(&["RPUSH list one"]), ":1");
    assert_same("a list is no value", FETCH_FAILED, &fetch(&server, "redis:g", "list"));
    assert!(server.stderr().contains("refuses a command: WRONGTYPE "), "{}", server.stderr());
    // No pause, on the same connection.
    assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    assert_same("remove", OK, &remove(&server, "redis:g", "list"));
    redis.wait_for_clients(1);
    drop(server);

    let server = setup(&[&format!("redis:g://{address}/16")], &[]).start();
    assert_same("no such database", FETCH_FAILED, &fetch(&server, "redis:g", "k"));
    assert!(server.stderr().contains("cannot select database 16"), "{}", server.stderr());
}

/// Made after the fork, on first use; and no process has a thread for it.
#[test]
fn each_worker_has_a_connection_of_its_own() {
    let Some(redis) = Redis::start("each_worker_has_a_connection_of_its_own") else { return };
    let server = setup(&[&format!("redis:g://{}/", redis.address())], &[]).workers(3).start();
    redis.wait_for_clients(0);
    // Enough requests at once keep all three busy.
    wait_for("a connection of each worker", || {
        let clients: Vec<_> = (0..12).map(|_| server.client()).collect();
        clients.iter().for_each(|client| client.send(b":cache_store:\nredis:g\nk\nv\n").unwrap());
        for client in &clients {
            assert_same("store", OK, &client.receive(DEADLINE).unwrap());
        }
        let list = redis.ask(&["CLIENT LIST"]);
        (list.matches("cmd=set").count() == 3).then_some(())
    });
    for pid in server.processes() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.lines().any(|line| line == "Threads:\t1"), "{status}");
    }
    let killed = server.workers()[0].pid;
    crate::support::send(killed, Signal::SIGKILL);
    let workers = wait_for("a successor", || {
        let workers = server.wait_for_workers(3);
        (!workers.iter().any(|worker| worker.pid == killed)).then_some(workers)
    });
    assert_eq!(workers.len(), 3);
    redis.wait_for_clients(2);
    for _ in 0..6 {
        assert_same("store", OK, &store(&server, "redis:g", "k", "v"));
    }
}

#[test]
fn every_bad_url_is_an_error_at_its_place() {
    let urls =
        ["redis:a://localhost:6379/", "rediss:b://localhost/", "redis:c://localhost:x/", "redis:d://h/"];
    let setup = setup(&urls, &[]);
    let outcome = setup.check();
    outcome.assert_refused("bad URLs", &[]);
    let config = setup.config();
    for (bad, words) in [(urls[1], "the scheme is \"rediss\""), (urls[2], "port \"x\" is not in [1, 65535]")]
    {
        let (at, line) = config.lines().enumerate().find(|(_, line)| line.contains(bad)).unwrap();
        let column = line.find(&format!("\"{bad}")).unwrap() + 1;
        let place = format!("{}:{}:{column}: ", setup.config_path().display(), at + 1);
        let message = outcome.stderr.lines().find(|line| line.contains(&place));
        let message = message.unwrap_or_else(|| panic!("no error at {place}: {}", outcome.stderr));
        assert!(message.contains(words) && message.contains("write redis:GROUP://"), "{message}");
    }
    assert_eq!(outcome.stderr.matches("cachedb_url\"): ").count(), 2, "{}", outcome.stderr);
}

#[test]
fn without_a_url_there_is_no_system() {
    let server = setup(&[], &[("shutdown_on_error", "1")]).global("debug=2").start();
    for system in ["redis", "redis:g"] {
        let reply = store(&server, system, "k", "v");
        assert!(reply == STORE_FAILED, "{}", shown(&reply));
    }
    assert!(server.stderr().contains("no cache system \"redis\" is loaded"), "{}", server.stderr());
}
