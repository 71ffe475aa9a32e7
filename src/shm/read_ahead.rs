//! What one process has read from a stream and not yet served, so that its successor goes on from there.
//!
//! A ring in shared memory with one writer at a time. The kernel puts bytes behind the end, and one store publishes
//! them; one store takes bytes out. All bytes of the ring outside of the published ones are zero, but for those that a
//! process left behind that was killed: just behind the end, read and not published, which its successor takes; just
//! before the start, taken and not cleared. A ring has room for both. What was read and ends in zeros loses these when
//! its reader is killed at that moment.
//!
//! Bytes may be taken that have others before them. These others are then set aside, in a place of their own, and come
//! first: what is unread is what was set aside, and the ring behind it. The place has two halves, of which one is in use:
//! bytes are only added behind those that count, or all of them are written to the other half.
#![expect(unsafe_code, reason = "the kernel reads into shared memory")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::region::Region;

/// Most that is read at once, in bytes: what a pipe holds if nobody has changed that.
const READ_BYTES: usize = 64 << 10;

/// Which of the two records counts: 0 or 1.
const CURRENT: usize = 0;
/// Where the end of the ring's published bytes stands. It only grows.
const END: usize = 8;
/// Where the records are.
const RECORDS: usize = 16;
/// Where the ring begins.
const RING: usize = 128;

/// Fields of a record, in bytes from its begin. It says what was taken.
const START: usize = 0;
const ASIDE: usize = 8;
const ASIDE_END: usize = 16;
const MARK: usize = 24;
/// Size of a record, in bytes.
const RECORD_BYTES: usize = 32;

