//! Shell patterns, as fnmatch(3) of glibc has them without flags and in the C locale: bytes, `*`, `?`, `[…]` with
//! ranges, classes and `!` or `^` for all others, and `\` before what is to stand for itself.
//!
//! A pattern is read once. Then all places of it at which a text may stand are followed at the same time, 64 of them in
//! a word, so that no pattern takes more than `text × pattern / 64` steps: fnmatch(3) looks for the end of each `[` for
//! each byte again, and clients choose both.

mod bracket;
#[cfg(test)]
mod tests;

use bracket::{Bracket, Open};

/// A set of bytes.
type Set = [u64; 4];

const ALL: Set = [u64::MAX; 4];

/// A pattern. Its tokens are what takes one byte; a `*` belongs to the place between two of them.
#[derive(Debug)]
pub struct Pattern {
    /// `None` when it matches nothing at all.
    table: Option<Table>,
}

#[derive(Debug)]
struct Table {
    tokens: usize,
    /// Words that hold a bit for each place: before the first token, between two, behind the last.
    words: usize,
    /// For each byte the tokens that take it.
    takes: Vec<u64>,
    /// The places that have a `*`.
    stars: Vec<u64>,
}

impl Pattern {
    /// A pattern; `None` when it holds a NUL byte.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Pattern> {
        if text.contains(&0) {
            return None;
        }
        Some(Pattern { table: parse(text).map(|(tokens, stars)| Table::new(&tokens, &stars)) })
    }

    /// Whether the whole text matches. A text with a NUL byte matches nothing.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.table.as_ref().is_some_and(|table| !text.contains(&0) && table.matches(text))
    }
}

/// The tokens, and the places that have a `*`. `None` when nothing can match.
fn parse(mut text: &[u8]) -> Option<(Vec<Set>, Vec<usize>)> {
    let (mut tokens, mut stars) = (Vec::new(), Vec::new());
    let mut open = Open::new(text);
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        match byte {
            b'*' => stars.push(tokens.len()),
            b'?' => tokens.push(ALL),
            b'\\' => tokens.push(single(*text.split_off_first()?)),
            b'[' => match bracket::parse(rest, &mut open) {
                Bracket::Set(set, rest) => {
                    tokens.push(set);
                    text = rest;
                }
                Bracket::Literal => tokens.push(single(b'[')),
                Bracket::Nothing => return None,
            },
            byte => tokens.push(single(byte)),
        }
    }
    Some((tokens, stars))
}

fn single(byte: u8) -> Set {
    let mut set = Set::default();
    add(&mut set, byte);
    set
}

fn add(set: &mut Set, byte: u8) {
    let (word, bit) = place(byte.into());
    set[word] |= bit;
}

/// Word and bit of a number.
fn place(number: usize) -> (usize, u64) {
    (number / 64, 1 << (number % 64))
}

impl Table {
    fn new(tokens: &[Set], star_places: &[usize]) -> Table {
        let words = tokens.len() / 64 + 1;
        let (mut takes, mut stars) = (vec![0; 256 * words], vec![0; words]);
        for (at, set) in tokens.iter().enumerate() {
            let (word, bit) = place(at);
            for (part, first) in set.iter().zip((0..256).step_by(64)) {
                let mut left = *part;
                while left != 0 {
                    takes[(first + left.trailing_zeros() as usize) * words + word] |= bit;
                    left &= left - 1;
                }
            }
        }
        for &at in star_places {
            let (word, bit) = place(at);
            stars[word] |= bit;
        }
        Table { tokens: tokens.len(), words, takes, stars }
    }

    fn matches(&self, text: &[u8]) -> bool {
        if text.len() < self.tokens {
            return false;
        }
        // The places at which the text read so far may stand; outside of `low..=high` there are none.
        let mut places = vec![0_u64; self.words];
        places[0] = 1;
        let (mut low, mut high) = (0, 0);
        for &byte in text {
            let takes = &self.takes[usize::from(byte) * self.words..][..self.words];
            let (mut carry, mut last, mut star) = (0, None, None);
            for at in low..=(high + 1).min(self.words - 1) {
                let taken = places[at] & takes[at];
                let stays = places[at] & self.stars[at];
                places[at] = taken << 1 | carry | stays;
                carry = taken >> 63;
                if places[at] != 0 {
                    last = Some(at);
                }
                if places[at] & self.stars[at] != 0 {
                    star = Some(at);
                }
            }
            let Some(last) = last else { return false };
            high = last;
            // Who stands at a `*` can get wherever one before it can.
            if let Some(at) = star {
                let highest = 63 - (places[at] & self.stars[at]).leading_zeros();
                places[at] &= u64::MAX << highest;
                low = at;
            }
        }
        let (word, bit) = place(self.tokens);
        (low..=high).contains(&word) && places[word] & bit != 0
    }
}
