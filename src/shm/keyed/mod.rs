//! The keyed part of the segment: a table of byte strings that survives `kill -9` of whoever changes it.
//!
//! ```text
//! layout.rs    where things lie
//! lock.rs      a shard's lock, which survives its holder
//! pool.rs      pages that all shards share, and who owns them
//! pages.rs     a shard's pages of chunks
//! shard.rs     get, put, delete under the lock
//! recover.rs   mark and sweep after a dead holder
//! check.rs     all invariants, walked
//! ```
//!
//! # How it is built
//! Keys are spread over 64 shards by a hash with a random key, since they come from the network. A shard is a
//! lock and an array of buckets; a bucket is a list of entries; an entry is a chain of chunks of 128 bytes,
//! named by number, never by pointer. A shard takes chunks from pages of 16 KiB that it owns, and pages from a
//! pool that all shards share, and gives an empty page back: the memory is bounded by the segment and not by
//! what any shard once had.
//!
//! # Invariants
//! 1. What a bucket reaches is whole: every chain ends, holds what its entry says, and lies in pages that the
//!    shard owns; no chunk is reached twice.
//! 2. What no bucket reaches is garbage, whatever bytes it holds.
//! 3. Free lists, counts and page lists only say again what 1 and 2 imply, and can be made anew from them.
//!
//! # Why a kill cannot hurt
//! A change builds its entry in chunks that nothing reaches, then commits by **one release store** of a link: an
//! insert into its bucket, a replacement over the entry it replaces, a removal past the entry it removes. A kill
//! before the store leaves the old state and some garbage, after it the new state and some garbage (2). The
//! next owner of the lock learns that its holder died, and makes 3 again by mark and sweep before it does
//! anything else; if it dies doing so, the one after it starts over. Nothing else needs to be undone.
//!
//! # What a caller must know
//! Locks are held for bounded work without a system call, so a waiter waits for microseconds, or for one
//! recovery. Changes of one key are atomic; a listing is shard by shard and holds no lock while its caller works
//! on what was copied. Times are the caller's: an entry that expires at 7 is gone for one who says it is 8.

mod check;
mod layout;
mod lock;
mod pages;
mod pool;
mod recover;
mod shard;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering;

use siphasher::sip::SipHasher13;

use super::region::Region;
pub use check::{Census, Violation};
use layout::SHARDS;
pub(super) use layout::{CLOCK_NOTE, Layout, Stamp};
pub use lock::Holder;
use pool::Pool;
use shard::{Content, Key, Shard};

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
}

