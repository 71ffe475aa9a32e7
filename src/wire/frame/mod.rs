//! Requests in a stream of bytes that many clients write into: where one ends, and where the next begins.
//!
//! ```text
//! :command:reply_fifo\n          text: parameters, a line each, up to the first line
//! …\n\n                          that is empty or holds a CR alone
//! :reply_fifo:{…}                JSON-RPC: up to the end of the value
//! ```
//!
//! Pure: bytes in, frames out; whoever calls keeps the bytes. What is no request is skipped to where the next one can
//! begin. C: `mi_fifo_server` in fifo_fnc.c, of 1.11 for text and of 3.4 for JSON.
//!
//! Differs: a text request without a reply FIFO runs, and C skips it; a text request that cannot be parsed ends at its
//! own empty line, and C takes the next request with it. A text request ends at "\r\n" alone on a line too, which C
//! takes for a parameter. In C a text request without its end takes all that others write for its parameters; here
//! requests of others are found among its lines (see text.rs). Garbage ends before the header of a request for any
//! command that there is; C takes that request with it. A request may be as long as [`MAX_REQUEST_BYTES`]; C's limit is
//! 8192 bytes a line for text, and 4096 bytes for JSON. JSON of which a part is missing ends when nothing more comes for
//! a while, and C waits for the rest.

mod header;
mod scan;
mod skip;
mod text;

use header::{json_header, text_header};
use scan::{Scan, Scanner};
use skip::{skip_garbage, skip_json, skip_text};
use text::OpenRequests;

/// Longest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Longest first line, in bytes. C: `MAX_MI_FIFO_BUFFER`.
const MAX_HEADER_BYTES: usize = 8192;

/// What the next byte is part of. Kept over the end of a worker, as bytes that are consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A request.
    #[default]
    Fresh,
    /// Something that never was a request: it ends at an empty line, where JSON-RPC begins, or before the first line of
    /// a text request.
    Garbage(Place),
    /// The rest of a text request: it ends at an empty line, or before a line that begins with JSON-RPC.
    Text(Place),
    /// The rest of broken JSON: it ends before what looks like a header, or a line that begins with a colon.
    Json(Place),
}

/// Where in a line the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At its start.
    Start,
    /// Behind its start.
    Inside,
}

use Place::{Inside, Start};

/// All modes, each at the place of its number.
const MODES: [Mode; 7] = [
    Mode::Fresh,
    Mode::Garbage(Start),
    Mode::Garbage(Inside),
    Mode::Text(Start),
    Mode::Text(Inside),
    Mode::Json(Start),
    Mode::Json(Inside),
];

impl Mode {
    /// Its number, 0 to 7.
    #[must_use]
    pub fn number(self) -> u8 {
        (0..).zip(MODES).find(|&(_, mode)| mode == self).map_or(0, |(number, _)| number)
    }

    /// The mode of that number; what is none stands for a fresh begin.
    #[must_use]
    pub fn of(number: u8) -> Mode {
        MODES.get(usize::from(number)).copied().unwrap_or_default()
    }
}

/// The next step in a stream. Either it takes bytes, or it changes the mode.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Offset of the bytes that it takes. Above 0, a text request without its end stands before them, and stays.
    pub start: usize,
    /// Bytes it takes.
    pub length: usize,
    /// What comes behind it; [`Mode::Fresh`] when `start` is above 0.
    pub next: Mode,
    /// What it is.
    pub what: What<'a>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// Nothing to speak of.
    Nothing,
    /// The beginning of something that is no request.
    Garbage,
    /// A request in text.
    Text(Text<'a>),
    /// The beginning of a request in text, whose end never came.
    Unfinished {
        /// The name of the command.
        command: &'a [u8],
        /// The name of the reply FIFO.
        reply: &'a [u8],
    },
    /// A request in JSON, as far as its syntax says.
    Json {
        /// The name of the reply FIFO; empty for none.
        reply: &'a [u8],
        /// The value.
        text: &'a [u8],
    },
    /// What begins as JSON and is none.
    Broken {
        /// The name of the reply FIFO; empty for none.
        reply: &'a [u8],
    },
    /// A request longer than [`MAX_REQUEST_BYTES`].
    TooLarge {
        /// The name of the reply FIFO; empty for none.
        reply: &'a [u8],
        /// Whether it is in JSON, and not in text.
        is_json: bool,
        /// How long it is.
        length: Length,
    },
}

