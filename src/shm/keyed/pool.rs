//! The pool of pages that all sets share: who owns a page, and where a free one is found.
//!
//! The owner cell of a page says the truth. A bit for each group of 64 pages says whether one of them may be free, so
//! that a claim in a table that is nearly full looks at some groups and not at all pages.
//!
//! A bit that is set may be wrong: whoever looks and finds nothing clears it. One that is clear beside a free page
//! would lose the page, so it is set after a page has become free, and a look that clears it looks once more. Who is
//! killed in between holds the lock of its shard, and `recover` sets all bits.

use std::sync::atomic::{AtomicU32, Ordering};

use super::layout::{GROUP_PAGES, GROUPS_A_WORD, Layout, SETS};
use crate::shm::region::Region;

/// In an owner cell: the page belongs to no set.
pub(super) const NOBODY: u32 = 0;

/// The pages of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool<'s> {
    pub(super) region: &'s Region,
    pub(super) layout: Layout,
}

impl<'s> Pool<'s> {
    /// The owner cell of a page.
    pub(super) fn owner(&self, page: u32) -> &'s AtomicU32 {
        self.region.cell(self.layout.owner(page))
    }

    /// Takes a free page for `owner`.
    pub(super) fn claim(&self, owner: u32) -> Option<u32> {
        loop {
            let page = self.find()?;
            let cell = self.owner(page);
            if cell.compare_exchange(NOBODY, owner, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Some(page);
            }
        }
    }

    /// Gives a page back. Only with the lock of the shard that owns it.
    pub(super) fn release(&self, page: u32) {
        self.owner(page).store(NOBODY, Ordering::Release);
        let (word, bit) = self.bit(page / GROUP_PAGES);
        word.fetch_or(bit, Ordering::AcqRel);
    }

    /// Says of all groups that they may have a free page.
    pub(super) fn mark_all(&self) {
        for word in self.words() {
            word.store(u32::MAX, Ordering::Release);
        }
    }

    /// Takes pages from owners that are no set. Only while no other process uses the region.
    pub(super) fn drop_strange_owners(&self) {
        let strange = |page: &u32| self.owner(*page).load(Ordering::Relaxed) as usize > SETS;
        (0..self.layout.pages).filter(strange).for_each(|page| self.release(page));
    }

    /// Free pages that no claim would find. While others work there may be some for a moment.
    pub(super) fn lost(&self) -> Vec<u32> {
        let unmarked = |page: &u32| {
            let (word, bit) = self.bit(page / GROUP_PAGES);
            word.load(Ordering::Acquire) & bit == 0
        };
        let free = |page: &u32| self.owner(*page).load(Ordering::Relaxed) == NOBODY;
        (0..self.layout.pages).filter(|page| unmarked(page) && free(page)).collect()
    }

    /// The first free page.
    fn find(&self) -> Option<u32> {
        for (number, word) in (0..).zip(self.words()) {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 {
                let group = number * GROUPS_A_WORD + bits.trailing_zeros();
                let free = self.look(group);
                if free != 0 {
                    return Some(group * GROUP_PAGES + free.trailing_zeros());
                }
                bits &= bits - 1;
            }
        }
        None
    }

    /// The free pages of a group, a bit for each; when there is none, the group's own bit is cleared.
    fn look(&self, group: u32) -> u64 {
        let free = self.free(group);
        if free == 0 {
            let (word, bit) = self.bit(group);
            word.fetch_and(!bit, Ordering::AcqRel);
            if self.free(group) != 0 {
                // A page came back meanwhile, and this look may have cleared what its release had set.
                word.fetch_or(bit, Ordering::AcqRel);
            }
        }
        free
    }

    fn free(&self, group: u32) -> u64 {
        let first = group * GROUP_PAGES;
        let pages = first..self.layout.pages.min(first + GROUP_PAGES);
        pages.fold(0, |free, page| {
            let is_free = self.owner(page).load(Ordering::Relaxed) == NOBODY;
            free | u64::from(is_free) << (page - first)
        })
    }

    /// Where a group's bit is: its word, and the bit in it.
    fn bit(&self, group: u32) -> (&'s AtomicU32, u32) {
        let word = self.region.cell(self.layout.group_word(group / GROUPS_A_WORD));
        (word, 1 << (group % GROUPS_A_WORD))
    }

    fn words(&self) -> impl Iterator<Item = &'s AtomicU32> + use<'s> {
        let Pool { region, layout } = *self;
        (0..layout.group_words()).map(move |word| region.cell(layout.group_word(word)))
    }
}
