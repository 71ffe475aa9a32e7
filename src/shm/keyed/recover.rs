//! Mark and sweep: making a shard whole after the holder of its lock died, or after all have ended.
//!
//! Everything reachable from the buckets stays; everything else in the shard's pages is free; lists and counts
//! are made anew. Dying in here is no worse than dying before: the next owner of the lock starts over.

use std::sync::atomic::Ordering;

use super::layout::Layout;
use super::shard::Shard;
use super::sizes::{self, CLASSES};
use super::{SPACES, Space};

/// Entries that are cut out of one bucket one by one; then the rest of it goes. Damage may have made it a ring.
const MOST_CUTS: usize = 64;

/// What a shard's buckets reach of one space.
#[derive(Clone, Copy, Debug)]
struct Counts {
    entries: u32,
    weight: u32,
    classes: [u32; CLASSES],
}

impl Shard<'_> {
    /// Makes lists and counts anew from what the buckets reach. Returns how many entries were cut out.
    ///
    /// Those are entries whose chain is not sound, or of which `is_true`, given bucket and entry, says no. Only damage of
    /// a file leaves such ones, or a bug.
    pub(super) fn recover(&self, is_true: impl Fn(usize, u32) -> bool) -> usize {
        for space in Space::ALL {
            let pages = self.pages(space);
            pages.owned().for_each(|page| pages.clear_marks(page));
        }
        let mut cut = 0;
        let mut counts = [Counts { entries: 0, weight: 0, classes: [0; CLASSES] }; SPACES];
        for bucket in 0..self.layout.buckets_per_shard() {
            cut += self.mark_bucket(bucket, &mut counts, &is_true);
        }
        Space::ALL.into_iter().zip(&counts).for_each(|(space, counts)| self.rebuild(space, counts));
        self.pages(Space::Cache).pool().mark_all();
        for space in Space::ALL {
            let pages = self.pages(space);
            pages.shrink();
            if counts[space as usize].entries > 0 {
                // What is spare is there, unless damage has taken pages from the shard. Then this is the best that can be
                // done.
                let _is_spare = pages.provide(pages.spare(0));
            }
        }
        cut
    }

    /// Makes the lists and counts of a space's pages from what is marked.
    fn rebuild(&self, space: Space, counts: &Counts) {
        let (pages, set) = (self.pages(space), Layout::set(self.index, space));
        pages.clear_lists();
        let (mut used, mut owned) = (0, 0);
        for page in pages.owned() {
            used += pages.rebuild(page);
            owned += 1;
        }
        let store = |cell: usize, value: u32| self.region.cell(cell).store(value, Ordering::Release);
        store(self.layout.used_cell(set), used);
        store(self.layout.owned_cell(set), owned);
        store(self.layout.entries_cell(set), counts.entries);
        store(self.layout.weight_cell(set), counts.weight);
        let mut classes = 0;
        for (class, &count) in counts.classes.iter().enumerate() {
            store(self.layout.class_cell(set, class), count);
            classes |= if count > 0 { sizes::bit_of(Some(class)) } else { 0 };
        }
        self.region.wide(self.layout.classes_cell(set)).store(classes, Ordering::Release);
    }

    /// Marks what a bucket reaches, and counts it. Returns how many entries were cut out.
    fn mark_bucket(
        &self,
        bucket: usize,
        counts: &mut [Counts; SPACES],
        is_true: impl Fn(usize, u32) -> bool,
    ) -> usize {
        let mut link = self.region.cell(self.layout.bucket(self.index, bucket));
        let mut cut = 0;
        loop {
            let entry = link.load(Ordering::Acquire);
            if entry == 0 {
                return cut;
            }
            let space = self.space_of_page(entry);
            let chain = space.map_or(Err(0), |space| self.mark_chain(space, entry));
            if let (Some(space), Ok(_), true) = (space, chain, chain.is_ok() && is_true(bucket, entry)) {
                self.count(entry, &mut counts[space as usize]);
                link = self.link(entry);
                continue;
            }
            let (Ok(marked) | Err(marked)) = chain;
            space.into_iter().for_each(|space| self.unmark_chain(space, entry, marked));
            cut += 1;
            // Where nothing was marked there is no entry that could lead on.
            let goes_on = marked > 0 && cut < MOST_CUTS;
            link.store(if goes_on { self.link(entry).load(Ordering::Relaxed) } else { 0 }, Ordering::Release);
        }
    }

    fn count(&self, entry: u32, counts: &mut Counts) {
        counts.entries += 1;
        counts.weight = counts.weight.wrapping_add(self.weight(entry));
        if let Some(class) = sizes::class_of(self.chunks(entry)) {
            counts.classes[class] += 1;
        }
    }

    /// Marks the chunks of an entry in pages of a space. Says how many it has marked; as an error when the chain is not
    /// sound.
    fn mark_chain(&self, space: Space, entry: u32) -> Result<u32, u32> {
        let pages = self.pages(space);
        let mut chunk = entry;
        let mut length = 0;
        while chunk != 0 {
            if !pages.owns(chunk) || !pages.mark(chunk) {
                return Err(length);
            }
            length += 1;
            chunk = self.next(chunk);
        }
        if length == self.chunks(entry) && self.space(entry) == Some(space) {
            Ok(length)
        } else {
            Err(length)
        }
    }

    /// Takes the marks back that `mark_chain` has made.
    fn unmark_chain(&self, space: Space, entry: u32, chunks: u32) {
        let pages = self.pages(space);
        let mut chunk = entry;
        for _ in 0..chunks {
            pages.unmark(chunk);
            chunk = self.next(chunk);
        }
    }
}
