//! The memory of C modules: one call, killed after so many instructions, and looked at after each of them. As sweep.rs
//! and step.rs do it for the table, but always in full, since a call is short.

use std::fs::{File, OpenOptions};
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use opensips_mi::shm::{Contiguous, Segment};
use opensips_mi::system::process::ProcessId;

use crate::children;
use crate::report::Outcome;
use crate::stepped::{OneProcessor, Stepped};
use crate::sweep::Figures;
use crate::values::Random;

/// Bytes of the memory.
const BYTES: usize = 4096;

/// Blocks and their headers begin at multiples of this.
const STEP: usize = 16;

/// Real kills of a call, at random moments.
const KILLS: usize = 12;

/// Deaths at random moments of which each is followed by another whole call.
const DEATHS: usize = 2;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// With room behind the last block, or only in a hole of two free blocks.
    Allocate { bytes: usize, is_crowded: bool },
    /// The block of this number.
    Release { block: usize },
}

/// All calls: their names, and whether they change anything.
pub(crate) const CALLS: [(&str, Call, bool); 6] = [
    ("take behind the last block", Call::Allocate { bytes: 100, is_crowded: false }, true),
    ("take a part of two free blocks", Call::Allocate { bytes: 240, is_crowded: true }, true),
    ("take the whole of two free blocks", Call::Allocate { bytes: 304, is_crowded: true }, true),
    ("take in vain", Call::Allocate { bytes: 1000, is_crowded: true }, false),
    ("give back beside a free block", Call::Release { block: 2 }, true),
    ("give back between blocks in use", Call::Release { block: 3 }, true),
];

/// A memory with known contents.
struct Stage {
    memory: &'static Contiguous,
    /// This process's memory, of which it is a part.
    file: File,
    start: usize,
    /// Where blocks are that are in use, how large they are, and what they hold.
    held: Vec<(usize, usize, Vec<u8>)>,
    /// What is in use when no block is.
    least: u64,
    /// How often a look found the state before, and after.
    seen: [&'static AtomicU64; 2],
}

impl Stage {
    /// Blocks of 100 bytes and more, with two free ones side by side after the first two.
    fn set(is_crowded: bool) -> Result<Stage, String> {
        let failed = |error: std::io::Error| format!("cannot make memory: {error}");
        let memory = Contiguous::create(BYTES).map_err(failed)?;
        let file = OpenOptions::new().read(true).write(true).open("/proc/self/mem").map_err(failed)?;
        let row =
            Segment::create(opensips_mi::shm::MIN_BYTES, 1, 2).map_err(|error| error.to_string())?.row(0);
        let least = memory.used_bytes();
        let blocks = [100, 120, 200, 80, 150, 60, 90].map(|bytes| memory.allocate(bytes));
        let mut blocks: Vec<NonNull<u8>> = blocks.into_iter().flatten().collect();
        let start = blocks[0].addr().get() / 4096 * 4096;
        if is_crowded {
            let left = BYTES - usize::try_from(memory.used_bytes()).unwrap_or(0) - STEP;
            blocks.push(memory.allocate(left).ok_or("the rest is not one block")?);
        }
        let free: Vec<NonNull<u8>> = blocks.drain(2..4).collect();
        if !free.into_iter().all(|block| memory.release(block)) {
            return Err(String::from("a block is not given back"));
        }
        let mut stage = Stage { memory, file, start, held: Vec::new(), least, seen: [&row[0], &row[1]] };
        for (letter, block) in (b'a'..).zip(blocks) {
            let bytes = memory.capacity(block).ok_or("a block is not in use")?;
            let (place, value) = (block.addr().get() - start, vec![letter; bytes]);
            stage.write(place, &value)?;
            stage.held.push((place, bytes, value));
        }
        Ok(stage)
    }

    /// Another one with the same contents.
    fn twin(&self) -> Result<Stage, String> {
        let twin = Stage::set(false)?;
        let mut image = Vec::new();
        self.image(ProcessId::own(), &mut image)?;
        twin.write(0, &image)?;
        Ok(Stage { held: self.held.clone(), ..twin })
    }

    fn write(&self, place: usize, bytes: &[u8]) -> Result<(), String> {
        let failed = |error| format!("cannot write the memory: {error}");
        self.file.write_all_at(bytes, (self.start + place) as u64).map_err(failed)
    }

    fn read(&self, place: usize, bytes: &mut [u8]) -> Result<(), String> {
        let failed = |error| format!("cannot read the memory: {error}");
        self.file.read_exact_at(bytes, (self.start + place) as u64).map_err(failed)
    }

