//! What the command line asks for.

use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

use lexopt::prelude::*;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
kill -9 against the keyed table of the shared-memory segment, and the memory of C modules.

  --seconds N   how long workers are killed at random (10)
  --rounds N    how often load stops right after a kill (200)
  --sweep       single-step all operations, and look after every instruction
  --every N     single-step all operations, and really kill after every Nth instruction
                (some of them, as often as fits into about a second each)
  --only WORD   only the checks whose name holds WORD
  --measure     latencies with a million keys too
  --seed N      the seed of an earlier run
";

/// The options, with their defaults.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Seconds of random kills.
    pub(crate) seconds: u64,
    /// Rounds of load that stops after a kill.
    pub(crate) rounds: usize,
    /// Whether to look at all operations after every instruction.
    pub(crate) sweep: bool,
    /// Instructions from one kill to the next.
    pub(crate) every: Option<usize>,
    /// Part of a check's name.
    pub(crate) only: String,
    /// Whether to measure a million keys.
    pub(crate) measure: bool,
    /// Of all random choices of this program; processes take turns as they like.
    pub(crate) seed: u64,
}

impl Options {
    /// `None` when help was asked for.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Options>, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let seed = u64::try_from(now).unwrap_or(0);
        let mut options = Options {
            seconds: 10,
            rounds: 200,
            sweep: false,
            every: None,
            only: String::new(),
            measure: false,
            seed,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        let wrong = |error: lexopt::Error| format!("{error}; see --help");
        while let Some(argument) = parser.next().map_err(wrong)? {
            match argument {
                Long("measure") => options.measure = true,
                Long("sweep") => options.sweep = true,
                Long("help") => return Ok(None),
                Long("seconds") => options.seconds = number(&mut parser).map_err(wrong)?,
                Long("rounds") => options.rounds = number(&mut parser).map_err(wrong)?,
                Long("every") => options.every = Some(number::<usize>(&mut parser).map_err(wrong)?.max(1)),
                Long("seed") => options.seed = number(&mut parser).map_err(wrong)?,
                Long("only") => options.only = parser.value().and_then(ValueExt::string).map_err(wrong)?,
                other => return Err(wrong(other.unexpected())),
            }
        }
        Ok(Some(options))
    }

    /// Whether all operations are to be stepped, and not only some.
    pub(crate) fn is_complete(&self) -> bool {
        self.every.is_some()
    }

    /// Whether a check of that name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

fn number<T: std::str::FromStr>(parser: &mut lexopt::Parser) -> Result<T, lexopt::Error>
where
    T::Err: Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
{
    parser.value()?.parse()
}
