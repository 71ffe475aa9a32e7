//! What C modules of OpenSIPS use besides MI: numbers, strings, sums, locks, and what belongs to the routing
//! script; and modules under names that OpenSIPS has modules of. The figures are those of OpenSIPS 1.11,
//! compiled from its headers.

use serde_json::{Value, json};

use super::{built, built_as, json_rpc, text};
use crate::support::{Server, Setup};

const HELPERS: &str = "tests/integration/modules/helpers.c";

/// What the helpers make of a text, each answer under its name.
fn made_of(server: &Server, text: &str) -> Value {
    json_rpc(server, "helpers", &json!([text]))
}

#[test]
fn helpers_give_what_those_of_opensips_give() {
    let setup = Setup::unix();
    let file = setup.folder.join("some file");
    // Longer than a block of the sum, so that its length and padding begin another one.
    std::fs::write(&file, "0123456789".repeat(12)).unwrap();
    let Some(setup) = built(setup, HELPERS, "") else { return };
    let file = format!("\"{}\"", file.display());
    let server = setup.param_of("helpers", "hash_file", &file).start();
    assert_eq!(
        made_of(&server, " Hello, w\u{f6}rld e\r\n"),
        json!({
            "str2int": "-1 0", "str2sint": "-1 0", "strno2int": "-1 0", "int2str": "0 1", "sint2str": "0 1",
            "hex": "18 2048656c6c6f2c2077c3b6726c6420650d0a",
            "reverse": "1 e2f1 4 1f2e",
            "no room": "-1",
            "base64": "IEhlbGxvLCB3w7ZybGQgZQ0K 1",
            "hash": "1614203947 215 3606319207",
            "case hash": "1",
            "compare": "0 1 -2",
            "trim_len": "[Hello, w\u{f6}rld e]",
            "last e": "15",
            "trim_r": "[ Hello, w\u{f6}rld e]",
            "spaces": "[Hello, w\u{f6}rld e]",
            "trim": "[Hello, w\u{f6}rld e]",
            "md5": "7b844ca48c194ee46e207c5f6e2ecf3e",
            "md5 of both": "0cb08be7cda7db6a11ea01c20e766bcc",
            "md5 of file": "71877a6051c58e0e9246babc177ca5f2",
            "no file": "-1",
            "new": "1 0 0", "text": "1  Hello, w\u{f6}rld e\r\n", "number": "0 -5", "none": "1",
            "found": "1 1", "not found": "0 0 0 0", "loaded": "1",
        })
    );
    let number = made_of(&server, "-42");
    assert_eq!(number["str2int"], "-1 0");
    assert_eq!(number["str2sint"], "0 -42");
    assert_eq!(number["sint2str"], "-42 3");
    assert_eq!(number["base64"], "LTQy 1");
    assert_eq!(number["hash"], "2660618 183 3606319207");
    let number = made_of(&server, "0x1fE");
    assert_eq!(number["str2int"], "-1 0");
    assert_eq!(number["strno2int"], "0 510");
    assert_eq!(number["int2str"], "510 3");
    for (text, base64) in [("", " 1"), ("a", "YQ== 1"), ("ab", "YWI= 1")] {
        assert_eq!(made_of(&server, text)["base64"], base64);
    }
    assert_eq!(made_of(&server, "")["hex"], "1 0");
    assert_eq!(made_of(&server, "")["md5"], "d41d8cd98f00b204e9800998ecf8427e");
}

#[test]
fn lock_sets_and_writer_locks_exclude_other_processes() {
    let Some(setup) = built(Setup::unix().workers(3), HELPERS, "") else { return };
    let server = setup.start();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let client = server.client();
                (0..200).for_each(|_| assert!(client.ask(b":helpers_add:\n").starts_with(b"200 OK\nNow:: ")));
            });
        }
    });
    assert_eq!(text(&server, ":helpers_add:\n"), "200 OK\nNow:: 601\n");
}

#[test]
fn a_function_for_the_routing_script_fails_and_logs_its_caller() {
    for wish in ["\"spec\"", "\"format\""] {
        let Some(setup) = built(Setup::unix(), HELPERS, "") else { return };
        setup.param_of("helpers", "wish", wish).refuse().assert_refused(
            wish,
            &[
                "helpers.so has called a function for the routing script",
                "module helpers: its init function failed (-6)",
            ],
        );
    }
}

/// The names are those of a module with MI commands and of one without; both are accepted without a file.
#[test]
fn a_module_of_opensips_is_loaded_when_its_file_was_compiled_for_this_server() {
    for (name, told) in [("gflags", "its MI commands are lacking here"), ("exec", "it is accepted")] {
        let Some(setup) = built_as(Setup::unix().global("debug=3"), name, HELPERS, "") else { return };
        let server = setup.param_of(name, "hash_file", "\"x\"").start();
        assert_eq!(text(&server, ":helpers_add:\n"), "200 OK\nNow:: 1\n");
        assert!(!server.stderr().contains(told), "{}", server.stderr());

        let Some(setup) = built_as(Setup::unix().global("debug=3"), name, HELPERS, "-DWHOSE=1") else {
            return;
        };
        let server = setup.param_of(name, "of OpenSIPS", "\"x\"").start();
        assert_eq!(text(&server, ":helpers_add:\n"), text(&server, ":none such:\n"));
        assert!(server.stderr().contains(told), "{}", server.stderr());

        let Some(setup) = built_as(Setup::unix(), name, HELPERS, "-DWHOSE=2") else { return };
        setup
            .check()
            .assert_refused(name, &["opensips.cfg:5:", "number 0\", this server has", "compile it again"]);
    }
}
