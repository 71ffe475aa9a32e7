//! Where the keyed part's pieces lie in the region, all by offset.
//!
//! ```text
//! 0          control   magic, layout version, size, hash key and their sum, note of the clocks
//!            shards    64 × 128 bytes: lock, and how often it was taken
//!            sets      64 × 4 × 320 bytes: of a shard's pages for one space, counts and lists
//!            owned     4 bytes a set: how many pages it has
//!            owners    4 bytes a page: 0 free, else the set plus one
//!            groups    a bit for 64 pages: whether one of them may be free
//!            buckets   4 bytes each, the shards' one after the other
//!            pages     16 KiB each, to the end of the region
//! ```

use std::sync::atomic::Ordering;

use super::sizes::CLASSES;
use super::{SPACES, Space, checksum};
use crate::shm::region::Region;

/// Shards of the table.
pub(super) const SHARDS: usize = 64;

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = 128;

/// Chunks of a page; the first holds the page's own header.
pub(super) const PAGE_CHUNKS: u32 = 128;

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = PAGE_CHUNKS as usize * CHUNK_BYTES;

/// Pages of a group, see pool.rs.
pub(super) const GROUP_PAGES: u32 = 64;

/// Groups that have their bits in one word.
pub(super) const GROUPS_A_WORD: u32 = 32;

/// Bytes of a shard's header.
const SHARD_BYTES: usize = 128;

/// Sets of pages: one for each shard and space.
pub(super) const SETS: usize = SHARDS * SPACES;

/// Bytes of a set's header.
const SET_BYTES: usize = 320;

/// Bytes of the control block.
const CONTROL_BYTES: usize = 64;

/// Fewest pages: one for each shard, and what a value of 64 KiB takes with the room to replace it.
const MIN_PAGES: usize = SHARDS + 10;

/// Room for a `pthread_mutex_t`.
pub(super) const LOCK_BYTES: usize = 64;

/// Offsets and counts. Computed from the region's size alone, so every process computes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shm) struct Layout {
    bytes: usize,
    shards: usize,
    sets: usize,
    owned: usize,
    owners: usize,
    groups: usize,
    buckets: usize,
    bucket_count: usize,
    first_page: usize,
    /// How many pages there are.
    pub(super) pages: u32,
    /// Pages that each space can have, whatever the others take.
    pub(super) shares: [u32; SPACES],
}

/// Fields of the control block.
const MAGIC_CELL: usize = 0;
const VERSION_CELL: usize = 8;
const SIZE_CELL: usize = 16;
/// Two random halves.
const HASH_KEY_CELL: usize = 24;
/// Of size and hash key.
const SUM_CELL: usize = 40;

/// What the clocks said, see timeline.rs: two cells of eight bytes.
pub(in crate::shm) const CLOCK_NOTE: [usize; 2] = [48, 56];
const _: () = assert!(CLOCK_NOTE[1] + 8 <= CONTROL_BYTES, "the control block has room for its fields");

/// The random key of the hash.
pub(super) fn hash_key(region: &Region) -> [u64; 2] {
    [0, 8].map(|half| region.wide(HASH_KEY_CELL + half).load(Ordering::Relaxed))
}

/// Sets the random key of the hash.
pub(super) fn set_hash_key(region: &Region, key: [u64; 2]) {
    for (half, value) in [0, 8].into_iter().zip(key) {
        region.wide(HASH_KEY_CELL + half).store(value, Ordering::Relaxed);
    }
}

/// First eight bytes of a region that was made to the end.
const MAGIC: u64 = u64::from_le_bytes(*b"osips-kt");

/// Changes with every change of the layout.
const VERSION: u32 = 4;

/// Counts how often a shard's lock was taken, as an offset from its header. The lock comes first.
const TURN: usize = LOCK_BYTES;

/// Fields of a set's header, as offsets from its start; all but the counts of the classes lie on one cache line.
const PAGES_WITH_ROOM: usize = 0;
const USED: usize = 4;
const ENTRIES: usize = 8;
const WEIGHT: usize = 12;
const EMPTY_PAGES: usize = 16;
const CLASSES_IN_USE: usize = 24;
const IN_CLASS: usize = CLASSES_IN_USE + 8;
const _: () = assert!(CLASSES_IN_USE.is_multiple_of(8), "a field of eight bytes is aligned");
const _: () = assert!(IN_CLASS + 4 * CLASSES <= SET_BYTES, "a set's header has room for its fields");

impl Layout {
    /// Lays out so many bytes. `None` when they hold too few pages, or more than numbers reach.
    pub(in crate::shm) fn new(bytes: usize) -> Option<Layout> {
        let shards = CONTROL_BYTES;
        let sets = shards + SHARDS * SHARD_BYTES;
        let owned = sets + SETS * SET_BYTES;
        let owners = owned + SETS * 4;
        let most_pages = bytes / PAGE_BYTES;
        let groups = owners + most_pages * 4;
        let buckets =
            (groups + most_pages.div_ceil((GROUP_PAGES * GROUPS_A_WORD) as usize) * 4).next_multiple_of(64);
        // One bucket for four chunks: an entry has one or two as a rule.
        let bucket_count = (bytes / CHUNK_BYTES / 4).next_power_of_two().max(SHARDS);
        let first_page = (buckets + bucket_count * 4).next_multiple_of(CHUNK_BYTES);
        let pages = u32::try_from(bytes.checked_sub(first_page)? / PAGE_BYTES).ok()?;
        let shares = [0; SPACES];
        let layout = Layout {
            bytes,
            shards,
            sets,
            owned,
            owners,
            groups,
            buckets,
            bucket_count,
            first_page,
            pages,
            shares,
        };
        (pages as usize >= MIN_PAGES && u64::from(pages) * u64::from(PAGE_CHUNKS) < u64::from(u32::MAX))
            .then_some(layout)
    }

