//! Encodes replies: a value that is written while the command runs, or a fault instead.
//!
//! C: xr_writer.c of 1.11, http_fnc.c of mi_xmlrpc_ng of 2.4, and what xmlrpc-c writes around a value.
//! Differs: a `value` of 2.4 is not inside another `value`, which no specification allows; names are escaped
//! in all formats.

use std::fmt::{self, Write as _};

use super::XmlRpcFormat;
use super::call::is_allowed;
use crate::mi::{Generation, Reply, Status, Value};
use crate::wire::nodes::{self, Key, Syntax};
use crate::wire::{Output, Stream, plain};

/// Replaces a character that XML does not allow. C: `xmlrpc_force_to_xml_chars`.
const REPLACEMENT_CHARACTER: &[u8] = b"\x7f";

/// The indent of one level, in format 1 of 2.4. C: `MI_XMLRPC_HTTP_NODE_INDENT`.
const INDENT: &[u8] = b"   ";

/// The markup around a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyFrame {
    /// A whole document.
    Document,
    /// The array of a `system.multicall`.
    MulticallElement,
}

impl ReplyFrame {
    fn around_value(self) -> [&'static [u8]; 2] {
        match self {
            ReplyFrame::Document => {
                [b"<params>\r\n<param>", b"</param>\r\n</params>\r\n</methodResponse>\r\n"]
            }
            ReplyFrame::MulticallElement => [b"<value><array><data>\r\n", b"</data></array></value>\r\n"],
        }
    }

    fn around_fault(self) -> [&'static [u8]; 2] {
        match self {
            ReplyFrame::Document => [b"<fault>\r\n", b"\r\n</fault>\r\n</methodResponse>\r\n"],
            ReplyFrame::MulticallElement => [b"", b"\r\n"],
        }
    }
}

/// The beginning of each document.
pub(super) const PROLOGUE: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n";

/// Writes one reply into a stream.
#[derive(Debug)]
pub(super) struct XmlRpcEncoder<'a> {
    output: &'a mut Stream,
    state: XmlRpcReplyState,
}

/// The state of a reply between two pieces.
#[derive(Debug)]
pub(super) struct XmlRpcReplyState {
    format: XmlRpcFormat,
    frame: ReplyFrame,
    phase: ValuePhase,
    /// The number of open nodes, in a format of lines.
    depth: usize,
    line: LineState,
    nodes: nodes::State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValuePhase {
    /// The value is not begun.
    Empty,
    /// The value is begun, and nodes are added.
    Nodes,
    /// The value is complete; a method `system.*` has written it.
    Complete,
    /// A fault is written instead of a value.
    Status,
}

/// The state of the current line, in a format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineState {
    /// No line is begun.
    None,
    /// The line has a name and needs the separator `:: ` before more. C: `insert_node_separator`.
    AfterName,
    /// The line takes attributes.
    Open,
}

