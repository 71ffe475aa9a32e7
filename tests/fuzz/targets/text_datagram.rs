//! Fuzz target `text_datagram`: see bodies/text_datagram.rs, which says what must hold.
#![no_main]

#[path = "../bodies/text_datagram.rs"]
mod body;
#[path = "../server.rs"]
mod server;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    body::check(input);
});
