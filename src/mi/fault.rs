//! What a command answers when it does not answer `200 OK`.

use std::borrow::Cow;

/// A code and a reason, as they stand in the reply's first line. The texts are part of the protocol: byte for
/// byte those of C, never reworded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// E.g. 400, 404, 500; below zero for JSON-RPC's own.
    pub code: i32,
    /// One line.
    pub reason: Cow<'static, str>,
    /// What JSON-RPC adds as `data`, if anything.
    pub data: Option<Cow<'static, str>>,
}

impl Fault {
    /// A fault with a fixed reason.
    #[must_use]
    pub const fn new(code: i32, reason: &'static str) -> Fault {
        Fault { code, reason: Cow::Borrowed(reason), data: None }
    }

    /// A fault whose reason tells more than a fixed one could.
    #[must_use]
    pub fn because(code: i32, reason: impl ToString) -> Fault {
        Fault { code, reason: reason.to_string().into(), data: None }
    }

    /// The same fault with the reason that it does not tell: for the log, and for JSON-RPC callers as `data`.
    /// Differs: there 3.x has no data.
    #[must_use]
    pub fn with_cause(self, cause: impl ToString) -> Fault {
        Fault { data: Some(cause.to_string().into()), ..self }
    }

    /// Whether it answers the same code and reason, whatever the cause.
    #[must_use]
    pub fn is(&self, other: &Fault) -> bool {
        self.code == other.code && self.reason == other.reason
    }

    /// What JSON-RPC callers get for parameters that a recipe cannot take. C: `JSONRPC_INVAL_PARAMS_CODE` in
    /// mi/item.h.
    #[must_use]
    pub fn invalid_params(data: impl Into<Cow<'static, str>>) -> Fault {
        Fault { code: -32602, reason: Cow::Borrowed("Invalid params"), data: Some(data.into()) }
    }
}

/// C: `MI_BAD_PARM`.
pub const BAD_PARAMETER: Fault = Fault::new(400, "Bad parameter");
/// C: `MI_MISSING_PARM`.
pub const MISSING_PARAMETER: Fault = Fault::new(400, "Too few or too many arguments");
/// C: `MI_PARSE_ERROR` of the datagram and FIFO transports.
pub const PARSE_ERROR: Fault = Fault::new(400, "parse error in command");
/// C: `MI_INTERNAL_ERR`.
pub const SERVER_ERROR: Fault = Fault::new(500, "Server Internal Error");
/// C: `MI_COMMAND_FAILED`: the command returned no tree.
pub const COMMAND_FAILED: Fault = Fault::new(500, "command failed");
/// C: `MI_COMMAND_NOT_AVAILABLE` of the datagram transport.
pub const COMMAND_NOT_AVAILABLE: Fault = Fault::new(500, "command not available");
