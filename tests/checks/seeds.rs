//! Every fuzz seed, replayed through the body of its target. tests/fuzz/README.md says what the names mean.

use std::fs;
use std::panic;
use std::path::Path;

#[path = "../fuzz/bodies/config.rs"]
mod config;
#[path = "../fuzz/bodies/json_rpc.rs"]
mod json_rpc;
#[path = "../fuzz/bodies/mi_json.rs"]
mod mi_json;
#[path = "../fuzz/server.rs"]
mod server;
#[path = "../fuzz/bodies/text_datagram.rs"]
mod text_datagram;
#[path = "../fuzz/bodies/text_fifo.rs"]
mod text_fifo;
#[path = "../fuzz/bodies/xmlrpc.rs"]
mod xmlrpc;

use super::xml_reply;

/// What checks an input: true when it is accepted, a panic when a rule is broken.
type Body = fn(&[u8]) -> bool;

/// The targets with their bodies.
const TARGETS: [(&str, Body); 6] = [
    ("config", config::check),
    ("json_rpc", json_rpc::check),
    ("mi_json", mi_json::check),
    ("text_datagram", text_datagram::check),
    ("text_fifo", text_fifo::check),
    ("xmlrpc", xmlrpc::check),
];

#[test]
fn configurations_hold_all_rules() {
    replay("config");
}

#[test]
fn json_rpc_holds_all_rules() {
    replay("json_rpc");
}

#[test]
fn datagrams_hold_all_rules() {
    replay("text_datagram");
}

#[test]
fn mi_json_holds_all_rules() {
    replay("mi_json");
}

#[test]
fn streams_hold_all_rules() {
    replay("text_fifo");
}

#[test]
fn xml_rpc_holds_all_rules() {
    replay("xmlrpc");
}

#[test]
fn every_target_has_seeds_and_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut known: Vec<String> = TARGETS.map(|(name, _)| name.to_owned()).into();
    known.sort();
    assert_eq!(names(&root.join("seeds"), |path| path.is_dir()), known);
    let programs: Vec<String> = known.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&root.join("targets"), |_| true), programs);
    assert_eq!(names(&root.join("bodies"), |_| true), programs);
    for name in known {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not in the manifest");
    }
}

#[test]
fn a_seed_that_breaks_a_rule_is_noticed() {
    assert_eq!(outcome("ok-x", |_| panic!("a rule"), b""), Err("a rule is broken"));
    assert_eq!(outcome("crash-x", |_| panic!("a rule"), b""), Err("a rule is broken"));
    assert_eq!(outcome("crash-x", |_| true, b""), Ok(()));
    assert_eq!(outcome("ok-x", |_| false, b""), Err("is refused"));
    assert_eq!(outcome("bad-x", |_| true, b""), Err("is accepted"));
    assert!(outcome("x", |_| true, b"").is_err());
}

/// Runs every seed of a target and tells all that fail.
fn replay(target: &str) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let seeds = names(&folder, |_| true);
    for kind in ["ok-", "bad-"] {
        assert!(seeds.iter().any(|name| name.starts_with(kind)), "{target}: no seed {kind}…");
    }
    let failures: Vec<String> = seeds
        .iter()
        .filter_map(|name| {
            let input = fs::read(folder.join(name)).unwrap();
            outcome(name, *body, &input).err().map(|what| format!("{target}/{name}: {what}"))
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Whether a seed does what its name says. What a broken rule said is on standard error.
fn outcome(name: &str, body: Body, input: &[u8]) -> Result<(), &'static str> {
    let accepted = panic::catch_unwind(|| body(input)).map_err(|_| "a rule is broken")?;
    match name.split_once('-') {
        Some(("crash", _)) => Ok(()),
        Some(("ok", _)) if !accepted => Err("is refused"),
        Some(("bad", _)) if accepted => Err("is accepted"),
        Some(("ok" | "bad", _)) => Ok(()),
        _ => Err("begins with none of ok-, bad-, crash-"),
    }
}

/// The names in a folder, in order, without dotfiles.
fn names(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| wanted(path));
    let mut names: Vec<String> =
        paths.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}
