//! Memory for C modules: blocks of any size, at one address in all processes.
//!
//! The region is a row of blocks without gaps, each with a header of two words before it: its size, whose lowest bit
//! says that it is in use, and a mark. Taking and giving back a block is one store each, so a process that dies
//! anywhere leaves the row whole; blocks side by side that are free become one when somebody looks for room. Looking
//! for room takes the first block that is large enough, from where the last one was found: with many thousands of blocks
//! it takes long, and all who need memory wait for it. Never persisted. C: mem/f_malloc.c.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::keyed::lock;
use super::region::Region;

/// Where the lock is.
const LOCK: usize = 0;

/// Where the number of bytes in use is.
const USED: usize = 128;

/// Where the search begins next time.
const ROVER: usize = 136;

/// Where the first block's header is.
const FIRST: usize = 192;

/// Bytes of a header. Blocks are multiples of it, so that all are aligned for every type of C.
const HEADER_BYTES: usize = 16;

/// The bit of a header's size that says that the block is in use.
const IN_USE: u64 = 1;

/// The mark of a block in use, mixed with its place.
const MARK: u64 = 0x6f70_656e_7369_7073;

/// The memory. See the module's text.
#[derive(Debug)]
pub struct Contiguous {
    region: Region,
}

/// Holds the lock.
struct Locked<'a>(&'a Contiguous);

impl Contiguous {
    /// Makes it, of so many bytes. It lives as long as the process. Before the first fork.
    ///
    /// # Errors
    /// When the system has no such memory to give.
    pub fn create(bytes: usize) -> io::Result<&'static Contiguous> {
        let bytes = bytes.max(4096) / HEADER_BYTES * HEADER_BYTES;
        let region = Region::anonymous(bytes)?;
        lock::make(&region, LOCK);
        region.wide(ROVER).store(FIRST as u64, Relaxed);
        region.wide(FIRST).store((bytes - FIRST) as u64, Relaxed);
        Ok(Box::leak(Box::new(Contiguous { region })))
    }

    /// A block of at least so many bytes, not set to zero; `None` when there is no room.
    pub fn allocate(&self, bytes: usize) -> Option<NonNull<u8>> {
        let needed = bytes.max(1).checked_add(HEADER_BYTES)?.checked_next_multiple_of(HEADER_BYTES)?;
        let locked = self.lock();
        let header = locked.take(needed)?;
        let place = self.region.place(header + HEADER_BYTES, bytes);
        NonNull::new(place)
    }

    /// Gives a block back. False, and nothing is done, when there is no block in use.
    #[must_use]
    pub fn release(&self, block: NonNull<u8>) -> bool {
        let locked = self.lock();
        let Some(header) = self.header_of(block) else { return false };
        let size = self.size(header);
        // The one store that gives it back. Without the mark, but in use, it could never be given back again.
        self.region.wide(header).store(size, Release);
        self.region.wide(header + 8).store(0, Relaxed);
        locked.0.region.wide(USED).fetch_sub(size, Relaxed);
        true
    }

    /// How many bytes fit in a block; `None` when there is no block in use.
    #[must_use]
    pub fn capacity(&self, block: NonNull<u8>) -> Option<usize> {
        let header = self.header_of(block)?;
        Some(usize::try_from(self.size(header)).ok()? - HEADER_BYTES)
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.region.len() as u64
    }

    /// Bytes in use, with headers.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        FIRST as u64 + self.region.wide(USED).load(Relaxed)
    }

    /// The header of a block in use.
    fn header_of(&self, block: NonNull<u8>) -> Option<usize> {
        let start = self.region.place(0, 0).addr();
        let header = block.addr().get().checked_sub(start)?.checked_sub(HEADER_BYTES)?;
        let is_inside = header >= FIRST && header < self.region.len() && header.is_multiple_of(HEADER_BYTES);
        let is_block = is_inside
            && self.region.wide(header).load(Acquire) & IN_USE != 0
            && self.region.wide(header + 8).load(Relaxed) == MARK ^ header as u64;
        is_block.then_some(header)
    }

    fn size(&self, header: usize) -> u64 {
        self.region.wide(header).load(Relaxed) & !IN_USE
    }

    /// A free block's size, or that of one in use; `None` when a module has written over the header.
    fn block(&self, header: usize) -> Option<(usize, bool)> {
        let word = self.region.wide(header).load(Relaxed);
        let size = usize::try_from(word & !IN_USE).ok()?;
        let is_whole =
            size >= HEADER_BYTES && size.is_multiple_of(HEADER_BYTES) && size <= self.region.len() - header;
        is_whole.then_some((size, word & IN_USE == 0))
    }

    fn lock(&self) -> Locked<'_> {
        match lock::take(&self.region, LOCK) {
            Ok(lock::Got::Clean) => {}
            Ok(lock::Got::OwnerDied) => {
                self.mend();
                lock::settle(&self.region, LOCK);
            }
            Err(error) => damaged(error),
        }
        Locked(self)
    }

    /// What a dead holder may have left behind: the row is whole, but not what is known about it.
    fn mend(&self) {
        self.region.wide(ROVER).store(FIRST as u64, Relaxed);
        let mut used = 0;
        let mut at = FIRST;
        while at < self.region.len() {
            let Some((size, is_free)) = self.block(at) else { break };
            used += if is_free { 0 } else { size as u64 };
            at += size;
        }
        self.region.wide(USED).store(used, Relaxed);
    }
}

