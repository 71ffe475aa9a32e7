//! Replies: `CODE REASON`, then a line a node.
//!
//! C: `mi_datagram_write_tree` in mi_datagram_writer.c and its twin of mi_fifo.

use std::io::Write;

use super::MAX_DATAGRAM_BYTES;
use crate::mi::{Fault, Generation, Reply, Value};

/// Where encoded bytes go.
pub trait Output {
    /// Takes the next bytes of the reply.
    fn push(&mut self, bytes: &[u8]);

    /// Forgets what was pushed since the reply began. False when some of it is on its way already.
    fn take_back(&mut self) -> bool;
}

/// One reply on its way into an [`Output`].
#[derive(Debug)]
pub struct Encoder<'a, O> {
    output: &'a mut O,
    indent: &'a [u8],
    depth: usize,
    /// A line that still lacks its end, since attributes may follow.
    line_open: bool,
    status_written: bool,
}

impl<'a, O: Output> Encoder<'a, O> {
    /// Begins a reply; `indent` stands once for each level of depth.
    pub fn new(output: &'a mut O, indent: &'a [u8]) -> Encoder<'a, O> {
        Encoder { output, indent, depth: 0, line_open: false, status_written: false }
    }

    /// Ends the reply; one without nodes is its status alone.
    pub fn finish(&mut self) {
        self.write_default_status();
        self.end_line();
    }

    /// Replaces what was written by an error. False when it is too late, as the client has seen the status.
    pub fn fail(&mut self, fault: &Fault) -> bool {
        if !self.output.take_back() {
            return false;
        }
        self.line_open = false;
        self.status_written = false;
        self.status(fault);
        true
    }

    fn write_default_status(&mut self) {
        if !self.status_written {
            self.status_written = true;
            self.output.push(b"200 OK\n");
        }
    }

    fn end_line(&mut self) {
        if self.line_open {
            self.line_open = false;
            self.output.push(b"\n");
        }
    }

    fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Nothing | Value::List => {}
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

    fn status(&mut self, status: &Fault) {
        self.status_written = true;
        self.output.push(itoa::Buffer::new().format(status.code).as_bytes());
        self.output.push(b" ");
        self.output.push(status.reason.as_bytes());
        self.output.push(b"\n");
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        self.write_default_status();
        self.end_line();
        for _ in 0..self.depth {
            self.output.push(self.indent);
        }
        if !name.is_empty() {
            self.output.push(name);
            self.output.push(b":: ");
        }
        self.value(value);
        self.depth += 1;
        self.line_open = true;
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        self.output.push(b" ");
        self.output.push(name);
        self.output.push(b"=");
        self.value(value);
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.end_line();
    }
}

/// A reply that must fit one datagram. Counts on past the limit, to be able to say how long it would be.
#[derive(Debug)]
pub struct Datagram {
    bytes: Vec<u8>,
    length: usize,
}

impl Datagram {
    /// Room for the largest reply, to be reused.
    #[must_use]
    pub fn new() -> Datagram {
        Datagram { bytes: Vec::with_capacity(MAX_DATAGRAM_BYTES), length: 0 }
    }

    /// The reply, or its full length in bytes when that is above [`MAX_DATAGRAM_BYTES`].
    ///
    /// # Errors
    /// The length.
    pub fn bytes(&self) -> Result<&[u8], usize> {
        if self.length > self.bytes.len() { Err(self.length) } else { Ok(&self.bytes) }
    }

    /// Empties it for the next reply.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.length = 0;
    }

    /// Replaces the content by an error alone.
    pub fn set_fault(&mut self, fault: &Fault) {
        self.clear();
        Encoder::new(self, b"").status(fault);
    }
}

impl Default for Datagram {
    fn default() -> Datagram {
        Datagram::new()
    }
}

impl Output for Datagram {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        if self.length <= MAX_DATAGRAM_BYTES {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn take_back(&mut self) -> bool {
        self.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(write: impl FnOnce(&mut Encoder<'_, Datagram>)) -> String {
        let mut datagram = Datagram::new();
        let mut encoder = Encoder::new(&mut datagram, b"\t");
        write(&mut encoder);
        String::from_utf8(datagram.bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_reply_without_nodes_is_its_status() {
        assert_eq!(encoded(|e| e.finish()), "200 OK\n");
        let synced = Fault::new(200, "Contacts already synced");
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
            assert!(e.fail(&Fault::new(404, "Gone")));
            e.finish();
        });
        assert_eq!(text, "404 Gone\n");
    }

    #[test]
    fn a_reply_at_the_limit_fits_and_one_byte_more_is_counted() {
        let mut datagram = Datagram::new();
        datagram.push(&vec![b'x'; MAX_DATAGRAM_BYTES]);
        assert_eq!(datagram.bytes().unwrap().len(), MAX_DATAGRAM_BYTES);
        datagram.push(b"x");
        assert_eq!(datagram.bytes(), Err(MAX_DATAGRAM_BYTES + 1));
        datagram.push(&[b'x'; 100]);
        assert_eq!(datagram.bytes(), Err(MAX_DATAGRAM_BYTES + 101));
        datagram.set_fault(&Fault::new(500, "long"));
        assert_eq!(datagram.bytes(), Ok(&b"500 long\n"[..]));
    }
}
