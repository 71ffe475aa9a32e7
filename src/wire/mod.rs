//! What requests and replies look like in bytes. Pure: no descriptor, no clock.
//!
//! ```text
//! output.rs   where encoded bytes go: a datagram, a stream
//! text/       the line protocol of OpenSIPS 1.x and 2.x
//! json_rpc/   JSON-RPC 2.0, as OpenSIPS 3.x speaks it
//! ```

pub mod json_rpc;
mod output;
pub mod text;

use crate::mi::Fault;
pub use output::{Datagram, MAX_DATAGRAM_BYTES, Output, Stream};

/// What is answered when a `request` or `reply` of so many bytes does not fit a datagram.
#[must_use]
pub fn too_large(what: &str, length: usize) -> Fault {
    Fault::because(500, format_args!("{what} too large: {length} bytes, limit {MAX_DATAGRAM_BYTES}"))
}
