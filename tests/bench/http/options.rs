//! The command line of the bench. Owns option names, defaults and limits; starts nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, ValueExt};

use crate::commands::{self, Command};
use crate::error::{Error, Result};
use crate::limits::within;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
cargo bench --bench http -- [OPTIONS]

Speed of MI over HTTP as a ratio to a bare hyper server, and what readers of a long dump cost the others
(--slow-readers).

  --server PATH         server program to start [the one cargo built]
  --control             measure a second floor against the floor as well: the noise of this machine
  --workers N           worker processes of each door and of the floor, 1 to 64 [1]
  --clients LIST        numbers of keep-alive connections, each 1 to 400 [1,4,100]; they are shared by up
                        to 4 processes, and Python's clients are left out above 4
  --rounds N            rounds that count, 1 to 1000 [9]; one before them is a warm-up
  --round-ms MS         time of each side in a round, 10 to 60000 [300]
  --turns N             turns that this time is cut into, 1 to 100 [6]
  --commands LIST       only these of xml-version, xml-ps, xml-all, json-version, json-ps, json-all,
                        python-version, python-ps, python-all (python: with Python's xmlrpc.client)
  --no-python           without those that need python3
  --raw FILE            write each round as a row of CSV
  --check               exit with status 1 when a target is missed
  --slow-readers N      instead, have slow readers take a dump of N contacts beside connections under
                        load, 100000 to 10000000; 450000 are 100 MB
  -h, --help            print this
";

/// What the user wants.
pub(crate) struct Options {
    pub(crate) program: PathBuf,
    pub(crate) commands: Vec<Command>,
    /// Connections.
    pub(crate) clients: Vec<usize>,
    pub(crate) rounds: u32,
    /// Of each side.
    pub(crate) round_time: Duration,
    /// Stretches that the time of a round is cut into.
    pub(crate) turns: u32,
    pub(crate) workers: usize,
    pub(crate) control: bool,
    pub(crate) check: bool,
    pub(crate) raw: Option<PathBuf>,
    /// How many contacts are dumped, instead of all else.
    pub(crate) contacts: Option<u64>,
}

impl Options {
    /// Reads the arguments after the program's name; `None` when only help was asked for.
    ///
    /// # Errors
    /// An unknown option, a value out of its limits, or no server to measure.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Options>> {
        // A debug build only shows that the bench works: its figures say nothing.
        let (rounds, round_time) = if cfg!(debug_assertions) {
            (1, Duration::from_millis(50))
        } else {
            (9, Duration::from_millis(300))
        };
        let mut options = Options {
            program: PathBuf::new(),
            commands: commands::table(),
            clients: vec![1, 4, 100],
            rounds,
            round_time,
            turns: 6,
            workers: 1,
            control: false,
            check: false,
            raw: None,
            contacts: None,
        };
        let mut program = option_env!("CARGO_BIN_EXE_opensips-mi").map(PathBuf::from);
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                // What cargo bench adds.
                Arg::Long("bench") => {}
                Arg::Long("server") => program = Some(parser.value()?.into()),
                Arg::Long("control") => options.control = true,
                Arg::Long("workers") => options.workers = within(&parser.value()?.string()?, 1, 64)?,
                Arg::Long("clients") => {
                    let list = parser.value()?.string()?;
                    options.clients =
                        list.split(',').map(|one| within(one, 1, 400)).collect::<Result<_>>()?;
                }
                Arg::Long("rounds") => options.rounds = within(&parser.value()?.string()?, 1, 1_000)?,
                Arg::Long("round-ms") => {
                    options.round_time =
                        Duration::from_millis(within(&parser.value()?.string()?, 10, 60_000)?);
                }
                Arg::Long("turns") => options.turns = within(&parser.value()?.string()?, 1, 100)?,
                Arg::Long("commands") => {
                    let list = parser.value()?.string()?;
                    let names: Vec<&str> = list.split(',').collect();
                    let known = commands::table();
                    if let Some(name) = names.iter().find(|name| known.iter().all(|it| it.name != **name)) {
                        return Err(lexopt::Error::from(format!("unknown command {name:?}")).into());
                    }
                    options.commands.retain(|command| names.contains(&command.name.as_str()));
                }
                Arg::Long("no-python") => options.commands.retain(|command| !command.by_python),
                Arg::Long("raw") => options.raw = Some(parser.value()?.into()),
                Arg::Long("check") => options.check = true,
                Arg::Long("slow-readers") => {
                    options.contacts = Some(within(&parser.value()?.string()?, 100_000, 10_000_000)?);
                }
                other => return Err(other.unexpected().into()),
            }
        }
        let program = program.ok_or("no server: give --server")?;
        // It is started in a folder of its own, so a relative path would miss.
        options.program = std::path::absolute(&program).map_err(Error::os("find", &program))?;
        if options.commands.is_empty() {
            return Err("nothing is left to measure".into());
        }
        Ok(Some(options))
    }
}
