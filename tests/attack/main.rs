//! Attacks on a running server. They take minutes, so they are not part of the ordinary tests.
//!
//! `cargo test --test attack` runs all of them, `cargo test --test attack -- NAME --nocapture` one, with its figures.
//! Each file is one attack. The servers and clients are those of `tests/integration/support`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "an attack prints its figures")]

#[expect(dead_code, unused_imports, reason = "the integration tests use the rest")]
#[path = "../integration/support/mod.rs"]
mod support;

/// Writers into the FIFO that never end what they begin.
mod fifo_unfinished;
/// A client that sends requests as fast as it can.
mod flood;
/// Connections over HTTP whose requests do not end.
mod http_heads;
/// Memory control groups, for servers that are to do with little memory.
mod memory_group;
/// Small requests that are expensive.
mod small_requests;
/// Workers that do not go on.
mod stuck;
/// Thousands of clients that read no reply.
mod unread;
