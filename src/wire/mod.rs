//! The wires: from bytes to a request, from a reply to bytes. Pure: no socket, no clock, no command.

pub mod text;
