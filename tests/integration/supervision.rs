//! A worker that is killed, the attendant that is killed, signals, a deleted socket, the end. What happens when much
//! is killed under load: torture.rs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{
    DEADLINE, HELP, HELP_REPLY, Process, Server, Setup, Signal, VERSION, assert_same, is_alive, parse_ps,
    send, shown, skip, wait_for, within,
};

/// By when a killed worker has a successor.
const REPLACED_WITHIN: Duration = Duration::from_millis(100);

/// By when a deleted socket is back.
const SOCKET_BACK_WITHIN: Duration = Duration::from_secs(1);

/// A real-time signal is one that not every library knows: its victim must not be overlooked.
#[test]
fn whatever_signal_ends_a_worker_it_is_replaced() {
    let server = Setup::unix().workers(2).global("debug=3").start();
    // One that ends by such a signal before it serves makes the whole start fail.
    wait_for("the end of the start", || server.stderr().contains("processes are ready").then_some(()));
    for signal in ["-35", "-64", "-ABRT", "-PIPE", "-ALRM"] {
        let before = server.wait_for_workers(2);
        // The shell's own, as nix has no real-time signals, and a bare system no program of that name.
        let kill = format!("kill {signal} {}", before[0].pid);
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        wait_for(&format!("two workers after kill {signal}"), || {
            let now = server.workers();
            let whole = now.len() == 2 && now.iter().all(|worker| is_alive(worker.pid));
            // SIGPIPE is ignored.
            (whole && (now[0].pid != before[0].pid || signal == "-PIPE")).then_some(())
        });
    }
    server.stop_clean(&[]);
}

#[test]
fn a_killed_worker_is_replaced_under_its_id() {
    let server = Setup::unix().workers(4).start();
    let mut times = Vec::new();
    for round in 0..10 {
        let before = server.wait_for_workers(4);
        let victim = &before[round % 4];
        let start = Instant::now();
        send(victim.pid, Signal::SIGKILL);
        let after = wait_for("a successor of the killed worker", || {
            // A request that the dying worker took along is not waited for.
            let (reply, _) = server.client().try_ask(b":ps:\n", REPLACED_WITHIN / 5).ok()?;
            let now: Vec<Process> = parse_ps(&reply)?.into_iter().filter(Process::is_worker).collect();
            let same_id = now.iter().find(|worker| worker.id == victim.id)?;
            (same_id.pid != victim.pid && is_alive(same_id.pid)).then_some(now)
        });
        times.push(start.elapsed());
        assert_eq!(after.len(), 4);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!((old.id, &old.kind), (new.id, &new.kind));
            assert_eq!(
                old.pid != new.pid,
                old.id == victim.id,
                "only the victim changes: {before:?} {after:?}"
            );
        }
    }
    // The middle one, as a busy machine may hold up a single fork.
    times.sort();
    assert!(times[times.len() / 2] <= REPLACED_WITHIN, "{times:?}");
    server.stop_clean(&[]);
}

#[test]
fn the_others_answer_while_a_worker_is_stopped() {
    let server = Setup::unix().workers(2).start();
    let workers = server.wait_for_workers(2);
    send(workers[0].pid, Signal::SIGSTOP);
    // One request may already be in the hands of the stopped one; it takes no other.
    let answered = (0..10).filter(|_| server.client().try_ask(HELP, DEADLINE / 20).is_ok()).count();
    send(workers[0].pid, Signal::SIGCONT);
    assert!(answered >= 9, "{answered} of 10 requests were answered");
    server.stop_clean(&[]);
}

/// The one worker there is: nobody else can answer.
#[test]
fn a_stopped_worker_is_replaced_and_one_that_goes_on_is_not() {
    let server = Setup::unix().start();
    let first = server.wait_for_workers(1)[0].pid;
    send(first, Signal::SIGSTOP);
    send(first, Signal::SIGCONT);
    send(first, Signal::SIGSTOP);
    let client = server.client();
    client.send(HELP).unwrap();
    let second = wait_for("a successor of the stopped worker", || {
        let (reply, _) = server.client().try_ask(b":ps:\n", DEADLINE / 20).ok()?;
        parse_ps(&reply)?.into_iter().find(|process| process.is_worker() && process.pid != first)
    });
    let told = format!("PID {first}) was stopped by a signal for more than 2s and is replaced");
    assert!(server.stderr().contains(&told), "{}", server.stderr());
    send(second.pid, Signal::SIGSTOP);
    send(second.pid, Signal::SIGCONT);
    assert_same("after a short stop", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);
}

