//! Encodes replies: a JSON value inside the JSON-RPC envelope, written while the command runs.
//!
//! C: `init_mi_result_object`, `add_mi_object` and others in mi/item.c, which build the whole value first and
//! then print it.

use std::fmt::Write as _;

use crate::mi::{Generation, Reply, Status, Value};
use crate::wire::Output;
use crate::wire::json_text::{self, Escaped};

/// The result of a command that writes no node.
const DONE: &[u8] = b"\"OK\"";

/// Writes one reply into an [`Output`].
///
/// A named node at the top makes the result an object; a node without a name is the result itself. Attributes
/// become members, like nodes. Children and attributes of a node with a scalar value become its siblings.
#[derive(Debug)]
pub struct JsonRpcEncoder<'a, O> {
    output: &'a mut O,
    /// The id of the request, as JSON text.
    id: &'a str,
    state: JsonRpcReplyState,
}

/// The state of a reply between two pieces.
#[derive(Debug, Default)]
pub struct JsonRpcReplyState {
    phase: ResultPhase,
    /// The open nodes, the innermost last.
    open: Vec<OpenNode>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ResultPhase {
    /// Nothing is written.
    #[default]
    Empty,
    /// The result is an object or array that takes more.
    Open,
    /// The result is the value of one node; only that node takes more.
    SingleNode,
    /// An error is written instead of a result.
    Error,
}

/// The JSON value of an open node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenNode {
    Object {
        is_empty: bool,
    },
    Array {
        is_empty: bool,
    },
    /// A complete value, which is not closed.
    Scalar,
}