/// A request in text.
#[derive(Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The name of the command.
    pub command: &'a [u8],
    /// The name of the reply FIFO; empty for none.
    pub reply: &'a [u8],
    /// The lines behind the first, without the empty one.
    pub params: &'a [u8],
}

/// What is known of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// There is none of that name.
    Absent,
    /// It has no parameters: what stands where they do is not looked at.
    WithoutInput,
    /// It has parameters.
    WithInput,
}

/// What a header is compared with.
pub trait Lookup {
    /// What is known of the command of that name.
    fn command(&self, name: &[u8]) -> Known;

    /// Whether a client may wait at a reply FIFO of that name: there is one.
    fn is_reply_fifo(&self, name: &[u8]) -> bool;
}

/// How long a request is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So long.
    Exactly(usize),
    /// Longer than that; its end is not known.
    MoreThan(usize),
}

/// More bytes are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// However long it takes.
    Patiently,
    /// When none come for a while, the caller asks again and says so.
    Briefly,
}

/// Takes a stream apart.
#[derive(Debug, Default)]
pub struct Framer {
    mode: Mode,
    phase: Phase,
}

/// How far the request that begins with the first byte was looked at.
#[derive(Debug, Default)]
enum Phase {
    /// Its first line is not known.
    #[default]
    Head,
    /// Text, whose first line is known.
    Body(OpenRequests),
    /// JSON behind a header.
    Value { value: usize, looked: usize, scanner: Scanner },
}

impl Framer {
    /// Begins in the mode that a predecessor has left.
    #[must_use]
    pub fn new(mode: Mode) -> Framer {
        Framer { mode, phase: Phase::Head }
    }

    /// Notes that the caller has taken a frame's bytes out of the stream: `start` and `next` are the frame's.
    pub fn taken(&mut self, start: usize, next: Mode) {
        if start == 0 {
            *self = Framer::new(next);
        }
    }

    /// The next step. `unread` is all that was read and not taken, and only grows until a frame is taken;
    /// `is_quiet` says that no more comes for the time being. For a command, `lookup` gives the same answer each time.
    ///
    /// # Errors
    /// [`Wait`], when there are too few bytes to tell.
    pub fn next<'a>(
        &mut self,
        unread: &'a [u8],
        is_quiet: bool,
        lookup: &dyn Lookup,
    ) -> Result<Frame<'a>, Wait> {
        match self.mode {
            Mode::Fresh if unread.is_empty() => Err(Wait::Patiently),
            Mode::Fresh => self.request(unread, is_quiet, lookup),
            Mode::Text(place) => skip_text(unread, place, lookup),
            Mode::Garbage(place) => skip_garbage(unread, place, is_quiet, lookup),
            Mode::Json(place) => skip_json(unread, place, is_quiet),
        }
    }

    fn request<'a>(
        &mut self,
        unread: &'a [u8],
        is_quiet: bool,
        lookup: &dyn Lookup,
    ) -> Result<Frame<'a>, Wait> {
        if let Phase::Head = self.phase {
            match head(unread, is_quiet, lookup)? {
                Head::Frame(frame) => return Ok(frame),
                Head::Text { line_end } => {
                    self.phase = Phase::Body(OpenRequests::new(unread, line_end, lookup));
                }
                Head::Json { value } => {
                    self.phase = Phase::Value { value, looked: value, scanner: Scanner::default() };
                }
            }
        }
        match &mut self.phase {
            Phase::Body(open) => open.next(unread, lookup),
            Phase::Value { value, looked, scanner } => value_of(unread, *value, looked, scanner, is_quiet),
            Phase::Head => Err(Wait::Patiently),
        }
    }
}

impl<'a> Frame<'a> {
    /// The first bytes of the stream.
    fn first(length: usize, next: Mode, what: What<'a>) -> Frame<'a> {
        Frame { start: 0, length, next, what }
    }
}

fn skip(length: usize, next: Mode) -> Frame<'static> {
    Frame::first(length, next, What::Nothing)
}

fn garbage(length: usize, next: Mode) -> Frame<'static> {
    Frame::first(length, next, What::Garbage)
}

fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// What a first line leads to.
enum Head<'a> {
    /// No request.
    Frame(Frame<'a>),
    Text {
        line_end: usize,
    },
    Json {
        value: usize,
    },
}

