//! The invariants, walked: for tests, and for whoever doubts.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::layout::{Layout, PAGE_CHUNKS, SHARDS};
use super::shard::Shard;
use super::sizes::{self, CLASSES};
use super::{SPACES, Space, Table, hash_of};

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

/// What the walk finds of one space.
#[derive(Debug)]
struct Seen {
    reached: HashSet<u32>,
    entries: u32,
    weight: u32,
    classes: [u32; CLASSES],
}

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
        let none = |_| Seen { reached: HashSet::new(), entries: 0, weight: 0, classes: [0; CLASSES] };
        let mut all: [Seen; SPACES] = Space::ALL.map(none);
        for bucket in 0..self.layout.buckets_per_shard() {
            let mut entry = self.region.cell(self.layout.bucket(self.index, bucket)).load(Ordering::Acquire);
            while entry != 0 {
                self.check_entry(bucket, entry, &mut all).map_err(violation)?;
                census.entries += 1;
                entry = self.link(entry).load(Ordering::Acquire);
            }
        }
        for (space, seen) in Space::ALL.into_iter().zip(&all) {
            let violation = |what: String| violation(format!("{space:?}: {what}"));
            census.chunks += seen.reached.len();
            census.pages += self.check_pages(space, &seen.reached).map_err(violation)?;
            self.check_counts(space, seen).map_err(violation)?;
            self.check_spare(space, &seen.classes).map_err(violation)?;
        }
        Ok(())
    }

    fn check_entry(&self, bucket: usize, entry: u32, all: &mut [Seen; SPACES]) -> Result<(), String> {
        let strange = |chunk| format!("entry {entry} reaches chunk {chunk}, which is not its own");
        let space = self.space_of_page(entry).ok_or_else(|| strange(entry))?;
        let (pages, seen) = (self.pages(space), &mut all[space as usize]);
        let (mut chunk, mut length) = (entry, 0);
        while chunk != 0 {
            if !pages.owns(chunk) {
                return Err(strange(chunk));
            }
            if !seen.reached.insert(chunk) {
                return Err(format!("chunk {chunk} is reached twice"));
            }
            length += 1;
            chunk = self.next(chunk);
        }
        let needed = self.chunks(entry);
        if length != needed {
            return Err(format!("entry {entry} has {length} chunks and needs {needed}"));
        }
        if self.space(entry) != Some(space) {
            return Err(format!(
                "entry {entry} lies in pages of {space:?} and is of {:?}",
                self.space(entry)
            ));
        }
        if !self.is_true(bucket, entry, |space, key| hash_of(self.region, space, key)) {
            return Err(format!("entry {entry} is damaged, or lies in the wrong bucket"));
        }
        if let Some(class) = sizes::class_of(length) {
            seen.classes[class] += 1;
        }
        seen.entries += 1;
        seen.weight = seen.weight.wrapping_add(self.weight(entry));
        Ok(())
    }

    /// What is kept free for replacements: enough, and no page more.
    fn check_spare(&self, space: Space, classes: &[u32]) -> Result<(), String> {
        let set = Layout::set(self.index, space);
        let mut in_use = 0;
        for (class, &count) in classes.iter().enumerate() {
            let counted = self.region.cell(self.layout.class_cell(set, class)).load(Ordering::Relaxed);
            if counted != count {
                return Err(format!("{count} entries of class {class}, counted {counted}"));
            }
            in_use |= if count > 0 { sizes::bit_of(Some(class)) } else { 0 };
        }
        if self.region.wide(self.layout.classes_cell(set)).load(Ordering::Relaxed) != in_use {
            return Err(String::from("the classes that have entries are not those that are noted"));
        }
        let pages = self.pages(space);
        let is_empty = self.region.cell(self.layout.used_cell(set)).load(Ordering::Relaxed) == 0;
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
    fn check_pages(&self, space: Space, reached: &HashSet<u32>) -> Result<usize, String> {
        let pages = self.pages(space);
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
        let counted =
            self.region.cell(self.layout.owned_cell(Layout::set(self.index, space))).load(Ordering::Relaxed);
        if counted as usize != owned.len() {
            return Err(format!("{} pages are owned, {counted} counted", owned.len()));
        }
        Ok(owned.len())
    }

    fn check_counts(&self, space: Space, seen: &Seen) -> Result<(), String> {
        let set = Layout::set(self.index, space);
        let read = |cell: usize| self.region.cell(cell).load(Ordering::Relaxed);
        let (chunks, used) = (seen.reached.len(), read(self.layout.used_cell(set)));
        if used as usize != chunks {
            return Err(format!("{chunks} chunks reached, {used} counted"));
        }
        let counted = (read(self.layout.entries_cell(set)), read(self.layout.weight_cell(set)));
        if counted != (seen.entries, seen.weight) {
            return Err(format!(
                "{} entries of weight {}, counted {} of {}",
                seen.entries, seen.weight, counted.0, counted.1
            ));
        }
        Ok(())
    }
}
