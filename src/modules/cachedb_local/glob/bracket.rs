//! `[…]`: what stands between brackets in a pattern.

use super::{ALL, MAX_PARTS, Set, add};

/// What a `[` begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bracket<'a> {
    /// A set with how many members were named, and the pattern behind it.
    Set { set: Set, members: usize, rest: &'a [u8] },
    /// Nothing; it has no end and stands for itself.
    Literal,
    /// Something that no byte matches, so that nothing matches the pattern.
    Nothing,
    /// More members than a pattern may have parts.
    TooLong,
}

/// A name, and what bytes are in it.
type Class = (&'static [u8], fn(u8) -> bool);

/// The classes of the C locale.
const CLASSES: [Class; 12] = [
    (b"alnum", |byte| byte.is_ascii_alphanumeric()),
    (b"alpha", |byte| byte.is_ascii_alphabetic()),
    (b"blank", |byte| matches!(byte, b' ' | b'\t')),
    (b"cntrl", |byte| byte.is_ascii_control()),
    (b"digit", |byte| byte.is_ascii_digit()),
    (b"graph", |byte| byte.is_ascii_graphic()),
    (b"lower", |byte| byte.is_ascii_lowercase()),
    (b"print", |byte| matches!(byte, b' '..=b'~')),
    (b"punct", |byte| byte.is_ascii_punctuation()),
    (b"space", |byte| matches!(byte, b' ' | b'\t'..=b'\r')),
    (b"upper", |byte| byte.is_ascii_uppercase()),
    (b"xdigit", |byte| byte.is_ascii_hexdigit()),
];

/// The places of a pattern from which no `]` is found, by the number of bytes behind them: one `[` after the other that
/// has no end is to be read once.
#[derive(Debug)]
pub(super) struct Open(Vec<bool>);

impl Open {
    /// None yet.
    pub(super) fn new(pattern: &[u8]) -> Open {
        Open(vec![false; pattern.len() + 1])
    }
}

/// Reads what stands behind a `[`.
///
/// What has no end, or an unknown class, is undefined by POSIX; here it is as in glibc, which finds out byte by byte of
/// the text: what stands before the flaw may match, what comes to the flaw does not.
///
/// Differs: what has a flaw and no end, `[[-`, matches nothing; glibc takes it for itself when a `[`
/// stands in it before the flaw.
pub(super) fn parse<'a>(text: &'a [u8], open: &mut Open) -> Bracket<'a> {
    let is_inverse = matches!(text.first(), Some(b'!' | b'^'));
    let mut reader = Reader { rest: &text[usize::from(is_inverse)..], ..Reader::default() };
    match reader.read(open) {
        None => Bracket::Nothing,
        Some(End::TooLong) => Bracket::TooLong,
        Some(End::Open) if reader.is_flawed => Bracket::Nothing,
        Some(End::Open) => {
            reader.passed.iter().for_each(|&place| open.0[place] = true);
            Bracket::Literal
        }
        Some(End::Closed) => {
            let set = match (is_inverse, reader.is_flawed) {
                (false, _) => reader.set,
                (true, false) => std::array::from_fn(|word| ALL[word] & !reader.seen[word]),
                (true, true) => Set::default(),
            };
            if set == Set::default() {
                Bracket::Nothing
            } else {
                Bracket::Set { set, members: reader.members, rest: reader.rest }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Reader<'a> {
    rest: &'a [u8],
    /// The bytes that were named before a flaw.
    seen: Set,
    /// Those of them that match.
    set: Set,
    /// Whether what is named now is not looked at any more.
    is_flawed: bool,
    /// How many members were named.
    members: usize,
    /// Where something was named, by the number of bytes behind it.
    passed: Vec<usize>,
}

enum End {
    /// At the `]`.
    Closed,
    /// At the end of the pattern.
    Open,
    /// At the member that is one too many.
    TooLong,
}

impl<'a> Reader<'a> {
    /// Reads to the end. `None` when nothing can match.
    fn read(&mut self, open: &Open) -> Option<End> {
        let mut is_first = true;
        loop {
            if !is_first {
                if open.0[self.rest.len()] {
                    return Some(End::Open);
                }
                self.passed.push(self.rest.len());
            }
            let Some(&byte) = self.rest.split_off_first() else { return Some(End::Open) };
            if !std::mem::take(&mut is_first) && byte == b']' {
                return Some(End::Closed);
            }
            self.members += 1;
            if self.members > MAX_PARTS {
                return Some(End::TooLong);
            }
            match (byte, self.rest.first()) {
                (b'\\', _) => {
                    let escaped = *self.rest.split_off_first()?;
                    self.item(escaped, false)?;
                }
                (b'[', Some(b':')) if self.class() => {}
                (b'[', Some(b'=')) => match self.rest {
                    [_, same, b'=', b']', rest @ ..] => {
                        self.rest = rest;
                        self.name(*same, *same);
                    }
                    _ => {
                        // What was named before it comes here too, looking for the end.
                        self.set = Set::default();
                        self.item(byte, false)?;
                    }
                },
                (b'[', Some(b'.')) => match self.symbol()? {
                    Some(symbol) => self.item(symbol, true)?,
                    None => self.is_flawed = true,
                },
                _ => self.item(byte, false)?,
            }
        }
    }

    /// A byte, or the range that begins with it.
    fn item(&mut self, first: u8, is_symbol: bool) -> Option<()> {
        match *self.rest {
            [b'-', b']', ..] if is_symbol => {}
            [b'-', b']', ..] => self.name(first, first),
            [b'-', ref rest @ ..] => {
                self.rest = rest;
                let last = match *self.rest.split_off_first()? {
                    b'[' if self.rest.first() == Some(&b'.') => match self.symbol()? {
                        Some(symbol) => symbol,
                        None => {
                            self.is_flawed = true;
                            return Some(());
                        }
                    },
                    b'\\' => *self.rest.split_off_first()?,
                    last => last,
                };
                self.name(first, last);
            }
            _ => self.name(first, first),
        }
        Some(())
    }

    fn name(&mut self, first: u8, last: u8) {
        if self.is_flawed {
            return;
        }
        for byte in first..=last {
            let was = self.seen;
            add(&mut self.seen, byte);
            // What was named before is what it was then.
            for ((set, seen), was) in self.set.iter_mut().zip(self.seen).zip(was) {
                *set |= seen & !was;
            }
        }
    }

    /// `:alpha:]`, with the colon in front. False when that is no class, so that the bracket before it is a byte.
    fn class(&mut self) -> bool {
        let inside = &self.rest[1..];
        // glibc takes no z for a part of a name.
        let length = inside.iter().take_while(|byte| matches!(byte, b'a'..=b'y')).count();
        let Some(rest) = inside[length..].strip_prefix(b":]") else { return false };
        self.rest = rest;
        match CLASSES.iter().find(|(name, _)| *name == &inside[..length]) {
            Some((_, is_in)) => {
                (0..=u8::MAX).filter(|&byte| is_in(byte)).for_each(|byte| self.name(byte, byte));
            }
            None => self.is_flawed = true,
        }
        true
    }

    /// `.a.]`, with the dot in front; only bytes have names. `None` without an end, `Some(None)` for another name.
    fn symbol(&mut self) -> Option<Option<u8>> {
        let inside = &self.rest[1..];
        let length = inside.windows(2).position(|pair| pair == b".]")?;
        self.rest = &inside[length + 2..];
        Some(inside[..length].as_array().map(|&[byte]| byte))
    }
}
