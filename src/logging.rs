//! The log: OpenSIPS's levels and lines over the `log` crate.
//!
//! `Nov 22 02:20:30 [1234] INFO:mi_datagram: text` on standard error, formatted by env_logger, or the same
//! without time and number in the system log. One level for all processes lies in the segment; before there is
//! a segment, and in programs without one, the level is this process's own. C: dprint.h.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use log::{Level, Log, Metadata, Record};

use crate::shm::Segment;
use crate::system::clock;
use crate::system::syslog::Syslog;

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

/// How the log crate's levels are called and weighed here; the last number is syslog's priority.
fn rank(level: Level) -> (&'static str, i32, i32) {
    match level {
        Level::Error => ("ERROR", level::ERROR, 3),
        Level::Warn => ("WARNING", level::WARNING, 4),
        Level::Info => ("INFO", level::INFO, 6),
        Level::Debug | Level::Trace => ("DBG", level::DEBUG, 7),
    }
}

/// The process's log. Installed once by [`install`], told later where to write and which level counts.
#[derive(Debug)]
pub struct Logger {
    own_level: AtomicI32,
    stderr: env_logger::Logger,
    syslog: OnceLock<Syslog>,
    segment: OnceLock<&'static Segment>,
}

/// Makes the log of this process, on standard error at first. Once per process; a second call changes nothing
/// and returns a log that nobody writes to.
pub fn install(own_level: i32) -> &'static Logger {
    let stderr = env_logger::Builder::new()
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
        segment: OnceLock::new(),
    }));
    if log::set_logger(logger).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
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
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        rank(metadata.level()).1 <= self.level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        match self.syslog.get() {
            Some(syslog) => syslog.write(rank(record.level()).2, &Line(record).to_string()),
            None => self.stderr.log(record),
        }
    }

    fn flush(&self) {}
}

/// `LEVEL:module: text`.
struct Line<'a>(&'a Record<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", rank(self.0.level()).0, module(self.0.target()), self.0.args())
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

/// Keeps a log line that clients can cause from flooding the log: at most one in ten seconds, with the number
/// of those kept back.
#[derive(Debug)]
pub struct Throttle {
    target: &'static str,
    next: Option<Instant>,
    held_back: u64,
}

/// How long a cause keeps silent after a line.
const SILENCE: Duration = Duration::from_secs(10);

impl Throttle {
    /// For lines of one cause, logged under a module path.
    #[must_use]
    pub fn new(target: &'static str) -> Throttle {
        Throttle { target, next: None, held_back: 0 }
    }

    /// Writes a warning, unless one was written shortly before.
    pub fn warn(&mut self, text: fmt::Arguments<'_>) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            self.held_back += 1;
            return;
        }
        match std::mem::take(&mut self.held_back) {
            0 => log::warn!(target: self.target, "{text}"),
            more => log::warn!(target: self.target, "{text} (and {more} like it before)"),
        }
        self.next = Some(now + SILENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_level_and_module() {
        let args = format_args!("hello");
        let line = |level, target| {
            Line(&Record::builder().level(level).target(target).args(args).build()).to_string()
        };
        assert_eq!(line(Level::Info, "opensips_mi::modules::mi_datagram::worker"), "INFO:mi_datagram: hello");
        assert_eq!(line(Level::Error, "opensips_mi::attendant"), "ERROR:core: hello");
        assert_eq!(line(Level::Debug, "my_c_module"), "DBG:my_c_module: hello");
    }

    #[test]
    fn a_throttle_lets_one_through_and_counts_the_rest() {
        let mut throttle = Throttle::new("test");
        for _ in 0..5 {
            throttle.warn(format_args!("again"));
        }
        assert_eq!(throttle.held_back, 4);
    }
}
