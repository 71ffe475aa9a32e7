//! Registers the statistics of all modules, and reads and resets their values.
//!
//! The attendant registers the statistics before the first fork. `get_statistics all` lists them in that
//! order, group by group. Each process has a row in the segment with a cell for each counter. C:
//! statistics.c.
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Context;

/// The source of a statistic's value.
#[derive(Clone, Copy)]
pub enum StatisticSource {
    /// Each process counts in a cell of its own. Can be reset.
    Counter,
    /// All processes count in one cell.
    Shared {
        /// The cell, in shared memory.
        cell: &'static AtomicU64,
        /// A reset sets the cell to zero.
        can_reset: bool,
    },
    /// The value is always zero: the statistic counts what this server does not do.
    Zero,
    /// A function computes the value. A reset changes nothing. C: `STAT_IS_FUNC`.
    Function(&'static (dyn Fn(&Context) -> u64 + Sync)),
}

impl fmt::Debug for StatisticSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StatisticSource::Counter => "Counter",
            StatisticSource::Shared { .. } => "Shared",
            StatisticSource::Zero => "Zero",
            StatisticSource::Function(_) => "Function",
        })
    }
}

/// A statistic. Each module has a table of its statistics.
#[derive(Clone, Debug)]
pub struct Statistic {
    /// The group, as in `get_statistics GROUP:`.
    pub group: &'static str,
    /// The name, without the group.
    pub name: &'static str,
    /// The source of the value.
    pub source: StatisticSource,
}

impl Statistic {
    /// A statistic that each process counts.
    #[must_use]
    pub const fn counter(group: &'static str, name: &'static str) -> Statistic {
        Statistic { group, name, source: StatisticSource::Counter }
    }

    /// A statistic that is always zero.
    #[must_use]
    pub const fn zero(group: &'static str, name: &'static str) -> Statistic {
        Statistic { group, name, source: StatisticSource::Zero }
    }

    /// A statistic whose value a function computes.
    #[must_use]
    pub const fn function(
        group: &'static str,
        name: &'static str,
        value: &'static (dyn Fn(&Context) -> u64 + Sync),
    ) -> Statistic {
        Statistic { group, name, source: StatisticSource::Function(value) }
    }
}

/// A registered statistic.
#[derive(Debug)]
pub struct RegisteredStatistic {
    /// `group:name`, as in replies.
    pub full_name: Box<[u8]>,
    group_length: usize,
    source: StatisticSource,
    /// The index of the counter's cell in the row of a process.
    index: usize,
}

impl RegisteredStatistic {
    /// The name without the group.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.full_name[self.group_length + 1..]
    }

    /// No function computes the value.
    #[must_use]
    pub fn is_counter(&self) -> bool {
        !matches!(self.source, StatisticSource::Function(_))
    }

    /// The current value.
    #[must_use]
    pub fn value(&self, context: &Context) -> u64 {
        match self.source {
            StatisticSource::Counter => context.segment.total(self.index),
            StatisticSource::Shared { cell, .. } => cell.load(Ordering::Relaxed),
            StatisticSource::Zero => 0,
            StatisticSource::Function(compute) => compute(context),
        }
    }

    /// Sets a counter to zero. Does nothing to other statistics.
    pub fn reset(&self, context: &Context) {
        match self.source {
            StatisticSource::Counter => context.segment.reset(self.index),
            StatisticSource::Shared { cell, can_reset: true } => cell.store(0, Ordering::Relaxed),
            StatisticSource::Shared { .. } | StatisticSource::Zero | StatisticSource::Function(_) => {}
        }
    }
}

/// The statistics of all modules, by group.
#[derive(Debug, Default)]
pub struct StatisticRegistry {
    groups: Vec<Group>,
    counters: usize,
    /// The first statistic of each name.
    by_name: HashMap<Box<[u8]>, StatisticIndex>,
    /// The same, by the name in lower case.
    by_lower_case_name: HashMap<Box<[u8]>, StatisticIndex>,
}

/// The index of a group, and that of a statistic in the group.
type StatisticIndex = (usize, usize);

#[derive(Debug)]
struct Group {
    name: &'static str,
    statistics: Vec<RegisteredStatistic>,
}

