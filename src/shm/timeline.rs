//! The time by which entries expire: seconds that pass as the boot clock's do, so setting the wall clock ends nothing
//! early and keeps nothing late. Reads no clock.
//!
//! Of what lies in memory alone the boot clock itself is the time. What lies in a file outlives the boot clock, so
//! its time starts as the wall clock's and the file notes how far the wall clock has since been set away from it. The
//! next server goes on from there: what is left of an entry's life is counted by the wall clock while no server runs.

use std::sync::atomic::Ordering;

use super::keyed::CLOCK_NOTE;
use super::region::Region;

/// Largest number of a note that is taken for one, in seconds: two thousand years.
const MOST_SECONDS: u64 = 1 << 36;

/// How old [`Note::reached`] may become, in seconds. More often would keep the disk of an idle server awake.
const REACHED_STEP: u64 = 60;

/// How entries' time follows from the boot clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeline {
    /// Seconds by which it is ahead of the boot clock.
    offset: i64,
}

/// What a server leaves for the next one. All zero in a new file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Seconds by which the wall clock is ahead of entries' time.
    pub(super) ahead: i64,
    /// Entries' time at some moment; a later server begins no earlier, as on a machine that starts in 1970.
    pub(super) reached: u64,
}

impl Timeline {
    /// The boot clock's own time, for what ends with the server.
    pub(super) const BOOT: Timeline = Timeline { offset: 0 };

    /// Goes on from a note. Both clocks in seconds.
    pub(super) fn resume(note: Note, wall: i64, boot: u64) -> Timeline {
        let ahead = if note.ahead.unsigned_abs() <= MOST_SECONDS { note.ahead } else { 0 };
        let reached = if note.reached <= MOST_SECONDS { note.reached } else { 0 };
        let now = u64::try_from(wall.saturating_sub(ahead)).unwrap_or(0).max(reached);
        Timeline { offset: signed(now).saturating_sub(signed(boot)) }
    }

    /// Entries' time, in seconds.
    pub(super) fn now(self, boot: u64) -> u64 {
        boot.saturating_add_signed(self.offset)
    }

    /// What is to be noted in place of `old`; `None` while that will do. A second's difference is one of rounding.
    pub(super) fn note(self, old: Note, wall: i64, boot: u64) -> Option<Note> {
        let reached = self.now(boot);
        let new = Note { ahead: wall.saturating_sub(signed(reached)), reached };
        let is_due = new.ahead.abs_diff(old.ahead) > 1 || reached.abs_diff(old.reached) >= REACHED_STEP;
        is_due.then_some(new)
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

impl Note {
    /// Reads the note of a region. The attendant alone writes it.
    pub(super) fn read(region: &Region) -> Note {
        let [ahead, reached] = CLOCK_NOTE.map(|cell| region.wide(cell).load(Ordering::Relaxed));
        Note { ahead: ahead.cast_signed(), reached }
    }

    /// Writes it, number by number: a kill in between leaves two that were each true a moment ago.
    pub(super) fn write(self, region: &Region) {
        for (cell, value) in CLOCK_NOTE.into_iter().zip([self.ahead.cast_unsigned(), self.reached]) {
            region.wide(cell).store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WALL: i64 = 1_800_000_000;
    const BOOT: u64 = 5_000;

    /// A server that starts, notes, and sees its wall clock set by `jump` while it runs.
    fn noted_after(jump: i64) -> (Timeline, Note) {
        let timeline = Timeline::resume(Note::default(), WALL, BOOT);
        let first = timeline.note(Note::default(), WALL, BOOT).unwrap();
        let last = timeline.note(first, WALL + 100 + jump, BOOT + 100).unwrap_or(first);
        (timeline, last)
    }

    #[test]
    fn in_memory_the_boot_clock_counts_alone() {
        assert_eq!(Timeline::BOOT.now(BOOT), BOOT);
    }

    #[test]
    fn a_new_file_counts_from_the_epoch() {
        let timeline = Timeline::resume(Note::default(), WALL, BOOT);
        assert_eq!(timeline.now(BOOT), WALL.unsigned_abs());
    }

    #[test]
    fn a_clock_that_is_set_neither_ends_nor_keeps_anything() {
        for jump in [-1_700_000_000, -86_400, -3600, -2, 2, 3600, 86_400, 3_000_000_000] {
            let (timeline, note) = noted_after(jump);
            let end = timeline.now(BOOT + 100) + 1000;
            assert_eq!(timeline.now(BOOT + 1099), end - 1, "{jump}");
            assert_eq!(timeline.now(BOOT + 1100), end, "{jump}");
            // The machine starts anew: 900 seconds later by the wall clock, its boot clock back at 7.
            let again = Timeline::resume(note, WALL + 1000 + jump, 7);
            assert_eq!(again.now(7), end - 100, "{jump}");
            assert_eq!(again.now(107), end, "{jump}");
        }
    }

    #[test]
    fn what_is_stored_after_the_clock_was_set_ends_by_the_clock_too() {
        let (timeline, note) = noted_after(3600);
        let end = timeline.now(BOOT + 200) + 1000;
        let again = Timeline::resume(note, WALL + 200 + 3600 + 1000, 7);
        assert_eq!(again.now(7), end);
    }

    #[test]
    fn a_machine_that_starts_in_1970_goes_on_where_the_last_one_was() {
        let (timeline, note) = noted_after(0);
        let again = Timeline::resume(note, 30, 30);
        assert_eq!(again.now(30), note.reached);
        // Its clock is set a minute later; nothing ends at once then, and a third server knows what to think of it.
        let set = again.note(note, WALL + 500, 90).unwrap();
        assert_eq!(again.now(90), note.reached + 60);
        assert_eq!(Timeline::resume(set, WALL + 510, 3).now(3), note.reached + 70);
        assert!(timeline.now(BOOT) <= note.reached);
    }

    #[test]
    fn a_note_is_renewed_when_it_must_be() {
        let (timeline, note) = (Timeline::resume(Note::default(), WALL, BOOT), Note::default());
        let note = timeline.note(note, WALL, BOOT).unwrap();
        assert_eq!(note, Note { ahead: 0, reached: WALL.unsigned_abs() });
        for rounded in [-1, 0, 1] {
            assert_eq!(timeline.note(note, WALL + 59 + rounded, BOOT + 59), None);
        }
        assert_eq!(timeline.note(note, WALL + 12, BOOT + 10).unwrap().ahead, 2);
        assert_eq!(timeline.note(note, WALL + 60, BOOT + 60).unwrap().reached, note.reached + 60);
    }

    proptest! {
        #[test]
        fn any_note_is_taken(ahead in any::<i64>(), reached in any::<u64>(), wall in any::<i32>(), boot in any::<u32>()) {
            let (wall, boot) = (wall.into(), boot.into());
            let timeline = Timeline::resume(Note { ahead, reached }, wall, boot);
            // An expiry is this and 32 bits.
            prop_assert!(timeline.now(boot) <= 1 << 37);
            let note = timeline.note(Note { ahead, reached }, wall, boot).unwrap_or(Note { ahead, reached });
            prop_assert!(Timeline::resume(note, wall, boot).now(boot).abs_diff(timeline.now(boot)) <= REACHED_STEP);
        }
    }
}
