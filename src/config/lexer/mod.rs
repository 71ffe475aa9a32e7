//! Splits the bytes of one file into tokens: words, numbers, strings, script variables, single characters.
//!
//! Skips comments and resolves the escapes of strings. Knows no statements and does not follow
//! `include_file`. C counterpart: cfg.lex. Differs: `//` opens a comment too, a byte order mark is skipped,
//! and a form feed is white space (C prints the last two to stdout and goes on).

use std::sync::Arc;

use super::position::{Position, SourceFile, readable, without_password};

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenShape {
    /// A letter, then letters, digits and underscores.
    Word,
    /// A digit, then letters and digits. The parser checks whether they make a number.
    Number,
    /// An IPv6 address without brackets.
    Ipv6,
    /// A string in double or single quotes.
    Text,
    /// `$name`, `$name(…)` or `$(…)`.
    Variable,
    /// Any other byte, alone.
    Mark(u8),
    /// A string without its closing quote; it runs to the end of the file.
    UnclosedText,
    /// A `/*` without its `*/`.
    UnclosedComment,
    /// A `$…(` without its `)`.
    UnclosedVariable,
    /// The end of the file.
    End,
}

/// A token and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) shape: TokenShape,
    file: Arc<SourceFile>,
    start: usize,
    end: usize,
    /// Nothing but white space and comments before it on its line.
    pub(super) first_on_line: bool,
}

impl Token {
    pub(super) fn position(&self) -> Position {
        Position::new(&self.file, self.start)
    }

    /// The bytes of the token, with quotes and escapes.
    pub(super) fn raw(&self) -> &[u8] {
        &self.file.bytes()[self.start..self.end]
    }

    /// The beginning of the token for a message: at most 40 characters of its first line, without passwords.
    pub(super) fn shown(&self) -> String {
        const MOST_CHARS: usize = 40;
        if self.shape == TokenShape::End {
            return "the end of the file".to_owned();
        }
        let raw = self.raw();
        let line = raw.split(|&byte| byte == b'\n').next().unwrap_or(raw);
        // The password is removed before the line is cut, while its end can still be found.
        let mut text: String = without_password(readable(line)).chars().take(MOST_CHARS).collect();
        if text.len() < raw.len() && raw.len() > MOST_CHARS {
            text.push('…');
        }
        if matches!(self.shape, TokenShape::Text | TokenShape::UnclosedText) {
            text
        } else {
            format!("`{text}`")
        }
    }

    pub(super) fn is(&self, mark: u8) -> bool {
        self.shape == TokenShape::Mark(mark)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.shape == TokenShape::Word && self.raw() == word.as_bytes()
    }

    /// Whether `next` was written with nothing between the two.
    pub(super) fn touches(&self, next: &Token) -> bool {
        self.end == next.start && Arc::ptr_eq(&self.file, &next.file)
    }

    /// Whether the token, a string, ends in a later line than it starts.
    pub(super) fn spans_lines(&self) -> bool {
        self.raw().contains(&b'\n')
    }

    /// The value of a string: without quotes; between double quotes the escapes are resolved.
    pub(super) fn text(&self) -> Vec<u8> {
        let raw = self.raw();
        let body = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if raw.first() == Some(&b'"') { unescape(body) } else { body.to_vec() }
    }
}

/// C: the rules of start condition `STRING1` in cfg.lex. A backslash before anything else stays.
fn unescape(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        let (value, length) = match after {
            [b'n', ..] => (Some(b'\n'), 1),
            [b'r', ..] => (Some(b'\r'), 1),
            [b'a', ..] => (Some(7), 1),
            [b't', ..] => (Some(b'\t'), 1),
            [b'"', ..] => (Some(b'"'), 1),
            [b'\\', ..] => (Some(b'\\'), 1),
            [b'\n', ..] => (None, 1),
            [b'x', digits @ ..] if count(digits, 2, 16) >= 1 => {
                let length = count(digits, 2, 16);
                (Some(low_byte(&digits[..length], 16)), 1 + length)
            }
            digits if count(digits, 3, 8) >= 2 => {
                let length = count(digits, 3, 8);
                (Some(low_byte(&digits[..length], 8)), length)
            }
            _ => (Some(b'\\'), 0),
        };
        text.extend(value);
        rest = &after[length..];
    }
    text
}

/// How many of the first `most` bytes are digits of base `radix`.
fn count(bytes: &[u8], most: usize, radix: u32) -> usize {
    bytes.iter().take(most).take_while(|&&byte| char::from(byte).is_digit(radix)).count()
}

/// The value of at most three digits, cut to a byte as C's cast to `char` does.
fn low_byte(digits: &[u8], radix: u32) -> u8 {
    let value =
        digits.iter().fold(0, |sum, &digit| sum * radix + char::from(digit).to_digit(radix).unwrap_or(0));
    value.to_le_bytes()[0]
}

/// The tokens of one file, in order.
#[derive(Debug)]
pub(super) struct Lexer {
    file: Arc<SourceFile>,
    at: usize,
    fresh_line: bool,
}

