//! Runs the program `opensips-mi`: command line, configuration, then the attendant.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::attendant::{self, Outcome, Plan};
use crate::cli::{self, Options, RunMode};
use crate::config::{self, Diagnostics, Globals, Severity};
use crate::logging::Printable;
use crate::system::syslog::Syslog;
use crate::{logging, version};

/// Exit status of a server that could not start and of a configuration with errors. C: `return -1` in `main`.
const REFUSED: u8 = 255;

/// The name of a configuration from standard input, `-f -`, in messages. C: `main` of 2.4.
const STANDARD_INPUT: &str = "<stdin>";

/// Priorities of syslog(3).
const PRIORITY_ERROR: i32 = 3;
const PRIORITY_WARNING: i32 = 4;
const PRIORITY_NOTICE: i32 = 5;

/// Runs the program to its end.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let options = match Options::parse(arguments.iter().skip(1).cloned()) {
        Ok(options) => options,
        Err(error) => return refuse(&error.to_string()),
    };
    match options.mode {
        RunMode::Help => print(&cli::help()),
        RunMode::Version => print(&format!(
            "version: {} ({}/linux)\ncommit: {}\n",
            version::VERSION,
            version::ARCHITECTURE,
            version::REVISION
        )),
        RunMode::Check | RunMode::Serve => check_and_serve(&options, arguments),
    }
}

fn check_and_serve(options: &Options, arguments: Vec<OsString>) -> ExitCode {
    let logger = logging::install(options.level(&Globals::default()));
    // A bug must reach the log of a daemon, which has no terminal.
    std::panic::set_hook(Box::new(|bug| log::error!("{bug}")));
    let path = match options.config.as_deref().unwrap_or(Path::new(cli::DEFAULT_CONFIG)) {
        path if path == Path::new("-") => Path::new(STANDARD_INPUT),
        path => path,
    };
    let mut diagnostics = Diagnostics::default();
    let plan = read(options, path, &mut diagnostics);
    let level = options.level(&plan.globals);
    logger.set_own_level(level);
    // The starter of a daemon may discard its output, as opensipsctl does, so errors and warnings go to the
    // log, too.
    let serves_by_syslog = options.mode == RunMode::Serve && !options.logs_to_stderr(&plan.globals);
    let syslog = serves_by_syslog.then(|| attendant::open_syslog(&plan.globals));
    let refuse = |reason: &str| {
        if let Some(syslog) = &syslog {
            to_syslog(syslog, PRIORITY_ERROR, "ERROR", reason);
        }
        refuse(reason)
    };
    let prints_notices = options.mode == RunMode::Check || level >= logging::level::INFO;
    print_diagnostics(&diagnostics, prints_notices, syslog.as_ref());
    if diagnostics.has_errors() {
        return ExitCode::from(REFUSED);
    }
    for letter in &options.without_effect {
        log::info!("-{letter} concerns SIP alone and has no effect");
    }
    if options.mode == RunMode::Check {
        return print(&format!("{}: no errors\n", path.display()));
    }
    match attendant::run(options, plan, arguments, logger) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused(reason)) => refuse(&reason),
        Ok(Outcome::Reported) => ExitCode::from(REFUSED),
        Err(error) => refuse(&error.to_string()),
    }
}

/// Reads and checks the configuration, and makes a plan of it.
fn read(options: &Options, path: &Path, diagnostics: &mut Diagnostics) -> Plan {
    let (document, found) = config::parse(path, &mut |path: &Path| {
        if path != Path::new(STANDARD_INPUT) {
            return std::fs::read(path);
        }
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    *diagnostics = found;
    let configuration = config::resolve(document, &attendant::look_up, diagnostics);
    attendant::prepare(options, configuration, diagnostics)
}

/// Prints the messages about the configuration to standard error, and writes errors and warnings to the
/// system log.
fn print_diagnostics(diagnostics: &Diagnostics, prints_notices: bool, syslog: Option<&Syslog>) {
    let mut stderr = std::io::stderr().lock();
    for diagnostic in diagnostics.sorted() {
        let (priority, level) = match diagnostic.severity {
            Severity::Error => (PRIORITY_ERROR, "ERROR"),
            Severity::Warning => (PRIORITY_WARNING, "WARNING"),
            Severity::Notice if prints_notices => (PRIORITY_NOTICE, "NOTICE"),
            Severity::Notice => continue,
        };
        let text = diagnostic.to_string();
        // An error in writing to standard error has no remedy; the log and the exit status remain.
        let _written = writeln!(stderr, "{text}");
        if let Some(syslog) = syslog {
            to_syslog(syslog, priority, level, text.lines().next().unwrap_or_default());
        }
    }
    for line in diagnostics.closing_lines() {
        let _written = writeln!(stderr, "{line}");
        if let Some(syslog) = syslog {
            to_syslog(syslog, PRIORITY_ERROR, "ERROR", &line.to_string());
        }
    }
}

fn to_syslog(syslog: &Syslog, priority: i32, level: &str, text: &str) {
    // An error has no remedy; the message is on standard error as well.
    let _written = syslog.write(priority, &format!("{level}:core: {}", Printable(text)));
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(reason: &str) -> ExitCode {
    // An error in writing to standard error has no remedy; the exit status remains.
    let _written = writeln!(std::io::stderr().lock(), "opensips-mi: {reason}");
    ExitCode::from(REFUSED)
}
