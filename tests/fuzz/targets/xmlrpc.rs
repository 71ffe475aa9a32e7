//! Fuzz target `xmlrpc`: see bodies/xmlrpc.rs, which says what must hold.
#![no_main]

#[path = "../bodies/xmlrpc.rs"]
mod body;
#[path = "../server.rs"]
mod server;
#[path = "../xml_reply.rs"]
mod xml_reply;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    body::check(input);
});
