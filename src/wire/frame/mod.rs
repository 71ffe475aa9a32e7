//! Requests in a stream of bytes that many clients write into: where one ends, and where the next begins.
//!
//! ```text
//! :command:reply_fifo\n          text: parameters, a line each, up to the first line
//! …\n\n                          that is empty
//! :reply_fifo:{…}                JSON-RPC: up to the end of the value
//! ```
//!
//! Pure: bytes in, frames out; whoever calls keeps the bytes. What is no request is skipped to where the next one can
//! begin. C: `mi_fifo_server` in fifo_fnc.c, of 1.11 for text and of 3.4 for JSON.
//!
//! Differs: a text request without a reply FIFO runs, and C skips it; a text request that cannot be parsed ends at its
//! own empty line, and C takes the next request with it. A request may be as long as [`MAX_REQUEST_BYTES`]; C's limit
//! is 8192 bytes a line for text, and 4096 bytes for JSON. JSON of which a part is missing ends when nothing more comes
//! for a while, and C waits for the rest.

mod header;
mod scan;

use header::{json_header, text_header};
use scan::{Scan, Scanner};

/// Longest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Longest first line, in bytes. C: `MAX_MI_FIFO_BUFFER`.
const MAX_HEADER_BYTES: usize = 8192;

/// How much of a line's end may be the beginning of a header, in bytes: two names as long as a file's can be, and their
/// marks.
const HEADER_START_BYTES: usize = 2 * header::MAX_NAME_BYTES + 16;

/// What the next byte is part of. Kept over the end of a worker, as bytes that are consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A request.
    #[default]
    Fresh,
    /// Something that never was a request: it ends at an empty line, or where JSON-RPC begins.
    Garbage(Place),
    /// The rest of a text request: it ends at an empty line.
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
    /// Bytes it takes.
    pub length: usize,
    /// What comes behind it.
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
    /// Text, whose first line ends at `line_end`; no empty line begins before `looked`.
    Body { line_end: usize, looked: usize },
    /// JSON behind a header.
    Value { value: usize, looked: usize, scanner: Scanner },
}

impl Framer {
    /// Begins in the mode that a predecessor has left.
    #[must_use]
    pub fn new(mode: Mode) -> Framer {
        Framer { mode, phase: Phase::Head }
    }

    /// Notes that the caller has taken a frame.
    pub fn taken(&mut self, next: Mode) {
        *self = Framer::new(next);
    }

    /// The next step. `unread` is all that was read and not taken, and only grows until a frame is taken;
    /// `is_quiet` says that no more comes for the time being.
    ///
    /// # Errors
    /// [`Wait`], when there are too few bytes to tell.
    pub fn next<'a>(&mut self, unread: &'a [u8], is_quiet: bool) -> Result<Frame<'a>, Wait> {
        match self.mode {
            Mode::Fresh if unread.is_empty() => Err(Wait::Patiently),
            Mode::Fresh => self.request(unread, is_quiet),
            Mode::Text(place) => skip_text(unread, place),
            Mode::Garbage(place) => skip_garbage(unread, place, is_quiet),
            Mode::Json(place) => skip_json(unread, place, is_quiet),
        }
    }

    fn request<'a>(&mut self, unread: &'a [u8], is_quiet: bool) -> Result<Frame<'a>, Wait> {
        if let Phase::Head = self.phase {
            match head(unread, is_quiet)? {
                Head::Frame(frame) => return Ok(frame),
                Head::Text { line_end } => self.phase = Phase::Body { line_end, looked: line_end },
                Head::Json { value } => {
                    self.phase = Phase::Value { value, looked: value, scanner: Scanner::default() };
                }
            }
        }
        match &mut self.phase {
            Phase::Body { line_end, looked } => body(unread, *line_end, looked),
            Phase::Value { value, looked, scanner } => value_of(unread, *value, looked, scanner, is_quiet),
            Phase::Head => Err(Wait::Patiently),
        }
    }
}

