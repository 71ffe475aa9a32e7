//! What a worker does to the table until it is killed or told to stop, and what it checks on the way.
//!
//! A worker changes keys of its own, whose contents values.rs gives for each change, and reads everybody's. What it
//! reads must be the state after a change between the last acknowledged and the last intended one.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use opensips_mi::shm::keyed::{NEVER, Space, Table, Update};

use crate::common;
use crate::ledger::{COUNTERS, Figure, KEYS, Ledger, WORKERS};
use crate::values::{Random, describe, header, state};

/// What the workers share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) table: Table<'static>,
    pub(crate) ledger: Ledger,
    /// Whether the table may be full; a refused change must leave the key as it was, and have made it longer.
    pub(crate) may_be_full: bool,
}

/// One worker in one of its lives.
pub(crate) struct Worker {
    pub(crate) load: Load,
    pub(crate) worker: usize,
    pub(crate) random: Random,
    pub(crate) value: Vec<u8>,
    /// Which keys were looked at since this life began.
    settled: Vec<bool>,
}

impl Load {
    /// Works until told to stop. Looks at each key that an earlier life may have left half changed before it changes
    /// it, and at all others in between.
    pub(crate) fn work(self, worker: usize, seed: u64) -> Result<(), String> {
        let mut life = Worker::new(self, worker, seed);
        let mut next = 0;
        while !self.ledger.is_stopped() {
            if next < KEYS {
                life.settle(next)?;
                next += 1;
            }
            match life.random.below(100) {
                0..45 => life.change()?,
                45..75 => life.read()?,
                75..88 => life.count()?,
                88..99 => life.common()?,
                _ => life.expire()?,
            }
        }
        Ok(())
    }

    /// Adds to two counters, all workers to the same, until told to stop.
    pub(crate) fn contend(self, worker: usize, seed: u64) -> Result<(), String> {
        let mut life = Worker::new(self, worker, seed);
        while !self.ledger.is_stopped() {
            let counter = life.random.below(2);
            life.add(counter)?;
        }
        Ok(())
    }

    /// All that holds when no worker runs.
    pub(crate) fn verify(self) -> Result<(), String> {
        for worker in 0..WORKERS {
            let mut life = Worker::new(self, worker, 0);
            for index in 0..KEYS {
                life.settle(index)?;
            }
        }
        self.verify_counters()
    }

    /// The counters, and the table's invariants.
    pub(crate) fn verify_counters(self) -> Result<(), String> {
        let mut life = Worker::new(self, 0, 0);
        (0..COUNTERS).try_for_each(|counter| life.read_counter(counter))?;
        self.table.check().map(drop).map_err(|violation| violation.to_string())
    }
}

/// The key's name. Some are longer than a chunk.
pub(crate) fn name(worker: usize, index: usize) -> Vec<u8> {
    let mut name = format!("worker {worker} key {index}").into_bytes();
    if index.is_multiple_of(50) {
        name.resize(name.len() + 200, b'.');
    }
    name
}

fn number(worker: usize, index: usize) -> u64 {
    (worker * KEYS + index) as u64
}

impl Worker {
    fn new(load: Load, worker: usize, seed: u64) -> Worker {
        let (random, value) = (Random::new(seed), Vec::new());
        Worker { load, worker, random, value, settled: vec![false; KEYS] }
    }

    /// Finds out whether the last life's last change of a key took place: one of two states, nothing else.
    fn settle(&mut self, index: usize) -> Result<(), String> {
        if self.settled[index] {
            return Ok(());
        }
        let key = self.load.ledger.key(self.worker, index);
        let (intended, acknowledged) = (key.intended.load(SeqCst), key.acknowledged.load(SeqCst));
        let found = self.get(&name(self.worker, index));
        let is = |sequence| state(number(self.worker, index), sequence).as_deref() == self.found(found);
        if is(intended) {
            key.acknowledged.store(intended, SeqCst);
        } else if is(acknowledged) {
            key.intended.store(acknowledged, SeqCst);
        } else {
            return Err(self.wrong(self.worker, index, found, acknowledged, intended));
        }
        self.settled[index] = true;
        self.load.ledger.count(self.worker, Figure::Verified);
        Ok(())
    }

