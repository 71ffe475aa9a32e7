//! Whether all bytes of a text stand for themselves, so that it can be written as it is. Most text is like that.

/// How many bytes are looked at together: as many as a processor compares at once.
const BLOCK_BYTES: usize = 16;

/// Whether all `bytes` are plain. The last block overlaps the one before it, so that only what is shorter than a block
/// is looked at byte by byte. `is_plain` joins what it compares by `&` and `|`: a way out in the middle, as `&&` and
/// `matches!` have it, keeps the compiler from comparing a block at once, and costs six times as much.
#[inline]
pub(super) fn all(bytes: &[u8], is_plain: impl Fn(u8) -> bool) -> bool {
    let are_plain = |bytes: &[u8]| bytes.iter().fold(true, |plain, &byte| plain & is_plain(byte));
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    match bytes.last_chunk::<BLOCK_BYTES>() {
        Some(last) => blocks.iter().all(|block| are_plain(block)) && are_plain(last),
        None => bytes.iter().all(|&byte| is_plain(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_is_not_plain_is_found_wherever_it_is() {
        for length in 0..4 * BLOCK_BYTES {
            let mut bytes = vec![b'x'; length];
            assert!(all(&bytes, |byte| byte == b'x'), "{length}");
            for at in 0..length {
                bytes[at] = b'!';
                assert!(!all(&bytes, |byte| byte == b'x'), "{at} of {length}");
                bytes[at] = b'x';
            }
        }
    }
}
