//! A shard's pages of chunks for one space: claimed from the pool that all share, given back when empty.
//!
//! All functions are called with the shard's lock held; only the pool is contended. The first chunk of a page is its
//! header: how many chunks are in use, the list of free ones, the first that was never used, its neighbours in the
//! shard's list of pages with room, and a mark for each chunk that only `recover` uses.
//!
//! Such a set keeps as many chunks free as its largest entry takes, so that each entry can be written anew beside itself
//! however full the table is. Empty pages that it keeps for that are in a list of their own and are used last.
//!
//! A space has a share of all pages: a set of another space that is beyond its own share claims none of what is left of
//! it.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::layout::{Layout, PAGE_CHUNKS, SETS};
use super::pool::Pool;
use super::{SPACES, sizes};
use crate::shm::region::Region;

/// Fields of a page's header, as offsets from its start.
const USED: usize = 0;
const FREE: usize = 4;
const FRESH: usize = 8;
const NEXT: usize = 12;
const PREVIOUS: usize = 16;
const LISTED: usize = 20;
const MARKS: usize = 64;
const _: () =
    assert!(MARKS + PAGE_CHUNKS as usize / 8 <= super::layout::CHUNK_BYTES, "the marks fit the header");

/// The pages of one shard and space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'s> {
    pub(super) region: &'s Region,
    pub(super) layout: Layout,
    pub(super) set: usize,
}

impl<'s> Pages<'s> {
    /// Takes a chunk of those that [`provide`](Pages::provide) has seen to. `None` when there is none, which is damage.
    pub(super) fn take(&self) -> Option<u32> {
        let page = self.list_head().or_else(|| {
            let page = self.pop_empty()?;
            self.list(page);
            Some(page)
        })?;
        let (free, fresh) = (self.get(page, FREE), self.get(page, FRESH));
        let chunk = if free != 0 {
            self.set(page, FREE, self.next_free(free).load(Ordering::Relaxed));
            free
        } else {
            self.set(page, FRESH, fresh + 1);
            page * PAGE_CHUNKS + fresh
        };
        self.set(page, USED, self.get(page, USED) + 1);
        if self.get(page, FREE) == 0 && self.get(page, FRESH) == PAGE_CHUNKS {
            self.unlist(page);
        }
        self.add(self.layout.used_cell(self.set), 1);
        Some(chunk)
    }

    /// Lets the processor fetch what `give` of a chunk will look at.
    pub(super) fn prefetch(&self, chunk: u32) {
        self.region.prefetch(self.layout.chunk(chunk - chunk % PAGE_CHUNKS));
    }

    /// Gives a chunk back. The page may be empty then; [`shrink`](Pages::shrink) is called after the last one.
    pub(super) fn give(&self, chunk: u32) {
        let page = chunk / PAGE_CHUNKS;
        // After the commit that unlinked it: never to be seen before that.
        self.next_free(chunk).store(self.get(page, FREE), Ordering::Release);
        self.set(page, FREE, chunk);
        let used = self.get(page, USED).saturating_sub(1);
        self.set(page, USED, used);
        self.add(self.layout.used_cell(self.set), u32::MAX);
        if self.get(page, LISTED) == 0 {
            self.list(page);
        }
        if used == 0 {
            self.unlist(page);
            self.clear(page);
            self.push_empty(page);
        }
    }

    /// Gives empty pages back to the pool, but for what is spare.
    pub(super) fn shrink(&self) {
        let is_empty = self.region.cell(self.layout.used_cell(self.set)).load(Ordering::Relaxed) == 0;
        let spare = if is_empty { 0 } else { self.spare(0) };
        while self.free_chunks() >= spare + (PAGE_CHUNKS - 1)
            && let Some(page) = self.pop_empty()
        {
            self.pool().release(page);
            self.add(self.layout.owned_cell(self.set), u32::MAX);
        }
    }

    /// Chunks that must stay free so that each entry can be replaced by one that takes as many, also one of `chunks` that
    /// is to come.
    pub(super) fn spare(&self, chunks: u32) -> u32 {
        let classes = self.region.wide(self.layout.classes_cell(self.set)).load(Ordering::Relaxed);
        sizes::spare(classes | sizes::bit_of(sizes::class_of(chunks)))
    }

    /// Free chunks in the pages of the set.
    pub(super) fn free_chunks(&self) -> u32 {
        let owned = self.region.cell(self.layout.owned_cell(self.set)).load(Ordering::Relaxed);
        let used = self.region.cell(self.layout.used_cell(self.set)).load(Ordering::Relaxed);
        (owned * (PAGE_CHUNKS - 1)).saturating_sub(used)
    }

