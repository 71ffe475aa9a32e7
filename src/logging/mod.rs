//! The log: OpenSIPS's levels and lines over the `log` crate.
//!
//! ```text
//! printable.rs   what a line shows of text from outside
//! limit.rs       how often lines of one cause are written
//! output.rs      how a line leaves without waiting
//! ```
//!
//! `Nov 22 02:20:30 [1234] INFO:mi_datagram: text` on standard error, formatted by env_logger, or the same
//! without time and number in the system log. One level for all processes lies in the segment; before there is
//! a segment, and in programs without one, the level is this process's own. C: dprint.h.
//!
//! What a client can cause does no harm here, whatever the call says: each line is escaped by [`Printable`]; a process
//! that serves clients writes ten lines of one cause at once and then one a second, and says how many it has left
//! out; and a line that cannot be written at once is dropped and counted. A cause is a place in the source, or what
//! the key `cause` of a line names. A line with the mark `log::warn!(often = true; "…")` is written once in ten
//! seconds by each process, at any level; what it shows of a request is cut by [`Shown`].

mod limit;
mod output;
mod printable;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use log::{Level, Log, Metadata, Record};

pub use limit::Throttle;
use limit::{LeftOut, Limits};
use output::{Lost, StandardError};
pub use printable::{Printable, Shown};

use crate::shm::Segment;
use crate::system::syslog::Syslog;
use crate::system::{clock, stderr};

/// OpenSIPS's levels, as `debug` sets them. Between them lie 0, -2 (critical), -3 (alert) and 2 (notice).
pub mod level {
    /// Errors.
    pub const ERROR: i32 = -1;
    /// Warnings.
    pub const WARNING: i32 = 1;
    /// What an operator may want to see.
    pub const NOTICE: i32 = 2;
    /// What is going on.
    pub const INFO: i32 = 3;
    /// Everything.
    pub const DEBUG: i32 = 4;
}

/// The key of a line that says OpenSIPS's level of it, for those that the log crate does not have.
const LEVEL: &str = "level";

/// OpenSIPS's level for one of the log crate.
fn common(level: Level) -> i32 {
    match level {
        Level::Error => level::ERROR,
        Level::Warn => level::WARNING,
        Level::Info => level::INFO,
        Level::Debug | Level::Trace => level::DEBUG,
    }
}

/// OpenSIPS's level of a line.
fn level_of(record: &Record<'_>) -> i32 {
    let own = record.key_values().get(LEVEL.into()).and_then(|level| level.to_i64());
    own.and_then(|level| i32::try_from(level).ok()).unwrap_or_else(|| common(record.level()))
}

/// How a level is called, and syslog's priority of it.
fn rank(level: i32) -> (&'static str, i32) {
    match level {
        ..=-3 => ("ALERT", 1),
        -2 => ("CRITICAL", 2),
        level::ERROR => ("ERROR", 3),
        0..=level::WARNING => ("WARNING", 4),
        level::NOTICE => ("NOTICE", 5),
        level::INFO => ("INFO", 6),
        level::DEBUG.. => ("DBG", 7),
    }
}

/// This process's log, when there is one.
static INSTALLED: OnceLock<&'static Logger> = OnceLock::new();

/// Whether lines of one of OpenSIPS's levels are written.
pub fn shows(level: i32) -> bool {
    INSTALLED.get().is_some_and(|logger| level <= logger.level())
}

/// The process's log. Installed once by [`install`], told later where to write and which level counts.
#[derive(Debug)]
pub struct Logger {
    own_level: AtomicI32,
    stderr: env_logger::Logger,
    syslog: OnceLock<Syslog>,
    /// Lines that the system log has not taken.
    lost: Lost,
    segment: OnceLock<&'static Segment>,
    limits: Mutex<Limits>,
}

/// Makes the log of this process, on standard error at first. Once per process; a second call changes nothing
/// and returns a log that nobody writes to.
pub fn install(own_level: i32) -> &'static Logger {
    stderr::open();
    let stderr = env_logger::Builder::new()
        .target(env_logger::Target::Pipe(Box::new(StandardError::default())))
        .filter_level(log::LevelFilter::Trace)
        .write_style(env_logger::WriteStyle::Never)
        .format(|out, record| {
            let (time, pid) = (clock::log_time(clock::wall_seconds()), std::process::id());
            writeln!(out, "{time} [{pid}] {}", Line(record))
        })
        .build();
    let logger: &'static Logger = Box::leak(Box::new(Logger {
        own_level: AtomicI32::new(own_level),
        stderr,
        syslog: OnceLock::new(),
        lost: Lost::default(),
        segment: OnceLock::new(),
        limits: Mutex::default(),
    }));
    if log::set_logger(logger).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
        INSTALLED.get_or_init(|| logger);
    }
    logger
}

impl Logger {
    /// Changes the level that counts while there is no segment.
    pub fn set_own_level(&self, level: i32) {
        self.own_level.store(level, Ordering::Relaxed);
    }

    /// From now on the level that the segment has for this process counts.
    pub fn follow(&self, segment: &'static Segment) {
        // The server makes one segment; a second call would be by a test.
        let _first = self.segment.set(segment);
    }

    /// From now on lines go to the system log.
    pub fn use_syslog(&self, syslog: Syslog) {
        self.syslog.get_or_init(|| syslog);
    }

    fn level(&self) -> i32 {
        self.segment.get().map_or_else(|| self.own_level.load(Ordering::Relaxed), |segment| segment.level())
    }

    /// Whether a line may be written now, and how many of its cause were left out: `None` for not. The attendant serves
    /// no client, so what it says is limited only where a line has the mark.
    fn turn(&self, record: &Record<'_>) -> Option<u64> {
        let serves = self.segment.get().is_some_and(|segment| segment.own_slot() > 0);
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.turn(record, serves, Instant::now())
    }

    fn write(&self, record: &Record<'_>) {
        match self.syslog.get() {
            Some(syslog) => {
                let priority = rank(level_of(record)).1;
                self.lost.write(&Line(record).to_string(), |line| syslog.write(priority, line));
            }
            None => self.stderr.log(record),
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        common(metadata.level()) <= self.level()
    }

    fn log(&self, record: &Record<'_>) {
        if level_of(record) > self.level() {
            return;
        }
        match self.turn(record) {
            None => {}
            Some(0) => self.write(record),
            Some(left_out) => {
                let args = format_args!("{}{}", record.args(), LeftOut(left_out));
                self.write(&record.to_builder().args(args).build());
            }
        }
    }

    fn flush(&self) {}
}

/// `LEVEL:module: text`, with all that could do harm as escapes.
struct Line<'a>(&'a Record<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = rank(level_of(self.0)).0;
        Printable(format_args!("{level}:{}: {}", module(self.0.target()), self.0.args())).fmt(f)
    }
}

/// The OpenSIPS module that a Rust path belongs to: what stands behind `modules`, else the core.
fn module(target: &str) -> &str {
    match target.split_once("::modules::") {
        Some((_, inside)) => inside.split("::").next().unwrap_or(inside),
        None if target.contains("::") || target.starts_with("opensips") => "core",
        None => target,
    }
}
