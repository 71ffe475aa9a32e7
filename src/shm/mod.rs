//! The shared-memory segment: what the workers have in common.
//!
//! The attendant makes it before the first fork and every process maps it at the same address. It is never a
//! `&mut [u8]`: all of it is reached as atomics at checked offsets, so a process that dies anywhere leaves
//! each single value whole. Laid out as
//!
//! ```text
//! 0          Header     magic, layout version, sizes, log level, start time
//! 4096       Slot × processes                     one per line of `ps`, never moves
//!            counter row × processes              one cell per statistic, written by that process alone
//!            keyed state, to the end          see keyed/mod.rs
//! ```
//!
//! Every value of the hot part is one atomic without a lock: reading it costs a load.
#![expect(unsafe_code, reason = "typed views of a shared mapping")]

mod hot;
pub mod keyed;

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

pub use hot::{Header, PrivateMemory, Slot, SlotState};

/// Smallest segment that `-m` may ask for, in bytes.
pub const MIN_BYTES: u64 = 2 << 20;

/// Where the slots begin: one page after the header.
const SLOTS_OFFSET: usize = 4096;

/// Types that may lie in the segment: atomics and arrays of them, valid for any bytes, free of padding that
/// matters and of pointers.
///
/// # Safety
/// Every bit pattern must be a value, and every change must go through an atomic.
unsafe trait Shared {}

// SAFETY: an atomic integer; every bit pattern is a value.
unsafe impl Shared for AtomicU32 {}
// SAFETY: an atomic integer; every bit pattern is a value.
unsafe impl Shared for AtomicU64 {}
// SAFETY: consists of atomic integers only, see hot.rs.
unsafe impl Shared for Header {}
// SAFETY: consists of atomic integers only, see hot.rs.
unsafe impl Shared for Slot {}

/// Why a segment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The memory asked for does not hold the hot part.
    #[error(
        "shared memory: {asked} bytes asked for, but {processes} processes and {counters} statistics need {needed}; give -m {megabytes} or more"
    )]
    TooSmall {
        /// By `-m`, in bytes.
        asked: u64,
        /// Slots.
        processes: usize,
        /// Cells of a row.
        counters: usize,
        /// In bytes.
        needed: u64,
        /// What would do.
        megabytes: u64,
    },
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
    map: MmapRaw,
    processes: usize,
    counters: usize,
    keyed: keyed::Layout,
}

