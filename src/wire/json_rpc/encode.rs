//! Replies: a JSON value written while the command tells it, inside the envelope of JSON-RPC.
//!
//! C: `init_mi_result_object`, `add_mi_object` and others in mi/item.c, which build the value first and print it then.

use std::fmt::Write as _;

use crate::mi::{Fault, Generation, Reply, Value};
use crate::wire::Output;
use crate::wire::json_text::{self, Escaped};

/// The result of a command that says no more than that it was done.
const DONE: &[u8] = b"\"OK\"";

/// One reply on its way into an [`Output`].
///
/// A node with a name at the top makes the result an object, one without a name is the result itself. Attributes
/// are members like nodes. What an attribute or node adds to a value that is neither object nor array lies beside it.
#[derive(Debug)]
pub struct Encoder<'a, O> {
    output: &'a mut O,
    /// As the client has sent it.
    id: &'a str,
    state: State,
}

/// How far a reply has come: what an encoder needs to go on with it later.
#[derive(Debug, Default)]
pub struct State {
    phase: Phase,
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing is written yet.
    #[default]
    Blank,
    /// In the result.
    Result,
    /// The result is whole; nothing more fits.
    Whole,
    /// An error stands there.
    Error,
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Object {
        is_empty: bool,
    },
    Array {
        is_empty: bool,
    },
    /// A node with a value of its own: nothing to close.
    Scalar,
}

impl<'a, O: Output> Encoder<'a, O> {
    /// Begins the reply to the request with that id.
    pub fn new(output: &'a mut O, id: &'a str) -> Encoder<'a, O> {
        output.begin();
        Encoder::resume(output, id, State::default())
    }

    /// Goes on with a reply that was left in `state`.
    pub fn resume(output: &'a mut O, id: &'a str, state: State) -> Encoder<'a, O> {
        Encoder { output, id, state }
    }

    /// Leaves the reply, to go on later.
    #[must_use]
    pub fn into_state(self) -> State {
        self.state
    }

    /// Ends the reply; one without nodes says `"OK"`.
    pub fn finish(&mut self) {
        if self.state.phase == Phase::Blank {
            self.begin_result();
            self.output.push(DONE);
        }
        while !self.state.open.is_empty() {
            self.close();
        }
        self.output.push(b",\"id\":");
        self.output.push(self.id.as_bytes());
        self.output.push(b"}");
    }

    /// Replaces what was written by an error. False when it is too late, as part of the result has left.
    pub fn fail(&mut self, fault: &Fault) -> bool {
        if !self.output.take_back() {
            return false;
        }
        self.state = State::default();
        self.status(fault);
        true
    }

    /// How long all that was written is, when that is too long to be sent.
    pub(super) fn excess(&self) -> Option<usize> {
        self.output.excess()
    }

    fn begin_result(&mut self) {
        self.state.phase = Phase::Result;
        self.output.push(b"{\"jsonrpc\":\"2.0\",\"result\":");
    }

    /// Makes place for a value. False when there is none.
    fn make_place(&mut self, name: &[u8]) -> bool {
        match self.state.phase {
            Phase::Blank => {
                self.begin_result();
                if name.is_empty() {
                    self.state.phase = Phase::Whole;
                    return true;
                }
                self.output.push(b"{");
                self.state.open.push(Open::Object { is_empty: true });
            }
            Phase::Whole if self.state.open.iter().all(|open| *open == Open::Scalar) => return false,
            Phase::Error => return false,
            Phase::Result | Phase::Whole => {}
        }
        let around = self.state.open.iter_mut().rev().find(|open| **open != Open::Scalar);
        let (is_empty, has_names) = match around {
            Some(Open::Object { is_empty }) => (is_empty, true),
            Some(Open::Array { is_empty }) => (is_empty, false),
            Some(Open::Scalar) | None => return false,
        };
        let is_first = std::mem::replace(is_empty, false);
        if has_names {
            self.output.push(if is_first { b"\"" } else { b",\"" });
            json_text::characters(self.output, name);
            self.output.push(b"\":");
        } else if !is_first {
            self.output.push(b",");
        }
        true
    }

    fn value(&mut self, value: Value<'_>) -> Open {
        match value {
            Value::Nothing => {
                self.output.push(b"{");
                return Open::Object { is_empty: true };
            }
            Value::List => {
                self.output.push(b"[");
                return Open::Array { is_empty: true };
            }
            Value::Null => self.output.push(b"null"),
            Value::Bytes(bytes) => self.string(bytes),
            Value::Signed(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Unsigned(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Text(text) => {
                self.output.push(b"\"");
                // An Output takes everything it is given.
                let _written = Escaped(self.output).write_fmt(text);
                self.output.push(b"\"");
            }
        }
        Open::Scalar
    }

    fn string(&mut self, bytes: &[u8]) {
        self.output.push(b"\"");
        json_text::characters(self.output, bytes);
        self.output.push(b"\"");
    }
}

/// Writes a notification of ours, which nobody answers. C: `evi_build_payload` in evi/evi_modules.c of 3.x.
pub fn notify<'a, O: Output>(
    method: &str,
    params: impl Iterator<Item = (&'a str, Value<'a>)>,
    output: &mut O,
) {
    let state = State { phase: Phase::Result, open: vec![Open::Object { is_empty: true }] };
    let mut encoder = Encoder::resume(output, "", state);
    encoder.output.push(b"{\"jsonrpc\":\"2.0\",\"method\":");
    encoder.string(method.as_bytes());
    encoder.output.push(b",\"params\":{");
    params.for_each(|(name, value)| encoder.attribute(name.as_bytes(), value));
    encoder.close();
    encoder.output.push(b"}");
}

