//! Globals: what `name=value` may set, and the typed result.
//!
//! The rows are in `table`; command line options that say the same are the caller's. C counterpart: the rule
//! `assign_stm` of cfg.y and the variables of globals.h.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::document::{Assignment, Value};
use super::nearest::nearest;
use super::origin;
use super::position::Position;

mod table;

/// One global.
#[derive(Debug)]
pub struct GlobalRow {
    /// Its name, then other names for the same.
    pub names: &'static [&'static str],
    /// What it may be set to.
    pub form: Form,
    /// Whom it concerns.
    pub scope: Scope,
    /// One line for man page and example, with the default.
    pub help: &'static str,
}

/// Whom a global concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This server acts on it.
    Used,
    /// SIP alone: its form is checked, and it has no effect.
    SipAlone,
}

/// What a global may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number in a range, or `yes` and its like.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// `yes`, `true`, `on`, `enable`, `no`, `false`, `off`, `disable` or a number.
    Boolean,
    /// A string.
    Text,
    /// A word.
    Word,
    /// A string or a word.
    TextOrWord,
    /// A string, a word or a number: a user, a group, a folder.
    Name,
    /// A word or a number.
    WordOrInteger,
    /// A syslog facility, as `LOG_LOCAL0`. Case does not count.
    Facility,
    /// One or more of `udp:HOST:PORT as HOST:PORT use_children N`.
    Sockets,
    /// One or more of `udp:HOST:PORT`.
    Aliases,
    /// One address, with or without a port.
    Host,
    /// `name:{(udp, 10.0.0.0/8, 5060, "text"), …}`
    Blacklist,
    /// `"group": "module" "module"`
    MemoryGroup,
}

/// All globals that are accepted.
#[must_use]
pub fn rows() -> &'static [GlobalRow] {
    table::ROWS
}

/// The row of a name.
pub(super) fn find(name: &[u8]) -> Option<&'static GlobalRow> {
    table::ROWS.iter().find(|row| row.names.iter().any(|known| known.as_bytes() == name))
}

/// The global that was meant by a name nobody knows.
pub(super) fn suggest(name: &str, others: &'static [&'static str]) -> Option<String> {
    let names = || table::ROWS.iter().flat_map(|row| row.names).chain(others).copied();
    // The name of another product or release is no slip of the finger.
    origin::renamed(name).unwrap_or_else(|| nearest(name, names())).map(str::to_owned)
}

/// A syslog facility, as its code in syslog(3) shifted right by three: 0 kern to 23 local7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

/// C: `str_fac` and `int_fac` in dprint.c. The place is the code; the empty ones have no name there.
const FACILITIES: [&str; 24] = [
    "LOG_KERN",
    "LOG_USER",
    "LOG_MAIL",
    "LOG_DAEMON",
    "LOG_AUTH",
    "LOG_SYSLOG",
    "LOG_LPR",
    "LOG_NEWS",
    "LOG_UUCP",
    "LOG_CRON",
    "LOG_AUTHPRIV",
    "LOG_FTP",
    "",
    "",
    "",
    "",
    "LOG_LOCAL0",
    "LOG_LOCAL1",
    "LOG_LOCAL2",
    "LOG_LOCAL3",
    "LOG_LOCAL4",
    "LOG_LOCAL5",
    "LOG_LOCAL6",
    "LOG_LOCAL7",
];

impl Facility {
    /// The facility of a name as `LOG_DAEMON`; case does not count.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let known = |facility: &&str| !facility.is_empty() && name.eq_ignore_ascii_case(facility.as_bytes());
        let code = FACILITIES.iter().position(known)?;
        u8::try_from(code).ok().map(Self)
    }

    /// The code, from 0 to 23.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }

    /// The name, as `LOG_DAEMON`.
    #[must_use]
    pub fn name(self) -> &'static str {
        FACILITIES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// The globals that concern this server; `None` is what was not set. The last setting of a name counts.
#[derive(Debug, Default)]
pub struct Globals {
    /// `debug`, `log_level`: from -3 to 4 by meaning, any number by C.
    pub log_level: Option<i32>,
    /// `debug_mode`
    pub debug_mode: Option<bool>,
    /// `log_stderror`
    pub log_stderror: Option<bool>,
    /// `log_facility`
    pub log_facility: Option<Facility>,
    /// `log_name`
    pub log_name: Option<Vec<u8>>,
    /// `fork`
    pub fork: Option<bool>,
    /// `user`, `uid`: a name or a number
    pub user: Option<OsString>,
    /// `group`, `gid`: a name or a number
    pub group: Option<OsString>,
    /// `chroot`
    pub chroot: Option<PathBuf>,
    /// `workdir`, `wdir`
    pub workdir: Option<PathBuf>,
    /// `disable_core_dump`
    pub disable_core_dump: Option<bool>,
    /// `open_files_limit`
    pub open_files_limit: Option<u32>,
    /// `disable_tcp`
    pub disable_tcp: Option<bool>,
    /// `mi_reply_timeout`, in seconds
    pub mi_reply_timeout: Option<u32>,
    /// `event_shm_threshold`, percent from 0 to 100
    pub event_shm_threshold: Option<u32>,
    /// `restart_persistency_cache_file`
    pub restart_persistency_cache_file: Option<PathBuf>,
    /// `restart_persistency_size`, in megabytes
    pub restart_persistency_size: Option<u32>,
    positions: BTreeMap<&'static str, Position>,
}

impl Globals {
    /// Where the value of a global was set, under any of its names.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<&Position> {
        find(name.as_bytes()).and_then(|row| self.positions.get(row.names.first().copied()?))
    }

    /// Takes over one assignment of scope [`Scope::Used`]; `mpath` is not among the fields.
    pub(super) fn assign(&mut self, assignment: Assignment) {
        let Some(&name) = assignment.row.names.first() else { return };
        self.positions.insert(name, assignment.value_position);
        match assignment.value {
            Value::Integer(number) => self.assign_number(name, number),
            Value::Text(text) => self.assign_text(name, text),
            Value::Checked => {}
        }
    }

    fn assign_number(&mut self, name: &str, number: i64) {
        let flag = Some(number != 0);
        let unsigned = u32::try_from(number).ok();
        match name {
            "debug" => self.log_level = i32::try_from(number).ok(),
            "debug_mode" => self.debug_mode = flag,
            "log_stderror" => self.log_stderror = flag,
            "fork" => self.fork = flag,
            "disable_core_dump" => self.disable_core_dump = flag,
            "disable_tcp" => self.disable_tcp = flag,
            "open_files_limit" => self.open_files_limit = unsigned,
            "mi_reply_timeout" => self.mi_reply_timeout = unsigned,
            "event_shm_threshold" => self.event_shm_threshold = unsigned,
            "restart_persistency_size" => self.restart_persistency_size = unsigned,
            _ => {}
        }
    }

    fn assign_text(&mut self, name: &str, text: Vec<u8>) {
        match name {
            "log_facility" => self.log_facility = Facility::from_name(&text),
            "log_name" => self.log_name = Some(text),
            "user" => self.user = Some(OsString::from_vec(text)),
            "group" => self.group = Some(OsString::from_vec(text)),
            "chroot" => self.chroot = Some(path(text)),
            "workdir" => self.workdir = Some(path(text)),
            "restart_persistency_cache_file" => self.restart_persistency_cache_file = Some(path(text)),
            _ => {}
        }
    }
}

fn path(text: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(text))
}

#[cfg(test)]
mod tests;
