//! Parses the command line of OpenSIPS 1.11 by one table of options, which `-h` prints.
//!
//! C: `main` and help_msg.h.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg;

use crate::config::{DefaultValue, Globals};
use crate::logging::level;

/// The configuration file without `-f`. C: `CFG_FILE`.
pub const DEFAULT_CONFIG: &str = "/etc/opensips/opensips.cfg";

/// Shared memory without `-m`, in megabytes. C: `SHM_MEM_SIZE` in config.h.
pub const DEFAULT_MEMORY_MEGABYTES: u32 = 64;

/// One option.
#[derive(Debug)]
pub struct Flag {
    /// The letter.
    pub letter: char,
    /// What its value is called, when it takes one.
    pub value: Option<&'static str>,
    /// The value that counts without the option; `None` for one whose absence means something else.
    pub default: Option<DefaultValue>,
    /// One line for `-h`, without the default.
    pub help: &'static str,
    /// Whether it concerns SIP alone: accepted, without effect.
    pub sip_only: bool,
}

const fn flag(letter: char, value: Option<&'static str>, help: &'static str) -> Flag {
    Flag { letter, value, default: None, help, sip_only: false }
}

const fn flag_with_default(
    letter: char,
    value: &'static str,
    default: DefaultValue,
    help: &'static str,
) -> Flag {
    Flag { letter, value: Some(value), default: Some(default), help, sip_only: false }
}

const fn sip(letter: char, value: Option<&'static str>, help: &'static str) -> Flag {
    Flag { letter, value, default: None, help, sip_only: true }
}

/// All options, in the order of `-h`.
pub const FLAGS: [Flag; 28] = [
    flag_with_default(
        'f',
        "FILE",
        DefaultValue::Text(DEFAULT_CONFIG),
        "configuration file, - for standard input",
    ),
    flag('c', None, "check the configuration and exit: status 0, or 255 with all errors"),
    flag('C', None, "as -c"),
    flag('D', None, "stay in the foreground"),
    flag('F', None, "stay in the foreground"),
    flag('E', None, "log to standard error"),
    flag('d', None, "log more; each -d raises the level by one"),
    flag('P', Some("FILE"), "write the server's process number into FILE"),
    flag('G', Some("FILE"), "write the server's process group into FILE"),
    flag('u', Some("USER"), "become this user, by name or number"),
    flag('g', Some("GROUP"), "become this group, by name or number"),
    flag('t', Some("FOLDER"), "change the root folder"),
    flag_with_default('w', "FOLDER", DefaultValue::Text("/"), "change the working folder"),
    flag_with_default(
        'm',
        "MB",
        DefaultValue::Number(DEFAULT_MEMORY_MEGABYTES as i64),
        "megabytes of shared memory",
    ),
    flag('M', Some("MB"), "megabytes of private memory that each process is said to have; default 2"),
    flag('V', None, "print the version and the commit, and exit; also --version"),
    flag('h', None, "print this help and exit; also --help"),
    sip('o', Some("NAME=VALUE"), "a variable for the routing script"),
    sip('b', Some("BYTES"), "largest receive buffer"),
    sip('l', Some("ADDRESS"), "listen for SIP on this address"),
    sip('n', Some("COUNT"), "SIP worker processes for each interface"),
    sip('N', Some("COUNT"), "SIP worker processes for TCP"),
    sip('W', Some("METHOD"), "poll method"),
    sip('r', None, "use DNS to check Via"),
    sip('R', None, "use reverse DNS to check Via"),
    sip('v', None, "check Via of replies"),
    sip('T', None, "no TCP"),
    sip('S', None, "no SCTP"),
];