impl<O: Output> Reply for Encoder<'_, O> {
    fn generation(&self) -> Generation {
        Generation::JsonRpc
    }

    /// A code and reason of its own is an error here, also when the code is 200.
    fn status(&mut self, status: &Fault) {
        self.state.phase = Phase::Error;
        self.output.push(b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":");
        self.output.push(itoa::Buffer::new().format(status.code).as_bytes());
        self.output.push(b",\"message\":");
        self.string(status.reason.as_bytes());
        if let Some(data) = &status.data {
            self.output.push(b",\"data\":");
            self.string(data.as_bytes());
        }
        self.output.push(b"}");
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        let opened = if self.make_place(name) { self.value(value) } else { Open::Scalar };
        self.state.open.push(opened);
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        self.open(name, value);
        self.close();
    }

    fn close(&mut self) {
        match self.state.open.pop() {
            Some(Open::Object { .. }) => self.output.push(b"}"),
            Some(Open::Array { .. }) => self.output.push(b"]"),
            Some(Open::Scalar) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Datagram;

    fn encoded(write: impl FnOnce(&mut Encoder<'_, Datagram>)) -> String {
        let mut datagram = Datagram::new();
        let mut encoder = Encoder::new(&mut datagram, "1");
        write(&mut encoder);
        encoder.finish();
        let text = String::from_utf8(datagram.bytes().unwrap().to_vec()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        text.strip_prefix("{\"jsonrpc\":\"2.0\",").unwrap().strip_suffix(",\"id\":1}").unwrap().to_owned()
    }

    #[test]
    fn a_reply_without_nodes_is_ok() {
        assert_eq!(encoded(|_| {}), r#""result":"OK""#);
    }

    #[test]
    fn named_nodes_are_members_and_one_without_a_name_is_the_result() {
        let text = encoded(|e| {
            e.open(b"Processes", Value::List);
            for id in 0..2 {
                e.open(b"", Value::Nothing);
                e.attribute(b"ID", Value::Unsigned(id));
                e.attribute(b"Type", "x".into());
                e.close();
            }
            e.close();
            e.open(b"n", Value::Signed(-1));
            e.close();
        });
        assert_eq!(text, r#""result":{"Processes":[{"ID":0,"Type":"x"},{"ID":1,"Type":"x"}],"n":-1}"#);
        let array = encoded(|e| {
            e.open(b"", Value::List);
            e.open(b"", "a".into());
            e.close();
            e.open(b"named", Value::Null);
            e.close();
            e.close();
        });
        assert_eq!(array, r#""result":["a",null]"#);
        assert_eq!(encoded(|e| e.open(b"", Value::Nothing)), r#""result":{}"#);
        assert_eq!(encoded(|e| e.open(b"", "text".into())), r#""result":"text""#);
    }

    #[test]
    fn what_has_no_place_does_not_break_the_reply() {
        let text = encoded(|e| {
            e.open(b"", "first".into());
            e.attribute(b"a", Value::Unsigned(1));
            e.close();
            e.open(b"", "second".into());
            e.close();
        });
        assert_eq!(text, r#""result":"first""#);
        let beside = encoded(|e| {
            e.open(b"Domain", "location".into());
            e.attribute(b"records", Value::Unsigned(1));
            e.open(b"AOR", "a".into());
        });
        assert_eq!(beside, r#""result":{"Domain":"location","records":1,"AOR":"a"}"#);
    }

    #[test]
    fn every_byte_has_a_form() {
        let text = encoded(|e| e.open(b"", Value::Bytes(b"a\"\\/\n\r\t\x08\x0c\x01\x7f\xc3\xa9\xff")));
        assert_eq!(text, "\"result\":\"a\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\x7f\u{e9}\\u00ff\"");
        assert_eq!(encoded(|e| e.open(b"", Value::Text(format_args!("<{}>", '"')))), r#""result":"<\">""#);
    }

    #[test]
    fn an_error_replaces_what_was_written() {
        let text = encoded(|e| {
            e.open(b"half", Value::List);
            assert!(e.fail(&Fault::new(404, "Gone")));
        });
        assert_eq!(text, r#""error":{"code":404,"message":"Gone"}"#);
        let text = encoded(|e| {
            e.fail(&Fault::invalid_params("Bad PID"));
        });
        assert_eq!(text, r#""error":{"code":-32602,"message":"Invalid params","data":"Bad PID"}"#);
    }
}