impl Segment {
    /// Makes a segment of `bytes` bytes with room for so many processes and statistics, all zero.
    ///
    /// It lives as long as the process: everything refers to it.
    ///
    /// # Errors
    /// See [`SegmentError`].
    pub fn create(bytes: u64, processes: usize, counters: usize) -> Result<&'static Segment, SegmentError> {
        let hot = row_offset(processes, counters, processes);
        let refused = |source| SegmentError::System { bytes, source };
        let length = usize::try_from(bytes).map_err(|_| refused(io::ErrorKind::OutOfMemory.into()))?;
        let Some(keyed) = keyed::Layout::new(hot, length) else {
            let needed = hot as u64 + MIN_BYTES;
            let megabytes = needed.div_ceil(1 << 20);
            return Err(SegmentError::TooSmall { asked: bytes, processes, counters, needed, megabytes });
        };
        let file = crate::system::memory::anonymous_file(bytes).map_err(refused)?;
        let map = MmapOptions::new().len(length).map_raw(&file).map_err(refused)?;
        let segment: &'static Segment = Box::leak(Box::new(Segment { map, processes, counters, keyed }));
        segment.header().initialize(bytes, processes, counters);
        segment.table().initialize();
        Ok(segment)
    }

    /// Sizes, the log level, the start time.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.at(0)
    }

    /// The process table. A worker keeps its slot over its replacements.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        self.slice(SLOTS_OFFSET, self.processes)
    }

    /// The counters of one process: a cell per statistic, in the order of registration.
    #[must_use]
    pub fn row(&self, slot: usize) -> &[AtomicU64] {
        self.slice(row_offset(self.processes, self.counters, slot), self.counters)
    }

    /// A statistic's value: the sum over all processes.
    #[must_use]
    pub fn total(&self, counter: usize) -> u64 {
        (0..self.processes).fold(0_u64, |sum, slot| {
            sum.wrapping_add(self.row(slot).get(counter).map_or(0, |cell| cell.load(Ordering::Relaxed)))
        })
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
        keyed::Table::new(self, self.keyed)
    }

    /// The time by which entries of the table expire, in seconds of a clock that only goes forward.
    #[must_use]
    pub fn now(&self) -> u64 {
        crate::system::clock::boot_seconds()
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Bytes that no entry can take: the hot part, and the table's own.
    #[must_use]
    pub fn fixed_bytes(&self) -> u64 {
        (self.keyed.start() + self.keyed.overhead()) as u64
    }

    fn cell(&self, offset: usize) -> &AtomicU32 {
        self.at(offset)
    }

    fn wide(&self, offset: usize) -> &AtomicU64 {
        self.at(offset)
    }

    /// Copies bytes into the segment, where no other process looks until they are committed.
    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let place = self.place(offset, bytes.len());
        // SAFETY: the place holds that many bytes (checked by `place`), outside of any Rust object; the caller
        // holds the lock that keeps others away.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
    }

    /// Copies bytes out of the segment, behind what `to` holds.
    fn copy_out(&self, offset: usize, length: usize, to: &mut Vec<u8>) {
        let place = self.place(offset, length);
        // SAFETY: the place holds that many bytes (checked by `place`), and the caller holds the lock that keeps
        // others from changing them while this slice lives.
        to.extend_from_slice(unsafe { std::slice::from_raw_parts(place, length) });
    }

    /// Compares bytes in the segment with others.
    fn equals(&self, offset: usize, bytes: &[u8]) -> bool {
        let place = self.place(offset, bytes.len());
        // SAFETY: as in `copy_out`.
        unsafe { std::slice::from_raw_parts(place, bytes.len()) == bytes }
    }

    /// A place of `length` bytes.
    fn place(&self, offset: usize, length: usize) -> *mut u8 {
        let end = offset.checked_add(length);
        assert!(end.is_some_and(|end| end <= self.map.len()), "offset {offset} is outside the segment");
        // SAFETY: inside the mapping (asserted above).
        unsafe { self.map.as_mut_ptr().add(offset) }
    }

    fn at<T: Shared>(&self, offset: usize) -> &T {
        &self.slice(offset, 1)[0]
    }

    fn slice<T: Shared>(&self, offset: usize, length: usize) -> &[T] {
        let end = length.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        assert!(end.is_some_and(|end| end <= self.map.len()), "offset {offset} is outside the segment");
        assert!(offset.is_multiple_of(align_of::<T>()), "offset {offset} is not aligned");
        // SAFETY: the offset is inside the mapping (asserted above).
        let start = unsafe { self.map.as_ptr().add(offset) };
        // SAFETY: start to end lies in the mapping, which lives as long as `self`, is aligned for T (pages are,
        // and the offset was asserted); T is `Shared`, so any bytes are values and changes are atomic.
        unsafe { std::slice::from_raw_parts(start.cast(), length) }
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
        let SegmentError::TooSmall { needed, megabytes, .. } = error else { panic!("{error}") };
        assert!(needed > 8_000_000 && megabytes == needed.div_ceil(1 << 20), "{needed} {megabytes}");
        assert!(Segment::create(megabytes << 20, 1000, 1000).is_ok());
    }

    #[test]
    fn a_child_and_its_parent_see_the_same_memory() {
        // Two mappings of one file stand for two processes: the tests never fork.
        let file = crate::system::memory::anonymous_file(4096).unwrap();
        let one = MmapOptions::new().len(4096).map_raw(&file).unwrap();
        let two = MmapOptions::new().len(4096).map_raw(&file).unwrap();
        let keyed = keyed::Layout::new(0, 4 << 20).unwrap();
        let one = Segment { map: one, processes: 0, counters: 0, keyed };
        let two = Segment { map: two, processes: 0, counters: 0, keyed };
        one.at::<AtomicU64>(8).store(42, Ordering::Relaxed);
        assert_eq!(two.at::<AtomicU64>(8).load(Ordering::Relaxed), 42);
    }
}
