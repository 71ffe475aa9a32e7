//! Configuration files as the program treats them: all errors at once, their form, `-c`, and whole files with
//! the SIP side in them. The language itself is tested beside its parser.

use std::fs;

use crate::support::{Endpoint, HELP, HELP_REPLY, Outcome, Setup, assert_same};

/// Exit status of `-c` for a file with errors. C: `main` ends with -1.
const EXIT_BAD_CONFIG: Option<i32> = Some(255);

/// Asserts that stderr has an error at `line` and `column` with each of `words`, the source line and a caret
/// below it.
#[track_caller]
fn assert_error(setup: &Setup, outcome: &Outcome, line: usize, column: usize, words: &[&str]) {
    let place = format!("{}:{line}:{column}: ", setup.config_path().display());
    let mut lines = outcome.stderr.lines().skip_while(|line| !line.contains(&place));
    let message = lines.next().unwrap_or_else(|| panic!("no error at {place}: {outcome:#?}"));
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message:?}");
    }
    let config = setup.config();
    let source = config.lines().nth(line - 1).expect("the line exists");
    assert_eq!(lines.next(), Some(source), "the source line follows: {outcome:#?}");
    let caret = lines.next().unwrap_or_default();
    assert_eq!(caret.find('^'), Some(column - 1), "the caret stands under column {column}: {outcome:#?}");
}

fn bad() -> Setup {
    Setup::unix().text(
        "debug=1\n\
         log_stderror=yes\n\
         no_such_global=1\n\
         loadmodule \"mi_datagram.so\"\n\
         modparam(\"mi_datagram\", \"no_such_param\", 1)\n\
         modparam(\"mi_datagram\", \"unix_socket_mode\", \"rw\")\n\
         modparam(\"mi_fifo\", \"fifo_name\", \"/tmp/x\")\n\
         modparam(\"mi_datagram\", \"children_count\", \"many\")\n\
         modparam(\"mi_datagram\", \"socket_name\", \"/nonexistent/mi.sock\")\n",
    )
}

#[track_caller]
fn assert_all_errors(setup: &Setup, outcome: &Outcome, count: usize) {
    assert_error(setup, outcome, 3, 1, &["no_such_global"]);
    assert_error(setup, outcome, 5, 25, &["no_such_param"]);
    assert_error(setup, outcome, 6, 45, &["unix_socket_mode", "rw", "0660"]);
    assert_error(setup, outcome, 7, 10, &["mi_fifo"]);
    assert_error(setup, outcome, 8, 43, &["children_count", "many"]);
    let place = format!("{}:", setup.config_path().display());
    let found: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains(&place)).collect();
    assert_eq!(found.len(), count, "one message for each mistake: {outcome:#?}");
}

#[test]
fn every_error_is_reported_in_one_run() {
    let setup = bad();
    let outcome = setup.check();
    assert_eq!(outcome.status.code(), EXIT_BAD_CONFIG);
    assert_all_errors(&setup, &outcome, 6);
    assert_error(
        &setup,
        &outcome,
        9,
        40,
        &["/nonexistent/mi.sock: there is no folder /nonexistent; make it first"],
    );
}

#[test]
fn a_start_with_errors_prints_them_and_makes_no_socket() {
    let setup = bad();
    let outcome = setup.refuse();
    outcome.assert_refused("a start with a bad file", &[]);
    assert_all_errors(&setup, &outcome, 5);
    assert!(!setup.socket().exists());
}

#[test]
fn a_syntax_error_has_its_place() {
    for (text, line, column) in [
        ("debug=1\nloadmodule mi_datagram.so\n", 2, 12),
        ("debug=1\nmodparam(\"a\" \"b\", 1)\n", 2, 14),
        ("debug=\nfork=yes\n", 2, 1),
        ("debug=1\n/* no end\n", 2, 1),
        ("log_facility=\"no end\n", 1, 14),
    ] {
        let setup = Setup::unix().text(text);
        let outcome = setup.check();
        assert_eq!(outcome.status.code(), EXIT_BAD_CONFIG, "{text:?}: {outcome:#?}");
        let place = format!("{}:{line}:", setup.config_path().display());
        assert!(
            outcome.stderr.contains(&place),
            "{text:?}: not at line {line} (about column {column}): {outcome:#?}"
        );
        assert!(outcome.stderr.contains('^'), "{text:?}: no caret: {outcome:#?}");
    }
}