impl<'a> XmlRpcEncoder<'a> {
    /// Begins a reply.
    pub(super) fn new(output: &'a mut Stream, format: XmlRpcFormat, frame: ReplyFrame) -> XmlRpcEncoder<'a> {
        output.begin();
        let (phase, line, nodes) = (ValuePhase::Empty, LineState::None, nodes::State::default());
        let state = XmlRpcReplyState { format, frame, phase, depth: 0, line, nodes };
        let encoder = XmlRpcEncoder { output, state };
        if frame == ReplyFrame::Document {
            encoder.output.push(PROLOGUE);
        }
        encoder.output.push(frame.around_value()[0]);
        encoder
    }

    /// Continues a reply from the state that [`into_state`](XmlRpcEncoder::into_state) returned.
    pub(super) fn resume(output: &'a mut Stream, state: XmlRpcReplyState) -> XmlRpcEncoder<'a> {
        XmlRpcEncoder { output, state }
    }

    /// Suspends the reply until the next piece.
    pub(super) fn into_state(self) -> XmlRpcReplyState {
        self.state
    }

    /// Whether the reply is a fault.
    pub(super) fn is_fault(&self) -> bool {
        self.state.phase == ValuePhase::Status
    }

    /// Writes the whole value by `write`.
    pub(super) fn write_value(&mut self, write: impl FnOnce(&mut Stream)) {
        self.state.phase = ValuePhase::Complete;
        write(self.output);
    }

    /// Completes the reply.
    pub(super) fn finish(&mut self) {
        match self.state.phase {
            ValuePhase::Status => return,
            ValuePhase::Complete => {}
            ValuePhase::Empty | ValuePhase::Nodes => {
                self.begin_value();
                self.end_line();
                match self.state.format {
                    XmlRpcFormat::String | XmlRpcFormat::IndentedString => {
                        self.output.push(b"</string></value>")
                    }
                    XmlRpcFormat::Array => self.output.push(b"</data></array></value>"),
                    XmlRpcFormat::Tree => self.state.nodes.finish::<XmlSyntax>(self.output),
                }
            }
        }
        self.output.push(self.state.frame.around_value()[1]);
    }

    /// Replaces the value by a fault. Does nothing when part of the value has been sent.
    pub(super) fn fail(&mut self, status: &Status) {
        if !self.output.take_back() {
            return;
        }
        self.state.phase = ValuePhase::Status;
        let [before, behind] = self.state.frame.around_fault();
        if self.state.frame == ReplyFrame::Document {
            self.output.push(PROLOGUE);
        }
        self.output.push(before);
        self.output.push(b"<value><struct>\r\n<member><name>faultCode</name>\r\n<value><i4>");
        self.output.push(itoa::Buffer::new().format(status.code).as_bytes());
        self.output.push(b"</i4></value></member>\r\n<member><name>faultString</name>\r\n");
        write_string(self.output, status.reason.as_bytes());
        self.output.push(b"</member>\r\n</struct></value>");
        self.output.push(behind);
    }

    fn begin_value(&mut self) {
        if self.state.phase == ValuePhase::Empty {
            self.state.phase = ValuePhase::Nodes;
            match self.state.format {
                XmlRpcFormat::String | XmlRpcFormat::IndentedString => self.output.push(b"<value><string>"),
                XmlRpcFormat::Array => self.output.push(b"<value><array><data>\r\n"),
                XmlRpcFormat::Tree => {}
            }
        }
    }

    fn begin_line(&mut self, name: &[u8], value: Value<'_>) {
        self.end_line();
        let is_indented = self.state.format == XmlRpcFormat::IndentedString;
        if self.state.format == XmlRpcFormat::Array {
            self.output.push(b"<value><string>");
        }
        self.state.line = LineState::Open;
        if !name.is_empty() {
            for _ in 0..if is_indented { self.state.depth } else { 0 } {
                self.output.push(INDENT);
            }
            characters(self.output, name);
            if is_indented {
                self.state.line = LineState::AfterName;
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
        self.write_separator();
        match value {
            Value::Nothing | Value::List | Value::Null => {}
            Value::Bytes(bytes) => characters(self.output, bytes),
            Value::Signed(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Unsigned(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Text(text) => {
                // Writing to a stream cannot fail.
                let _written = XmlEscaped(self.output).write_fmt(text);
            }
        }
    }

    /// Writes the separator after the name of a node, if one is missing.
    fn write_separator(&mut self) {
        if self.state.line == LineState::AfterName {
            self.state.line = LineState::Open;
            self.output.push(b":: ");
        }
    }

    fn end_line(&mut self) {
        if self.state.line != LineState::None {
            self.state.line = LineState::None;
            let is_item = self.state.format == XmlRpcFormat::Array;
            self.output.push(if is_item { b"\n</string></value>\r\n" } else { b"\n" });
        }
    }
}

impl Reply for XmlRpcEncoder<'_> {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Status) {
        if !self.state.format.is_success(status.code) {
            self.fail(status);
        }
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        if self.is_fault() {
            return;
        }
        self.begin_value();
        if self.state.format == XmlRpcFormat::Tree {
            self.state.nodes.open::<XmlSyntax>(self.output, name, value);
        } else {
            self.begin_line(name, value);
            self.state.depth += 1;
        }
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        if self.is_fault() {
            return;
        }
        if self.state.format == XmlRpcFormat::Tree {
            self.state.nodes.attribute::<XmlSyntax>(self.output, name, value);
        } else {
            self.write_separator();
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
        if self.state.format == XmlRpcFormat::Tree {
            self.state.nodes.close::<XmlSyntax>(self.output);
        } else {
            self.state.depth = self.state.depth.saturating_sub(1);
            self.end_line();
        }
    }

    fn list(&mut self) {
        self.state.nodes.list();
    }
}

/// Writes a value of type string.
pub(super) fn write_string(output: &mut Stream, bytes: &[u8]) {
    output.push(b"<value><string>");
    characters(output, bytes);
    output.push(b"</string></value>");
}

/// Writes a value of type array; `write` writes its elements.
pub(super) fn write_array(output: &mut Stream, write: impl FnOnce(&mut Stream)) {
    output.push(b"<value><array><data>\r\n");
    write(output);
    output.push(b"</data></array></value>");
}

/// Writes text in an element. CR becomes a reference, as XML readers turn a literal CR into LF; a character
/// that XML does not allow is replaced; a byte that is not UTF-8 becomes the character with its number.
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

/// Whether a byte needs no escape.
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
            _ => REPLACEMENT_CHARACTER,
        };
        output.push(&text.as_bytes()[start..at]);
        output.push(instead);
        start = at + character.len_utf8();
    }
    output.push(&text.as_bytes()[start..]);
}

/// Escapes what the formatting macros write to it.
struct XmlEscaped<'a>(&'a mut Stream);

impl fmt::Write for XmlEscaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        characters(self.0, text.as_bytes());
        Ok(())
    }
}

/// The syntax of mi_xmlrpc_ng, whose values have no types.
struct XmlSyntax;

impl Syntax for XmlSyntax {
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
        XmlSyntax::text(output, b"");
    }

    fn empty_attribute(output: &mut Stream) {
        XmlSyntax::text(output, b"");
    }

    fn empty_reply(output: &mut Stream) {
        XmlSyntax::open_object(output);
        XmlSyntax::close_object(output);
    }
}
