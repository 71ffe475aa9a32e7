//! The text protocol of mi_datagram and mi_fifo: OpenSIPS 1.x and 2.x.
//!
//! ```text
//! :get_statistics:          the command, between colons, alone on its line
//! core:                     one parameter a line: a value,
//! "two words\nor lines"     a quoted value, in which \" stands for a quote,
//! name::value               or either of them behind a name
//! ```
//!
//! The reply is `CODE REASON`, then one line a node, indented by its depth.

mod decode;
mod encode;

pub use decode::{NotAvailable, ParseError, decode_params, split_command};
pub use encode::{Datagram, Encoder, Output};

/// Largest datagram, request or reply, in bytes. C: `DATAGRAM_SOCK_BUF_SIZE`.
pub const MAX_DATAGRAM_BYTES: usize = 65_457;