#[expect(clippy::panic, reason = "a broken invariant: the lock was made by `create`, and nobody destroys it")]
fn damaged(error: i32) -> ! {
    let error = io::Error::from_raw_os_error(error);
    panic!(
        "the lock of the C modules' memory is whole, or its owner is dead, but it cannot be taken: {error}"
    )
}

impl Locked<'_> {
    /// The header of a block that was just taken, of that size with its header.
    fn take(&self, needed: usize) -> Option<usize> {
        let region = &self.0.region;
        let rover = usize::try_from(region.wide(ROVER).load(Relaxed)).ok()?.clamp(FIRST, region.len());
        let header = self.find(rover, region.len(), needed).or_else(|| self.find(FIRST, rover, needed))?;
        let (size, _) = self.0.block(header)?;
        let taken = if size - needed > HEADER_BYTES { needed } else { size };
        if taken < size {
            // Nobody gets here before the block in front of it ends here.
            region.wide(header + taken).store((size - taken) as u64, Relaxed);
        }
        region.wide(header + 8).store(MARK ^ header as u64, Relaxed);
        region.wide(header).store(taken as u64 | IN_USE, Release);
        region.wide(USED).fetch_add(taken as u64, Relaxed);
        let next = if header + taken < region.len() { header + taken } else { FIRST };
        region.wide(ROVER).store(next as u64, Relaxed);
        Some(header)
    }

    /// The first free block that is large enough and begins from `start` to before `end`; makes one of those side by
    /// side.
    fn find(&self, start: usize, end: usize, needed: usize) -> Option<usize> {
        let memory = self.0;
        let mut at = start;
        while at < end {
            let Some((mut size, is_free)) = memory.block(at) else {
                log::error!("shm_malloc: a module has written past the end of its memory");
                return None;
            };
            if is_free {
                while let Some(next) = Some(at + size).filter(|next| *next < memory.region.len())
                    && let Some((more, true)) = memory.block(next)
                {
                    size += more;
                }
                memory.region.wide(at).store(size as u64, Relaxed);
                let rover = memory.region.wide(ROVER).load(Relaxed);
                if (at as u64..(at + size) as u64).contains(&rover) {
                    memory.region.wide(ROVER).store(at as u64, Relaxed);
                }
                if size >= needed {
                    return Some(at);
                }
            }
            at += size;
        }
        None
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        lock::give_back(&self.0.region, LOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_apart_aligned_and_used_again() {
        let memory = Contiguous::create(1 << 16).unwrap();
        let blocks: Vec<_> = (1..100).map(|size| (memory.allocate(size).unwrap(), size)).collect();
        let mut places: Vec<_> = blocks.iter().map(|(block, size)| (block.addr().get(), *size)).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
        assert!(places.iter().all(|(place, _)| place.is_multiple_of(16)));
        assert!(memory.allocate(60_000).is_none() && memory.allocate(usize::MAX).is_none());
        assert!(blocks.iter().rev().all(|(block, _)| memory.release(*block)));
        assert_eq!(memory.used_bytes(), FIRST as u64);
        let all = memory.allocate((1 << 16) - FIRST - HEADER_BYTES).unwrap();
        assert_eq!(memory.capacity(all), Some((1 << 16) - FIRST - HEADER_BYTES));
        assert!(memory.allocate(1).is_none());
        assert!(memory.release(all) && memory.allocate(1).is_some());
    }

    #[test]
    fn what_is_no_block_is_not_given_back() {
        let memory = Contiguous::create(1 << 16).unwrap();
        let block = memory.allocate(100).unwrap();
        let inside = memory.region.place(FIRST + 2 * HEADER_BYTES, 1);
        assert!(!memory.release(NonNull::new(inside).unwrap()));
        assert!(!memory.release(NonNull::from(&mut 0_u8)));
        assert!(memory.release(block) && !memory.release(block));
    }

    #[test]
    fn a_walk_among_many_blocks_ends_with_all_free() {
        let memory = Contiguous::create(1 << 20).unwrap();
        let mut held = Vec::new();
        let mut random = 1_u32;
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = (random >> 20) as usize;
            if random & 0x10 == 0 {
                held.extend(memory.allocate(size));
            } else if !held.is_empty() {
                let at = size % held.len();
                assert!(memory.release(held.swap_remove(at)));
            }
        }
        assert!(held.iter().all(|block| memory.release(*block)));
        memory.mend();
        assert_eq!(memory.used_bytes(), FIRST as u64);
        assert!(memory.allocate((1 << 20) - FIRST - HEADER_BYTES).is_some());
    }
}
