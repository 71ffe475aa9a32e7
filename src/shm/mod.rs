//! The shared-memory segment: what the workers have in common.
//!
//! The attendant makes it before the first fork and every process maps it at the same address. It is never a
//! `&mut [u8]`: all of it is reached as atomics at checked offsets, so a process that dies anywhere leaves
//! each single value whole. Laid out as
//!
//! ```text
//! 0          Header     size, log level, start time
//! 4096       Slot × processes                     one per line of `ps`, never moves
//!            counter row × processes              one cell per statistic, written by that process alone
//! ```
//!
//! and, mapped for itself since it may lie in a file, the keyed state (see keyed/mod.rs). Every value of the hot
//! part is one atomic without a lock: reading it costs a load. What a worker has read from a FIFO and not yet served
//! lies in a region of its own (read_ahead.rs), and so do replies that wait for their clients (parcels.rs), and what events
//! of several processes need for their order (backlogs.rs).

mod backlogs;
mod contiguous;
mod hot;
pub mod keyed;
mod parcels;
pub mod pending;
mod persist;
mod read_ahead;
mod region;
mod timeline;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use backlogs::Backlogs;
pub use backlogs::{Backlog, SocketHash};
pub use contiguous::Contiguous;
pub use hot::{Header, InHand, PrivateMemory, Slot, SlotState};
pub use parcels::{Parcel, Parcels};
pub use pending::{PendingRequests, ReplyInbox, UnsentReply};
pub use persist::PersistError;
pub use read_ahead::ReadAhead;
use region::Region;
use timeline::{Note, Timeline};

use crate::system::clock;

/// Smallest segment that `-m` may ask for, in bytes.
pub const MIN_BYTES: u64 = 2 << 20;

/// Largest segment, in bytes: chunks of 128 bytes, named by 32 bits.
pub const MAX_BYTES: u64 = 256 << 30;

/// Where the slots begin: one page after the header.
const SLOTS_OFFSET: usize = 4096;

