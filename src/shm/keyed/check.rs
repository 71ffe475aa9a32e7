//! The invariants, walked: for tests, and for whoever doubts.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::layout::{PAGE_CHUNKS, SHARDS};
use super::shard::Shard;
use super::sizes::{self, CLASSES};
use super::{Space, Table, hash_of};

/// What a walk has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Entries.
    pub entries: usize,
    /// Chunks that entries use.
    pub chunks: usize,
    /// Pages that shards own.
    pub pages: usize,
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Table<'_> {
    /// Walks everything and compares it with the invariants. Locks one shard after the other.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check(&self) -> Result<Census, Violation> {
        let mut census = Census::default();
        for index in 0..SHARDS {
            Shard::lock(self.region, &self.layout, index).check(&mut census)?;
        }
        self.check_pool()?;
        Ok(census)
    }

    /// Each free page must be found by who needs one.
    fn check_pool(&self) -> Result<(), Violation> {
        let pool = self.pool();
        let mut lost = pool.lost();
        if !lost.is_empty() {
            // Whoever was just giving a page back, or looking for one, has the lock of a shard: let him finish.
            for index in 0..SHARDS {
                drop(Shard::lock(self.region, &self.layout, index));
            }
            let still = pool.lost();
            lost.retain(|page| still.contains(page));
        }
        match lost.first() {
            Some(page) => Err(Violation(format!("page {page} is free and its group is not marked"))),
            None => Ok(()),
        }
    }
}

impl Shard<'_> {
    /// Compares the shard with the invariants, and adds what it holds to the census.
    pub(super) fn check(&self, census: &mut Census) -> Result<(), Violation> {
        let violation = |what: String| Violation(format!("shard {}: {what}", self.index));
        let pages = self.pages();
        let mut reached = HashSet::new();
        let mut counts = Space::ALL.map(|_| (0_u32, 0_u32));
        let mut classes = [0_u32; CLASSES];
        for bucket in 0..self.layout.buckets_per_shard() {
            let mut entry = self.region.cell(self.layout.bucket(self.index, bucket)).load(Ordering::Acquire);
            while entry != 0 {
                let mut chunk = entry;
                let mut length = 0;
                while chunk != 0 {
                    if !pages.owns(chunk) {
                        return Err(violation(format!(
                            "entry {entry} reaches chunk {chunk}, which is not its own"
                        )));
                    }
                    if !reached.insert(chunk) {
                        return Err(violation(format!("chunk {chunk} is reached twice")));
                    }
                    length += 1;
                    chunk = self.next(chunk);
                }
                let needed = self.chunks(entry);
                if length != needed {
                    return Err(violation(format!("entry {entry} has {length} chunks and needs {needed}")));
                }
                let space =
                    self.space(entry).ok_or_else(|| violation(format!("entry {entry} is of no space")))?;
                if !self.is_true(bucket, entry, |space, key| hash_of(self.region, space, key)) {
                    return Err(violation(format!("entry {entry} is damaged, or lies in the wrong bucket")));
                }
                if let Some(class) = sizes::class_of(length) {
                    classes[class] += 1;
                }
                let (count, weight) = &mut counts[space as usize];
                *count += 1;
                *weight = weight.wrapping_add(self.weight(entry));
                census.entries += 1;
                entry = self.link(entry).load(Ordering::Acquire);
            }
        }
        census.chunks += reached.len();
        census.pages += self.check_pages(&reached).map_err(violation)?;
        self.check_counts(&counts, reached.len()).map_err(violation)?;
        self.check_spare(&classes).map_err(violation)
    }

    /// What is kept free for replacements: enough, and no page more.
    fn check_spare(&self, classes: &[u32]) -> Result<(), String> {
        let mut in_use = 0;
        for (class, &count) in classes.iter().enumerate() {
            let counted = self.region.cell(self.layout.class_cell(self.index, class)).load(Ordering::Relaxed);
            if counted != count {
                return Err(format!("{count} entries of class {class}, counted {counted}"));
            }
            in_use |= if count > 0 { sizes::bit_of(Some(class)) } else { 0 };
        }
        if self.region.wide(self.layout.classes_cell(self.index)).load(Ordering::Relaxed) != in_use {
            return Err(String::from("the classes that have entries are not those that are noted"));
        }
        let pages = self.pages();
        let is_empty = self.region.cell(self.layout.used_cell(self.index)).load(Ordering::Relaxed) == 0;
        let (free, spare) = (pages.free_chunks(), if is_empty { 0 } else { sizes::spare(in_use) });
        let empty = pages.empty().ok_or("the list of empty pages is broken")?;
        if free < spare || (!empty.is_empty() && free >= spare + (PAGE_CHUNKS - 1)) {
            return Err(format!(
                "{free} chunks are free, {} pages empty, {spare} are to be spare",
                empty.len()
            ));
        }
        Ok(())
    }

    /// The pages' own books against what is reached. Returns how many pages there are.
    fn check_pages(&self, reached: &HashSet<u32>) -> Result<usize, String> {
        let pages = self.pages();
        let with_room = pages.with_room().ok_or("the list of pages with room is broken")?;
        let empty = pages.empty().ok_or("the list of empty pages is broken")?;
        let owned: Vec<u32> = pages.owned().collect();
        for &page in &owned {
            let used = reached.iter().filter(|&&chunk| chunk / PAGE_CHUNKS == page).fold(0, |sum, _| sum + 1);
            let free = pages.free(page).ok_or_else(|| format!("page {page}: its free list is broken"))?;
            if pages.used(page) != used || used + free != PAGE_CHUNKS - 1 {
                return Err(format!(
                    "page {page}: {used} chunks reached, {} counted, {free} free",
                    pages.used(page)
                ));
            }
            if with_room.contains(&page) != (used > 0 && free > 0) || empty.contains(&page) != (used == 0) {
                return Err(format!("page {page}: has {free} free chunks and is wrongly listed"));
            }
        }
        if let Some(stray) = with_room.iter().chain(&empty).find(|page| !owned.contains(page)) {
            return Err(format!("page {stray} is listed and not owned"));
        }
        Ok(owned.len())
    }

    fn check_counts(&self, counts: &[(u32, u32)], chunks: usize) -> Result<(), String> {
        let read = |cell: usize| self.region.cell(cell).load(Ordering::Relaxed);
        if read(self.layout.used_cell(self.index)) as usize != chunks {
            return Err(format!("{chunks} chunks reached, another number counted"));
        }
        for space in Space::ALL {
            let (count, weight) = counts[space as usize];
            let entries = read(self.layout.entries_cell(self.index, space));
            let weights = read(self.layout.weight_cell(self.index, space));
            if (entries, weights) != (count, weight) {
                return Err(format!(
                    "{space:?}: {count} entries of weight {weight}, counted {entries} of {weights}"
                ));
            }
        }
        Ok(())
    }
}
