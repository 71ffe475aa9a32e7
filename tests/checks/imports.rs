//! Finds which file of the library uses items of which other file, and the circles in which files use each
//! other.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourceCode, Words};

/// A module as the segments of its path below `crate`.
type ModulePath = Vec<String>;

/// One name that a `use` declaration brings into a file.
struct Import {
    /// The name in the file; `*` for all names of a module.
    name: String,
    /// The path behind `use`, as it is written.
    path: Vec<String>,
}

/// What a file says about other files.
#[derive(Default)]
struct FileUses {
    imports: Vec<Import>,
    /// The paths with `::` outside of `use` declarations, as they are written.
    paths: Vec<Vec<String>>,
}

/// All files by their modules.
pub(crate) struct Imports {
    files: BTreeMap<ModulePath, FileUses>,
}

impl Imports {
    pub(crate) fn new(sources: &[SourceCode]) -> Imports {
        let files = sources.iter().map(|source| (source.module.clone(), read(&source.words)));
        Imports { files: files.collect() }
    }

    /// The circles: each is a set of files of which every one leads to every other, as `room/file`.
    ///
    /// A file leads to another when a path in it stands for an item that the other defines, perhaps by way of
    /// re-exports. A `mod.rs` holds the main type of its folder, so what it and the files below it use of
    /// each other does not count.
    pub(crate) fn circles(&self) -> BTreeSet<Vec<String>> {
        let edges: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
            self.files.keys().map(|module| (module, self.used_files(module))).collect();
        let reached = |from: &ModulePath| -> BTreeSet<ModulePath> {
            let mut seen = BTreeSet::new();
            let mut open: Vec<&ModulePath> = edges[from].iter().collect();
            while let Some(module) = open.pop() {
                if seen.insert(module.clone()) {
                    open.extend(&edges[module]);
                }
            }
            seen
        };
        let all: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
            self.files.keys().map(|module| (module, reached(module))).collect();
        let in_circle = all.iter().filter(|(module, reached)| reached.contains(**module));
        in_circle
            .map(|(module, reached)| {
                let members = reached.iter().filter(|other| all[other].contains(*module));
                members.map(|member| member.join("/")).collect()
            })
            .collect()
    }

    /// The files whose items a file uses.
    fn used_files(&self, module: &ModulePath) -> BTreeSet<ModulePath> {
        let uses = &self.files[module];
        let imported = uses.imports.iter().map(|import| &import.path);
        let found = imported
            .chain(&uses.paths)
            .filter_map(|path| self.definer(&self.absolute(path, module, true)?, 0));
        found.filter(|other| !other.starts_with(module) && !module.starts_with(other)).collect()
    }

    /// A path from `crate` on, without `crate`; `None` when it leads out of the library or to an item of the
    /// file itself.
    fn absolute(&self, path: &[String], module: &ModulePath, by_import: bool) -> Option<Vec<String>> {
        let first = path.first()?;
        let up = path.iter().take_while(|segment| *segment == "super").count();
        let with = |front: &[String], rest: &[String]| Some([front, rest].concat());
        match first.as_str() {
            "crate" | "opensips_mi" => Some(path[1..].to_vec()),
            "self" => with(module, &path[1..]),
            "super" => with(&module[..module.len().checked_sub(up)?], &path[up..]),
            _ if self.files.contains_key(&[module, std::slice::from_ref(first)].concat()) => {
                with(module, path)
            }
            _ if by_import => {
                let import = self.files[module].imports.iter().find(|import| import.name == *first)?;
                self.absolute(&[&import.path[..], &path[1..]].concat(), module, false)
            }
            _ => None,
        }
    }

    /// The file that defines what an absolute path stands for; `None` when that is a module.
    fn definer(&self, path: &[String], depth: usize) -> Option<ModulePath> {
        let length = (0..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
        let (module, rest) = (path[..length].to_vec(), &path[length..]);
        let item = rest.first()?;
        let import = self.files[&module].imports.iter().find(|import| import.name == *item);
        let target = import.and_then(|import| self.absolute(&import.path, &module, false));
        match target {
            // A name that stands for itself, as in a file that calls its own function like a crate, ends
            // here.
            Some(target) if depth < 8 => self.definer(&[&target[..], &rest[1..]].concat(), depth + 1),
            _ => Some(module),
        }
    }
}

fn read(words: &Words) -> FileUses {
    let mut uses = FileUses::default();
    let is_name = |word: &String| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut at = 0;
    while at < words.len() {
        // `use<'a>` is no declaration.
        if words[at] == "use" && words.get(at + 1).is_some_and(|word| word != "<") {
            at = leaves(words, at + 1, &[], &mut uses.imports);
            continue;
        }
        let mut path = Vec::new();
        while words.get(at).is_some_and(is_name) {
            path.push(words[at].clone());
            at += 1;
            let goes_on =
                words.get(at).is_some_and(|word| word == "::") && words.get(at + 1).is_some_and(is_name);
            if !goes_on {
                break;
            }
            at += 1;
        }
        match path.len() {
            0 => at += 1,
            1 => {}
            _ => uses.paths.push(path),
        }
    }
    uses
}

/// Reads the tree of a `use` declaration from `at`; returns where it ends.
fn leaves(words: &Words, mut at: usize, before: &[String], found: &mut Vec<Import>) -> usize {
    let mut path = before.to_vec();
    loop {
        match words.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    at = leaves(words, at, &path, found);
                    at += usize::from(words.get(at).is_some_and(|word| word == ","));
                }
                return at + 1;
            }
            Some("::") => {}
            Some("self") if !path.is_empty() => {}
            Some("as") => {
                let name = words.get(at + 1).cloned().unwrap_or_default();
                found.push(Import { name, path });
                return at + 2;
            }
            Some("," | "}" | ";") | None => {
                found.push(Import { name: path.last().cloned().unwrap_or_default(), path });
                return at;
            }
            Some(word) => path.push(word.to_owned()),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::words;
    use super::*;

    /// The circles of files, each a module and its code.
    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let source = |(module, code): &(&str, &str)| SourceCode {
            path: String::new(),
            module: module.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
            words: words(code),
        };
        Imports::new(&files.iter().map(source).collect::<Vec<_>>()).circles().into_iter().collect()
    }

    #[test]
    fn files_that_use_each_other_are_a_circle() {
        let files = [
            ("a/x", "use super::y::{self, One as Two};\nfn f() {}"),
            ("a/y", "use crate::b;\nfn g() -> b::Item { b::item() }"),
            ("b", "fn item() { crate::a::x::f() }"),
            ("c", "use crate::a::x::f;"),
        ];
        assert_eq!(circles(&files), [["a/x", "a/y", "b"]]);
    }

    #[test]
    fn a_re_export_leads_to_the_file_that_defines_the_item() {
        let files = [
            ("a", "mod x;\nmod y;\npub use x::X;\nuse y::Y;"),
            ("a/x", "use super::Y;"),
            ("a/y", "fn f() -> crate::a::X {}"),
        ];
        assert_eq!(circles(&files), [["a/x", "a/y"]]);
    }

    #[test]
    fn a_mod_file_and_the_files_below_it_are_no_circle() {
        let files = [
            ("a", "mod x;\nfn main_thing() { x::f(); std::mem::drop(1) }"),
            ("a/x", "use super::main_thing;\nfn f() -> impl Sized + use<'a> {}"),
        ];
        assert!(circles(&files).is_empty());
    }

    #[test]
    fn the_import_of_a_module_alone_does_not_count() {
        let files = [("a/x", "use super::y;"), ("a/y", "use super::x::f;")];
        assert!(circles(&files).is_empty());
    }
}
