//! What one process has read from a stream and not yet served, so that its successor goes on from there.
//!
//! A ring in shared memory with one writer at a time. The kernel puts bytes behind the end, and one store publishes
//! them; one store takes bytes from the start. All bytes outside of the published ones are zero, but for those that a
//! process left behind that was killed: just behind the end, read and not published, which its successor takes; just
//! before the start, taken and not cleared. A ring has room for both. What was read and ends in zeros loses these when
//! its reader is killed at that moment.
#![expect(unsafe_code, reason = "the kernel reads into shared memory")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::region::Region;

/// Most that is read at once, in bytes: what a pipe holds if nobody has changed that.
const READ_BYTES: usize = 64 << 10;

/// Where the start of the published bytes stands, shifted by [`MARK_BITS`], with the caller's mark in the bits below.
const START: usize = 0;
/// Where their end stands. Both only grow; the start is beyond the end while a ring without bytes starts again.
const END: usize = 8;
/// Where the ring begins.
const RING: usize = 64;

/// Bits of a mark.
const MARK_BITS: u32 = 3;

/// See the module's text.
#[derive(Debug)]
pub struct ReadAhead {
    region: Region,
    capacity: usize,
}

impl ReadAhead {
    /// Room for so many bytes and one read more.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn create(bytes: usize) -> io::Result<ReadAhead> {
        // One read beyond the limit, and one whose bytes are not published.
        let capacity = bytes + 2 * READ_BYTES;
        Ok(ReadAhead { region: Region::anonymous(RING + capacity)?, capacity })
    }

    /// Adds what the predecessor has left to `unread`, and gives the mark of its last
    /// [`consume`](ReadAhead::consume). To be called once, before anything else, by each process that is to read.
    pub fn take_over(&self, unread: &mut Vec<u8>) -> u8 {
        let start = self.start();
        let mut end = self.end().load(Ordering::Acquire).max(start);
        let mut found = Vec::new();
        self.copy_out(end, READ_BYTES.min(self.contiguous(end)), &mut found);
        let kept = found.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        end += kept as u64;
        self.end().store(end, Ordering::Release);
        let used = usize::try_from(end - start).unwrap_or(self.capacity).min(self.capacity);
        self.clear(end, self.capacity - used);
        self.copy_out(start, used, unread);
        u8::try_from(self.word().load(Ordering::Acquire) & ((1 << MARK_BITS) - 1)).unwrap_or_default()
    }

    /// Reads from `source` and adds what came to `unread`, which must hold no more than was asked for at the
    /// beginning. Returns how much that was; 0 at the end of the stream.
    ///
    /// # Errors
    /// As `read(2)`: `Interrupted` when a signal came.
    pub fn read(&self, source: BorrowedFd<'_>, unread: &mut Vec<u8>) -> io::Result<usize> {
        let (start, end) = (self.start(), self.end().load(Ordering::Relaxed));
        let used = usize::try_from(end - start).unwrap_or(self.capacity);
        assert!(used + 2 * READ_BYTES <= self.capacity, "a caller must take bytes before it reads more");
        let length = READ_BYTES.min(self.contiguous(end));
        let place = self.region.place(self.offset(end), length);
        // SAFETY: the place holds that many bytes (checked by `place`), and lies outside of what any process looks
        // at before it is published; there is one process that reads, and no reference to these bytes.
        let count = unsafe { libc::read(source.as_raw_fd(), place.cast(), length) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.end().store(end + count as u64, Ordering::Release);
        self.copy_out(end, count, unread);
        Ok(count)
    }

    /// Takes the first `length` published bytes, and notes `mark`, of three bits, for a successor: both by one store.
    pub fn consume(&self, length: usize, mark: u8) {
        let (start, end) = (self.start(), self.end().load(Ordering::Relaxed));
        let mut next = start + length as u64;
        assert!(next <= end, "only what was read is taken");
        let restarts = next == end && self.may_restart(start, length);
        if restarts {
            next = end.next_multiple_of(self.capacity as u64);
        }
        self.word().store(next << MARK_BITS | u64::from(mark), Ordering::Release);
        self.clear(start, length);
        if restarts {
            self.end().store(next, Ordering::Release);
        }
    }

    /// Whether a ring that gets empty may go on from its beginning, so that a small part of it stays in the
    /// processor's cache: what is taken, from there, must lie where a successor does not look for what was read and
    /// not published.
    fn may_restart(&self, position: u64, length: usize) -> bool {
        self.offset(position) - RING >= READ_BYTES && length <= self.contiguous(position)
    }

    fn word(&self) -> &AtomicU64 {
        self.region.wide(START)
    }

    fn start(&self) -> u64 {
        self.word().load(Ordering::Acquire) >> MARK_BITS
    }

    fn end(&self) -> &AtomicU64 {
        self.region.wide(END)
    }

    fn offset(&self, position: u64) -> usize {
        RING + usize::try_from(position % self.capacity as u64).unwrap_or(0)
    }

    /// Bytes from a position to where the ring closes.
    fn contiguous(&self, position: u64) -> usize {
        RING + self.capacity - self.offset(position)
    }

    fn copy_out(&self, position: u64, length: usize, to: &mut Vec<u8>) {
        let first = length.min(self.contiguous(position));
        self.region.copy_out(self.offset(position), first, to);
        self.region.copy_out(RING, length - first, to);
    }

    fn clear(&self, position: u64, length: usize) {
        let first = length.min(self.contiguous(position));
        self.region.zero(self.offset(position), first);
        self.region.zero(RING, length - first);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    const LIMIT: usize = 100_000;

    fn pipe(bytes: &[u8]) -> io::PipeReader {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        reader
    }

    #[test]
    fn a_successor_finds_what_was_read_and_not_taken() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        assert_eq!(ahead.take_over(&mut unread), 0);
        assert_eq!(ahead.read(pipe(b"one two three").as_fd(), &mut unread).unwrap(), 13);
        ahead.consume(4, 5);
        let mut left = Vec::new();
        assert_eq!((ahead.take_over(&mut left), left.as_slice()), (5, &b"two three"[..]));
        ahead.consume(9, 0);
        left.clear();
        assert_eq!((ahead.take_over(&mut left), left.as_slice()), (0, &b""[..]));
    }

    #[test]
    fn what_was_read_and_not_published_is_found() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        ahead.read(pipe(b"first").as_fd(), &mut unread).unwrap();
        // As if the reader had been killed between the two.
        ahead.region.copy_in(ahead.offset(5), b"and\0second");
        let mut left = Vec::new();
        ahead.take_over(&mut left);
        assert_eq!(left, b"firstand\0second");
        ahead.consume(15, 0);
        ahead.read(pipe(b"third").as_fd(), &mut left).unwrap();
        left.clear();
        ahead.take_over(&mut left);
        assert_eq!(left, b"third");
    }

    #[test]
    fn what_was_taken_and_not_cleared_does_not_come_back() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        ahead.read(pipe(&[b'x'; 5000]).as_fd(), &mut unread).unwrap();
        ahead.word().store(5000 << MARK_BITS, Ordering::Release);
        let mut left = Vec::new();
        ahead.take_over(&mut left);
        assert_eq!(left, b"");
        // All the way round.
        let mut total = 0;
        while total < 3 * ahead.capacity {
            let count = ahead.read(pipe(&[b'y'; 60_000]).as_fd(), &mut left).unwrap();
            ahead.consume(count, 0);
            total += count;
            assert!(left.iter().all(|&byte| byte == b'y'));
            left.clear();
            ahead.take_over(&mut left);
            assert_eq!(left, b"");
        }
    }

    #[test]
    fn an_empty_ring_starts_again_and_what_was_taken_stays_taken() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        let mut most = 0;
        for _ in 0..100 {
            ahead.read(pipe(&[b'x'; 5000]).as_fd(), &mut unread).unwrap();
            most = most.max(ahead.offset(ahead.start()));
            ahead.consume(5000, 3);
        }
        assert!((READ_BYTES..READ_BYTES + 10_000).contains(&most), "{most}");
        while ahead.offset(ahead.start()) - RING < READ_BYTES {
            ahead.read(pipe(&[b'y'; 5000]).as_fd(), &mut unread).unwrap();
            ahead.consume(5000, 3);
        }
        // As if the reader had been killed with its last store but two: taken, not cleared, and no new end.
        ahead.read(pipe(&[b'z'; 5000]).as_fd(), &mut unread).unwrap();
        let old = ahead.end().load(Ordering::Relaxed);
        ahead.word().store(old.next_multiple_of(ahead.capacity as u64) << MARK_BITS | 6, Ordering::Release);
        let mut left = Vec::new();
        assert_eq!((ahead.take_over(&mut left), left.as_slice()), (6, &b""[..]));
        ahead.read(pipe(b"next").as_fd(), &mut unread).unwrap();
        assert_eq!((ahead.take_over(&mut left), left.as_slice()), (6, &b"next"[..]));
    }

    #[test]
    fn what_was_taken_around_the_ring_s_end_does_not_come_back() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        let rest = 1000;
        // Never empty, so it does not start again.
        ahead.read(pipe(&[b'x'; 5000]).as_fd(), &mut unread).unwrap();
        while ahead.contiguous(ahead.end().load(Ordering::Relaxed)) > rest {
            let room = ahead.contiguous(ahead.end().load(Ordering::Relaxed)) - rest;
            ahead.read(pipe(&vec![b'x'; room.min(5000)]).as_fd(), &mut unread).unwrap();
            let used = ahead.end().load(Ordering::Relaxed) - ahead.start();
            ahead.consume(usize::try_from(used).unwrap() - 1, 0);
        }
        ahead.read(pipe(&[b'x'; 1000]).as_fd(), &mut unread).unwrap();
        ahead.read(pipe(&[b'x'; 1000]).as_fd(), &mut unread).unwrap();
        assert!(!ahead.may_restart(ahead.start(), 2001));
        ahead.consume(2001, 0);
        unread.clear();
        ahead.read(pipe(b"next").as_fd(), &mut unread).unwrap();
        let mut left = Vec::new();
        ahead.take_over(&mut left);
        assert_eq!(left, b"next");
    }

    #[test]
    fn as_much_as_was_asked_for_and_one_read_more_has_room() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        ahead.read(pipe(&[b'a'; 30_000]).as_fd(), &mut unread).unwrap();
        ahead.consume(30_000, 0);
        unread.clear();
        let text: Vec<u8> = (0..=255_u8).cycle().take(LIMIT).collect();
        let mut sent = 0;
        while unread.len() <= LIMIT - 60_000 {
            sent +=
                ahead.read(pipe(&text[sent..sent + 60_000.min(LIMIT - sent)]).as_fd(), &mut unread).unwrap();
        }
        ahead.read(pipe(&text[sent..]).as_fd(), &mut unread).unwrap();
        let mut left = Vec::new();
        ahead.take_over(&mut left);
        assert_eq!(left, text[..unread.len()]);
        assert!(left.len() > LIMIT - 60_000);
    }
}
