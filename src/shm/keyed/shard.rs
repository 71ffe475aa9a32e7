//! What is done to one shard, with its lock held.
//!
//! An entry's first chunk holds its header and the beginning of key and value, which follow each other through
//! the chain:
//!
//! ```text
//! first chunk   link  next  hash  key length  value length  weight  expires  space  data (88 bytes)
//! others        -     next  data (120 bytes)
//! ```

use std::sync::atomic::{AtomicU32, Ordering};

use super::layout::{CHUNK_BYTES, Layout, RESERVE_PAGES, SPARE_CHUNKS};
use super::lock::{self, Got};
use super::pages::Pages;
use super::{Entry, Full, NEVER, Space};
use crate::shm::region::Region;

/// Fields of a chunk, as offsets from its start.
const LINK: usize = 0;
const NEXT: usize = 4;
const HASH: usize = 8;
const KEY_LENGTH: usize = 12;
const VALUE_LENGTH: usize = 16;
const WEIGHT: usize = 20;
const EXPIRES: usize = 24;
const SPACE: usize = 32;
const FIRST_DATA: usize = 40;
const OTHER_DATA: usize = 8;

/// A key, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) space: Space,
    pub(super) bytes: &'a [u8],
    pub(super) hash: u64,
}

/// What is stored under a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub(super) value: &'a [u8],
    pub(super) expires: u64,
    pub(super) weight: u32,
}

/// A shard whose lock is held until this is dropped.
#[derive(Debug)]
pub(super) struct Shard<'s> {
    pub(super) region: &'s Region,
    pub(super) layout: Layout,
    pub(super) index: usize,
}

impl Drop for Shard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The shard may be half changed: whoever takes the lock of a dead owner makes it whole.
            std::process::abort();
        }
        lock::release(self.region, &self.layout, self.index);
    }
}