#[test]
fn the_check_of_a_correct_file_succeeds_and_makes_no_socket() {
    let setup = Setup::unix();
    let outcome = setup.check();
    assert_eq!(outcome.status.code(), Some(0), "{outcome:#?}");
    assert!(!setup.socket().exists());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let setup = Setup::unix();
    let missing = setup.folder.join("missing.cfg");
    let path = missing.to_str().unwrap();
    for args in [&["-c", "-f", path][..], &["-F", "-f", path]] {
        setup.run(args).assert_refused("a missing file", &[path]);
    }
    let setup = Setup::unix();
    let folder = setup.folder.path().to_str().unwrap();
    setup.run(&["-c", "-f", folder]).assert_refused("a folder", &[folder]);
}

#[test]
fn the_last_setting_counts() {
    let setup = Setup::unix();
    let last = setup.folder.join("last.sock");
    let first = setup.socket().to_owned();
    let mut setup = setup.param("children_count", "1").param("children_count", "\"3\"");
    setup = setup.param("socket_name", &format!("\"{}\"", last.display()));
    setup.endpoint = Endpoint::Unix(last);
    let server = setup.start();
    assert_eq!(server.wait_for_workers(3).len(), 3);
    assert!(!first.exists(), "the first socket_name was used as well");
    server.stop_clean(&[]);
}

#[test]
fn the_number_of_workers_may_be_a_number_or_a_string() {
    for (value, count) in [("2", 2), ("\"2\"", 2), ("0x3", 3), ("03", 3)] {
        let server = Setup::unix().param("children_count", value).start();
        assert_eq!(server.wait_for_workers(count).len(), count, "{value}");
        server.stop_clean(&[]);
    }
}

/// What a proxy's own file looks like: its SIP side is read over, not stumbled over.
#[test]
fn a_whole_sip_configuration_works() {
    let setup = Setup::unix();
    let included = setup.folder.join("more.cfg");
    let socket = setup.socket().display().to_string();
    fs::write(&included, format!("modparam(\"mi_datagram\", \"socket_name\", \"{socket}\")\n")).unwrap();
    let text = format!(
        "####### Global Parameters #########\n\
         debug=1\nlog_stderror=yes\nlog_facility=LOG_LOCAL0\nfork=yes\nchildren=4\n\
         auto_aliases=no\ndns_try_ipv6=no\n# disable_tcp=yes\nlisten=udp:127.0.0.1:15060   // CUSTOMIZE\n\
         mpath=\"/usr/lib/opensips/modules/\"\n\
         loadmodule \"signaling.so\"\nloadmodule \"sl/sl.so\"\nloadmodule \"/usr/lib64/opensips/modules/rr.so\"\n\
         loadmodule \"mi_datagram/mi_datagram.so\"\n\
         modparam(\"rr\", \"append_fromtag\", 0)\n\
         modparam(\"mi_.*gram\", \"children_count\", 2)\n\
         include_file \"{}\"\n\
         route {{\n\
         \tif (!mf_process_maxfwd_header(\"10\")) {{\n\
         \t\tsl_send_reply(\"483\", \"}} too /* many // hops # {{\");\n\
         \t\texit;\n\
         \t}}\n\
         \txlog(\"a \\\" quote }}\"); # a comment with }}\n\
         \t/* and }} one }} more */\n\
         \tswitch ($retcode) {{ case -1: drop(); }}\n\
         }}\n\
         onreply_route[handle_nat] {{ if (nat_uac_test(\"1\")) {{ fix_nated_contact(); }} }}\n\
         failure_route[missed_call] {{ exit; }}\n\
         startup_route {{ xlog('started {{'); }}\n",
        included.display()
    );
    let setup = setup.text(text);
    let outcome = setup.check();
    assert_eq!(outcome.status.code(), Some(0), "{outcome:#?}");
    let server = setup.start();
    assert_same("a proxy's file", HELP_REPLY, &server.ask(HELP));
    assert_eq!(server.wait_for_workers(2).len(), 2);
    server.stop_clean(&[]);
}

#[test]
fn the_settings_of_the_web_page_that_mi_http_was_are_accepted() {
    let setup = Setup::unix()
        .module("httpd")
        .module("mi_http")
        .param_of("mi_http", "mi_http_root", "\"opensips_mi\"")
        .param_of("mi_http", "mi_http_method", "1");
    let outcome = setup.check();
    assert_eq!(outcome.status.code(), Some(0), "{outcome:#?}");
    for name in ["mi_http_root", "mi_http_method"] {
        let words = format!("notice: parameter \"{name}\" of module \"mi_http\" has no effect: the web page");
        assert!(outcome.stderr.contains(&words), "{outcome:#?}");
    }
}

