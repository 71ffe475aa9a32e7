//! Declares the globals that `name=value` may set, and keeps their values.
//!
//! Command line options with the same meaning are in `cli`. C counterpart: the rule
//! `assign_stm` of cfg.y and the variables of globals.h.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::document::{ConfigValue, GlobalAssignment};
use super::position::Position;

mod facility;
mod row;
mod table;

pub use facility::Facility;
pub use row::{GlobalForm, GlobalRow, GlobalScope};
pub(super) use table::find;
pub use table::rows;

/// The values of the globals that this server uses; `None` when a global is not set. The last setting of a
/// name counts.
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

    /// Takes over one assignment of scope [`GlobalScope::Used`]; `mpath` is not among the fields.
    pub(super) fn assign(&mut self, assignment: GlobalAssignment) {
        let Some(&name) = assignment.row.names.first() else { return };
        self.positions.insert(name, assignment.value_position);
        match assignment.value {
            ConfigValue::Integer(number) => self.assign_number(name, number),
            ConfigValue::Text(text) => self.assign_text(name, text),
            ConfigValue::Checked => {}
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
