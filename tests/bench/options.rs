//! The command line of the bench. Owns option names, defaults and limits; starts nothing.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, ValueExt};

use crate::commands::{self, Command};
use crate::error::{Error, Result};
use crate::limits::within;
use crate::scale::Scale;
use crate::server::{C_CONFIG, FIFO_CONFIG, Plan, Source};
use crate::soak::Soak;

/// Name of the server under test in the report.
const SUBJECT: &str = "opensips-mi";
/// What `--help` prints.
pub(crate) const HELP: &str = "\
cargo bench --bench datagram -- [OPTIONS]

Speed of MI over UNIX datagrams as a ratio to a bare echo, and memory over many requests (--soak).

  --server PATH         server program to start [the one cargo built]
  --socket PATH         measure a running server at this socket instead of starting one
  --also NAME=COMMAND   measure another server in the same run; COMMAND (its program on PATH or with
                        a full path) is split at blanks, and {config}, {socket}, {workers}, {memory}
                        (in MiB), {dir} in it are filled in; repeatable
  --config FILE         configuration for all servers that are started, with the same {...}
  --control             measure a second floor against the floor as well: the noise of this machine
  --one-socket          the floor replies from its bound socket, not from one of its own
  --workers N           worker processes, 1 to 64 [4]; of a running server: what its ps says
  --clients LIST        numbers of client processes, each 1 to 64 [1,4]
  --rounds N            rounds that count, 1 to 1000 [9]; one before them is a warm-up
  --round-ms MS         time of each side in a round, 10 to 60000 [300]
  --turns N             turns that this time is cut into, 1 to 100 [6]
  --commands LIST       only these of version, ps, core:, cache_fetch, cache_store, json-ps,
                        json-core:, json-all, all
                        [all of them; at --socket those that store nothing]
  --request FILE        measure the request in this file too; {n} in it becomes a number of eight
                        digits, below 10000 and another each time; repeatable
  --large-bytes N       size that the reply to 'all' gets by more workers [3000]
  --raw FILE            write each round as a row of CSV
  --check               exit with status 1 when a target is missed
  --fifo                measure mi_fifo instead, against a bare echo over FIFOs; with --commands only
                        these of version, ps, core:, json-ps
  --c-module            measure commands of a module in C beside built-in ones with the same replies;
                        with --commands only these of version, c-version, rows, c-rows, json-rows,
                        json-c-rows
  --dump N              measure ul_dump of N contacts over the FIFO instead, against cat of as many
                        bytes, with the memory it takes; from 1000 to 10000000
  --contacts LIST       measure the user location instead, with so many contacts in the server,
                        each from 100 to 10000000, e.g. 1000,100000,1000000
  --soak N              send N mixed requests instead and watch the memory; at least 10000,
                        ten millions as 10M or 10000000
  --no-connected        soak without connected sockets, which OpenSIPS does not answer
  --soak-minutes N      end a soak that takes longer, 1 to 1440 [60]
  -h, --help            print this
";

/// What the user wants.
pub(crate) struct Options {
    /// The first one is the subject.
    pub(crate) plans: Vec<Plan>,
    pub(crate) commands: Vec<Command>,
    pub(crate) scale: Scale,
    pub(crate) large_bytes: usize,
    pub(crate) one_socket: bool,
    /// How many contacts the user location is measured with, ascending; empty for the commands.
    pub(crate) contacts: Vec<u64>,
    /// How many contacts are dumped over the FIFO, instead of all else.
    pub(crate) dump: Option<u64>,
    pub(crate) soak: Option<Soak>,
    /// The source of a module in C, which has to be compiled before it is measured.
    pub(crate) c_source: Option<&'static str>,
}

/// What was given, before defaults are filled in.
#[derive(Default)]
struct Given {
    server: Option<PathBuf>,
    socket: Option<PathBuf>,
    also: Vec<(String, Vec<OsString>)>,
    config: Option<String>,
    only: Vec<String>,
    own: Vec<Command>,
    soak: Option<u64>,
    no_connected: bool,
    soak_minutes: Option<u64>,
    fifo: bool,
    c_module: bool,
}

