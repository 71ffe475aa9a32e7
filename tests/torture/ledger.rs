//! What each worker means to do and has done, in a second segment, where a kill of the worker does not take it away.
//!
//! Per key of a worker three cells: the change it intends, the last one acknowledged, the highest number ever used.
//! Per counter two: additions intended and acknowledged. Each cell has one writer.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use opensips_mi::shm::Segment;

/// Workers at a time.
pub(crate) const WORKERS: usize = 4;

/// Keys of each worker.
pub(crate) const KEYS: usize = 2000;

/// Counters that all workers add to.
pub(crate) const COUNTERS: usize = 16;

/// What workers count for the report, by the cell's place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    Puts,
    Gets,
    Removals,
    Updates,
    Verified,
    Refused,
    /// The longest that a call took, in microseconds; not a sum.
    Longest,
}

const FIGURES: usize = 7;
const COUNTED: usize = 3 * KEYS;
const FIGURED: usize = COUNTED + 2 * COUNTERS;
const CELLS: usize = FIGURED + FIGURES;

/// Bytes of the segment: the rows, and what a segment needs beside them.
const BYTES: u64 = 8 << 20;

/// The cells. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    segment: &'static Segment,
}

/// The three numbers of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) intended: &'static AtomicU64,
    pub(crate) acknowledged: &'static AtomicU64,
    pub(crate) highest: &'static AtomicU64,
}

impl Ledger {
    pub(crate) fn create() -> Result<Ledger, String> {
        let segment = Segment::create(BYTES, WORKERS + 1, CELLS).map_err(|error| error.to_string())?;
        Ok(Ledger { segment })
    }

    pub(crate) fn key(&self, worker: usize, index: usize) -> Key {
        let row = self.segment.row(worker);
        let [intended, acknowledged, highest] = [0, 1, 2].map(|part| &row[part * KEYS + index]);
        Key { intended, acknowledged, highest }
    }

    /// Additions of a worker to a counter: intended, acknowledged.
    pub(crate) fn additions(&self, worker: usize, counter: usize) -> [&'static AtomicU64; 2] {
        let row = self.segment.row(worker);
        [0, 1].map(|part| &row[COUNTED + part * COUNTERS + counter])
    }

    pub(crate) fn figure(&self, worker: usize, figure: Figure) -> &'static AtomicU64 {
        &self.segment.row(worker)[FIGURED + figure as usize]
    }

    pub(crate) fn count(&self, worker: usize, figure: Figure) {
        self.figure(worker, figure).fetch_add(1, SeqCst);
    }

    pub(crate) fn sum(&self, figure: Figure) -> u64 {
        (0..WORKERS).map(|worker| self.figure(worker, figure).load(SeqCst)).sum()
    }

    pub(crate) fn stop(&self, stop: bool) {
        self.segment.row(WORKERS)[0].store(u64::from(stop), SeqCst);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.segment.row(WORKERS)[0].load(SeqCst) != 0
    }
}
