//! The statistics of all modules: names, groups, and where the values are.
//!
//! Registered before the first fork, in the order that `get_statistics all` lists them. A counter is a cell
//! in each process's row of the segment; a function computes its value when asked. C: statistics.c.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::context::Context;

/// Where a statistic's value comes from.
#[derive(Clone, Copy)]
pub enum StatisticSource {
    /// Counted by the processes; can be reset.
    Counter,
    /// Counted by all processes in one cell, which lies in shared memory.
    Shared {
        /// The cell.
        cell: &'static AtomicU64,
        /// Whether it can be reset.
        can_reset: bool,
    },
    /// Would count what this server cannot do: stays zero.
    Never,
    /// Computed when asked; a reset is accepted and changes nothing. C: `STAT_IS_FUNC`.
    Function(&'static (dyn Fn(&Context) -> u64 + Sync)),
}

impl fmt::Debug for StatisticSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StatisticSource::Counter => "Counter",
            StatisticSource::Shared { .. } => "Shared",
            StatisticSource::Never => "Never",
            StatisticSource::Function(_) => "Function",
        })
    }
}

/// One statistic: a row of its module's table.
#[derive(Clone, Debug)]
pub struct Statistic {
    /// The group, as in `get_statistics GROUP:`.
    pub group: &'static str,
    /// The name, without the group.
    pub name: &'static str,
    /// Where the value comes from.
    pub source: StatisticSource,
}

impl Statistic {
    /// A row that is counted.
    #[must_use]
    pub const fn counter(group: &'static str, name: &'static str) -> Statistic {
        Statistic { group, name, source: StatisticSource::Counter }
    }

    /// A row that is counted elsewhere and never here.
    #[must_use]
    pub const fn never(group: &'static str, name: &'static str) -> Statistic {
        Statistic { group, name, source: StatisticSource::Never }
    }

    /// A row that is computed.
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
    /// `group:name`, as replies show it.
    pub full_name: Box<[u8]>,
    group_length: usize,
    source: StatisticSource,
    /// The cell in each row, for a counter.
    index: usize,
}

impl RegisteredStatistic {
    /// The name without the group.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.full_name[self.group_length + 1..]
    }

    /// Whether it is counted, and not computed.
    #[must_use]
    pub fn is_counter(&self) -> bool {
        !matches!(self.source, StatisticSource::Function(_))
    }

    /// The value now.
    #[must_use]
    pub fn value(&self, context: &Context) -> u64 {
        match self.source {
            StatisticSource::Counter => context.segment.total(self.index),
            StatisticSource::Shared { cell, .. } => cell.load(Ordering::Relaxed),
            StatisticSource::Never => 0,
            StatisticSource::Function(compute) => compute(context),
        }
    }

    /// Sets a counter back to zero; a function has nothing to reset.
    pub fn reset(&self, context: &Context) {
        match self.source {
            StatisticSource::Counter => context.segment.reset(self.index),
            StatisticSource::Shared { cell, can_reset: true } => cell.store(0, Ordering::Relaxed),
            StatisticSource::Shared { .. } | StatisticSource::Never | StatisticSource::Function(_) => {}
        }
    }
}

/// All statistics, group by group.
#[derive(Debug, Default)]
pub struct StatisticRegistry {
    groups: Vec<Group>,
    counters: usize,
    /// The first cell of each name, by the name as it is written.
    by_name: HashMap<Box<[u8]>, Place>,
    /// The same, by the name in small letters.
    by_small_name: HashMap<Box<[u8]>, Place>,
}

/// Where a cell stands: the positions of its group and of the cell in it.
type Place = (usize, usize);

#[derive(Debug)]
struct Group {
    name: &'static str,
    cells: Vec<RegisteredStatistic>,
}

impl StatisticRegistry {
    /// Adds rows; a group that exists already grows.
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
                    self.groups.push(Group { name: statistic.group, cells: Vec::new() });
                    self.groups.len() - 1
                }
            };
            let place = (group, self.groups[group].cells.len());
            for (index, name) in [
                (&mut self.by_name, statistic.name.to_owned()),
                (&mut self.by_small_name, statistic.name.to_ascii_lowercase()),
            ] {
                let first = index.entry(name.into_bytes().into()).or_insert(place);
                *first = place.min(*first);
            }
            self.groups[group].cells.push(cell);
        }
    }

    /// Cells that a row of the segment needs.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.counters
    }

    /// All statistics, in the order of registration of their groups.
    pub fn all(&self) -> impl Iterator<Item = &RegisteredStatistic> {
        self.groups.iter().flat_map(|group| &group.cells)
    }

    /// A group's statistics; `None` for an unknown group. Case does not count in a group's name.
    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<&[RegisteredStatistic]> {
        let found = self.groups.iter().find(|group| group.name.as_bytes().eq_ignore_ascii_case(name));
        found.map(|group| &group.cells[..])
    }

    /// A statistic by its name without the group. Case counts: C compares without it, but looks only in the
    /// hash bucket of the name as written.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&RegisteredStatistic> {
        self.by_name.get(name).map(|&place| self.cell(place))
    }

    /// A statistic by its name without the group, whatever its case.
    #[must_use]
    pub fn find_in_any_case(&self, name: &[u8]) -> Option<&RegisteredStatistic> {
        self.by_small_name.get(&*name.to_ascii_lowercase()).map(|&place| self.cell(place))
    }

    fn cell(&self, (group, cell): Place) -> &RegisteredStatistic {
        &self.groups[group].cells[cell]
    }

    /// A process's own cell of a counter, to count in. Asked once, at a process's start.
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
    fn groups_keep_their_order_and_grow() {
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
    fn of_one_name_the_cell_that_is_listed_first_is_found() {
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
    fn counters_add_up_and_reset_functions_do_not() {
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
