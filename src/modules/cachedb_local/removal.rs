//! The removal of all values whose key matches a pattern, step by step.

use super::collection::Collection;
use super::glob::{Comparison, Glob};
use crate::mi::{Context, Progress};
use crate::shm::Segment;
use crate::shm::keyed::{Entry, Space};

/// Buckets that one step looks at.
const STEP_BUCKETS: usize = 64;

/// Comparisons of a byte that one step makes.
const STEP_COMPARISONS: usize = 16 << 10;

/// How far a removal has come.
pub(super) struct Removal {
    glob: Glob,
    collection: Collection,
    /// What was not looked at yet.
    batches: Box<dyn Iterator<Item = Vec<Entry>>>,
    /// What was found in the last batch and not compared yet.
    found: Vec<Entry>,
    /// How far the last one of these was compared.
    comparison: Comparison,
}

impl Removal {
    /// Begins with the first bucket.
    pub(super) fn new(glob: Glob, collection: Collection, segment: &'static Segment) -> Removal {
        let batches = Box::new(segment.table().batches(Space::Cache, segment.now()));
        Removal { glob, collection, batches, found: Vec::new(), comparison: Comparison::default() }
    }

    /// Takes a step.
    pub(super) fn go_on(&mut self, context: &Context) -> Progress {
        let mut comparisons = STEP_COMPARISONS;
        for _ in 0..STEP_BUCKETS {
            while let Some(entry) = self.found.last() {
                let key = self.collection.key_of(&entry.key);
                match key.map_or(Some(false), |key| self.comparison.go_on(&self.glob, key, &mut comparisons))
                {
                    None => return Progress::More,
                    Some(false) => {}
                    Some(true) => {
                        context.segment.table().remove(Space::Cache, &entry.key);
                    }
                }
                self.comparison = Comparison::default();
                self.found.pop();
            }
            match self.batches.next() {
                Some(batch) => self.found = batch,
                None => return Progress::Done,
            }
        }
        Progress::More
    }
}