/// The parsed command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-f`.
    pub config: Option<PathBuf>,
    /// Whether to serve, check, or print something.
    pub mode: RunMode,
    /// `-D`: stay in the foreground.
    pub no_fork: bool,
    /// `-F`: stay in the foreground.
    pub no_daemon: bool,
    /// `-E`.
    pub log_to_stderr: bool,
    /// How many `-d`.
    pub louder: i32,
    /// `-P`.
    pub pid_file: Option<PathBuf>,
    /// `-G`.
    pub pgid_file: Option<PathBuf>,
    /// `-u`.
    pub user: Option<OsString>,
    /// `-g`.
    pub group: Option<OsString>,
    /// `-t`.
    pub chroot: Option<PathBuf>,
    /// `-w`.
    pub working_folder: Option<PathBuf>,
    /// `-m`, in bytes.
    pub memory_bytes: Option<u64>,
    /// `-M`, in bytes.
    pub private_memory_bytes: Option<u64>,
    /// Options given that have no effect here.
    pub without_effect: Vec<char>,
}

/// The task of one run of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunMode {
    /// Serve.
    #[default]
    Serve,
    /// `-c`: check the configuration.
    Check,
    /// `-V`.
    Version,
    /// `-h`.
    Help,
}

/// An error in the command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// A letter that is no option, or a word that belongs to none.
    #[error("unknown option {0}; see opensips-mi -h")]
    Unknown(String),
    /// The value is missing.
    #[error("option -{0} needs a value: -{0} {1}")]
    MissingValue(char, &'static str),
    /// The value does not fit.
    #[error("-{letter} {found:?}: expected {wanted}")]
    BadValue {
        /// The option.
        letter: char,
        /// Its value.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// `-D` and `-F` together. C: the check in `main`.
    #[error("-D and -F exclude each other; both keep the server in the foreground: leave one out")]
    BothForeground,
}

impl Options {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// [`UsageError`], at the first option that is wrong.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, UsageError> {
        let mut options = Options::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(|error| UsageError::Unknown(error.to_string()))? {
            let letter = match argument {
                Arg::Short(letter) => letter,
                Arg::Long("help") => 'h',
                Arg::Long("version") => 'V',
                Arg::Long(name) => return Err(UsageError::Unknown(format!("--{name}"))),
                Arg::Value(word) => return Err(UsageError::Unknown(word.to_string_lossy().into_owned())),
            };
            let flag = FLAGS
                .iter()
                .find(|flag| flag.letter == letter)
                .ok_or_else(|| UsageError::Unknown(format!("-{letter}")))?;
            let value = match flag.value {
                Some(name) => parser.value().map_err(|_| UsageError::MissingValue(letter, name))?,
                None => OsString::new(),
            };
            options.set(flag, value)?;
        }
        if options.no_fork && options.no_daemon { Err(UsageError::BothForeground) } else { Ok(options) }
    }

    fn set(&mut self, flag: &Flag, value: OsString) -> Result<(), UsageError> {
        let letter = flag.letter;
        let text = || value.to_string_lossy().into_owned();
        let bad = |wanted| UsageError::BadValue { letter, found: text(), wanted };
        match letter {
            'f' => self.config = Some(value.into()),
            'c' | 'C' => self.mode = RunMode::Check,
            'V' => self.mode = RunMode::Version,
            'h' => self.mode = RunMode::Help,
            'D' => self.no_fork = true,
            'F' => self.no_daemon = true,
            'E' => self.log_to_stderr = true,
            'd' => self.louder += 1,
            'P' => self.pid_file = Some(value.into()),
            'G' => self.pgid_file = Some(value.into()),
            'u' => self.user = Some(value),
            'g' => self.group = Some(value),
            't' => self.chroot = Some(value.into()),
            'w' => self.working_folder = Some(value.into()),
            'm' | 'M' => {
                let megabytes: Option<u64> = text().parse().ok().filter(|&megabytes| megabytes > 0);
                let bytes = megabytes.and_then(|megabytes| megabytes.checked_mul(1 << 20));
                let bytes = bytes.ok_or_else(|| bad("a number of megabytes from 1 up"))?;
                let kind =
                    if letter == 'm' { &mut self.memory_bytes } else { &mut self.private_memory_bytes };
                *kind = Some(bytes);
            }
            'o' if !text().contains('=') => return Err(bad("NAME=VALUE")),
            'b' | 'n' | 'N' if text().parse::<u32>().is_err() => return Err(bad("a number")),
            _ => self.without_effect.push(letter),
        }
        Ok(())
    }

    /// Whether the server keeps its terminal. C: `dont_fork` and `no_daemon_mode`, and `fork=no`.
    #[must_use]
    pub fn foreground(&self, globals: &Globals) -> bool {
        self.no_fork || self.no_daemon || globals.fork == Some(false) || globals.debug_mode == Some(true)
    }

    /// Whether the log goes to standard error.
    #[must_use]
    pub fn logs_to_stderr(&self, globals: &Globals) -> bool {
        self.log_to_stderr || globals.log_stderror == Some(true) || globals.debug_mode == Some(true)
    }

    /// The log level, from the configuration and `-d`.
    #[must_use]
    pub fn level(&self, globals: &Globals) -> i32 {
        let configured = globals.log_level.unwrap_or(level::NOTICE);
        let wanted = if globals.debug_mode == Some(true) { configured.max(level::DEBUG) } else { configured };
        wanted.saturating_add(self.louder)
    }
}

