//! The program `opensips-mi`: command line, configuration, then the attendant.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::attendant::{self, Outcome, Plan};
use crate::cli::{self, Action, Options};
use crate::config::{self, Diagnostics, Globals};
use crate::{logging, modules, version};

/// Exit status of a server that could not start and of a configuration with errors. C: `return -1` in `main`.
const REFUSED: u8 = 255;

/// Runs the program to its end.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let options = match Options::parse(arguments.iter().skip(1).cloned()) {
        Ok(options) => options,
        Err(error) => return refuse(&error.to_string()),
    };
    match options.action {
        Action::Help => say(&cli::help()),
        Action::Version => say(&format!("version: {} ({}/linux)\n", version::VERSION, version::ARCHITECTURE)),
        Action::Check | Action::Serve => check_and_serve(&options, arguments),
    }
}

fn check_and_serve(options: &Options, arguments: Vec<OsString>) -> ExitCode {
    let logger = logging::install(options.level(&Globals::default()));
    // A bug must reach the log of a daemon, which has no terminal.
    std::panic::set_hook(Box::new(|bug| log::error!("{bug}")));
    let path = options.config.as_deref().unwrap_or(Path::new(cli::DEFAULT_CONFIG));
    let mut diagnostics = Diagnostics::default();
    let plan = read(options, path, &mut diagnostics);
    logger.set_own_level(options.level(&plan.globals));
    tell(&diagnostics);
    if diagnostics.has_errors() {
        return ExitCode::from(REFUSED);
    }
    for letter in &options.without_effect {
        log::info!("-{letter} concerns SIP alone and has no effect");
    }
    if options.action == Action::Check {
        return say(&format!("{}: no errors\n", path.display()));
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
    let (document, found) = config::parse(path, &mut |path: &Path| std::fs::read(path));
    *diagnostics = found;
    let configuration = config::resolve(document, &modules::look_up, diagnostics);
    attendant::prepare(options, configuration, diagnostics)
}

fn tell(diagnostics: &Diagnostics) {
    let _written = write!(std::io::stderr().lock(), "{diagnostics}");
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(reason: &str) -> ExitCode {
    // Without standard error there is nobody to tell; the status says it still.
    let _written = writeln!(std::io::stderr().lock(), "opensips-mi: {reason}");
    ExitCode::from(REFUSED)
}
