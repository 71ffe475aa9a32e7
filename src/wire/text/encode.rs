//! Replies: `CODE REASON`, then a line a node.
//!
//! C: `mi_datagram_write_tree` in mi_datagram_writer.c and its twin of mi_fifo.

use std::io::Write;

use crate::mi::{Generation, Reply, Status, Value};
use crate::wire::Output;

/// One reply on its way into an [`Output`].
#[derive(Debug)]
pub struct Encoder<'a, O> {
    output: &'a mut O,
    indent: &'a [u8],
    state: State,
}

/// How far a reply has come: what an encoder needs to go on with it later.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    depth: usize,
    /// A line that still lacks its end, since attributes may follow.
    line_open: bool,
    status_written: bool,
}

impl<'a, O: Output> Encoder<'a, O> {
    /// Begins a reply; `indent` stands once for each level of depth.
    pub fn new(output: &'a mut O, indent: &'a [u8]) -> Encoder<'a, O> {
        output.begin();
        Encoder::resume(output, indent, State::default())
    }

    /// Goes on with a reply that was left in `state`.
    pub fn resume(output: &'a mut O, indent: &'a [u8], state: State) -> Encoder<'a, O> {
        Encoder { output, indent, state }
    }

    /// Leaves the reply, to go on later.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Ends the reply; one without nodes is its status alone.
    pub fn finish(&mut self) {
        self.write_default_status();
        self.end_line();
    }

    /// Replaces what was written by an error. False when it is too late, as the client has seen the status.
    pub fn fail(&mut self, status: &Status) -> bool {
        if !self.output.take_back() {
            return false;
        }
        self.state = State::default();
        self.status(status);
        true
    }

    fn write_default_status(&mut self) {
        if !self.state.status_written {
            self.state.status_written = true;
            self.output.push(b"200 OK\n");
        }
    }

    fn end_line(&mut self) {
        if self.state.line_open {
            self.state.line_open = false;
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
                // An Output takes everything it is given.
                let _written = Sink(self.output).write_fmt(text);
            }
        }
    }
}

/// An [`Output`] as the standard formatting machinery wants it.
struct Sink<'a, O>(&'a mut O);

impl<O: Output> Write for Sink<'_, O> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<O: Output> Reply for Encoder<'_, O> {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Status) {
        self.state.status_written = true;
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
        self.state.line_open = true;
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

    fn encoded(write: impl FnOnce(&mut Encoder<'_, Datagram>)) -> String {
        let mut datagram = Datagram::new();
        let mut encoder = Encoder::new(&mut datagram, b"\t");
        write(&mut encoder);
        String::from_utf8(datagram.bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_reply_without_nodes_is_its_status() {
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
    fn nodes_are_indented_by_their_depth_and_carry_attributes() {
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
    fn an_error_replaces_what_was_written() {
        let text = encoded(|e| {
            e.open(b"half", "way".into());
            assert!(e.fail(&Status::new(404, "Gone")));
            e.finish();
        });
        assert_eq!(text, "404 Gone\n");
    }
}
