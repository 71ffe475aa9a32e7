//! The keyed part of the segment: a table of byte strings that survives `kill -9` of whoever changes it.
//!
//! ```text
//! layout.rs    where things lie
//! lock.rs      a shard's lock, which survives its holder
//! pool.rs      pages that all shards share, and who owns them
//! pages.rs     a shard's pages of chunks, and how many it keeps free
//! sizes.rs     how large entries are, for that
//! shard.rs     find, put, remove under the lock
//! copies.rs    room for what is copied out under the lock
//! checksum.rs  the sum that tells damage
//! recover.rs   mark and sweep after a dead holder
//! check.rs     all invariants, walked
//! ```
//!
//! # How it is built
//! Keys are spread over 64 shards by a hash with a random key, since they come from the network. A shard is a
//! lock and an array of buckets; a bucket is a list of entries; an entry is a chain of chunks of 128 bytes,
//! named by number, never by pointer. A shard takes chunks from pages of 16 KiB that it owns, a set of them for each
//! space, and pages from a pool that all share, and gives an empty page back: the memory is bounded by the segment and
//! not by what any shard once had.
//!
//! # Invariants
//! 1. What a bucket reaches is whole: every chain ends, holds what its entry says, and lies in pages that the
//!    shard owns for the entry's space; no chunk is reached twice.
//! 2. What no bucket reaches is garbage, whatever bytes it holds.
//! 3. Free lists, counts and page lists only say again what 1 and 2 imply, and can be made anew from them.
//! 4. A shard with any entry of a space has as many free chunks for it as its largest one takes, and never less than 16.
//!
//! # Why a kill cannot hurt
//! A change builds its entry in chunks that nothing reaches, then commits by **one release store** of a link: an
//! insert into its bucket, a replacement over the entry it replaces, a removal past the entry it removes. A kill
//! before the store leaves the old state and some garbage, after it the new state and some garbage (2). The
//! next owner of the lock learns that its holder died, and makes 3 again by mark and sweep before it does
//! anything else; if it dies doing so, the one after it starts over. Nothing else needs to be undone.
//!
//! # When it is full
//! A removal, and a replacement that takes no more chunks than what it replaces, always work, for every entry: the new
//! one is built beside the old one, in the chunks of 4, and what it frees is spare in its turn. Only an insert, and a
//! replacement that takes more chunks, may be refused: they must leave 4 true. That costs a shard the room of its largest
//! entry and up to a quarter more; for entries of up to 1.9 KiB, 2 KiB.
//!
//! # Shares
//! A space may have a share of the pages, so that another one cannot fill the table for it. Beyond its own share a space
//! gets a page only while as many are free as the others lack to theirs. What nobody has taken of a share is in no use
//! meanwhile, so only spaces that somebody uses have one.
//!
//! # A damaged file
//! While no process works on it, a file may be damaged by the disk or a power loss. Each entry has a checksum, which
//! `recover` of a file compares, as well as whether the key belongs where it is found: what is not true is cut out, and
//! what is left is what was stored.
//!
//! # What a caller must know
//! Locks are held for bounded work without a system call, so a waiter waits for microseconds, or for one
//! recovery. Changes of one key are atomic; a listing is shard by shard and holds no lock while its caller works
//! on what was copied. Times are the caller's: an entry that expires at 7 is gone for one who says it is 8.

mod check;
mod checksum;
mod copies;
mod layout;
pub(super) mod lock;
mod pages;
mod pool;
mod recover;
mod shard;
mod sizes;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering;

use siphasher::sip::SipHasher13;

use super::region::Region;
pub use check::{Census, Violation};
use copies::Copies;
use layout::SHARDS;
pub(super) use layout::{CLOCK_NOTE, Layout};
pub use lock::Holder;
use pool::Pool;
use shard::{Content, Found, Key, Shard};

/// What an entry is for. Keys of different spaces do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Space {
    /// Values of the cache.
    Cache = 0,
    /// Addresses of record.
    Location = 1,
    /// Event subscriptions.
    Subscription = 2,
    /// Replies that somebody waits for.
    Pending = 3,
}

impl Space {
    /// All of them, by their number.
    pub const ALL: [Space; SPACES] = [Space::Cache, Space::Location, Space::Subscription, Space::Pending];

