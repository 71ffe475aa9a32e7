//! What requests and replies look like in bytes. Pure: no descriptor, no clock.
//!
//! ```text
//! output.rs     where encoded bytes go: a datagram, a stream
//! text/         the line protocol of OpenSIPS 1.x and 2.x
//! http.rs       the interface between the HTTP listener and the syntaxes of request bodies
//! json_rpc/     JSON-RPC 2.0, as OpenSIPS 3.x speaks it
//! xml_rpc/      XML-RPC, as mi_xmlrpc of 1.x and mi_xmlrpc_ng of 2.x speak it
//! tree_json/    the JSON of mi_json of 2.x
//! nodes/        the classic tree as nested values, for the two of 2.x
//! json_text.rs  escapes text for JSON strings
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

use std::time::Duration;

use crate::mi::{Context, Progress, Status};
pub use output::{Datagram, MAX_DATAGRAM_BYTES, Output, Stream};

/// Replies of several requests stop for a piece when that has so many bytes: for a client that does not read no more is
/// written than that and one reply.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

/// For how long the requests of a batch may keep a process busy, together. Those that have not begun by then get an
/// error each.
pub const MAX_BATCH_TIME: Duration = Duration::from_secs(1);

/// What is answered to a request of a batch for which there was no time left.
const NO_TIME_LEFT: Status =
    Status::new(503, "Not run, the requests before it in the batch took more than 1 s; send it again");
const _: () = assert!(MAX_BATCH_TIME.as_secs() == 1, "the status says how much is too much");

/// Most requests of a batch. One with more is refused whole: each would cost more than its bytes.
const MAX_BATCH: usize = 1024;

/// What is answered when a `request` or `reply` of so many bytes does not fit a datagram.
#[must_use]
pub fn too_large(what: &str, length: usize) -> Status {
    Status::formatted(500, format_args!("{what} too large: {length} bytes, limit {MAX_DATAGRAM_BYTES}"))
}

/// The rest of a reply that is written in pieces, or of the work behind it.
pub trait PieceWriter<O> {
    /// Writes the next piece, or does the next part of the work; takes about a millisecond. Called when the client has
    /// room for a piece; between two calls other requests are served. `spent` is the time of all calls before this one.
    fn write_piece(&mut self, context: &Context, output: &mut O, spent: Duration) -> Progress;

    /// Whether something went wrong in a piece so far.
    fn is_error(&self) -> bool {
        false
    }

    /// Whether there is more left than a reply: a change to be made or requests to be run, whoever reads the reply.
    fn has_work(&self) -> bool {
        false
    }
}

impl<O> std::fmt::Debug for dyn PieceWriter<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.has_work() { "Pieces and work" } else { "Pieces" })
    }
}