impl Options {
    /// Reads the arguments after the program's name; `None` when only help was asked for.
    ///
    /// # Errors
    /// An unknown option, a value out of its limits, an unreadable file, or no server to measure.
    pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Option<Options>> {
        let mut options = Options {
            plans: Vec::new(),
            commands: Vec::new(),
            scale: Scale::new(&[1, 4], 64, 4),
            large_bytes: 3_000,
            one_socket: false,
            contacts: Vec::new(),
            dump: None,
            soak: None,
            c_source: None,
        };
        let mut given = Given::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long("server") => given.server = Some(parser.value()?.into()),
                Arg::Long("socket") => given.socket = Some(parser.value()?.into()),
                Arg::Long("also") => given.also.push(also(&parser.value()?.string()?)?),
                Arg::Long("config") => given.config = Some(read(parser.value()?.into())?.1),
                Arg::Long("one-socket") => options.one_socket = true,
                Arg::Long("commands") => {
                    given.only = parser.value()?.string()?.split(',').map(str::to_owned).collect();
                }
                Arg::Long("request") => {
                    let (name, text) = read(parser.value()?.into())?;
                    given.own.push(Command::own(&name, text.as_bytes()));
                }
                Arg::Long("large-bytes") => {
                    options.large_bytes = within(&parser.value()?.string()?, 1, 60_000)?;
                }
                Arg::Long("c-module") => given.c_module = true,
                Arg::Long("fifo") => given.fifo = true,
                Arg::Long("dump") => {
                    options.dump = Some(within(&parser.value()?.string()?, 1_000, 10_000_000)?);
                }
                Arg::Long("contacts") => {
                    let list = parser.value()?.string()?;
                    options.contacts =
                        list.split(',').map(|one| within(one, 100, 10_000_000)).collect::<Result<_>>()?;
                    options.contacts.sort_unstable();
                    options.contacts.dedup();
                }
                Arg::Long("soak") => {
                    let text = parser.value()?.string()?.replace('M', "000000");
                    given.soak = Some(within(&text, 10_000, 10_000_000_000)?);
                }
                Arg::Long("no-connected") => given.no_connected = true,
                Arg::Long("soak-minutes") => {
                    given.soak_minutes = Some(within(&parser.value()?.string()?, 1, 1_440)?);
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
        options.complete(given).map(Some)
    }

    fn complete(mut self, mut given: Given) -> Result<Options> {
        let running = given.socket.is_some();
        if !self.contacts.is_empty() {
            if running {
                return Err("--contacts fills the server, so it is not for a running one (--socket)".into());
            }
            if given.soak.is_some() || !given.only.is_empty() || !given.own.is_empty() {
                return Err(
                    "--contacts has its own commands: give it without --soak, --commands and --request"
                        .into(),
                );
            }
        }
        if given.fifo || self.dump.is_some() {
            if running || given.soak.is_some() || !self.contacts.is_empty() {
                return Err(
                    "--fifo and --dump start their servers, and are not for --soak and --contacts".into()
                );
            }
            given.config = given.config.or_else(|| Some(FIFO_CONFIG.to_owned()));
        }
        if given.c_module {
            if running
                || given.soak.is_some()
                || given.fifo
                || self.dump.is_some()
                || !self.contacts.is_empty()
            {
                return Err("--c-module is for datagrams, and starts its server".into());
            }
            given.config = given.config.or_else(|| Some(C_CONFIG.to_owned()));
            self.c_source = Some("tests/bench/speed.c");
        }
        let subject = match given.socket {
            Some(socket) => {
                Plan { name: "running".to_owned(), source: Source::Running(socket), config: None }
            }
            None => {
                let built = option_env!("CARGO_BIN_EXE_opensips-mi").map(PathBuf::from);
                let program = given.server.or(built).ok_or("no server: give --server or --socket")?;
                // It is started in a folder of its own, so a relative path would miss.
                let program = std::path::absolute(&program).map_err(Error::os("find", &program))?;
                let words = ["-F", "-m", "{memory}", "-f", "{config}"].map(OsString::from);
                let words = [program.into()].into_iter().chain(words).collect();
                Plan {
                    name: SUBJECT.to_owned(),
                    source: Source::Command(words),
                    config: given.config.clone(),
                }
            }
        };
        self.plans.push(subject);
        self.plans.extend(given.also.into_iter().map(|(name, words)| Plan {
            name,
            source: Source::Command(words),
            config: given.config.clone(),
        }));
        self.commands = match (given.fifo, given.c_module) {
            (true, _) => commands::fifo_table(),
            (false, true) => commands::c_table(),
            (false, false) => commands::table(),
        };
        for name in &given.only {
            if !self.commands.iter().any(|command| command.name == *name) {
                return Err(lexopt::Error::from(format!("unknown command {name:?}")).into());
            }
        }
        self.commands.retain(|command| match given.only.as_slice() {
            // Nobody has asked to have something stored in a server that is in use.
            [] => command.fill.is_none() || !running,
            only => only.contains(&command.name),
        });
        self.commands.extend(given.own);
        self.soak = given.soak.map(|requests| Soak {
            requests,
            connected: !given.no_connected,
            limit: Duration::from_secs(60 * given.soak_minutes.unwrap_or(60)),
        });
        Ok(self)
    }
}

/// `NAME=COMMAND`
fn also(text: &str) -> Result<(String, Vec<OsString>)> {
    let (name, command) = text.split_once('=').ok_or("--also wants NAME=COMMAND")?;
    let words: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if !plain || words.is_empty() {
        return Err("--also wants a name of letters, digits, '.', '-', '_', and a command".into());
    }
    Ok((name.to_owned(), words))
}

/// A file's name without its folder, and its text.
fn read(path: PathBuf) -> Result<(String, String)> {
    let text = fs::read_to_string(&path).map_err(Error::os("read", &path))?;
    Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text))
}
