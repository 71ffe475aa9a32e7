//! Modules written in C, compiled here with all warnings as errors: over each transport, in both generations,
//! with wrong settings, and dying. C: sr_module.c, mi/mi.c and modparam.c.

mod helpers;
mod killed;
mod killed_deferred;
mod meddles;
mod memory;
pub(crate) mod transports;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, Setup, Signal, assert_same, skip, wait_for};

/// A module written in C++: what the headers declare links, and a command uses the language's own library.
#[test]
fn a_module_in_cxx_is_built_and_answers() {
    if Command::new("g++").arg("--version").output().is_err() {
        return skip("a_module_in_cxx_is_built_and_answers", "no g++");
    }
    let Some(setup) = built(Setup::unix(), WORDS, "") else { return };
    let server = setup.param_of("words", "prefix", "\"<\"").start();
    let sorted = "200 OK\nWord:: <a length=1\nWord:: <b length=1\nWord:: <word length=4\n";
    assert_eq!(text(&server, ":words:\nword\nb\na\n"), sorted);
    assert_eq!(text(&server, ":words:\n"), "400 no words\n");
    assert_eq!(text(&server, ":get_statistics:\nwords:\n"), "200 OK\nwords:sorted:: 1\n");
    server.stop_clean(&[]);
}

/// Every header alone, in both languages and with all warnings.
#[test]
fn every_header_compiles_alone_as_c_and_as_cxx() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("c-compat/include");
    for (compiler, language) in [("cc", "c"), ("g++", "c++")] {
        if Command::new(compiler).arg("--version").output().is_err() {
            skip("every_header_compiles_alone_as_c_and_as_cxx", &format!("no {compiler}"));
            continue;
        }
        let mut headers = 0;
        for folder in ["", "mi", "mem", "evi"] {
            for entry in fs::read_dir(include.join(folder)).unwrap() {
                let header = entry.unwrap().path();
                if header.extension().is_none_or(|ending| ending != "h") {
                    continue;
                }
                let mut command = Command::new(compiler);
                command.args([
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    "-DMOD_NAME=\"x\"",
                    "-fsyntax-only",
                    "-x",
                    language,
                ]);
                command.arg("-include").arg(&header).arg("/dev/null");
                let output = command.output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{compiler} {}: {said}", header.display());
                headers += 1;
            }
        }
        assert!(headers > 25, "only {headers}");
    }
}

/// Compiles a module into the setup's folder, with defines such as `-DWHY=1`; `None`, and says so, when this
/// machine cannot.
#[track_caller]
pub(crate) fn built(setup: Setup, source: &str, defines: &str) -> Option<Setup> {
    built_as(setup, Path::new(source).file_stem().unwrap().to_str().unwrap(), source, defines)
}

