//! Replies: a value of XML-RPC that is written while the command tells its nodes, or a fault in its place.
//!
//! C: xr_writer.c of 1.11, http_fnc.c of mi_xmlrpc_ng of 2.4, and what xmlrpc-c writes around a value. Differs: a
//! `value` of 2.4 does not lie in another one, which no specification knows; names are escaped in all formats.

use std::fmt::{self, Write as _};

use super::Format;
use super::call::is_allowed;
use crate::mi::{Fault, Generation, Reply, Value};
use crate::wire::nodes::{self, Key, Syntax};
use crate::wire::{Output, Stream, plain};

/// What stands for a character that XML does not allow. C: `xmlrpc_force_to_xml_chars`.
const IN_PLACE_OF_FORBIDDEN: &[u8] = b"\x7f";

/// What stands once for each level of depth in format 1 of 2.4. C: `MI_XMLRPC_HTTP_NODE_INDENT`.
const INDENT: &[u8] = b"   ";

/// Where a reply stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a document of its own.
    Document,
    /// Among the replies to the calls of one `system.multicall`.
    Among,
}

impl Place {
    fn around_value(self) -> [&'static [u8]; 2] {
        match self {
            Place::Document => [b"<params>\r\n<param>", b"</param>\r\n</params>\r\n</methodResponse>\r\n"],
            Place::Among => [b"<value><array><data>\r\n", b"</data></array></value>\r\n"],
        }
    }

    fn around_fault(self) -> [&'static [u8]; 2] {
        match self {
            Place::Document => [b"<fault>\r\n", b"\r\n</fault>\r\n</methodResponse>\r\n"],
            Place::Among => [b"", b"\r\n"],
        }
    }
}

/// How each document begins.
pub(super) const PROLOGUE: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n";

/// One reply on its way into a stream.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    output: &'a mut Stream,
    state: State,
}

/// How far a reply has come: what an encoder needs to go on with it later.
#[derive(Debug)]
pub(super) struct State {
    format: Format,
    place: Place,
    phase: Phase,
    /// Nodes that are open, in a format of lines.
    depth: usize,
    line: Line,
    nodes: nodes::State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is written yet but what stands before a value.
    Blank,
    Value,
    /// The value is written as a whole, by someone else.
    Whole,
    Fault,
}

/// The line of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// None is begun.
    Ended,
    /// It has a name, and what comes next parts it from that. C: `insert_node_separator`.
    Named,
    Open,
}