/// It goes on instead, and answers what it has in hand.
#[test]
fn a_stopped_worker_does_not_hold_up_the_end() {
    let mut server = Setup::unix().workers(3).start();
    let workers = server.wait_for_workers(3);
    workers.iter().for_each(|worker| send(worker.pid, Signal::SIGSTOP));
    let client = server.client();
    client.send(HELP).unwrap();
    let start = Instant::now();
    let status = server.stop(Signal::SIGTERM).unwrap();
    let time = start.elapsed();
    assert!(status.success(), "{status:?}: {}", server.stderr());
    assert!(time < DEADLINE / 2, "the end took {time:?}");
    assert_same("a request before the end", HELP_REPLY, &client.receive(DEADLINE).unwrap());
    server.assert_gone(&[]);
}

#[test]
fn every_way_to_stop_leaves_nothing() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGSTKFLT,
        Signal::SIGXCPU,
    ] {
        let setup = Setup::unix().workers(3);
        let pid = setup.folder.join("mi.pid");
        let mut server = setup.arg("-P").arg(&pid).start();
        server.wait_for_workers(3);
        let status = server.stop(signal).unwrap();
        assert!(status.success(), "{signal}: {status:?}: {}", server.stderr());
        server.assert_gone(&[&pid]);
    }
}

/// C: `mi_kill` sends SIGTERM and returns no tree, so nothing is answered; an answer of ours is 200.
#[test]
fn the_command_kill_stops_as_sigterm_does() {
    let setup = Setup::unix().workers(3);
    let pid = setup.folder.join("mi.pid");
    let mut server = setup.arg("-P").arg(&pid).start();
    server.wait_for_workers(3);
    let client = server.client();
    client.send(b":kill:\n").unwrap();
    let status = server.wait_end().unwrap();
    assert!(status.success(), "{status:?}: {}", server.stderr());
    if let Ok(reply) = client.receive(Duration::from_millis(1)) {
        assert!(reply.starts_with(b"200 OK\n"), "{}", shown(&reply));
    }
    server.assert_gone(&[&pid]);
}

#[test]
fn a_deleted_socket_is_back_as_it_was() {
    let server = Setup::unix().workers(2).param("unix_socket_mode", "0640").start();
    let workers = server.wait_for_workers(2);
    for round in 0..3 {
        fs::remove_file(server.socket()).unwrap();
        check_back(&server, server.socket(), round);
        let ids = |workers: &[Process]| workers.iter().map(|worker| worker.id).collect::<Vec<_>>();
        assert_eq!(ids(&server.wait_for_workers(2)), ids(&workers), "the workers' IDs stay");
    }
    server.stop_clean(&[]);
}

#[track_caller]
fn check_back(server: &Server, path: &Path, round: usize) {
    let answers = || {
        path.symlink_metadata().ok()?;
        server.client().try_ask(HELP, SOCKET_BACK_WITHIN).ok()
    };
    let Some(((reply, _), time)) = within(DEADLINE, answers) else {
        panic!("round {round}: the socket did not come back; stderr:\n{}", server.stderr());
    };
    assert_same("after the socket was deleted", HELP_REPLY, &reply);
    assert!(time <= SOCKET_BACK_WITHIN, "round {round}: back after {time:?}");
    let found = fs::metadata(path).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o640, "round {round}");
    assert_eq!(found.uid(), nix::unistd::geteuid().as_raw(), "round {round}");
}

#[test]
fn no_worker_outlives_the_attendant() {
    let setup = Setup::unix().workers(4);
    let path = setup.socket().to_owned();
    let mut server = setup.start();
    server.wait_for_workers(4);
    server.stop(Signal::SIGKILL);
    let gone = within(DEADLINE, || server.processes().is_empty().then_some(()));
    let (_, time) = gone.unwrap_or_else(|| panic!("still there: {:?}", server.processes()));
    assert!(time <= Duration::from_secs(1), "the workers ended after {time:?}");

    // What is left is a stale socket, which is no obstacle.
    assert!(path.exists());
    let mut again = Setup::unix().param("socket_name", &format!("\"{}\"", path.display()));
    again.endpoint = crate::support::Endpoint::Unix(path);
    let again = again.start();
    assert_same("the next start", HELP_REPLY, &again.ask(HELP));
    again.stop_clean(&[]);
}

