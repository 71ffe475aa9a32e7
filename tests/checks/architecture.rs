//! The rules of the house that a compiler does not keep: which room uses which, where `unsafe` and the end of
//! the process may stand, how long a file is, what lies at the top.

use std::collections::BTreeSet;
use std::process::Command;

use super::imports::Imports;
use super::reading::{self, root};
use super::source::{self, SourceCode};

/// A room, and the rooms it uses. Every room of `src` has a row; a room that another one does not use is not
/// in its row. No module in `modules` uses another one.
const EDGES: &[(&str, &[&str])] = &[
    (
        "attendant",
        &[
            "cachedb", "capi", "cli", "config", "evi", "logging", "mi", "module", "modules", "shm", "system",
            "timer", "wire", "worker",
        ],
    ),
    ("bin", &["opensipsunix"]),
    ("cachedb", &["evi", "logging", "mi", "shm"]),
    ("capi", &["config", "evi", "logging", "mi", "module", "shm", "system"]),
    ("cli", &["config", "logging", "version"]),
    ("config", &[]),
    ("evi", &["logging", "mi", "shm", "system"]),
    ("httpd", &["config", "logging", "mi", "module", "shm", "system", "wire"]),
    ("logging", &["shm", "system"]),
    ("main", &["server"]),
    ("mi", &["shm", "system"]),
    ("module", &["cachedb", "config", "evi", "mi", "shm", "system", "timer", "wire"]),
    (
        "modules",
        &[
            "cachedb", "config", "evi", "httpd", "logging", "mi", "module", "shm", "system", "timer",
            "version", "wire",
        ],
    ),
    ("opensipsunix", &[]),
    ("server", &["attendant", "cli", "config", "logging", "system", "version"]),
    ("shm", &["system"]),
    ("system", &[]),
    ("timer", &["mi", "system"]),
    ("version", &[]),
    ("wire", &["mi"]),
    ("worker", &["mi", "module", "system"]),
];

/// Folders in which files still use each other in circles. One without circles leaves this list.
const FOLDERS_WITH_CIRCLES: &[&str] = &["attendant/", "modules/usrloc/", "system/"];

/// Rooms that may hold `unsafe`.
const UNSAFE_ROOMS: [&str; 3] = ["capi", "shm", "system"];

/// Rooms that may end the process.
const EXIT_ROOMS: [&str; 3] = ["main", "system", "worker"];

/// What the top of the repository holds, besides dotfiles.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "c-compat",
    "opensips.cfg.example",
    "scripts",
    "src",
    "tests",
];

/// Longest source file, in lines.
const MAX_LINES: usize = 500;

/// What counts as a source file, by ending.
const SOURCE_ENDINGS: [&str; 7] = ["rs", "c", "h", "py", "sh", "init", "run"];

fn room(module: &[String]) -> &str {
    module.first().map_or("lib", String::as_str)
}

/// The edges that a file has and may not have.
fn wrong_edges(file: &SourceCode) -> Vec<String> {
    let from = room(&file.module);
    let mut wrong = Vec::new();
    for path in source::paths(&file.words, &file.module) {
        let to = room(&path);
        let allowed = match EDGES.iter().find(|(name, _)| *name == from) {
            Some((_, rooms)) => from == to || rooms.contains(&to),
            None => false,
        };
        // What a module shares with the others would stand in `modules/mod.rs`, and only that file may look
        // into one.
        let neighbour = from == "modules"
            && to == "modules"
            && file.module.len() > 1
            && path.get(1) != file.module.get(1);
        if !allowed || neighbour {
            wrong.push(format!("{}: {}", file.path, path.join("::")));
        }
    }
    wrong
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let files = source::all();
    assert!(files.len() > 40, "only {} files were found", files.len());
    let wrong: Vec<String> = files.iter().flat_map(wrong_edges).collect();
    assert!(wrong.is_empty(), "not in EDGES, or one module uses another: {wrong:#?}");
}

#[test]
fn the_table_has_nothing_that_is_not_so() {
    let files = source::all();
    let rooms: BTreeSet<&str> =
        files.iter().map(|file| room(&file.module)).filter(|room| *room != "lib").collect();
    let listed: BTreeSet<&str> = EDGES.iter().map(|(room, _)| *room).collect();
    assert_eq!(listed, rooms, "rooms of EDGES, rooms of src");
    let mut used = BTreeSet::new();
    for file in &files {
        let paths = source::paths(&file.words, &file.module);
        used.extend(paths.iter().map(|path| (room(&file.module).to_owned(), room(path).to_owned())));
    }
    let edges = EDGES.iter().flat_map(|(from, rooms)| rooms.iter().map(move |to| (*from, *to)));
    let unused: Vec<_> =
        edges.filter(|(from, to)| !used.contains(&(from.to_string(), to.to_string()))).collect();
    assert!(unused.is_empty(), "edges that nothing uses any more: {unused:?}");
}