    /// Copies the memory as it would be if a process died now. Its lock lies at the beginning. Returns whether it has a
    /// dead owner. See `Stage::image` in stage.rs.
    fn image(&self, dying: ProcessId, image: &mut Vec<u8>) -> Result<bool, String> {
        image.resize(BYTES, 0);
        self.read(0, image)?;
        let place = &mut image[..4];
        let mut word = u32::from_ne_bytes(place.try_into().map_err(|_| "a word has four bytes")?);
        if word & libc::FUTEX_TID_MASK == dying.number().cast_unsigned() {
            word = word & libc::FUTEX_WAITERS | libc::FUTEX_OWNER_DIED;
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Ok(word & libc::FUTEX_OWNER_DIED != 0)
    }

    /// The call, on this memory.
    fn prepare(&self, call: Call) -> impl FnOnce() -> Result<(), String> + use<> {
        let memory = self.memory;
        let block = match call {
            Call::Release { block } => self.block(self.held[block].0),
            Call::Allocate { .. } => None,
        };
        move || {
            match call {
                Call::Allocate { bytes, .. } => {
                    let _taken = memory.allocate(bytes);
                }
                Call::Release { .. } => {
                    let _given = block.is_some_and(|block| memory.release(block));
                }
            }
            Ok(())
        }
    }

    fn block(&self, place: usize) -> Option<NonNull<u8>> {
        // Only ever looked up, never followed.
        Some(NonNull::without_provenance(NonZero::new(self.start + place)?))
    }

    /// Blocks in use: place and size.
    fn found(&self) -> Vec<(usize, usize)> {
        let places = (0..BYTES).step_by(STEP);
        places.filter_map(|place| Some((place, self.memory.capacity(self.block(place)?)?))).collect()
    }

    /// After a kill: blocks do not overlap, all that were not touched are as they were, at most `calls` are there or not
    /// there beyond them, and when all are given back nothing is missing.
    fn examine(&self, call: Call, calls: usize) -> Result<(), String> {
        // Takes the lock, and so makes whole what a dead owner left.
        let trial = self.memory.allocate(1);
        if trial.is_some_and(|trial| !self.memory.release(trial)) {
            return Err(String::from("a block that was just taken is not in use"));
        }
        let found = self.found();
        if let Some(pair) = found.windows(2).find(|pair| pair[0].0 + pair[0].1 + STEP > pair[1].0) {
            return Err(format!("two blocks overlap: {pair:?}"));
        }
        let mut others = found.len();
        for (number, (place, bytes, value)) in self.held.iter().enumerate() {
            let is_there = found.contains(&(*place, *bytes));
            others -= usize::from(is_there);
            let mut now = vec![0; *bytes];
            self.read(*place, &mut now)?;
            let is_target = matches!(call, Call::Release { block } if block == number);
            if is_target {
                self.seen[usize::from(!is_there)].fetch_add(1, SeqCst);
            } else if !is_there || now != *value {
                return Err(format!(
                    "block {number} was not touched: in use {is_there}, holds {:?}",
                    &now[..8]
                ));
            }
        }
        if let Call::Allocate { .. } = call {
            self.seen[usize::from(others > 0)].fetch_add(1, SeqCst);
        }
        if others > calls {
            return Err(format!("{others} blocks of nobody: {found:?}"));
        }
        let given = |place| self.block(place).is_some_and(|block| self.memory.release(block));
        if !found.iter().all(|(place, _)| given(*place)) || self.memory.used_bytes() != self.least {
            return Err(format!("{} bytes in use when all is given back", self.memory.used_bytes()));
        }
        let all = BYTES - usize::try_from(self.least).unwrap_or(0) - STEP;
        self.memory.allocate(all).map(drop).ok_or_else(|| String::from("the free blocks do not make one"))
    }
}

/// Steps through a call, and has every memory looked at. Returns the figures, and up to `keep` memories with a dead
/// owner.
fn walk(
    acted: &Stage,
    seen: &Stage,
    call: Call,
    calls: usize,
    keep: Option<&mut Random>,
) -> Result<(Figures, Vec<Vec<u8>>), String> {
    let mut stepped = Stepped::start(acted.prepare(call))?;
    let (mut figures, mut dead) = (Figures::default(), Vec::new());
    let (mut image, mut last) = (Vec::new(), Vec::new());
    loop {
        let is_dead = acted.image(stepped.process, &mut image)?;
        if image != last {
            seen.write(0, &image)?;
            children::second_process(|| seen.examine(call, calls))
                .map_err(|reason| format!("after {} instructions: {reason}", figures.steps))?;
            figures.copies += 1;
            figures.dead += usize::from(is_dead);
            if is_dead {
                dead.push(image.clone());
            }
            std::mem::swap(&mut image, &mut last);
        }
        if !stepped.step()? {
            break;
        }
        figures.steps += 1;
    }
    let kept = keep.into_iter().flat_map(|random| {
        (0..DEATHS.min(dead.len())).map(|_| dead[random.below(dead.len())].clone()).collect::<Vec<_>>()
    });
    Ok((figures, kept.collect()))
}

/// One call: after every instruction, then the same call again after some of the deaths, then with real kills.
pub(crate) fn call(call: Call, changes: bool, seed: u64) -> Outcome {
    let _slow_without = OneProcessor::choose();
    let acted = Stage::set(matches!(call, Call::Allocate { is_crowded: true, .. }))?;
    let seen = acted.twin()?;
    let mut before = Vec::new();
    acted.image(ProcessId::own(), &mut before)?;
    let mut random = Random::new(seed);
    let (figures, deaths) = walk(&acted, &seen, call, 1, Some(&mut random))?;
    let mut again = Figures::default();
    for death in &deaths {
        acted.write(0, death)?;
        again += walk(&acted, &seen, call, 2, None)?.0;
    }
    let mut kills = 0;
    for _ in 0..KILLS {
        let at = random.below(figures.steps);
        let failed = |reason: String| format!("killed after {at} instructions: {reason}");
        acted.write(0, &before)?;
        let mut stepped = Stepped::start(acted.prepare(call)).map_err(failed)?;
        kills += usize::from(stepped.advance(at).map_err(failed)?);
        stepped.kill_leaving(|process, image| acted.image(process, image)).map_err(failed)?;
        children::second_process(|| acted.examine(call, 1)).map_err(failed)?;
    }
    let [old, new] = [acted.seen, seen.seen]
        .into_iter()
        .fold([0, 0], |sum, cells| [sum[0] + cells[0].load(SeqCst), sum[1] + cells[1].load(SeqCst)]);
    let report = format!("{figures}; again after deaths: {again}; {kills} kills; found old {old}, new {new}");
    let is_shown = figures.dead > 0 && again.dead > 0 && kills > 0 && old > 0 && (new > 0) == changes;
    if is_shown { Ok(report) } else { Err(report) }
}
