//! What the log shows of text and bytes that came from outside.

use std::fmt::{self, Write};

/// Text in which nothing can begin another line, steer a terminal or change the order of what is read: control
/// characters (C0, DEL, C1), separators of lines and characters without a shape of their own stand as escapes.
///
/// All other text stays as it is, of whatever script.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Whether a character has no place in a line of the log.
fn is_hidden(character: char) -> bool {
    // Control characters; directional marks, embeddings, overrides and isolates; zero widths; line and paragraph
    // separators; the byte order mark; annotations; tags.
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut begin = 0;
        for (at, character) in text.char_indices().filter(|(_, character)| is_hidden(*character)) {
            self.0.write_str(&text[begin..at])?;
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii() => write!(self.0, "{}", byte.escape_ascii())?,
                _ => write!(self.0, "{}", character.escape_unicode())?,
            }
            begin = at + character.len_utf8();
        }
        self.0.write_str(&text[begin..])
    }
}

/// What clients have sent, as the log shows it: in ASCII, and not more than the first hundred bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

/// Bytes of a value that the log shows at most.
const SHOWN_BYTES: usize = 100;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(SHOWN_BYTES) {
            Some((start, [_, ..])) => write!(f, "{}... ({} bytes)", start.escape_ascii(), self.0.len()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_stand_as_escapes() {
        assert_eq!(Printable("a\x1b[2J\r\n\t\0\x7fb").to_string(), "a\\x1b[2J\\r\\n\\t\\x00\\x7fb");
        assert_eq!(Printable("\u{85}\u{9b}").to_string(), "\\u{85}\\u{9b}");
        assert_eq!(
            Printable("\u{202e}\u{2066}\u{2028}\u{e0041}").to_string(),
            "\\u{202e}\\u{2066}\\u{2028}\\u{e0041}"
        );
    }

    #[test]
    fn text_of_any_script_and_what_is_escaped_already_stays() {
        for text in ["grün 日本語 עברית عربي 🙂 ~", "a\\x1b", "\"<>&%\\"] {
            assert_eq!(Printable(text).to_string(), text);
        }
    }

    #[test]
    fn every_character_that_stays_is_one_column_or_more_and_in_reading_order() {
        for character in '\0'..=char::MAX {
            let shown = Printable(character).to_string();
            if shown.chars().eq([character]) {
                assert!(!character.is_control(), "{character:?}");
                assert!(!('\u{202a}'..='\u{202e}').contains(&character), "{character:?}");
            } else {
                assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown}");
            }
        }
    }

    #[test]
    fn what_clients_sent_is_shown_in_part() {
        assert_eq!(Shown(b"a\n\"").to_string(), "a\\n\\\"");
        assert_eq!(Shown(&[b'x'; 100]).to_string(), "x".repeat(100));
        assert_eq!(Shown(&[b'x'; 60_000]).to_string(), "x".repeat(100) + "... (60000 bytes)");
    }
}
