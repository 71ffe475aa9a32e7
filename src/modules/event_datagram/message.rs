//! An event as text: its name, a line for each parameter, an empty line.
//!
//! ```text
//! E_UL_AOR_INSERT
//! aor::carol
//!
//! ```
//!
//! C: `datagram_build_params` in event_datagram.c.

/// Writes an event. A value that holds a line feed stands between double quotes, and only there quotes have a
/// backslash before them.
pub(super) fn encode(event: &str, parameters: &[(&str, &[u8])], message: &mut Vec<u8>) {
    message.extend_from_slice(event.as_bytes());
    message.push(b'\n');
    for (name, value) in parameters {
        if !name.is_empty() {
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(b"::");
        }
        if value.contains(&b'\n') {
            message.push(b'"');
            for &byte in *value {
                if byte == b'"' {
                    message.push(b'\\');
                }
                message.push(byte);
            }
            message.push(b'"');
        } else {
            message.extend_from_slice(value);
        }
        message.push(b'\n');
    }
    message.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(parameters: &[(&str, &[u8])]) -> String {
        let mut message = Vec::new();
        encode("E_TEST", parameters, &mut message);
        String::from_utf8(message).unwrap()
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
