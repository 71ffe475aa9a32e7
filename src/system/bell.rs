//! A bell: any process rings it with a number, and one that sleeps in a poll hears which.
//!
//! Made before the first fork, so that all processes have both ends; what was rung and not heard stays there when the
//! process that should hear it dies, for its successor.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Most that is heard at once, in bytes: a whole number of numbers.
pub const HEARD_BYTES: usize = 4096;

/// The bell.
#[derive(Debug)]
pub struct Bell {
    heard: PipeReader,
    rung: PipeWriter,
}

impl Bell {
    /// A silent one.
    ///
    /// # Errors
    /// When no descriptors can be had.
    pub fn new() -> io::Result<Bell> {
        let (heard, rung) = io::pipe()?;
        fcntl(&heard, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&rung, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Bell { heard, rung })
    }

    /// Rings it. False when it was rung so often unheard that there is no room for more.
    pub fn ring(&self, number: u64) -> bool {
        // As short as this it is written as a whole or not at all.
        (&self.rung).write(&number.to_ne_bytes()).is_ok()
    }

    /// The numbers in what was read from it.
    pub fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
        // As they are written as a whole, and so many bytes read as are a whole number of them.
        bytes.as_chunks().0.iter().map(|chunk| u64::from_ne_bytes(*chunk))
    }

    /// Adds the numbers that it was rung with, those that were first in front. Does not wait.
    pub fn hear(&self, numbers: &mut impl Extend<u64>) {
        let mut bytes = [0; HEARD_BYTES];
        while let Ok(length) = (&self.heard).read(&mut bytes) {
            numbers.extend(Bell::numbers(&bytes[..length]));
            if length < HEARD_BYTES {
                return;
            }
        }
    }
}

impl AsFd for Bell {
    /// Readable when there is something to hear.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::datagram::is_readable;

    #[test]
    fn numbers_are_heard_once_and_in_order() {
        let bell = Bell::new().unwrap();
        let mut numbers = Vec::new();
        bell.hear(&mut numbers);
        assert!(numbers.is_empty() && !is_readable(bell.as_fd()));
        (0..2000).for_each(|number| assert!(bell.ring(number)));
        assert!(is_readable(bell.as_fd()));
        bell.hear(&mut numbers);
        assert!(numbers.iter().copied().eq(0..2000));
        assert!(!is_readable(bell.as_fd()));
    }

    #[test]
    fn one_that_nobody_hears_never_blocks() {
        let bell = Bell::new().unwrap();
        let rung = (0..100_000).take_while(|number| bell.ring(*number)).count();
        assert!((64..100_000).contains(&rung), "{rung}");
        let mut numbers = Vec::new();
        bell.hear(&mut numbers);
        assert_eq!(numbers.len(), rung);
        assert!(bell.ring(7));
    }
}
