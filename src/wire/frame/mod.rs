//! Splits the byte stream of a FIFO, into which many clients write, into requests.
//!
//! ```text
//! header.rs   parses the first line of a request
//! text.rs     finds the end of text requests, and requests among the lines of another
//! scan.rs     finds the end of a JSON value
//! skip.rs     finds the next request after bytes that are not a request
//! ```
//!
//! ```text
//! :command:reply_fifo\n          text: parameters, one a line, to the first line
//! …\n\n                          that is empty or holds only a CR
//! :reply_fifo:{…}                JSON-RPC: to the end of the value
//! ```
//!
//! Pure: the caller reads the bytes and keeps them. C: `mi_fifo_server` in fifo_fnc.c, of 1.11 for text and of 3.4 for
//! JSON.
//!
//! Differs:
//!
//! * A text request without a reply FIFO runs; C skips it.
//! * A text request that does not parse ends at its own empty line; C skips the next request with it.
//! * A line that holds only a CR ends a text request; C takes the line for a parameter.
//! * Requests of other clients are found among the lines of a text request whose end is missing (see text.rs); C takes
//!   all lines for parameters of the first request.
//! * Garbage ends before the header of a request for a known command; C skips that request with it.
//! * A request may have [`MAX_REQUEST_BYTES`]; C's limits are 8192 bytes a line for text, and 4096 bytes for JSON.
//! * JSON whose end is missing is dropped when no more bytes come for a while; C waits for the end.

mod header;
mod scan;
mod skip;
mod text;

use header::{json_header, text_header};
use scan::{JsonScanner, ScanResult};
use skip::{skip_garbage, skip_json, skip_text};
use text::OpenRequests;

/// Longest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Longest first line, in bytes. C: `MAX_MI_FIFO_BUFFER`.
const MAX_HEADER_BYTES: usize = 8192;

/// What the next byte of the stream belongs to. A worker stores it in shared memory for its successor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamMode {
    /// A new request.
    #[default]
    NewRequest,
    /// Bytes that never were a request. They end at an empty line, before JSON-RPC, or before the header of a text
    /// request for a known command.
    Garbage(LinePosition),
    /// The rest of a refused text request. It ends at an empty line, or before a nested request.
    RestOfText(LinePosition),
    /// The rest of invalid JSON. It ends before a header, or before a line that begins with a colon.
    RestOfJson(LinePosition),
}

/// Where in a line the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinePosition {
    /// It is the first byte of a line.
    Start,
    /// A byte of its line comes before it.
    Inside,
}

use LinePosition::{Inside, Start};

/// All modes. The index of a mode is its number.
const MODES: [StreamMode; 7] = [
    StreamMode::NewRequest,
    StreamMode::Garbage(Start),
    StreamMode::Garbage(Inside),
    StreamMode::RestOfText(Start),
    StreamMode::RestOfText(Inside),
    StreamMode::RestOfJson(Start),
    StreamMode::RestOfJson(Inside),
];

impl StreamMode {
    /// The number of the mode, 0 to 6.
    #[must_use]
    pub fn number(self) -> u8 {
        (0..).zip(MODES).find(|&(_, mode)| mode == self).map_or(0, |(number, _)| number)
    }

    /// The mode of that number. Other numbers give [`StreamMode::NewRequest`].
    #[must_use]
    pub fn from_number(number: u8) -> StreamMode {
        MODES.get(usize::from(number)).copied().unwrap_or_default()
    }
}

/// One step through the stream. It takes bytes, changes the mode, or both.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Offset of the bytes that are taken. When it is not 0, the bytes before them belong to a text request whose end
    /// is missing, and stay in the stream.
    pub start: usize,
    /// The number of bytes that are taken.
    pub length: usize,
    /// The mode after the taken bytes. [`StreamMode::NewRequest`] when `start` is not 0.
    pub next: StreamMode,
    /// What the taken bytes are.
    pub content: FrameContent<'a>,
}