/// The same under another name.
#[track_caller]
fn built_as(setup: Setup, name: &str, source: &str, defines: &str) -> Option<Setup> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if Command::new("make").arg("--version").output().is_err()
        || Command::new("cc").arg("--version").output().is_err()
    {
        skip("c_modules", "make and a C compiler are needed");
        return None;
    }
    let folder = setup.folder.join(&format!("{name}-source"));
    fs::create_dir(&folder).unwrap();
    let file = Path::new(name).with_extension(Path::new(source).extension().unwrap());
    fs::copy(root.join(source), folder.join(file)).unwrap();
    let rules = root.join("c-compat/include/modules/module/module.mk");
    fs::write(folder.join("Makefile"), format!("NAME := {name}\ninclude {}\n", rules.display())).unwrap();
    let output = Command::new("make")
        .arg("-C")
        .arg(&folder)
        .env("CPPFLAGS", format!("-Werror {defines}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(folder.join(format!("{name}.so")), setup.folder.join(&format!("{name}.so"))).unwrap();
    let mpath = format!("mpath=\"{}/\"", setup.folder.path().display());
    Some(setup.global(&mpath).module(name))
}

const EXAMPLE: &str = "c-compat/example/example.c";
const SHAPES: &str = "tests/integration/modules/shapes.c";
const SLIPS: &str = "tests/integration/modules/slips.c";
const CHURN: &str = "tests/integration/modules/churn.c";
const WORDS: &str = "tests/integration/modules/words.cc";
const REFUSED: &str = "tests/integration/modules/refused.c";

pub(crate) fn text(server: &Server, request: &str) -> String {
    String::from_utf8(server.ask(request.as_bytes())).unwrap()
}

/// The result, or the error.
pub(crate) fn json_rpc(server: &Server, method: &str, params: &Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let reply: Value = serde_json::from_slice(&server.ask(request.to_string().as_bytes())).unwrap();
    reply.get("result").or(reply.get("error")).cloned().unwrap()
}

#[test]
fn the_example_answers_text_and_json() {
    let Some(setup) = built(Setup::unix(), EXAMPLE, "") else { return };
    let server = setup
        .param_of("example", "greeting", "\"good day\"")
        .param_of("example", "step", "3")
        .param_of("example", "word", "\"one\"")
        .param_of("example", "word", "\"two\"")
        .param_of("example", "limit", "100")
        .start();
    assert_eq!(text(&server, ":example_count:\n"), "200 OK\nCount:: 3\n");
    assert_eq!(text(&server, ":example_count:\n5\n"), "200 OK\nCount:: 8\n");
    assert_eq!(text(&server, ":example_count:\nfive\n"), "400 Bad parameter\n");
    assert_eq!(text(&server, ":example_count:\n93\n"), "403 Limit reached\n");
    assert_eq!(
        text(&server, ":example_show:\nignored\n"),
        "200 OK\nGreeting:: good day step=3 param=given\n\tWord:: one\n\tWord:: two\n\
         Process:: rank=-2 inits=1 numbered=1\n"
    );
    assert_eq!(
        text(&server, ":example_echo:\na\nx::b\n\"q\"\n"),
        "200 OK\nSaid:: a\nSaid:: b name=x\nSaid:: q\n"
    );
    assert_eq!(json_rpc(&server, "example_count", &json!([2])), json!({"Count": "10"}));
    assert_eq!(json_rpc(&server, "example_count", &json!([])), json!({"Count": "13"}));
    assert_eq!(
        json_rpc(&server, "example_count", &json!(["x"])),
        json!({"code": 400, "message": "Bad parameter value"})
    );
    assert_eq!(
        json_rpc(&server, "example_show", &json!([])),
        json!({
            "Greeting": {"value": "good day", "step": "3", "param": "given", "Word": ["one", "two"]},
            "Process": "rank=-2 inits=1 numbered=1",
        })
    );
    assert_eq!(json_rpc(&server, "example_echo", &json!(["a", "", 7])), json!({"Said": ["a", "", "7"]}));
    assert_eq!(
        text(&server, ":help:\nexample_count\n"),
        "200 OK\nHelp:: adds to the counter\nExported by:: example\n"
    );
    let which = text(&server, ":which:\n");
    for name in ["example_count", "example_show", "example_echo"] {
        assert!(which.contains(&format!("\n{name}\n")), "{which}");
    }
    assert_eq!(
        text(&server, ":get_statistics:\nexample:\n"),
        "200 OK\nexample:calls:: 4\nexample:count:: 13\n"
    );
    assert_eq!(text(&server, ":reset_statistics:\ncalls\n"), "200 OK\n");
    assert_eq!(
        text(&server, ":get_statistics:\nexample:\n"),
        "200 OK\nexample:calls:: 0\nexample:count:: 13\n"
    );
}

#[test]
fn all_workers_and_the_destroy_function_see_one_shared_counter() {
    let Some(setup) = built(Setup::unix().global("debug=3").fifo().workers(3), EXAMPLE, "") else { return };
    let mut server = setup.start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = server.client();
                (0..250).for_each(|_| assert!(client.ask(b":example_count:\n").starts_with(b"200 OK\n")));
            });
        }
    });
    let client = server.fifo_client("replies");
    client.send(":example_count:{R}\n\n");
    assert_same("over FIFO", b"200 OK\nCount:: 1001\n\n", &client.receive());
    assert_eq!(text(&server, ":get_statistics:\ncalls\n"), "200 OK\nexample:calls:: 1001\n");
    server.stop(Signal::SIGTERM);
    let said = server.stderr();
    assert_eq!(said.matches("NOTICE:example: destroy: ends with 1001").count(), 1, "{said}");
}

