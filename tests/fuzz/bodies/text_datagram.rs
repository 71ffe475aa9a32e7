//! What must hold for any datagram: its decoding, what it decodes to written again, and its one answer.
//!
//! The answer is that of the text answerer, with the server's command table: no socket, no process.

use std::collections::BTreeSet;
use std::time::Duration;

use opensips_mi::mi::{COMMAND_NOT_AVAILABLE, Caller, Context, Generation, Params, Progress};
use opensips_mi::wire::text::{TextAnswerer, TextFraming, decode_params, split_command};
use opensips_mi::wire::{Datagram, MAX_DATAGRAM_BYTES, PieceWriter};

/// A decoded parameter: its name, empty for none, and its value.
type Pair = (Vec<u8>, Vec<u8>);

use super::server::SERVER;

/// Checks one input. True when its answer is a success.
pub(crate) fn check(input: &[u8]) -> bool {
    let split = split_command(input);
    match split {
        Ok((name, rest)) => {
            assert_eq!([b":", name, b":\n", rest].concat(), input, "the parts are not the whole");
            assert!(!name.contains(&b':') && !name.contains(&0));
            check_params(rest);
        }
        // Without a first line, the whole is as good as any text of parameters.
        Err(_) => check_params(input),
    }
    SERVER.with(|server| check_answer(server, input))
}

/// Decoding never panics, errors lie inside, and what was decoded survives being written and read.
fn check_params(text: &[u8]) {
    let first = decode(text, &mut Params::new());
    let mut used = Params::new();
    used.push(b"left", b"over");
    assert_eq!(decode(text, &mut used), first, "an earlier request shows through");
    if let Some(pairs) = first {
        let written = write(&pairs);
        let read = decode(&written, &mut used);
        assert_eq!(read.as_ref(), Some(&pairs), "written as {}", written.escape_ascii());
    }
}

fn decode(text: &[u8], params: &mut Params) -> Option<Vec<Pair>> {
    match decode_params(text, params) {
        Ok(()) => Some(params.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()),
        Err(error) => {
            assert!(error.at <= text.len() && !error.reason.is_empty());
            None
        }
    }
}

/// The canonical text of parameters: one a line, quoted where the grammar can quote the value.
///
/// A backslash before the closing quote would escape it, so a value that ends in one stands bare behind a name,
/// even an empty one, where nothing but the end of the line ends it.
fn write(pairs: &[Pair]) -> Vec<u8> {
    // The first byte must not be a NUL that begins a name: that would be the end of all parameters.
    let mut text = b"\n".to_vec();
    for (name, value) in pairs {
        let bare = value.ends_with(b"\\");
        if bare || !name.is_empty() {
            // A space, since a name may end in a colon.
            text.extend([name, &b" ::"[..]].concat());
        }
        if bare {
            text.extend(value);
        } else {
            let escaped =
                value.iter().flat_map(|&byte| if byte == b'"' { vec![b'\\', byte] } else { vec![byte] });
            text.push(b'"');
            text.extend(escaped);
            text.push(b'"');
        }
        text.push(b'\n');
    }
    text
}

/// The answer is one reply in the grammar, and the error that the request deserves. True for a success.
fn check_answer(server: &Context, request: &[u8]) -> bool {
    let mut reply = Datagram::new();
    let wanted = answer(server, request, &mut reply);
    let Ok(bytes) = reply.bytes() else { return false };
    let code = check_reply(bytes);
    if let Some(wanted) = wanted {
        assert_eq!(bytes, wanted, "{}", bytes.escape_ascii());
    }
    code == 200
}

/// Writes the answer; returns the bytes that it has to be, where those are the same for any server.
fn answer(server: &Context, request: &[u8], reply: &mut Datagram) -> Option<&'static [u8]> {
    let mut answerer = TextAnswerer::new(b"\t", TextFraming::Datagram);
    let Ok((command, params)) = split_command(request) else {
        answerer.write_error(&COMMAND_NOT_AVAILABLE, reply);
        return Some(b"500 command not available\n");
    };
    let outcome = answerer.answer(server, command, params, Caller::new("test", &""), reply);
    if let Some(mut unfinished) = outcome.unfinished {
        while unfinished.write_piece(server, reply, Duration::ZERO) == Progress::More {}
    }
    if server.commands.find(command, Generation::Classic).is_none() {
        return Some(b"500 command not available\n");
    }
    let is_parsed = decode_params(params, &mut Params::new()).is_ok();
    match reply.bytes() {
        Ok(bytes) if bytes.starts_with(b"400 parse") => {
            assert!(outcome.is_error && !is_parsed);
            Some(b"400 parse error in command\n")
        }
        _ => None,
    }
}

/// `CODE REASON`, then a line a node, each at most one level deeper than the one before. Returns the code.
fn check_reply(reply: &[u8]) -> u16 {
    let shown = reply.escape_ascii();
    assert!(reply.len() <= MAX_DATAGRAM_BYTES);
    let Some(text) = reply.strip_suffix(b"\n") else { panic!("the last line has no end: {shown}") };
    let mut lines = text.split(|&byte| byte == b'\n');
    let status = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let code: Option<u16> = status.get(..3).and_then(|code| code.parse().ok());
    let (Some(code), Some(reason)) = (code, status.get(3..)) else { panic!("no status: {shown}") };
    assert!((200..700).contains(&code) && reason.len() > 1 && reason.starts_with(' '), "no status: {shown}");
    let mut depth = 0;
    let mut nodes = 0;
    for line in lines {
        let tabs = line.iter().take_while(|&&byte| byte == b'\t').count();
        assert!(tabs <= depth, "a node without a parent: {shown}");
        check_node(&line[tabs..], &shown.to_string());
        depth = tabs + 1;
        nodes += 1;
    }
    assert!(code == 200 || nodes == 0, "an error with nodes: {shown}");
    code
}

/// A node is a name, a value, or attributes of different names. The values of these commands hold no `=` behind a
/// blank, so an attribute is told by it.
fn check_node(node: &[u8], reply: &str) {
    assert!(!node.is_empty(), "an empty line: {reply}");
    let text = String::from_utf8_lossy(node);
    let (name, value) = text.split_once(":: ").unwrap_or(("", &text));
    assert!(!name.contains('='), "an attribute before the value: {reply}");
    assert!(!value.is_empty(), "a name without a value or an attribute: {reply}");
    let names: Vec<&str> =
        value.split(' ').filter_map(|word| word.split_once('=')).map(|(name, _)| name).collect();
    let different: BTreeSet<&&str> = names.iter().collect();
    assert!(different.len() == names.len() && !different.contains(&""), "an attribute twice: {reply}");
}