/// What the bytes of a frame are.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameContent<'a> {
    /// Bytes that are passed over in silence: blank lines, and the rest of what was refused.
    Skip,
    /// The beginning of bytes that are not a request.
    Garbage,
    /// A request.
    Request {
        /// The name of the reply FIFO; empty for none.
        reply_fifo: &'a [u8],
        /// The request.
        request: FifoRequest<'a>,
    },
}

/// A request over a FIFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FifoRequest<'a> {
    /// A text request.
    Text {
        /// The name of the command.
        command: &'a [u8],
        /// The lines after the first, without the empty one.
        params: &'a [u8],
    },
    /// The beginning of a text request whose end is missing.
    UnterminatedText {
        /// The name of the command.
        command: &'a [u8],
    },
    /// A JSON value. Its syntax is checked, but not its strings and its depth.
    Json {
        /// The value.
        text: &'a [u8],
    },
    /// A JSON-RPC request whose value is not valid JSON.
    InvalidJson,
    /// A request longer than [`MAX_REQUEST_BYTES`].
    TooLarge {
        /// True for JSON-RPC, false for text.
        is_json: bool,
        /// The length of the request.
        length: RequestLength,
    },
}

/// What the caller knows of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandInput {
    /// There is no command of that name.
    UnknownCommand,
    /// The command has no parameters. Lines of parameters are ignored.
    NoParams,
    /// The command has parameters.
    Params,
}

/// Looks up the names in a header.
pub trait HeaderLookup {
    /// What is known of the command of that name.
    fn command(&self, name: &[u8]) -> CommandInput;

    /// There is a reply FIFO of that name, so a client may be waiting for a reply.
    fn is_reply_fifo(&self, name: &[u8]) -> bool;
}

/// The length of a request, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLength {
    /// The request has this length.
    Exactly(usize),
    /// The request is longer than this; its end is not read.
    MoreThan(usize),
}

/// For how long the caller should wait for more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameWait {
    /// Without a limit.
    Indefinite,
    /// For a while. When no bytes come, the caller calls [`Framer::next_frame`] with `is_quiet`.
    Brief,
}

/// Splits a stream into frames.
#[derive(Debug, Default)]
pub struct Framer {
    mode: StreamMode,
    phase: FramerPhase,
}

/// How much is known of the request at the beginning of the unread bytes.
#[derive(Debug, Default)]
enum FramerPhase {
    /// The end of the first line is not read.
    #[default]
    FirstLine,
    /// The first line of a text request is read.
    TextBody(OpenRequests),
    /// The header of a JSON-RPC request is read. `value` is the offset of the JSON value, `scanned` that of the first
    /// byte which the scanner has not seen.
    JsonValue { value: usize, scanned: usize, scanner: JsonScanner },
}

impl Framer {
    /// Begins in the mode that a predecessor has stored.
    #[must_use]
    pub fn new(mode: StreamMode) -> Framer {
        Framer { mode, phase: FramerPhase::FirstLine }
    }

    /// Notes that the caller has removed a frame's bytes from the stream. `start` and `next` are those of the frame.
    pub fn note_removed(&mut self, start: usize, next: StreamMode) {
        if start == 0 {
            *self = Framer::new(next);
        }
    }