impl Lexer {
    pub(super) fn new(file: Arc<SourceFile>) -> Self {
        let at = if file.bytes().starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { file, at, fresh_line: true }
    }

    pub(super) fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// Goes on after the line that `token` starts in. Says whether `token` is of this file.
    pub(super) fn resume_after_line_of(&mut self, token: &Token) -> bool {
        if !Arc::ptr_eq(&self.file, &token.file) {
            return false;
        }
        let rest = &self.file.bytes()[token.start..];
        self.at =
            token.start + rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |line| line + 1);
        self.fresh_line = true;
        true
    }

    /// The next token; after the last one always [`TokenShape::End`].
    pub(super) fn next(&mut self) -> Token {
        if let Err(opened) = self.skip_blanks() {
            return self.token(TokenShape::UnclosedComment, opened);
        }
        let start = self.at;
        let rest = &self.file.bytes()[start..];
        let Some(&byte) = rest.first() else {
            return self.token(TokenShape::End, start);
        };
        let alphanumeric = |byte: &u8| byte.is_ascii_alphanumeric();
        let ipv6 = ipv6_length(rest);
        let word = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => run(rest, |byte| alphanumeric(byte) || *byte == b'_'),
            b'0'..=b'9' => run(rest, alphanumeric),
            _ => 0,
        };
        let (shape, length) = match byte {
            _ if ipv6 > word => (TokenShape::Ipv6, ipv6),
            b'0'..=b'9' => (TokenShape::Number, word),
            _ if word > 0 => (TokenShape::Word, word),
            b'"' | b'\'' => {
                text_length(rest).map_or((TokenShape::UnclosedText, rest.len()), |n| (TokenShape::Text, n))
            }
            b'$' => variable_length(rest)
                .map_or((TokenShape::UnclosedVariable, rest.len()), |n| (TokenShape::Variable, n)),
            mark => (TokenShape::Mark(mark), 1),
        };
        self.at = start + length;
        self.token(shape, start)
    }

    fn token(&mut self, shape: TokenShape, start: usize) -> Token {
        let first_on_line = std::mem::replace(&mut self.fresh_line, false);
        Token { shape, file: Arc::clone(&self.file), start, end: self.at, first_on_line }
    }

    /// Skips white space and comments.
    ///
    /// # Errors
    /// The offset of a `/*` that is not closed; the file is read to its end then.
    fn skip_blanks(&mut self) -> Result<(), usize> {
        loop {
            let rest = &self.file.bytes()[self.at..];
            let length = match rest {
                [b'\n', ..] => {
                    self.fresh_line = true;
                    1
                }
                [b' ' | b'\t' | b'\r' | 0x08 | 0x0b | 0x0c, ..] => 1,
                [b'\\', b'\n', ..] => 2,
                [b'\\', b'\r', b'\n', ..] => 3,
                [b'#', ..] | [b'/', b'/', ..] => run(rest, |&byte| byte != b'\n'),
                [b'/', b'*', ..] => {
                    let Some(length) = comment_length(rest) else {
                        let opened = self.at;
                        self.at = self.file.bytes().len();
                        return Err(opened);
                    };
                    self.fresh_line |= rest[..length].contains(&b'\n');
                    length
                }
                _ => return Ok(()),
            };
            self.at += length;
        }
    }
}

fn run(bytes: &[u8], belongs: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| belongs(byte)).count()
}

/// The length of a comment, which may hold others. C: `comment_nest` in cfg.lex.
fn comment_length(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The length of a string with its quotes. Between double quotes a backslash keeps the quote after it from
/// ending the string; single quotes know no escape.
fn text_length(bytes: &[u8]) -> Option<usize> {
    let quote = *bytes.first()?;
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            byte if byte == quote => return Some(at + 1),
            b'\\' if quote == b'"' => at += 2,
            _ => at += 1,
        }
    }
}

/// The length of a script variable. Inside its parentheses everything belongs to it: quotes, braces,
/// newlines. C: start condition `SCRIPTVARS` in cfg.lex of 2.4, where a comma ends it too.
fn variable_length(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'(' => depth += 1,
            b')' if depth <= 1 => return Some(at + depth),
            b')' => depth -= 1,
            _ if depth > 0 => {}
            byte if byte.is_ascii_whitespace() || b";,=+-/*%&|^~<>!{}[]\"'".contains(byte) => {
                return Some(at);
            }
            _ => {}
        }
    }
    (depth == 0).then_some(bytes.len())
}

/// The length of the IPv6 address at the start, 0 when there is none. C: `IPV6ADDR` in cfg.lex.
fn ipv6_length(bytes: &[u8]) -> usize {
    /// Eight groups of four digits and the colons between them, and one to see that it goes on.
    const LONGEST: usize = 40;
    let run = run(&bytes[..bytes.len().min(LONGEST)], |byte| byte.is_ascii_hexdigit() || *byte == b':');
    if !bytes[..run].contains(&b':') {
        return 0;
    }
    (2..=run).rev().find(|&length| is_ipv6(&bytes[..length])).unwrap_or(0)
}

fn is_ipv6(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests;