    /// The part of all pages that is the space's own, where it has a share: the one that this number divides them by.
    fn share(self) -> u32 {
        match self {
            Space::Cache | Space::Location => 4,
            Space::Subscription | Space::Pending => 16,
        }
    }
}

/// How many spaces there are.
const SPACES: usize = 4;

/// Buckets that a walk passes at most, empty ones, before its caller has a turn.
const WALK_BUCKETS: usize = 4096;

/// An entry that never expires.
pub const NEVER: u64 = 0;

/// The table has no room for what was to be stored. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shared memory is full; give a larger -m, or remove something")]
pub struct Full;

/// An entry as it is copied out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// When it expires, [`NEVER`] for never.
    pub expires: u64,
    /// What it counts for in [`Table::weight`].
    pub weight: u32,
}

/// What [`Table::update`] does with an entry.
#[derive(Debug)]
pub enum Update<'a> {
    /// Leave it as it is, or absent.
    Keep,
    /// Store this in its place.
    Put {
        /// The new value.
        value: &'a [u8],
        /// When it expires, [`NEVER`] for never.
        expires: u64,
        /// What it counts for.
        weight: u32,
    },
    /// Remove it.
    Remove,
}

/// The table of one region. Cheap to make and to copy.
#[derive(Clone, Copy, Debug)]
pub struct Table<'s> {
    region: &'s Region,
    layout: Layout,
}

impl<'s> Table<'s> {
    pub(in crate::shm) fn new(region: &'s Region, layout: Layout) -> Table<'s> {
        Table { region, layout }
    }

    /// Makes an empty table of zeroed memory. Only while no other process uses the region.
    pub(super) fn initialize(&self) {
        layout::set_hash_key(self.region, [0, 1].map(|half| RandomState::new().hash_one(half)));
        lock::initialize(self.region, &self.layout);
        self.pool().mark_all();
        self.layout.stamp(self.region);
    }

    /// Makes a table whole that processes which are all gone have left, and drops what was damaged since. Returns how
    /// many entries were. Only while no other process uses the region.
    pub(super) fn recover(&self) -> usize {
        lock::initialize(self.region, &self.layout);
        self.pool().drop_strange_owners();
        let hash = |space: Space, key: &[u8]| hash_of(self.region, space, key);
        let recover = |index| {
            let shard = Shard::lock(self.region, &self.layout, index);
            shard.recover(|bucket, entry| shard.is_true(bucket, entry, hash))
        };
        (0..SHARDS).map(recover).sum()
    }

    /// Removes all entries of a space.
    pub(super) fn clear(&self, space: Space) {
        self.list(space, 0, |entry| {
            self.remove(space, &entry.key);
            true
        });
    }

    /// Stores an entry as it was copied out of another table.
    pub(super) fn insert(&self, space: Space, entry: &Entry) -> Result<(), Full> {
        let key = self.key(space, &entry.key);
        let Entry { ref value, expires, weight, .. } = *entry;
        let shard = self.lock(key);
        shard.put(key, shard.find(key), Content { value, expires, weight })
    }

    /// Copies the value of a key into `value`, which is cleared first. False when there is none, or it has
    /// expired by `now`.
    pub fn get(&self, space: Space, key: &[u8], now: u64, value: &mut Vec<u8>) -> bool {
        let (_shard, _found, is_there) = self.read(self.key(space, key), now, value);
        is_there
    }

    /// Finds a key and copies its value. The lock is still held; false when there is no value, or it has expired.
    fn read(&self, key: Key<'_>, now: u64, value: &mut Vec<u8>) -> (Shard<'s>, Option<Found<'s>>, bool) {
        loop {
            let shard = self.lock(key);
            let found = shard.find(key);
            let live = found.filter(|found| !shard.is_expired(found.entry, now));
            let Some(Found { entry, .. }) = live else {
                value.clear();
                return (shard, found, false);
            };
            match shard.copy_value(entry, value) {
                Ok(()) => return (shard, found, true),
                Err(bytes) => {
                    drop(shard); // no allocation under the lock
                    value.reserve(bytes);
                }
            }
        }
    }

    /// Stores a value, in place of the one before.
    ///
    /// # Errors
    /// [`Full`]; a key that exists keeps its value then. A value that is not longer than the one before is never
    /// refused, and a key can always be removed. A value that is longer may be refused as a new key is, unless both take
    /// as many chunks: an entry takes one for 88 bytes of key and value, and one for each 120 more. A key and value of more
    /// than 120 MiB are always refused.
    pub fn put(&self, space: Space, key: &[u8], value: &[u8], expires: u64) -> Result<(), Full> {
        let key = self.key(space, key);
        let shard = self.lock(key);
        shard.put(key, shard.find(key), Content { value, expires, weight: 1 })
    }

    /// Removes a key. False when there was none.
    pub fn remove(&self, space: Space, key: &[u8]) -> bool {
        let key = self.key(space, key);
        let shard = self.lock(key);
        let found = shard.find(key);
        found.into_iter().for_each(|found| shard.remove(found));
        found.is_some()
    }

    /// Looks at a key's value and changes it in one step, under the lock: two processes that update one key at
    /// the same moment do so one after the other. `scratch` is room for the value; an expired one is absent.
    ///
    /// `change` must be quick, and make no system call.
    ///
    /// # Errors
    /// [`Full`]; the old value stays then. When it is refused: as for [`put`](Table::put).
    pub fn update<'v>(
        &self,
        space: Space,
        key: &[u8],
        now: u64,
        scratch: &'v mut Vec<u8>,
        change: impl FnOnce(Option<&'v [u8]>) -> Update<'v>,
    ) -> Result<(), Full> {
        let key = self.key(space, key);
        let (shard, found, is_there) = self.read(key, now, scratch);
        found.into_iter().for_each(|found| shard.pages(space).prefetch(found.entry));
        match change(is_there.then_some(&scratch[..])) {
            Update::Keep => {}
            Update::Put { value, expires, weight } => {
                return shard.put(key, found, Content { value, expires, weight });
            }
            Update::Remove => found.into_iter().for_each(|found| shard.remove(found)),
        }
        Ok(())
    }

    /// Shows all entries of a space that have not expired by `now`, bucket by bucket. No lock is held while `show`
    /// runs. Stops when `show` says false. An entry that nobody changes meanwhile is shown exactly once.
    pub fn list(&self, space: Space, now: u64, mut show: impl FnMut(&Entry) -> bool) {
        let mut copies = Copies::default();
        for (index, bucket) in self.buckets_in_use() {
            self.copy_bucket((index, bucket), space, now, &mut copies);
            if !copies.entries().all(|entry| show(&entry)) {
                return;
            }
        }
    }

    /// The entries of a space that have not expired by `now`, those of one bucket at a time, for whoever does other
    /// things between. No lock is held from one to the next; what is added or removed meanwhile may be among them or
    /// not. At least once in `WALK_BUCKETS` buckets there is an item, which may be without entries.
    pub fn batches(&self, space: Space, now: u64) -> impl Iterator<Item = Vec<Entry>> + use<'s> {
        let (table, mut copies) = (*self, Copies::default());
        self.walk().map(move |place| {
            let Some(place) = place else { return Vec::new() };
            table.copy_bucket(place, space, now, &mut copies);
            copies.entries().collect()
        })
    }

