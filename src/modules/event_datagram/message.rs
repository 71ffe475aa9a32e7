//! An event as its subscribers get it.
//!
//! As text: its name, a line for each parameter, an empty line. As JSON-RPC: a notification whose method is the name.
//!
//! ```text
//! E_UL_AOR_INSERT
//! aor::carol
//!
//! ```
//!
//! C: `datagram_build_params` in event_datagram.c of 1.11; `evi_build_payload` in evi_modules.c of 3.x.

use crate::evi::Event;
use crate::mi::Generation;
use crate::wire::{Output, Stream, json_rpc};

/// Writes an event for subscribers of that generation.
pub(super) fn encode(event: &Event<'_>, generation: Generation, message: &mut Vec<u8>) {
    let mut output = Stream::default();
    match generation {
        Generation::Classic => text(event, &mut output),
        Generation::JsonRpc => {
            let parameters = event.only_json.iter().chain(event.parameters).copied();
            json_rpc::notify(event.name, parameters, &mut output);
        }
    }
    message.extend_from_slice(output.waiting());
}

/// A value that holds a line feed stands between double quotes, and only there quotes have a backslash before them.
fn text(event: &Event<'_>, output: &mut Stream) {
    output.push(event.name.as_bytes());
    output.push(b"\n");
    for (name, value) in event.parameters {
        if !name.is_empty() {
            output.push(name.as_bytes());
            output.push(b"::");
        }
        let text = value.to_bytes();
        if text.contains(&b'\n') {
            output.push(b"\"");
            for part in text.split_inclusive(|&byte| byte == b'"') {
                match part.strip_suffix(b"\"") {
                    Some(before) => [before, b"\\\""].iter().for_each(|bytes| output.push(bytes)),
                    None => output.push(part),
                }
            }
            output.push(b"\"");
        } else {
            output.push(&text);
        }
        output.push(b"\n");
    }
    output.push(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::Value;

    fn written(parameters: &[(&str, &[u8])], generation: Generation) -> String {
        let parameters: Vec<_> = parameters.iter().map(|&(name, value)| (name, value.into())).collect();
        let only_json = &[("number", Value::Signed(-1))];
        let mut message = Vec::new();
        encode(&Event { name: "E_TEST", parameters: &parameters, only_json }, generation, &mut message);
        String::from_utf8(message).unwrap()
    }

    fn encoded(parameters: &[(&str, &[u8])]) -> String {
        written(parameters, Generation::Classic)
    }

    #[test]
    fn who_subscribed_over_json_rpc_gets_a_notification() {
        assert_eq!(
            written(&[("aor", b"a\"\n")], Generation::JsonRpc),
            r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"number":-1,"aor":"a\"\n"}}"#
        );
    }

    #[test]
    fn parameters_are_lines() {
        assert_eq!(encoded(&[]), "E_TEST\n\n");
        assert_eq!(encoded(&[("a", b"1"), ("", b"no name"), ("b", b"")]), "E_TEST\na::1\nno name\nb::\n\n");
    }

    #[test]
    fn only_a_line_feed_makes_quotes() {
        assert_eq!(encoded(&[("aor", b"da\"ve x")]), "E_TEST\naor::da\"ve x\n\n");
        assert_eq!(encoded(&[("a", b"x\ny \"z\" \\")]), "E_TEST\na::\"x\ny \\\"z\\\" \\\"\n\n");
    }
}
