//! Workers under load, killed at random: for a time, and as rounds in which the load stops right after a kill.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use opensips_mi::shm::{MIN_BYTES, Segment};
use opensips_mi::system::process::ProcessId;

use crate::children::{self, STOP_LIMIT};
use crate::ledger::{Figure, Ledger, WORKERS};
use crate::load::Load;
use crate::report::Outcome;
use crate::values::Random;

/// Bytes of the segment: four times what its keys take.
const BYTES: u64 = 64 << 20;

/// SIGALRM ends a worker that works this much longer than it should, in seconds.
const PATIENCE_SECONDS: u64 = 30;

/// Longest pause between two kills, in microseconds.
const PAUSE_MICROS: usize = 5000;

/// The same where the load is to stop soon.
const SHORT_PAUSE_MICROS: usize = 1500;

/// Kills of a round; with the last one the load stops.
const KILLS_A_ROUND: usize = 3;

/// What a worker does: given its number and a seed.
type Job = fn(Load, usize, u64) -> Result<(), String>;

/// The workers of one run. Those that are left are killed with it.
struct Crew {
    load: Load,
    job: Job,
    limit_seconds: u32,
    workers: Vec<ProcessId>,
    random: Random,
}

impl Crew {
    fn start(load: Load, job: Job, time: Duration, seed: u64) -> Result<Crew, String> {
        load.ledger.stop(false);
        let limit_seconds = u32::try_from(time.as_secs() + PATIENCE_SECONDS).unwrap_or(u32::MAX);
        let mut crew = Crew { load, job, limit_seconds, workers: Vec::new(), random: Random::new(seed) };
        for worker in 0..WORKERS {
            let child = crew.fork(worker)?;
            crew.workers.push(child);
        }
        Ok(crew)
    }

    fn fork(&mut self, worker: usize) -> Result<ProcessId, String> {
        let (load, job, seed) = (self.load, self.job, self.random.next());
        children::start(self.limit_seconds, || job(load, worker, seed))
    }

    fn pause(&mut self, most: usize) {
        std::thread::sleep(Duration::from_micros(self.random.below(most) as u64));
    }

    /// Kills a worker and starts it again.
    fn replace(&mut self) -> Result<(), String> {
        let worker = self.random.below(WORKERS);
        children::kill(self.workers[worker])?;
        self.workers[worker] = self.fork(worker)?;
        Ok(())
    }

    /// Kills a worker and tells the others to stop at the same moment. Returns how long they took.
    fn stop(&mut self) -> Result<Duration, String> {
        let worker = self.random.below(WORKERS);
        let killed = self.workers.swap_remove(worker);
        killed.kill();
        self.load.ledger.stop(true);
        children::kill(killed)?;
        children::wait_all(std::mem::take(&mut self.workers), STOP_LIMIT)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in self.workers.drain(..) {
            // A run that failed has said why.
            let _ended = children::kill(worker);
        }
    }
}

/// Random kills for `seconds`, then all of what the table holds is looked at.
pub(crate) fn torture(seconds: u64, seed: u64) -> Outcome {
    let segment = Segment::create(BYTES, 1, 1).map_err(|error| error.to_string())?;
    let load = Load { table: segment.table(), ledger: Ledger::create()?, may_be_full: false };
    let seen = rage(load, Duration::from_secs(seconds), seed)?;
    children::second_process(|| load.verify())?;
    Ok(seen)
}

/// Load and kills for a time, then one more kill and a stop.
pub(crate) fn rage(load: Load, time: Duration, seed: u64) -> Outcome {
    let started = Instant::now();
    let mut crew = Crew::start(load, Load::work, time, seed)?;
    let mut kills = 1;
    while started.elapsed() < time {
        crew.pause(PAUSE_MICROS);
        crew.replace()?;
        kills += 1;
    }
    let stopped = crew.stop()?;
    let sum = |figure| load.ledger.sum(figure);
    let longest = (0..WORKERS).map(|worker| load.ledger.figure(worker, Figure::Longest).load(SeqCst)).max();
    Ok(format!(
        "{kills} kills; {} puts, {} gets, {} removals, {} updates, {} refused; keys looked at again: {}; \
         longest call {} us; stopped in {} us",
        sum(Figure::Puts),
        sum(Figure::Gets),
        sum(Figure::Removals),
        sum(Figure::Updates),
        sum(Figure::Refused),
        sum(Figure::Verified),
        longest.unwrap_or(0),
        stopped.as_micros(),
    ))
}

/// Rounds of load on two keys, in which the last of some kills and the stop come together. All others must end at
/// once, and a second process must get every lock.
pub(crate) fn quiet(rounds: usize, seed: u64) -> Outcome {
    let segment = Segment::create(MIN_BYTES, 1, 1).map_err(|error| error.to_string())?;
    let load = Load { table: segment.table(), ledger: Ledger::create()?, may_be_full: false };
    let mut longest = Duration::ZERO;
    let mut round = |seed| {
        let mut crew = Crew::start(load, Load::contend, Duration::ZERO, seed)?;
        for _ in 1..KILLS_A_ROUND {
            crew.pause(SHORT_PAUSE_MICROS);
            crew.replace()?;
        }
        crew.pause(SHORT_PAUSE_MICROS);
        longest = longest.max(crew.stop()?);
        children::second_process(|| load.verify_counters())
    };
    let mut random = Random::new(seed);
    for number in 0..rounds {
        round(random.next()).map_err(|reason: String| format!("round {number}: {reason}"))?;
    }
    let updates = load.ledger.sum(Figure::Updates);
    if updates < rounds as u64 {
        return Err(format!("only {updates} updates in {rounds} rounds: nothing was shown"));
    }
    Ok(format!(
        "{rounds} rounds, {} kills, {updates} updates; the others ended within {} us",
        rounds * KILLS_A_ROUND,
        longest.as_micros()
    ))
}
