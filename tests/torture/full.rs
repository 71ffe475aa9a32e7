//! A table that is too small for its load: refused changes, kills, and space that can be used again.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use opensips_mi::shm::keyed::{NEVER, Space, Table};
use opensips_mi::shm::{MIN_BYTES, Segment};

use crate::children;
use crate::ledger::{Figure, Ledger};
use crate::load::Load;
use crate::report::Outcome;
use crate::storm;
use crate::values::{describe, filled};

/// How long the workers are killed.
const TIME: Duration = Duration::from_millis(1500);

/// Bytes of the values that fill what is left.
const FILL_BYTES: usize = 1000;

/// Bytes by which they grow, one after the other until nothing is left.
const GROWTH_BYTES: usize = 500;

/// Bytes that they do not grow above.
const MOST_BYTES: usize = 20_000;

/// Inserts in a row that must be refused before the table counts as full: every shard was tried many times.
const REFUSALS: usize = 1000;

/// Workers on a segment that holds a fraction of their keys; then all is removed, and filled again.
pub(crate) fn storm(seed: u64) -> Outcome {
    let segment = Segment::create(MIN_BYTES, 1, 1).map_err(|error| error.to_string())?;
    let load = Load { table: segment.table(), ledger: Ledger::create()?, may_be_full: true };
    let seen = storm::rage(load, TIME, seed)?;
    if load.ledger.sum(Figure::Refused) == 0 {
        return Err(String::from("the table was never full"));
    }
    children::second_process(|| load.verify())?;
    let mut bytes = [0; 3];
    for (turn, bytes) in bytes.iter_mut().enumerate() {
        children::second_process(|| empty(load.table))?;
        children::second_process(|| fill(load.table, turn).map(drop))?;
        *bytes = load.table.used_bytes();
    }
    children::second_process(|| empty(load.table))?;
    let (least, most) = (bytes.iter().min().unwrap_or(&0), bytes.iter().max().unwrap_or(&0));
    if least * 100 < most * 97 || *least < MIN_BYTES / 2 {
        return Err(format!("filled again and again it held {bytes:?} bytes"));
    }
    Ok(format!("{seen}; then three times emptied and filled: {bytes:?} bytes"))
}

/// Full to the last insert, and to the last growth of what is there. Then each key is replaced by values of the same and
/// of a smaller length, and removed.
pub(crate) fn replace() -> Outcome {
    let segment = Segment::create(MIN_BYTES, 1, 1).map_err(|error| error.to_string())?;
    let (table, longer) = (segment.table(), &segment.row(0)[0]);
    let whole = || table.check().map(drop).map_err(|violation| violation.to_string());
    children::second_process(|| fill(table, 0).map(drop))?;
    let keys = usize::try_from(table.count(Space::Cache)).unwrap_or(0);
    children::second_process(|| {
        let (mut value, mut grown) = (Vec::new(), 0);
        let numbers = all_keys(table);
        for &number in &numbers {
            let (name, id) = (key(0, number), number as u64);
            let mut length = FILL_BYTES;
            while length < MOST_BYTES
                && table.put(Space::Cache, &name, &filled(1, id, length + GROWTH_BYTES), NEVER).is_ok()
            {
                length += GROWTH_BYTES;
                grown += 1;
            }
            for (turn, length) in [(2, length), (3, length), (4, length / 2), (5, length / 2), (6, 0)] {
                let new = filled(turn, id, length);
                let put = table.put(Space::Cache, &name, &new, NEVER);
                put.map_err(|full| {
                    format!("key {number}, {length} bytes, which is no more than before: {full}")
                })?;
                if !table.get(Space::Cache, &name, 0, &mut value) || value != new {
                    return Err(format!("key {number}: {}", describe(Some(&value))));
                }
                if turn == 3 && number % 2 == 0 {
                    break; // stays long, so that the table stays full
                }
            }
        }
        if grown > numbers.len() as u64 * ((MOST_BYTES - FILL_BYTES) / GROWTH_BYTES) as u64 / 2 {
            return Err(format!("{grown} times a value grew, so the table was not full"));
        }
        longer.store(grown, SeqCst);
        whole()
    })?;
    children::second_process(|| {
        for number in all_keys(table) {
            if !table.remove(Space::Cache, &key(0, number)) {
                return Err(format!("key {number} cannot be removed"));
            }
        }
        whole()
    })?;
    match longer.load(SeqCst) {
        0 => Err(String::from("nothing grew, so nothing was refused for that")),
        grown => Ok(format!("{keys} keys, grown {grown} times until refused, all replaced and removed")),
    }
}

/// Inserts until it is refused again and again. Returns how many went in.
fn fill(table: Table<'static>, turn: usize) -> Result<usize, String> {
    let (mut inserted, mut number, mut refused) = (0, 0, 0);
    while refused < REFUSALS {
        let value = filled(0, number as u64, FILL_BYTES);
        match table.put(Space::Cache, &key(turn, number), &value, NEVER) {
            Ok(()) => (inserted, refused) = (inserted + 1, 0),
            Err(_) => refused += 1,
        }
        number += 1;
    }
    table.check().map(|_| inserted).map_err(|violation| violation.to_string())
}

fn key(turn: usize, number: usize) -> Vec<u8> {
    format!("fill {turn} {number}").into_bytes()
}

fn all_keys(table: Table<'static>) -> Vec<usize> {
    let mut numbers = Vec::new();
    table.list(Space::Cache, 0, |entry| {
        let name = String::from_utf8_lossy(&entry.key);
        numbers.extend(name.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok()));
        true
    });
    numbers
}

/// Removes everything, and finds nothing in use afterwards.
fn empty(table: Table<'static>) -> Result<(), String> {
    for space in [Space::Cache, Space::Location, Space::Subscription] {
        let mut keys = Vec::new();
        table.list(space, 0, |entry| {
            keys.push(entry.key.clone());
            true
        });
        for key in keys {
            if !table.remove(space, &key) {
                return Err(format!("{} cannot be removed", key.escape_ascii()));
            }
        }
    }
    let census = table.check().map_err(|violation| violation.to_string())?;
    if census.entries == 0 && census.chunks == 0 && table.used_bytes() == 0 {
        Ok(())
    } else {
        Err(format!("nothing is left, and yet {census:?}, {} bytes", table.used_bytes()))
    }
}