    /// Claims pages until the set has so many free chunks. False when the pool does not give them; then it gets back
    /// what was claimed in vain.
    pub(super) fn provide(&self, chunks: u32) -> bool {
        while self.free_chunks() < chunks {
            let Some(page) = self.claim() else {
                self.shrink();
                return false;
            };
            self.clear(page);
            self.push_empty(page);
        }
        true
    }

    /// Claims a page, unless it is one of another space's share. The page is counted first, so that of several who claim
    /// the last ones at the same time each sees all.
    fn claim(&self) -> Option<u32> {
        self.add(self.layout.owned_cell(self.set), 1);
        fence(Ordering::SeqCst);
        let page = if self.leaves_shares() { self.pool().claim(self.owner_mark()) } else { None };
        if page.is_none() {
            self.add(self.layout.owned_cell(self.set), u32::MAX);
        }
        page
    }

    /// Whether the space is within its share, or the pages that are free hold what is left of the shares of the others.
    fn leaves_shares(&self) -> bool {
        let shares = self.layout.shares;
        if shares == [0; SPACES] {
            return true;
        }
        let mut owned = [0_u32; SPACES];
        for set in 0..SETS {
            let pages = self.region.cell(self.layout.owned_cell(set)).load(Ordering::Relaxed);
            owned[set % SPACES] = owned[set % SPACES].saturating_add(pages);
        }
        let own = self.set % SPACES;
        let left = |space: usize| shares[space].saturating_sub(owned[space]);
        let others: u32 = (0..SPACES).filter(|&space| space != own).map(left).sum();
        let all = owned.iter().fold(0_u32, |all, pages| all.saturating_add(*pages));
        owned[own] <= shares[own] || all.saturating_add(others) <= self.layout.pages
    }

    /// Makes the header of a page without any chunk in use.
    fn clear(&self, page: u32) {
        for (field, value) in [(USED, 0), (FREE, 0), (FRESH, 1), (NEXT, 0), (PREVIOUS, 0), (LISTED, 0)] {
            self.set(page, field, value);
        }
    }

