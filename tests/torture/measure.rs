//! How long a get and a put take, by one process. Figures to read, not a check: they depend on the machine and on what
//! else it does.

use std::time::Instant;

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
