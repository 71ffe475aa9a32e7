//! Fuzz target `text_fifo`: see bodies/text_fifo.rs, which says what must hold.
#![no_main]

#[path = "../bodies/text_fifo.rs"]
mod body;
#[path = "../bodies/json_rpc.rs"]
mod json_rpc;
#[path = "../server.rs"]
mod server;
#[path = "../bodies/text_datagram.rs"]
mod text_datagram;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    body::check(input);
});