/// Why a segment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The memory asked for does not hold the hot part.
    #[error(
        "shared memory: {asked} bytes asked for, but {processes} processes and {counters} statistics need more; give -m {megabytes} or more, or as much by restart_persistency_size if that is set"
    )]
    TooSmall {
        /// In bytes.
        asked: u64,
        /// Slots.
        processes: usize,
        /// Cells of a row.
        counters: usize,
        /// What would do.
        megabytes: usize,
    },
    /// The memory asked for is more than chunk numbers reach.
    #[error("shared memory: {asked} bytes asked for; give at most -m {}", MAX_BYTES >> 20)]
    TooLarge {
        /// By `-m`, in bytes.
        asked: u64,
    },
    /// The file that keeps the state.
    #[error(transparent)]
    Persist(#[from] PersistError),
    /// The system refused it.
    #[error("shared memory: cannot get {bytes} bytes: {source}; give a smaller -m, or free memory")]
    System {
        /// By `-m`.
        bytes: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// The segment, mapped. See the module's text.
#[derive(Debug)]
pub struct Segment {
    hot: Region,
    /// For which subscribers events wait in which process.
    backlogs: Backlogs,
    keyed: Region,
    layout: keyed::Layout,
    /// The same with the shares of spaces, once they are set.
    shared: OnceLock<keyed::Layout>,
    processes: usize,
    counters: usize,
    timeline: Timeline,
    /// The file that the keyed state lies in, if it is to survive a restart; locked as long as it is open.
    file: Option<File>,
    /// The slot of this process. Not shared: each process has its own copy.
    own_slot: AtomicUsize,
    /// The memory of C modules, if there are any.
    contiguous: OnceLock<&'static Contiguous>,
}

/// Keyed state that survives a restart.
#[derive(Clone, Copy, Debug)]
pub struct Persistent<'a> {
    /// The file it lies in.
    pub path: &'a Path,
    /// What is kept; entries of other spaces go at the start.
    pub spaces: &'a [keyed::Space],
    /// Who the server is going to be, where that is not the caller: the file may belong to that user.
    pub run_user: Option<u32>,
}

impl Segment {
    /// Makes a segment of `bytes` bytes with room for so many processes and statistics, all zero.
    ///
    /// It lives as long as the process: everything refers to it.
    ///
    /// # Errors
    /// See [`SegmentError`].
    pub fn create(bytes: u64, processes: usize, counters: usize) -> Result<&'static Segment, SegmentError> {
        let layout =
            Segment::measure(bytes, row_offset(processes, counters, processes), processes, counters)?;
        let refused = |source| SegmentError::System { bytes, source };
        let keyed = Region::anonymous(layout.bytes()).map_err(refused)?;
        keyed::Table::new(&keyed, layout).initialize();
        Segment::finish(bytes, processes, counters, keyed, layout, None)
    }

    /// As [`create`](Segment::create), with the keyed state in a file: what an earlier server has left there is
    /// found again. The file takes all of `bytes`, and the rest of the segment is beside it: its size does not depend on
    /// processes and statistics.
    ///
    /// # Errors
    /// See [`SegmentError`].
    pub fn restore(
        bytes: u64,
        processes: usize,
        counters: usize,
        persistent: Persistent<'_>,
    ) -> Result<&'static Segment, SegmentError> {
        let layout = Segment::measure(bytes, 0, processes, counters)?;
        let (file, keyed) = persist::open(persistent, layout)?;
        Segment::finish(bytes, processes, counters, keyed, layout, Some(file))
    }

    /// Lays out what `others` leave of so many bytes, in whole pages of the system.
    fn measure(
        bytes: u64,
        others: usize,
        processes: usize,
        counters: usize,
    ) -> Result<keyed::Layout, SegmentError> {
        let layout = |bytes: usize| keyed::Layout::new(bytes.saturating_sub(others) / 4096 * 4096);
        let asked = usize::try_from(bytes).ok().filter(|_| bytes <= MAX_BYTES);
        let asked = asked.ok_or(SegmentError::TooLarge { asked: bytes })?;
        layout(asked).ok_or_else(|| {
            let megabytes = (1..).find(|megabytes| layout(megabytes << 20).is_some()).unwrap_or(0);
            SegmentError::TooSmall { asked: bytes, processes, counters, megabytes }
        })
    }

    fn finish(
        bytes: u64,
        processes: usize,
        counters: usize,
        keyed: Region,
        layout: keyed::Layout,
        file: Option<File>,
    ) -> Result<&'static Segment, SegmentError> {
        let hot = row_offset(processes, counters, processes);
        let hot = Region::anonymous(hot).map_err(|source| SegmentError::System { bytes, source })?;
        let backlogs =
            Backlogs::create(processes).map_err(|source| SegmentError::System { bytes, source })?;
        let timeline = match file {
            Some(_) => Timeline::resume(Note::read(&keyed), clock::wall_seconds(), clock::boot_seconds()),
            None => Timeline::BOOT,
        };
        let own_slot = AtomicUsize::new(0);
        let contiguous = OnceLock::new();
        let segment = Segment {
            hot,
            backlogs,
            keyed,
            layout,
            shared: OnceLock::new(),
            processes,
            counters,
            timeline,
            file,
            own_slot,
            contiguous,
        };
        let segment: &'static Segment = Box::leak(Box::new(segment));
        segment.note_clocks();
        let beside = if segment.file.is_some() { segment.hot.len() as u64 } else { 0 };
        segment.header().initialize(bytes + beside);
        Ok(segment)
    }

    /// Sizes, the log level, the start time.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.hot.at(0)
    }

    /// The process table. A worker keeps its slot over its replacements.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        self.hot.slice(SLOTS_OFFSET, self.processes)
    }

    /// The counters of one process: a cell per statistic, in the order of registration.
    #[must_use]
    pub fn row(&self, slot: usize) -> &[AtomicU64] {
        self.hot.slice(row_offset(self.processes, self.counters, slot), self.counters)
    }

    /// A statistic's value: the sum over all processes.
    #[must_use]
    pub fn total(&self, counter: usize) -> u64 {
        (0..self.processes).fold(0_u64, |sum, slot| {
            sum.wrapping_add(self.row(slot).get(counter).map_or(0, |cell| cell.load(Ordering::Relaxed)))
        })
    }

    /// Says which slot is this process's, for the log.
    pub fn set_own_slot(&self, slot: usize) {
        self.own_slot.store(slot, Ordering::Relaxed);
    }

    /// This process's slot; 0 is the attendant's.
    #[must_use]
    pub fn own_slot(&self) -> usize {
        self.own_slot.load(Ordering::Relaxed)
    }

    /// The log level of this process.
    #[must_use]
    pub fn level(&self) -> i32 {
        let own = self.slots().get(self.own_slot()).and_then(Slot::level);
        own.unwrap_or_else(|| self.header().level())
    }

    /// Sets the log level of all processes at once; none keeps one of its own.
    pub fn set_level(&self, level: i32) {
        self.slots().iter().for_each(Slot::forget_level);
        self.header().set_level(level);
    }

    /// Sets a statistic back to zero in every process's row.
    pub fn reset(&self, counter: usize) {
        for slot in 0..self.processes {
            if let Some(cell) = self.row(slot).get(counter) {
                cell.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The keyed state.
    #[must_use]
    pub fn table(&self) -> keyed::Table<'_> {
        keyed::Table::new(&self.keyed, *self.shared.get().unwrap_or(&self.layout))
    }

    /// Gives each of these spaces a share of the keyed state that the others cannot take. Before the first fork; without it
    /// there are no shares.
    pub fn share(&self, spaces: &[keyed::Space]) {
        // The server does it once; a second call would be by a test.
        let _first = self.shared.set(self.layout.with_shares(spaces));
    }

    /// The time by which entries of the table expire, in seconds. While a server runs it only goes forward, as the
    /// boot clock does, also when the wall clock is set.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.timeline.now(clock::boot_seconds())
    }

    /// Notes in the file, if there is one, what a later server must know of the clocks. For the attendant, a few times
    /// in a second: a clock that is set after the last note is taken for time that has passed.
    pub fn note_clocks(&self) {
        if self.file.is_some() {
            let old = Note::read(&self.keyed);
            let new = self.timeline.note(old, clock::wall_seconds(), clock::boot_seconds());
            new.into_iter().for_each(|note| note.write(&self.keyed));
        }
    }

    /// Counts the memory of C modules with the segment's own. Before the first fork.
    pub fn count_in(&self, contiguous: &'static Contiguous) {
        // The server has one such memory; a second call would be by a test.
        let _first = self.contiguous.set(contiguous);
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.header().bytes() + self.contiguous.get().map_or(0, |memory| memory.bytes())
    }

    /// Bytes that C modules have in use.
    #[must_use]
    pub fn contiguous_bytes(&self) -> u64 {
        self.contiguous.get().map_or(0, |memory| memory.used_bytes())
    }

    /// Bytes that no entry can take: the hot part, and the table's own.
    #[must_use]
    pub fn fixed_bytes(&self) -> u64 {
        (self.hot.len() + self.layout.overhead()) as u64
    }
}