    /// Removes the entries of a space that have expired by `now`, those of one bucket at a time, and gives them. As for
    /// [`batches`](Table::batches).
    pub fn expired_batches(&self, space: Space, now: u64) -> impl Iterator<Item = Vec<Entry>> + use<'s> {
        let (table, mut copies) = (*self, Copies::default());
        self.walk().map(move |place| {
            let mut removed = Vec::new();
            let Some(place) = place else { return removed };
            table.expire_bucket(place, space, now, &mut copies, |entry| removed.push(entry.clone()));
            removed
        })
    }

    fn copy_bucket(&self, (index, bucket): (usize, usize), space: Space, now: u64, copies: &mut Copies) {
        loop {
            let copied =
                Shard::lock(self.region, &self.layout, index).copy_bucket(space, bucket, now, copies);
            match copied {
                Ok(()) => return,
                Err(room) => copies.make(room),
            }
        }
    }

    /// Removes the entries of a space that have expired by `now`; `told` learns of each.
    /// Returns how many. The lock is held for one entry at a time, and not while `told` runs.
    pub fn expire(&self, space: Space, now: u64, mut told: impl FnMut(&Entry)) -> usize {
        let mut copies = Copies::default();
        let places = self.buckets_in_use();
        places.map(|place| self.expire_bucket(place, space, now, &mut copies, &mut told)).sum()
    }

    fn expire_bucket(
        &self,
        (index, bucket): (usize, usize),
        space: Space,
        now: u64,
        copies: &mut Copies,
        mut told: impl FnMut(&Entry),
    ) -> usize {
        let mut removed = 0;
        loop {
            let shard = Shard::lock(self.region, &self.layout, index);
            let is_removed = shard.remove_expired(space, bucket, now, copies);
            drop(shard);
            match is_removed {
                Ok(true) => {
                    copies.entries().for_each(|entry| told(&entry));
                    removed += 1;
                }
                Ok(false) => return removed,
                Err(room) => copies.make(room),
            }
        }
    }

    /// How many entries a space has, expired ones that nobody has removed yet included.
    #[must_use]
    pub fn count(&self, space: Space) -> u64 {
        self.sum_of(space, |set| self.layout.entries_cell(set))
    }

    /// The sum of the weights of a space's entries.
    #[must_use]
    pub fn weight(&self, space: Space) -> u64 {
        self.sum_of(space, |set| self.layout.weight_cell(set))
    }

    /// Bytes of chunks in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.sum(|set| self.layout.used_cell(set)) * layout::CHUNK_BYTES as u64
    }

    /// Pages that shards own; each may have free chunks, and some be kept empty.
    #[must_use]
    pub fn claimed_pages(&self) -> u64 {
        self.sum(|set| self.layout.owned_cell(set))
    }

    /// Bytes of pages that shards own.
    #[must_use]
    pub fn claimed_bytes(&self) -> u64 {
        self.claimed_pages() * layout::PAGE_BYTES as u64
    }

    /// Who holds which lock now, for the attendant's watchdog: one who appears twice with the same turn, some
    /// time apart, has been stopped or is stuck.
    pub fn holders(&self) -> impl Iterator<Item = Holder> {
        (0..SHARDS).filter_map(|index| lock::holder(self.region, &self.layout, index))
    }

    /// Shard and number of each bucket that has an entry, seen without a lock.
    fn buckets_in_use(&self) -> impl Iterator<Item = (usize, usize)> + use<'s> {
        self.walk().flatten()
    }

    /// The same, with `None` after [`WALK_BUCKETS`] empty buckets at most.
    fn walk(&self) -> impl Iterator<Item = Option<(usize, usize)>> + use<'s> {
        let Table { region, layout } = *self;
        let (mut index, mut bucket) = (0, 0);
        std::iter::from_fn(move || {
            if bucket == layout.buckets_per_shard() {
                (index, bucket) = (index + 1, 0);
            }
            if index == SHARDS {
                return None;
            }
            let mut next = bucket..layout.buckets_per_shard().min(bucket + WALK_BUCKETS);
            let found = next.find(|&bucket| !Shard::bucket_is_empty(region, &layout, index, bucket));
            bucket = found.map_or(next.end, |bucket| bucket + 1);
            Some(found.map(|bucket| (index, bucket)))
        })
    }

    fn sum(&self, cell: impl Fn(usize) -> usize) -> u64 {
        Space::ALL.into_iter().map(|space| self.sum_of(space, &cell)).sum()
    }

    /// The sum of a cell of a space's sets.
    fn sum_of(&self, space: Space, cell: impl Fn(usize) -> usize) -> u64 {
        let value = |index| self.region.cell(cell(Layout::set(index, space))).load(Ordering::Relaxed);
        (0..SHARDS).map(|index| u64::from(value(index))).sum()
    }

    fn pool(&self) -> Pool<'s> {
        Pool { region: self.region, layout: self.layout }
    }

    /// Takes the lock of a key's shard, and lets the processor fetch the bucket meanwhile.
    fn lock(&self, key: Key<'_>) -> Shard<'s> {
        let index = layout::shard_of(key.hash);
        self.region.prefetch(self.layout.bucket(index, self.layout.bucket_of(key.hash)));
        Shard::lock(self.region, &self.layout, index)
    }

    fn key<'k>(&self, space: Space, bytes: &'k [u8]) -> Key<'k> {
        Key { space, bytes, hash: hash_of(self.region, space, bytes) }
    }
}

/// The hash that says where a key belongs.
fn hash_of(region: &Region, space: Space, key: &[u8]) -> u64 {
    let [first, second] = layout::hash_key(region);
    let mut hasher = SipHasher13::new_with_keys(first, second);
    hasher.write_u8(space as u8);
    hasher.write(key);
    hasher.finish()
}
