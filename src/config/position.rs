//! Keeps the files that were read and the places in them, so that a message can show its line.
//!
//! Reads no files and decides about no error. C counterpart: `count` in cfg.lex, which keeps line and column
//! as it goes; here both are counted when a message is printed.

use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest line that is shown under a message, in characters. A longer line is not shown, and neither is
/// its caret.
const MAX_SHOWN_CHARS: usize = 500;

/// A file of the configuration: the path it was read by, and its bytes.
#[derive(Debug)]
pub struct SourceFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl SourceFile {
    pub(super) fn new(path: PathBuf, bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { path, bytes })
    }

    /// The path by which the file was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A place in a file of the configuration. Prints as `path:line:column`.
#[derive(Clone, Debug)]
pub struct Position {
    file: Arc<SourceFile>,
    offset: usize,
}

impl Position {
    pub(super) fn new(file: &Arc<SourceFile>, offset: usize) -> Self {
        let offset = offset.min(file.bytes.len());
        Self { file: Arc::clone(file), offset }
    }

    /// The file it is in.
    #[must_use]
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// Bytes before the place, from 0 to the length of the file.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        1 + self.before().iter().filter(|&&byte| byte == b'\n').count()
    }

    /// The column in the line, from 1, in characters: a tab is one, and so is each byte that is not UTF-8.
    #[must_use]
    pub fn column(&self) -> usize {
        1 + readable(&self.before()[self.line_start()..]).chars().count()
    }

    /// The source line, and below it a line with a caret under the column. `None` when the line is empty or
    /// too long to be of help. The password of a URL is not shown.
    #[must_use]
    pub fn excerpt(&self) -> Option<String> {
        let start = self.line_start();
        let rest = &self.file.bytes[start..];
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let shown = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let line = readable(shown);
        if line.is_empty() || line.chars().count() > MAX_SHOWN_CHARS {
            return None;
        }
        let before = readable(&self.before()[start..]);
        let (line, before) = match password(&line) {
            Some(hidden) => (hide(&line, &hidden), hide(&before, &hidden)),
            None => (line, before),
        };
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        Some(format!("{line}\n{indent}^"))
    }

    fn before(&self) -> &[u8] {
        &self.file.bytes[..self.offset]
    }

    fn line_start(&self) -> usize {
        self.before().iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", readable_path(&self.file.path), self.line(), self.column())
    }
}

/// The same file, by path, and the same place in it.
impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset && self.file.path == other.file.path
    }
}

impl Eq for Position {}

/// A path as text for a terminal.
pub(super) fn readable_path(path: &Path) -> String {
    readable(path.as_os_str().as_bytes())
}

/// Bytes as text for a terminal. Bytes that are not UTF-8 and control characters but TAB become U+FFFD.
pub(super) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A text for people without the password of a URL in it.
pub(super) fn without_password(text: String) -> String {
    match password(&text) {
        Some(hidden) => hide(&text, &hidden),
        None => text,
    }
}

/// The range that may hold a password: from `://USER:`, or from `://` without a colon, to the last `@`. The
/// range may be too long, since a password may hold any character.
fn password(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + "://".len();
    let end = text.rfind('@').filter(|&end| end > start)?;
    let start = text.get(start..end)?.find(':').map_or(start, |colon| start + colon + 1);
    (start < end).then_some(start..end)
}

/// The text with `***` in place of a range. A text that ends within the range is cut at its start.
fn hide(text: &str, part: &Range<usize>) -> String {
    match (text.get(..part.start), text.get(part.end..)) {
        (None, _) => text.to_owned(),
        (Some(before), None) => before.to_owned(),
        (Some(before), Some(behind)) => format!("{before}***{behind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &[u8], offset: usize) -> Position {
        Position::new(&SourceFile::new(PathBuf::from("a.cfg"), text.to_vec()), offset)
    }

    #[test]
    fn the_first_byte_is_line_1_column_1() {
        assert_eq!(at(b"fork=yes\n", 0).to_string(), "a.cfg:1:1");
    }

    #[test]
    fn columns_count_characters_and_the_caret_keeps_tabs() {
        let place = at("x\n\t\"\u{e9}\" 7\n".as_bytes(), 8);
        assert_eq!((place.line(), place.column()), (2, 6));
        assert_eq!(place.excerpt().as_deref(), Some("\t\"\u{e9}\" 7\n\t    ^"));
    }

    #[test]
    fn a_byte_that_is_not_utf8_takes_one_column() {
        let place = at(b"\xff\xfe x", 3);
        assert_eq!(place.column(), 4);
        assert_eq!(place.excerpt().as_deref(), Some("\u{fffd}\u{fffd} x\n   ^"));
    }

    #[test]
    fn the_end_of_the_file_is_a_place() {
        let place = at(b"a\n", 99);
        assert_eq!((place.line(), place.column(), place.excerpt()), (2, 1, None));
    }

    #[test]
    fn a_terminal_sees_no_control_characters() {
        assert_eq!(at(b"a\x1b[2Jb", 0).excerpt().as_deref(), Some("a\u{fffd}[2Jb\n^"));
    }

    #[test]
    fn a_very_long_line_is_not_shown() {
        assert_eq!(at(&[b'x'; MAX_SHOWN_CHARS + 1], 3).excerpt(), None);
        assert!(at(&[b'x'; MAX_SHOWN_CHARS], 3).excerpt().is_some());
    }

    /// Neither before nor behind the caret, which stays where it belongs.
    #[test]
    fn no_password_is_shown() {
        let line = b"f(\"redis:g://mi:se@cr/et@h:x/\") 7\n";
        for (offset, column) in [(2, 2), (16, 16), (20, 16), (24, 19), (32, 27)] {
            let shown = format!("f(\"redis:g://mi:***@h:x/\") 7\n{}^", " ".repeat(column));
            assert_eq!(at(line, offset).excerpt(), Some(shown), "{offset}");
        }
        for (text, shown) in [
            ("redis://secret@h", "redis://***@h"),
            ("redis://:secret@h", "redis://:***@h"),
            ("redis://@h", "redis://@h"),
            ("redis://mi:@h", "redis://mi:@h"),
            ("redis://h:1/", "redis://h:1/"),
            ("a@b redis://h", "a@b redis://h"),
            ("mail a@b", "mail a@b"),
        ] {
            assert_eq!(without_password(text.to_owned()), shown);
        }
    }
}
