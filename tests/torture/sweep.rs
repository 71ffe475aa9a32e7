//! One operation, instruction by instruction: after each the table's memory is copied as a kill would leave it, and a
//! second process looks at the copy.
//!
//! The operation runs once and is not killed, so the cost grows with its length and not with the square of it. What a
//! kill leaves is the memory, and the kernel's mark in the lock; step.rs compares such copies with real kills. A copy
//! that is the same as the last one is not looked at again.

use std::sync::atomic::Ordering::SeqCst;

use crate::children;
use crate::report::Outcome;
use crate::stage::{Operation, Stage, TARGET, VICTIM};
use crate::stepped::{OneProcessor, Stepped};
use crate::values::Random;

/// Deaths of an owner, at random moments, of which each is followed by whole recoveries.
const DEATHS: usize = 4;

/// Deaths within one recovery, at random moments, of which each is followed by another whole recovery.
const SECOND_DEATHS: usize = 2;

/// Where it is done, and where it is looked at.
struct Pair {
    acted: Stage,
    seen: Stage,
    random: Random,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Instructions.
    pub(crate) steps: usize,
    /// Different copies of the memory.
    pub(crate) copies: usize,
    /// Those of them in which the lock has a dead owner.
    pub(crate) dead: usize,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.steps += other.steps;
        self.copies += other.copies;
        self.dead += other.dead;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { steps, copies, dead } = self;
        write!(f, "{steps} instructions, {copies} different memories, {dead} with a dead owner")
    }
}

impl Pair {
    fn set(crowded: bool, seed: u64) -> Result<Pair, String> {
        let acted = Stage::set(crowded)?;
        let seen = acted.twin()?;
        Ok(Pair { acted, seen, random: Random::new(seed) })
    }

    /// Steps through an operation, and has every memory looked at. Returns the figures, and up to `keep` of the
    /// memories with a dead owner, any of them as likely as the others.
    fn walk(
        &mut self,
        operation: Operation,
        key: &[u8],
        operated: &[(Operation, &[u8])],
        keep: usize,
    ) -> Result<(Figures, Vec<Vec<u8>>), String> {
        let mut stepped = Stepped::start(self.acted.prepare(operation, key))?;
        let (mut figures, mut kept) = (Figures::default(), Vec::new());
        let (mut image, mut last) = (Vec::new(), Vec::new());
        loop {
            let is_dead = self.acted.image(stepped.process, &mut image)?;
            if image != last {
                self.seen.load(&image)?;
                children::second_process(|| self.seen.examine(operated))
                    .map_err(|reason| format!("after {} instructions: {reason}", figures.steps))?;
                figures.copies += 1;
                if is_dead {
                    figures.dead += 1;
                    match self.random.below(figures.dead) {
                        _ if kept.len() < keep => kept.push(image.clone()),
                        place if place < keep => kept[place].clone_from(&image),
                        _ => {}
                    }
                }
                std::mem::swap(&mut image, &mut last);
            }
            if !stepped.step()? {
                return Ok((figures, kept));
            }
            figures.steps += 1;
        }
    }

    /// How often the looks found the state before, and after.
    fn found(&self) -> [u64; 2] {
        self.seen.seen().map(|cell| cell.load(SeqCst))
    }
}

/// Looks at an operation after every instruction of it.
pub(crate) fn operation(operation: Operation, seed: u64) -> Outcome {
    let _slow_without = OneProcessor::choose();
    let mut pair = Pair::set(operation.crowded, seed)?;
    children::second_process(|| pair.acted.reset(operation, TARGET))?;
    let (figures, _) = pair.walk(operation, TARGET, &[(operation, TARGET)], 0)?;
    let [old, new] = pair.found();
    let report = format!("{figures}; found old {old}, new {new}");
    if figures.dead == 0 || old == 0 || (operation.changes() && new == 0) { Err(report) } else { Ok(report) }
}

/// Looks at an operation that has to make its shard whole first, after every instruction of it, and again at one that
/// finds the recovery itself cut off.
pub(crate) fn recovery(operation: Operation, seed: u64) -> Outcome {
    let _slow_without = OneProcessor::choose();
    let mut pair = Pair::set(operation.crowded, seed)?;
    let victim = pair.acted.victim.clone();
    let both = [(operation, TARGET), (VICTIM, &victim[..])];
    children::second_process(|| both.iter().try_for_each(|&(one, key)| pair.acted.reset(one, key)))?;
    let (_, deaths) = pair.walk(VICTIM, &victim, &both, DEATHS)?;
    let mut sums = [Figures::default(); 2];
    for death in &deaths {
        pair.acted.load(death)?;
        let (figures, second_deaths) = pair.walk(operation, TARGET, &both, SECOND_DEATHS)?;
        sums[0] += figures;
        for death in &second_deaths {
            pair.acted.load(death)?;
            sums[1] += pair.walk(operation, TARGET, &both, 0)?.0;
        }
    }
    let [old, new] = pair.found();
    let report = format!("{}; again: {}; found old {old}, new {new}", sums[0], sums[1]);
    if deaths.len() < DEATHS || sums[1].dead == 0 || old == 0 { Err(report) } else { Ok(report) }
}
