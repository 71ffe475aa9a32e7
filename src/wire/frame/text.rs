//! Text requests whose first line is known, up to their empty lines.
//!
//! Clients write into one stream: one may never write the end of its request, and others write line by line, so that
//! their lines come mixed. The header of another request among the lines of an open one therefore begins a request of its
//! own, which is taken out of the stream as soon as it is whole; the open one goes on behind it. Lines belong to the
//! request whose header came last.
//!
//! A parameter may look like a header too. It is taken for one when its reply FIFO exists, outside of a quoted value; and
//! inside of one when the empty line comes and no quote has closed the value. A command without parameters needs no end:
//! it runs when another line than its empty one follows.
//!
//! C: `mi_parse_tree` in mi_parser.c of mi_fifo, which takes all lines for parameters of the first request.

use super::{
    Frame, Known, Length, Lookup, MAX_REQUEST_BYTES, Mode, Place, Text, Wait, What, header, newline,
};

/// Open requests among the lines of another at most. When there are more, the oldest is refused.
const MAX_NESTED: usize = 64;

/// Lines behind a header in a quoted value at most for which it stays open what the header is. More would make it
/// expensive to look at them again.
const MAX_UNDECIDED_LINES: u16 = 256;

/// Requests in a stream that have no end yet.
#[derive(Debug)]
pub(super) struct OpenRequests {
    first: OpenRequest,
    /// Those among its lines, the oldest first.
    nested: Vec<OpenRequest>,
    /// The line that may be the next end; it has none before `looked`.
    line: usize,
    looked: usize,
}

#[derive(Clone, Copy, Debug)]
struct OpenRequest {
    /// Where its header begins.
    start: usize,
    /// Where the line begins that its header ends; at `start`, unless another request's line was not written to its end.
    line: usize,
    /// Behind its header's line.
    params: usize,
    takes_input: bool,
    quotes: Quotes,
}

/// Which headers among the lines of a request, so far, stand in quoted values.
#[derive(Clone, Copy, Debug, Default)]
struct Quotes {
    rule: QuoteRule,
    is_open: bool,
    /// Whether there is a header in a quoted value, and one behind such a value.
    header_inside: bool,
    header_behind: bool,
    /// Lines since the first such header.
    undecided: u16,
}

/// What headers in quoted values are. A quote that its client never closes would hide all that others write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum QuoteRule {
    /// Not known before the empty line: from the first on they are left where they are.
    #[default]
    Undecided,
    /// Parts of the values.
    Respect,
    /// Headers, as a quote was never closed.
    Ignore,
}

impl Quotes {
    /// Goes on behind another line of parameters, or a part of it.
    fn pass(&mut self, line: &[u8]) {
        let is_quote = |&at: &usize| line[at] == b'"' && (at == 0 || line[at - 1] != b'\\');
        self.is_open ^= (0..line.len()).filter(is_quote).count() % 2 == 1;
        // With `Ignore` nothing is undecided any more, and nobody looks at the number.
        self.undecided = self.undecided.saturating_add(self.header_inside.into());
    }

    /// Whether a header that stands here is left where it is, for now or for ever.
    fn hide_header(&mut self) -> bool {
        self.header_inside |= self.is_open;
        self.header_behind |= !self.is_open && self.header_inside;
        match self.rule {
            QuoteRule::Undecided => self.header_inside,
            QuoteRule::Respect => self.is_open,
            QuoteRule::Ignore => false,
        }
    }

    /// The rule by which the lines have to be looked at again, which shows at the empty line as a rule.
    fn decide(&self, is_end: bool) -> Option<QuoteRule> {
        let is_unclosed = is_end && self.header_inside && self.is_open;
        match self.rule {
            QuoteRule::Ignore => None,
            _ if is_unclosed || self.undecided > MAX_UNDECIDED_LINES => Some(QuoteRule::Ignore),
            QuoteRule::Undecided if is_end && self.header_behind => Some(QuoteRule::Respect),
            _ => None,
        }
    }
}

impl OpenRequest {
    fn new(unread: &[u8], line: usize, start: usize, line_end: usize, lookup: &dyn Lookup) -> OpenRequest {
        let (command, _) = header::text_header(&unread[start..line_end]).unwrap_or_default();
        let takes_input = lookup.command(command) == Known::WithInput;
        OpenRequest { start, line, params: line_end + 1, takes_input, quotes: Quotes::default() }
    }
}

impl OpenRequests {
    /// The request that begins with the first byte, whose header ends at `line_end`.
    pub(super) fn new(unread: &[u8], line_end: usize, lookup: &dyn Lookup) -> OpenRequests {
        let first = OpenRequest::new(unread, 0, 0, line_end, lookup);
        OpenRequests { first, nested: Vec::new(), line: line_end + 1, looked: line_end + 1 }
    }

