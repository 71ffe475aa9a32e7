//! Checks that need no server: the rules of the house, the documents against the tables, the fuzz seeds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

/// Who may use whom, and where things may stand.
mod architecture;
/// Man page, README, example and scripts against the tables of the program.
mod documents;
/// The recorded replies over HTTP, answered without a server.
mod golden_http;
/// Which file uses which, and circles among them.
mod imports;
/// What calls of the log say.
mod log_calls;
/// The lines of a manual page, a table, a script.
mod reading;
/// Settings and modules of all releases of OpenSIPS, accepted.
mod releases;
/// Every fuzz seed, replayed.
mod seeds;
/// The code of a source file, as words.
mod source;
/// Replies of XML-RPC, read strictly.
#[path = "../fuzz/xml_reply.rs"]
mod xml_reply;
