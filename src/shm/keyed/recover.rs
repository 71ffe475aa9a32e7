//! Mark and sweep: making a shard whole after the holder of its lock died, or after all have ended.
//!
//! Everything reachable from the buckets stays; everything else in the shard's pages is free; lists and counts
//! are made anew. Dying in here is no worse than dying before: the next owner of the lock starts over.

use std::sync::atomic::Ordering;

use super::pages::Pages;
use super::shard::Shard;
use super::sizes::{self, CLASSES};
use super::{SPACES, Space};

/// Entries that are cut out of one bucket one by one; then the rest of it goes. Damage may have made it a ring.
const MOST_CUTS: usize = 64;

/// What a shard's buckets reach.
#[derive(Debug)]
struct Counts {
    spaces: [(u32, u32); SPACES],
    classes: [u32; CLASSES],
}

impl Shard<'_> {
    /// Makes lists and counts anew from what the buckets reach. Returns how many entries were cut out.
    ///
    /// Those are entries whose chain is not sound, or of which `is_true`, given bucket and entry, says no. Only damage of
    /// a file leaves such ones, or a bug.
    pub(super) fn recover(&self, is_true: impl Fn(usize, u32) -> bool) -> usize {
        let pages = self.pages();
        for page in pages.owned() {
            pages.clear_marks(page);
        }
        let mut cut = 0;
        let mut counts = Counts { spaces: [(0, 0); SPACES], classes: [0; CLASSES] };
        for bucket in 0..self.layout.buckets_per_shard() {
            cut += self.mark_bucket(&pages, bucket, &mut counts, &is_true);
        }
        pages.clear_lists();
        let (mut used, mut owned) = (0, 0);
        for page in pages.owned() {
            used += pages.rebuild(page);
            owned += 1;
        }
        pages.pool().mark_all();
        let set = |cell: usize, value: u32| self.region.cell(cell).store(value, Ordering::Release);
        set(self.layout.used_cell(self.index), used);
        set(self.layout.owned_cell(self.index), owned);
        for space in Space::ALL {
            let (count, weight) = counts.spaces[space as usize];
            set(self.layout.entries_cell(self.index, space), count);
            set(self.layout.weight_cell(self.index, space), weight);
        }
        let mut classes = 0;
        for (class, count) in counts.classes.into_iter().enumerate() {
            set(self.layout.class_cell(self.index, class), count);
            classes |= if count > 0 { sizes::bit_of(Some(class)) } else { 0 };
        }
        self.region.wide(self.layout.classes_cell(self.index)).store(classes, Ordering::Release);
        pages.shrink();
        if used > 0 {
            // What is spare is there, unless damage has taken pages from the shard. Then this is the best that can be done.
            let _is_spare = pages.provide(pages.spare(0));
        }
        cut
    }

    /// Marks what a bucket reaches, and counts it. Returns how many entries were cut out.
    fn mark_bucket(
        &self,
        pages: &Pages<'_>,
        bucket: usize,
        counts: &mut Counts,
        is_true: impl Fn(usize, u32) -> bool,
    ) -> usize {
        let mut link = self.region.cell(self.layout.bucket(self.index, bucket));
        let mut cut = 0;
        loop {
            let entry = link.load(Ordering::Acquire);
            if entry == 0 {
                return cut;
            }
            let chain = self.mark_chain(pages, entry);
            if chain.is_ok() && is_true(bucket, entry) {
                self.count(entry, counts);
                link = self.link(entry);
                continue;
            }
            let (Ok(marked) | Err(marked)) = chain;
            self.unmark_chain(pages, entry, marked);
            cut += 1;
            // Where nothing was marked there is no entry that could lead on.
            let goes_on = marked > 0 && cut < MOST_CUTS;
            link.store(if goes_on { self.link(entry).load(Ordering::Relaxed) } else { 0 }, Ordering::Release);
        }
    }

    fn count(&self, entry: u32, counts: &mut Counts) {
        if let Some(space) = self.space(entry) {
            let (count, weight) = &mut counts.spaces[space as usize];
            *count += 1;
            *weight = weight.wrapping_add(self.weight(entry));
        }
        if let Some(class) = sizes::class_of(self.chunks(entry)) {
            counts.classes[class] += 1;
        }
    }

    /// Marks an entry's chunks. Says how many it has marked; as an error when the chain is not sound.
    fn mark_chain(&self, pages: &Pages<'_>, entry: u32) -> Result<u32, u32> {
        let mut chunk = entry;
        let mut length = 0;
        while chunk != 0 {
            if !pages.owns(chunk) || !pages.mark(chunk) {
                return Err(length);
            }
            length += 1;
            chunk = self.next(chunk);
        }
        if length == self.chunks(entry) && self.space(entry).is_some() { Ok(length) } else { Err(length) }
    }

    /// Takes the marks back that `mark_chain` has made.
    fn unmark_chain(&self, pages: &Pages<'_>, entry: u32, chunks: u32) {
        let mut chunk = entry;
        for _ in 0..chunks {
            pages.unmark(chunk);
            chunk = self.next(chunk);
        }
    }
}