    /// The next request that is whole, or the end of one that will not be.
    pub(super) fn next<'a>(&mut self, unread: &'a [u8], lookup: &dyn Lookup) -> Result<Frame<'a>, Wait> {
        let is_command = |name: &[u8]| lookup.command(name) != Known::Absent;
        loop {
            let last = self.nested.last_mut().unwrap_or(&mut self.first);
            let end = newline(&unread[self.looked..]).map(|end| self.looked + end);
            let line = &unread[self.line..end.unwrap_or(unread.len())];
            let is_end = end.is_some() && header::is_empty_line(line);
            if let Some(rule) = last.quotes.decide(is_end) {
                last.quotes = Quotes { rule, ..Quotes::default() };
                (self.line, self.looked) = (last.params, last.params);
                continue;
            }
            if is_end {
                return Ok(self.take_last(unread, self.line, end.map_or(self.line, |end| end + 1)));
            }
            if let Some(start) = header::nested_json_header(line, self.looked - self.line, lookup) {
                // A client that has gone on to JSON expects nothing else in its FIFO.
                let json_reply = header::reply_of_json(&line[start..]);
                return Ok(self.drop_first(unread, self.line + start, |reply| reply == json_reply));
            }
            let Some(end) = end else {
                if unread.len() <= MAX_REQUEST_BYTES {
                    self.looked = unread.len();
                    return Err(Wait::Patiently);
                }
                return Ok(self.drop_too_large(unread));
            };
            if let Some(start) = header::nested_text_header(line, lookup) {
                let mut quotes = last.quotes;
                quotes.pass(&line[..start]);
                if quotes.hide_header() {
                    last.quotes = quotes;
                } else if let Some(frame) = self.push(unread, self.line + start, end, lookup) {
                    return Ok(frame);
                }
            } else if last.takes_input {
                last.quotes.pass(line);
            } else if last.start > 0 || header::command_of(line).is_some_and(is_command) {
                // Another line than its own: of the request that it stands in, or of the next one.
                return Ok(self.take_last(unread, self.line, self.line));
            }
            (self.line, self.looked) = (end + 1, end + 1);
        }
    }

    /// Takes the request whose header came last, with the bytes up to `end`.
    fn take_last<'a>(&mut self, unread: &'a [u8], params_end: usize, end: usize) -> Frame<'a> {
        let (start, params) = self.pop();
        let (command, reply) = header::text_header(&unread[start..params]).unwrap_or_default();
        let length = end - start;
        let what = if length > MAX_REQUEST_BYTES {
            What::TooLarge { reply, is_json: false, length: Length::Exactly(length) }
        } else {
            let params = unread.get(params..params_end).unwrap_or_default();
            What::Text(Text { command, reply, params })
        };
        Frame { start, length, next: Mode::Fresh, what }
    }

    /// Forgets the request whose header came last, and goes on with what will stand in its place: where it began, and
    /// where its parameters did.
    fn pop(&mut self) -> (usize, usize) {
        let OpenRequest { start, line, params, .. } = self.nested.pop().unwrap_or(self.first);
        (self.line, self.looked) = (line, start);
        (start, params)
    }

    /// Adds the request whose header is at `start` and ends at `line_end`; or first something else has to be taken.
    fn push<'a>(
        &mut self,
        unread: &'a [u8],
        start: usize,
        line_end: usize,
        lookup: &dyn Lookup,
    ) -> Option<Frame<'a>> {
        let last = self.nested.last().unwrap_or(&self.first);
        if !last.takes_input {
            return Some(self.take_last(unread, self.line, start));
        }
        let reply_of = |at: usize, end: usize| header::text_header(&unread[at..end]).map(|(_, reply)| reply);
        // Its client has gone on to another request.
        if reply_of(last.start, last.params) == reply_of(start, line_end) {
            let (first, _) = self.pop();
            let what = What::Garbage;
            return Some(Frame { start: first, length: start - first, next: Mode::Fresh, what });
        }
        if self.nested.len() == MAX_NESTED {
            return Some(self.drop_first(unread, start, |_| false));
        }
        self.nested.push(OpenRequest::new(unread, self.line, start, line_end, lookup));
        None
    }

    /// Refuses the oldest request, whose lines end before the next header, or at `end`; its client is told unless it
    /// `has_gone_on`.
    fn drop_first<'a>(&self, unread: &'a [u8], end: usize, has_gone_on: impl Fn(&[u8]) -> bool) -> Frame<'a> {
        let end = self.nested.first().map_or(end, |next| next.start);
        let (command, reply) = header::text_header(&unread[..self.first.params]).unwrap_or_default();
        let what = if reply.is_empty() || has_gone_on(reply) {
            What::Garbage
        } else {
            What::Unfinished { command, reply }
        };
        Frame::first(end, Mode::Fresh, what)
    }

    /// Refuses the oldest request, as there is no room for more.
    fn drop_too_large<'a>(&self, unread: &'a [u8]) -> Frame<'a> {
        if !self.nested.is_empty() {
            return self.drop_first(unread, self.line, |_| false);
        }
        let (_, reply) = header::text_header(&unread[..self.first.params]).unwrap_or_default();
        let what = What::TooLarge { reply, is_json: false, length: Length::MoreThan(MAX_REQUEST_BYTES) };
        // The last line may be what ends it.
        Frame::first(self.line, Mode::Text(Place::Start), what)
    }
}
