//! A sum over an entry, by which the next server sees whether a file was damaged while none ran: a power loss, a disk.
//!
//! It finds accidents, and is no defence against somebody who may write the file. Quick rather than good: it is made
//! with each entry that is stored.

/// Odd, with half of its bits set.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Goes on from a sum with eight more bytes. No two different words lead from one sum to the same one.
pub(super) fn mix(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(FACTOR).rotate_left(29)
}

/// The sum of some numbers and bytes.
pub(super) fn of(numbers: [u64; 3], bytes: &[u8]) -> u32 {
    // Four sums side by side, so that a multiplication need not wait for the one before.
    let mut sums = [numbers[0], numbers[1] ^ FACTOR, numbers[2], bytes.len() as u64];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = mix(*sum, u64::from_le_bytes(*word));
        }
    }
    for part in rest.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        sums[0] = mix(sums[0], u64::from_le_bytes(word));
    }
    let sum = sums.into_iter().fold(FACTOR, mix);
    ((sum ^ sum << 32) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_and_number_counts() {
        let bytes: Vec<u8> = (0..75).collect();
        let sum = of([1, 2, 3], &bytes);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(of([1, 2, 3], &changed), sum, "bit {bit}");
        }
        let others = [([0, 2, 3], 75), ([1, 3, 3], 75), ([1, 2, 7], 75), ([1, 2, 3], 74)];
        assert!(others.into_iter().all(|(numbers, length)| of(numbers, &bytes[..length]) != sum));
        assert_ne!(of([1, 2, 3], &[0; 31]), of([1, 2, 3], &[0; 32]));
        assert_eq!(of([1, 2, 3], &bytes), sum);
    }
}
