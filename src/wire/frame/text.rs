//! Finds the end of text requests whose first line is read, and requests of other clients among their lines.
//!
//! Several clients write into one stream. A client may never write the end of its request, and clients that write line by
//! line mix their lines. So the header of another request among the lines of an open request begins a nested request. The
//! nested request is taken out of the stream as soon as it is complete, and the open one continues after it. A line
//! belongs to the request whose header came last.
//!
//! A parameter may look like a header. Outside of a quoted value it is a header when its reply FIFO exists. Inside of a
//! quoted value it is a header when the empty line comes before the closing quote. A command without parameters needs no
//! empty line: it runs when any other line follows.
//!
//! C: `mi_parse_tree` in mi_parser.c of mi_fifo, which takes all lines for parameters of the first request.

use super::{
    CommandInput, FifoRequest, Frame, FrameContent, FrameWait, HeaderLookup, LinePosition, MAX_REQUEST_BYTES,
    RequestLength, StreamMode, header, newline,
};

/// The most nested requests. When another one begins, the oldest request is refused.
const MAX_NESTED: usize = 64;

/// The most lines after a header in a quoted value before the header is taken for one. All these lines are read again
/// then, which would be expensive for more.
const MAX_UNDECIDED_LINES: u16 = 256;

/// The text requests of a stream whose ends are not read. All offsets are in the unread bytes.
#[derive(Debug)]
pub(super) struct OpenRequests {
    first: OpenRequest,
    /// The requests among the lines of `first`, the oldest first.
    nested: Vec<OpenRequest>,
    /// The start of the line that is read next.
    line: usize,
    /// That line has no end before this offset.
    searched: usize,
}

#[derive(Clone, Copy, Debug)]
struct OpenRequest {
    /// The start of the header.
    start: usize,
    /// The start of the header's line. It is before `start` when the line begins with an unfinished line of another
    /// client.
    line: usize,
    /// The end of the header's line.
    params: usize,
    takes_input: bool,
    quotes: Quotes,
}

/// Which headers among the lines of a request are inside of quoted values.
#[derive(Clone, Copy, Debug, Default)]
struct Quotes {
    rule: QuoteRule,
    is_open: bool,
    /// A quoted value has a header inside.
    has_header_inside: bool,
    /// A header comes after such a value.
    has_header_after: bool,
    /// The number of lines since the first header inside of a quoted value.
    undecided_lines: u16,
}

/// What a header in a quoted value is. A quote that is never closed would hide the requests of all other clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum QuoteRule {
    /// Not known before the empty line. The first such header and all after it are left in the parameters.
    #[default]
    Undecided,
    /// A part of the value.
    Respect,
    /// A header, as the quote is not closed.
    Ignore,
}

impl Quotes {
    /// Counts the quotes of a line of parameters, or of a part of it.
    fn read_line(&mut self, line: &[u8]) {
        let is_quote = |&at: &usize| line[at] == b'"' && (at == 0 || line[at - 1] != b'\\');
        self.is_open ^= (0..line.len()).filter(is_quote).count() % 2 == 1;
        // The number is not used with `Ignore`.
        self.undecided_lines = self.undecided_lines.saturating_add(self.has_header_inside.into());
    }

    /// Notes a header, and says whether it is left in the parameters.
    fn hide_header(&mut self) -> bool {
        self.has_header_inside |= self.is_open;
        self.has_header_after |= !self.is_open && self.has_header_inside;
        match self.rule {
            QuoteRule::Undecided => self.has_header_inside,
            QuoteRule::Respect => self.is_open,
            QuoteRule::Ignore => false,
        }
    }

    /// The rule by which all lines have to be read again. Known at the empty line, or after too many lines.
    fn decide(&self, is_end: bool) -> Option<QuoteRule> {
        let is_unclosed = is_end && self.has_header_inside && self.is_open;
        match self.rule {
            QuoteRule::Ignore => None,
            _ if is_unclosed || self.undecided_lines > MAX_UNDECIDED_LINES => Some(QuoteRule::Ignore),
            QuoteRule::Undecided if is_end && self.has_header_after => Some(QuoteRule::Respect),
            _ => None,
        }
    }
}

impl OpenRequest {
    fn new(
        unread: &[u8],
        line: usize,
        start: usize,
        line_end: usize,
        lookup: &dyn HeaderLookup,
    ) -> OpenRequest {
        let (command, _) = header::text_header(&unread[start..line_end]).unwrap_or_default();
        let takes_input = lookup.command(command) == CommandInput::Params;
        OpenRequest { start, line, params: line_end + 1, takes_input, quotes: Quotes::default() }
    }
}

impl OpenRequests {
    /// Begins with the request at the first byte, whose header ends at `line_end`.
    pub(super) fn new(unread: &[u8], line_end: usize, lookup: &dyn HeaderLookup) -> OpenRequests {
        let first = OpenRequest::new(unread, 0, 0, line_end, lookup);
        OpenRequests { first, nested: Vec::new(), line: line_end + 1, searched: line_end + 1 }
    }

