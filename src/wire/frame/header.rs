//! The first line of a request.

use super::{Known, Lookup};

/// Longest name of a reply FIFO, in bytes, as file systems have it.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// Longest beginning of a header that is looked for at the end of a line or of what was read, in bytes: two names as
/// long as a file's can be, and their colons.
pub(super) const HEADER_START_BYTES: usize = 2 * MAX_NAME_BYTES + 16;

/// U+FEFF, as some editors put in front of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// `:reply_fifo:{`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JsonHeader {
    /// Where its first colon is.
    pub(super) start: usize,
    /// Where its bracket is.
    pub(super) value: usize,
}

/// The first header of JSON-RPC in a line. At the line's start it may have any name.
pub(super) fn json_header(line: &[u8]) -> Option<JsonHeader> {
    json_header_at_start(line).or_else(|| next_json_header(line))
}

/// The header of JSON-RPC that a line begins with, whatever its name.
pub(super) fn json_header_at_start(line: &[u8]) -> Option<JsonHeader> {
    header_at(line, 0, |_| true)
}

/// The first header of JSON-RPC in a line behind its start.
pub(super) fn next_json_header(line: &[u8]) -> Option<JsonHeader> {
    colons(line).find_map(|at| header_at(line, at, is_plain))
}

/// Where the first header in a line begins that may stand inside of broken JSON. Its names have nothing that JSON has
/// outside of strings, and no quote, so no part of a value is mistaken for one; and inside of a string, where quotes and
/// line ends are escaped, what follows is no request.
pub(super) fn next_header(line: &[u8], has_end: bool) -> Option<usize> {
    let is_text = |at: usize| {
        let plain = |name: &[u8]| name.iter().all(|&byte| is_plain(byte));
        has_end && text_header(&line[at..]).is_some_and(|(command, reply)| plain(command) && plain(reply))
    };
    colons(line).find(|&at| header_at(line, at, is_plain).is_some() || is_text(at))
}

/// What cannot be JSON-RPC, and is meant for it more likely than for a name, in a line that begins as its header does:
/// the name of the reply FIFO, and where the value begins. `has_end` says whether the line is whole.
pub(super) fn other_value(
    line: &[u8],
    has_end: bool,
    is_command: impl Fn(&[u8]) -> bool,
) -> Option<(&[u8], usize)> {
    let name = line.strip_prefix(b":")?;
    let name = &name[..name.iter().position(|&byte| byte == b':')?];
    let start = 1 + name.len() + 1;
    let value = start + blanks(&line[start..]);
    let rest = &line[value..];
    // An object or an array is here for its name, which is too long.
    let is_value = matches!(rest.first(), Some(b'{' | b'[' | b'"')) || rest.starts_with(BYTE_ORDER_MARK);
    // Such names a file may have.
    let is_word = || serde_json::from_slice::<serde::de::IgnoredAny>(rest).is_ok();
    (is_value || has_end && !name.is_empty() && is_word() && !is_command(name)).then_some((name, value))
}

/// The command of a whole line that begins as the first of a text request does.
pub(super) fn command_of(line: &[u8]) -> Option<&[u8]> {
    line.starts_with(b":").then(|| text_header(line)).flatten().map(|(command, _)| command)
}

/// Whether a line ends a text request.
pub(super) fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, b"" | b"\r")
}

fn colons(line: &[u8]) -> impl Iterator<Item = usize> {
    line.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at)
}

fn is_plain(byte: u8) -> bool {
    !byte.is_ascii_control() && !b" \"{}[],:./\\".contains(&byte)
}

fn header_at(line: &[u8], start: usize, fits: impl Fn(u8) -> bool) -> Option<JsonHeader> {
    let name = line.get(start..)?.strip_prefix(b":")?;
    let end = name.iter().take(MAX_NAME_BYTES + 1).position(|&byte| byte == b':')?;
    let rest = &name[end + 1..];
    let blanks = blanks(rest);
    let is_header =
        name[..end].iter().all(|&byte| fits(byte)) && matches!(rest.get(blanks), Some(b'{' | b'['));
    is_header.then_some(JsonHeader { start, value: start + 1 + end + 1 + blanks })
}

/// The name of the reply FIFO in what begins with a header of JSON-RPC.
pub(super) fn reply_of_json(request: &[u8]) -> &[u8] {
    let name = request.strip_prefix(b":").unwrap_or_default();
    name.split(|&byte| byte == b':').next().unwrap_or_default()
}

/// Command and reply FIFO of a text request's first line.
pub(super) fn text_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = trim_end(line).strip_prefix(b":")?;
    let end = rest.iter().position(|&byte| byte == b':').filter(|&end| end > 0)?;
    Some((&rest[..end], &rest[end + 1..]))
}

/// Where in a whole line of an open text request somebody else's request begins: `:command:reply_fifo` of which both
/// exist, at the line's end, as what stands before it may be a line that was not written to its end. At the line's start
/// the command may be one that does not exist.
pub(super) fn nested_text_header(line: &[u8], lookup: &dyn Lookup) -> Option<usize> {
    let is_first =
        text_header(line).is_some_and(|(_, reply)| !reply.is_empty() && lookup.is_reply_fifo(reply));
    if is_first { Some(0) } else { last_text_header(line, lookup) }
}

/// Where the last header in a whole line begins, if it ends the line, and its command and reply FIFO exist.
pub(super) fn last_text_header(line: &[u8], lookup: &dyn Lookup) -> Option<usize> {
    let line = trim_end(line);
    let from = line.len().saturating_sub(HEADER_START_BYTES);
    let last_colon = |text: &[u8]| text.iter().rposition(|&byte| byte == b':');
    let middle = last_colon(&line[from..])?;
    let first = last_colon(&line[from..from + middle])?;
    let (command, reply) = (&line[from + first + 1..from + middle], &line[from + middle + 1..]);
    let is_header = !reply.is_empty()
        && reply.iter().all(|&byte| is_plain(byte))
        && lookup.command(command) != Known::Absent
        && lookup.is_reply_fifo(reply);
    is_header.then_some(from + first)
}

/// Where in an open text request's line, so far, a request in JSON begins whose reply FIFO exists, or that has none and
/// begins the line. Up to `looked` the line was looked at before.
pub(super) fn nested_json_header(line: &[u8], looked: usize, lookup: &dyn Lookup) -> Option<usize> {
    let waits = |start: usize| lookup.is_reply_fifo(reply_of_json(&line[start..]));
    if json_header_at_start(line).is_some() && (line.starts_with(b"::") || waits(0)) {
        return Some(0);
    }
    let from = looked.saturating_sub(HEADER_START_BYTES).max(1).min(line.len());
    let starts = colons(&line[from..]).map(|at| from + at);
    starts.into_iter().find(|&at| header_at(line, at, is_plain).is_some() && waits(at))
}

/// C's idea of the end of a line.
pub(super) fn trim_end(line: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| !matches!(byte, b'\n' | b'\r' | b' ' | b'\t');
    &line[..line.iter().rposition(is_kept).map_or(0, |last| last + 1)]
}

/// How many blanks a text begins with, line ends apart.
pub(super) fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count()
}
