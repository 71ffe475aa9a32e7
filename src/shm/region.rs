//! A mapping that processes share, and the typed views of it. The only place that turns offsets into references.
#![expect(unsafe_code, reason = "typed views of a shared mapping")]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};

use super::hot::{Header, Slot};

/// Types that may lie in the segment: atomics and arrays of them, valid for any bytes, free of padding that
/// matters and of pointers.
///
/// # Safety
/// Every bit pattern must be a value, and every change must go through an atomic.
pub(super) unsafe trait Shared {}

// SAFETY: an atomic integer; every bit pattern is a value.
unsafe impl Shared for AtomicU32 {}
// SAFETY: an atomic integer; every bit pattern is a value.
unsafe impl Shared for AtomicU64 {}
// SAFETY: consists of atomic integers only, see hot.rs.
unsafe impl Shared for Header {}
// SAFETY: consists of atomic integers only, see hot.rs.
unsafe impl Shared for Slot {}

/// Shared memory, mapped at the same address in all processes that are forked later.
#[derive(Debug)]
pub(super) struct Region {
    map: MmapRaw,
}

impl Region {
    /// Maps the first `bytes` bytes of a file, which must be that long.
    pub(super) fn of(file: &File, bytes: usize) -> io::Result<Region> {
        Ok(Region { map: MmapOptions::new().len(bytes).map_raw(file)? })
    }

    /// Memory of its own, all zero.
    pub(super) fn anonymous(bytes: usize) -> io::Result<Region> {
        Region::of(&crate::system::memory::anonymous_file(bytes as u64)?, bytes)
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Four bytes.
    pub(super) fn cell(&self, offset: usize) -> &AtomicU32 {
        self.at(offset)
    }

    /// Eight bytes.
    pub(super) fn wide(&self, offset: usize) -> &AtomicU64 {
        self.at(offset)
    }

    /// Copies bytes into the segment, where no other process looks until they are committed.
    pub(super) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let place = self.place(offset, bytes.len());
        // SAFETY: the place holds that many bytes (checked by `place`), outside of any Rust object; the caller
        // holds the lock that keeps others away.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
    }

    /// Makes bytes zero, where no other process looks.
    pub(super) fn zero(&self, offset: usize, length: usize) {
        let place = self.place(offset, length);
        // SAFETY: as in `copy_in`.
        unsafe { std::ptr::write_bytes(place, 0, length) };
    }

    /// Copies bytes out of the segment, behind what `to` holds.
    pub(super) fn copy_out(&self, offset: usize, length: usize, to: &mut Vec<u8>) {
        let place = self.place(offset, length);
        // SAFETY: the place holds that many bytes (checked by `place`), and the caller holds the lock that keeps
        // others from changing them while this slice lives.
        to.extend_from_slice(unsafe { std::slice::from_raw_parts(place, length) });
    }

    /// Compares bytes in the segment with others.
    pub(super) fn equals(&self, offset: usize, bytes: &[u8]) -> bool {
        let place = self.place(offset, bytes.len());
        // SAFETY: as in `copy_out`.
        unsafe { std::slice::from_raw_parts(place, bytes.len()) == bytes }
    }

    /// Lets the processor fetch what will soon be looked at. Changes nothing.
    pub(super) fn prefetch(&self, offset: usize) {
        let place = self.place(offset, 1);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint about an address in the mapping (asserted by `place`), which reads nothing.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _no_hint = place;
    }

    /// A place of `length` bytes.
    pub(super) fn place(&self, offset: usize, length: usize) -> *mut u8 {
        let end = offset.checked_add(length);
        assert!(end.is_some_and(|end| end <= self.map.len()), "offset {offset} is outside the region");
        // SAFETY: inside the mapping (asserted above).
        unsafe { self.map.as_mut_ptr().add(offset) }
    }

    /// A value of that type.
    pub(super) fn at<T: Shared>(&self, offset: usize) -> &T {
        &self.slice(offset, 1)[0]
    }

    /// So many values of that type, one after the other.
    pub(super) fn slice<T: Shared>(&self, offset: usize, length: usize) -> &[T] {
        let end = length.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        assert!(end.is_some_and(|end| end <= self.map.len()), "offset {offset} is outside the region");
        assert!(offset.is_multiple_of(align_of::<T>()), "offset {offset} is not aligned");
        // SAFETY: the offset is inside the mapping (asserted above).
        let start = unsafe { self.map.as_ptr().add(offset) };
        // SAFETY: start to end lies in the mapping, which lives as long as `self`, is aligned for T (pages are,
        // and the offset was asserted); T is `Shared`, so any bytes are values and changes are atomic.
        unsafe { std::slice::from_raw_parts(start.cast(), length) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_child_and_its_parent_see_the_same_memory() {
        // Two mappings of one file stand for two processes: the tests never fork.
        let file = crate::system::memory::anonymous_file(4096).unwrap();
        let (one, two) = (Region::of(&file, 4096).unwrap(), Region::of(&file, 4096).unwrap());
        one.wide(8).store(42, Ordering::Relaxed);
        assert_eq!(two.wide(8).load(Ordering::Relaxed), 42);
    }
}