fn head<'a>(unread: &'a [u8], is_quiet: bool, lookup: &dyn Lookup) -> Result<Head<'a>, Wait> {
    let seen = &unread[..unread.len().min(MAX_HEADER_BYTES)];
    let line_end = newline(seen);
    let line = &seen[..line_end.unwrap_or(seen.len())];
    let header = json_header(line);
    let is_command = |name: &[u8]| lookup.command(name) != Known::Absent;
    if header.is_none_or(|header| header.start > 0)
        && let Some((reply, value)) = header::other_value(line, line_end.is_some(), is_command)
    {
        let what = What::Broken { reply };
        return Ok(Head::Frame(Frame::first(value, Mode::Json(Inside), what)));
    }
    if let Some(header) = header {
        return Ok(match header.start {
            0 => Head::Json { value: header.value },
            // Whatever stands before it is none of its business.
            start if line[..start].trim_ascii().is_empty() => Head::Frame(skip(start, Mode::Fresh)),
            start => Head::Frame(garbage(start, Mode::Fresh)),
        });
    }
    let Some(line_end) = line_end else {
        return match unread.first() {
            _ if seen.len() == MAX_HEADER_BYTES => {
                let kept = skip::header_start(&seen[1..]) + 1;
                Ok(Head::Frame(garbage(kept, Mode::Garbage(Inside))))
            }
            Some(b':') => Err(Wait::Patiently),
            _ if line.trim_ascii().is_empty() => Ok(Head::Frame(skip(unread.len(), Mode::Fresh))),
            _ if is_quiet => Ok(Head::Frame(garbage(unread.len(), Mode::Fresh))),
            _ => Err(Wait::Briefly),
        };
    };
    // C passes over what is too short to be a request, and over the rest of anything else that is none.
    if header::trim_end(line).len() < 3 {
        return Ok(Head::Frame(skip(line_end + 1, Mode::Fresh)));
    }
    let found = text_header(line);
    // The beginning of a header that was never written to its end, and the header of somebody else behind it.
    if found.is_none_or(|(_, reply)| reply.contains(&b':') && !lookup.is_reply_fifo(reply))
        && let Some(start @ 1..) = header::last_text_header(line, lookup)
    {
        return Ok(Head::Frame(garbage(start, Mode::Fresh)));
    }
    let Some((_, reply)) = found else {
        return Ok(Head::Frame(garbage(line_end + 1, Mode::Garbage(Start))));
    };
    if reply.is_empty() {
        let blanks = header::blanks(&unread[line_end + 1..]);
        match unread.get(line_end + 1 + blanks) {
            None => return Err(Wait::Patiently),
            // `:reply_fifo:` on a line of its own.
            Some(b'{' | b'[') => return Ok(Head::Json { value: line_end + 1 + blanks }),
            Some(_) => {}
        }
    }
    Ok(Head::Text { line_end })
}

fn value_of<'a>(
    unread: &'a [u8],
    value: usize,
    looked: &mut usize,
    scanner: &mut Scanner,
    is_quiet: bool,
) -> Result<Frame<'a>, Wait> {
    let reply = header::reply_of_json(unread);
    // Whatever it holds may be the next request, so only its first bracket is taken.
    let broken = || Ok(Frame::first(value + 1, Mode::Json(Inside), What::Broken { reply }));
    let too_large =
        |length, taken, next| Ok(Frame::first(taken, next, What::TooLarge { reply, is_json: true, length }));
    match scanner.feed(&unread[*looked..]) {
        Scan::Wrong => broken(),
        Scan::More if unread.len() > MAX_REQUEST_BYTES => {
            too_large(Length::MoreThan(MAX_REQUEST_BYTES), unread.len(), Mode::Json(Inside))
        }
        Scan::More if is_quiet => broken(),
        Scan::More => {
            *looked = unread.len();
            Err(Wait::Briefly)
        }
        Scan::Ends(count) => {
            let end = *looked + count;
            let behind = end + header::blanks(&unread[end..]);
            let (length, next) = match unread.get(behind) {
                Some(b'\n') => (behind + 1, Mode::Fresh),
                Some(b':') | None => (behind, Mode::Fresh),
                // Directly behind it: somebody else's, when no JSON goes on so.
                Some(next) if behind == end && !b"{}[],\"".contains(next) => (end, Mode::Fresh),
                Some(_) => {
                    return Ok(Frame::first(end, Mode::Json(Inside), What::Broken { reply }));
                }
            };
            if end > MAX_REQUEST_BYTES {
                return too_large(Length::Exactly(end), length, next);
            }
            Ok(Frame::first(length, next, What::Json { reply, text: &unread[value..end] }))
        }
    }
}

#[cfg(test)]
mod tests;
