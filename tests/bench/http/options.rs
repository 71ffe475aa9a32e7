//! The command line of the bench. Owns option names, defaults and limits; starts nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, ValueExt};

use crate::commands::{self, Command};
use crate::error::{Error, Result};
use crate::limits::within;
use crate::scale::Scale;

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
    /// Clients are connections.
    pub(crate) scale: Scale,
    /// How many contacts are dumped, instead of all else.
    pub(crate) contacts: Option<u64>,
}

impl Options {
    /// Reads the arguments after the program's name; `None` when only help was asked for.
    ///
    /// # Errors
    /// An unknown option, a value out of its limits, or no server to measure.
    pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Option<Options>> {
        let mut options = Options {
            program: PathBuf::new(),
            commands: commands::table(),
            scale: Scale::new(&[1, 4, 100], 400, 1),
            contacts: None,
        };
        let mut program = option_env!("CARGO_BIN_EXE_opensips-mi").map(PathBuf::from);
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("server") => program = Some(parser.value()?.into()),
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
                Arg::Long("slow-readers") => {
                    options.contacts = Some(within(&parser.value()?.string()?, 100_000, 10_000_000)?);
                }
                Arg::Long(name) => {
                    let name = name.to_owned();
                    if !options.scale.take(&name, &mut parser)? {
                        return Err(Arg::Long(&name).unexpected().into());
                    }
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
