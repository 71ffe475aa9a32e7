//! Requests that differ from each other: a text with a number in it that changes. Pure.
//!
//! The number always has [`DIGITS`] digits, so that all requests, and the replies that repeat it, have one size.
//! Putting it in costs a few nanoseconds, the same against the floor and against a server.

/// Stands for the number in the text.
const FIELD: &[u8] = b"{n}";
/// Width of the number.
const DIGITS: usize = 8;
/// A prime that spreads successive numbers over their range: no range used is a multiple of it.
const STRIDE: u64 = 15_485_863;

/// Which numbers take turns: `count` ones from `start` up, in an order that jumps about and takes each once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) start: u64,
    pub(crate) count: u64,
}

impl Numbers {
    /// The number of the `place`th request.
    pub(crate) fn at(self, place: u64) -> u64 {
        self.start + (place % self.count) * STRIDE % self.count
    }
}

/// A request with room for a number, or without.
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where the number begins.
    places: Vec<usize>,
}

impl Template {
    /// The template that `text` describes with `{n}`.
    pub(crate) fn new(text: &[u8]) -> Template {
        let (mut bytes, mut places, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some(at) = rest.windows(FIELD.len()).position(|window| window == FIELD) {
            bytes.extend(&rest[..at]);
            places.push(bytes.len());
            bytes.extend([b'0'; DIGITS]);
            rest = &rest[at + FIELD.len()..];
        }
        bytes.extend(rest);
        Template { bytes, places }
    }

    /// Whether its requests differ.
    pub(crate) fn changes(&self) -> bool {
        !self.places.is_empty()
    }

    /// The request with this number.
    pub(crate) fn with(&mut self, number: u64) -> &[u8] {
        if self.changes() {
            let mut digits = [b'0'; DIGITS];
            let mut rest = number;
            for digit in digits.iter_mut().rev() {
                *digit += (rest % 10) as u8;
                rest /= 10;
            }
            for &place in &self.places {
                self.bytes[place..place + DIGITS].copy_from_slice(&digits);
            }
        }
        &self.bytes
    }
}
