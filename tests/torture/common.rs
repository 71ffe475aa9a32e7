//! Keys that all workers change: counters, by update, of which no addition may be lost; and short-lived entries, which
//! say themselves what they must be.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use opensips_mi::shm::keyed::{Full, NEVER, Space, Table, Update};
use opensips_mi::system::clock;

use crate::ledger::{COUNTERS, Figure, WORKERS};
use crate::load::Worker;
use crate::values::{describe, filled, header};

/// Short-lived keys.
const SHORT_LIVED: usize = 64;

/// A counter's value: a number for each worker.
type Counts = [u64; WORKERS];

impl Worker {
    /// Adds one to a counter, or only reads it.
    pub(crate) fn count(&mut self) -> Result<(), String> {
        let counter = self.random.below(COUNTERS);
        if self.random.below(4) == 0 { self.read_counter(counter) } else { self.add(counter) }
    }

    /// Adds one to a counter.
    pub(crate) fn add(&mut self, counter: usize) -> Result<(), String> {
        let [intended, acknowledged] = self.load.ledger.additions(self.worker, counter);
        let known = acknowledged.load(SeqCst)..=intended.load(SeqCst);
        // The last life may have ended between the two.
        intended.store(known.end() + 1, SeqCst);
        let (mut before, mut stored) = (None, Vec::new());
        let mut scratch = Vec::new();
        let started = Instant::now();
        let worker = self.worker;
        let done = update_by(self.load.table, &key(counter), &mut scratch, &mut stored, |old| {
            before = read(old);
            before.map(|mut counts| {
                counts[worker] += 1;
                counts
            })
        });
        self.took(started);
        self.load.ledger.count(worker, Figure::Updates);
        let Some(before) = before else {
            return Err(format!("counter {counter}: {}", describe(Some(&scratch))));
        };
        if !known.contains(&before[worker]) {
            return Err(format!("counter {counter}: worker {worker} added {known:?}, found {before:?}"));
        }
        let now = match done {
            Ok(()) => before[worker] + 1,
            Err(_) if self.load.may_be_full => before[worker],
            Err(full) => return Err(format!("counter {counter}: {full}")),
        };
        acknowledged.store(now, SeqCst);
        intended.store(now, SeqCst);
        Ok(())
    }

    /// Reads a counter: each worker's number lies between what it had done before and meant to have done after.
    pub(crate) fn read_counter(&mut self, counter: usize) -> Result<(), String> {
        let ledger = self.load.ledger;
        let least: Counts = std::array::from_fn(|worker| ledger.additions(worker, counter)[1].load(SeqCst));
        let found = self.load.table.get(Space::Location, &key(counter), 0, &mut self.value);
        let most: Counts = std::array::from_fn(|worker| ledger.additions(worker, counter)[0].load(SeqCst));
        let counts = read(found.then_some(&self.value));
        let fits = counts.is_some_and(|counts| {
            (0..WORKERS)
                .all(|worker| (least[worker]..=most[worker].max(least[worker])).contains(&counts[worker]))
        });
        if fits {
            Ok(())
        } else {
            Err(format!("counter {counter}: {counts:?} is not within {least:?} to {most:?}"))
        }
    }

    /// Stores, reads, removes or lists short-lived entries.
    pub(crate) fn common(&mut self) -> Result<(), String> {
        let (table, key) = (self.load.table, self.random.below(SHORT_LIVED));
        let name = format!("short-lived {key}").into_bytes();
        match self.random.below(16) {
            0..6 => {
                let (number, length) = (self.random.next(), 16 + self.random.below(1000));
                let value = filled(number, key as u64, length);
                let expires = clock::boot_seconds() + self.random.below(2) as u64;
                match table.put(Space::Subscription, &name, &value, expires) {
                    Err(Full) if !self.load.may_be_full => Err(format!("short-lived {key}: {Full}")),
                    _ => Ok(()),
                }
            }
            6..12 => {
                let found = table.get(Space::Subscription, &name, 0, &mut self.value);
                if found { whole(&name, &self.value) } else { Ok(()) }
            }
            12..15 => {
                table.remove(Space::Subscription, &name);
                Ok(())
            }
            _ => {
                let mut seen = Ok(());
                table.list(Space::Subscription, 0, |entry| {
                    seen = whole(&entry.key, &entry.value);
                    seen.is_ok()
                });
                seen
            }
        }
    }
}

/// Removes short-lived entries whose time is over.
pub(crate) fn expire(table: Table<'static>) -> Result<(), String> {
    let mut seen = Ok(());
    table.expire(Space::Subscription, clock::boot_seconds(), |entry| {
        if seen.is_ok() {
            seen = whole(&entry.key, &entry.value);
        }
    });
    seen
}

fn key(counter: usize) -> Vec<u8> {
    format!("counter {counter}").into_bytes()
}

fn update_by<'v>(
    table: Table<'static>,
    key: &[u8],
    scratch: &'v mut Vec<u8>,
    stored: &'v mut Vec<u8>,
    change: impl FnOnce(Option<&[u8]>) -> Option<Counts>,
) -> Result<(), Full> {
    // Room beforehand: no system call under the lock.
    stored.reserve(1024);
    table.update(Space::Location, key, 0, scratch, |old| match change(old) {
        None => Update::Keep,
        Some(counts) => {
            write(counts, stored);
            Update::Put { value: stored, expires: NEVER, weight: 2 }
        }
    })
}

/// Counts, and after them so many bytes as their sum says, so that the length changes.
fn write(counts: Counts, to: &mut Vec<u8>) {
    to.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
    let sum: u64 = counts.iter().sum();
    to.resize(to.len() + usize::try_from(sum * 37 % 300).unwrap_or(0), sum.to_le_bytes()[0]);
}

/// The counts of a value; `None` when it is not what `write` writes. Absent is all zero.
fn read(value: Option<&[u8]>) -> Option<Counts> {
    let Some(value) = value else { return Some([0; WORKERS]) };
    let mut counts = [0; WORKERS];
    for (count, bytes) in counts.iter_mut().zip(value.chunks(8)) {
        *count = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let mut expected = Vec::new();
    write(counts, &mut expected);
    (expected == value).then_some(counts)
}

fn whole(key: &[u8], value: &[u8]) -> Result<(), String> {
    let expected = header(value).map(|(first, second)| (filled(first, second, value.len()), second));
    let fits = expected
        .is_some_and(|(bytes, index)| bytes == value && key == format!("short-lived {index}").as_bytes());
    if fits { Ok(()) } else { Err(format!("{}: {}", key.escape_ascii(), describe(Some(value)))) }
}