impl<'a, O: Output> JsonRpcEncoder<'a, O> {
    /// Begins the reply to a request. `id` is its id as JSON text.
    pub fn new(output: &'a mut O, id: &'a str) -> JsonRpcEncoder<'a, O> {
        output.begin();
        JsonRpcEncoder::resume(output, id, JsonRpcReplyState::default())
    }

    /// Continues a reply from the state that [`into_state`](JsonRpcEncoder::into_state) returned.
    pub fn resume(output: &'a mut O, id: &'a str, state: JsonRpcReplyState) -> JsonRpcEncoder<'a, O> {
        JsonRpcEncoder { output, id, state }
    }

    /// Suspends the reply until the next piece.
    #[must_use]
    pub fn into_state(self) -> JsonRpcReplyState {
        self.state
    }

    /// Closes all open nodes and the envelope. The result of a reply without nodes is `"OK"`.
    pub fn finish(&mut self) {
        if self.state.phase == ResultPhase::Empty {
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

    /// Replaces the result by an error. False, and nothing changes, when part of the result has been sent.
    pub fn fail(&mut self, status: &Status) -> bool {
        if !self.output.take_back() {
            return false;
        }
        self.state = JsonRpcReplyState::default();
        self.status(status);
        true
    }

    /// The length of the reply in bytes, when it is too long to be sent.
    pub(super) fn excess(&self) -> Option<usize> {
        self.output.excess()
    }

    fn begin_result(&mut self) {
        self.state.phase = ResultPhase::Open;
        self.output.push(b"{\"jsonrpc\":\"2.0\",\"result\":");
    }

    /// Writes the comma and the member name before a value. False when the reply takes no value here.
    fn begin_member(&mut self, name: &[u8]) -> bool {
        match self.state.phase {
            ResultPhase::Empty => {
                self.begin_result();
                if name.is_empty() {
                    self.state.phase = ResultPhase::SingleNode;
                    return true;
                }
                self.output.push(b"{");
                self.state.open.push(OpenNode::Object { is_empty: true });
            }
            ResultPhase::SingleNode if self.state.open.iter().all(|open| *open == OpenNode::Scalar) => {
                return false;
            }
            ResultPhase::Error => return false,
            ResultPhase::Open | ResultPhase::SingleNode => {}
        }
        let around = self.state.open.iter_mut().rev().find(|open| **open != OpenNode::Scalar);
        let (is_empty, has_names) = match around {
            Some(OpenNode::Object { is_empty }) => (is_empty, true),
            Some(OpenNode::Array { is_empty }) => (is_empty, false),
            Some(OpenNode::Scalar) | None => return false,
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

    fn value(&mut self, value: Value<'_>) -> OpenNode {
        match value {
            Value::Nothing => {
                self.output.push(b"{");
                return OpenNode::Object { is_empty: true };
            }
            Value::List => {
                self.output.push(b"[");
                return OpenNode::Array { is_empty: true };
            }
            Value::Null => self.output.push(b"null"),
            Value::Bytes(bytes) => self.string(bytes),
            Value::Signed(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Unsigned(number) => self.output.push(itoa::Buffer::new().format(number).as_bytes()),
            Value::Text(text) => {
                self.output.push(b"\"");
                // Writing to an `Output` cannot fail.
                let _written = Escaped(self.output).write_fmt(text);
                self.output.push(b"\"");
            }
        }
        OpenNode::Scalar
    }

    fn string(&mut self, bytes: &[u8]) {
        self.output.push(b"\"");
        json_text::characters(self.output, bytes);
        self.output.push(b"\"");
    }
}

/// Writes a notification. C: `evi_build_payload` in evi/evi_modules.c of 3.x.
pub fn notify<'a, O: Output>(
    method: &str,
    params: impl Iterator<Item = (&'a str, Value<'a>)>,
    output: &mut O,
) {
    let state =
        JsonRpcReplyState { phase: ResultPhase::Open, open: vec![OpenNode::Object { is_empty: true }] };
    let mut encoder = JsonRpcEncoder::resume(output, "", state);
    encoder.output.push(b"{\"jsonrpc\":\"2.0\",\"method\":");
    encoder.string(method.as_bytes());
    encoder.output.push(b",\"params\":{");
    params.for_each(|(name, value)| encoder.attribute(name.as_bytes(), value));
    encoder.close();
    encoder.output.push(b"}");
}

impl<O: Output> Reply for JsonRpcEncoder<'_, O> {
    fn generation(&self) -> Generation {
        Generation::JsonRpc
    }

    /// Writes an error. In JSON-RPC a command's own code and reason are an error, even with code 200.
    fn status(&mut self, status: &Status) {
        self.state.phase = ResultPhase::Error;
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
        let opened = if self.begin_member(name) { self.value(value) } else { OpenNode::Scalar };
        self.state.open.push(opened);
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        self.open(name, value);
        self.close();
    }

    fn close(&mut self) {
        match self.state.open.pop() {
            Some(OpenNode::Object { .. }) => self.output.push(b"}"),
            Some(OpenNode::Array { .. }) => self.output.push(b"]"),
            Some(OpenNode::Scalar) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Datagram;

    fn encoded(write: impl FnOnce(&mut JsonRpcEncoder<'_, Datagram>)) -> String {
        let mut datagram = Datagram::new();
        let mut encoder = JsonRpcEncoder::new(&mut datagram, "1");
        write(&mut encoder);
        encoder.finish();
        let text = String::from_utf8(datagram.bytes().unwrap().to_vec()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        text.strip_prefix("{\"jsonrpc\":\"2.0\",").unwrap().strip_suffix(",\"id\":1}").unwrap().to_owned()
    }

    #[test]
    fn a_reply_without_nodes_has_the_result_ok() {
        assert_eq!(encoded(|_| {}), r#""result":"OK""#);
    }

    #[test]
    fn named_nodes_are_members_and_a_node_without_a_name_is_the_result() {
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
    fn nodes_that_do_not_fit_leave_the_reply_valid_json() {
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
    fn every_byte_is_encoded_as_valid_json() {
        let text = encoded(|e| e.open(b"", Value::Bytes(b"a\"\\/\n\r\t\x08\x0c\x01\x7f\xc3\xa9\xff")));
        assert_eq!(text, "\"result\":\"a\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\x7f\u{e9}\\u00ff\"");
        assert_eq!(encoded(|e| e.open(b"", Value::Text(format_args!("<{}>", '"')))), r#""result":"<\">""#);
    }

    #[test]
    fn an_error_replaces_the_result() {
        let text = encoded(|e| {
            e.open(b"half", Value::List);
            assert!(e.fail(&Status::new(404, "Gone")));
        });
        assert_eq!(text, r#""error":{"code":404,"message":"Gone"}"#);
        let text = encoded(|e| {
            e.fail(&Status::invalid_params("Bad PID"));
        });
        assert_eq!(text, r#""error":{"code":-32602,"message":"Invalid params","data":"Bad PID"}"#);
    }
}