impl StatisticRegistry {
    /// Adds statistics. Those of an existing group are added to it.
    pub fn add<'a>(&mut self, statistics: impl IntoIterator<Item = &'a Statistic>) {
        for statistic in statistics {
            let index = self.counters;
            if let StatisticSource::Counter = statistic.source {
                self.counters += 1;
            }
            let cell = RegisteredStatistic {
                full_name: [statistic.group, ":", statistic.name].concat().into_bytes().into(),
                group_length: statistic.group.len(),
                source: statistic.source,
                index,
            };
            let group = match self.groups.iter().position(|group| group.name == statistic.group) {
                Some(group) => group,
                None => {
                    self.groups.push(Group { name: statistic.group, statistics: Vec::new() });
                    self.groups.len() - 1
                }
            };
            let place = (group, self.groups[group].statistics.len());
            for (index, name) in [
                (&mut self.by_name, statistic.name.to_owned()),
                (&mut self.by_lower_case_name, statistic.name.to_ascii_lowercase()),
            ] {
                let first = index.entry(name.into_bytes().into()).or_insert(place);
                *first = place.min(*first);
            }
            self.groups[group].statistics.push(cell);
        }
    }

    /// The number of counters: that of the cells in the row of a process.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.counters
    }

    /// All statistics, in the order of their groups.
    pub fn all(&self) -> impl Iterator<Item = &RegisteredStatistic> {
        self.groups.iter().flat_map(|group| &group.statistics)
    }

    /// The statistics of a group; `None` for an unknown group. Case-insensitive.
    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<&[RegisteredStatistic]> {
        let found = self.groups.iter().find(|group| group.name.as_bytes().eq_ignore_ascii_case(name));
        found.map(|group| &group.statistics[..])
    }

    /// The first statistic with that name, without the group. Case-sensitive: C compares in any case, but
    /// searches only the hash bucket of the name.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&RegisteredStatistic> {
        self.by_name.get(name).map(|&index| self.at(index))
    }

    /// The first statistic with that name, without the group. Case-insensitive.
    #[must_use]
    pub fn find_in_any_case(&self, name: &[u8]) -> Option<&RegisteredStatistic> {
        self.by_lower_case_name.get(&*name.to_ascii_lowercase()).map(|&index| self.at(index))
    }

    fn at(&self, (group, statistic): StatisticIndex) -> &RegisteredStatistic {
        &self.groups[group].statistics[statistic]
    }

    /// The cell of a counter in the row of a process. A process calls it once, when it starts.
    #[must_use]
    pub fn counter<'s>(&self, row: &'s [AtomicU64], group: &str, name: &str) -> Option<&'s AtomicU64> {
        let cell = self.group(group.as_bytes())?.iter().find(|cell| cell.name() == name.as_bytes())?;
        matches!(cell.source, StatisticSource::Counter).then(|| row.get(cell.index)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::testing::context;

    const ROWS: [Statistic; 3] = [
        Statistic::counter("a", "one"),
        Statistic::function("a", "two", &|_| 7),
        Statistic::counter("b", "three"),
    ];

    #[test]
    fn groups_keep_their_order_and_take_more_statistics() {
        let mut registry = StatisticRegistry::default();
        registry.add(&ROWS);
        registry.add(&[Statistic::counter("a", "four")]);
        let names: Vec<_> = registry.all().map(|cell| String::from_utf8_lossy(&cell.full_name)).collect();
        assert_eq!(names, ["a:one", "a:two", "a:four", "b:three"]);
        assert_eq!(registry.counters(), 3);
        assert_eq!(registry.group(b"A").unwrap().len(), 3);
        assert!(registry.group(b"c").is_none());
        assert!(registry.find(b"three").is_some() && registry.find(b"THREE").is_none());
        assert!(registry.find(b"a:one").is_none());
    }

    #[test]
    fn the_first_listed_statistic_of_a_name_is_found() {
        let mut registry = StatisticRegistry::default();
        registry.add(&ROWS);
        registry.add(&[Statistic::counter("b", "Twin"), Statistic::counter("a", "Twin")]);
        registry.add(&[Statistic::counter("b", "TWIN"), Statistic::counter("a", "twin")]);
        let found =
            |cell: Option<&RegisteredStatistic>| String::from_utf8(cell.unwrap().full_name.to_vec()).unwrap();
        assert_eq!(found(registry.find(b"Twin")), "a:Twin");
        assert_eq!(found(registry.find(b"TWIN")), "b:TWIN");
        assert_eq!(found(registry.find_in_any_case(b"tWIN")), "a:Twin");
    }

    #[test]
    fn counters_are_summed_and_reset_and_functions_are_not_reset() {
        let mut context = context();
        context.statistics.add(&ROWS);
        let registry = &context.statistics;
        for slot in [0, 1] {
            let cell = registry.counter(context.segment.row(slot), "b", "three").unwrap();
            cell.fetch_add(1, Ordering::Relaxed);
        }
        assert!(registry.counter(context.segment.row(0), "a", "two").is_none());
        let three = registry.find(b"three").unwrap();
        let two = registry.find(b"two").unwrap();
        assert_eq!((three.value(&context), two.value(&context)), (2, 7));
        three.reset(&context);
        two.reset(&context);
        assert_eq!((three.value(&context), two.value(&context)), (0, 7));
    }
}
