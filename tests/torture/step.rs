//! One operation, killed after so many instructions: then a second process looks. sweep.rs looks after each of them.

use std::time::{Duration, Instant};

use crate::children;
use crate::report::Outcome;
use crate::stage::{Operation, Stage, TARGET, VICTIM};
use crate::stepped::{MOST_STEPS, OneProcessor, Stepped};
use crate::values::Random;

/// Instructions from one kill to the next in a sample, if time allows.
const SAMPLE: usize = 37;

/// How long a sample may take, for each operation.
const SAMPLE_TIME: Duration = Duration::from_millis(500);

/// What the second process costs beside the steps.
const LOOK_TIME: Duration = Duration::from_millis(4);

/// What a run to the end shows: instructions in all, and the first and last with the lock held.
#[derive(Clone, Copy, Debug)]
struct Length {
    steps: usize,
    held: (usize, usize),
    took: Duration,
}

fn measure(stage: &Stage, operation: Operation, key: &[u8]) -> Result<Length, String> {
    let mut stepped = Stepped::start(stage.prepare(operation, key))?;
    let started = Instant::now();
    let (mut steps, mut held) = (0, None);
    while stepped.step()? {
        steps += 1;
        if stepped.holds(stage) {
            held = Some((held.map_or(steps, |(first, _)| first), steps));
        }
        if steps > MOST_STEPS {
            return Err(format!("does not end within {MOST_STEPS} instructions"));
        }
    }
    let took = started.elapsed();
    let held = held.ok_or("never holds a lock")?;
    children::second_process(|| stage.reset(operation, key))?;
    Ok(Length { steps, held, took })
}

/// How far the kills are apart: as asked for, or so that a sample takes its time.
fn stride(every: Option<usize>, length: Length, more: Duration) -> usize {
    every.unwrap_or_else(|| {
        let one = length.took / 2 + LOOK_TIME + more;
        let points = SAMPLE_TIME.as_micros() / one.as_micros().max(1);
        let points = usize::try_from(points).unwrap_or(usize::MAX).max(4);
        (length.steps / points).max(SAMPLE)
    })
}

/// Where to kill: first not at all, then from the last instruction down to the first. A later run may be shorter or
/// longer than the one that was measured, as it finds its pages elsewhere; going down, no part of any is left out.
fn points(steps: usize, stride: usize, random: &mut Random) -> impl Iterator<Item = usize> + use<> {
    let last = steps - random.below(stride.min(steps));
    std::iter::once(MOST_STEPS).chain((0..=last).rev().step_by(stride))
}

/// Kills an operation after every so many instructions of it.
pub(crate) fn operation(operation: Operation, every: Option<usize>, seed: u64) -> Outcome {
    let _slow_without = OneProcessor::choose();
    let stage = Stage::set(operation.crowded)?;
    children::second_process(|| stage.reset(operation, TARGET))?;
    let length = measure(&stage, operation, TARGET)?;
    let stride = stride(every, length, Duration::ZERO);
    let (mut kills, mut holding) = (0, 0);
    for at in points(length.steps, stride, &mut Random::new(seed)) {
        let failed = |reason: String| format!("killed after {at} instructions: {reason}");
        let mut stepped = Stepped::start(stage.prepare(operation, TARGET)).map_err(failed)?;
        if stepped.advance(at).map_err(failed)? {
            holding += usize::from(stepped.holds(&stage));
            stepped.kill(&stage).map_err(failed)?;
            kills += 1;
        }
        children::second_process(|| stage.examine(&[(operation, TARGET)])).map_err(failed)?;
    }
    let [old, new] = stage.seen().map(|cell| cell.load(std::sync::atomic::Ordering::SeqCst));
    if holding == 0 || old == 0 || (operation.changes() && new == 0) {
        return Err(format!(
            "{kills} kills, {holding} with the lock held; found old {old}, new {new}: too few"
        ));
    }
    Ok(format!(
        "{} instructions, {} of them with the lock held; {kills} kills, every {stride}; found old {old}, new {new}",
        length.steps,
        length.held.1 - length.held.0,
    ))
}

/// Leaves the lock of the target's shard with a dead owner that was in the middle of a change. Returns false when the
/// owner was not caught holding it.
fn leave_dead_owner(stage: &Stage, length: Length, random: &mut Random) -> Result<bool, String> {
    let (first, last) = length.held;
    let at = first + random.below(last - first);
    let mut stepped = Stepped::start(stage.prepare(VICTIM, &stage.victim))?;
    let caught = stepped.advance(at)? && stepped.holds(stage);
    stepped.kill(stage)?;
    Ok(caught)
}

/// Kills whoever makes a shard whole after its owner died, after every so many instructions; `again`: the next one
/// too, at another.
pub(crate) fn recovery(operation: Operation, again: bool, every: Option<usize>, seed: u64) -> Outcome {
    let _slow_without = OneProcessor::choose();
    let stage = Stage::set(operation.crowded)?;
    let mut random = Random::new(seed);
    let both = [(operation, TARGET), (VICTIM, &stage.victim[..])];
    children::second_process(|| both.iter().try_for_each(|&(one, key)| stage.reset(one, key)))?;
    let plain = measure(&stage, operation, TARGET)?;
    let victim = measure(&stage, VICTIM, &stage.victim)?;
    while !leave_dead_owner(&stage, victim, &mut random)? {}
    let length = measure(&stage, operation, TARGET)?;
    let stride = stride(every, length, victim.took / 2);
    let (mut kills, mut missed) = (0, 0);
    for at in points(length.steps, stride, &mut random.clone()) {
        let failed = |reason: String| format!("killed after {at} instructions: {reason}");
        let second = again.then(|| random.below(length.steps));
        while !leave_dead_owner(&stage, victim, &mut random).map_err(failed)? {
            missed += 1;
            children::second_process(|| stage.examine(&both)).map_err(failed)?;
        }
        let killed = kill_at(&stage, operation, at).map_err(failed)?;
        kills += usize::from(killed);
        if let Some(second) = second.filter(|_| killed) {
            kills += usize::from(kill_at(&stage, operation, second).map_err(failed)?);
        }
        children::second_process(|| stage.examine(&both)).map_err(failed)?;
    }
    if kills < 3 || missed > kills {
        return Err(format!("{kills} kills, {missed} dead owners missed: too few"));
    }
    Ok(format!(
        "{} instructions, {} without the recovery; {kills} kills, every {stride}",
        length.steps, plain.steps
    ))
}

/// Kills an operation on the target after so many instructions. False when it ended before.
fn kill_at(stage: &Stage, operation: Operation, at: usize) -> Result<bool, String> {
    let mut stepped = Stepped::start(stage.prepare(operation, TARGET))?;
    let alive = stepped.advance(at)?;
    stepped.kill(stage)?;
    Ok(alive)
}
