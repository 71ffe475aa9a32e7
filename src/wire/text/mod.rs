//! Answers requests of the text protocol, as OpenSIPS 1.x and 2.x do on datagrams and FIFOs.
//!
//! ```text
//! decode.rs   splits and decodes a request
//! encode.rs   encodes a reply
//! answer.rs   runs a request and writes its reply
//! ```
//!
//! ```text
//! :get_statistics:          the command between colons, alone on its line
//! core:                     one parameter a line: a value,
//! "two words\nor lines"     a quoted value, in which \" stands for a quote,
//! name::value               or one of them behind a name
//! ```
//!
//! The reply is `CODE REASON`, then one line for each node, indented by its depth.

mod answer;
mod decode;
mod encode;

pub use answer::{TextAnswerer, TextFraming, TextOutcome, UnfinishedText, may_be_deferred};
pub use decode::{InvalidTextParams, NoCommandLine, decode_params, split_command};
pub use encode::{TextEncoder, TextReplyState};