    /// Where pages come from and go to.
    pub(super) fn pool(&self) -> Pool<'s> {
        Pool { region: self.region, layout: self.layout }
    }

    fn is_owned(&self, page: u32) -> bool {
        self.pool().owner(page).load(Ordering::Relaxed) == self.owner_mark()
    }

    /// What this set writes into the owner cells of its pages.
    fn owner_mark(&self) -> u32 {
        u32::try_from(self.set).map_or(u32::MAX, |set| set + 1)
    }

    /// Whether a chunk number names a chunk of a page of this set, and not a header.
    pub(super) fn owns(&self, chunk: u32) -> bool {
        let page = chunk / PAGE_CHUNKS;
        !chunk.is_multiple_of(PAGE_CHUNKS) && page < self.layout.pages && self.is_owned(page)
    }

    /// All pages of this set.
    pub(super) fn owned(&self) -> impl Iterator<Item = u32> + use<'s> {
        let pages = *self;
        (0..self.layout.pages).filter(move |&page| pages.is_owned(page))
    }

    /// Chunks of a page that are in use, by its header.
    pub(super) fn used(&self, page: u32) -> u32 {
        self.get(page, USED)
    }

    /// The page's free chunks, by its header: those in its list, and those never used. `None` when the list is
    /// longer than a page or leaves it.
    pub(super) fn free(&self, page: u32) -> Option<u32> {
        let mut count = PAGE_CHUNKS.checked_sub(self.get(page, FRESH))?;
        let mut chunk = self.get(page, FREE);
        while chunk != 0 {
            count += 1;
            if chunk / PAGE_CHUNKS != page || count > PAGE_CHUNKS {
                return None;
            }
            chunk = self.next_free(chunk).load(Ordering::Relaxed);
        }
        Some(count)
    }

    /// The set's list of pages with room. `None` when it does not end, or is not linked back.
    pub(super) fn with_room(&self) -> Option<Vec<u32>> {
        let mut listed = Vec::new();
        let mut previous = 0;
        let mut at = self.region.cell(self.layout.room_cell(self.set)).load(Ordering::Relaxed);
        while at != 0 {
            let page = at - 1;
            let sound = page < self.layout.pages
                && self.get(page, PREVIOUS) == previous
                && self.get(page, LISTED) == 1;
            if !sound || listed.len() > self.layout.pages as usize {
                return None;
            }
            listed.push(page);
            previous = at;
            at = self.get(page, NEXT);
        }
        Some(listed)
    }

    /// The set's list of empty pages. `None` when it does not end.
    pub(super) fn empty(&self) -> Option<Vec<u32>> {
        let mut listed = Vec::new();
        let mut at = self.region.cell(self.layout.empty_cell(self.set)).load(Ordering::Relaxed);
        while let Some(page) = at.checked_sub(1) {
            if page >= self.layout.pages || listed.contains(&page) {
                return None;
            }
            listed.push(page);
            at = self.get(page, NEXT);
        }
        Some(listed)
    }

    /// Forgets which chunks were marked.
    pub(super) fn clear_marks(&self, page: u32) {
        for word in 0..PAGE_CHUNKS as usize / 32 {
            self.set(page, MARKS + 4 * word, 0);
        }
    }

    /// Marks a chunk of a page of this set. False when it was marked before.
    pub(super) fn mark(&self, chunk: u32) -> bool {
        let (page, index) = (chunk / PAGE_CHUNKS, chunk % PAGE_CHUNKS);
        let field = MARKS + 4 * (index as usize / 32);
        let (word, bit) = (self.get(page, field), 1 << (index % 32));
        self.set(page, field, word | bit);
        word & bit == 0
    }

    /// Forgets that a chunk was marked.
    pub(super) fn unmark(&self, chunk: u32) {
        let (page, index) = (chunk / PAGE_CHUNKS, chunk % PAGE_CHUNKS);
        let field = MARKS + 4 * (index as usize / 32);
        self.set(page, field, self.get(page, field) & !(1 << (index % 32)));
    }

    /// Makes a page's header anew from its marks, and lists the page as it deserves. Returns how many of its chunks are
    /// in use.
    pub(super) fn rebuild(&self, page: u32) -> u32 {
        self.clear(page);
        let marked =
            |index: u32| self.get(page, MARKS + 4 * (index as usize / 32)) & (1 << (index % 32)) != 0;
        let last = (1..PAGE_CHUNKS).rev().find(|&index| marked(index)).unwrap_or(0);
        self.set(page, FRESH, last + 1);
        for index in (1..last).filter(|&index| !marked(index)) {
            let chunk = page * PAGE_CHUNKS + index;
            self.next_free(chunk).store(self.get(page, FREE), Ordering::Relaxed);
            self.set(page, FREE, chunk);
        }
        let used = (1..=last).filter(|&index| marked(index)).fold(0, |sum, _| sum + 1);
        self.set(page, USED, used);
        if used == 0 {
            self.push_empty(page);
        } else if used + 1 < PAGE_CHUNKS {
            self.list(page);
        }
        used
    }

    /// Empties the lists of pages; `rebuild` fills them again.
    pub(super) fn clear_lists(&self) {
        self.region.cell(self.layout.room_cell(self.set)).store(0, Ordering::Relaxed);
        self.region.cell(self.layout.empty_cell(self.set)).store(0, Ordering::Relaxed);
    }

    fn push_empty(&self, page: u32) {
        let head = self.region.cell(self.layout.empty_cell(self.set));
        self.set(page, NEXT, head.load(Ordering::Relaxed));
        head.store(page + 1, Ordering::Relaxed);
    }

    fn pop_empty(&self) -> Option<u32> {
        let head = self.region.cell(self.layout.empty_cell(self.set));
        let page = head.load(Ordering::Relaxed).checked_sub(1)?;
        head.store(self.get(page, NEXT), Ordering::Relaxed);
        Some(page)
    }

    fn list_head(&self) -> Option<u32> {
        self.region.cell(self.layout.room_cell(self.set)).load(Ordering::Relaxed).checked_sub(1)
    }

    fn list(&self, page: u32) {
        let head = self.region.cell(self.layout.room_cell(self.set));
        let first = head.load(Ordering::Relaxed);
        self.set(page, NEXT, first);
        self.set(page, PREVIOUS, 0);
        self.set(page, LISTED, 1);
        if let Some(first) = first.checked_sub(1) {
            self.set(first, PREVIOUS, page + 1);
        }
        head.store(page + 1, Ordering::Relaxed);
    }

    fn unlist(&self, page: u32) {
        let (next, previous) = (self.get(page, NEXT), self.get(page, PREVIOUS));
        match previous.checked_sub(1) {
            Some(previous) => self.set(previous, NEXT, next),
            None => self.region.cell(self.layout.room_cell(self.set)).store(next, Ordering::Relaxed),
        }
        if let Some(next) = next.checked_sub(1) {
            self.set(next, PREVIOUS, previous);
        }
        self.set(page, LISTED, 0);
    }

    /// In a free chunk: the next one of its page's list.
    fn next_free(&self, chunk: u32) -> &'s AtomicU32 {
        self.region.cell(self.layout.chunk(chunk))
    }

    fn get(&self, page: u32, field: usize) -> u32 {
        self.region.cell(self.layout.chunk(page * PAGE_CHUNKS) + field).load(Ordering::Relaxed)
    }

    fn set(&self, page: u32, field: usize, value: u32) {
        self.region.cell(self.layout.chunk(page * PAGE_CHUNKS) + field).store(value, Ordering::Release);
    }

    fn add(&self, cell: usize, value: u32) {
        let cell = self.region.cell(cell);
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(value), Ordering::Release);
    }
}
