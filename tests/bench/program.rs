//! What each bench does around its measurements: the parts that it starts of itself, the signals, the folder and the
//! exit status. Measures nothing.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::children::{ROLE_FLAG, become_program, end_with_bench};
use crate::error::{Error, Result};

/// A target was missed (with `--check`), or what has no target was too bad.
const EXIT_NOT_REACHED: u8 = 1;
/// The bench could not do its work.
const EXIT_FAILED: u8 = 2;
/// Ended by a signal, as a shell would say it for SIGINT.
const EXIT_SIGNAL: u8 = 130;

/// A part that the bench starts: its role, and what it does with its arguments.
pub(crate) type Part = (&'static str, fn(&[OsString]) -> io::Result<()>);

/// A bench.
pub(crate) struct Program<O> {
    pub(crate) help: &'static str,
    /// Reads the arguments; `None` when only help was asked for.
    pub(crate) parse: fn(Vec<OsString>) -> Result<Option<O>>,
    /// Measures, with files in a folder of its own, until it is told to stop. False when a target was missed.
    pub(crate) measure: fn(&O, &Path, &Arc<AtomicBool>) -> Result<bool>,
    /// Parts besides that of a server.
    pub(crate) parts: &'static [Part],
}

impl<O> Program<O> {
    /// Plays a part, or is the bench.
    pub(crate) fn run(&self) -> ExitCode {
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        if arguments.first().is_some_and(|first| first == ROLE_FLAG) {
            return self.play(&arguments.split_off(1));
        }
        match self.bench(arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(EXIT_NOT_REACHED),
            Err(error) => {
                eprintln!("bench: {error}");
                ExitCode::from(if matches!(error, Error::Interrupted) { EXIT_SIGNAL } else { EXIT_FAILED })
            }
        }
    }

    /// Everything that is started lives in values of `measure`, so it ends with them, also by a panic.
    fn bench(&self, arguments: Vec<OsString>) -> Result<bool> {
        let Some(options) = (self.parse)(arguments)? else {
            print!("{}", self.help);
            return Ok(true);
        };
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(Error::os("catch signals for", "the bench".as_ref()))?;
        }
        let temporary = tempfile::Builder::new()
            .prefix("mi-bench-")
            .tempdir()
            .map_err(Error::os("create a folder in", &std::env::temp_dir()))?;
        let reached = (self.measure)(&options, temporary.path(), &stop)?;
        temporary.close().map_err(Error::os("remove", &std::env::temp_dir()))?;
        Ok(reached)
    }

    /// One of the parts: `ROLE BENCH_PID ARGUMENTS…`.
    fn play(&self, arguments: &[OsString]) -> ExitCode {
        let [role, bench, rest @ ..] = arguments else { return ExitCode::from(EXIT_FAILED) };
        let part = self.parts.iter().find(|(name, _)| role == name);
        let played = match part {
            Some((_, play)) => end_with_bench(bench, Signal::SIGKILL).and_then(|()| play(rest)),
            None if role == "exec" => {
                end_with_bench(bench, Signal::SIGTERM).and_then(|()| become_program(rest))
            }
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
        match played {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bench {}: {error}", role.display());
                ExitCode::from(EXIT_FAILED)
            }
        }
    }
}
