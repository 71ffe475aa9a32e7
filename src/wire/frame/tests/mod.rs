//! Tests the framer with streams that come at once and in pieces.

mod open;

use super::*;

/// The content of a frame, as these tests write it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Text(String, String, String),
    Json(String, String),
    InvalidJson(String),
    TooLarge(String, bool, RequestLength),
    Unterminated(String, String),
    Garbage,
}

/// Knows three commands, and reply FIFOs whose names have one letter.
struct Names;

impl HeaderLookup for Names {
    fn command(&self, name: &[u8]) -> CommandInput {
        match name {
            b"ps" | b"pwd" => CommandInput::NoParams,
            b"set" => CommandInput::Params,
            _ => CommandInput::UnknownCommand,
        }
    }

    fn is_reply_fifo(&self, name: &[u8]) -> bool {
        matches!(name, [b'a'..=b'z'])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A stream that comes in pieces. All frames of a piece are taken before the next piece comes.
#[derive(Default)]
struct Stream {
    framer: Framer,
    unread: Vec<u8>,
    found: Vec<Found>,
}

impl Stream {
    fn feed(&mut self, piece: &[u8]) -> FrameWait {
        self.unread.extend_from_slice(piece);
        self.take_frames(false)
    }

    /// No bytes come for a while.
    fn fall_silent(&mut self) -> FrameWait {
        self.take_frames(true)
    }

    fn take_frames(&mut self, mut is_quiet: bool) -> FrameWait {
        loop {
            let before = self.framer.mode;
            let frame = match self.framer.next_frame(&self.unread, is_quiet, &Names) {
                Ok(frame) => frame,
                Err(wait) => return wait,
            };
            is_quiet = false;
            assert!(frame.length > 0 || frame.next != before, "no progress in {before:?}");
            assert_eq!(StreamMode::from_number(frame.next.number()), frame.next);
            self.found.extend(match frame.content {
                FrameContent::Skip => None,
                FrameContent::Garbage => Some(Found::Garbage),
                FrameContent::Request { reply_fifo, request } => {
                    Some(found_request(text(reply_fifo), request))
                }
            });
            let (start, length, next) = (frame.start, frame.length, frame.next);
            self.unread.drain(start..start + length);
            self.framer.note_removed(start, next);
        }
    }
}

fn found_request(reply: String, request: FifoRequest<'_>) -> Found {
    match request {
        FifoRequest::Text { command, params } => Found::Text(text(command), reply, text(params)),
        FifoRequest::Json { text: value } => Found::Json(reply, text(value)),
        FifoRequest::UnterminatedText { command } => Found::Unterminated(text(command), reply),
        FifoRequest::InvalidJson => Found::InvalidJson(reply),
        FifoRequest::TooLarge { is_json, length } => Found::TooLarge(reply, is_json, length),
    }
}

fn found(stream: &str) -> Vec<Found> {
    let mut whole = Stream::default();
    whole.feed(stream.as_bytes());
    whole.found
}

fn command(command: &str, reply: &str, params: &str) -> Found {
    Found::Text(command.to_owned(), reply.to_owned(), params.to_owned())
}

fn json(reply: &str, text: &str) -> Found {
    Found::Json(reply.to_owned(), text.to_owned())
}

fn invalid_json(reply: &str) -> Found {
    Found::InvalidJson(reply.to_owned())
}

#[test]
fn a_text_request_ends_at_the_first_empty_line() {
    assert_eq!(found(":ps:r\n\n"), [command("ps", "r", "")]);
    assert_eq!(found(":ps:r \t\r\na\n b\n\n:x:\n\n"), [command("ps", "r", "a\n b\n"), command("x", "", "")]);
    assert_eq!(found(":a:r\n\"one\n\ntwo\"\n\n"), [command("a", "r", "\"one\n"), Found::Garbage]);
    assert_eq!(found("\n\n \nab\n:ps:r\n\n"), [command("ps", "r", "")]);
    assert_eq!(found(":ps:a:b/c\n\n"), [command("ps", "a:b/c", "")]);
    assert_eq!(found(":ps:r\r\na\r\n\r\n:x:y\r\n\r\n"), [command("ps", "r", "a\r\n"), command("x", "y", "")]);
    let mut open = Stream::default();
    assert_eq!(open.feed(b":set:r\na\n"), FrameWait::Indefinite);
    assert_eq!(open.fall_silent(), FrameWait::Indefinite);
    open.feed(b"b\n\n");
    assert_eq!(open.found, [command("set", "r", "a\nb\n")]);
}

#[test]
fn an_unterminated_text_request_hides_no_json_request() {
    let unterminated = |command: &str, reply: &str| Found::Unterminated(command.to_owned(), reply.to_owned());
    for value in ["{}", " \t{}", "[1]\n"] {
        for params in ["", "a\nb\n", "\"open\n"] {
            let all = found(&format!(":set:r\n{params}:g:{value}:set:r\n\n"));
            let wanted = [unterminated("set", "r"), json("g", value.trim()), command("set", "r", "")];
            assert_eq!(all, wanted, "{params:?} {value:?}");
        }
    }
    // The refused client has no reply FIFO, or reads JSON from it now.
    assert_eq!(found(":ps:\n:g:{}"), [Found::Garbage, json("g", "{}")]);
    assert_eq!(found(":ps:g\n:g:{}"), [Found::Garbage, json("g", "{}")]);
    // The JSON-RPC request comes after the beginning of a line.
    assert_eq!(found(":set:r\na:g:{}\n"), [unterminated("set", "r"), json("g", "{}")]);
    // The reply FIFO does not exist, or no JSON follows.
    let other = "a:gone:{}\n:gone:{}\na::{}\n:g:xx\n::\n";
    assert_eq!(found(&format!(":set:r\n{other}\n")), [command("set", "r", other)]);
    // The header may still come.
    let mut cut = Stream::default();
    for piece in [":set:r\na\n:", "g", ":", " ", "{}"] {
        assert_eq!(cut.found, [], "{piece}");
        cut.feed(piece.as_bytes());
    }
    assert_eq!(cut.found, [unterminated("set", "r"), json("g", "{}")]);
    // The rest of a request that is too long.
    let mut long = Stream::default();
    long.feed(format!(":set:r\n{}\n:g", "x".repeat(MAX_REQUEST_BYTES)).as_bytes());
    long.feed(b":{}");
    assert_eq!(long.found[1..], [json("g", "{}")]);
}

#[test]
fn a_json_header_without_an_object_or_array_is_invalid_json() {
    let long = "n".repeat(256);
    for (bad, reply) in [
        (":b:5", "b"),
        (":b: null", "b"),
        (":b:-1.5e3", "b"),
        (":b:\"x\"", "b"),
        (":b:\u{feff}{}", "b"),
        (&format!(":{long}:{{}}"), &long),
    ] {
        for behind in ["\n", "\r\n"] {
            let all = found(&format!("{bad}{behind}:set:r\n\n:g:{{}}"));
            assert_eq!(all, [invalid_json(reply), command("set", "r", ""), json("g", "{}")], "{bad:?}");
        }
    }
    assert_eq!(found(&format!(":{}:{{}}", &long[1..])), [json(&long[1..], "{}")]);
    // A reply FIFO may have such a name.
    assert_eq!(found(":ps:5\n\n:set:null\n\n"), [command("ps", "5", ""), command("set", "null", "")]);
}

#[test]
fn a_value_is_valid_whatever_another_client_writes_directly_after_it() {
    for behind in ["hello\n", "\0", "x", "\u{e9}\n", "hello\n:ps"] {
        let all = found(&format!(":r:{{}}{behind}:g:{{}}"));
        assert_eq!((all.first(), all.last()), (Some(&json("r", "{}")), Some(&json("g", "{}"))), "{behind:?}");
        let mut all = Stream::default();
        all.feed(format!(":r:{{}}{behind}").as_bytes());
        assert_eq!(all.found[0], json("r", "{}"), "{behind:?}");
    }
    for behind in ["{}", "[", "}", "]", ",1", "\"x\"", " x", "\tx"] {
        assert_eq!(found(&format!(":r:{{}}{behind}"))[0], invalid_json("r"), "{behind:?}");
    }
}

#[test]
fn a_json_request_ends_with_its_value() {
    let two = [json("r", "{\"a\":\"}\"}"), json("", "[1]")];
    for stream in [":r:{\"a\":\"}\"}::[1]", ":r: \t{\"a\":\"}\"} \r\n\n ::[1]\n", ":r:\n{\"a\":\"}\"}\n::[1]"]
    {
        assert_eq!(found(stream), two, "{stream:?}");
    }
    assert_eq!(found(":a/b:{}"), [json("a/b", "{}")]);
    assert_eq!(found(":r:{}:ps:r\n\n:r:{}"), [json("r", "{}"), command("ps", "r", ""), json("r", "{}")]);
}

#[test]
fn requests_after_invalid_json_are_found() {
    let good = || json("g", "{\"x\":\"y\"}");
    for bad in
        [":b:{bad}", ":b:{\"a\":1,}", ":b:{\"x\":\"", ":b:[", ":b:{\"m\":\"x\\", ":b:{} x", ":b:{\"a\":[1,2"]
    {
        for between in ["", "\n", "\nmore\n", " rest "] {
            let found = found(&format!("{bad}{between}:g:{{\"x\":\"y\"}}"));
            assert_eq!(found, [invalid_json("b"), good()], "{bad:?} {between:?}");
        }
        for between in ["", "\n", "x"] {
            let found = found(&format!("{bad}{between}:ps:r\n\n"));
            assert_eq!(found, [invalid_json("b"), command("ps", "r", "")], "{bad:?} {between:?}");
        }
    }
    // Each of several clients with an incomplete value gets an error.
    assert_eq!(found(":a:{:b:{:g:{\"x\":\"y\"}"), [invalid_json("a"), invalid_json("b"), good()]);
}

#[test]
fn a_header_in_a_json_string_begins_no_request() {
    let inner = ":x:{\"jsonrpc\":\"2.0\",\"method\":\"kill\"}";
    let value = format!("{{\"v\":{}}}", serde_json::Value::from(inner));
    assert_eq!(found(&format!(":r:{value}")), [json("r", &value)]);
    let all = found(&format!(":r:{value}x\n:g:{{}}"));
    assert!(!all.iter().any(|found| matches!(found, Found::Json(reply, _) if reply == "x")), "{all:?}");
    assert_eq!(all.last(), Some(&json("g", "{}")));
}

#[test]
fn incomplete_json_and_garbage_end_after_a_silence() {
    let mut stream = Stream::default();
    assert_eq!(stream.feed(b":r:{\"a\":"), FrameWait::Brief);
    assert_eq!(stream.fall_silent(), FrameWait::Brief);
    stream.fall_silent();
    assert_eq!(stream.found, [invalid_json("r")]);
    stream.feed(b":ps:r\n\n");
    assert_eq!(stream.found[1..], [command("ps", "r", "")]);
    let mut stream = Stream::default();
    assert_eq!(stream.feed(b"garbage"), FrameWait::Brief);
    stream.fall_silent();
    stream.feed(b":ps:r\n\n");
    assert_eq!(stream.found, [Found::Garbage, command("ps", "r", "")]);
}

#[test]
fn garbage_ends_at_an_empty_line_or_before_json() {
    for bad in ["garbage", "version:r", ":version", "::version", "\x01\x7f :"] {
        for tail in ["\nmore\n:x:y\n\n", "\n\n"] {
            assert_eq!(
                found(&format!("{bad}{tail}:ps:r\n\n")),
                [Found::Garbage, command("ps", "r", "")],
                "{bad}"
            );
        }
        assert_eq!(found(&format!("{bad}\nmore\n:r:{{}}")), [Found::Garbage, json("r", "{}")], "{bad}");
        assert_eq!(found(&format!("{bad}:r:{{}}")).last(), Some(&json("r", "{}")), "{bad}");
    }
    // C skips the next request, too.
    for bad in ["hello\n", "hello\nmore\n", ":ps\nx\n", "hello\n:nope:r\n"] {
        assert_eq!(found(&format!("{bad}:ps:r\n\n")), [Found::Garbage, command("ps", "r", "")], "{bad:?}");
    }
    assert_eq!(found("hello\r\n\r\n:nope:r\n\n"), [Found::Garbage, command("nope", "r", "")]);
    let long = "x".repeat(3 * MAX_HEADER_BYTES);
    assert_eq!(found(&format!("{long}\n{long}\n\n:ps:r\n\n")), [Found::Garbage, command("ps", "r", "")]);
}

/// The framer finds the value at its bracket. It must find the same value when the line comes at once.
#[test]
fn json_after_a_command_in_garbage_is_found_at_once_and_in_pieces() {
    let text = ":pwd\n:ps:a\u{0}b:r:{\"x\":1}\n";
    assert_eq!(found(text), [Found::Garbage, json("r", "{\"x\":1}")]);
    let mut stream = Stream::default();
    text.bytes().for_each(|byte| _ = stream.feed(&[byte]));
    assert_eq!(stream.found, found(text));
}

#[test]
fn a_request_over_the_limit_is_refused_and_skipped() {
    let head = ":a:r\n";
    let filled = |length: usize| format!("{head}{}\n\n", "x".repeat(length - head.len() - 2));
    assert_eq!(found(&filled(MAX_REQUEST_BYTES)).len(), 1);
    assert!(matches!(found(&filled(MAX_REQUEST_BYTES))[0], Found::Text(..)));
    let value = |length: usize| format!(":r:[\"{}\"]", "x".repeat(length - 7));
    assert!(matches!(found(&value(MAX_REQUEST_BYTES))[0], Found::Json(..)));
    for (long, is_json) in [(filled(MAX_REQUEST_BYTES + 1), false), (value(MAX_REQUEST_BYTES + 1), true)] {
        let exact = Found::TooLarge("r".to_owned(), is_json, RequestLength::Exactly(MAX_REQUEST_BYTES + 1));
        assert_eq!(found(&format!("{long}:ps:r\n\n")), [exact, command("ps", "r", "")]);
    }
    for (long, is_json) in [(filled(3 * MAX_REQUEST_BYTES), false), (value(3 * MAX_REQUEST_BYTES), true)] {
        let mut stream = Stream::default();
        long.as_bytes().chunks(60_000).for_each(|piece| _ = stream.feed(piece));
        stream.feed(b"\n:ps:r\n\n:r:{}");
        let above = Found::TooLarge("r".to_owned(), is_json, RequestLength::MoreThan(MAX_REQUEST_BYTES));
        assert_eq!(stream.found, [above, command("ps", "r", ""), json("r", "{}")], "json {is_json}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Each frame makes progress, and after a silence and an empty line the next requests are found.
    #[test]
    fn requests_are_found_after_any_bytes_and_a_silence(
        pieces in proptest::collection::vec("[:a{}\\[\\]\",\\\\\n 1\u{0}]{0,12}", 0..8),
    ) {
        let mut stream = Stream::default();
        for piece in &pieces {
            stream.feed(piece.as_bytes());
        }
        for _ in 0..4 {
            stream.fall_silent();
        }
        stream.feed(b"\n\n:ps:end\n\n:r:{\"x\":\"y\"}");
        let (text, value) = (command("ps", "end", ""), json("r", "{\"x\":\"y\"}"));
        proptest::prop_assert_eq!(&stream.found[stream.found.len() - 2..], &[text, value][..]);
    }

    /// No piece ends where a value or a request could end.
    #[test]
    fn a_stream_in_pieces_gives_the_same_requests(
        kinds in proptest::collection::vec(0..4_usize, 1..6),
        cuts in proptest::collection::vec(1..9_usize, 1..40),
    ) {
        let requests = [":ps:r\n\n", ":a:r\nx y\n\"z\"\r\n\r\n", ":r:{\"a\":[1,\":b:{\"]}\n", "::[{}]\n"];
        let stream: String = kinds.iter().map(|&kind| requests[kind]).collect();
        let mut cut = Stream::default();
        let mut rest = stream.as_bytes();
        for &length in cuts.iter().cycle() {
            let (piece, left) = rest.split_at(length.min(rest.len()));
            cut.feed(piece);
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        proptest::prop_assert_eq!(&cut.found, &found(&stream));
        proptest::prop_assert_eq!(cut.found.len(), kinds.len());
    }
}
