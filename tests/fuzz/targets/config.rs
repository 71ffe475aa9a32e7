//! Fuzz target `config`: see bodies/config.rs, which says what must hold.
#![no_main]

#[path = "../bodies/config.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    body::check(input);
});
