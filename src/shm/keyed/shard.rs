//! What is done to one shard, with its lock held.
//!
//! An entry's first chunk holds its header and the beginning of key and value, which follow each other through
//! the chain:
//!
//! ```text
//! first chunk   link  next  hash  key length  value length  weight  expires  space  checksum  data (88 bytes)
//! others        -     next  data (120 bytes)
//! ```

use std::sync::atomic::{AtomicU32, Ordering};

use super::copies::{Copies, Room, Row};
use super::layout::{CHUNK_BYTES, Layout, shard_of};
use super::lock::{self, Got};
use super::pages::Pages;
use super::sizes::{self, MAX_CHUNKS};
use super::{Full, NEVER, Space, checksum};
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
/// Of all that does not change while the entry lives.
const CHECKSUM: usize = 36;
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

impl Content<'_> {
    /// The sum that tells damage, under a key of that hash.
    fn checksum(&self, hash: u64) -> u32 {
        checksum::of([hash, self.expires, self.weight.into()], self.value)
    }
}

/// Whether an entry is counted in or out.
#[derive(Clone, Copy, Debug)]
enum Change {
    Comes,
    Goes,
}

/// An entry, and the link that leads to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'s> {
    link: &'s AtomicU32,
    pub(super) entry: u32,
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
            shard.recover(|_, _| true);
            lock::make_consistent(region, layout, index);
        }
        shard
    }

    /// Whether a bucket is empty, seen without the lock.
    pub(super) fn bucket_is_empty(region: &Region, layout: &Layout, index: usize, bucket: usize) -> bool {
        region.cell(layout.bucket(index, bucket)).load(Ordering::Relaxed) == 0
    }

    /// Stores an entry in the place of the one that was found for its key, if there was one.
    ///
    /// In the end as many chunks are free as the largest entry takes. So what takes no more chunks than the one that it
    /// replaces needs nothing of the pool, and is never refused.
    pub(super) fn put(
        &self,
        key: Key<'_>,
        found: Option<Found<'_>>,
        content: Content<'_>,
    ) -> Result<(), Full> {
        let pages = self.pages(key.space);
        let needed = chunks_for(key.bytes.len() + content.value.len());
        let needed = u32::try_from(needed).ok().filter(|&needed| needed <= MAX_CHUNKS).ok_or(Full)?;
        found.into_iter().for_each(|found| pages.prefetch(found.entry));
        let freed = found.map_or(0, |found| self.chunks(found.entry));
        let provided = if needed <= freed { needed } else { needed - freed + pages.spare(needed) };
        if !pages.provide(provided) {
            return Err(Full);
        }
        let entry = self.build(key, content)?;
        let (link, next) = match found {
            Some(Found { link, entry: old }) => (link, self.link(old).load(Ordering::Relaxed)),
            None => {
                let bucket = self.bucket(key.hash);
                (bucket, bucket.load(Ordering::Relaxed))
            }
        };
        self.link(entry).store(next, Ordering::Release);
        link.store(entry, Ordering::Release); // the commit
        self.account(entry, key.space, Change::Comes);
        if let Some(found) = found {
            self.discard(found.entry);
        }
        Ok(())
    }

    /// Removes an entry.
    pub(super) fn remove(&self, found: Found<'_>) {
        found.link.store(self.link(found.entry).load(Ordering::Relaxed), Ordering::Release); // the commit
        self.discard(found.entry);
    }

    /// Copies all entries of a space in a bucket that have not expired.
    ///
    /// # Errors
    /// The room that this takes, when there is too little.
    pub(super) fn copy_bucket(
        &self,
        space: Space,
        bucket: usize,
        now: u64,
        copies: &mut Copies,
    ) -> Result<(), Room> {
        copies.clear();
        let wanted = |entry: &u32| self.space(*entry) == Some(space) && !self.is_expired(*entry, now);
        let entries = || self.entries(bucket).map(|found| found.entry).filter(wanted);
        let room = entries().fold(Room::default(), |room, entry| Room {
            entries: room.entries + 1,
            bytes: room.bytes + self.bytes(entry),
        });
        if !copies.fits(room) {
            return Err(room);
        }
        entries().for_each(|entry| self.copy(entry, copies));
        Ok(())
    }

    /// Removes the first entry of a space in a bucket that has expired, and copies it. False when there is none.
    ///
    /// # Errors
    /// The room that the copy takes, when there is too little; nothing was removed.
    pub(super) fn remove_expired(
        &self,
        space: Space,
        bucket: usize,
        now: u64,
        copies: &mut Copies,
    ) -> Result<bool, Room> {
        copies.clear();
        let is_over =
            |found: &Found<'_>| self.space(found.entry) == Some(space) && self.is_expired(found.entry, now);
        let Some(found) = self.entries(bucket).find(is_over) else { return Ok(false) };
        let room = Room { entries: 1, bytes: self.bytes(found.entry) };
        if !copies.fits(room) {
            return Err(room);
        }
        self.copy(found.entry, copies);
        self.remove(found);
        Ok(true)
    }

    /// Finds a key's entry.
    pub(super) fn find(&self, key: Key<'_>) -> Option<Found<'s>> {
        self.entries(self.layout.bucket_of(key.hash)).find(|&Found { entry, .. }| {
            self.field(entry, HASH).load(Ordering::Relaxed) == mark_of(key.hash)
                && self.length(entry, KEY_LENGTH) == key.bytes.len()
                && self.space(entry) == Some(key.space)
                && self.key_is(entry, key.bytes)
        })
    }

    /// The entries of a bucket.
    fn entries(&self, bucket: usize) -> impl Iterator<Item = Found<'s>> + use<'s> {
        let (region, layout) = (self.region, self.layout);
        let mut link = region.cell(layout.bucket(self.index, bucket));
        std::iter::from_fn(move || {
            let found = Found { link, entry: link.load(Ordering::Acquire) };
            if found.entry == 0 {
                return None;
            }
            link = region.cell(layout.chunk(found.entry) + LINK);
            Some(found)
        })
    }

    /// Builds an entry in chunks that nothing reaches.
    fn build(&self, key: Key<'_>, content: Content<'_>) -> Result<u32, Full> {
        let pages = self.pages(key.space);
        let lengths = (u32::try_from(key.bytes.len()), u32::try_from(content.value.len()));
        let (Ok(key_length), Ok(value_length)) = lengths else { return Err(Full) };
        let first = pages.take().ok_or(Full)?;
        for (field, content) in [
            (NEXT, 0),
            (HASH, mark_of(key.hash)),
            (KEY_LENGTH, key_length),
            (VALUE_LENGTH, value_length),
            (WEIGHT, content.weight),
            (SPACE, key.space as u32),
            (CHECKSUM, content.checksum(key.hash)),
        ] {
            self.field(first, field).store(content, Ordering::Relaxed);
        }
        self.region.wide(self.layout.chunk(first) + EXPIRES).store(content.expires, Ordering::Relaxed);
        let (mut chunk, mut at) = (first, FIRST_DATA);
        for part in [key.bytes, content.value] {
            let mut rest = part;
            while !rest.is_empty() {
                if at == CHUNK_BYTES {
                    let Some(next) = pages.take() else {
                        self.free_chain(first, key.space);
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

    /// Counts an entry out that nothing reaches any more, and frees it.
    fn discard(&self, entry: u32) {
        // What is of no space was cut out before.
        let Some(space) = self.space(entry) else { return };
        self.account(entry, space, Change::Goes);
        self.free_chain(entry, space);
    }

    fn free_chain(&self, first: u32, space: Space) {
        let pages = self.pages(space);
        let mut chunk = first;
        while chunk != 0 {
            let next = self.field(chunk, NEXT).load(Ordering::Relaxed);
            pages.give(chunk);
            chunk = next;
        }
        pages.shrink();
    }

    /// Counts an entry in or out. The counts wrap, so adding the two's complement subtracts.
    fn account(&self, entry: u32, space: Space, change: Change) {
        let set = Layout::set(self.index, space);
        let add = |cell: usize, amount: u32| {
            let cell = self.region.cell(cell);
            let sum = cell.load(Ordering::Relaxed).wrapping_add(match change {
                Change::Comes => amount,
                Change::Goes => amount.wrapping_neg(),
            });
            cell.store(sum, Ordering::Release);
            sum
        };
        add(self.layout.entries_cell(set), 1);
        add(self.layout.weight_cell(set), self.weight(entry));
        if let Some(class) = sizes::class_of(self.chunks(entry)) {
            let count = add(self.layout.class_cell(set, class), 1);
            let classes = self.region.wide(self.layout.classes_cell(set));
            let bit = sizes::bit_of(Some(class));
            let others = classes.load(Ordering::Relaxed) & !bit;
            classes.store(if count == 0 { others } else { others | bit }, Ordering::Release);
        }
    }

    /// Adds an entry to copies that have room for it.
    fn copy(&self, entry: u32, copies: &mut Copies) {
        let row = Row {
            key_length: self.length(entry, KEY_LENGTH),
            value_length: self.length(entry, VALUE_LENGTH),
            expires: self.expires(entry),
            weight: self.weight(entry),
        };
        copies.push(row, |bytes| self.copy_bytes(entry, 0, row.key_length + row.value_length, bytes));
    }

    /// Copies an entry's value in place of what `value` holds.
    ///
    /// # Errors
    /// The bytes that this takes, when there is not room for so many.
    pub(super) fn copy_value(&self, entry: u32, value: &mut Vec<u8>) -> Result<(), usize> {
        value.clear();
        let (start, length) = (self.length(entry, KEY_LENGTH), self.length(entry, VALUE_LENGTH));
        if length > value.capacity() {
            return Err(length);
        }
        self.copy_bytes(entry, start, length, value);
        Ok(())
    }

    /// Whether an entry is what was stored, and where its key belongs. `hash` is the hash of a key.
    pub(super) fn is_true(&self, bucket: usize, entry: u32, hash: impl Fn(Space, &[u8]) -> u64) -> bool {
        let Some(space) = self.space(entry) else { return false };
        let mut bytes = Vec::new();
        self.copy_bytes(entry, 0, self.bytes(entry), &mut bytes);
        let (key, value) = bytes.split_at(self.length(entry, KEY_LENGTH));
        let hash = hash(space, key);
        let content = Content { value, expires: self.expires(entry), weight: self.weight(entry) };
        (shard_of(hash), self.layout.bucket_of(hash)) == (self.index, bucket)
            && self.field(entry, HASH).load(Ordering::Relaxed) == mark_of(hash)
            && self.field(entry, CHECKSUM).load(Ordering::Relaxed) == content.checksum(hash)
    }

    fn copy_bytes(&self, entry: u32, start: usize, length: usize, to: &mut Vec<u8>) {
        self.pieces(entry, start, length, |offset, length| {
            self.region.copy_out(offset, length, to);
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

    /// Bytes of an entry's key and value.
    fn bytes(&self, entry: u32) -> usize {
        self.length(entry, KEY_LENGTH) + self.length(entry, VALUE_LENGTH)
    }

    /// Chunks that an entry's lengths ask for.
    pub(super) fn chunks(&self, entry: u32) -> u32 {
        u32::try_from(chunks_for(self.bytes(entry))).unwrap_or(u32::MAX)
    }

    pub(super) fn is_expired(&self, entry: u32, now: u64) -> bool {
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

    /// The shard's pages for a space.
    pub(super) fn pages(&self, space: Space) -> Pages<'s> {
        Pages { region: self.region, layout: self.layout, set: Layout::set(self.index, space) }
    }

    /// The space of the pages that a chunk lies in; `None` when it lies in none of this shard's.
    pub(super) fn space_of_page(&self, chunk: u32) -> Option<Space> {
        Space::ALL.into_iter().find(|&space| self.pages(space).owns(chunk))
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