impl<'s> Shard<'s> {
    /// Takes the lock of a shard, and makes the shard whole when the last holder died with it.
    pub(super) fn lock(region: &'s Region, layout: &Layout, index: usize) -> Shard<'s> {
        let got = lock::acquire(region, layout, index);
        let shard = Shard { region, layout: *layout, index };
        if got == Got::OwnerDied {
            shard.recover();
            lock::make_consistent(region, layout, index);
        }
        shard
    }

    /// Whether a bucket is empty, seen without the lock.
    pub(super) fn bucket_is_empty(region: &Region, layout: &Layout, index: usize, bucket: usize) -> bool {
        region.cell(layout.bucket(index, bucket)).load(Ordering::Relaxed) == 0
    }

    pub(super) fn get(&self, key: Key<'_>, now: u64, value: &mut Vec<u8>) -> bool {
        value.clear();
        let Some((_, entry)) = self.find(key) else { return false };
        if self.is_expired(entry, now) {
            return false;
        }
        self.copy_value(entry, value);
        true
    }

    pub(super) fn put(&self, key: Key<'_>, content: Content<'_>) -> Result<(), Full> {
        let found = self.find(key);
        // A replacement may use what inserts leave over: it gives back as much as it takes, or nearly so.
        let keep = if found.is_some() { 0 } else { RESERVE_PAGES };
        let needed = u32::try_from(chunks_for(key.bytes.len() + content.value.len())).map_err(|_| Full)?;
        if found.is_none() && !self.pages().provide(needed.saturating_add(SPARE_CHUNKS), keep) {
            return Err(Full);
        }
        let entry = self.build(key, content, keep)?;
        let (link, old) = found.unwrap_or_else(|| (self.bucket(key.hash), 0));
        let next = if old == 0 {
            link.load(Ordering::Relaxed)
        } else {
            self.field(old, LINK).load(Ordering::Relaxed)
        };
        self.field(entry, LINK).store(next, Ordering::Release);
        link.store(entry, Ordering::Release); // the commit
        self.account(key.space, 1, content.weight);
        if old != 0 {
            self.discard(old);
        }
        Ok(())
    }

    pub(super) fn remove(&self, key: Key<'_>) -> bool {
        let Some((link, entry)) = self.find(key) else { return false };
        self.unlink(link, entry);
        true
    }

    /// Copies all entries of a space in a bucket that have not expired.
    pub(super) fn copy_bucket(&self, space: Space, bucket: usize, now: u64, entries: &mut Vec<Entry>) {
        entries.clear();
        let mut entry = self.region.cell(self.layout.bucket(self.index, bucket)).load(Ordering::Acquire);
        while entry != 0 {
            if self.space(entry) == Some(space) && !self.is_expired(entry, now) {
                entries.push(self.copy(entry));
            }
            entry = self.field(entry, LINK).load(Ordering::Relaxed);
        }
    }

    /// Removes the first entry of a space in a bucket that has expired, and gives a copy of it.
    pub(super) fn remove_expired(&self, space: Space, bucket: usize, now: u64) -> Option<Entry> {
        let mut link = self.region.cell(self.layout.bucket(self.index, bucket));
        loop {
            let entry = link.load(Ordering::Acquire);
            if entry == 0 {
                return None;
            }
            if self.space(entry) == Some(space) && self.is_expired(entry, now) {
                let copy = self.copy(entry);
                self.unlink(link, entry);
                return Some(copy);
            }
            link = self.field(entry, LINK);
        }
    }

    /// The link that leads to a key's entry, and the entry.
    fn find(&self, key: Key<'_>) -> Option<(&'s AtomicU32, u32)> {
        let mut link = self.bucket(key.hash);
        loop {
            let entry = link.load(Ordering::Acquire);
            if entry == 0 {
                return None;
            }
            let same = self.field(entry, HASH).load(Ordering::Relaxed) == mark_of(key.hash)
                && self.length(entry, KEY_LENGTH) == key.bytes.len()
                && self.space(entry) == Some(key.space)
                && self.key_is(entry, key.bytes);
            if same {
                return Some((link, entry));
            }
            link = self.field(entry, LINK);
        }
    }

    /// Builds an entry in chunks that nothing reaches.
    fn build(&self, key: Key<'_>, content: Content<'_>, keep: u32) -> Result<u32, Full> {
        let pages = self.pages();
        let lengths = (u32::try_from(key.bytes.len()), u32::try_from(content.value.len()));
        let (Ok(key_length), Ok(value_length)) = lengths else { return Err(Full) };
        let first = pages.take(keep).ok_or(Full)?;
        for (field, content) in [
            (NEXT, 0),
            (HASH, mark_of(key.hash)),
            (KEY_LENGTH, key_length),
            (VALUE_LENGTH, value_length),
            (WEIGHT, content.weight),
            (SPACE, key.space as u32),
        ] {
            self.field(first, field).store(content, Ordering::Relaxed);
        }
        self.region.wide(self.layout.chunk(first) + EXPIRES).store(content.expires, Ordering::Relaxed);
        let (mut chunk, mut at) = (first, FIRST_DATA);
        for part in [key.bytes, content.value] {
            let mut rest = part;
            while !rest.is_empty() {
                if at == CHUNK_BYTES {
                    let Some(next) = pages.take(keep) else {
                        self.free_chain(first);
                        return Err(Full);
                    };
                    self.field(next, NEXT).store(0, Ordering::Relaxed);
                    self.field(chunk, NEXT).store(next, Ordering::Relaxed);
                    (chunk, at) = (next, OTHER_DATA);
                }
                let (now, later) = rest.split_at(rest.len().min(CHUNK_BYTES - at));
                self.region.copy_in(self.layout.chunk(chunk) + at, now);
                at += now.len();
                rest = later;
            }
        }
        Ok(first)
    }

    fn unlink(&self, link: &AtomicU32, entry: u32) {
        link.store(self.field(entry, LINK).load(Ordering::Relaxed), Ordering::Release); // the commit
        self.discard(entry);
    }

    /// Counts an entry out that nothing reaches any more, and frees it.
    fn discard(&self, entry: u32) {
        if let Some(space) = self.space(entry) {
            let weight = self.field(entry, WEIGHT).load(Ordering::Relaxed);
            self.account(space, u32::MAX, weight.wrapping_neg());
        }
        self.free_chain(entry);
    }

    fn free_chain(&self, first: u32) {
        let pages = self.pages();
        let mut chunk = first;
        while chunk != 0 {
            let next = self.field(chunk, NEXT).load(Ordering::Relaxed);
            pages.give(chunk);
            chunk = next;
        }
    }

    /// Adds to the counts of a space; they wrap, so adding the two's complement subtracts.
    fn account(&self, space: Space, entries: u32, weight: u32) {
        for (cell, change) in [
            (self.layout.entries_cell(self.index, space), entries),
            (self.layout.weight_cell(self.index, space), weight),
        ] {
            let cell = self.region.cell(cell);
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(change), Ordering::Release);
        }
    }

