//! Parses the first line of a request, and finds headers inside of other lines.

use super::{CommandInput, HeaderLookup};

/// Longest name of a reply FIFO, in bytes: that of a file.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// The most bytes before the end of a line, or of the unread bytes, in which the beginning of a header is searched: two
/// names of [`MAX_NAME_BYTES`] and their colons.
pub(super) const HEADER_START_BYTES: usize = 2 * MAX_NAME_BYTES + 16;

/// U+FEFF, which some editors write at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The offsets of a header `:reply_fifo:{` in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JsonHeader {
    /// The offset of the first colon.
    pub(super) start: usize,
    /// The offset of the bracket.
    pub(super) value: usize,
}

/// Finds the first JSON-RPC header in a line. A header at the line's start may have any name.
pub(super) fn json_header(line: &[u8]) -> Option<JsonHeader> {
    json_header_at_start(line).or_else(|| next_json_header(line))
}

/// Finds a JSON-RPC header with any name at a line's start.
pub(super) fn json_header_at_start(line: &[u8]) -> Option<JsonHeader> {
    header_at(line, 0, |_| true)
}

/// Finds the first JSON-RPC header after a line's start.
pub(super) fn next_json_header(line: &[u8]) -> Option<JsonHeader> {
    colons(line).find_map(|at| header_at(line, at, is_plain))
}

/// Finds the offset of the first header in a line of invalid JSON. The names of such a header have no byte that JSON has
/// outside of strings, and no quote, so no part of a value is taken for a header. Inside of a string, quotes and line
/// ends are escaped, so what follows a header there is no request.
pub(super) fn next_header(line: &[u8], has_end: bool) -> Option<usize> {
    let is_text = |at: usize| {
        let plain = |name: &[u8]| name.iter().all(|&byte| is_plain(byte));
        has_end && text_header(&line[at..]).is_some_and(|(command, reply)| plain(command) && plain(reply))
    };
    colons(line).find(|&at| header_at(line, at, is_plain).is_some() || is_text(at))
}

/// Recognises a line that begins as a JSON-RPC header, but whose value is no object or array, or whose name is too long.
/// Returns the name of the reply FIFO and the offset of the value. `has_end` says that the line end is read.
pub(super) fn invalid_json_value(
    line: &[u8],
    has_end: bool,
    is_command: impl Fn(&[u8]) -> bool,
) -> Option<(&[u8], usize)> {
    let name = line.strip_prefix(b":")?;
    let name = &name[..name.iter().position(|&byte| byte == b':')?];
    let start = 1 + name.len() + 1;
    let value = start + blanks(&line[start..]);
    let rest = &line[value..];
    // A line with an object or an array is here because the name is too long.
    let is_value = matches!(rest.first(), Some(b'{' | b'[' | b'"')) || rest.starts_with(BYTE_ORDER_MARK);
    // A reply FIFO may have the name `null` or `5`, so the first name must not be that of a command.
    let is_word = || serde_json::from_slice::<serde::de::IgnoredAny>(rest).is_ok();
    (is_value || has_end && !name.is_empty() && is_word() && !is_command(name)).then_some((name, value))
}

/// The command of a complete line, when the line begins with the header of a text request.
pub(super) fn command_of(line: &[u8]) -> Option<&[u8]> {
    line.starts_with(b":").then(|| text_header(line)).flatten().map(|(command, _)| command)
}

/// The line ends a text request.
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

/// The name of the reply FIFO of a JSON-RPC request.
pub(super) fn reply_of_json(request: &[u8]) -> &[u8] {
    let name = request.strip_prefix(b":").unwrap_or_default();
    name.split(|&byte| byte == b':').next().unwrap_or_default()
}

/// The command and the reply FIFO of a text request's first line.
pub(super) fn text_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = trim_end(line).strip_prefix(b":")?;
    let end = rest.iter().position(|&byte| byte == b':').filter(|&end| end > 0)?;
    Some((&rest[..end], &rest[end + 1..]))
}

/// Where in a whole line of an open text request somebody else's request begins: `:command:reply_fifo` of which both
/// exist, at the line's end, as what stands before it may be a line that was not written to its end. At the line's start
/// the command may be one that does not exist.
pub(super) fn nested_text_header(line: &[u8], lookup: &dyn HeaderLookup) -> Option<usize> {
    let is_first =
        text_header(line).is_some_and(|(_, reply)| !reply.is_empty() && lookup.is_reply_fifo(reply));
    if is_first { Some(0) } else { last_text_header(line, lookup) }
}

/// The offset of a header that ends a complete line, and whose command and reply FIFO exist.
pub(super) fn last_text_header(line: &[u8], lookup: &dyn HeaderLookup) -> Option<usize> {
    let line = trim_end(line);
    let from = line.len().saturating_sub(HEADER_START_BYTES);
    let last_colon = |text: &[u8]| text.iter().rposition(|&byte| byte == b':');
    let middle = last_colon(&line[from..])?;
    let first = last_colon(&line[from..from + middle])?;
    let (command, reply) = (&line[from + first + 1..from + middle], &line[from + middle + 1..]);
    let is_header = !reply.is_empty()
        && reply.iter().all(|&byte| is_plain(byte))
        && lookup.command(command) != CommandInput::UnknownCommand
        && lookup.is_reply_fifo(reply);
    is_header.then_some(from + first)
}

/// The offset of a JSON-RPC request in a line of an open text request. Its reply FIFO must exist, or it has none and
/// begins the line. The bytes before `searched` hold no such request.
pub(super) fn nested_json_header(line: &[u8], searched: usize, lookup: &dyn HeaderLookup) -> Option<usize> {
    let has_reader = |start: usize| lookup.is_reply_fifo(reply_of_json(&line[start..]));
    if json_header_at_start(line).is_some() && (line.starts_with(b"::") || has_reader(0)) {
        return Some(0);
    }
    let from = searched.saturating_sub(HEADER_START_BYTES).max(1).min(line.len());
    let starts = colons(&line[from..]).map(|at| from + at);
    starts.into_iter().find(|&at| header_at(line, at, is_plain).is_some() && has_reader(at))
}

/// Removes what C removes from the end of a line.
pub(super) fn trim_end(line: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| !matches!(byte, b'\n' | b'\r' | b' ' | b'\t');
    &line[..line.iter().rposition(is_kept).map_or(0, |last| last + 1)]
}

/// The number of blanks at the beginning, without line ends.
pub(super) fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count()
}