impl<'a> Encoder<'a> {
    /// Begins a reply.
    pub(super) fn new(output: &'a mut Stream, format: Format, place: Place) -> Encoder<'a> {
        output.begin();
        let (phase, line, nodes) = (Phase::Blank, Line::Ended, nodes::State::default());
        let state = State { format, place, phase, depth: 0, line, nodes };
        let encoder = Encoder { output, state };
        if place == Place::Document {
            encoder.output.push(PROLOGUE);
        }
        encoder.output.push(place.around_value()[0]);
        encoder
    }

    /// Goes on with a reply that was left in `state`.
    pub(super) fn resume(output: &'a mut Stream, state: State) -> Encoder<'a> {
        Encoder { output, state }
    }

    /// Leaves the reply, to go on later.
    pub(super) fn into_state(self) -> State {
        self.state
    }

    /// Whether a fault stands there.
    pub(super) fn is_fault(&self) -> bool {
        self.state.phase == Phase::Fault
    }

    /// Makes the value what `write` writes.
    pub(super) fn whole(&mut self, write: impl FnOnce(&mut Stream)) {
        self.state.phase = Phase::Whole;
        write(self.output);
    }

    /// Ends the reply.
    pub(super) fn finish(&mut self) {
        match self.state.phase {
            Phase::Fault => return,
            Phase::Whole => {}
            Phase::Blank | Phase::Value => {
                self.begin_value();
                self.end_line();
                match self.state.format {
                    Format::String | Format::IndentedString => self.output.push(b"</string></value>"),
                    Format::Array => self.output.push(b"</data></array></value>"),
                    Format::Tree => self.state.nodes.finish::<Xml>(self.output),
                }
            }
        }
        self.output.push(self.state.place.around_value()[1]);
    }

    /// Replaces what was written by a fault.
    pub(super) fn fail(&mut self, fault: &Fault) {
        if !self.output.take_back() {
            return;
        }
        self.state.phase = Phase::Fault;
        let [before, behind] = self.state.place.around_fault();
        if self.state.place == Place::Document {
            self.output.push(PROLOGUE);
        }
        self.output.push(before);
        self.output.push(b"<value><struct>\r\n<member><name>faultCode</name>\r\n<value><i4>");
        self.output.push(itoa::Buffer::new().format(fault.code).as_bytes());
        self.output.push(b"</i4></value></member>\r\n<member><name>faultString</name>\r\n");
        string(self.output, fault.reason.as_bytes());
        self.output.push(b"</member>\r\n</struct></value>");
        self.output.push(behind);
    }

    fn begin_value(&mut self) {
        if self.state.phase == Phase::Blank {
            self.state.phase = Phase::Value;
            match self.state.format {
                Format::String | Format::IndentedString => self.output.push(b"<value><string>"),
                Format::Array => self.output.push(b"<value><array><data>\r\n"),
                Format::Tree => {}
            }
        }
    }

    fn begin_line(&mut self, name: &[u8], value: Value<'_>) {
        self.end_line();
        let is_indented = self.state.format == Format::IndentedString;
        if self.state.format == Format::Array {
            self.output.push(b"<value><string>");
        }
        self.state.line = Line::Open;
        if !name.is_empty() {
            for _ in 0..if is_indented { self.state.depth } else { 0 } {
                self.output.push(INDENT);
            }
            characters(self.output, name);
            if is_indented {
                self.state.line = Line::Named;
            } else {
                self.output.push(b":: ");
            }
        }
        self.line_value(value);
    }

    fn line_value(&mut self, value: Value<'_>) {
        if let Value::Nothing | Value::List | Value::Null | Value::Bytes(b"") = value {
            return;
        }
        self.part();
        match value {
            Value::Nothing | Value::List | Value::Null => {}
            Value::Bytes(bytes) => characters(self.output, bytes),
            Value::Signed(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Unsigned(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Text(text) => {
                // A stream takes everything it is given.
                let _written = Escaped(self.output).write_fmt(text);
            }
        }
    }

    /// Parts the name of a node from what follows.
    fn part(&mut self) {
        if self.state.line == Line::Named {
            self.state.line = Line::Open;
            self.output.push(b":: ");
        }
    }

    fn end_line(&mut self) {
        if self.state.line != Line::Ended {
            self.state.line = Line::Ended;
            let is_item = self.state.format == Format::Array;
            self.output.push(if is_item { b"\n</string></value>\r\n" } else { b"\n" });
        }
    }
}

impl Reply for Encoder<'_> {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Fault) {
        if !self.state.format.is_success(status.code) {
            self.fail(status);
        }
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        if self.is_fault() {
            return;
        }
        self.begin_value();
        if self.state.format == Format::Tree {
            self.state.nodes.open::<Xml>(self.output, name, value);
        } else {
            self.begin_line(name, value);
            self.state.depth += 1;
        }
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        if self.is_fault() {
            return;
        }
        if self.state.format == Format::Tree {
            self.state.nodes.attribute::<Xml>(self.output, name, value);
        } else {
            self.part();
            self.output.push(b" ");
            characters(self.output, name);
            self.output.push(b"=");
            self.line_value(value);
        }
    }

    fn close(&mut self) {
        if self.is_fault() {
            return;
        }
        if self.state.format == Format::Tree {
            self.state.nodes.close::<Xml>(self.output);
        } else {
            self.state.depth = self.state.depth.saturating_sub(1);
            self.end_line();
        }
    }

    fn list(&mut self) {
        self.state.nodes.list();
    }
}

/// A value that is text.
pub(super) fn string(output: &mut Stream, bytes: &[u8]) {
    output.push(b"<value><string>");
    characters(output, bytes);
    output.push(b"</string></value>");
}

/// A value that is a list of what `write` writes.
pub(super) fn array(output: &mut Stream, write: impl FnOnce(&mut Stream)) {
    output.push(b"<value><array><data>\r\n");
    write(output);
    output.push(b"</data></array></value>");
}

/// Text in an element. CR is a reference, since readers take a CR of its own for a line end; what XML does not allow
/// is replaced; a byte that is no part of UTF-8 becomes the character of its number.
pub(super) fn characters(output: &mut Stream, bytes: &[u8]) {
    if plain::all(bytes, is_plain) {
        return output.push(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        escape(output, chunk.valid());
        for &byte in chunk.invalid() {
            output.push(char::from(byte).encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Whether a byte stands for itself.
fn is_plain(byte: u8) -> bool {
    ((0x20..0x80).contains(&byte) | (byte == b'\n')) & (byte != b'<') & (byte != b'>') & (byte != b'&')
}

fn escape(output: &mut Stream, text: &str) {
    let mut start = 0;
    for (at, character) in text.char_indices() {
        let instead: &[u8] = match character {
            '<' => b"&lt;",
            '>' => b"&gt;",
            '&' => b"&amp;",
            '\r' => b"&#13;",
            character if is_allowed(character) => continue,
            _ => IN_PLACE_OF_FORBIDDEN,
        };
        output.push(&text.as_bytes()[start..at]);
        output.push(instead);
        start = at + character.len_utf8();
    }
    output.push(&text.as_bytes()[start..]);
}

/// Text as the standard formatting machinery writes it.
struct Escaped<'a>(&'a mut Stream);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        characters(self.0, text.as_bytes());
        Ok(())
    }
}

/// Values as mi_xmlrpc_ng writes them, without types.
struct Xml;

impl Syntax for Xml {
    const INSIDE: &'static str = "kids";
    const PLAIN_ITEMS: bool = true;
    const UNNAMED: Option<&'static str> = Some("name");

    fn open_object(output: &mut Stream) {
        output.push(b"<value><struct>");
    }

    fn close_object(output: &mut Stream) {
        output.push(b"</struct></value>");
    }

    fn open_member(output: &mut Stream, key: Key<'_>, _is_first: bool) {
        output.push(b"<member><name>");
        match key {
            Key::Fixed(key) => output.push(key.as_bytes()),
            Key::Name(name) => characters(output, name),
        }
        output.push(b"</name>");
    }

    fn close_member(output: &mut Stream) {
        output.push(b"</member>");
    }

    fn open_list(output: &mut Stream) {
        output.push(b"<value><array><data>");
    }

    fn close_list(output: &mut Stream) {
        output.push(b"</data></array></value>");
    }

    fn item(_output: &mut Stream, _is_first: bool) {}

    fn text(output: &mut Stream, bytes: &[u8]) {
        output.push(b"<value>");
        characters(output, bytes);
        output.push(b"</value>");
    }

    fn empty_node(output: &mut Stream) {
        Xml::text(output, b"");
    }

    fn empty_attribute(output: &mut Stream) {
        Xml::text(output, b"");
    }

    fn empty_reply(output: &mut Stream) {
        Xml::open_object(output);
        Xml::close_object(output);
    }
}
