//! Where a JSON value ends, in bytes that come piece by piece.
//!
//! Checks the syntax of RFC 8259 as far as that takes: what a value means is for the decoder to say. Pure.

/// A value that is being read: an object or an array.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// What is open, the innermost last; true for an object.
    open: Vec<bool>,
    state: State,
}

/// How far the value has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// It goes on.
    More,
    /// It ended before that offset of what was fed last.
    Ends(usize),
    /// It is none.
    Wrong,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Value,
    /// A value, or the end of an array without elements.
    FirstElement,
    Name,
    /// A name, or the end of an object without members.
    FirstName,
    Colon,
    /// A comma, or an end.
    AfterValue,
    String {
        is_name: bool,
    },
    Escape {
        is_name: bool,
    },
    Hex {
        is_name: bool,
        left: u8,
    },
    /// The place in [`WORDS`] of the next letter.
    Word(u8),
    Number(Number),
}

/// Ends of `true`, `false` and `null`, by their place, so that a state is a few bytes.
const WORDS: &[u8] = b"rue;alse;ull;";

/// What stands behind each of [`WORDS`].
const WORD_END: u8 = b';';

/// The part of a number that was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Number {
    fn next(self, byte: u8) -> Option<Number> {
        use Number::{Digits, E, Exponent, Fraction, Minus, Point, Sign, Zero};
        match (self, byte) {
            (Minus, b'0') => Some(Zero),
            (Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Some(Digits),
            (Zero | Digits, b'.') => Some(Point),
            (Point | Fraction, b'0'..=b'9') => Some(Fraction),
            (Zero | Digits | Fraction, b'e' | b'E') => Some(E),
            (E, b'+' | b'-') => Some(Sign),
            (E | Sign | Exponent, b'0'..=b'9') => Some(Exponent),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Number::Zero | Number::Digits | Number::Fraction | Number::Exponent)
    }
}

impl Scanner {
    /// Goes on with the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let (State::String { .. }, 0x20..) = (self.state, byte)
                && !matches!(byte, b'"' | b'\\')
            {
                // Most of a request is this.
                let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
                let rest = &bytes[at..];
                at += rest.iter().position(special).unwrap_or(rest.len());
                continue;
            }
            if self.step(byte).is_none() {
                return Scan::Wrong;
            }
            at += 1;
            if self.open.is_empty() {
                return Scan::Ends(at);
            }
        }
        Scan::More
    }

    fn step(&mut self, byte: u8) -> Option<()> {
        self.state = match (self.state, byte) {
            (State::String { is_name: true }, b'"') => State::Colon,
            (State::String { is_name: false }, b'"') => State::AfterValue,
            (State::String { is_name }, b'\\') => State::Escape { is_name },
            (State::String { .. }, 0..0x20) => return None,
            (State::String { is_name }, _) => State::String { is_name },
            (State::Escape { is_name }, b'u') => State::Hex { is_name, left: 4 },
            (State::Escape { is_name }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                State::String { is_name }
            }
            (State::Hex { is_name, left }, _) if byte.is_ascii_hexdigit() => match left {
                1 => State::String { is_name },
                left => State::Hex { is_name, left: left - 1 },
            },
            (State::Word(at), _) if WORDS.get(usize::from(at)) == Some(&byte) => {
                let is_last = WORDS.get(usize::from(at) + 1) == Some(&WORD_END);
                if is_last { State::AfterValue } else { State::Word(at + 1) }
            }
            (State::Number(number), _) => match number.next(byte) {
                Some(number) => State::Number(number),
                None if number.may_end() => return self.between(State::AfterValue, byte),
                None => return None,
            },
            (state, _) => return self.between(state, byte),
        };
        Some(())
    }

    /// Outside of strings, numbers and words.
    fn between(&mut self, state: State, byte: u8) -> Option<()> {
        self.state = match (state, byte) {
            (State::Escape { .. } | State::Hex { .. } | State::Word(_), _) => return None,
            (_, b' ' | b'\t' | b'\r' | b'\n') => state,
            (State::Value | State::FirstElement, _) => return self.begin(state, byte),
            (State::Name | State::FirstName, b'"') => State::String { is_name: true },
            (State::FirstName, b'}') => self.close(),
            (State::Colon, b':') => State::Value,
            (State::AfterValue, b',') if self.open.last() == Some(&true) => State::Name,
            (State::AfterValue, b',') => State::Value,
            (State::AfterValue, b'}') if self.open.last() == Some(&true) => self.close(),
            (State::AfterValue, b']') if self.open.last() == Some(&false) => self.close(),
            _ => return None,
        };
        Some(())
    }

    fn begin(&mut self, state: State, byte: u8) -> Option<()> {
        self.state = match byte {
            b'{' => {
                self.open.push(true);
                State::FirstName
            }
            b'[' => {
                self.open.push(false);
                State::FirstElement
            }
            b']' if state == State::FirstElement => self.close(),
            b'"' => State::String { is_name: false },
            b't' => State::Word(0),
            b'f' => State::Word(4),
            b'n' => State::Word(9),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Digits),
            _ => return None,
        };
        Some(())
    }

    fn close(&mut self) -> State {
        self.open.pop();
        State::AfterValue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_with_its_last_bracket() {
        for text in ["{}", "[]", r#"{"a":[1,-0.5e+3,true,null,"\"}\u00e9"],"b":{}}"#, "[ [ ] , { } ]"] {
            assert_eq!(
                Scanner::default().feed(format!("{text}[").as_bytes()),
                Scan::Ends(text.len()),
                "{text}"
            );
            let mut scanner = Scanner::default();
            let (last, first) = text.as_bytes().split_last().unwrap();
            first.iter().for_each(|&byte| assert_eq!(scanner.feed(&[byte]), Scan::More, "{text}"));
            assert_eq!(scanner.feed(&[*last]), Scan::Ends(1), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_seen_at_once() {
        for text in [
            "}",
            "{1",
            "{\"a\"}",
            "{\"a\":}",
            "{,",
            "[,",
            "[1,]",
            "[01",
            "[1.]",
            "[.5",
            "[--",
            "[1e,",
            "[tru,",
            "[\"\n",
            "[\"\\x",
            "[\"\\u00g",
            "[}",
            "{]",
            "[1}",
            "{\"a\":1]",
            "{\"a\":1,}",
            "[1 2",
            "[nul]",
            "[-]",
            "[+1",
        ] {
            assert_eq!(Scanner::default().feed(text.as_bytes()), Scan::Wrong, "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whether something is missing or wrong is not said in the same way: the decoder takes the four digits of an
        /// escape at once, and a lone sign for a wrong number.
        #[test]
        fn ends_where_the_decoder_does(text in "[\\[{][\\[\\]{},:\"0-9a1e.truefalsn \\\\-]{0,12}") {
            let mut values = serde_json::Deserializer::from_str(&text).into_iter::<serde::de::IgnoredAny>();
            let wanted = matches!(values.next(), Some(Ok(_))).then(|| values.byte_offset());
            let found = match Scanner::default().feed(text.as_bytes()) {
                Scan::Ends(end) => Some(end),
                Scan::More | Scan::Wrong => None,
            };
            proptest::prop_assert_eq!(found, wanted);
        }
    }
}