    /// Finds the next frame. `unread` holds all bytes that are read and not removed; between two calls it only grows,
    /// until a frame is removed. `is_quiet` says that no bytes have come for a while. `lookup` must give the same
    /// answer for a command each time.
    ///
    /// # Errors
    /// [`FrameWait`] when more bytes are needed.
    pub fn next_frame<'a>(
        &mut self,
        unread: &'a [u8],
        is_quiet: bool,
        lookup: &dyn HeaderLookup,
    ) -> Result<Frame<'a>, FrameWait> {
        match self.mode {
            StreamMode::NewRequest if unread.is_empty() => Err(FrameWait::Indefinite),
            StreamMode::NewRequest => self.request(unread, is_quiet, lookup),
            StreamMode::RestOfText(position) => skip_text(unread, position, lookup),
            StreamMode::Garbage(position) => skip_garbage(unread, position, is_quiet, lookup),
            StreamMode::RestOfJson(position) => skip_json(unread, position, is_quiet),
        }
    }

    fn request<'a>(
        &mut self,
        unread: &'a [u8],
        is_quiet: bool,
        lookup: &dyn HeaderLookup,
    ) -> Result<Frame<'a>, FrameWait> {
        if let FramerPhase::FirstLine = self.phase {
            match first_line(unread, is_quiet, lookup)? {
                FirstLine::Frame(frame) => return Ok(frame),
                FirstLine::Text { line_end } => {
                    self.phase = FramerPhase::TextBody(OpenRequests::new(unread, line_end, lookup));
                }
                FirstLine::Json { value } => {
                    let scanner = JsonScanner::default();
                    self.phase = FramerPhase::JsonValue { value, scanned: value, scanner };
                }
            }
        }
        match &mut self.phase {
            FramerPhase::TextBody(open) => open.next_frame(unread, lookup),
            FramerPhase::JsonValue { value, scanned, scanner } => {
                json_frame(unread, *value, scanned, scanner, is_quiet)
            }
            FramerPhase::FirstLine => Err(FrameWait::Indefinite),
        }
    }
}

impl<'a> Frame<'a> {
    /// A frame of the first bytes of the stream.
    fn first(length: usize, next: StreamMode, content: FrameContent<'a>) -> Frame<'a> {
        Frame { start: 0, length, next, content }
    }
}

fn skip(length: usize, next: StreamMode) -> Frame<'static> {
    Frame::first(length, next, FrameContent::Skip)
}

fn garbage(length: usize, next: StreamMode) -> Frame<'static> {
    Frame::first(length, next, FrameContent::Garbage)
}

fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// What the first line of the unread bytes is.
enum FirstLine<'a> {
    /// It is not the header of a request, or the header of a refused one.
    Frame(Frame<'a>),
    /// The header of a text request, and the offset of its line end.
    Text { line_end: usize },
    /// The header of a JSON-RPC request, and the offset of the JSON value.
    Json { value: usize },
}

