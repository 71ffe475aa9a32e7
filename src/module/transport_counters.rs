//! Counts requests and replies of an MI transport, in the statistics group `mi`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::service::{OpenError, Process};
use crate::mi::Statistic;

/// The group of the statistics of all MI transports.
const GROUP: &str = "mi";

/// An event that transports count. Each transport counts those in its table of [`CounterName`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportCounter {
    /// A connection was accepted.
    Connections,
    /// A request was received; over HTTP, it was answered.
    Requests,
    /// A request was answered with an error.
    Errors,
    /// A reply was kept because its client had no room for it.
    ParkedReplies,
    /// A client did not read its reply in time, or did not finish its request.
    Timeouts,
    /// A reply was dropped because its client was gone, could not be reached, or left earlier replies unread.
    DroppedReplies,
    /// A reply was dropped because clients left too many bytes unread.
    UnreadDrops,
    /// A datagram that holds no request was dropped.
    Ignored,
}

/// The number of kinds of counters.
const KINDS: usize = TransportCounter::Ignored as usize + 1;

/// A counter of a transport and the name of its statistic, without the group.
pub type CounterName = (TransportCounter, &'static str);

/// The cells that a worker process counts in. No other process writes to them.
#[derive(Clone, Copy, Debug)]
pub struct TransportCounters {
    /// By [`TransportCounter`]; `None` for those that the transport does not count.
    cells: [Option<&'static AtomicU64>; KINDS],
}

impl TransportCounters {
    /// The rows for the table of a transport's module.
    #[must_use]
    pub const fn statistics<const N: usize>(names: [CounterName; N]) -> [Statistic; N] {
        let mut rows = [const { Statistic::counter(GROUP, "") }; N];
        let mut at = 0;
        while at < N {
            rows[at].name = names[at].1;
            at += 1;
        }
        rows
    }

    /// Finds the cells of a process.
    ///
    /// # Errors
    /// When the statistics of the module do not have one of `names`.
    pub fn find(process: &Process<'_>, names: &[CounterName]) -> Result<TransportCounters, OpenError> {
        let mut cells = [None; KINDS];
        for &(counter, name) in names {
            let cell = process.counter(GROUP, name);
            cells[counter as usize] = Some(cell.ok_or(format!("statistic {GROUP}:{name} is missing"))?);
        }
        Ok(TransportCounters { cells })
    }

    /// Adds one to a counter.
    pub fn count(&self, counter: TransportCounter) {
        let cell = self.cells[counter as usize];
        debug_assert!(cell.is_some(), "{counter:?} is not in the transport's table");
        if let Some(cell) = cell {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }
}
