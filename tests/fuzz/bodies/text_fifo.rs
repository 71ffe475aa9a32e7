//! What must hold for any stream of requests over a FIFO: how it is taken apart, and what each request is answered.
//!
//! The answers are those of the same requests on datagrams, which have the same decoders and encoders; what `mi_fifo`
//! adds to them is an empty line.

use std::hash::{DefaultHasher, Hash, Hasher};

use opensips_mi::wire::frame::{CommandInput, FifoRequest, FrameContent, Framer, HeaderLookup, StreamMode};

use super::{json_rpc, text_datagram};

/// A good request of each kind, behind what ends any other.
const BEHIND: &[u8] = b"\n\n:ps:end\n\n:end:{\"x\":\"y\"}\n";

/// What was found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Text {
        command: Vec<u8>,
        reply: Vec<u8>,
        params: Vec<u8>,
    },
    Json {
        reply: Vec<u8>,
        text: Vec<u8>,
    },
    /// A request that is told that it is none, or too long.
    Refused {
        reply: Vec<u8>,
    },
    Garbage,
}

/// Checks one input. True when it holds requests and nothing else, and each is answered with a success.
pub(crate) fn check(input: &[u8]) -> bool {
    let mut whole = Stream::default();
    whole.feed(input);
    check_pieces(input, &whole.found);
    let before = whole.clone_found();
    whole.fall_silent();
    whole.feed(BEHIND);
    let wanted = [
        Found::Text { command: b"ps".to_vec(), reply: b"end".to_vec(), params: Vec::new() },
        Found::Json { reply: b"end".to_vec(), text: b"{\"x\":\"y\"}".to_vec() },
    ];
    // A request that is still open is refused when JSON comes.
    let good = |found: &&Found| matches!(found, Found::Text { .. } | Found::Json { .. });
    let behind: Vec<&Found> = whole.found.iter().filter(good).collect();
    assert!(behind.ends_with(&wanted.each_ref()), "what stands behind is lost: {:?}", whole.found);
    assert_eq!(whole.found[..before.len()], before);
    !before.is_empty() && before.iter().filter(|found| !is_answered_well(found)).count() == 0
}

/// A stream that comes in pieces gives the same, unless a cut is where a client might have ended: behind a value, or
/// among the blanks in front of a request.
fn check_pieces(input: &[u8], wanted: &[Found]) {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let mut random = hasher.finish() | 1;
    for most in [2, 9, 100] {
        let mut cut = Stream::default();
        let mut rest = input;
        while !rest.is_empty() {
            // xorshift64: any cuts will do, and the same each time.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let least = 1 + usize::try_from(random % most).unwrap_or_default();
            let may_end = |&end: &usize| !b" \t\x0c\r}]".contains(&rest[end - 1]);
            let end = (least..rest.len()).find(may_end).unwrap_or(rest.len());
            cut.feed(&rest[..end]);
            rest = &rest[end..];
        }
        assert_eq!(cut.found, wanted, "in pieces of up to {most} bytes");
    }
}

/// The rules for one request. True when its answer is a success.
fn is_answered_well(found: &Found) -> bool {
    match found {
        Found::Text { command, reply, params } => {
            assert!(!command.is_empty() && !command.contains(&b':') && !command.contains(&b'\n'));
            assert!(!reply.contains(&b'\n'));
            assert!(params.is_empty() || params.ends_with(b"\n"));
            text_datagram::check(&[b":", &command[..], b":\n", params].concat())
        }
        Found::Json { reply, text } => {
            assert!(!reply.contains(&b':'));
            assert!(
                serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok() || has_no_text(text)
            );
            json_rpc::check(text)
        }
        Found::Refused { .. } | Found::Garbage => false,
    }
}

/// What the framer takes for JSON by its syntax, and is none for other reasons: its strings are not UTF-8, or it is
/// deeper than a decoder goes.
fn has_no_text(value: &[u8]) -> bool {
    /// Depth to which serde_json reads.
    const MAX_DEPTH: usize = 127;
    let opened = value.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    std::str::from_utf8(value).is_err() || opened > MAX_DEPTH
}

/// Some of the commands that there are, and reply FIFOs with names of one letter and of the request behind all.
struct Names;

impl HeaderLookup for Names {
    fn command(&self, name: &[u8]) -> CommandInput {
        match name {
            b"ps" | b"pwd" | b"version" => CommandInput::NoParams,
            b"debug" | b"get_statistics" | b"cache_store" => CommandInput::Params,
            _ => CommandInput::UnknownCommand,
        }
    }

    fn is_reply_fifo(&self, name: &[u8]) -> bool {
        matches!(name, [b'a'..=b'z'] | b"end")
    }
}

/// A stream on its way through the framer.
#[derive(Default)]
struct Stream {
    framer: Framer,
    mode: StreamMode,
    unread: Vec<u8>,
    found: Vec<Found>,
}

impl Stream {
    /// More comes.
    fn feed(&mut self, piece: &[u8]) {
        self.unread.extend_from_slice(piece);
        while self.step(false) {}
    }

    /// Nothing comes for so long that nothing is waited for any more but the end of a text request.
    fn fall_silent(&mut self) {
        while self.step(true) {}
    }

    fn clone_found(&self) -> Vec<Found> {
        self.found.clone()
    }

    /// Takes a frame, if there is one.
    fn step(&mut self, is_quiet: bool) -> bool {
        let Ok(frame) = self.framer.next_frame(&self.unread, is_quiet, &Names) else { return false };
        assert!(frame.length > 0 || frame.next != self.mode, "no step forward");
        assert!(frame.start + frame.length <= self.unread.len());
        assert!(
            frame.start == 0
                || frame.length > 0 && self.mode == StreamMode::NewRequest && frame.next == self.mode
        );
        assert_eq!(
            StreamMode::from_number(frame.next.number()),
            frame.next,
            "a successor goes on in another mode"
        );
        self.found.extend(match frame.content {
            FrameContent::Skip => None,
            FrameContent::Garbage => Some(Found::Garbage),
            FrameContent::Request { reply_fifo, request } => {
                let reply = reply_fifo.to_vec();
                Some(match request {
                    FifoRequest::Text { command, params } => {
                        Found::Text { command: command.to_vec(), reply, params: params.to_vec() }
                    }
                    FifoRequest::Json { text } => Found::Json { reply, text: text.to_vec() },
                    FifoRequest::UnterminatedText { .. }
                    | FifoRequest::InvalidJson
                    | FifoRequest::TooLarge { .. } => Found::Refused { reply },
                })
            }
        });
        self.mode = frame.next;
        let (start, length) = (frame.start, frame.length);
        self.unread.drain(start..start + length);
        self.framer.note_removed(start, self.mode);
        true
    }
}
