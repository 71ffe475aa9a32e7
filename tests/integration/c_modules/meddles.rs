//! Runs modules that change what the server relies on, return no valid reply, or misuse locks. The server
//! repairs or refuses what would hang it, and logs it. C: `init_mod` in sr_module.c, `install_sigs` in
//! main.c.

use super::{built, text};
use crate::support::{Setup, Signal, send, wait_for};

const MEDDLES: &str = "tests/integration/modules/meddles.c";

#[test]
fn the_attendant_takes_its_signals_whatever_a_module_does_with_them() {
    for place in ["init", "main"] {
        for what in ["children ignored", "end ignored", "all by default", "all held back"] {
            let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
            let server = setup.param_of("meddles", place, &format!("\"{what}\"")).start();
            let victim = server.wait_for_workers(1)[0].pid;
            send(victim, Signal::SIGKILL);
            wait_for("a successor", || server.ps().iter().all(|process| process.pid != victim).then_some(()));
            server.stop_clean(&[]);
        }
    }
}

#[test]
fn tables_that_init_removes_are_not_registered() {
    let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
    let server = setup.param_of("meddles", "init", "\"without tables\"").start();
    assert_eq!(text(&server, ":meddle:\n"), text(&server, ":none such:\n"));
    assert!(!text(&server, ":get_statistics:\nall\n").contains("meddles:meddles"));
    assert!(server.ps().iter().all(|process| process.kind != "meddler"));

    let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
    let server = setup.start();
    assert_eq!(text(&server, ":meddle:\n"), "200 OK\nPrinted:: 0\n");
    assert!(text(&server, ":get_statistics:\nall\n").contains("\nmeddles:meddles:: 1\n"));
    assert!(server.ps().iter().any(|process| process.kind == "meddler"));
}

#[test]
fn an_init_function_fails_with_any_number_but_0() {
    let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
    let setup = setup.param_of("meddles", "init", "\"fails with 1\"");
    setup.refuse().assert_refused("1", &["module meddles: its init function failed (1)"]);
}

#[test]
fn a_line_that_is_not_written_is_not_printed_either() {
    for (debug, printed) in [(3, 0), (4, 1)] {
        let Some(setup) = built(Setup::unix().global(&format!("debug={debug}")), MEDDLES, "") else { return };
        let server = setup.start();
        assert_eq!(text(&server, ":meddle:\n"), format!("200 OK\nPrinted:: {printed}\n"));
        assert_eq!(server.stderr().contains("printed 1 times"), printed == 1);
    }
}

#[test]
fn a_reply_tree_with_a_cycle_is_refused_and_no_process_dies() {
    let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
    let server = setup.start();
    let before = server.wait_for_workers(1)[0].pid;
    for what in ["nodes", "attributes"] {
        assert_eq!(text(&server, &format!(":meddle:\n{what}\n")), "500 command failed\n");
    }
    assert_eq!(server.wait_for_workers(1)[0].pid, before);
    assert_eq!(server.stderr().matches("has itself behind it").count(), 2);
}

#[test]
fn a_lock_taken_twice_or_released_by_another_process_is_logged() {
    let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
    let server = setup.start();
    assert_eq!(text(&server, ":meddle:\nforeign\n"), "200 OK\nPrinted:: 0\n");
    let said = server.stderr();
    assert!(said.contains("module meddles: its lock ") && said.contains("cannot be released: "), "{said}");
    let before = server.wait_for_workers(1)[0].pid;
    server.client().send(b":meddle:\ntwice\n").unwrap();
    wait_for("a successor", || server.ps().iter().all(|process| process.pid != before).then_some(()));
    assert!(server.stderr().contains("is it not held here already?"), "{}", server.stderr());
}

