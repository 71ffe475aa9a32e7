//! How many records and contacts each table has, when there are several.
//!
//! The keyed table counts those of all tables together. The figures of one table take a walk through all records: a
//! worker walks while there are few of them; when there are many, the time keeper walks and leaves the figures in
//! shared memory.

use std::time::{Duration, Instant};

use super::locations::{Locations, parts};
use crate::mi::Context;
use crate::shm::Segment;
use crate::shm::keyed::{NEVER, Space};

/// Most records through which a worker walks.
const MAX_WALKED_RECORDS: u64 = 4096;

/// Most bytes of the keyed table in use, for a worker to walk through the records.
const MAX_WALKED_BYTES: u64 = 8 << 20;

/// Time between two looks of the time keeper.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The time keeper rests for so many times as long as a walk has taken.
const REST: u32 = 20;

/// Where the figures lie that the time keeper has counted: records and contacts of each table, 8 bytes each.
const KEY: &[u8] = b"usrloc\0figures";

/// Records and contacts of each table.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Of all tables together, and the second in which they were counted: while these are the same, so are the rest.
    state: Option<(u64, u64, u64)>,
    by_table: Vec<(u64, u64)>,
    /// When the time keeper may walk again.
    next_walk: Option<Instant>,
}

impl Figures {
    /// Records and contacts of a table. Those that the time keeper has counted are some seconds old at most, and `None`
    /// until it has.
    pub(super) fn of(
        &mut self,
        locations: &Locations,
        segment: &Segment,
        table: usize,
    ) -> Option<(u64, u64)> {
        let state = Some(state_of(segment));
        if self.state != state {
            if is_large(segment) {
                self.by_table = published(segment)?;
            } else {
                self.by_table = count(locations, segment);
            }
            self.state = state;
        }
        self.by_table.get(table).copied()
    }

    /// Counts for all processes, when there are many records and they are others than at the last time.
    fn publish(&mut self, locations: &Locations, segment: &Segment) {
        let (records, contacts, _) = state_of(segment);
        let is_known = self.state.is_some_and(|state| (state.0, state.1) == (records, contacts));
        let start = Instant::now();
        if is_known || !is_large(segment) || self.next_walk.is_some_and(|next| start < next) {
            return;
        }
        let figures = count(locations, segment);
        self.next_walk = Some(Instant::now() + start.elapsed() * REST);
        let bytes: Vec<u8> = figures
            .iter()
            .flat_map(|(records, contacts)| [records, contacts])
            .flat_map(|it| it.to_le_bytes())
            .collect();
        match segment.table().put(Space::Subscription, KEY, &bytes, NEVER) {
            Ok(()) => self.state = Some((records, contacts, 0)),
            Err(full) => log::warn!(often = true; "the figures of the tables are old: {full}"),
        }
    }
}

/// Counts for all processes. For the time keeper, and before the first fork.
pub(super) fn publish(context: &Context) {
    let Some(locations) = context.states.get::<Locations>() else { return };
    if !locations.is_alone() {
        locations.figures.borrow_mut().publish(locations, context.segment);
    }
}

fn state_of(segment: &Segment) -> (u64, u64, u64) {
    let table = segment.table();
    (table.count(Space::Location), table.weight(Space::Location), segment.now())
}

fn is_large(segment: &Segment) -> bool {
    let table = segment.table();
    table.count(Space::Location) > MAX_WALKED_RECORDS || table.used_bytes() > MAX_WALKED_BYTES
}

fn published(segment: &Segment) -> Option<Vec<(u64, u64)>> {
    let mut bytes = Vec::new();
    let is_there = segment.table().get(Space::Subscription, KEY, segment.now(), &mut bytes);
    let (pairs, _) = bytes.as_chunks::<16>();
    let number = |half: &[u8]| half.as_array().copied().map_or(0, u64::from_le_bytes);
    is_there.then(|| pairs.iter().map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect())
}

/// Walks through all records.
fn count(locations: &Locations, segment: &Segment) -> Vec<(u64, u64)> {
    let mut by_table = vec![(0, 0); locations.tables().len()];
    segment.table().list(Space::Location, 0, |entry| {
        if let Some((name, _)) = parts(&entry.key)
            && let Some(place) = locations.tables().iter().position(|table| table.name.as_bytes() == name)
        {
            by_table[place].0 += 1;
            by_table[place].1 += u64::from(entry.weight);
        }
        true
    });
    by_table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::context;
    use crate::modules::usrloc::locations::testing::two_tables;

    fn add(context: &Context, table: &str, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let key = [table.as_bytes(), b"\0", &number.to_le_bytes()].concat();
            context.segment.table().put(Space::Location, &key, b"", NEVER).unwrap();
        }
    }

    #[test]
    fn a_worker_walks_through_few_records_and_asks_for_the_figures_of_many() {
        let (context, locations) = (context(), two_tables());
        let (mut worker, mut keeper) = (Figures::default(), Figures::default());
        add(&context, "location", 0..10);
        add(&context, "other", 0..3);
        keeper.publish(&locations, context.segment);
        assert_eq!(published(context.segment), None);
        let mut asked = |table| worker.of(&locations, context.segment, table);
        assert_eq!((asked(0), asked(1)), (Some((10, 10)), Some((3, 3))));
        add(&context, "location", 10..MAX_WALKED_RECORDS);
        assert_eq!(asked(0), None, "nobody has counted yet");
        keeper.publish(&locations, context.segment);
        assert_eq!((asked(0), asked(1)), (Some((MAX_WALKED_RECORDS, MAX_WALKED_RECORDS)), Some((3, 3))));
        add(&context, "other", 3..5);
        keeper.publish(&locations, context.segment);
        assert_eq!(asked(1), Some((3, 3)), "the time keeper rests");
        keeper.next_walk = None;
        keeper.publish(&locations, context.segment);
        assert_eq!(published(context.segment).unwrap()[1], (5, 5));
    }
}
