//! Redis's protocol, as far as three commands and a log-in need it: how a command is written, how its reply is read.
//!
//! Pure: bytes in, values out. Ours, and not of a library, because the length of a reply must be known before the reply
//! is in memory, and because bytes behind it must be noticed. C: hiredis, which has no limit.

/// Largest value that is read, in bytes. No way of MI to the outside carries as much in one reply.
pub(super) const MAX_VALUE_BYTES: usize = 1 << 20;

/// Longest line of a reply, in bytes: a status, an error, a number or a length.
const MAX_LINE_BYTES: usize = 4096;

/// Most characters of what a server sent that a message shows.
const MAX_SHOWN_CHARS: usize = 120;

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Done.
    Ok,
    /// A number, which nothing here asks for by its value.
    Number,
    /// A value, or that there is none.
    Value(Option<Vec<u8>>),
    /// No, with a reason.
    Error(Vec<u8>),
}

/// Why bytes are not read as a reply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyError {
    #[error("the value has {0} bytes, the limit is {MAX_VALUE_BYTES}")]
    TooLarge(usize),
    #[error("it does not answer as Redis does, but with \"{0}\"")]
    Strange(String),
}

impl Reply {
    /// Nothing, if it says that something is done.
    pub(super) fn ok(self) -> Option<()> {
        (self == Reply::Ok).then_some(())
    }

    /// Nothing, if it is a number.
    pub(super) fn number(self) -> Option<()> {
        (self == Reply::Number).then_some(())
    }

    /// The value, or that there is none, if it is such a reply.
    pub(super) fn value(self) -> Option<Option<Vec<u8>>> {
        match self {
            Reply::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// A command, as it is sent.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The reply that `bytes` begin with, and its length; `None` while they are only its beginning. Looks at no more than a
/// line until all is there.
///
/// # Errors
/// As soon as it is sure that they do not become a reply that may be read.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, ReplyError> {
    let strange = || ReplyError::Strange(shown(bytes));
    let start = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    let Some((&kind, rest)) = start.split_first() else { return Ok(None) };
    if !b"+-:$".contains(&kind) {
        return Err(strange());
    }
    let Some(length) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_LINE_BYTES { Ok(None) } else { Err(strange()) };
    };
    let (line, behind) = (&rest[..length], length + 3);
    match (kind, line) {
        (b'+', b"OK") => Ok(Some((Reply::Ok, behind))),
        (b'-', _) => Ok(Some((Reply::Error(line.to_vec()), behind))),
        (b':', _) if number(line.strip_prefix(b"-").unwrap_or(line)).is_some() => {
            Ok(Some((Reply::Number, behind)))
        }
        (b'$', b"-1") => Ok(Some((Reply::Value(None), behind))),
        (b'$', _) => match number(line).ok_or_else(strange)? {
            length if length > MAX_VALUE_BYTES => Err(ReplyError::TooLarge(length)),
            length => value(bytes, behind, length).map_err(|()| strange()),
        },
        _ => Err(strange()),
    }
}

/// The value of `length` bytes that begins at `start`; an error if no line ends behind it.
fn value(bytes: &[u8], start: usize, length: usize) -> Result<Option<(Reply, usize)>, ()> {
    let end = start + length;
    match bytes.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((Reply::Value(Some(bytes[start..end].to_vec())), end + 2))),
        Some(_) => Err(()),
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// What a server sent, fit for a line of the log: no control characters, and not long.
pub(super) fn shown(bytes: &[u8]) -> String {
    shorten(&escape(bytes))
}

/// The same, without a password that the server may repeat.
pub(super) fn shown_without(bytes: &[u8], secret: &str) -> String {
    shorten(&escape(bytes).replace(&escape(secret.as_bytes()), "***"))
}

/// No longer than a line of a reply.
fn escape(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(MAX_LINE_BYTES)].escape_ascii().to_string()
}

/// ASCII in, at most [`MAX_SHOWN_CHARS`] of it out.
fn shorten(text: &str) -> String {
    match text.get(..MAX_SHOWN_CHARS) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_its_words() {
        let bytes = command(&[b"SET", b"k\r\n", b""]);
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n");
    }

    #[test]
    fn every_reply_is_read_however_it_is_cut() {
        for (bytes, wanted) in [
            (&b"+OK\r\n"[..], Reply::Ok),
            (b":0\r\n", Reply::Number),
            (b":-12\r\n", Reply::Number),
            (b"$-1\r\n", Reply::Value(None)),
            (b"$0\r\n\r\n", Reply::Value(Some(Vec::new()))),
            (b"$5\r\na\r\nb\x00\r\n", Reply::Value(Some(b"a\r\nb\x00".to_vec()))),
            (b"-ERR no\nreally\r\n", Reply::Error(b"ERR no\nreally".to_vec())),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{}", bytes[..cut].escape_ascii());
            }
            let wanted = Ok(Some((wanted, bytes.len())));
            assert_eq!(parse(bytes), wanted, "{}", bytes.escape_ascii());
            assert_eq!(parse(&[bytes, b"+more"].concat()), wanted, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b"*1\r\n$1\r\na\r\n",
            b"+PONG\r\n",
            b":\r\n",
            b":1x\r\n",
            b":--1\r\n",
            b"$\r\n",
            b"$-2\r\n",
            b"$+1\r\n",
            b"$1\r\nab\r\n",
            b"$99999999999999999999999\r\n",
            &[&b"-"[..], &[b'x'; MAX_LINE_BYTES]].concat(),
        ] {
            assert!(matches!(parse(bytes), Err(ReplyError::Strange(_))), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_limit_of_a_value_is_known_by_its_first_line() {
        let largest = format!("${MAX_VALUE_BYTES}\r\n");
        assert_eq!(parse(largest.as_bytes()), Ok(None));
        let all = [largest.as_bytes(), &vec![b'x'; MAX_VALUE_BYTES], b"\r\n"].concat();
        assert!(matches!(parse(&all), Ok(Some((_, length))) if length == all.len()));
        let larger = format!("${}\r\n", MAX_VALUE_BYTES + 1);
        assert_eq!(parse(larger.as_bytes()), Err(ReplyError::TooLarge(MAX_VALUE_BYTES + 1)));
    }

    #[test]
    fn what_a_message_shows_is_one_short_line_without_a_password() {
        assert_eq!(shown(b"ERR evil\nFAKE\x1b[31m\xff"), r"ERR evil\nFAKE\x1b[31m\xff");
        assert_eq!(shown(&[b'x'; 5000]), format!("{}…", "x".repeat(MAX_SHOWN_CHARS)));
        let reply = [&[b'x'; MAX_SHOWN_CHARS - 3][..], b" `pass\xc3\xa4` "].concat();
        let safe = shown_without(&reply, "pass\u{e4}");
        assert!(!safe.contains("pass") && safe.contains(" `*"), "{safe}");
    }
}
