//! Time slices: a request that takes long gives way after some milliseconds, so that others have a turn.

use std::time::{Duration, Instant};

/// For how long a request keeps its process busy before others have a turn. Each turn costs its process a system call or
/// two, far below a hundredth of this.
pub const SLICE: Duration = Duration::from_millis(2);

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something is left.
    More,
    /// That was all, for now.
    Done,
}

/// The time that one request has taken, over all its slices.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeSpent(Duration);

impl TimeSpent {
    /// Takes steps until one of them says that it was the last, or the slice is over. `step` is told how long all steps
    /// of the request before it took. Reads the clock once more than there are steps.
    pub fn slice(&mut self, mut step: impl FnMut(Duration) -> Step) -> Step {
        let start = Instant::now();
        let mut taken = Duration::ZERO;
        let end = loop {
            let made = step(self.0 + taken);
            taken = start.elapsed();
            if made == Step::Done || taken >= SLICE {
                break made;
            }
        };
        self.0 += taken;
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_with_the_last_step() {
        let (mut spent, mut steps) = (TimeSpent::default(), 0);
        // Several slices only if this machine stops for longer than one.
        while Step::More
            == spent.slice(|_| {
                steps += 1;
                if steps < 3 { Step::More } else { Step::Done }
            })
        {}
        assert_eq!(steps, 3);
    }

    #[test]
    fn work_without_an_end_gives_way_and_its_time_adds_up() {
        let (mut spent, mut seen) = (TimeSpent::default(), Vec::new());
        for _ in 0..3 {
            assert_eq!(
                spent.slice(|before| {
                    seen.push(before);
                    Step::More
                }),
                Step::More
            );
        }
        assert!(spent.0 >= 3 * SLICE && seen.is_sorted() && seen.len() >= 3, "{seen:?}");
    }
}
