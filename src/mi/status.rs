//! Defines the code and reason of a reply.

use std::borrow::Cow;

/// A code and a reason, as in the first line of a text reply. Commands and transports return it as the error
/// of a request. The codes and reasons are part of the protocol: they are byte for byte those of C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// 200 to 699. JSON-RPC's own errors have codes below 0.
    pub code: i32,
    /// One line.
    pub reason: Cow<'static, str>,
    /// The member `data` of a JSON-RPC error.
    pub data: Option<Cow<'static, str>>,
}

impl Status {
    /// A status with a fixed reason.
    #[must_use]
    pub const fn new(code: i32, reason: &'static str) -> Status {
        Status { code, reason: Cow::Borrowed(reason), data: None }
    }

    /// A status whose reason is formatted.
    #[must_use]
    pub fn formatted(code: i32, reason: impl ToString) -> Status {
        Status { code, reason: reason.to_string().into(), data: None }
    }

    /// Adds the cause of an error that the reason does not name. The cause is logged, and JSON-RPC callers
    /// get it as `data`. Differs: 3.x sends no data for these errors.
    #[must_use]
    pub fn with_cause(self, cause: impl ToString) -> Status {
        Status { data: Some(cause.to_string().into()), ..self }
    }

    /// Compares code and reason, not the data.
    #[must_use]
    pub fn eq_ignore_data(&self, other: &Status) -> bool {
        self.code == other.code && self.reason == other.reason
    }

    /// The JSON-RPC error for parameters that match no recipe. C: `JSONRPC_INVAL_PARAMS_CODE` in mi/item.h.
    #[must_use]
    pub fn invalid_params(data: impl Into<Cow<'static, str>>) -> Status {
        Status { code: -32602, reason: Cow::Borrowed("Invalid params"), data: Some(data.into()) }
    }
}

/// C: `MI_BAD_PARM`.
pub const BAD_PARAMETER: Status = Status::new(400, "Bad parameter");
/// C: `MI_MISSING_PARM`.
pub const MISSING_PARAMETER: Status = Status::new(400, "Too few or too many arguments");
/// C: `MI_PARSE_ERROR` of the datagram and FIFO transports.
pub const PARSE_ERROR: Status = Status::new(400, "parse error in command");
/// C: `MI_INTERNAL_ERR`.
pub const SERVER_ERROR: Status = Status::new(500, "Server Internal Error");
/// C: `MI_COMMAND_FAILED`: the command returned no tree.
pub const COMMAND_FAILED: Status = Status::new(500, "command failed");
/// C: `MI_COMMAND_NOT_AVAILABLE` of the datagram transport.
pub const COMMAND_NOT_AVAILABLE: Status = Status::new(500, "command not available");
