//! Finds the end of a JSON value in bytes that come in pieces.
//!
//! Checks the syntax of RFC 8259, but not the encoding of strings and the depth of the value. Pure.

/// Scans one value: an object or an array.
#[derive(Debug, Default)]
pub(super) struct JsonScanner {
    /// The open objects (true) and arrays (false), the innermost last.
    open: Vec<bool>,
    state: ScannerState,
}

/// What the scanner knows after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanResult {
    /// The end of the value is not read.
    Incomplete,
    /// The value ends before this offset of the last piece.
    End(usize),
    /// The bytes are not valid JSON.
    Invalid,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ScannerState {
    #[default]
    Value,
    /// A value, or the end of an array without elements.
    FirstElement,
    Name,
    /// A name, or the end of an object without members.
    FirstName,
    Colon,
    /// A comma, or the end of an object or array.
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
    /// The index in [`WORDS`] of the next letter.
    Word(u8),
    Number(NumberPart),
}

/// The letters of `true`, `false` and `null` after the first. A state holds an index, so it takes few bytes.
const WORDS: &[u8] = b"rue;alse;ull;";

/// Ends each of [`WORDS`].
const WORD_END: u8 = b';';

/// The part of a number to which the last byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberPart {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl NumberPart {
    fn next(self, byte: u8) -> Option<NumberPart> {
        use NumberPart::{Digits, E, Exponent, Fraction, Minus, Point, Sign, Zero};
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
        matches!(self, NumberPart::Zero | NumberPart::Digits | NumberPart::Fraction | NumberPart::Exponent)
    }
}

impl JsonScanner {
    /// Scans the next piece.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> ScanResult {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let (ScannerState::String { .. }, 0x20..) = (self.state, byte)
                && !matches!(byte, b'"' | b'\\')
            {
                // Most bytes of a request are inside of strings.
                let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
                let rest = &bytes[at..];
                at += rest.iter().position(special).unwrap_or(rest.len());
                continue;
            }
            if self.step(byte).is_none() {
                return ScanResult::Invalid;
            }
            at += 1;
            if self.open.is_empty() {
                return ScanResult::End(at);
            }
        }
        ScanResult::Incomplete
    }

    fn step(&mut self, byte: u8) -> Option<()> {
        self.state = match (self.state, byte) {
            (ScannerState::String { is_name: true }, b'"') => ScannerState::Colon,
            (ScannerState::String { is_name: false }, b'"') => ScannerState::AfterValue,
            (ScannerState::String { is_name }, b'\\') => ScannerState::Escape { is_name },
            (ScannerState::String { .. }, 0..0x20) => return None,
            (ScannerState::String { is_name }, _) => ScannerState::String { is_name },
            (ScannerState::Escape { is_name }, b'u') => ScannerState::Hex { is_name, left: 4 },
            (ScannerState::Escape { is_name }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                ScannerState::String { is_name }
            }
            (ScannerState::Hex { is_name, left }, _) if byte.is_ascii_hexdigit() => match left {
                1 => ScannerState::String { is_name },
                left => ScannerState::Hex { is_name, left: left - 1 },
            },
            (ScannerState::Word(at), _) if WORDS.get(usize::from(at)) == Some(&byte) => {
                let is_last = WORDS.get(usize::from(at) + 1) == Some(&WORD_END);
                if is_last { ScannerState::AfterValue } else { ScannerState::Word(at + 1) }
            }
            (ScannerState::Number(number), _) => match number.next(byte) {
                Some(number) => ScannerState::Number(number),
                None if number.may_end() => return self.step_between_tokens(ScannerState::AfterValue, byte),
                None => return None,
            },
            (state, _) => return self.step_between_tokens(state, byte),
        };
        Some(())
    }

    /// The state after a byte outside of strings, numbers and words.
    fn step_between_tokens(&mut self, state: ScannerState, byte: u8) -> Option<()> {
        self.state = match (state, byte) {
            (ScannerState::Escape { .. } | ScannerState::Hex { .. } | ScannerState::Word(_), _) => {
                return None;
            }
            (_, b' ' | b'\t' | b'\r' | b'\n') => state,
            (ScannerState::Value | ScannerState::FirstElement, _) => return self.begin_value(state, byte),
            (ScannerState::Name | ScannerState::FirstName, b'"') => ScannerState::String { is_name: true },
            (ScannerState::FirstName, b'}') => self.close(),
            (ScannerState::Colon, b':') => ScannerState::Value,
            (ScannerState::AfterValue, b',') if self.open.last() == Some(&true) => ScannerState::Name,
            (ScannerState::AfterValue, b',') => ScannerState::Value,
            (ScannerState::AfterValue, b'}') if self.open.last() == Some(&true) => self.close(),
            (ScannerState::AfterValue, b']') if self.open.last() == Some(&false) => self.close(),
            _ => return None,
        };
        Some(())
    }

    fn begin_value(&mut self, state: ScannerState, byte: u8) -> Option<()> {
        self.state = match byte {
            b'{' => {
                self.open.push(true);
                ScannerState::FirstName
            }
            b'[' => {
                self.open.push(false);
                ScannerState::FirstElement
            }
            b']' if state == ScannerState::FirstElement => self.close(),
            b'"' => ScannerState::String { is_name: false },
            b't' => ScannerState::Word(0),
            b'f' => ScannerState::Word(4),
            b'n' => ScannerState::Word(9),
            b'-' => ScannerState::Number(NumberPart::Minus),
            b'0' => ScannerState::Number(NumberPart::Zero),
            b'1'..=b'9' => ScannerState::Number(NumberPart::Digits),
            _ => return None,
        };
        Some(())
    }

    fn close(&mut self) -> ScannerState {
        self.open.pop();
        ScannerState::AfterValue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_with_its_last_bracket() {
        for text in ["{}", "[]", r#"{"a":[1,-0.5e+3,true,null,"\"}\u00e9"],"b":{}}"#, "[ [ ] , { } ]"] {
            assert_eq!(
                JsonScanner::default().feed(format!("{text}[").as_bytes()),
                ScanResult::End(text.len()),
                "{text}"
            );
            let mut scanner = JsonScanner::default();
            let (last, first) = text.as_bytes().split_last().unwrap();
            first
                .iter()
                .for_each(|&byte| assert_eq!(scanner.feed(&[byte]), ScanResult::Incomplete, "{text}"));
            assert_eq!(scanner.feed(&[*last]), ScanResult::End(1), "{text}");
        }
    }

    #[test]
    fn invalid_json_is_seen_at_its_first_wrong_byte() {
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
            assert_eq!(JsonScanner::default().feed(text.as_bytes()), ScanResult::Invalid, "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Compares only the ends: for incomplete values the two differ, as the decoder reads the four digits of an
        /// escape at once, and refuses a sign without digits.
        #[test]
        fn a_value_ends_where_serde_json_ends_it(text in "[\\[{][\\[\\]{},:\"0-9a1e.truefalsn \\\\-]{0,12}") {
            let mut values = serde_json::Deserializer::from_str(&text).into_iter::<serde::de::IgnoredAny>();
            let wanted = matches!(values.next(), Some(Ok(_))).then(|| values.byte_offset());
            let found = match JsonScanner::default().feed(text.as_bytes()) {
                ScanResult::End(end) => Some(end),
                ScanResult::Incomplete | ScanResult::Invalid => None,
            };
            proptest::prop_assert_eq!(found, wanted);
        }
    }
}
