//! A lock holder that stands still, and one that dies while it makes a shard whole.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use opensips_mi::shm::keyed::{Holder, NEVER, Space, Table, Update};
use opensips_mi::shm::{MIN_BYTES, Segment};
use opensips_mi::system::process::{Ending, ProcessId};

use crate::children::{self, STOP_LIMIT};
use crate::report::Outcome;
use crate::stage::{OPERATIONS, Stage, TARGET, Verb, shard};
use crate::values::Random;

/// Shards of the table.
const SHARDS: usize = 64;

/// Processes that wait for the stopped one.
const WAITERS: usize = 3;

/// How long they are watched waiting: many slices of the lock's wait.
const WATCHED: Duration = Duration::from_millis(200);

/// Rounds of a recovery that is killed at a random moment.
const MOMENTS: usize = 400;

/// How long its process is watched until it has the lock.
const SEEN_WITHIN: Duration = Duration::from_micros(1500);

/// Seconds after which SIGALRM ends whoever still waits.
const PATIENCE_SECONDS: u32 = 20;

/// Stops a holder by SIGSTOP. Those who need its shard wait, the others go on; then it goes on, or is killed.
pub(crate) fn stopped(killed: bool) -> Outcome {
    let segment = Segment::create(MIN_BYTES, 1, 1).map_err(|error| error.to_string())?;
    let (table, served) = (segment.table(), &segment.row(0)[0]);
    table.put(Space::Cache, TARGET, b"before", NEVER).map_err(|full| full.to_string())?;
    let here = shard(table, TARGET)?;
    let keys = one_key_a_shard(table)?;
    let holder = children::start(0, || hold(table))?;
    children::wait_stopped(holder)?;
    let seen = turn(table, holder, here)?;
    let mut waiters = Vec::new();
    for _ in 0..WAITERS {
        waiters.push(children::start(PATIENCE_SECONDS, || {
            served.fetch_add(u64::from(table.get(Space::Cache, TARGET, 0, &mut Vec::new())), SeqCst);
            Ok(())
        })?);
    }
    let started = Instant::now();
    children::second_process(|| {
        let mut others = keys.iter().enumerate().filter(|(index, _)| *index != here);
        others.try_for_each(|(_, key)| use_shard(table, key))
    })?;
    let others = started.elapsed();
    std::thread::sleep(WATCHED);
    for &waiter in &waiters {
        children::is_there(waiter)?;
    }
    if served.load(SeqCst) != 0 || turn(table, holder, here)? != seen {
        return Err(String::from("somebody got the lock of a holder that stands still"));
    }
    let expected = release(holder, killed)?;
    let waited = children::wait_all(waiters, STOP_LIMIT)?;
    children::second_process(|| look(table, served, expected))?;
    Ok(format!(
        "{WAITERS} waited, {} other shards were served in {} us; all went on in {} us; turn {}",
        SHARDS - 1,
        others.as_micros(),
        waited.as_micros(),
        seen.turn,
    ))
}

/// Takes the target's lock and stops with it.
fn hold(table: Table<'static>) -> Result<(), String> {
    let changed = table.update(Space::Cache, TARGET, 0, &mut Vec::new(), |_| {
        // The parent sees whether it stopped.
        let _stopped = raise(Signal::SIGSTOP);
        Update::Put { value: b"after", expires: NEVER, weight: 1 }
    });
    changed.map_err(|full| full.to_string())
}

/// Lets the holder go on, or kills it. Returns what its key holds then.
fn release(holder: ProcessId, killed: bool) -> Result<&'static [u8], String> {
    if killed {
        children::kill(holder)?;
        return Ok(b"before");
    }
    kill(Pid::from_raw(holder.number()), Signal::SIGCONT).map_err(|error| error.to_string())?;
    match children::wait(holder)? {
        Ending::Exited(0) => Ok(b"after"),
        ending => Err(format!("the holder {ending}")),
    }
}

fn look(table: Table<'static>, served: &AtomicU64, expected: &[u8]) -> Result<(), String> {
    let mut value = Vec::new();
    let found = table.get(Space::Cache, TARGET, 0, &mut value);
    if !found || value != expected || served.load(SeqCst) != WAITERS as u64 {
        return Err(format!("found {}, wanted {}", value.escape_ascii(), expected.escape_ascii()));
    }
    if let Some(holder) = table.holders().next() {
        return Err(format!("{holder:?} at rest"));
    }
    table.check().map(drop).map_err(|violation| violation.to_string())
}

/// The only holder must be that process, with that shard.
fn turn(table: Table<'static>, process: ProcessId, shard: usize) -> Result<Holder, String> {
    let holders: Vec<Holder> = table.holders().collect();
    match holders[..] {
        [holder] if holder.process == process && holder.shard == shard => Ok(holder),
        _ => Err(format!("process {} holds shard {shard}, shown is {holders:?}", process.number())),
    }
}

fn one_key_a_shard(table: Table<'static>) -> Result<Vec<Vec<u8>>, String> {
    let mut keys = vec![Vec::new(); SHARDS];
    for number in 0..100_000 {
        let key = format!("key {number}").into_bytes();
        let place = shard(table, &key)?;
        keys[place] = key;
        if keys.iter().all(|key| !key.is_empty()) {
            return Ok(keys);
        }
    }
    Err(String::from("some shard gets no key"))
}

fn use_shard(table: Table<'static>, key: &[u8]) -> Result<(), String> {
    let mut value = Vec::new();
    table.put(Space::Cache, key, &[1; 400], NEVER).map_err(|full| full.to_string())?;
    let served =
        table.get(Space::Cache, key, 0, &mut value) && value == [1; 400] && table.remove(Space::Cache, key);
    if served { Ok(()) } else { Err(String::from("another shard does not serve")) }
}

/// Kills whoever finds a dead owner, at a random moment after it has the lock, and then looks at everything.
pub(crate) fn moments(seed: u64) -> Outcome {
    let row = OPERATIONS.iter().find(|row| row.verb == Verb::Get && row.before.is_some());
    let operation = *row.ok_or("no operation reads a value")?;
    let stage = Stage::set(false)?;
    children::second_process(|| stage.reset(operation, TARGET))?;
    let mut random = Random::new(seed);
    let mut caught = 0;
    let mut round = || {
        let dead = children::start(0, || hold(stage.table))?;
        children::wait_stopped(dead)?;
        children::kill(dead)?;
        let next = children::start(PATIENCE_SECONDS, stage.prepare(operation, TARGET))?;
        let holds = || stage.table.holders().any(|holder| holder.process == next);
        spin(SEEN_WITHIN, holds);
        // From nanoseconds to a quarter of a millisecond, each magnitude as often as the others.
        let most = 1 << random.below(19);
        spin(Duration::from_nanos(random.below(most) as u64), || false);
        next.kill();
        caught += usize::from(holds());
        children::wait(next)?;
        children::second_process(|| stage.examine(&[(operation, TARGET)]))
    };
    for number in 0..MOMENTS {
        round().map_err(|reason: String| format!("round {number}: {reason}"))?;
    }
    // How many were caught depends on the machine; `--every N` steps into recovery and catches it for certain.
    Ok(format!("{MOMENTS} rounds, {caught} seen with the lock held when they were killed"))
}

/// Spins until `end` says so, or the time is over. A sleep would take longer than what is waited for.
fn spin(time: Duration, mut end: impl FnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < time && !end() {
        std::hint::spin_loop();
    }
}