/// Offset of a process's counter row. Rows begin on a cache line, so that processes do not share one.
fn row_offset(processes: usize, counters: usize, slot: usize) -> usize {
    let row = (counters * size_of::<AtomicU64>()).next_multiple_of(64);
    SLOTS_OFFSET + processes * size_of::<Slot>() + slot * row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_apart_and_sum_up() {
        let segment = Segment::create(MIN_BYTES, 3, 5).unwrap();
        for slot in 0..3 {
            segment.row(slot)[4].fetch_add(10_u64.pow(u32::try_from(slot).unwrap()), Ordering::Relaxed);
        }
        assert_eq!(segment.total(4), 111);
        assert_eq!(segment.total(3), 0);
        segment.reset(4);
        assert_eq!(segment.total(4), 0);
        assert_eq!(segment.slots().len(), 3);
    }

    #[test]
    fn too_small_says_how_much_is_needed() {
        let error = Segment::create(MIN_BYTES, 1000, 1000).unwrap_err();
        let SegmentError::TooSmall { megabytes, .. } = error else { panic!("{error}") };
        assert!(Segment::create((megabytes as u64) << 20, 1000, 1000).is_ok());
        assert!(Segment::create((megabytes as u64 - 1) << 20, 1000, 1000).is_err());
        for bytes in [MAX_BYTES + 1, 1 << 50, u64::MAX] {
            assert!(matches!(Segment::create(bytes, 1, 1), Err(SegmentError::TooLarge { .. })), "{bytes}");
        }
    }
}