#[test]
fn a_wrong_edge_is_noticed() {
    let file = |module: &[&str], code: &str| SourceCode {
        path: String::new(),
        module: module.iter().map(|&segment| segment.to_owned()).collect(),
        words: source::words(code),
    };
    for (module, code) in [
        (&["mi", "reply"][..], "use crate::{shm, wire::text};"),
        (&["system", "clock"], "super::super::mi::Call"),
        (&["modules", "core", "commands"], "use crate::modules::statistics::MODULE;"),
        (&["modules", "blacklists"], "use super::{core};"),
        (&["new_room"], "use crate::mi;"),
    ] {
        assert_eq!(wrong_edges(&file(module, code)).len(), 1, "{code}");
    }
    for (module, code) in [
        (&["modules"][..], "pub use core::load; super::module::Module"),
        (
            &["modules", "core", "commands"],
            "use super::super::core::statistics; use crate::mi::{self, Call};",
        ),
    ] {
        assert_eq!(wrong_edges(&file(module, code)), [""; 0], "{code}");
    }
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    let circles = Imports::new(&source::all()).circles();
    let is_below = |circle: &[String], folder: &str| circle.iter().all(|file| file.starts_with(folder));
    let new: Vec<_> = circles
        .iter()
        .filter(|circle| !FOLDERS_WITH_CIRCLES.iter().any(|folder| is_below(circle, folder)))
        .collect();
    assert!(new.is_empty(), "files that use each other; move what both use to a file of its own: {new:#?}");
    let done: Vec<_> = FOLDERS_WITH_CIRCLES
        .iter()
        .filter(|folder| !circles.iter().any(|circle| is_below(circle, folder)))
        .collect();
    assert!(done.is_empty(), "no circle any more; remove it from FOLDERS_WITH_CIRCLES: {done:?}");
}

/// Where the words stand in a file, if it is not in one of the rooms.
fn outside(rooms: &[&str], words: &[&str]) -> Vec<String> {
    let stands = |file: &SourceCode| file.words.windows(words.len()).any(|window| window == words);
    let files = source::all();
    let found: Vec<&SourceCode> = files.iter().filter(|file| stands(file)).collect();
    let wrong = found.iter().filter(|file| !rooms.contains(&room(&file.module)));
    wrong.map(|file| file.path.clone()).collect()
}

#[test]
fn unsafe_stays_in_its_rooms() {
    assert_eq!(outside(&UNSAFE_ROOMS, &["unsafe"]), [""; 0]);
    assert!(!outside(&[], &["unsafe"]).is_empty(), "the search finds no `unsafe` at all");
}

#[test]
fn only_a_program_and_a_child_end_the_process() {
    for words in [&["process", "::", "exit"][..], &["_exit"]] {
        assert_eq!(outside(&EXIT_ROOMS, words), [""; 0], "{words:?}");
    }
    let imported: Vec<String> = source::all()
        .iter()
        .filter(|file| file.words.windows(2).any(|pair| pair == ["process", "::"]))
        .filter(|file| {
            !EXIT_ROOMS.contains(&room(&file.module)) && file.words.iter().any(|word| word == "exit")
        })
        .map(|file| file.path.clone())
        .collect();
    assert_eq!(imported, [""; 0], "`exit` of std::process, by a `use`");
    assert!(!outside(&[], &["process", "::", "exit"]).is_empty() || !outside(&[], &["_exit"]).is_empty());
}

#[test]
fn no_source_file_is_too_long() {
    let mut seen = 0;
    let mut long = Vec::new();
    for folder in ["src", "tests", "scripts", "c-compat", ".ci"] {
        reading::walk(&root().join(folder), &mut |path| {
            let ending =
                path.extension().or(path.file_name()).and_then(|ending| ending.to_str()).unwrap_or_default();
            let built = path.components().any(|part| part.as_os_str() == "target");
            if !built && SOURCE_ENDINGS.contains(&ending) {
                seen += 1;
                let lines = reading::text(path).lines().count();
                if lines > MAX_LINES {
                    long.push(format!("{}: {lines} lines", path.display()));
                }
            }
        });
    }
    assert!(seen > 80, "only {seen} files were found");
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:#?}");
}

/// By git where there is a checkout, and git, so that what is built or tried out beside it does not count.
#[test]
fn the_top_level_is_as_agreed() {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let names: BTreeSet<String> = if let Some(output) = listed.ok().filter(|_| root().join(".git").exists()) {
        assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
        let files = String::from_utf8(output.stdout).unwrap();
        files.split_terminator('\0').map(|file| file.split('/').next().unwrap().to_owned()).collect()
    } else {
        let entries = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).filter(|name| name != "target").collect()
    };
    let visible: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, TOP_LEVEL);
}
