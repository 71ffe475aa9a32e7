//! What is no request, or not any more, is passed over to where the next one can begin.

use super::header::{self, json_header};
use super::{Commands, Frame, Known, Mode, Place, Wait, newline, skip};
use Place::{Inside, Start};

/// How much of a line's end may be the beginning of a header, in bytes: two names as long as a file's can be, and their
/// marks.
const HEADER_START_BYTES: usize = 2 * header::MAX_NAME_BYTES + 16;

/// Passes over the rest of a text request.
pub(super) fn skip_text(unread: &[u8], place: Place) -> Result<Frame<'static>, Wait> {
    let line_end = newline(unread);
    let line = &unread[..line_end.unwrap_or(unread.len())];
    if place == Start && header::json_header_at_start(line).is_some() {
        return Ok(skip(0, Mode::Fresh));
    }
    match line_end {
        Some(end) if place == Start && header::is_empty_line(line) => Ok(skip(end + 1, Mode::Fresh)),
        Some(end) => Ok(skip(end + 1, Mode::Text(Start))),
        // What may be an end stays.
        None if line.is_empty() || place == Start && may_begin_header(line) => Err(Wait::Patiently),
        None => Ok(skip(unread.len(), Mode::Text(Inside))),
    }
}

/// Whether what a line begins with, so far, may become an empty line or a header.
fn may_begin_header(line: &[u8]) -> bool {
    line == b"\r" || line.starts_with(b":") && line.len() < HEADER_START_BYTES
}

/// Passes over what never was a request.
pub(super) fn skip_garbage(
    unread: &[u8],
    place: Place,
    is_quiet: bool,
    commands: &Commands<'_>,
) -> Result<Frame<'static>, Wait> {
    let line_end = newline(unread);
    let is_request =
        |line| header::command_of(line).is_some_and(|command| commands(command) != Known::Absent);
    if place == Start {
        let line = &unread[..line_end.unwrap_or(unread.len())];
        match line_end {
            Some(end) if header::is_empty_line(line) => return Ok(skip(end + 1, Mode::Fresh)),
            // JSON-RPC that stands in it goes first, as it would be found before the line's end came.
            Some(_) if json_header(line).is_none() && is_request(line) => return Ok(skip(0, Mode::Fresh)),
            None if line == b"\r" && !is_quiet => return Err(Wait::Briefly),
            _ => {}
        }
    }
    skip_line(unread, is_quiet, Mode::Garbage, |line, _| match place {
        Start => json_header(line).map(|header| header.start),
        Inside => header::next_json_header(line).map(|header| header.start),
    })
}

/// Passes over the rest of broken JSON.
pub(super) fn skip_json(unread: &[u8], place: Place, is_quiet: bool) -> Result<Frame<'static>, Wait> {
    if place == Start && unread.first() == Some(&b':') {
        return Ok(skip(0, Mode::Fresh));
    }
    skip_line(unread, is_quiet, Mode::Json, header::next_header)
}

/// Passes over a line, up to the header that `find` sees in it. `find` is told whether the line is whole.
fn skip_line(
    unread: &[u8],
    is_quiet: bool,
    mode: impl Fn(Place) -> Mode,
    find: impl Fn(&[u8], bool) -> Option<usize>,
) -> Result<Frame<'static>, Wait> {
    let line_end = newline(unread);
    let line = &unread[..line_end.unwrap_or(unread.len())];
    if let Some(start) = find(line, line_end.is_some()) {
        return Ok(skip(start, Mode::Fresh));
    }
    match line_end {
        Some(end) => return Ok(skip(end + 1, mode(Start))),
        None if is_quiet => return Ok(skip(unread.len(), Mode::Fresh)),
        None => {}
    }
    // What may be the beginning of a header stays.
    let tail = unread.len().saturating_sub(HEADER_START_BYTES);
    let kept =
        unread[tail..].iter().position(|&byte| byte == b':').map_or(unread.len(), |colon| tail + colon);
    if kept == 0 { Err(Wait::Briefly) } else { Ok(skip(kept, mode(Inside))) }
}
