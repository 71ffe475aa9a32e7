//! Fuzz target `json_rpc`: see bodies/json_rpc.rs, which says what must hold.
#![no_main]

#[path = "../bodies/json_rpc.rs"]
mod body;
#[path = "../server.rs"]
mod server;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    body::check(input);
});