fn skip(length: usize, next: Mode) -> Frame<'static> {
    Frame { length, next, what: What::Nothing }
}

fn garbage(length: usize, next: Mode) -> Frame<'static> {
    Frame { length, next, what: What::Garbage }
}

fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// What a first line leads to.
enum Head {
    /// No request.
    Frame(Frame<'static>),
    Text {
        line_end: usize,
    },
    Json {
        value: usize,
    },
}

fn head(unread: &[u8], is_quiet: bool) -> Result<Head, Wait> {
    let seen = &unread[..unread.len().min(MAX_HEADER_BYTES)];
    let line_end = newline(seen);
    let line = &seen[..line_end.unwrap_or(seen.len())];
    if let Some(header) = json_header(line) {
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
                Ok(Head::Frame(garbage(seen.len(), Mode::Garbage(Inside))))
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
    let Some((_, reply)) = text_header(line) else {
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

fn body<'a>(unread: &'a [u8], line_end: usize, looked: &mut usize) -> Result<Frame<'a>, Wait> {
    let (command, reply) = text_header(&unread[..line_end]).unwrap_or_default();
    let too_large = |length, taken, next| {
        Ok(Frame { length: taken, next, what: What::TooLarge { reply, is_json: false, length } })
    };
    let Some(found) = unread[*looked..].windows(2).position(|pair| pair == b"\n\n") else {
        *looked = unread.len() - 1;
        if unread.len() <= MAX_REQUEST_BYTES {
            return Err(Wait::Patiently);
        }
        let place = if unread.last() == Some(&b'\n') { Start } else { Inside };
        return too_large(Length::MoreThan(MAX_REQUEST_BYTES), unread.len(), Mode::Text(place));
    };
    let end = *looked + found + 2;
    if end > MAX_REQUEST_BYTES {
        return too_large(Length::Exactly(end), end, Mode::Fresh);
    }
    let params = unread.get(line_end + 1..end - 1).unwrap_or_default();
    Ok(Frame { length: end, next: Mode::Fresh, what: What::Text(Text { command, reply, params }) })
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
    let broken = || Ok(Frame { length: value + 1, next: Mode::Json(Inside), what: What::Broken { reply } });
    let too_large = |length, taken, next| {
        Ok(Frame { length: taken, next, what: What::TooLarge { reply, is_json: true, length } })
    };
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
                Some(_) => {
                    return Ok(Frame { length: end, next: Mode::Json(Inside), what: What::Broken { reply } });
                }
            };
            if end > MAX_REQUEST_BYTES {
                return too_large(Length::Exactly(end), length, next);
            }
            Ok(Frame { length, next, what: What::Json { reply, text: &unread[value..end] } })
        }
    }
}

fn skip_text(unread: &[u8], place: Place) -> Result<Frame<'static>, Wait> {
    match (unread.first(), place, newline(unread)) {
        (None, ..) => Err(Wait::Patiently),
        (Some(b'\n'), Start, _) => Ok(skip(1, Mode::Fresh)),
        (.., Some(end)) => Ok(skip(end + 1, Mode::Text(Start))),
        (.., None) => Ok(skip(unread.len(), Mode::Text(Inside))),
    }
}

fn skip_garbage(unread: &[u8], place: Place, is_quiet: bool) -> Result<Frame<'static>, Wait> {
    if place == Start && unread.first() == Some(&b'\n') {
        return Ok(skip(1, Mode::Fresh));
    }
    skip_line(unread, is_quiet, Mode::Garbage, |line, _| match place {
        Start => json_header(line).map(|header| header.start),
        Inside => header::next_json_header(line).map(|header| header.start),
    })
}

fn skip_json(unread: &[u8], place: Place, is_quiet: bool) -> Result<Frame<'static>, Wait> {
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

#[cfg(test)]
mod tests;
