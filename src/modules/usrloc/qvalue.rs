//! The q value of a contact: how much it is preferred, from 0 to 1 in thousandths.
//!
//! C: `str2q` in qvalue.c and `q2str` in qvalue.h.

use std::fmt;

/// A preference in thousandths, 0 to 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Q(u16);

/// The highest preference.
const MOST: u16 = 1000;

impl Q {
    /// Reads a number from 0 to 1. Blanks may stand before it; digits beyond the third behind the point do not count.
    pub(super) fn parse(text: &[u8]) -> Option<Q> {
        let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let text = &text[blanks..];
        let zeros = text.iter().take_while(|&&byte| byte == b'0').count();
        match &text[zeros..] {
            [] => (zeros > 0).then_some(Q(0)),
            [b'1'] => Some(Q(MOST)),
            [b'1', b'.', fraction @ ..] => fraction.iter().all(|&byte| byte == b'0').then_some(Q(MOST)),
            [b'.', fraction @ ..] => {
                let mut thousandths = 0;
                for (digit, scale) in fraction.iter().zip([100, 10, 1]) {
                    thousandths += u16::from(digit.wrapping_sub(b'0')) * scale;
                }
                fraction.iter().all(u8::is_ascii_digit).then_some(Q(thousandths))
            }
            _ => None,
        }
    }

    /// The number of thousandths, for storing.
    pub(super) fn thousandths(self) -> u16 {
        self.0
    }

    /// The q value of a stored number; too large a one counts as the most.
    pub(super) fn from_thousandths(number: u16) -> Q {
        Q(number.min(MOST))
    }
}

/// Without zeros at the end: `1`, `0.5`, `0.025`, `0`.
impl fmt::Display for Q {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MOST.. => f.write_str("1"),
            0 => f.write_str("0"),
            number if number % 100 == 0 => write!(f, "0.{}", number / 100),
            number if number % 10 == 0 => write!(f, "0.{:02}", number / 10),
            number => write!(f, "0.{number:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_from_0_to_1_are_read_and_shown_shortest() {
        for (text, shown) in [
            ("1", "1"),
            ("1.", "1"),
            ("1.000000", "1"),
            ("01", "1"),
            ("0", "0"),
            ("000", "0"),
            ("0.", "0"),
            (".", "0"),
            (".5", "0.5"),
            ("0.50", "0.5"),
            ("00.25", "0.25"),
            ("0.005", "0.005"),
            ("0.05", "0.05"),
            ("0.123999", "0.123"),
            ("0.9999", "0.999"),
            ("0.0009", "0"),
            (" \t0.7", "0.7"),
        ] {
            assert_eq!(Q::parse(text.as_bytes()).map(|q| q.to_string()).as_deref(), Some(shown), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "", " ", "2", "02", "1.1", "1.01", "1.0x", "10", "0x", "0.5 ", "0.x", "0.1234x", "-0", "+1",
            "1 ", "x",
        ] {
            assert_eq!(Q::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for number in 0..=1000 {
            let q = Q::from_thousandths(number);
            assert_eq!(Q::parse(q.to_string().as_bytes()), Some(q));
        }
        assert_eq!(Q::from_thousandths(u16::MAX), Q::parse(b"1").unwrap());
    }
}
