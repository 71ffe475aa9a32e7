//! The code of a source file, as words: comments, literals and what only tests see are left out.
//!
//! Not a parser of Rust: it knows as much as the checks of `architecture` need.

use std::path::{Path, PathBuf};

/// A word of code: an identifier, `::`, or one character of anything else.
pub(crate) type Words = Vec<String>;

/// One source file of the library.
pub(crate) struct SourceCode {
    /// Its path below the top of the repository.
    pub(crate) path: String,
    /// Its module, as the segments of a path below `crate`.
    pub(crate) module: Vec<String>,
    /// What is compiled into the program.
    pub(crate) words: Words,
}

/// Every file under `src`, but for those that only tests compile.
pub(crate) fn all() -> Vec<SourceCode> {
    let root = super::reading::root();
    let mut files = Vec::new();
    super::reading::walk(&root.join("src"), &mut |path| files.push(path.to_owned()));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let texts: Vec<(PathBuf, String)> =
        files.into_iter().map(|path| (path.clone(), super::reading::text(&path))).collect();
    let for_tests: Vec<PathBuf> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    texts
        .iter()
        .filter(|(path, _)| {
            !for_tests.iter().any(|test| path.starts_with(test) || *path == test.with_extension("rs"))
        })
        .map(|(path, text)| {
            let below = path.strip_prefix(&root).unwrap();
            SourceCode {
                path: below.to_str().unwrap().to_owned(),
                module: module_of(below),
                words: without_tests(&words(text)),
            }
        })
        .collect()
}

/// `src/a/mod.rs` is `a`, `src/a/b.rs` is `a::b`; `src/lib.rs` is nothing, `src/main.rs` and `src/bin/…` are
/// named so.
fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        path.with_extension("").iter().skip(1).map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || (last == "lib" && module.len() == 1)) {
        module.pop();
    }
    module
}

/// Folders (or, with `.rs`, files) of the modules that `#[cfg(test)] mod NAME;` names.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap();
    let folder = path.parent().unwrap();
    let is_root = stem == "mod" || stem == "lib" || stem == "main";
    let folder = if is_root { folder.to_owned() } else { folder.join(stem) };
    let words = words(text);
    let test_only = |at: &usize| is_test_attribute(&words[*at..]);
    (0..words.len())
        .filter(test_only)
        .filter_map(|at| {
            let item: Vec<&str> =
                words[at + 7..].iter().map(String::as_str).take_while(|word| *word != ";").collect();
            let name = item.iter().position(|word| *word == "mod").and_then(|mod_at| item.get(mod_at + 1))?;
            (!item.contains(&"{")).then(|| folder.join(name))
        })
        .collect()
}

fn is_test_attribute(words: &[String]) -> bool {
    words.iter().map(String::as_str).take(7).eq(["#", "[", "cfg", "(", "test", ")", "]"])
}

/// The words without the items behind `#[cfg(test)]`.
fn without_tests(words: &[String]) -> Words {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if is_test_attribute(&words[at..]) {
            at += 7 + item_length(&words[at + 7..]);
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// Words of the item that begins here: to the first `;` outside of brackets, or to the end of its block.
fn item_length(words: &[String]) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && word == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    words.len()
}

/// Splits code into words. Comments, strings and character literals leave nothing.
pub(crate) fn words(text: &str) -> Words {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(skipped) = skipped(rest) {
            skipped
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            words.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// Length of the comment or literal that begins here, if one does.
fn skipped(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |at| at + 2));
    }
    if let Some(raw) = ["r", "br"].iter().find_map(|prefix| text.strip_prefix(prefix)) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = text.len() - raw.len() + hashes + 1;
            return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
        }
    }
    let (body, quote) = (text.strip_prefix(['b', 'c']).unwrap_or(text), text.len());
    if body.starts_with('"') {
        let start = quote - body.len() + 1;
        return Some(start + closing(&text[start..], '"'));
    }
    // A lifetime has no closing quote behind its first character.
    let mut characters = body.strip_prefix('\'')?.chars();
    let first = characters.next()?;
    if first == '\\' || characters.next() == Some('\'') {
        let start = quote - body.len() + 1;
        return Some(start + closing(&text[start..], '\''));
    }
    None
}

/// Bytes up to and with the closing quote; a backslash takes the next character with it.
fn closing(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return at + character.len_utf8();
        }
    }
    text.len()
}

/// Every path in the words that begins with `crate`, `super` or the library's name, from `crate` on: the
/// leaves of trees in braces, too. `module` is where the words stand.
pub(crate) fn paths(words: &[String], module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let behind = at > 0 && words[at - 1] == "::";
        let starts = matches!(words[at].as_str(), "crate" | "super" | "opensips_mi") && !behind;
        if starts && words.get(at + 1).is_some_and(|word| word == "::") {
            let mut leaves = Vec::new();
            at = tree(words, at, &[], &mut leaves);
            found.extend(leaves.into_iter().filter_map(|leaf| absolute(&leaf, module)));
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path or tree of paths from `at`; returns where it ends.
fn tree(words: &[String], mut at: usize, before: &[String], leaves: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match words.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    at = tree(words, at, &path, leaves);
                    while words.get(at).is_some_and(|word| word != "," && word != "}") {
                        at += 1;
                    }
                    at += usize::from(words.get(at).is_some_and(|word| word == ","));
                }
                return at + 1;
            }
            Some(word) => path.push(word.to_owned()),
            None => return at,
        }
        at += 1;
        if words.get(at).is_none_or(|word| word != "::") {
            leaves.push(path);
            return at;
        }
        at += 1;
    }
}

/// A path from `crate` on, without `crate`. `None` for one that stays inside the module.
fn absolute(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let up = path.iter().take_while(|segment| *segment == "super").count();
    if up == 0 {
        return Some(path[1..].to_vec());
    }
    let kept = module.len().checked_sub(up)?;
    Some(module[..kept].iter().chain(&path[up..]).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<String> {
        let module = ["a".to_owned(), "b".to_owned()];
        paths(&without_tests(&words(code)), &module).iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_in_every_form() {
        assert_eq!(found("use crate::x::Y;"), ["x::Y"]);
        assert_eq!(found("use crate::{\n    x::{self, Y as Z},\n    w,\n};"), ["x::self", "x::Y", "w"]);
        assert_eq!(found("fn f() { super::super::c::g(crate::d::h()) }"), ["c::g", "d::h"]);
        assert_eq!(found("super::c"), ["a::c"]);
        assert_eq!(found("opensips_mi::server::main()"), ["server::main"]);
    }

    #[test]
    fn comments_literals_and_tests_do_not_count() {
        assert!(
            found("// crate::x\n/* crate::x */ \"crate::x \\\" crate::x\" '\"' r#\"crate::x\"#").is_empty()
        );
        assert_eq!(found("let a: &'static str = 'x'; crate::y"), ["y"]);
        assert_eq!(found("#[cfg(test)]\nmod tests { use crate::x; }\nuse crate::y;"), ["y"]);
        assert_eq!(found("#[cfg(test)]\npub(crate) mod tests;\nuse crate::y;"), ["y"]);
    }
}
