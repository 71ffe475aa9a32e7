//! Guesses which other product or release a configuration is written for, by names and lines that only others
//! have.
//!
//! A file of another product has an error in nearly every line, so one more line at the end names the
//! product: the one for which most evidence is found. C has no counterpart.

use std::fmt;

use super::diagnostics::Diagnostics;
use super::document::LoadModule;
use super::position::Position;
use super::problem::ConfigProblem;

mod table;

/// A product, or a form of file, that this server does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// OpenSIPS from that release on.
    OpenSips(&'static str),
    /// Kamailio.
    Kamailio,
    /// OpenSER, which became OpenSIPS 1.4.
    OpenSer,
    /// SER, of which OpenSER was made.
    Ser,
    /// A template that m4 makes a configuration of.
    Template,
}

impl Origin {
    /// Whether both are of one product, of whatever release.
    fn is_like(self, other: Origin) -> bool {
        matches!((self, other), (Origin::OpenSips(_), Origin::OpenSips(_))) || self == other
    }

    /// The release, as numbers.
    fn release(self) -> Vec<u32> {
        match self {
            Origin::OpenSips(release) => release.split('.').filter_map(|part| part.parse().ok()).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::OpenSips(release) => write!(f, "a file of OpenSIPS {release} or later"),
            Origin::Kamailio => f.write_str("a file of Kamailio"),
            Origin::OpenSer => f.write_str("a file of OpenSER 1.3 or older"),
            Origin::Ser => f.write_str("a file of SER"),
            Origin::Template => f.write_str("a template for m4"),
        }
    }
}

/// What to do with a file of that origin.
fn remedy(origin: Origin) -> &'static str {
    match origin {
        Origin::OpenSips(_) | Origin::OpenSer => {
            "correct what the errors name, or load the modules of MI alone in a file of their own, as in \
             opensips.cfg.example"
        }
        Origin::Kamailio | Origin::Ser => {
            "its language is another: load the modules of MI in a file of their own, as in opensips.cfg.example"
        }
        Origin::Template => "make the configuration of it first: m4 TEMPLATE > opensips.cfg",
    }
}

/// A name or line in the configuration that only one origin has.
struct Evidence {
    origin: Origin,
    position: Position,
    found: String,
}

/// What OpenSIPS 2.4 calls a name of another product or release; `None` when that product is not known for
/// it.
pub(super) fn renamed(name: &str) -> Option<Option<&'static str>> {
    table::NAMES.iter().find(|(known, ..)| *known == name).map(|&(.., now)| now)
}

/// The line that names the origin of the file, if there is evidence. `unknown` are the modules that are in no
/// table.
pub(super) fn closing_line(diagnostics: &Diagnostics, unknown: &[LoadModule]) -> Option<String> {
    let mut all = of_names(diagnostics);
    all.extend(of_lines(diagnostics));
    all.extend(of_modules(unknown));
    let weight = |origin: Origin| all.iter().filter(|found| found.origin.is_like(origin)).count();
    // Of several with equally many the one found first.
    let product = all.iter().rev().max_by_key(|found| weight(found.origin))?.origin;
    let newest = |found: &&Evidence| found.origin.release();
    let newest = all.iter().rev().filter(|found| found.origin.is_like(product)).max_by_key(newest)?;
    let Evidence { origin, position, found } = newest;
    let file = super::position::readable_path(position.file().path());
    Some(format!(
        "{file}: this seems to be {origin}: {found} in line {} is known from there; this server reads files of \
         OpenSIPS 1.4 to 2.4: {}",
        position.line(),
        remedy(*origin)
    ))
}

/// Globals and statements that were refused.
fn of_names(diagnostics: &Diagnostics) -> Vec<Evidence> {
    let mut all = Vec::new();
    for diagnostic in diagnostics.errors() {
        let (ConfigProblem::UnknownGlobal { name, .. } | ConfigProblem::UnknownStatement { name, .. }) =
            &diagnostic.problem
        else {
            continue;
        };
        let Some(position) = &diagnostic.position else { continue };
        let origins = table::NAMES.iter().filter(|(known, ..)| known == name).map(|&(_, origin, _)| origin);
        all.extend(origins.map(|origin| Evidence {
            origin,
            position: position.clone(),
            found: name.clone(),
        }));
    }
    all
}

/// Modules that were refused, and their folders.
fn of_modules(unknown: &[LoadModule]) -> Vec<Evidence> {
    let mut all = Vec::new();
    for load in unknown {
        let path = String::from_utf8_lossy(&load.file);
        let name = load.name();
        let modules = table::MODULES.iter().filter(|(known, _)| *known == name);
        let folders = table::FOLDERS.iter().filter(|(folder, _)| path.contains(folder));
        let found = format!("module \"{name}\"");
        all.extend(modules.chain(folders).map(|&(_, origin)| Evidence {
            origin,
            position: load.position.clone(),
            found: found.clone(),
        }));
    }
    all
}

/// Lines of the files that have errors.
fn of_lines(diagnostics: &Diagnostics) -> Vec<Evidence> {
    let mut all = Vec::new();
    let mut files: Vec<&std::path::Path> = Vec::new();
    for position in diagnostics.errors().filter_map(|error| error.position.as_ref()) {
        let file = position.file();
        if files.contains(&file.path()) {
            continue;
        }
        files.push(file.path());
        let mut offset = 0;
        for line in file.bytes().split_inclusive(|&byte| byte == b'\n') {
            let start = line.trim_ascii_start();
            if let Some(&(words, origin)) =
                table::LINES.iter().find(|(words, _)| start.starts_with(words.as_bytes()))
            {
                let position = Position::new(file, offset);
                all.push(Evidence { origin, position, found: words.trim_end().to_owned() });
            }
            offset += line.len();
        }
    }
    all
}

/// All names, each with what OpenSIPS 2.4 calls it.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    table::NAMES.iter().map(|&(name, _, now)| (name, now))
}
