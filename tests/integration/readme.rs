//! The commands that the README shows, and what they print.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use crate::scripted::{Keeper, exists, run};
use crate::support::{Setup, assert_same, free_tcp_port, skip};

const README: &str = include_str!("../../README.md");

/// The blocks of a language in a section, without their fences.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let (_, section) = README.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let begin = format!("```{language}\n");
    let blocks = section.split(&begin).skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Runs a script of the README in the setup's folder. Returns what it prints.
#[track_caller]
fn run_script(setup: &Setup, script: &str) -> String {
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_opensipsunix")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(setup.folder.path());
    command.env("PATH", path).env("MI", env!("CARGO_MANIFEST_DIR"));
    let outcome = run(&mut command, b"");
    assert!(outcome.status.success(), "{script}\n{outcome:#?}");
    outcome.stdout
}

#[test]
fn what_the_readme_does_in_ci_works() {
    let missing = ["make", "cc", "curl", "python3"].into_iter().find(|program| !exists(program));
    if let Some(program) = missing {
        return skip("what_the_readme_does_in_ci_works", &format!("no {program}"));
    }
    let setup = Setup::unix();
    // The keeper knows a server by the path of its configuration, and this one has none.
    let folder = setup.folder.join("opensips.cfg.d");
    let [xml_rpc, http] = [(); 2].map(|()| free_tcp_port(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string());
    let here = |script: &str| {
        let script = script.replace("/tmp/mi", &folder.display().to_string());
        script.replace("8080", &xml_rpc).replace("8888", &http)
    };
    let [module] = &blocks("In CI", "c")[..] else { panic!("one module") };
    assert!(module.lines().count() <= 20, "the README says 20 lines");
    fs::write(setup.folder.join("fake.c"), module).unwrap();
    let _keeper = Keeper(&setup);
    let scripts = blocks("In CI", "sh");
    let [start, ask, stop] = &scripts[..] else { panic!("three scripts") };
    run_script(&setup, &here(start));
    let wanted = blocks("In CI", "text").concat();
    assert_same(ask, wanted.as_bytes(), run_script(&setup, &here(ask)).as_bytes());
    run_script(&setup, &here(stop));
    Keeper(&setup).wait_gone(&[&folder.join("socket"), &folder.join("fifo"), &folder.join("pid")]);
}

/// The example serves as it stands, and the first request is answered as shown, process numbers apart.
#[test]
fn the_first_request_of_the_readme_is_answered() {
    let setup = Setup::unix();
    let example = include_str!("../../opensips.cfg.example");
    let here = |text: &str| text.replace("/tmp/", &format!("{}/", setup.folder.path().display()));
    fs::write(setup.config_path(), here(example)).unwrap();
    let _keeper = Keeper(&setup);
    run_script(&setup, &format!("opensips-mi -f {}", setup.config_path().display()));
    let ask = blocks("Two commands", "sh").into_iter().find(|script| script.contains("opensipsunix"));
    let ask = here(&ask.expect("a request")).replace("target/release/", "");
    let without_pids = |text: &str| {
        let word = |word: &str| if word.starts_with("PID=") { "PID".to_owned() } else { word.to_owned() };
        let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    let wanted = blocks("Two commands", "text").concat();
    assert_eq!(without_pids(&run_script(&setup, &ask)), without_pids(&wanted));
}
