//! Streams taken apart, whole and in any pieces.

mod open;

use super::*;

/// A request as these tests write it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Text(String, String, String),
    Json(String, String),
    Broken(String),
    TooLarge(String, bool, Length),
    Unfinished(String, String),
    Garbage,
}

/// Some commands, and reply FIFOs whose names have one letter.
struct Names;

impl Lookup for Names {
    fn command(&self, name: &[u8]) -> Known {
        match name {
            b"ps" | b"pwd" => Known::WithoutInput,
            b"set" => Known::WithInput,
            _ => Known::Absent,
        }
    }

    fn is_reply_fifo(&self, name: &[u8]) -> bool {
        matches!(name, [b'a'..=b'z'])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A stream that comes in pieces, each of them after the one before was used as far as possible.
#[derive(Default)]
struct Stream {
    framer: Framer,
    unread: Vec<u8>,
    found: Vec<Found>,
}

impl Stream {
    fn feed(&mut self, piece: &[u8]) -> Wait {
        self.unread.extend_from_slice(piece);
        self.go_on(false)
    }

    /// Nothing more comes for a while.
    fn quiet(&mut self) -> Wait {
        self.go_on(true)
    }

    fn go_on(&mut self, mut is_quiet: bool) -> Wait {
        loop {
            let before = self.framer.mode;
            let frame = match self.framer.next(&self.unread, is_quiet, &Names) {
                Ok(frame) => frame,
                Err(wait) => return wait,
            };
            is_quiet = false;
            assert!(frame.length > 0 || frame.next != before, "no progress in {before:?}");
            assert_eq!(Mode::of(frame.next.number()), frame.next);
            self.found.extend(match frame.what {
                What::Nothing => None,
                What::Garbage => Some(Found::Garbage),
                What::Text(Text { command, reply, params }) => {
                    Some(Found::Text(text(command), text(reply), text(params)))
                }
                What::Json { reply, text: value } => Some(Found::Json(text(reply), text(value))),
                What::Unfinished { command, reply } => Some(Found::Unfinished(text(command), text(reply))),
                What::Broken { reply } => Some(Found::Broken(text(reply))),
                What::TooLarge { reply, is_json, length } => {
                    Some(Found::TooLarge(text(reply), is_json, length))
                }
            });
            let (start, length, next) = (frame.start, frame.length, frame.next);
            self.unread.drain(start..start + length);
            self.framer.taken(start, next);
        }
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

fn broken(reply: &str) -> Found {
    Found::Broken(reply.to_owned())
}

#[test]
fn text_ends_at_the_first_empty_line() {
    assert_eq!(found(":ps:r\n\n"), [command("ps", "r", "")]);
    assert_eq!(found(":ps:r \t\r\na\n b\n\n:x:\n\n"), [command("ps", "r", "a\n b\n"), command("x", "", "")]);
    assert_eq!(found(":a:r\n\"one\n\ntwo\"\n\n"), [command("a", "r", "\"one\n"), Found::Garbage]);
    assert_eq!(found("\n\n \nab\n:ps:r\n\n"), [command("ps", "r", "")]);
    assert_eq!(found(":ps:a:b/c\n\n"), [command("ps", "a:b/c", "")]);
    assert_eq!(found(":ps:r\r\na\r\n\r\n:x:y\r\n\r\n"), [command("ps", "r", "a\r\n"), command("x", "y", "")]);
    let mut open = Stream::default();
    assert_eq!(open.feed(b":set:r\na\n"), Wait::Patiently);
    assert_eq!(open.quiet(), Wait::Patiently);
    open.feed(b"b\n\n");
    assert_eq!(open.found, [command("set", "r", "a\nb\n")]);
}

#[test]
fn an_unfinished_text_request_hides_no_json() {
    let unfinished = |command: &str, reply: &str| Found::Unfinished(command.to_owned(), reply.to_owned());
    for value in ["{}", " \t{}", "[1]\n"] {
        for params in ["", "a\nb\n", "\"open\n"] {
            let all = found(&format!(":set:r\n{params}:g:{value}:set:r\n\n"));
            let wanted = [unfinished("set", "r"), json("g", value.trim()), command("set", "r", "")];
            assert_eq!(all, wanted, "{params:?} {value:?}");
        }
    }
    // Nobody is to be told, or a client that reads JSON now.
    assert_eq!(found(":ps:\n:g:{}"), [Found::Garbage, json("g", "{}")]);
    assert_eq!(found(":ps:g\n:g:{}"), [Found::Garbage, json("g", "{}")]);
    // Behind a line that was not written to its end.
    assert_eq!(found(":set:r\na:g:{}\n"), [unfinished("set", "r"), json("g", "{}")]);
    // Nobody waits for a reply, or no JSON.
    let other = "a:gone:{}\n:gone:{}\na::{}\n:g:xx\n::\n";
    assert_eq!(found(&format!(":set:r\n{other}\n")), [command("set", "r", other)]);
    // As long as it may be one.
    let mut cut = Stream::default();
    for piece in [":set:r\na\n:", "g", ":", " ", "{}"] {
        assert_eq!(cut.found, [], "{piece}");
        cut.feed(piece.as_bytes());
    }
    assert_eq!(cut.found, [unfinished("set", "r"), json("g", "{}")]);
    // The rest of one that is too long.
    let mut long = Stream::default();
    long.feed(format!(":set:r\n{}\n:g", "x".repeat(MAX_REQUEST_BYTES)).as_bytes());
    long.feed(b":{}");
    assert_eq!(long.found[1..], [json("g", "{}")]);
}

#[test]
fn what_is_meant_for_json_is_not_text() {
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
            assert_eq!(all, [broken(reply), command("set", "r", ""), json("g", "{}")], "{bad:?}");
        }
    }
    assert_eq!(found(&format!(":{}:{{}}", &long[1..])), [json(&long[1..], "{}")]);
    // Files may have such names.
    assert_eq!(found(":ps:5\n\n:set:null\n\n"), [command("ps", "5", ""), command("set", "null", "")]);
}

#[test]
fn a_good_value_is_not_spoilt_by_what_others_write_behind_it() {
    for behind in ["hello\n", "\0", "x", "\u{e9}\n", "hello\n:ps"] {
        let all = found(&format!(":r:{{}}{behind}:g:{{}}"));
        assert_eq!((all.first(), all.last()), (Some(&json("r", "{}")), Some(&json("g", "{}"))), "{behind:?}");
        let mut all = Stream::default();
        all.feed(format!(":r:{{}}{behind}").as_bytes());
        assert_eq!(all.found[0], json("r", "{}"), "{behind:?}");
    }
    for behind in ["{}", "[", "}", "]", ",1", "\"x\"", " x", "\tx"] {
        assert_eq!(found(&format!(":r:{{}}{behind}"))[0], broken("r"), "{behind:?}");
    }
}

#[test]
fn json_ends_with_its_value() {
    let two = [json("r", "{\"a\":\"}\"}"), json("", "[1]")];
    for stream in [":r:{\"a\":\"}\"}::[1]", ":r: \t{\"a\":\"}\"} \r\n\n ::[1]\n", ":r:\n{\"a\":\"}\"}\n::[1]"]
    {
        assert_eq!(found(stream), two, "{stream:?}");
    }
    assert_eq!(found(":a/b:{}"), [json("a/b", "{}")]);
    assert_eq!(found(":r:{}:ps:r\n\n:r:{}"), [json("r", "{}"), command("ps", "r", ""), json("r", "{}")]);
}

#[test]
fn broken_json_does_not_hide_what_stands_behind_it() {
    let good = || json("g", "{\"x\":\"y\"}");
    for bad in
        [":b:{bad}", ":b:{\"a\":1,}", ":b:{\"x\":\"", ":b:[", ":b:{\"m\":\"x\\", ":b:{} x", ":b:{\"a\":[1,2"]
    {
        for between in ["", "\n", "\nmore\n", " rest "] {
            let found = found(&format!("{bad}{between}:g:{{\"x\":\"y\"}}"));
            assert_eq!(found, [broken("b"), good()], "{bad:?} {between:?}");
        }
        for between in ["", "\n", "x"] {
            let found = found(&format!("{bad}{between}:ps:r\n\n"));
            assert_eq!(found, [broken("b"), command("ps", "r", "")], "{bad:?} {between:?}");
        }
    }
    // Each of several clients that broke off at once is told.
    assert_eq!(found(":a:{:b:{:g:{\"x\":\"y\"}"), [broken("a"), broken("b"), good()]);
}

#[test]
fn a_string_is_no_place_for_a_request() {
    let inner = ":x:{\"jsonrpc\":\"2.0\",\"method\":\"kill\"}";
    let value = format!("{{\"v\":{}}}", serde_json::Value::from(inner));
    assert_eq!(found(&format!(":r:{value}")), [json("r", &value)]);
    let all = found(&format!(":r:{value}x\n:g:{{}}"));
    assert!(!all.iter().any(|found| matches!(found, Found::Json(reply, _) if reply == "x")), "{all:?}");
    assert_eq!(all.last(), Some(&json("g", "{}")));
}

#[test]
fn what_is_missing_is_not_waited_for() {
    let mut stream = Stream::default();
    assert_eq!(stream.feed(b":r:{\"a\":"), Wait::Briefly);
    assert_eq!(stream.quiet(), Wait::Briefly);
    stream.quiet();
    assert_eq!(stream.found, [broken("r")]);
    stream.feed(b":ps:r\n\n");
    assert_eq!(stream.found[1..], [command("ps", "r", "")]);
    let mut stream = Stream::default();
    assert_eq!(stream.feed(b"garbage"), Wait::Briefly);
    stream.quiet();
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
    // C takes the next request with it.
    for bad in ["hello\n", "hello\nmore\n", ":ps\nx\n", "hello\n:nope:r\n"] {
        assert_eq!(found(&format!("{bad}:ps:r\n\n")), [Found::Garbage, command("ps", "r", "")], "{bad:?}");
    }
    assert_eq!(found("hello\r\n\r\n:nope:r\n\n"), [Found::Garbage, command("nope", "r", "")]);
    let long = "x".repeat(3 * MAX_HEADER_BYTES);
    assert_eq!(found(&format!("{long}\n{long}\n\n:ps:r\n\n")), [Found::Garbage, command("ps", "r", "")]);
}

/// It is found as soon as its bracket has come, and the same must come of the line as a whole.
#[test]
fn json_behind_a_command_in_garbage_is_the_same_in_pieces() {
    let text = ":pwd\n:ps:a\u{0}b:r:{\"x\":1}\n";
    assert_eq!(found(text), [Found::Garbage, json("r", "{\"x\":1}")]);
    let mut stream = Stream::default();
    text.bytes().for_each(|byte| _ = stream.feed(&[byte]));
    assert_eq!(stream.found, found(text));
}

#[test]
fn requests_have_a_limit_and_a_longer_one_is_passed_over() {
    let head = ":a:r\n";
    let filled = |length: usize| format!("{head}{}\n\n", "x".repeat(length - head.len() - 2));
    assert_eq!(found(&filled(MAX_REQUEST_BYTES)).len(), 1);
    assert!(matches!(found(&filled(MAX_REQUEST_BYTES))[0], Found::Text(..)));
    let value = |length: usize| format!(":r:[\"{}\"]", "x".repeat(length - 7));
    assert!(matches!(found(&value(MAX_REQUEST_BYTES))[0], Found::Json(..)));
    for (long, is_json) in [(filled(MAX_REQUEST_BYTES + 1), false), (value(MAX_REQUEST_BYTES + 1), true)] {
        let exact = Found::TooLarge("r".to_owned(), is_json, Length::Exactly(MAX_REQUEST_BYTES + 1));
        assert_eq!(found(&format!("{long}:ps:r\n\n")), [exact, command("ps", "r", "")]);
    }
    for (long, is_json) in [(filled(3 * MAX_REQUEST_BYTES), false), (value(3 * MAX_REQUEST_BYTES), true)] {
        let mut stream = Stream::default();
        long.as_bytes().chunks(60_000).for_each(|piece| _ = stream.feed(piece));
        stream.feed(b"\n:ps:r\n\n:r:{}");
        let above = Found::TooLarge("r".to_owned(), is_json, Length::MoreThan(MAX_REQUEST_BYTES));
        assert_eq!(stream.found, [above, command("ps", "r", ""), json("r", "{}")], "json {is_json}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Whatever comes, each step makes progress, little is held back for ever, and a silence and an empty line
    /// bring the stream in step.
    #[test]
    fn any_stream_comes_in_step(
        pieces in proptest::collection::vec("[:a{}\\[\\]\",\\\\\n 1\u{0}]{0,12}", 0..8),
    ) {
        let mut stream = Stream::default();
        for piece in &pieces {
            stream.feed(piece.as_bytes());
        }
        for _ in 0..4 {
            stream.quiet();
        }
        stream.feed(b"\n\n:ps:end\n\n:r:{\"x\":\"y\"}");
        let (text, value) = (command("ps", "end", ""), json("r", "{\"x\":\"y\"}"));
        proptest::prop_assert_eq!(&stream.found[stream.found.len() - 2..], &[text, value][..]);
    }

    /// Good requests are found however the stream is cut, unless a cut is where a client might have ended.
    #[test]
    fn pieces_make_no_difference(
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