/// C: modules/statistics of 1.11 and 2.4.
#[test]
fn statistics_of_a_script_are_listed_and_stay_zero() {
    let setup = Setup::unix()
        .module("statistics")
        .param_of("statistics", "variable", "\"my_stat\"")
        .param_of("statistics", "variable", "\"kept/NO_RESET\"")
        .param_of("statistics", "variable", "\"my_stat\"")
        .param_of("statistics", "stat_groups", "\"one, two\"");
    let server = setup.start();
    let group = b"200 OK\nscript:my_stat:: 0\nscript:kept:: 0\n";
    assert_same("the group", group, &server.ask(b":get_statistics:\nscript:\n"));
    assert_same("by name", b"200 OK\nscript:my_stat:: 0\n", &server.ask(b":get_statistics:\nmy_stat\n"));
    assert_same("reset", b"200 OK\n", &server.ask(b":reset_statistics:\nkept\n"));
    server.stop_clean(&[]);

    let setup = Setup::unix()
        .module("statistics")
        .param_of("statistics", "variable", "\"s/noreset\"")
        .param_of("statistics", "variable", "\"/no_reset\"");
    let outcome = setup.check();
    outcome
        .assert_refused("a wrong flag and no name", &["unknown flag \"noreset\"; write \"s\"", "is empty"]);
}

/// C: cachedb_local of 2.4. A system on a collection has keys of its own.
#[test]
fn collections_of_the_cache_are_apart() {
    let local = |setup: Setup, name, value: &str| setup.param_of("cachedb_local", name, value);
    let setup = local(Setup::unix().module("cachedb_local"), "cache_collections", "\"c1; c2 = 5\"");
    let setup = local(setup, "cachedb_url", "\"local:one:///c1\"");
    let server = local(setup, "cachedb_url", "\"local:two://\"").start();
    let store = |system: &str, value: &str| {
        let request = format!(":cache_store:\n{system}\nkey\n{value}\n");
        assert_same("cache_store", b"200 OK\n", &server.ask(request.as_bytes()));
    };
    let fetch = |system: &str| {
        let request = format!(":cache_fetch:\n{system}\nkey\n");
        String::from_utf8(server.ask(request.as_bytes())).unwrap()
    };
    store("local:one", "first");
    store("local:two", "second");
    assert!(fetch("local:one").contains("first") && fetch("local:two").contains("second"));
    // Without a group the first system is meant, and a chunk is that of the default collection.
    assert!(fetch("local").contains("first"));
    assert_same("chunk", b"200 OK\n", &server.ask(b":cache_remove_chunk:\nk*\n"));
    assert!(fetch("local:one").contains("first") && !fetch("local:two").contains("second"));
    server.stop_clean(&[]);

    let setup = Setup::unix().module("localcache").param_of("localcache", "cache_table_size", "9");
    let server = setup.start();
    assert_same("localcache of 1.5", b"200 OK\n", &server.ask(b":cache_store:\nlocal\nk\nv\n"));
    server.stop_clean(&[]);

    let setup = local(Setup::unix().module("cachedb_local"), "cachedb_url", "\"local:g:///none\"");
    setup
        .refuse()
        .assert_refused("an unknown collection", &["there is no collection \"none\"; add modparam("]);
}

/// OpenSIPS 3.4 writes such a file. The unknown module is found after the globals, and the line comes after
/// both.
#[test]
fn a_file_of_opensips_3_is_named_in_the_last_line() {
    let text = "xlog_print_level=3\nsyslog_enabled=yes\nloadmodule \"tracer.so\"\n";
    let setup = Setup::unix().text(text);
    let path = setup.config_path().display().to_string();
    for outcome in [setup.check(), setup.refuse()] {
        outcome.assert_refused("a file of OpenSIPS 3", &["tracer", "xlog_default_level"]);
        let last = outcome.stderr.lines().last().unwrap_or_default();
        let start =
            format!("{path}: this seems to be a file of OpenSIPS 3.4 or later: syslog_enabled in line 2");
        assert!(last.starts_with(&start), "{last}");
    }
}

#[test]
fn a_module_without_a_file_is_an_error_with_its_name() {
    let setup = Setup::unix().module("no_such_module");
    let outcome = setup.refuse();
    outcome.assert_refused("an unknown module", &["no_such_module"]);
    assert!(!setup.socket().exists());
}
