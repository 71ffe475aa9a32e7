//! How long a get and a put take, by one process. Figures to read, not a check: they depend on the machine and on what
//! else it does.

use std::time::{Duration, Instant};

use opensips_mi::shm::Segment;
use opensips_mi::shm::keyed::{NEVER, Space};

use crate::values::{Random, filled};

/// Bytes of the segment.
const BYTES: u64 = 512 << 20;

/// Bytes of a value.
const VALUE_BYTES: usize = 100;

/// Calls of each kind.
const CALLS: usize = 200_000;

/// Fills a table and prints the mean times of random gets and replacements.
pub(crate) fn latency(keys: usize, seed: u64) -> Result<(), String> {
    let segment = Segment::create(BYTES, 1, 1).map_err(|error| error.to_string())?;
    let table = segment.table();
    let mut random = Random::new(seed);
    let value = filled(1, 2, VALUE_BYTES);
    let name = |number: usize| (number as u64).to_be_bytes();
    let put = |number| table.put(Space::Cache, &name(number), &value, NEVER).map_err(|full| full.to_string());
    let started = Instant::now();
    (0..keys).try_for_each(put)?;
    let insert = started.elapsed() / u32::try_from(keys).unwrap_or(u32::MAX);
    let (mut found, mut room) = (0, Vec::new());
    let chosen: Vec<usize> = (0..CALLS).map(|_| random.below(keys)).collect();
    let calls = u32::try_from(CALLS).unwrap_or(u32::MAX);
    let started = Instant::now();
    for &number in &chosen {
        found += usize::from(table.get(Space::Cache, &name(number), 0, &mut room));
    }
    let get = started.elapsed() / calls;
    let started = Instant::now();
    chosen.iter().try_for_each(|&number| put(number))?;
    let put = started.elapsed() / calls;
    println!(
        "note  latency, {keys} keys: get {} ns, replace {} ns, insert {} ns ({found} of {CALLS} found)",
        get.as_nanos(),
        put.as_nanos(),
        insert.as_nanos()
    );
    Ok(())
}

/// Bytes of a value that takes most of a page, so that each insert claims one or two.
const LARGE_BYTES: usize = 15_000;

/// Fills a table to the last insert and prints what those cost that follow: refused ones, and those that take the room
/// of a key which has just been removed.
pub(crate) fn nearly_full(seed: u64) -> Result<(), String> {
    let segment = Segment::create(BYTES, 1, 1).map_err(|error| error.to_string())?;
    let table = segment.table();
    let mut random = Random::new(seed);
    let value = filled(1, 2, LARGE_BYTES);
    let name = |number: usize| (number as u64).to_be_bytes();
    let put = |number| table.put(Space::Cache, &name(number), &value, NEVER);
    let mut held: Vec<usize> = (0..).take_while(|&number| put(number).is_ok()).collect();
    let keys = held.len();
    let (mut refused, mut inserted) = (Times::default(), Times::default());
    for turn in 0..CALLS / 10 {
        refused.add(|| put(keys + turn).is_err());
        let gone = random.below(keys);
        table.remove(Space::Cache, &name(held[gone]));
        held[gone] = 2 * CALLS + keys + turn;
        // A key of another shard may find no page that is free for it: then the old number stays away.
        inserted.add(|| put(held[gone]).is_ok());
    }
    println!(
        "note  latency, {keys} large values, full: {refused} refused; {inserted} inserted after a removal"
    );
    Ok(())
}

/// Calls that went as they should, what all took, and the one that took longest.
#[derive(Debug, Default)]
struct Times {
    calls: u32,
    total: Duration,
    longest: Duration,
}

impl Times {
    fn add(&mut self, call: impl FnOnce() -> bool) {
        let started = Instant::now();
        let counts = call();
        let took = started.elapsed();
        if counts {
            self.calls += 1;
            self.total += took;
            self.longest = self.longest.max(took);
        }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mean = self.total / self.calls.max(1);
        write!(f, "{} calls of {} ns (longest {} us)", self.calls, mean.as_nanos(), self.longest.as_micros())
    }
}