#[test]
fn sighup_and_sigusr1_end_nothing() {
    let server = Setup::unix().workers(2).global("debug=2").start();
    let workers = server.wait_for_workers(2);
    let before = server.stderr().len();
    send(server.pid(), Signal::SIGUSR1);
    wait_for("a line of log after SIGUSR1", || (server.stderr().len() > before).then_some(()));
    send(server.pid(), Signal::SIGHUP);
    send(server.pid(), Signal::SIGXFSZ);
    let told = "SIGHUP: looking for endpoints that have vanished; the configuration is not read again";
    wait_for(told, || server.stderr().contains(told).then_some(()));
    assert_same("after SIGHUP", HELP_REPLY, &server.ask(HELP));
    assert_eq!(server.workers(), workers);

    fs::remove_file(server.socket()).unwrap();
    send(server.pid(), Signal::SIGHUP);
    wait_for("the socket after SIGHUP", || server.socket().exists().then_some(()));
    assert_same("after SIGHUP without a socket", HELP_REPLY, &server.ask(HELP));
    server.stop_clean(&[]);
}

/// A signal to the whole group, as a terminal sends it, is one stop and not many failures.
#[test]
fn a_signal_to_the_group_stops_once() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let mut server = Setup::unix().workers(3).start();
        server.wait_for_workers(3);
        let group = nix::unistd::Pid::from_raw(server.pid());
        nix::sys::signal::killpg(group, signal).unwrap();
        let status = server.wait_end().unwrap();
        assert!(status.success(), "{status:?}: {}", server.stderr());
        server.assert_gone(&[]);
    }
}

/// Counters lie in the segment, not in a worker.
#[test]
fn what_a_killed_worker_knew_is_kept() {
    let server = Setup::unix().workers(1).start();
    assert_same("the new level", b"200 OK\nDEBUG:: 2\n", &server.ask(b":debug:\n2\n"));
    let uptime = server.ask(b":uptime:\n");
    let victim = server.wait_for_workers(1)[0].pid;
    send(victim, Signal::SIGKILL);
    wait_for("an answer of the successor", || {
        let (_, _) = server.client().try_ask(VERSION, DEADLINE / 20).ok()?;
        (server.workers()[0].pid != victim).then_some(())
    });
    assert_same("the level after that", b"200 OK\nDEBUG:: 2\n", &server.ask(b":debug:\n"));
    let since = |reply: &[u8]| reply.split(|&byte| byte == b'\n').nth(2).map(<[u8]>::to_vec);
    assert_eq!(since(&server.ask(b":uptime:\n")), since(&uptime), "Up since");
    server.stop_clean(&[]);
}

/// A kernel that runs out of memory ends a worker, which is replaced, and not the attendant. One that may not leave a core
/// file does not own its files in /proc.
#[test]
fn the_kernel_prefers_workers_to_the_attendant_when_memory_runs_out() {
    let score = |pid: i32| -> Option<i32> {
        fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok()?.trim().parse().ok()
    };
    let own = score(i32::try_from(std::process::id()).unwrap()).unwrap();
    let setups = [
        ("as it is", Setup::unix()),
        ("without core files", Setup::unix().global("disable_core_dump=yes")),
        ("as nobody", Setup::unix().global("disable_core_dump=yes").arg("-u").arg("nobody")),
    ];
    for (what, setup) in setups {
        if what == "as nobody" && !nix::unistd::geteuid().is_root() {
            skip("supervision::the_kernel_prefers_workers_to_the_attendant", "only root becomes nobody");
            continue;
        }
        let server = setup.start();
        // The first worker answers while others begin.
        let wanted = Some((own + 500).min(1000));
        wait_for(&format!("{what}: {wanted:?} for all processes but the attendant"), || {
            let all = server.ps();
            all.iter().filter(|process| process.id != 0).all(|it| score(it.pid) == wanted).then_some(())
        });
        assert_eq!(score(server.pid()), Some(own), "{what}");
    }
}
