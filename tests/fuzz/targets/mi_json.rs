//! Fuzz target `mi_json`: see bodies/mi_json.rs, which says what must hold.
#![no_main]

#[path = "../bodies/mi_json.rs"]
mod body;
#[path = "../server.rs"]
mod server;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    body::check(input);
});
