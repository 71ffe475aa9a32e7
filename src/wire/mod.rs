//! What requests and replies look like in bytes. Pure: no descriptor, no clock.
//!
//! ```text
//! output.rs     where encoded bytes go: a datagram, a stream
//! text/         the line protocol of OpenSIPS 1.x and 2.x
//! http.rs       what a listener for HTTP and the syntax of a body have to do with one another
//! json_rpc/     JSON-RPC 2.0, as OpenSIPS 3.x speaks it
//! xml_rpc/      XML-RPC, as mi_xmlrpc of 1.x and mi_xmlrpc_ng of 2.x speak it
//! tree_json/    the JSON of mi_json of 2.x
//! nodes/        the classic tree as nested values, for the two of 2.x
//! json_text.rs  text in strings of JSON
//! plain.rs      whether text stands for itself
//! frame/        where a request over a FIFO ends, and the next one begins
//! ```

pub mod frame;
pub mod http;
pub mod json_rpc;
mod json_text;
mod nodes;
mod output;
mod plain;
pub mod text;
pub mod tree_json;
pub mod xml_rpc;

use crate::mi::{Context, Fault, Progress};
pub use output::{Datagram, MAX_DATAGRAM_BYTES, Output, Stream};

/// Replies of several requests stop for a piece when that has so many bytes: for a client that does not read no more is
/// written than that and one reply.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

/// Most requests of a batch. One with more is refused whole: each would cost more than its bytes.
const MAX_BATCH: usize = 1024;

/// What is answered when a `request` or `reply` of so many bytes does not fit a datagram.
#[must_use]
pub fn too_large(what: &str, length: usize) -> Fault {
    Fault::because(500, format_args!("{what} too large: {length} bytes, limit {MAX_DATAGRAM_BYTES}"))
}

/// The rest of a reply that is written in pieces.
pub trait Pieces {
    /// Writes the next piece. Called when the client has room for it; between two calls other requests are served.
    fn go_on(&mut self, context: &Context, output: &mut Stream) -> Progress;

    /// Whether something went wrong in a piece so far.
    fn is_error(&self) -> bool {
        false
    }

    /// Whether it is more than a reply: requests that are to run yet, of which it holds the text.
    fn has_requests(&self) -> bool {
        false
    }
}

impl std::fmt::Debug for dyn Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.has_requests() { "Pieces and requests" } else { "Pieces" })
    }
}