/// What is unread, apart from the ring's end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unread {
    /// Where the start of the ring's bytes stands. It only grows, and is beyond the end while a ring without bytes
    /// starts again.
    start: u64,
    /// What is set aside, as offsets in the place for that.
    aside: Range<usize>,
    /// The caller's mark.
    mark: u8,
}

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
        Ok(ReadAhead { region: Region::anonymous(RING + 3 * capacity)?, capacity })
    }

    /// Adds what the predecessor has left to `unread`, and gives the mark of its last [`take`](ReadAhead::take). To be
    /// called once, before anything else, by each process that is to read.
    pub fn take_over(&self, unread: &mut Vec<u8>) -> u8 {
        let Unread { start, aside, mark } = self.unread();
        let mut end = self.end().load(Ordering::Acquire).max(start);
        let mut found = Vec::new();
        self.copy_out(end, READ_BYTES.min(self.contiguous(end)), &mut found);
        let kept = found.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        end += kept as u64;
        self.end().store(end, Ordering::Release);
        let used = usize::try_from(end - start).unwrap_or(self.capacity).min(self.capacity);
        self.clear(end, self.capacity - used);
        self.region.copy_out(self.aside_offset(aside.start), aside.len(), unread);
        self.copy_out(start, used, unread);
        mark
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

    /// Takes `length` unread bytes behind the first `before`, which stay, and notes `mark` for a successor: both by one
    /// store.
    pub fn take(&self, before: usize, length: usize, mark: u8) {
        let Unread { start, aside, .. } = self.unread();
        let end = self.end().load(Ordering::Relaxed);
        // What goes from the ring: bytes that stay, and bytes that are taken.
        let kept = before.saturating_sub(aside.len());
        let taken = (before + length).saturating_sub(aside.len().max(before));
        let mut next = start + (kept + taken) as u64;
        assert!(next <= end, "only what was read is taken");
        let restarts = next == end && self.may_restart(start, kept + taken);
        if restarts {
            next = end.next_multiple_of(self.capacity as u64);
        }
        let aside = self.set_aside(aside, before, length, start, kept);
        self.publish(&Unread { start: next, aside, mark });
        self.clear(start, kept + taken);
        if restarts {
            self.end().store(next, Ordering::Release);
        }
    }

    /// Writes what will be set aside when `length` bytes behind the first `before` are taken, `kept` of these from the
    /// ring's `start`. What counts until then stays as it is.
    fn set_aside(
        &self,
        aside: Range<usize>,
        before: usize,
        length: usize,
        start: u64,
        kept: usize,
    ) -> Range<usize> {
        let behind = (before + length).min(aside.len());
        if before == 0 {
            return aside.start + behind..aside.end;
        }
        let half_end = if aside.start < self.capacity { self.capacity } else { 2 * self.capacity };
        // Some are taken from the middle, or there is no room behind them.
        if behind < aside.len() || aside.end + kept > half_end {
            let mut all = Vec::new();
            self.region.copy_out(self.aside_offset(aside.start), before.min(aside.len()), &mut all);
            self.copy_out(start, kept, &mut all);
            self.region.copy_out(self.aside_offset(aside.start + behind), aside.len() - behind, &mut all);
            let other = if half_end == self.capacity { self.capacity } else { 0 };
            self.region.copy_in(self.aside_offset(other), &all);
            return other..other + all.len();
        }
        let mut more = Vec::new();
        self.copy_out(start, kept, &mut more);
        self.region.copy_in(self.aside_offset(aside.end), &more);
        aside.start..aside.start + before.min(aside.len()) + kept
    }

    fn unread(&self) -> Unread {
        let at = RECORDS + RECORD_BYTES * usize::from(self.current().load(Ordering::Acquire) == 1);
        let field = |field: usize| self.region.wide(at + field).load(Ordering::Relaxed);
        let place = |position: u64| usize::try_from(position).unwrap_or_default();
        let aside = place(field(ASIDE))..place(field(ASIDE_END));
        Unread { start: field(START), aside, mark: u8::try_from(field(MARK)).unwrap_or_default() }
    }

    fn publish(&self, unread: &Unread) {
        let other = u64::from(self.current().load(Ordering::Relaxed) == 0);
        let at = RECORDS + RECORD_BYTES * usize::from(other == 1);
        let set = |field: usize, value: u64| self.region.wide(at + field).store(value, Ordering::Relaxed);
        set(START, unread.start);
        set(ASIDE, unread.aside.start as u64);
        set(ASIDE_END, unread.aside.end as u64);
        set(MARK, unread.mark.into());
        self.current().store(other, Ordering::Release);
    }

    /// Whether a ring that gets empty may go on from its beginning, so that a small part of it stays in the
    /// processor's cache: what is taken, from there, must lie where a successor does not look for what was read and
    /// not published.
    fn may_restart(&self, position: u64, length: usize) -> bool {
        self.offset(position) - RING >= READ_BYTES && length <= self.contiguous(position)
    }

    fn current(&self) -> &AtomicU64 {
        self.region.wide(CURRENT)
    }

    fn start(&self) -> u64 {
        self.unread().start
    }

    fn end(&self) -> &AtomicU64 {
        self.region.wide(END)
    }

    fn aside_offset(&self, place: usize) -> usize {
        RING + self.capacity + place
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
        ahead.take(0, 4, 5);
        let mut left = Vec::new();
        assert_eq!((ahead.take_over(&mut left), left.as_slice()), (5, &b"two three"[..]));
        ahead.take(0, 9, 0);
        left.clear();
        assert_eq!((ahead.take_over(&mut left), left.as_slice()), (0, &b""[..]));
    }

    #[test]
    fn bytes_before_those_that_are_taken_stay_for_a_successor() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        let mut random = 1_usize;
        for (round, mark) in (0..3000).zip((0..8).cycle()) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [size, place, rest] = [32, 40, 48].map(|bits| random >> bits);
            if unread.len() < LIMIT / 2 {
                let bytes: Vec<u8> = (1..=255).cycle().skip(round % 255).take(1 + size % 9000).collect();
                ahead.read(pipe(&bytes).as_fd(), &mut unread).unwrap();
            }
            // From the beginning, the middle and the end, in turns.
            let before = if round % 3 == 0 { 0 } else { place % unread.len() };
            let length = if round % 2 == 0 { unread.len() - before } else { rest % (unread.len() - before) };
            ahead.take(before, length, mark);
            unread.drain(before..before + length);
            let mut left = Vec::new();
            assert_eq!(ahead.take_over(&mut left), mark);
            assert!(left == unread, "{round}: {before} {length}");
        }
    }

    /// A process may be killed before its one store that counts.
    #[test]
    fn what_is_set_aside_and_not_published_changes_nothing() {
        let ahead = ReadAhead::create(LIMIT).unwrap();
        let mut unread = Vec::new();
        ahead.read(pipe(b"one two three four five six").as_fd(), &mut unread).unwrap();
        ahead.take(4, 4, 1);
        let wanted = b"one three four five six";
        for (before, length) in [(0, 1), (2, 1), (2, 8), (4, 6), (10, 5), (4, 19)] {
            let Unread { start, aside, .. } = ahead.unread();
            let kept = usize::saturating_sub(before, aside.len());
            let _unpublished = ahead.set_aside(aside, before, length, start, kept);
            let mut left = Vec::new();
            assert_eq!((ahead.take_over(&mut left), left.as_slice()), (1, &wanted[..]), "{before} {length}");
        }
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
        ahead.take(0, 15, 0);
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
        ahead.publish(&Unread { start: 5000, aside: 0..0, mark: 0 });
        let mut left = Vec::new();
        ahead.take_over(&mut left);
        assert_eq!(left, b"");
        // All the way round.
        let mut total = 0;
        while total < 3 * ahead.capacity {
            let count = ahead.read(pipe(&[b'y'; 60_000]).as_fd(), &mut left).unwrap();
            ahead.take(0, count, 0);
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
            ahead.take(0, 5000, 3);
        }
        assert!((READ_BYTES..READ_BYTES + 10_000).contains(&most), "{most}");
        while ahead.offset(ahead.start()) - RING < READ_BYTES {
            ahead.read(pipe(&[b'y'; 5000]).as_fd(), &mut unread).unwrap();
            ahead.take(0, 5000, 3);
        }
        // As if the reader had been killed with its last store but two: taken, not cleared, and no new end.
        ahead.read(pipe(&[b'z'; 5000]).as_fd(), &mut unread).unwrap();
        let old = ahead.end().load(Ordering::Relaxed);
        let start = old.next_multiple_of(ahead.capacity as u64);
        ahead.publish(&Unread { start, aside: 0..0, mark: 6 });
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
            ahead.take(0, usize::try_from(used).unwrap() - 1, 0);
        }
        ahead.read(pipe(&[b'x'; 1000]).as_fd(), &mut unread).unwrap();
        ahead.read(pipe(&[b'x'; 1000]).as_fd(), &mut unread).unwrap();
        assert!(!ahead.may_restart(ahead.start(), 2001));
        ahead.take(0, 2001, 0);
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
        ahead.take(0, 30_000, 0);
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