    /// The frame of the next request that is complete, or refused.
    pub(super) fn next_frame<'a>(
        &mut self,
        unread: &'a [u8],
        lookup: &dyn HeaderLookup,
    ) -> Result<Frame<'a>, FrameWait> {
        let is_command = |name: &[u8]| lookup.command(name) != CommandInput::UnknownCommand;
        loop {
            let last = self.nested.last_mut().unwrap_or(&mut self.first);
            let end = newline(&unread[self.searched..]).map(|end| self.searched + end);
            let line = &unread[self.line..end.unwrap_or(unread.len())];
            let is_end = end.is_some() && header::is_empty_line(line);
            if let Some(rule) = last.quotes.decide(is_end) {
                last.quotes = Quotes { rule, ..Quotes::default() };
                (self.line, self.searched) = (last.params, last.params);
                continue;
            }
            if is_end {
                return Ok(self.take_last(unread, self.line, end.map_or(self.line, |end| end + 1)));
            }
            if let Some(start) = header::nested_json_header(line, self.searched - self.line, lookup) {
                // A client that has begun a JSON-RPC request expects no text reply in its FIFO.
                let json_reply = header::reply_of_json(&line[start..]);
                return Ok(self.drop_first(unread, self.line + start, |reply| reply == json_reply));
            }
            let Some(end) = end else {
                if unread.len() <= MAX_REQUEST_BYTES {
                    self.searched = unread.len();
                    return Err(FrameWait::Indefinite);
                }
                return Ok(self.drop_too_large(unread));
            };
            if let Some(start) = header::nested_text_header(line, lookup) {
                let mut quotes = last.quotes;
                quotes.read_line(&line[..start]);
                if quotes.hide_header() {
                    last.quotes = quotes;
                } else if let Some(frame) = self.push(unread, self.line + start, end, lookup) {
                    return Ok(frame);
                }
            } else if last.takes_input {
                last.quotes.read_line(line);
            } else if last.start > 0 || header::command_of(line).is_some_and(is_command) {
                // A command without parameters is followed by another request, or by a line of the outer request.
                return Ok(self.take_last(unread, self.line, self.line));
            }
            (self.line, self.searched) = (end + 1, end + 1);
        }
    }

    /// The frame of the request whose header came last, with the bytes up to `end`.
    fn take_last<'a>(&mut self, unread: &'a [u8], params_end: usize, end: usize) -> Frame<'a> {
        let (start, params) = self.pop();
        let (command, reply_fifo) = header::text_header(&unread[start..params]).unwrap_or_default();
        let length = end - start;
        let request = if length > MAX_REQUEST_BYTES {
            FifoRequest::TooLarge { is_json: false, length: RequestLength::Exactly(length) }
        } else {
            let params = unread.get(params..params_end).unwrap_or_default();
            FifoRequest::Text { command, params }
        };
        let content = FrameContent::Request { reply_fifo, request };
        Frame { start, length, next: StreamMode::NewRequest, content }
    }

    /// Removes the request whose header came last, and continues at its start. Returns the offsets of its header and of its
    /// parameters.
    fn pop(&mut self) -> (usize, usize) {
        let OpenRequest { start, line, params, .. } = self.nested.pop().unwrap_or(self.first);
        (self.line, self.searched) = (line, start);
        (start, params)
    }

    /// Adds a nested request, whose header is at `start` and ends at `line_end`. Returns a frame instead, when another
    /// request has to be taken first.
    fn push<'a>(
        &mut self,
        unread: &'a [u8],
        start: usize,
        line_end: usize,
        lookup: &dyn HeaderLookup,
    ) -> Option<Frame<'a>> {
        let last = self.nested.last().unwrap_or(&self.first);
        if !last.takes_input {
            return Some(self.take_last(unread, self.line, start));
        }
        let reply_of = |at: usize, end: usize| header::text_header(&unread[at..end]).map(|(_, reply)| reply);
        // The client of the last request has begun another one.
        if reply_of(last.start, last.params) == reply_of(start, line_end) {
            let (first, _) = self.pop();
            let content = FrameContent::Garbage;
            return Some(Frame {
                start: first,
                length: start - first,
                next: StreamMode::NewRequest,
                content,
            });
        }
        if self.nested.len() == MAX_NESTED {
            return Some(self.drop_first(unread, start, |_| false));
        }
        self.nested.push(OpenRequest::new(unread, self.line, start, line_end, lookup));
        None
    }

    /// Refuses the oldest request, whose lines end before the next header, or at `end`. The client gets an error unless
    /// `has_gone_on` says that the client has begun another request at the same reply FIFO.
    fn drop_first<'a>(&self, unread: &'a [u8], end: usize, has_gone_on: impl Fn(&[u8]) -> bool) -> Frame<'a> {
        let end = self.nested.first().map_or(end, |next| next.start);
        let (command, reply_fifo) = header::text_header(&unread[..self.first.params]).unwrap_or_default();
        let content = if reply_fifo.is_empty() || has_gone_on(reply_fifo) {
            FrameContent::Garbage
        } else {
            FrameContent::Request { reply_fifo, request: FifoRequest::UnterminatedText { command } }
        };
        Frame::first(end, StreamMode::NewRequest, content)
    }

    /// Refuses the oldest request, as the unread bytes are too many.
    fn drop_too_large<'a>(&self, unread: &'a [u8]) -> Frame<'a> {
        if !self.nested.is_empty() {
            return self.drop_first(unread, self.line, |_| false);
        }
        let (_, reply_fifo) = header::text_header(&unread[..self.first.params]).unwrap_or_default();
        let length = RequestLength::MoreThan(MAX_REQUEST_BYTES);
        let request = FifoRequest::TooLarge { is_json: false, length };
        let content = FrameContent::Request { reply_fifo, request };
        // The last line may be the empty line that ends the request.
        Frame::first(self.line, StreamMode::RestOfText(LinePosition::Start), content)
    }
}
