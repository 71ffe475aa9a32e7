//! Encodes an event.
//!
//! The text form has the name, a line for each parameter, and an empty line. The JSON-RPC form is a
//! notification whose method is the name.
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

/// Writes an event in the form for subscribers of `generation`.
pub(super) fn encode(event: &Event<'_>, generation: Generation, message: &mut Vec<u8>) {
    let mut output = Stream::default();
    match generation {
        Generation::Classic => text(event, &mut output),
        Generation::JsonRpc => {
            let parameters = event.json_rpc_only.iter().chain(event.parameters).copied();
            json_rpc::notify(event.name, parameters, &mut output);
        }
    }
    message.extend_from_slice(output.waiting());
}

/// Writes the text form. A value with a line feed is quoted, and only in quoted values a backslash escapes
/// quotes.
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
        let json_rpc_only = &[("number", Value::Signed(-1))];
        let mut message = Vec::new();
        encode(&Event { name: "E_TEST", parameters: &parameters, json_rpc_only }, generation, &mut message);
        String::from_utf8(message).unwrap()
    }

    fn encoded(parameters: &[(&str, &[u8])]) -> String {
        written(parameters, Generation::Classic)
    }

    #[test]
    fn the_json_rpc_form_is_a_notification() {
        assert_eq!(
            written(&[("aor", b"a\"\n")], Generation::JsonRpc),
            r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"number":-1,"aor":"a\"\n"}}"#
        );
    }

    #[test]
    fn the_text_form_has_a_line_for_each_parameter() {
        assert_eq!(encoded(&[]), "E_TEST\n\n");
        assert_eq!(encoded(&[("a", b"1"), ("", b"no name"), ("b", b"")]), "E_TEST\na::1\nno name\nb::\n\n");
    }

    #[test]
    fn only_a_value_with_a_line_feed_is_quoted() {
        assert_eq!(encoded(&[("aor", b"da\"ve x")]), "E_TEST\naor::da\"ve x\n\n");
        assert_eq!(encoded(&[("a", b"x\ny \"z\" \\")]), "E_TEST\na::\"x\ny \\\"z\\\" \\\"\n\n");
    }
}