#[test]
fn a_slow_command_is_logged_once() {
    let Some(setup) = built(Setup::unix().workers(2), MEDDLES, "") else { return };
    let server = setup.start();
    let client = server.client();
    client.send(b":meddle:\nfor long\n").unwrap();
    let told = wait_for("a line", || {
        let said = server.stderr();
        let line = said.lines().find(|line| line.contains("in command meddle of module meddles"))?;
        Some(line.to_owned())
    });
    assert!(told.contains("has been in command meddle of module meddles for more than 5s"), "{told}");
    // The other one serves, and its calls are short.
    assert_eq!(text(&server, ":meddle:\n"), "200 OK\nPrinted:: 0\n");
    let pid = told.split_once("PID ").unwrap().1.split_once(')').unwrap().0.parse().unwrap();
    send(pid, Signal::SIGKILL);
    let ended = format!("PID {pid}) ended by SIGKILL in command meddle of module meddles\n");
    wait_for("its end", || server.stderr().contains(&ended).then_some(()));
    assert_eq!(server.stderr().matches("has been in command").count(), 1);
    assert!(!client.has_more());
}

/// What a function of the module does, and what is said of it.
const ENDS: [(&str, &str); 4] = [
    ("crashes", ": ended by SIGSEGV\n"),
    ("aborts", ": ended by SIGABRT\n"),
    ("raises", ": ended by SIGBUS\n"),
    ("exits", " has called exit, and ends the process\n"),
];

#[test]
fn a_crash_during_the_start_is_logged_and_the_next_start_succeeds() {
    for (place, function) in [("init", "init"), ("main", "child_init")] {
        for (how, ending) in ENDS {
            let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
            let pid_file = setup.folder.join("pid");
            let setup = setup.arg("-P").arg(&pid_file).param_of("meddles", place, &format!("\"{how}\""));
            let line = format!("module meddles: its {function} function{ending}");
            let outcome = setup.refuse();
            assert!(!outcome.status.success() && outcome.stderr.contains(&line), "{line}{outcome:#?}");
            let config = setup.config_path();
            let daemon = setup.run(&["-f", config.to_str().unwrap()]);
            daemon.assert_refused(how, &[&line, "the server ended before it was ready"]);
            wait_for("all processes to end", || setup.processes().is_empty().then_some(()));
            for left in [&*pid_file, setup.socket()] {
                assert!(!left.exists(), "{place} {how}: {} is left", left.display());
            }
            let server = setup.param_of("meddles", place, "\"\"").start();
            assert_eq!(text(&server, ":meddle:\n"), "200 OK\nPrinted:: 0\n");
            server.stop_clean(&[&pid_file]);
        }
    }
}

#[test]
fn a_crash_in_the_destroy_function_is_logged() {
    for (how, ending) in ENDS {
        let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
        let pid_file = setup.folder.join("pid");
        let setup = setup.arg("-P").arg(&pid_file);
        let mut server = setup.param_of("meddles", "end", &format!("\"{how}\"")).start();
        let status = server.stop(Signal::SIGTERM).unwrap();
        assert!(!status.success(), "{how}: {status}");
        let line = format!("module meddles: its destroy function{ending}");
        assert!(server.stderr().contains(&line), "{}", server.stderr());
        server.assert_gone(&[&pid_file]);
    }
}

#[test]
fn a_thread_that_runs_at_the_fork_ends_the_start() {
    for (place, function) in [("init", "init"), ("main", "child_init")] {
        let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
        let setup = setup.param_of("meddles", place, "\"starts a thread\"");
        let line =
            format!("meddles: its {function} function has started 1 of its own threads, which no other");
        setup.refuse().assert_refused(place, &[&line]);
        let server = setup.param_of("meddles", place, "\"joins a thread\"").start();
        server.stop_clean(&[]);
    }
}

#[test]
fn the_end_of_a_modules_own_child_is_not_logged_as_a_crash() {
    for place in ["init", "main"] {
        let Some(setup) = built(Setup::unix(), MEDDLES, "") else { return };
        let server = setup.param_of("meddles", place, "\"has children that end\"").start();
        let said = server.stderr();
        assert!(!said.contains("ended by SIGABRT") && !said.contains("has called exit"), "{said}");
        server.stop_clean(&[]);
    }
}
