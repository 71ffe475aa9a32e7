//! How often lines of one cause are written, and how many were left out.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use log::Record;

/// The mark of a line that clients can cause as often as they like.
const OFTEN: &str = "often";

/// The key of what tells causes apart that have one place in the source: the name of a command, say.
const CAUSE: &str = "cause";

/// Most causes of a process that are told apart by more than their place.
const MAX_CAUSES: usize = 1024;

/// How many lines of one cause are written.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// One line in this time, on average.
    interval: Duration,
    /// At once, when there were none for a while.
    burst: u32,
}

/// Lines with the mark.
const RARELY: Rate = Rate { interval: Duration::from_secs(10), burst: 1 };

/// All other lines.
const USUALLY: Rate = Rate { interval: Duration::from_secs(1), burst: 10 };

/// What of one cause was written.
#[derive(Debug, Default)]
struct Limit {
    /// When the lines so far are paid for.
    paid_at: Option<Instant>,
    left_out: u64,
}

impl Limit {
    /// `None` when a line is to be left out, else how many were since the last one.
    fn turn(&mut self, rate: Rate, now: Instant) -> Option<u64> {
        let due = self.paid_at.map_or(now, |paid_at| paid_at.max(now));
        if due - now > rate.interval * (rate.burst - 1) {
            self.left_out += 1;
            return None;
        }
        self.paid_at = Some(due + rate.interval);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// A line's place in the source, and its cause where it names one.
type Cause = (&'static str, u32, Option<String>);

/// What of each cause was written by this process.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<Cause, Limit>);

impl Limits {
    /// Whether a line may be written now, and how many of its cause were left out: `None` for not.
    ///
    /// Without `usual` only lines with the mark are limited.
    pub(super) fn turn(&mut self, record: &Record<'_>, usual: bool, now: Instant) -> Option<u64> {
        let is_marked = record.key_values().get(OFTEN.into()).is_some();
        let Some((file, line)) = record.file_static().zip(record.line()) else { return Some(0) };
        if !is_marked && !usual {
            return Some(0);
        }
        let named = record.key_values().get(CAUSE.into()).filter(|_| self.0.len() < MAX_CAUSES);
        let cause = (file, line, named.map(|cause| cause.to_string()));
        self.0.entry(cause).or_default().turn(if is_marked { RARELY } else { USUALLY }, now)
    }
}

/// As the mark `often` of a line, for causes that are told apart by more than the place in the source.
#[derive(Debug)]
pub struct Throttle {
    target: &'static str,
    limit: Limit,
}

impl Throttle {
    /// For lines of one cause, logged under a module path.
    #[must_use]
    pub fn new(target: &'static str) -> Throttle {
        Throttle { target, limit: Limit::default() }
    }

    /// Writes a warning, unless one was written shortly before.
    pub fn warn(&mut self, text: fmt::Arguments<'_>) {
        if let Some(left_out) = self.limit.turn(RARELY, Instant::now()) {
            log::warn!(target: self.target, "{text}{}", LeftOut(left_out));
        }
    }
}

/// What a line says of those like it that were left out before.
pub(super) struct LeftOut(pub(super) u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 { write!(f, " (and {} like it before)", self.0) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_written_and_then_one_line_an_interval() {
        let (mut limit, begin) = (Limit::default(), Instant::now());
        let mut turn = |millis| limit.turn(USUALLY, begin + Duration::from_millis(millis));
        for _ in 0..10 {
            assert_eq!(turn(0), Some(0));
        }
        assert_eq!([turn(0), turn(999)], [None; 2]);
        assert_eq!([turn(1000), turn(1001)], [Some(2), None]);
        let hour = 3_600_000;
        assert_eq!(turn(hour), Some(1));
        for _ in 1..10 {
            assert_eq!(turn(hour), Some(0));
        }
        assert_eq!(turn(hour), None);
    }

    #[test]
    fn a_throttle_lets_one_through_and_counts_the_rest() {
        let mut throttle = Throttle::new("test");
        for _ in 0..5 {
            throttle.warn(format_args!("again"));
        }
        assert_eq!(throttle.limit.left_out, 4);
        assert_eq!(throttle.limit.turn(RARELY, Instant::now() + RARELY.interval), Some(4));
        assert_eq!(throttle.limit.left_out, 0);
    }

    /// Whether each of `count` lines is written.
    fn written(
        limits: &mut Limits,
        line: u32,
        key: Option<(&str, &str)>,
        usual: bool,
        count: usize,
    ) -> usize {
        let now = Instant::now();
        let record = |builder: &mut log::RecordBuilder<'_>, limits: &mut Limits| {
            let record = builder.file_static(Some("a.rs")).line(Some(line)).build();
            (0..count).filter_map(|_| limits.turn(&record, usual, now)).count()
        };
        match key {
            Some(key) => record(Record::builder().key_values(&[key]), limits),
            None => record(&mut Record::builder(), limits),
        }
    }

    #[test]
    fn causes_are_told_apart_by_place_and_name() {
        let mut limits = Limits::default();
        let often = Some((OFTEN, "true"));
        assert_eq!(written(&mut limits, 1, None, true, 50), 10);
        assert_eq!(written(&mut limits, 2, None, true, 50), 10);
        assert_eq!(written(&mut limits, 3, Some((CAUSE, "debug")), true, 50), 10);
        assert_eq!(written(&mut limits, 3, Some((CAUSE, "kill")), true, 50), 10);
        assert_eq!(written(&mut limits, 4, often, true, 50), 1);
        assert_eq!(written(&mut limits, 5, None, false, 50), 50);
        assert_eq!(written(&mut limits, 6, often, false, 50), 1);
    }

    #[test]
    fn names_of_causes_take_no_more_memory_than_their_limit() {
        let mut limits = Limits::default();
        for name in 0..2 * MAX_CAUSES {
            written(&mut limits, 1, Some((CAUSE, &name.to_string())), true, 1);
        }
        assert_eq!(limits.0.len(), MAX_CAUSES + 1);
    }
}