    pub(super) fn copy(&self, entry: u32) -> Entry {
        let mut key = Vec::new();
        let mut value = Vec::new();
        self.pieces(entry, 0, self.length(entry, KEY_LENGTH), |offset, length| {
            self.region.copy_out(offset, length, &mut key);
            true
        });
        self.copy_value(entry, &mut value);
        let expires = self.expires(entry);
        Entry { key, value, expires, weight: self.field(entry, WEIGHT).load(Ordering::Relaxed) }
    }

    fn copy_value(&self, entry: u32, value: &mut Vec<u8>) {
        let (start, length) = (self.length(entry, KEY_LENGTH), self.length(entry, VALUE_LENGTH));
        self.pieces(entry, start, length, |offset, length| {
            self.region.copy_out(offset, length, value);
            true
        });
    }

    fn key_is(&self, entry: u32, key: &[u8]) -> bool {
        let mut rest = key;
        self.pieces(entry, 0, key.len(), |offset, length| {
            let (now, later) = rest.split_at(length);
            rest = later;
            self.region.equals(offset, now)
        })
    }

    /// Walks `length` bytes of an entry's data from `start` on, piece by piece, while `each` says true.
    fn pieces(
        &self,
        entry: u32,
        start: usize,
        length: usize,
        mut each: impl FnMut(usize, usize) -> bool,
    ) -> bool {
        let (mut chunk, mut data) = (entry, FIRST_DATA);
        let (mut skip, mut left) = (start, length);
        while left > 0 {
            let room = CHUNK_BYTES - data;
            if skip < room {
                let now = left.min(room - skip);
                if !each(self.layout.chunk(chunk) + data + skip, now) {
                    return false;
                }
                left -= now;
                skip = 0;
            } else {
                skip -= room;
            }
            chunk = self.field(chunk, NEXT).load(Ordering::Relaxed);
            data = OTHER_DATA;
        }
        true
    }

    /// Chunks that an entry's lengths ask for.
    pub(super) fn chunks_needed(&self, entry: u32) -> usize {
        chunks_for(self.length(entry, KEY_LENGTH) + self.length(entry, VALUE_LENGTH))
    }

    fn is_expired(&self, entry: u32, now: u64) -> bool {
        let expires = self.expires(entry);
        expires != NEVER && expires <= now
    }

    fn expires(&self, entry: u32) -> u64 {
        self.region.wide(self.layout.chunk(entry) + EXPIRES).load(Ordering::Relaxed)
    }

    /// What an entry is for; `None` when its space is not one.
    pub(super) fn space(&self, entry: u32) -> Option<Space> {
        Space::ALL.get(self.field(entry, SPACE).load(Ordering::Relaxed) as usize).copied()
    }

    pub(super) fn weight(&self, entry: u32) -> u32 {
        self.field(entry, WEIGHT).load(Ordering::Relaxed)
    }

    fn length(&self, entry: u32, field: usize) -> usize {
        self.field(entry, field).load(Ordering::Relaxed) as usize
    }

    /// The link of an entry to the next one of its bucket.
    pub(super) fn link(&self, entry: u32) -> &'s AtomicU32 {
        self.field(entry, LINK)
    }

    /// The chunk after this one in a chain, 0 at the end.
    pub(super) fn next(&self, chunk: u32) -> u32 {
        self.field(chunk, NEXT).load(Ordering::Relaxed)
    }

    fn bucket(&self, hash: u64) -> &'s AtomicU32 {
        self.region.cell(self.layout.bucket(self.index, self.layout.bucket_of(hash)))
    }

    fn field(&self, chunk: u32, field: usize) -> &'s AtomicU32 {
        self.region.cell(self.layout.chunk(chunk) + field)
    }

    pub(super) fn pages(&self) -> Pages<'s> {
        Pages { region: self.region, layout: self.layout, shard: self.index }
    }
}

/// Chunks that an entry of so many bytes takes.
fn chunks_for(bytes: usize) -> usize {
    1 + bytes.saturating_sub(CHUNK_BYTES - FIRST_DATA).div_ceil(CHUNK_BYTES - OTHER_DATA)
}

/// The part of a hash that is kept in an entry: not the bits that chose shard and bucket.
fn mark_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}
