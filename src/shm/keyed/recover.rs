//! Mark and sweep: making a shard whole after the holder of its lock died.
//!
//! Everything reachable from the buckets stays; everything else in the shard's pages is free; lists and counts
//! are made anew. Dying in here is no worse than dying before: the next owner of the lock starts over.

use std::sync::atomic::Ordering;

use super::Space;
use super::pages::Pages;
use super::shard::Shard;

impl Shard<'_> {
    /// Makes lists and counts anew from what the buckets reach.
    ///
    /// A chain that is not sound, which only a bug could leave, is cut out of its bucket and logged by nobody: the
    /// walk is bounded, as it never enters a chunk twice.
    pub(super) fn recover(&self) {
        let pages = self.pages();
        for page in pages.owned() {
            pages.clear_marks(page);
        }
        let mut entries = Space::ALL.map(|_| (0_u32, 0_u32));
        for bucket in 0..self.layout.buckets_per_shard() {
            let mut link = self.region.cell(self.layout.bucket(self.index, bucket));
            loop {
                let entry = link.load(Ordering::Acquire);
                if entry == 0 {
                    break;
                }
                if !self.mark_chain(&pages, entry) {
                    link.store(0, Ordering::Release);
                    break;
                }
                if let Some(space) = self.space(entry) {
                    let (count, weight) = &mut entries[space as usize];
                    *count += 1;
                    *weight = weight.wrapping_add(self.weight(entry));
                }
                link = self.link(entry);
            }
        }
        pages.clear_list();
        let (mut used, mut owned) = (0, 0);
        for page in pages.owned() {
            let in_use = pages.rebuild(page);
            used += in_use;
            owned += u32::from(in_use > 0);
        }
        pages.pool().mark_all();
        self.region.cell(self.layout.used_cell(self.index)).store(used, Ordering::Release);
        self.region.cell(self.layout.owned_cell(self.index)).store(owned, Ordering::Release);
        for space in Space::ALL {
            let (count, weight) = entries[space as usize];
            self.region.cell(self.layout.entries_cell(self.index, space)).store(count, Ordering::Release);
            self.region.cell(self.layout.weight_cell(self.index, space)).store(weight, Ordering::Release);
        }
    }

    /// Marks an entry's chunks. False when the chain is not sound.
    fn mark_chain(&self, pages: &Pages<'_>, entry: u32) -> bool {
        let mut chunk = entry;
        let mut length = 0;
        while chunk != 0 {
            if !pages.owns(chunk) || !pages.mark(chunk) {
                return false;
            }
            length += 1;
            chunk = self.next(chunk);
        }
        length == self.chunks_needed(entry) && self.space(entry).is_some()
    }
}
