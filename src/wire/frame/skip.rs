//! What is no request, or not any more, is passed over to where the next one can begin.

use super::header::{self, HEADER_START_BYTES, json_header};
use super::{Frame, Known, Lookup, Mode, Place, Wait, newline, skip};
use Place::{Inside, Start};

/// Passes over the rest of a text request.
pub(super) fn skip_text(unread: &[u8], place: Place, lookup: &dyn Lookup) -> Result<Frame<'static>, Wait> {
    if place == Start && matches!(unread, [b'\n', ..] | [b'\r', b'\n', ..]) {
        return Ok(skip(newline(unread).map_or(0, |end| end + 1), Mode::Fresh));
    }
    let find = |line: &[u8], has_end: bool| {
        let text = || has_end.then(|| header::nested_text_header(line, lookup)).flatten();
        header::nested_json_header(line, 0, lookup).or_else(text)
    };
    match skip_line(unread, false, Mode::Text, find) {
        Err(_) => Err(Wait::Patiently),
        // What may be an end stays.
        Ok(_) if place == Start && unread == b"\r" => Err(Wait::Patiently),
        frame => frame,
    }
}

/// Passes over what never was a request.
pub(super) fn skip_garbage(
    unread: &[u8],
    place: Place,
    is_quiet: bool,
    lookup: &dyn Lookup,
) -> Result<Frame<'static>, Wait> {
    let line_end = newline(unread);
    let is_request =
        |line| header::command_of(line).is_some_and(|command| lookup.command(command) != Known::Absent);
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
    skip_line(unread, is_quiet, Mode::Garbage, |line, has_end| {
        let json = match place {
            Start => json_header(line),
            Inside => header::next_json_header(line),
        };
        let text = || has_end.then(|| header::last_text_header(line, lookup)).flatten();
        json.map(|header| header.start).or_else(text)
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
    let kept = header_start(unread);
    if kept == 0 { Err(Wait::Briefly) } else { Ok(skip(kept, mode(Inside))) }
}

/// Where in what was read, so far, of a line a header may begin that has not come to its end; its length for nowhere.
pub(super) fn header_start(line: &[u8]) -> usize {
    let tail = line.len().saturating_sub(HEADER_START_BYTES);
    line[tail..].iter().position(|&byte| byte == b':').map_or(line.len(), |colon| tail + colon)
}