    /// How a region is laid out, of which the first page is given: `None` when it was not made to the end, is of another
    /// version, or something else, or when what everything else is found by is damaged.
    pub(in crate::shm) fn of(region: &Region) -> Option<Layout> {
        let magic = region.wide(MAGIC_CELL).load(Ordering::Acquire);
        let version = region.cell(VERSION_CELL).load(Ordering::Relaxed);
        let bytes = region.wide(SIZE_CELL).load(Ordering::Relaxed);
        let sum = region.wide(SUM_CELL).load(Ordering::Relaxed);
        if (magic, version, sum) != (MAGIC, VERSION, control_sum(bytes, hash_key(region))) {
            return None;
        }
        Layout::new(usize::try_from(bytes).ok()?)
    }

    /// The same, where each of these spaces has its share for itself; see [`Space::share`].
    pub(in crate::shm) fn with_shares(mut self, spaces: &[Space]) -> Layout {
        for &space in spaces {
            self.shares[space as usize] = self.pages / space.share();
        }
        self
    }

    /// Bytes of the region.
    pub(in crate::shm) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Marks a region as laid out in this way. The last thing to be done to a new one.
    pub(super) fn stamp(&self, region: &Region) {
        let sum = control_sum(self.bytes as u64, hash_key(region));
        region.wide(SUM_CELL).store(sum, Ordering::Relaxed);
        region.cell(VERSION_CELL).store(VERSION, Ordering::Relaxed);
        region.wide(SIZE_CELL).store(self.bytes as u64, Ordering::Relaxed);
        region.wide(MAGIC_CELL).store(MAGIC, Ordering::Release);
    }

    /// Bytes before the first page.
    pub(in crate::shm) fn overhead(&self) -> usize {
        self.first_page
    }

    /// A shard's header; its lock comes first.
    pub(super) fn shard(&self, index: usize) -> usize {
        self.shards + index * SHARD_BYTES
    }

    /// Counts how often the lock was taken.
    pub(super) fn turn_cell(&self, index: usize) -> usize {
        self.shard(index) + TURN
    }

    /// The number of a shard's set for a space.
    pub(super) fn set(index: usize, space: Space) -> usize {
        index * SPACES + space as usize
    }

    fn set_header(&self, set: usize) -> usize {
        self.sets + set * SET_BYTES
    }

    /// First of the set's pages that have a free chunk, plus one; 0 for none.
    pub(super) fn room_cell(&self, set: usize) -> usize {
        self.set_header(set) + PAGES_WITH_ROOM
    }

    /// First of the set's pages that are empty, plus one; 0 for none.
    pub(super) fn empty_cell(&self, set: usize) -> usize {
        self.set_header(set) + EMPTY_PAGES
    }

    /// A bit for each class of sizes that has an entry; eight bytes.
    pub(super) fn classes_cell(&self, set: usize) -> usize {
        self.set_header(set) + CLASSES_IN_USE
    }

    /// Entries of a class of sizes.
    pub(super) fn class_cell(&self, set: usize, class: usize) -> usize {
        self.set_header(set) + IN_CLASS + 4 * class
    }

    /// Chunks in use.
    pub(super) fn used_cell(&self, set: usize) -> usize {
        self.set_header(set) + USED
    }

    /// Pages owned. Those of all sets lie together, as whoever claims a page reads them all.
    pub(super) fn owned_cell(&self, set: usize) -> usize {
        self.owned + set * 4
    }

    /// Entries of a set.
    pub(super) fn entries_cell(&self, set: usize) -> usize {
        self.set_header(set) + ENTRIES
    }

    /// Sum of their weights.
    pub(super) fn weight_cell(&self, set: usize) -> usize {
        self.set_header(set) + WEIGHT
    }

    /// Buckets of each shard.
    pub(super) fn buckets_per_shard(&self) -> usize {
        self.bucket_count / SHARDS
    }

    /// A shard's bucket.
    pub(super) fn bucket(&self, index: usize, bucket: usize) -> usize {
        self.buckets + (index * self.buckets_per_shard() + bucket) * 4
    }

    /// The bucket of a hash within its shard.
    pub(super) fn bucket_of(&self, hash: u64) -> usize {
        usize::try_from(hash >> 6).unwrap_or(usize::MAX) & (self.buckets_per_shard() - 1)
    }

    /// Who owns a page.
    pub(super) fn owner(&self, page: u32) -> usize {
        self.owners + page as usize * 4
    }

    /// How many words the bits of the groups take.
    pub(super) fn group_words(&self) -> u32 {
        self.pages.div_ceil(GROUP_PAGES * GROUPS_A_WORD)
    }

    /// A word of bits of groups.
    pub(super) fn group_word(&self, word: u32) -> usize {
        self.groups + word as usize * 4
    }

    /// A chunk's offset.
    pub(super) fn chunk(&self, chunk: u32) -> usize {
        self.first_page + chunk as usize * CHUNK_BYTES
    }
}

fn control_sum(bytes: u64, [first, second]: [u64; 2]) -> u64 {
    [bytes, first, second].into_iter().fold(MAGIC, checksum::mix)
}

/// The shard of a hash.
pub(super) fn shard_of(hash: u64) -> usize {
    usize::from(hash.to_le_bytes()[0]) % SHARDS
}