/// What `-h` prints.
#[must_use]
pub fn help() -> String {
    use std::fmt::Write;
    let mut text = format!("version: {}\nUsage: opensips-mi [OPTION]…\n", crate::version::VERSION);
    let mut section = |title: &str, sip_only: bool| {
        let _ = writeln!(text, "{title}");
        for flag in FLAGS.iter().filter(|flag| flag.sip_only == sip_only) {
            let left = format!("-{} {}", flag.letter, flag.value.unwrap_or_default());
            let default = flag.default.map(|default| format!("; default {default}")).unwrap_or_default();
            let _ = writeln!(text, "    {left:<15} {}{default}", flag.help);
        }
    };
    section("Options:", false);
    section("Accepted for OpenSIPS's sake, without effect:", true);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_options_of_an_init_script_are_parsed() {
        let options = parse("-P /run/o.pid -m 64 -M 4 -u opensips -g opensips -f /etc/o.cfg").unwrap();
        assert_eq!(options.memory_bytes, Some(64 << 20));
        assert_eq!(options.user, Some(OsString::from("opensips")));
        assert_eq!(options.private_memory_bytes, Some(4 << 20));
        assert!(!options.foreground(&Globals::default()));
    }

    #[test]
    fn letters_may_be_joined_and_values_attached() {
        let options = parse("-FEddd -m8 -fx.cfg").unwrap();
        assert!(options.no_daemon && options.log_to_stderr);
        assert_eq!((options.level(&Globals::default()), options.memory_bytes), (5, Some(8 << 20)));
        assert_eq!(options.config, Some(PathBuf::from("x.cfg")));
    }

    #[test]
    fn help_and_version_have_long_names() {
        assert_eq!(parse("--help").unwrap().mode, RunMode::Help);
        assert_eq!(parse("--version").unwrap().mode, RunMode::Version);
    }

    #[test]
    fn each_error_names_the_option_and_the_remedy() {
        for (line, wanted) in [
            ("-D -F", "-D and -F exclude each other; both keep the server in the foreground: leave one out"),
            ("-x", "unknown option -x; see opensips-mi -h"),
            ("--helpme", "unknown option --helpme; see opensips-mi -h"),
            ("start", "unknown option start; see opensips-mi -h"),
            ("-f", "option -f needs a value: -f FILE"),
            ("-m lots", "-m \"lots\": expected a number of megabytes from 1 up"),
            ("-o name", "-o \"name\": expected NAME=VALUE"),
            ("-n x", "-n \"x\": expected a number"),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn help_has_every_option_once() {
        let text = help();
        for flag in &FLAGS {
            assert_eq!(text.matches(&format!("\n    -{} ", flag.letter)).count(), 1, "-{}", flag.letter);
        }
    }
}
