//! Wakes a process that sleeps in a poll, and passes it numbers, through a pipe.
//!
//! The attendant makes the notifiers before the first fork, so every process has both ends of each. Numbers that a
//! killed process has not read stay in the pipe for its successor.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// The most bytes of one read: a multiple of the size of a number.
pub const DRAIN_BYTES: usize = 4096;

/// A pipe of 64-bit numbers, non-blocking at both ends.
#[derive(Debug)]
pub struct PipeNotifier {
    reader: PipeReader,
    writer: PipeWriter,
}

impl PipeNotifier {
    /// Makes an empty pipe.
    ///
    /// # Errors
    /// When the process has no free descriptors.
    pub fn new() -> io::Result<PipeNotifier> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(PipeNotifier { reader, writer })
    }

    /// Sends a number. False when the pipe is full.
    pub fn notify(&self, number: u64) -> bool {
        // The kernel writes so few bytes completely or not at all.
        (&self.writer).write(&number.to_ne_bytes()).is_ok()
    }

    /// Decodes the numbers in bytes that were read from the pipe.
    pub fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
        // All writes and all reads are multiples of the size of a number.
        bytes.as_chunks().0.iter().map(|chunk| u64::from_ne_bytes(*chunk))
    }

    /// Reads all numbers that are in the pipe, the oldest first. Does not block.
    pub fn drain(&self, numbers: &mut impl Extend<u64>) {
        let mut bytes = [0; DRAIN_BYTES];
        while let Ok(length) = (&self.reader).read(&mut bytes) {
            numbers.extend(PipeNotifier::numbers(&bytes[..length]));
            if length < DRAIN_BYTES {
                return;
            }
        }
    }
}

impl AsFd for PipeNotifier {
    /// The end that is readable when the pipe holds numbers.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::datagram::is_readable;

    #[test]
    fn numbers_are_read_once_and_in_order() {
        let notifier = PipeNotifier::new().unwrap();
        let mut numbers = Vec::new();
        notifier.drain(&mut numbers);
        assert!(numbers.is_empty() && !is_readable(notifier.as_fd()));
        (0..2000).for_each(|number| assert!(notifier.notify(number)));
        assert!(is_readable(notifier.as_fd()));
        notifier.drain(&mut numbers);
        assert!(numbers.iter().copied().eq(0..2000));
        assert!(!is_readable(notifier.as_fd()));
    }

    #[test]
    fn a_full_pipe_refuses_numbers_and_does_not_block() {
        let notifier = PipeNotifier::new().unwrap();
        let sent = (0..100_000).take_while(|number| notifier.notify(*number)).count();
        assert!((64..100_000).contains(&sent), "{sent}");
        let mut numbers = Vec::new();
        notifier.drain(&mut numbers);
        assert_eq!(numbers.len(), sent);
        assert!(notifier.notify(7));
    }
}