#[test]
fn reply_trees_of_all_shapes_and_sizes_arrive_complete() {
    let Some(setup) = built(Setup::unix().fifo(), SHAPES, "") else { return };
    let server = setup.start();
    let client = server.fifo_client("text");
    client.send(":nodes:{R}\n10000\n\n");
    let rows =
        (0..10_000).map(|row| format!("\tRow:: {row} twice={} kind=row\n", 2 * row)).collect::<String>();
    assert_same("10 000 nodes", format!("200 OK\nTable:: all\n{rows}\n").as_bytes(), &client.receive());
    let client = server.fifo_client("json");
    client.send(r#":{R}:{"jsonrpc":"2.0","id":1,"method":"nodes","params":["10000"]}"#);
    let reply: Value = serde_json::from_slice(&client.receive()).unwrap();
    let table = &reply["result"]["Table"];
    assert_eq!(table["value"], "all");
    assert_eq!(table["Row"].as_array().map(Vec::len), Some(10_000));
    assert_eq!(table["Row"][9999], json!({"value": "9999", "twice": "19998", "kind": "row"}));
    let too_large = text(&server, ":nodes:\n10000\n");
    assert!(too_large.starts_with("500 reply too large: "), "{too_large}");

    assert_eq!(text(&server, ":shape:\nempty\n"), "200 OK\n");
    assert_eq!(text(&server, ":shape:\ncode\n"), "202 Accepted\nLater:: \n");
    assert_eq!(text(&server, ":shape:\nerror\n"), "480 No way\nWhy:: because\n");
    for failing in ["nothing", "async", "deep"] {
        assert_eq!(text(&server, &format!(":shape:\n{failing}\n")), "500 command failed\n");
    }
    let own = text(&server, ":shape:\nown words\n");
    assert!(own.starts_with("200 OK\nText:: own words\n") && own.ends_with("Ticks:: few\n"), "{own}");
    assert_eq!(json_rpc(&server, "shape", &json!(["empty"])), json!("OK"));
    assert_eq!(json_rpc(&server, "shape", &json!(["code"])), json!({"Later": ""}));
    assert_eq!(json_rpc(&server, "shape", &json!(["error"])), json!({"code": 480, "message": "No way"}));
    let own = json!({"Text": "own words", "nodes": "nameless", "Ticks": "few"});
    assert_eq!(json_rpc(&server, "shape", &json!(["own words"])), own);
}

#[test]
fn a_crash_loses_one_request_and_releases_its_lock() {
    let Some(setup) = built(Setup::unix().workers(2), SHAPES, "") else { return };
    let server = setup.start();
    assert_eq!(text(&server, ":keep:\nwhat stays\n"), "200 OK\nKept:: what stays\n");
    assert_eq!(text(&server, ":count:\n"), "200 OK\nCount:: 1\n");
    for (request, count) in [(&b":die:\n"[..], 2), (b":die:\nlocked\n", 4)] {
        let before = server.wait_for_workers(2);
        let victim = server.client();
        victim.send(request).unwrap();
        let after = wait_for("another worker", || {
            let now = server.wait_for_workers(2);
            now.iter().any(|worker| before.iter().all(|old| old.pid != worker.pid)).then_some(now)
        });
        assert_eq!(after.iter().filter(|now| before.iter().any(|old| old.pid == now.pid)).count(), 1);
        assert!(!victim.has_more());
        assert_eq!(text(&server, ":count:\n"), format!("200 OK\nCount:: {count}\n"));
    }
    let said = server.stderr();
    assert_eq!(said.matches("ended by SIGSEGV in command die of module shapes\n").count(), 2, "{said}");
    assert_eq!(said.matches("module shapes: the holder of its lock").count(), 1, "{said}");
    assert_eq!(text(&server, ":reset_statistics:\nshapes_suspect_locks\n"), "200 OK\n");
    let suspect = text(&server, ":get_statistics:\nshapes_suspect_locks\n");
    assert_eq!(suspect, "200 OK\nmi:shapes_suspect_locks:: 1\n");
    // Both workers, the old one and the new one, find the text at the address that a dead one had.
    for _ in 0..20 {
        assert_eq!(text(&server, ":keep:\n"), "200 OK\nKept:: what stays\n");
    }
}

#[test]
fn shared_memory_is_refused_beyond_its_limit_and_free_again_afterwards() {
    let Some(setup) = built(Setup::unix().arg("-m").arg("8"), SHAPES, "") else { return };
    let server = setup.start();
    let used = || text(&server, ":get_statistics:\nreal_used_size\n");
    let (before, first) = (used(), text(&server, ":fill:\n"));
    let blocks: u32 = first.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((58..64).contains(&blocks), "half of 8 MiB in blocks of 64 KiB: {blocks}");
    assert_eq!(text(&server, ":fill:\n"), first);
    assert_eq!(used(), before);
    assert_eq!(text(&server, ":get_statistics:\ntotal_size\n"), "200 OK\nshmem:total_size:: 8388608\n");
    let said = server.stderr();
    assert!(said.contains("shm_malloc: no room for 65536 bytes"), "{said}");
    assert!(said.contains("is no block in use"), "{said}");
}

#[test]
fn a_refused_module_gets_an_error_with_its_position() {
    for (why, words) in [
        (1, &["opensips.cfg:5:", "version: found \"1.11.11-notls\"", "compile it again"][..]),
        (2, &["opensips.cfg:5:", "calls itself \"other\"; name the file other.so"]),
        (
            5,
            &[
                "opensips.cfg:5:",
                "undefined symbol: register_event_mod",
                "c-compat/include",
                "c-compat/README.md",
            ],
        ),
    ] {
        let Some(setup) = built(Setup::unix(), REFUSED, &format!("-DWHY={why}")) else { return };
        setup.check().assert_refused(&format!("WHY={why}"), words);
    }
    for (why, words) in [
        (4, &["module refused: the pre-fork function of its process \"refused process\" failed (3)"][..]),
        (6, &["module refused: its init function failed (-7)"]),
        (7, &["refused: its child_init function failed in this process (-8)"]),
        (8, &["command ps of module refused exists already in module core"]),
    ] {
        let Some(setup) = built(Setup::unix(), REFUSED, &format!("-DWHY={why}")) else { return };
        setup.refuse().assert_refused(&format!("WHY={why}"), words);
    }
    let Some(setup) = built(Setup::unix(), REFUSED, "-DWHY=0") else { return };
    let outcome = setup.param_of("refused", "step", "3").check();
    outcome
        .assert_refused("no parameters", &["opensips.cfg:", "the module has no parameters; remove the line"]);
    let setup = Setup::unix().module("nowhere");
    setup
        .check()
        .assert_refused("no file", &["opensips.cfg:4:", "no file /usr/lib/opensips/modules/nowhere.so"]);
    let setup = Setup::unix().global("mpath=\".\"").module("text");
    fs::write(setup.folder.join("text.so"), "no module").unwrap();
    setup.check().assert_refused("no module", &["opensips.cfg:5:", "text.so: "]);
}

#[test]
fn each_wrong_parameter_gets_an_error_with_its_position() {
    let Some(setup) = built(Setup::unix(), EXAMPLE, "") else { return };
    let setup = setup
        .param_of("example", "greeting", "3")
        .param_of("example", "step", "\"3\"")
        .param_of("example", "limit", "-1")
        .param_of("example", "stride", "3");
    let outcome = setup.check();
    outcome.assert_refused(
        "settings",
        &[
            "opensips.cfg:7:33: modparam(\"example\", \"greeting\"): expected a string",
            "opensips.cfg:8:29: modparam(\"example\", \"step\"): expected a number",
            "opensips.cfg:9:30: modparam(\"example\", \"limit\"): the module refuses it (-6)",
            "opensips.cfg:10:31: modparam(\"example\", \"stride\"): the module has no such parameter; it has greeting, step, word, limit",
        ],
    );
}

#[test]
fn a_module_is_found_by_its_path_and_in_a_folder_of_its_name() {
    let Some(setup) = built(Setup::unix(), EXAMPLE, "") else { return };
    let (from, folder) = (setup.folder.join("example.so"), setup.folder.join("example"));
    fs::create_dir(&folder).unwrap();
    fs::rename(&from, folder.join("example.so")).unwrap();
    let server = setup.start();
    assert_eq!(text(&server, ":example_count:\n"), "200 OK\nCount:: 1\n");
    let absolute = format!("{}/example/example", server.setup.folder.path().display());
    let other = Setup::unix().module(&absolute).start();
    assert_eq!(text(&other, ":example_count:\n"), "200 OK\nCount:: 1\n");
}
