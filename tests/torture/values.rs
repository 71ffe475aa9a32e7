//! What is stored, as a function of key and sequence number, so that a reader can say of each byte what it must be.
//! Owns the random numbers too; touches no table.

/// Length of the pattern that fills a value, in bytes. Chunks of the table hold 120 bytes, and a prime number of bytes
/// makes it repeat at no chunk border within a value: chunks that changed places are seen.
const PATTERN_BYTES: usize = 509;

/// Bytes before the pattern: two numbers.
const HEADER_BYTES: usize = 16;

/// Numbers that look random, the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        index(self.next(), limit)
    }
}

/// The finalizer of splitmix64.
fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn index(number: u64, limit: usize) -> usize {
    usize::try_from(number % limit as u64).unwrap_or(0)
}

/// What a key holds after its change number `sequence`: `None` is absent. Change 0 is the beginning.
///
/// One change in six is a removal; one value in a hundred has 60 KB, one in ten fewer than 16 bytes, the others up
/// to 3 KB.
pub(crate) fn state(key: u64, sequence: u64) -> Option<Vec<u8>> {
    let chosen = mix(key.rotate_left(32) ^ mix(sequence));
    if sequence == 0 || chosen.is_multiple_of(6) {
        return None;
    }
    let length = match (chosen >> 8) % 100 {
        0 => 60_000,
        1..=10 => index(chosen >> 16, HEADER_BYTES),
        _ => index(chosen >> 16, 3073),
    };
    Some(filled(sequence, key, length))
}

/// Bytes of that length: the two numbers, then a pattern that depends on both, cut to length.
pub(crate) fn filled(first: u64, second: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(mix(first) ^ second.rotate_left(17));
    let mut value = Vec::with_capacity(length + PATTERN_BYTES + HEADER_BYTES);
    value.extend_from_slice(&first.to_le_bytes());
    value.extend_from_slice(&second.to_le_bytes());
    let mut pattern = [0_u8; PATTERN_BYTES];
    for piece in pattern.chunks_mut(8) {
        piece.copy_from_slice(&random.next().to_le_bytes()[..piece.len()]);
    }
    while value.len() < length {
        value.extend_from_slice(&pattern);
    }
    value.truncate(length);
    value
}

/// The two numbers at the beginning of a value; `None` when it is too short for them.
pub(crate) fn header(value: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = value.split_first_chunk()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(*rest.first_chunk()?)))
}

/// A value in few words, for a message.
pub(crate) fn describe(value: Option<&[u8]>) -> String {
    match value {
        None => String::from("absent"),
        Some(value) => match header(value) {
            Some((first, second)) => format!("{} bytes that begin with {first}, {second}", value.len()),
            None => format!("{} bytes: {value:02x?}", value.len()),
        },
    }
}
