//! The order of the turns: floor, server, floor, server … Owns what a round is; measures nothing itself.
//!
//! A round consists of several short turns of each side, because on few cores the kernel's placement of the
//! processes moves a single stretch by a third either way, and a new turn is a new placement.

use crate::error::Result;
use crate::report::Sample;

/// What `turn` gives for each pair in each of `rounds` rounds. It is called with the pair's number and whether the floor
/// goes first.
pub(crate) fn interleave(
    rounds: u32,
    turns: u32,
    pairs: usize,
    mut turn: impl FnMut(usize, bool) -> Result<Sample>,
) -> Result<Vec<Vec<Sample>>> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); pairs];
    for round in 0..=rounds {
        let mut sums = vec![Sample { floor: 0.0, server: 0.0 }; pairs];
        for number in 0..turns {
            for (pair, sum) in sums.iter_mut().enumerate() {
                // Who goes first changes, so that a machine that gets slower or faster favours neither.
                let turn = turn(pair, number % 2 == 0)?;
                sum.floor += turn.floor / f64::from(turns);
                sum.server += turn.server / f64::from(turns);
            }
        }
        if round == 0 {
            // New processes are slow at first, and a floor is always new: the first round does not count.
            continue;
        }
        for (samples, sum) in samples.iter_mut().zip(sums) {
            samples.push(sum);
        }
    }
    Ok(samples)
}
