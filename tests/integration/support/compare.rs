//! Comparison of bytes that shows both sides, between rules, with everything unprintable escaped.

use std::fmt::Write;

const RULE: &str = "----------------------------------------------------------------";

/// Longest text that is shown of one side, in bytes.
const MAX_SHOWN: usize = 2000;

/// Bytes for a reader: one line per line, unprintable bytes escaped, a long text cut with its length.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes[..bytes.len().min(MAX_SHOWN)].split_inclusive(|&byte| byte == b'\n') {
        let _ = writeln!(text, "{}", line.escape_ascii());
    }
    if bytes.len() > MAX_SHOWN {
        let _ = writeln!(text, "… {} bytes in all", bytes.len());
    }
    text
}

/// Fails the test unless both are the same bytes. `what` names the comparison.
#[track_caller]
pub(crate) fn assert_same(what: &str, wanted: &[u8], found: &[u8]) {
    assert!(wanted == found, "{what}\n{RULE} wanted\n{}{RULE} found\n{}{RULE}", shown(wanted), shown(found));
}
