//! How large entries are, in classes of chunks: by them a shard knows how much it must keep free for replacements.
//!
//! Pure: counts nothing itself. Entries of up to [`SPARE_CHUNKS`] are of no class; above, an octave has four classes.

/// Chunks that a shard with any entry keeps free: enough for an entry of up to 1.9 KiB.
const SPARE_CHUNKS: u32 = 16;

/// How many classes there are.
pub(super) const CLASSES: usize = 64;

/// Most chunks of an entry, 120 MiB or so: the upper end of the last class.
pub(super) const MAX_CHUNKS: u32 = SPARE_CHUNKS << (CLASSES / 4);

/// The class of an entry of so many chunks; `None` when each shard keeps that much free anyway.
pub(super) fn class_of(chunks: u32) -> Option<usize> {
    let last = chunks.checked_sub(1).filter(|&last| last >= SPARE_CHUNKS)?;
    let octave = last.ilog2();
    let quarter = last >> (octave - 2) & 3;
    usize::try_from((octave - SPARE_CHUNKS.ilog2()) * 4 + quarter).ok().filter(|&class| class < CLASSES)
}

/// The bit of a class; no bit for none.
pub(super) fn bit_of(class: Option<usize>) -> u64 {
    class.map_or(0, |class| 1 << class)
}

/// Chunks that any entry of these classes can be written anew in. A bit is a class.
pub(super) fn spare(classes: u64) -> u32 {
    match classes.checked_ilog2() {
        None => SPARE_CHUNKS,
        Some(class) => (5 + class % 4) << (class / 4 + SPARE_CHUNKS.ilog2() - 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spare_is_enough_and_not_much_more() {
        for chunks in (0..10_000).chain([MAX_CHUNKS - 1, MAX_CHUNKS]) {
            let spare = spare(bit_of(class_of(chunks)));
            assert!(spare >= chunks, "{chunks}: {spare}");
            assert!(spare <= SPARE_CHUNKS || spare * 4 <= chunks * 5, "{chunks}: {spare}");
        }
        assert_eq!((class_of(16), class_of(17), class_of(MAX_CHUNKS)), (None, Some(0), Some(CLASSES - 1)));
        assert_eq!(spare(0b1011), spare(0b1000));
    }
}
