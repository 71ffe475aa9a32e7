//! Defines the sink into which a command writes its reply, and the rest of a long reply.
//!
//! A reply is a stream: each node is encoded when the command writes it. C: `add_mi_node_child` and
//! `add_mi_attr` in mi/tree.c and mi/attr.c, which build a tree first.

use std::borrow::Cow;
use std::fmt;

use super::Context;
use super::caller::OwnedCaller;
use super::status::Status;

/// The form of requests and replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// OpenSIPS 1.x and 2.x: positional parameters, and a tree of nodes with attributes.
    Classic,
    /// OpenSIPS 3.x: positional or named parameters, and a JSON value.
    JsonRpc,
}

/// The value of a node or an attribute.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// No value. In JSON-RPC an object, whose members are the attributes and nodes inside.
    Nothing,
    /// No value. In JSON-RPC an array of the nodes inside.
    List,
    /// No value. In JSON-RPC `null`.
    Null,
    /// Bytes, which may come from a client.
    Bytes(&'a [u8]),
    /// A number.
    Signed(i64),
    /// A number.
    Unsigned(u64),
    /// Formatted text.
    Text(fmt::Arguments<'a>),
}

impl<'a> Value<'a> {
    /// The value as text; empty for no value.
    #[must_use]
    pub fn to_bytes(&self) -> Cow<'a, [u8]> {
        match self {
            Value::Nothing | Value::List | Value::Null => Cow::Borrowed(b""),
            Value::Bytes(bytes) => Cow::Borrowed(bytes),
            Value::Signed(number) => number.to_string().into_bytes().into(),
            Value::Unsigned(number) => number.to_string().into_bytes().into(),
            Value::Text(text) => text.to_string().into_bytes().into(),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Bytes(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Value<'a> {
        Value::Bytes(bytes)
    }
}

/// Encodes one reply.
///
/// A command may call [`status`](Reply::status) before its first node; without that call the reply is `200
/// OK`. An error that the command returns replaces what it has written, unless some of it is sent.
pub trait Reply {
    /// The form that the caller expects.
    fn generation(&self) -> Generation;

    /// Sets code and reason. Only before the first node.
    fn status(&mut self, status: &Status);

    /// Opens a node. Nodes that are opened before it is closed are inside of it. An empty name stands for
    /// none.
    fn open(&mut self, name: &[u8], value: Value<'_>);

    /// Adds an attribute to the node that was opened last. Only before a node is opened inside of it.
    fn attribute(&mut self, name: &[u8], value: Value<'_>);

    /// Closes the innermost open node.
    fn close(&mut self);

    /// Marks the nodes inside of the innermost open node, or at the top, as a list: any number of nodes with
    /// one name. Called before the first of them. They are an array in the JSON and XML of 2.4, and nothing
    /// special in text.
    ///
    /// C: the flag `MI_IS_ARRAY` of 2.4, in mi/tree.h.
    fn list(&mut self) {}
}

impl dyn Reply + '_ {
    /// Writes a node without nodes and attributes.
    pub fn node<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) {
        self.open(name.as_bytes(), value.into());
        self.close();
    }

    /// The caller expects a JSON value.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.generation() == Generation::JsonRpc
    }

    /// Opens an array or object that only JSON has. A classic reply has the nodes inside without a node
    /// around them, and marks them as a [`list`](Reply::list) in the case of an array. With an empty name at
    /// the top it is the whole result.
    pub fn open_json(&mut self, name: &str, value: Value<'_>) {
        if self.is_json() {
            self.open(name.as_bytes(), value);
        } else if let Value::List = value {
            self.list();
        }
    }

    /// Closes what [`open_json`] has opened.
    ///
    /// [`open_json`]: #method.open_json
    pub fn close_json(&mut self) {
        if self.is_json() {
            self.close();
        }
    }

    /// Writes what `show` writes, inside of an array or object that only JSON has.
    pub fn in_json(&mut self, name: &str, value: Value<'_>, show: impl FnOnce(&mut Self)) {
        self.open_json(name, value);
        show(self);
        self.close_json();
    }
}

/// A step of a [`Rest`]: writes a piece of the reply, or changes some entries.
type Step = Box<dyn FnMut(&Context, &mut dyn Reply) -> Result<Progress, Status>>;

/// The rest of a command that may take long. A step takes at most about a millisecond.
///
/// A transport runs a step when it has time and the client has room. Other commands run between two steps, so
/// a `Rest` must not hold a lock, and the entries that it reads may change.
pub struct Rest {
    step: Step,
    is_change: bool,
    /// The caller and the name of the command, for the log.
    request: Option<(OwnedCaller, &'static str)>,
}

impl Rest {
    /// The rest of a long reply. A step writes some kilobytes. Dropping the rest ends the reply.
    pub fn of_reply(
        step: impl FnMut(&Context, &mut dyn Reply) -> Result<Progress, Status> + 'static,
    ) -> Rest {
        Rest { step: Box::new(step), is_change: false, request: None }
    }

    /// The rest of a change. The transport completes it even when the client does not read the reply.
    pub fn of_change(
        step: impl FnMut(&Context, &mut dyn Reply) -> Result<Progress, Status> + 'static,
    ) -> Rest {
        Rest { step: Box::new(step), is_change: true, request: None }
    }

    /// It is the rest of a change.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.is_change
    }

    /// Adds the caller and the name of the command.
    pub(super) fn with_request(self, caller: OwnedCaller, command: &'static str) -> Rest {
        Rest { request: Some((caller, command)), ..self }
    }

    /// Runs a step.
    ///
    /// # Errors
    /// The error that is the reply. It comes before the first node, and is the last step.
    pub fn step(&mut self, context: &Context, reply: &mut dyn Reply) -> Result<Progress, Status> {
        (self.step)(context, reply).inspect_err(|status| {
            if let Some((caller, command)) = &self.request {
                caller.caller().log_refusal(command, status);
            }
        })
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_change { "Rest of a change" } else { "Rest of a reply" })
    }
}

/// Whether there is another step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is another step.
    More,
    /// This was the last step.
    Done,
}
