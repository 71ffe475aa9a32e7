//! Where lines leave: on standard error or to the system log, at once or not at all.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::system::stderr;

/// Longest line, in bytes, with its end. As much as a pipe takes in one piece: `PIPE_BUF`.
const MAX_LINE_BYTES: usize = 4096;

/// Room that is kept for what is said of others, in bytes.
const NOTE_BYTES: usize = 96;

/// How many lines could not be written since the last one that could.
#[derive(Debug, Default)]
pub(super) struct Lost(Mutex<u64>);

impl Lost {
    /// Writes a line, which ends without a line feed, by `write`. What was lost before is told at its end.
    pub(super) fn write(&self, line: &str, write: impl FnOnce(&str) -> io::Result<()>) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = line.floor_char_boundary(MAX_LINE_BYTES - NOTE_BYTES);
        let mut text = line[..cut].to_owned();
        if cut < line.len() {
            text += &format!("... ({} bytes)", line.len());
        }
        if *lost > 0 {
            text += &format!(" (and {lost} lines before could not be written)");
        }
        *lost = if write(&text).is_ok() { 0 } else { *lost + 1 };
    }
}

/// Standard error, for env_logger, which writes one line in one call.
#[derive(Debug, Default)]
pub(super) struct StandardError(Lost);

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        self.0.write(&text, |text| stderr::write(format!("{text}\n").as_bytes()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_cannot_be_written_are_counted_in_the_next_one() {
        let lost = Lost::default();
        let mut written = Vec::new();
        for (line, can) in [("a", true), ("b", false), ("c", false), ("d", true), ("e", true)] {
            lost.write(line, |text| {
                written.push(text.to_owned());
                if can { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
            });
        }
        assert_eq!(written[3..], ["d (and 2 lines before could not be written)", "e"]);
    }

    #[test]
    fn a_line_is_not_longer_than_a_pipe_takes_in_one_piece() {
        let lost = Lost(Mutex::new(u64::MAX));
        let long = "é".repeat(100_000);
        let mut length = 0;
        lost.write(&long, |text| {
            assert!(text.contains("... (200000 bytes) (and "), "{text}");
            length = text.len() + 1;
            Ok(())
        });
        assert!(length > 4000 && length <= MAX_LINE_BYTES, "{length}");
    }
}
