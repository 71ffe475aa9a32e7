//! Escapes text for JSON strings, without the quotes. Every byte sequence has an encoding.

use std::fmt;

use super::{Output, plain};

/// Writes `bytes`. A byte that is not UTF-8 becomes the character with its number, so that every value gives
/// valid JSON.
pub(super) fn characters<O: Output>(output: &mut O, bytes: &[u8]) {
    if plain::all(bytes, is_plain) {
        return output.push(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        escape(output, chunk.valid());
        for byte in chunk.invalid() {
            escape_byte(output, *byte);
        }
    }
}

/// Escapes what the formatting macros write to it.
pub(super) struct Escaped<'a, O>(pub(super) &'a mut O);

impl<O: Output> fmt::Write for Escaped<'_, O> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// Whether a byte needs no escape.
fn is_plain(byte: u8) -> bool {
    (0x20..0x80).contains(&byte) & (byte != b'"') & (byte != b'\\')
}

fn escape<O: Output>(output: &mut O, text: &str) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..0x20 => b"",
            _ => continue,
        };
        output.push(&bytes[start..at]);
        start = at + 1;
        if short.is_empty() {
            escape_byte(output, byte);
        } else {
            output.push(short);
        }
    }
    output.push(&bytes[start..]);
}

/// Writes a byte as `\u00XX`.
fn escape_byte<O: Output>(output: &mut O, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let [high, low] = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
    output.push(&[b'\\', b'u', b'0', b'0', high, low]);
}
