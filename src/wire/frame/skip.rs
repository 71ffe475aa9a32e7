//! Skips bytes that are not a request, or no longer one, up to where the next request may begin.

use super::header::{self, HEADER_START_BYTES, json_header};
use super::{CommandInput, Frame, FrameWait, HeaderLookup, LinePosition, StreamMode, newline, skip};
use LinePosition::{Inside, Start};

/// Skips the rest of a refused text request.
pub(super) fn skip_text(
    unread: &[u8],
    position: LinePosition,
    lookup: &dyn HeaderLookup,
) -> Result<Frame<'static>, FrameWait> {
    if position == Start && matches!(unread, [b'\n', ..] | [b'\r', b'\n', ..]) {
        return Ok(skip(newline(unread).map_or(0, |end| end + 1), StreamMode::NewRequest));
    }
    let find = |line: &[u8], has_end: bool| {
        let text = || has_end.then(|| header::nested_text_header(line, lookup)).flatten();
        header::nested_json_header(line, 0, lookup).or_else(text)
    };
    match skip_line(unread, false, StreamMode::RestOfText, find) {
        Err(_) => Err(FrameWait::Indefinite),
        // The CR may be the beginning of the last line.
        Ok(_) if position == Start && unread == b"\r" => Err(FrameWait::Indefinite),
        frame => frame,
    }
}

/// Skips bytes that never were a request.
pub(super) fn skip_garbage(
    unread: &[u8],
    position: LinePosition,
    is_quiet: bool,
    lookup: &dyn HeaderLookup,
) -> Result<Frame<'static>, FrameWait> {
    let line_end = newline(unread);
    let is_request = |line| {
        header::command_of(line)
            .is_some_and(|command| lookup.command(command) != CommandInput::UnknownCommand)
    };
    if position == Start {
        let line = &unread[..line_end.unwrap_or(unread.len())];
        match line_end {
            Some(end) if header::is_empty_line(line) => return Ok(skip(end + 1, StreamMode::NewRequest)),
            // A JSON-RPC request in the line goes first: it would be found before the line end is read.
            Some(_) if json_header(line).is_none() && is_request(line) => {
                return Ok(skip(0, StreamMode::NewRequest));
            }
            None if line == b"\r" && !is_quiet => return Err(FrameWait::Brief),
            _ => {}
        }
    }
    skip_line(unread, is_quiet, StreamMode::Garbage, |line, has_end| {
        let json = match position {
            Start => json_header(line),
            Inside => header::next_json_header(line),
        };
        let text = || has_end.then(|| header::last_text_header(line, lookup)).flatten();
        json.map(|header| header.start).or_else(text)
    })
}

/// Skips the rest of invalid JSON.
pub(super) fn skip_json(
    unread: &[u8],
    position: LinePosition,
    is_quiet: bool,
) -> Result<Frame<'static>, FrameWait> {
    if position == Start && unread.first() == Some(&b':') {
        return Ok(skip(0, StreamMode::NewRequest));
    }
    skip_line(unread, is_quiet, StreamMode::RestOfJson, header::next_header)
}

/// Skips a line, or the part of it before the header that `find` returns. The second argument of `find` says that the
/// line end is read.
fn skip_line(
    unread: &[u8],
    is_quiet: bool,
    mode: impl Fn(LinePosition) -> StreamMode,
    find: impl Fn(&[u8], bool) -> Option<usize>,
) -> Result<Frame<'static>, FrameWait> {
    let line_end = newline(unread);
    let line = &unread[..line_end.unwrap_or(unread.len())];
    if let Some(start) = find(line, line_end.is_some()) {
        return Ok(skip(start, StreamMode::NewRequest));
    }
    match line_end {
        Some(end) => return Ok(skip(end + 1, mode(Start))),
        None if is_quiet => return Ok(skip(unread.len(), StreamMode::NewRequest)),
        None => {}
    }
    let kept = possible_header_start(unread);
    if kept == 0 { Err(FrameWait::Brief) } else { Ok(skip(kept, mode(Inside))) }
}

/// The offset in an incomplete line at which a header may begin whose end is not read; the line's length for none.
pub(super) fn possible_header_start(line: &[u8]) -> usize {
    let tail = line.len().saturating_sub(HEADER_START_BYTES);
    line[tail..].iter().position(|&byte| byte == b':').map_or(line.len(), |colon| tail + colon)
}