fn first_line<'a>(
    unread: &'a [u8],
    is_quiet: bool,
    lookup: &dyn HeaderLookup,
) -> Result<FirstLine<'a>, FrameWait> {
    let seen = &unread[..unread.len().min(MAX_HEADER_BYTES)];
    let line_end = newline(seen);
    let line = &seen[..line_end.unwrap_or(seen.len())];
    let header = json_header(line);
    let is_command = |name: &[u8]| lookup.command(name) != CommandInput::UnknownCommand;
    if header.is_none_or(|header| header.start > 0)
        && let Some((reply_fifo, value)) = header::invalid_json_value(line, line_end.is_some(), is_command)
    {
        let content = FrameContent::Request { reply_fifo, request: FifoRequest::InvalidJson };
        return Ok(FirstLine::Frame(Frame::first(value, StreamMode::RestOfJson(Inside), content)));
    }
    if let Some(header) = header {
        return Ok(match header.start {
            0 => FirstLine::Json { value: header.value },
            // The bytes before the header belong to no request.
            start if line[..start].trim_ascii().is_empty() => {
                FirstLine::Frame(skip(start, StreamMode::NewRequest))
            }
            start => FirstLine::Frame(garbage(start, StreamMode::NewRequest)),
        });
    }
    let Some(line_end) = line_end else {
        return match unread.first() {
            _ if seen.len() == MAX_HEADER_BYTES => {
                let length = skip::possible_header_start(&seen[1..]) + 1;
                Ok(FirstLine::Frame(garbage(length, StreamMode::Garbage(Inside))))
            }
            Some(b':') => Err(FrameWait::Indefinite),
            _ if line.trim_ascii().is_empty() => {
                Ok(FirstLine::Frame(skip(unread.len(), StreamMode::NewRequest)))
            }
            _ if is_quiet => Ok(FirstLine::Frame(garbage(unread.len(), StreamMode::NewRequest))),
            _ => Err(FrameWait::Brief),
        };
    };
    // C skips a line that is too short for a header, and skips other wrong lines up to an empty one.
    if header::trim_end(line).len() < 3 {
        return Ok(FirstLine::Frame(skip(line_end + 1, StreamMode::NewRequest)));
    }
    let found = text_header(line);
    // A client may not have written its header to the end, and another client's header may follow in the same line.
    if found.is_none_or(|(_, reply)| reply.contains(&b':') && !lookup.is_reply_fifo(reply))
        && let Some(start @ 1..) = header::last_text_header(line, lookup)
    {
        return Ok(FirstLine::Frame(garbage(start, StreamMode::NewRequest)));
    }
    let Some((_, reply)) = found else {
        return Ok(FirstLine::Frame(garbage(line_end + 1, StreamMode::Garbage(Start))));
    };
    if reply.is_empty() {
        let blanks = header::blanks(&unread[line_end + 1..]);
        match unread.get(line_end + 1 + blanks) {
            None => return Err(FrameWait::Indefinite),
            // `:reply_fifo:` stands on a line of its own.
            Some(b'{' | b'[') => return Ok(FirstLine::Json { value: line_end + 1 + blanks }),
            Some(_) => {}
        }
    }
    Ok(FirstLine::Text { line_end })
}

/// The frame of a JSON-RPC request. `value` is the offset of the JSON value, `scanned` that of the first byte which
/// the scanner has not seen.
fn json_frame<'a>(
    unread: &'a [u8],
    value: usize,
    scanned: &mut usize,
    scanner: &mut JsonScanner,
    is_quiet: bool,
) -> Result<Frame<'a>, FrameWait> {
    let reply_fifo = header::reply_of_json(unread);
    let frame =
        |length, next, request| Ok(Frame::first(length, next, FrameContent::Request { reply_fifo, request }));
    let rest_of_json = StreamMode::RestOfJson(Inside);
    // The bytes after the first bracket may hold the next request, so they are not taken.
    let invalid = || frame(value + 1, rest_of_json, FifoRequest::InvalidJson);
    match scanner.feed(&unread[*scanned..]) {
        ScanResult::Invalid => invalid(),
        ScanResult::Incomplete if unread.len() > MAX_REQUEST_BYTES => {
            let length = RequestLength::MoreThan(MAX_REQUEST_BYTES);
            frame(unread.len(), rest_of_json, FifoRequest::TooLarge { is_json: true, length })
        }
        ScanResult::Incomplete if is_quiet => invalid(),
        ScanResult::Incomplete => {
            *scanned = unread.len();
            Err(FrameWait::Brief)
        }
        ScanResult::End(count) => {
            let end = *scanned + count;
            let behind = end + header::blanks(&unread[end..]);
            let (length, next) = match unread.get(behind) {
                Some(b'\n') => (behind + 1, StreamMode::NewRequest),
                Some(b':') | None => (behind, StreamMode::NewRequest),
                // The byte directly after the value is another client's, unless JSON may continue with it.
                Some(next) if behind == end && !b"{}[],\"".contains(next) => (end, StreamMode::NewRequest),
                Some(_) => return frame(end, rest_of_json, FifoRequest::InvalidJson),
            };
            if end > MAX_REQUEST_BYTES {
                let too_large = RequestLength::Exactly(end);
                return frame(length, next, FifoRequest::TooLarge { is_json: true, length: too_large });
            }
            frame(length, next, FifoRequest::Json { text: &unread[value..end] })
        }
    }
}

#[cfg(test)]
mod tests;
