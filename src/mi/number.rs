//! Parses numbers in parameters as C does, but refuses numbers that do not fit.

/// Parses a decimal number with an optional minus. A minus alone is zero. C: `str2sint`, which wraps around
/// instead of returning `None`.
#[must_use]
pub fn signed(text: &[u8]) -> Option<i32> {
    let (sign, digits) = text.strip_prefix(b"-").map_or((1, text), |digits| (-1, digits));
    if text.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0_i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    i32::try_from(sign * magnitude).ok()
}

/// Parses a decimal number without a sign. C: `str2int` in ut.h, which wraps around instead of returning
/// `None`.
#[must_use]
pub fn unsigned(text: &[u8]) -> Option<u32> {
    let digits = text.iter().all(u8::is_ascii_digit).then_some(text)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{signed, unsigned};

    #[test]
    fn signed_numbers_are_parsed_as_in_c_within_32_bits() {
        let cases: [(&[u8], Option<i32>); 9] = [
            (b"1", Some(1)),
            (b"-99", Some(-99)),
            (b"007", Some(7)),
            (b"-", Some(0)),
            (b"2147483647", Some(i32::MAX)),
            (b"2147483648", None),
            (b"99999999999999999999999", None),
            (b"+2", None),
            (b"", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(signed(text), wanted, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn unsigned_numbers_have_only_digits_within_32_bits() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("", None),
            ("+1", None),
            ("abc", None),
        ] {
            assert_eq!(unsigned(text.as_bytes()), wanted, "{text}");
        }
    }
}
