//! The sink a command writes its reply into.
//!
//! A reply is a stream, not a tree: each node goes out in the caller's syntax as it is written. C:
//! `add_mi_node_child` and `add_mi_attr` in mi/tree.c and mi/attr.c, which build the tree first.

use std::borrow::Cow;
use std::fmt;

use super::caller::OwnedCaller;
use super::command::Generation;
use super::context::Context;
use super::status::Status;

/// What a node or an attribute holds.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Nothing of its own; in JSON-RPC an object, whose members are the attributes and nodes that follow.
    Nothing,
    /// Nothing of its own; in JSON-RPC an array of the nodes that follow.
    List,
    /// Nothing at all; in JSON-RPC `null`.
    Null,
    /// Bytes, as they came from a client or the system.
    Bytes(&'a [u8]),
    /// A number.
    Signed(i64),
    /// A number.
    Unsigned(u64),
    /// Formatted text.
    Text(fmt::Arguments<'a>),
}

impl<'a> Value<'a> {
    /// The value as text.
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

/// A reply on its way out.
///
/// A command may call [`status`](Reply::status) before its first node; what it never calls is `200 OK`. As
/// long as nothing was handed on to the client, an error that the command returns replaces what it wrote.
pub trait Reply {
    /// Which shape the caller expects.
    fn generation(&self) -> Generation;

    /// Sets code and reason. Only before the first node.
    fn status(&mut self, status: &Status);

    /// Opens a node; nodes opened before it is closed lie inside it. An empty name means none.
    fn open(&mut self, name: &[u8], value: Value<'_>);

    /// Adds an attribute to the node opened last, before anything else is opened.
    fn attribute(&mut self, name: &[u8], value: Value<'_>);

    /// Closes the node opened last.
    fn close(&mut self);

    /// Says that the nodes inside the one that is open, or those at the top, are a list: none, one or more,
    /// and all of one name. Before the first of them. In 2.4's JSON and XML they are an array; text shows no
    /// difference.
    ///
    /// C: the flag `MI_IS_ARRAY` of 2.4, in mi/tree.h.
    fn list(&mut self) {}
}

impl dyn Reply + '_ {
    /// A node with nothing inside.
    pub fn node<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) {
        self.open(name.as_bytes(), value.into());
        self.close();
    }

    /// Whether the caller expects JSON values.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.generation() == Generation::JsonRpc
    }

    /// Opens a node that only JSON has: the array or object around what comes next, which in a classic reply
    /// stands for itself, or is a [`list`](Reply::list) without a node around it. An empty name at the top
    /// makes it the result itself.
    pub fn open_around(&mut self, name: &str, value: Value<'_>) {
        if self.is_json() {
            self.open(name.as_bytes(), value);
        } else if let Value::List = value {
            self.list();
        }
    }

    /// Closes what `open_around` opened.
    pub fn close_around(&mut self) {
        if self.is_json() {
            self.close();
        }
    }

    /// What `show` writes, in an array or object that only JSON has.
    pub fn around(&mut self, name: &str, value: Value<'_>, show: impl FnOnce(&mut Self)) {
        self.open_around(name, value);
        show(self);
        self.close_around();
    }
}

/// One step of a [`Rest`]: writes a piece of the reply, or changes some entries.
type Step = Box<dyn FnMut(&Context, &mut dyn Reply) -> Result<Progress, Status>>;

/// What is left of a command that may take long. Each step takes about a millisecond at most and says whether
/// there is another one.
///
/// A transport takes the steps when it has time and the client has room. Between two steps other commands
/// run, so a `Rest` must hold nothing that they need, and the entries that it reads may change meanwhile.
pub struct Rest {
    step: Step,
    is_change: bool,
    /// Who has asked for what, when a command has left it.
    request: Option<(OwnedCaller, &'static str)>,
}

impl Rest {
    /// The rest of a long reply, some kilobytes a step. Dropping it ends the reply early.
    pub fn of_reply(
        step: impl FnMut(&Context, &mut dyn Reply) -> Result<Progress, Status> + 'static,
    ) -> Rest {
        Rest { step: Box::new(step), is_change: false, request: None }
    }

    /// The rest of a change, which is to be made whether or not the client reads the reply.
    pub fn of_change(
        step: impl FnMut(&Context, &mut dyn Reply) -> Result<Progress, Status> + 'static,
    ) -> Rest {
        Rest { step: Box::new(step), is_change: true, request: None }
    }

    /// Whether it changes something.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.is_change
    }

    /// The same, with whose it is, for the log.
    pub(super) fn of_request(self, caller: OwnedCaller, command: &'static str) -> Rest {
        Rest { request: Some((caller, command)), ..self }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// The error that the command answers. Only while no step has written a node; the last step then.
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

/// Whether there is more to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Call again.
    More,
    /// That was the last piece.
    Done,
}
