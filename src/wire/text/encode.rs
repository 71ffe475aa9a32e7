//! Encodes replies of the text protocol. C: `mi_datagram_write_tree` in mi_datagram_writer.c, and
//! `mi_write_tree` of mi_fifo.

use std::io::Write;

use crate::mi::{Generation, Reply, Status, Value};
use crate::wire::Output;

/// Encodes one reply into an [`Output`].
#[derive(Debug)]
pub struct TextEncoder<'a, O> {
    output: &'a mut O,
    indent: &'a [u8],
    state: TextReplyState,
}

/// How much of a reply is written. Another encoder resumes the reply from it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextReplyState {
    depth: usize,
    /// The end of the last line is not written, as attributes may follow.
    is_line_open: bool,
    is_status_written: bool,
}

impl<'a, O: Output> TextEncoder<'a, O> {
    /// Begins a reply. `indent` is written once for each level of a node's depth.
    pub fn new(output: &'a mut O, indent: &'a [u8]) -> TextEncoder<'a, O> {
        output.begin();
        TextEncoder::resume(output, indent, TextReplyState::default())
    }

    /// Resumes a reply.
    pub fn resume(output: &'a mut O, indent: &'a [u8], state: TextReplyState) -> TextEncoder<'a, O> {
        TextEncoder { output, indent, state }
    }

    /// The state from which [`resume`](TextEncoder::resume) continues.
    #[must_use]
    pub fn state(&self) -> TextReplyState {
        self.state
    }

    /// Writes the end of the reply.
    pub fn finish(&mut self) {
        self.write_default_status();
        self.end_line();
    }

    /// Replaces what is written by an error. False when some of it is sent already; then nothing changes.
    pub fn fail(&mut self, status: &Status) -> bool {
        if !self.output.take_back() {
            return false;
        }
        self.state = TextReplyState::default();
        self.status(status);
        true
    }

    fn write_default_status(&mut self) {
        if !self.state.is_status_written {
            self.state.is_status_written = true;
            self.output.push(b"200 OK\n");
        }
    }

    fn end_line(&mut self) {
        if self.state.is_line_open {
            self.state.is_line_open = false;
            self.output.push(b"\n");
        }
    }

    fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Nothing | Value::List | Value::Null => {}
            Value::Bytes(bytes) => self.output.push(bytes),
            Value::Signed(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Unsigned(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Text(text) => {
                // An `Output` accepts all bytes.
                let _written = FormatSink(self.output).write_fmt(text);
            }
        }
    }
}

/// Makes an [`Output`] writable by formatting macros.
struct FormatSink<'a, O>(&'a mut O);

impl<O: Output> Write for FormatSink<'_, O> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<O: Output> Reply for TextEncoder<'_, O> {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Status) {
        self.state.is_status_written = true;
        self.output.push(itoa::Buffer::new().format(status.code).as_bytes());
        self.output.push(b" ");
        self.output.push(status.reason.as_bytes());
        self.output.push(b"\n");
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        self.write_default_status();
        self.end_line();
        for _ in 0..self.state.depth {
            self.output.push(self.indent);
        }
        if !name.is_empty() {
            self.output.push(name);
            self.output.push(b":: ");
        }
        self.value(value);
        self.state.depth += 1;
        self.state.is_line_open = true;
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        self.output.push(b" ");
        self.output.push(name);
        self.output.push(b"=");
        self.value(value);
    }

    fn close(&mut self) {
        self.state.depth = self.state.depth.saturating_sub(1);
        self.end_line();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Datagram;

    fn encoded(write: impl FnOnce(&mut TextEncoder<'_, Datagram>)) -> String {
        let mut datagram = Datagram::new();
        let mut encoder = TextEncoder::new(&mut datagram, b"\t");
        write(&mut encoder);
        String::from_utf8(datagram.bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_reply_without_nodes_is_its_status_line() {
        assert_eq!(encoded(|e| e.finish()), "200 OK\n");
        let synced = Status::new(200, "Contacts already synced");
        assert_eq!(
            encoded(|e| {
                e.status(&synced);
                e.finish();
            }),
            "200 Contacts already synced\n"
        );
    }

    #[test]
    fn nodes_are_indented_by_depth_and_have_attributes() {
        let text = encoded(|e| {
            e.open(b"Domain", "location".into());
            e.attribute(b"table", Value::Unsigned(512));
            e.attribute(b"records", Value::Signed(-1));
            e.open(b"AOR", "alice".into());
            e.open(b"", Value::Text(format_args!("{} = [{}]", "k", "v")));
            e.close();
            e.close();
            e.close();
            e.open(b"Process", Value::Nothing);
            e.attribute(b"ID", Value::Unsigned(0));
            e.close();
            e.finish();
        });
        assert_eq!(
            text,
            "200 OK\nDomain:: location table=512 records=-1\n\tAOR:: alice\n\t\tk = [v]\nProcess::  ID=0\n"
        );
    }

    #[test]
    fn an_error_replaces_the_begun_reply() {
        let text = encoded(|e| {
            e.open(b"half", "way".into());
            assert!(e.fail(&Status::new(404, "Gone")));
            e.finish();
        });
        assert_eq!(text, "404 Gone\n");
    }
}
