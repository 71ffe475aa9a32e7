//! The log: OpenSIPS's levels and lines over the `log` crate.
//!
//! `Nov 22 02:20:30 [1234] INFO:mi_datagram: text` on standard error, formatted by env_logger, or the same
//! without time and number in the system log. One level for all processes lies in the segment; before there is
//! a segment, and in programs without one, the level is this process's own. C: dprint.h.
//!
//! A line that clients can cause as often as they like says so, `log::warn!(often = true; "…")`, and is then written
//! once in ten seconds by each process; what it shows of a request is cut by [`Shown`].

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
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
    segment: OnceLock<&'static Segment>,
    often: Mutex<Vec<Often>>,
}

/// A line of the source that clients can cause, and when it was written last.
#[derive(Debug)]
struct Often {
    place: (&'static str, u32),
    pause: Pause,
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
        often: Mutex::default(),
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

    /// Whether a line may be written now, and how many like it were not. There are as many places as the source has
    /// lines with the mark.
    fn turn(&self, record: &Record<'_>) -> Option<u64> {
        let place = record.file_static().zip(record.line());
        let Some(place) = place.filter(|_| record.key_values().get(OFTEN.into()).is_some()) else {
            return Some(0);
        };
        let mut all = self.often.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|known| known.place == place).unwrap_or_else(|| {
            all.push(Often { place, pause: Pause::default() });
            all.len() - 1
        });
        all[at].pause.turn(Instant::now())
    }

    fn write(&self, record: &Record<'_>) {
        match self.syslog.get() {
            Some(syslog) => syslog.write(rank(level_of(record)).1, &Line(record).to_string()),
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
            Some(more) => self.write(
                &record
                    .to_builder()
                    .args(format_args!("{} (and {more} like it before)", record.args()))
                    .build(),
            ),
        }
    }

    fn flush(&self) {}
}

/// `LEVEL:module: text`.
struct Line<'a>(&'a Record<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", rank(level_of(self.0)).0, module(self.0.target()), self.0.args())
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

/// The mark of a line that clients can cause as often as they like.
const OFTEN: &str = "often";

/// How long a cause keeps silent after a line.
const SILENCE: Duration = Duration::from_secs(10);

/// At most one line in ten seconds, and the number of those kept back.
#[derive(Debug, Default)]
struct Pause {
    next: Option<Instant>,
    held_back: u64,
}

impl Pause {
    /// `None` when the line is to be kept back, else how many were since the last one.
    fn turn(&mut self, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| now < next) {
            self.held_back += 1;
            return None;
        }
        self.next = Some(now + SILENCE);
        Some(std::mem::take(&mut self.held_back))
    }
}

/// As the mark `often` of a line, for causes that are told apart by more than the place in the source.
#[derive(Debug)]
pub struct Throttle {
    target: &'static str,
    pause: Pause,
}

impl Throttle {
    /// For lines of one cause, logged under a module path.
    #[must_use]
    pub fn new(target: &'static str) -> Throttle {
        Throttle { target, pause: Pause::default() }
    }

    /// Writes a warning, unless one was written shortly before.
    pub fn warn(&mut self, text: fmt::Arguments<'_>) {
        match self.pause.turn(Instant::now()) {
            None => {}
            Some(0) => log::warn!(target: self.target, "{text}"),
            Some(more) => log::warn!(target: self.target, "{text} (and {more} like it before)"),
        }
    }
}

/// What clients have sent, as the log shows it: in ASCII, and not more than the first hundred bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

/// Bytes of a value that the log shows at most.
const SHOWN_BYTES: usize = 100;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(SHOWN_BYTES) {
            Some((start, [_, ..])) => write!(f, "{}... ({} bytes)", start.escape_ascii(), self.0.len()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
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
    fn a_line_may_have_a_level_that_the_crate_lacks() {
        let shown = |own: i32, level| {
            let key_values = [(LEVEL, own)];
            let args = format_args!("hello");
            let record =
                Record::builder().level(level).target("it").key_values(&key_values).args(args).build();
            (level_of(&record), Line(&record).to_string())
        };
        assert_eq!(shown(-3, Level::Error), (-3, "ALERT:it: hello".to_owned()));
        assert_eq!(shown(-2, Level::Error), (-2, "CRITICAL:it: hello".to_owned()));
        assert_eq!(shown(2, Level::Info), (2, "NOTICE:it: hello".to_owned()));
    }

    #[test]
    fn a_throttle_lets_one_through_and_counts_the_rest() {
        let mut throttle = Throttle::new("test");
        for _ in 0..5 {
            throttle.warn(format_args!("again"));
        }
        assert_eq!(throttle.pause.held_back, 4);
        assert_eq!(throttle.pause.turn(Instant::now() + SILENCE), Some(4));
        assert_eq!(throttle.pause.held_back, 0);
    }

    fn logger() -> Logger {
        Logger {
            own_level: AtomicI32::new(level::DEBUG),
            stderr: env_logger::Builder::new().build(),
            syslog: OnceLock::new(),
            segment: OnceLock::new(),
            often: Mutex::default(),
        }
    }

    #[test]
    fn a_line_with_the_mark_is_written_once_by_its_place() {
        let logger = logger();
        let turn = |line, marked: bool| {
            let mark = [(OFTEN, true)];
            let mut record = Record::builder();
            record.file_static(Some("a.rs")).line(Some(line));
            if marked {
                record.key_values(&mark);
            }
            logger.turn(&record.build())
        };
        assert_eq!([turn(1, false), turn(1, false)], [Some(0); 2]);
        assert_eq!(
            [turn(1, true), turn(1, true), turn(2, true), turn(1, true)],
            [Some(0), None, Some(0), None]
        );
        let held_back: Vec<_> =
            logger.often.lock().unwrap().iter().map(|often| often.pause.held_back).collect();
        assert_eq!(held_back, [2, 0]);
    }

    #[test]
    fn the_mark_and_place_of_a_line_reach_the_log() {
        struct Look;
        impl Log for Look {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }
            fn log(&self, record: &Record<'_>) {
                assert!(record.key_values().get(OFTEN.into()).is_some());
                assert!(record.file_static().is_some_and(|file| file.ends_with("logging.rs")));
                assert!(record.line().is_some());
                assert_eq!(record.args().to_string(), "again and again");
            }
            fn flush(&self) {}
        }
        log::warn!(logger: Look, often = true; "again and {}", "again");
    }

    #[test]
    fn what_clients_sent_is_shown_in_part() {
        assert_eq!(Shown(b"a\n\"").to_string(), "a\\n\\\"");
        assert_eq!(Shown(&[b'x'; 100]).to_string(), "x".repeat(100));
        assert_eq!(Shown(&[b'x'; 60_000]).to_string(), "x".repeat(100) + "... (60000 bytes)");
    }
}