/// How many spaces there are.
const SPACES: usize = 4;

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

    /// Makes a table whole that processes which are all gone have left. Only while no other process uses the region.
    pub(super) fn recover(&self) {
        lock::initialize(self.region, &self.layout);
        self.pool().drop_strange_owners();
        for index in 0..SHARDS {
            Shard::lock(self.region, &self.layout, index).recover();
        }
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
        self.lock(key).put(key, Content { value, expires, weight })
    }

    /// Copies the value of a key into `value`, which is cleared first. False when there is none, or it has
    /// expired by `now`.
    pub fn get(&self, space: Space, key: &[u8], now: u64, value: &mut Vec<u8>) -> bool {
        let key = self.key(space, key);
        self.lock(key).get(key, now, value)
    }

    /// Stores a value, in place of the one before.
    ///
    /// A full table refuses new keys and still replaces values: what inserts leave free in each shard is enough for one
    /// of up to 1.9 KiB with its key, if it is not longer than the one before. Longer values, and those that grow, take
    /// from a reserve of 160 KiB that all shards share. What a replacement frees stays with its shard as long as
    /// something else lies in the same pages; so when long values are replaced in many shards of a full table the
    /// reserve ends, and replacements are refused too, until something is removed.
    ///
    /// # Errors
    /// [`Full`]; a key that exists keeps its value then.
    pub fn put(&self, space: Space, key: &[u8], value: &[u8], expires: u64) -> Result<(), Full> {
        let key = self.key(space, key);
        self.lock(key).put(key, Content { value, expires, weight: 1 })
    }

    /// Removes a key. False when there was none.
    #[expect(clippy::must_use_candidate, reason = "a caller need not care whether there was one")]
    pub fn remove(&self, space: Space, key: &[u8]) -> bool {
        let key = self.key(space, key);
        self.lock(key).remove(key)
    }

    /// Looks at a key's value and changes it in one step, under the lock: two processes that update one key at
    /// the same moment do so one after the other. `scratch` is room for the value; an expired one is absent.
    ///
    /// `change` must be quick, and make no system call.
    ///
    /// # Errors
    /// [`Full`]; the old value stays then.
    pub fn update<'v>(
        &self,
        space: Space,
        key: &[u8],
        now: u64,
        scratch: &'v mut Vec<u8>,
        change: impl FnOnce(Option<&'v [u8]>) -> Update<'v>,
    ) -> Result<(), Full> {
        let key = self.key(space, key);
        let shard = self.lock(key);
        let found = shard.get(key, now, scratch);
        match change(found.then_some(&scratch[..])) {
            Update::Keep => Ok(()),
            Update::Put { value, expires, weight } => shard.put(key, Content { value, expires, weight }),
            Update::Remove => {
                shard.remove(key);
                Ok(())
            }
        }
    }

    /// Shows all entries of a space that have not expired by `now`, bucket by bucket. No lock is held while `show`
    /// runs. Stops when `show` says false. An entry that nobody changes meanwhile is shown exactly once.
    pub fn list(&self, space: Space, now: u64, mut show: impl FnMut(&Entry) -> bool) {
        let mut entries = Vec::new();
        for (index, bucket) in self.buckets_in_use() {
            Shard::lock(self.region, &self.layout, index).copy_bucket(space, bucket, now, &mut entries);
            if !entries.iter().all(&mut show) {
                return;
            }
        }
    }

    /// The entries of a space that have not expired by `now`, some at a time, for whoever does other things between.
    /// No lock is held from one to the next; what is added or removed meanwhile may be among them or not.
    pub fn batches(&self, space: Space, now: u64) -> impl Iterator<Item = Vec<Entry>> + use<'s> {
        let Table { region, layout } = *self;
        self.buckets_in_use().map(move |(index, bucket)| {
            let mut entries = Vec::new();
            Shard::lock(region, &layout, index).copy_bucket(space, bucket, now, &mut entries);
            entries
        })
    }

    /// Removes the entries of a space that have expired by `now`; `told` learns of each.
    /// Returns how many. The lock is held for one entry at a time, and not while `told` runs.
    pub fn expire(&self, space: Space, now: u64, mut told: impl FnMut(&Entry)) -> usize {
        let mut removed = 0;
        for (index, bucket) in self.buckets_in_use() {
            loop {
                let found = Shard::lock(self.region, &self.layout, index).remove_expired(space, bucket, now);
                let Some(entry) = found else { break };
                told(&entry);
                removed += 1;
            }
        }
        removed
    }

    /// How many entries a space has, expired ones that nobody has removed yet included.
    #[must_use]
    pub fn count(&self, space: Space) -> u64 {
        self.sum(|index| self.layout.entries_cell(index, space))
    }

    /// The sum of the weights of a space's entries.
    #[must_use]
    pub fn weight(&self, space: Space) -> u64 {
        self.sum(|index| self.layout.weight_cell(index, space))
    }

    /// Bytes of chunks in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.sum(|index| self.layout.used_cell(index)) * layout::CHUNK_BYTES as u64
    }

    /// Pages that shards own; each may have free chunks.
    #[must_use]
    pub fn claimed_pages(&self) -> u64 {
        self.sum(|index| self.layout.owned_cell(index))
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
        let Table { region, layout } = *self;
        let all = (0..SHARDS)
            .flat_map(move |index| (0..layout.buckets_per_shard()).map(move |bucket| (index, bucket)));
        all.filter(move |&(index, bucket)| !Shard::bucket_is_empty(region, &layout, index, bucket))
    }

    fn sum(&self, cell: impl Fn(usize) -> usize) -> u64 {
        (0..SHARDS).map(|index| u64::from(self.region.cell(cell(index)).load(Ordering::Relaxed))).sum()
    }

    fn pool(&self) -> Pool<'s> {
        Pool { region: self.region, layout: self.layout }
    }

    fn lock(&self, key: Key<'_>) -> Shard<'s> {
        Shard::lock(self.region, &self.layout, layout::shard_of(key.hash))
    }

    fn key<'k>(&self, space: Space, bytes: &'k [u8]) -> Key<'k> {
        let [first, second] = layout::hash_key(self.region);
        let mut hasher = SipHasher13::new_with_keys(first, second);
        hasher.write_u8(space as u8);
        hasher.write(bytes);
        Key { space, bytes, hash: hasher.finish() }
    }
}
