//! Shell patterns, as fnmatch(3) of glibc has them without flags and in the C locale: bytes, `*`, `?`, `[…]` with
//! ranges, classes and `!` or `^` for all others, and `\` before what is to stand for itself.
//!
//! A pattern is read once. A text that does not fit goes back to the last `*` alone, as an earlier one could not help:
//! `text × pattern` steps at most, and no room. Clients choose both, so the steps are taken some at a time.

mod bracket;
#[cfg(test)]
mod tests;

use bracket::{Bracket, Open};

/// Parts of a pattern at most: bytes, `?`, `*`, and what stands in `[…]`, each member as one.
pub(super) const MAX_PARTS: usize = 1024;

/// A set of bytes, a bit for each.
type Set = [u64; 4];

const ALL: Set = [u64::MAX; 4];

/// One step of a pattern.
#[derive(Clone, Copy, Debug)]
enum Token {
    /// Any bytes, also none.
    Star,
    /// One byte of a set.
    One(Set),
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GlobError {
    #[error("it has a NUL byte")]
    Nul,
    #[error("it has more than {MAX_PARTS} parts (bytes, ?, * and what stands in [...]); use a shorter one")]
    TooLong,
}

/// A pattern.
#[derive(Debug)]
pub(super) struct Glob {
    /// `None` when it matches nothing at all.
    tokens: Option<Vec<Token>>,
    /// The number of tokens behind the last star; all of them when there is none.
    behind_last_star: usize,
}

/// How far a text was compared with a pattern.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    token: usize,
    at: usize,
    /// The token behind the last star that was passed, and where in the text the first byte is that it may take.
    star: Option<(usize, usize)>,
}

impl Glob {
    /// Reads a pattern.
    pub(super) fn new(text: &[u8]) -> Result<Glob, GlobError> {
        if text.contains(&0) {
            return Err(GlobError::Nul);
        }
        let tokens = parse(text)?;
        let is_one = |token: &&Token| matches!(token, Token::One(_));
        let behind_last_star = tokens.iter().flatten().rev().take_while(is_one).count();
        Ok(Glob { tokens, behind_last_star })
    }
}

impl Comparison {
    /// Compares on, for so many steps at most, which are counted down. Whether the whole text matches, once that is
    /// known. A text with a NUL byte matches nothing.
    pub(super) fn go_on(&mut self, glob: &Glob, text: &[u8], steps: &mut usize) -> Option<bool> {
        let Some(tokens) = glob.tokens.as_ref().filter(|_| !text.contains(&0)) else { return Some(false) };
        loop {
            *steps = steps.checked_sub(1)?;
            match tokens.get(self.token) {
                Some(Token::Star) => {
                    self.token += 1;
                    let is_last = tokens.len() - self.token == glob.behind_last_star;
                    let left = text.len() - self.at;
                    if is_last && left < glob.behind_last_star {
                        return Some(false);
                    }
                    // Behind the last star there is one place where the rest can stand: the end of the text.
                    self.at += if is_last { left - glob.behind_last_star } else { 0 };
                    self.star = (!is_last).then_some((self.token, self.at));
                }
                Some(Token::One(set)) if text.get(self.at).is_some_and(|byte| has(set, *byte)) => {
                    self.token += 1;
                    self.at += 1;
                }
                None if self.at == text.len() => return Some(true),
                _ => match self.star {
                    Some((token, at)) if at < text.len() => {
                        (self.token, self.at) = (token, at + 1);
                        self.star = Some((token, at + 1));
                    }
                    _ => return Some(false),
                },
            }
        }
    }
}

/// The tokens. `None` when nothing can match.
fn parse(mut text: &[u8]) -> Result<Option<Vec<Token>>, GlobError> {
    let (mut tokens, mut parts) = (Vec::new(), 0);
    let mut open = Open::new(text);
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        parts += 1;
        tokens.push(match byte {
            b'*' => Token::Star,
            b'?' => Token::One(ALL),
            b'\\' => match text.split_off_first() {
                Some(&byte) => Token::One(single(byte)),
                None => return Ok(None),
            },
            b'[' => match bracket::parse(rest, &mut open) {
                Bracket::Set { set, members, rest } => {
                    parts += members;
                    text = rest;
                    Token::One(set)
                }
                Bracket::Literal => Token::One(single(b'[')),
                Bracket::Nothing => return Ok(None),
                Bracket::TooLong => return Err(GlobError::TooLong),
            },
            byte => Token::One(single(byte)),
        });
        if parts > MAX_PARTS {
            return Err(GlobError::TooLong);
        }
    }
    Ok(Some(tokens))
}

fn single(byte: u8) -> Set {
    let mut set = Set::default();
    add(&mut set, byte);
    set
}

fn add(set: &mut Set, byte: u8) {
    set[usize::from(byte / 64)] |= 1 << (byte % 64);
}

fn has(set: &Set, byte: u8) -> bool {
    set[usize::from(byte / 64)] & 1 << (byte % 64) != 0
}