    /// Changes a key of its own: by put or remove, or by an update that looks at the value before.
    fn change(&mut self) -> Result<(), String> {
        let index = self.random.below(KEYS);
        self.settle(index)?;
        let (table, ledger, worker) = (self.load.table, self.load.ledger, self.worker);
        let (key, name, id) = (ledger.key(worker, index), name(worker, index), number(worker, index));
        let before = key.acknowledged.load(SeqCst);
        let sequence = key.highest.load(SeqCst) + 1;
        let (old, new) = (state(id, before), state(id, sequence));
        let by_update = self.random.below(3) == 0;
        key.highest.store(sequence, SeqCst);
        key.intended.store(sequence, SeqCst);
        let started = Instant::now();
        let mut as_expected = true;
        let done = if by_update {
            ledger.count(worker, Figure::Updates);
            table.update(Space::Cache, &name, 0, &mut self.value, |found| {
                as_expected = found == old.as_deref();
                new.as_deref().map_or(Update::Remove, |value| Update::Put {
                    value,
                    expires: NEVER,
                    weight: 1,
                })
            })
        } else if let Some(new) = &new {
            ledger.count(worker, Figure::Puts);
            table.put(Space::Cache, &name, new, NEVER)
        } else {
            ledger.count(worker, Figure::Removals);
            as_expected = table.remove(Space::Cache, &name) == old.is_some();
            Ok(())
        };
        self.took(started);
        if !as_expected {
            return Err(format!("key {id}: change {sequence} did not find state {before}"));
        }
        match done {
            Ok(()) => key.acknowledged.store(sequence, SeqCst),
            Err(full) if !self.load.may_be_full || new.is_none() => {
                return Err(format!("key {id}: change {sequence}: {full}"));
            }
            Err(full) => {
                if let (Some(old), Some(new)) = (&old, &new)
                    && new.len() <= old.len()
                {
                    return Err(format!("key {id}: {} bytes in place of {}: {full}", new.len(), old.len()));
                }
                ledger.count(worker, Figure::Refused);
                key.intended.store(before, SeqCst);
            }
        }
        Ok(())
    }

    /// Reads any worker's key.
    fn read(&mut self) -> Result<(), String> {
        let (worker, index) = (self.random.below(WORKERS), self.random.below(KEYS));
        let key = self.load.ledger.key(worker, index);
        let acknowledged = key.acknowledged.load(SeqCst);
        let found = self.get(&name(worker, index));
        let intended = key.intended.load(SeqCst);
        // A value says which change wrote it; a short one, or none, may be of any in the range.
        let exact = header(&self.value).filter(|_| found).map(|(sequence, _)| sequence);
        let mut range = acknowledged..=intended;
        let fits = match exact {
            Some(sequence) => range.contains(&sequence) && self.is(found, worker, index, sequence),
            None => range.any(|sequence| self.is(found, worker, index, sequence)),
        };
        // A life that ended before its change took place lowers the intention again, so the range may be empty.
        if fits || self.is(found, worker, index, acknowledged) {
            Ok(())
        } else {
            Err(self.wrong(worker, index, found, acknowledged, intended))
        }
    }

    fn expire(&mut self) -> Result<(), String> {
        let started = Instant::now();
        common::expire(self.load.table)?;
        self.took(started);
        Ok(())
    }

    pub(crate) fn get(&mut self, name: &[u8]) -> bool {
        self.load.ledger.count(self.worker, Figure::Gets);
        let started = Instant::now();
        let found = self.load.table.get(Space::Cache, name, 0, &mut self.value);
        self.took(started);
        found
    }

    fn found(&self, found: bool) -> Option<&[u8]> {
        found.then_some(&self.value)
    }

    fn is(&self, found: bool, worker: usize, index: usize, sequence: u64) -> bool {
        state(number(worker, index), sequence).as_deref() == self.found(found)
    }

    pub(crate) fn took(&self, started: Instant) {
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.load.ledger.figure(self.worker, Figure::Longest).fetch_max(took, SeqCst);
    }

    fn wrong(&self, worker: usize, index: usize, found: bool, acknowledged: u64, intended: u64) -> String {
        let (id, seen) = (number(worker, index), describe(self.found(found)));
        format!("key {id}: {seen}; acknowledged is change {acknowledged}, intended {intended}")
    }
}
