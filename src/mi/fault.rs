//! What a command answers when it does not answer `200 OK`.

use std::borrow::Cow;

/// A code and a reason, as they stand in the reply's first line. The texts are part of the protocol: byte for
/// byte those of C, never reworded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// E.g. 400, 404, 500.
    pub code: u16,
    /// One line.
    pub reason: Cow<'static, str>,
}

impl Fault {
    /// A fault with a fixed reason.
    #[must_use]
    pub const fn new(code: u16, reason: &'static str) -> Fault {
        Fault { code, reason: Cow::Borrowed(reason) }
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
