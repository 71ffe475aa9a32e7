//! Words the messages about a configuration: one variant for each cause, with what was found, what was wanted
//! and the remedy.
//!
//! The diagnostics add the place and the source line. C has no counterpart: its parser says what it expected
//! and where it stood.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::position::readable_path;

/// What is wrong, or worth a warning, at one place of the configuration.
#[derive(Debug, Error)]
pub enum ConfigProblem {
    /// The main file cannot be read.
    #[error(
        "cannot read {}: {error}; check the path given with -f, and who may read it",
        readable_path(path)
    )]
    MainFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A token that does not fit.
    #[error("expected {wanted}, found {found}; {remedy}")]
    Unexpected {
        /// The token as it was written.
        found: String,
        /// What fits here.
        wanted: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A string that nothing closes, or that closes at the first quote of a later line.
    #[error("string {text} does not end on its line; add the closing quote")]
    UnclosedString {
        /// How it starts.
        text: String,
    },
    /// A comment that nothing closes.
    #[error("comment is not closed; add `*/`, once for each `/*`")]
    UnclosedComment,
    /// A script variable that nothing closes.
    #[error("variable {text} has no closing parenthesis; add `)`")]
    UnclosedVariable {
        /// How it starts.
        text: String,
    },
    /// A block that nothing closes.
    #[error("block is not closed before {before}; add `}}`")]
    UnclosedBlock {
        /// What comes instead.
        before: String,
    },
    /// A closing brace outside of any block.
    #[error("`}}` closes nothing; remove it, or look for a block above that ends too early")]
    UnmatchedBrace,
    /// A string with a NUL byte, which C would cut there.
    #[error("string {text} holds a NUL byte; remove it")]
    NulByte {
        /// As it was written.
        text: String,
    },
    /// Digits and letters that make no number.
    #[error("{found} is not a number; write a decimal, an octal as 0660 or a hexadecimal as 0x1f")]
    BadNumber {
        /// As it was written.
        found: String,
    },
    /// A number that no C `int` holds.
    #[error("{found} is too large; write a number up to 2147483647")]
    NumberTooLarge {
        /// As it was written.
        found: String,
    },
    /// A number outside the range of a global.
    #[error("{name}={value} is out of range; write a number from {min} to {max}")]
    GlobalRange {
        /// The global.
        name: &'static str,
        /// The number.
        value: i64,
        /// The least it may be.
        min: i64,
        /// The most it may be.
        max: i64,
    },
    /// A global that is not in the table.
    #[error("unknown global \"{name}\"{}", remedy(nearest.as_deref()))]
    UnknownGlobal {
        /// As it was written.
        name: String,
        /// What to write instead.
        nearest: Option<String>,
    },
    /// A word that opens no statement.
    #[error("unknown statement \"{name}\"{}", remedy(nearest.as_deref()))]
    UnknownStatement {
        /// As it was written.
        name: String,
        /// What to write instead.
        nearest: Option<String>,
    },
    /// A name that is no syslog facility.
    #[error("unknown syslog facility {found}; write one of LOG_DAEMON, LOG_USER, LOG_LOCAL0 … LOG_LOCAL7")]
    UnknownFacility {
        /// As it was written.
        found: String,
    },
    /// Numbers and dots that make no IPv4 address.
    #[error("{found} is not an IPv4 address; write four numbers from 0 to 255")]
    BadAddress {
        /// As it was written.
        found: String,
    },
    /// A file to include that cannot be read.
    #[error(
        "cannot read {}: {error}; correct the name, or write import_file if the file may be missing",
        tried(paths)
    )]
    Include {
        /// The paths that were tried, in order.
        paths: Vec<PathBuf>,
        /// Why the last one failed.
        error: io::Error,
    },
    /// A file that includes itself.
    #[error("{} is being read already; remove one include_file of the circle", readable_path(path))]
    IncludeCycle {
        /// The file.
        path: PathBuf,
    },
    /// Too many files inside files, or too many in all.
    #[error("more than {limit} {what}; include fewer")]
    IncludeLimit {
        /// The limit.
        limit: usize,
        /// What is counted.
        what: &'static str,
    },
    /// A `loadmodule` whose file has no name.
    #[error("module {path:?} has no name; write a file name as \"mi_datagram.so\"")]
    ModuleWithoutName {
        /// As it was written.
        path: String,
    },
    /// A module loaded twice.
    #[error("module \"{name}\" is loaded already, in line {line}; remove one of the two")]
    LoadedTwice {
        /// The module.
        name: String,
        /// The line of the first `loadmodule`.
        line: usize,
    },
    /// A module that serves SIP alone.
    #[error("module \"{name}\" serves what is not part of this server; it is accepted and has no effect")]
    NoEffectModule {
        /// The module.
        name: String,
    },
    /// A module that this build leaves out.
    #[error(
        "module \"{name}\" is accepted, but not built into this server yet; nothing that it offers will be there"
    )]
    NotBuiltModule {
        /// The module.
        name: String,
    },
    /// A module whose MI commands are lacking.
    #[error("module \"{name}\" is accepted, but its MI commands are lacking here: {}{}", commands.join(", "), source_remedy(*can_be_compiled))]
    LackingModule {
        /// The module.
        name: String,
        /// Its commands.
        commands: &'static [&'static str],
        /// Whether a module compiled from the source of OpenSIPS works in this server.
        can_be_compiled: bool,
    },
    /// The module name of a `modparam` is no regular expression.
    #[error(
        "modparam module {found} is not a regular expression; write a module's name, or several with | between"
    )]
    BadPattern {
        /// As it was written.
        found: String,
    },
    /// `modparam` before the `loadmodule` of its module.
    #[error(
        "modparam for module {found}, which is loaded later, in line {line}; move this line below that one"
    )]
    LoadedLater {
        /// As it was written.
        found: String,
        /// The line of the `loadmodule`.
        line: usize,
    },
    /// `modparam` without the `loadmodule` of its module.
    #[error("modparam for module {found}, which is not loaded{}", load_remedy(module, nearest.as_deref()))]
    NotLoaded {
        /// As it was written.
        found: String,
        /// The name, when it is a plain one.
        module: Option<String>,
        /// A loaded module of about that name.
        nearest: Option<String>,
    },
    /// A parameter the module does not have.
    #[error("unknown parameter \"{name}\" of module \"{module}\"{}", remedy(nearest.as_deref()))]
    UnknownParameter {
        /// The module.
        module: String,
        /// As it was written.
        name: String,
        /// The parameter of about that name.
        nearest: Option<String>,
    },
    /// A value of another type than the parameter, or out of its range.
    #[error("modparam(\"{module}\", \"{name}\", {found}): expected {wanted}; write {remedy}")]
    BadValue {
        /// The module.
        module: String,
        /// The parameter.
        name: &'static str,
        /// The value, as it was written.
        found: String,
        /// What the parameter takes.
        wanted: String,
        /// A value that would do.
        remedy: String,
    },
    /// Permission bits written as a decimal number, which were probably meant octal.
    #[error(
        "modparam(\"{module}\", \"{name}\", {value}): {value} is decimal and makes mode 0{value:o}; write 0{value}"
    )]
    DecimalMode {
        /// The module.
        module: String,
        /// The parameter.
        name: &'static str,
        /// The mode.
        value: i64,
    },
    /// A parameter that has no effect in this server.
    #[error("parameter \"{name}\" of module \"{module}\" has no effect: {reason}")]
    NoEffectParameter {
        /// The module.
        module: String,
        /// The parameter.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A message of the attendant.
    #[error("{0}")]
    Other(String),
}

fn remedy(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; correct or remove it".to_owned(),
        |name| format!("; write \"{name}\" if that is meant"),
    )
}

fn source_remedy(can_be_compiled: bool) -> &'static str {
    match can_be_compiled {
        true => "; a file compiled from its source as c-compat/README.md says has them",
        false => "",
    }
}

fn load_remedy(module: &Option<String>, nearest: Option<&str>) -> String {
    match (nearest, module) {
        (Some(name), _) => format!("; write \"{name}\" if that is meant"),
        (None, Some(name)) => format!("; write loadmodule \"{name}.so\" above it"),
        (None, None) => "; write the loadmodule above it".to_owned(),
    }
}

fn tried(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| readable_path(path)).collect();
    paths.join(", nor ")
}
