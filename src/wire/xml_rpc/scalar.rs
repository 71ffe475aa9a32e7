//! Converts the scalar values of calls to the text that commands take.
//!
//! C: `xr_parse_tree` in xr_parser.c of 1.11, and the parser of xmlrpc-c. Differs: `i8` and
//! `dateTime.iso8601` are taken, which C knows and refuses.

/// Why a scalar value is invalid. The texts are part of the fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidScalar {
    #[error("no type is called <{0}>")]
    Type(String),
    #[error("\"{text}\" is no {kind}")]
    Value { kind: &'static str, text: String },
}

/// The most characters of the value that a fault quotes.
const SHOWN_CHARACTERS: usize = 40;

/// Converts the text in an element of type `kind`. The result of base64 is bytes.
pub(super) fn decode(kind: &str, text: String) -> Result<Vec<u8>, InvalidScalar> {
    let invalid = |kind: &'static str| InvalidScalar::Value {
        kind,
        text: text.chars().take(SHOWN_CHARACTERS).collect(),
    };
    match kind {
        "string" => Ok(text.into_bytes()),
        "int" | "i4" => match text.parse::<i32>() {
            Ok(number) => Ok(number.to_string().into_bytes()),
            Err(_) => Err(invalid("number of 32 bits")),
        },
        "i8" | "ex:i8" => match text.parse::<i64>() {
            Ok(number) => Ok(number.to_string().into_bytes()),
            Err(_) => Err(invalid("number of 64 bits")),
        },
        "boolean" if matches!(text.as_str(), "0" | "1") => Ok(text.into_bytes()),
        "boolean" => Err(invalid("boolean, 0 or 1")),
        "double" => decimal(&text).ok_or_else(|| invalid("decimal number")),
        "dateTime.iso8601" => Ok(text.trim_ascii().as_bytes().to_vec()),
        "base64" => base64(text.as_bytes()).ok_or_else(|| invalid("base64")),
        _ => Err(InvalidScalar::Type(kind.chars().take(SHOWN_CHARACTERS).collect())),
    }
}

/// Converts a number to the form of C's `%lf`.
fn decimal(text: &str) -> Option<Vec<u8>> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| is_plain)?;
    number.is_finite().then(|| format!("{number:.6}").into_bytes())
}

/// Decodes base64; ignores blanks.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let padding = digits.iter().rev().take_while(|&&byte| byte == b'=').count();
    if !digits.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for four in digits[..digits.len() - padding].chunks(4) {
        let mut group = 0_u32;
        for at in 0..4 {
            group = group << 6 | u32::from(four.get(at).map_or(Some(0), |&byte| digit(byte))?);
        }
        let [_, all @ ..] = group.to_be_bytes();
        bytes.extend_from_slice(&all[..four.len() - 1]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(kind: &str, text: &str) -> Option<String> {
        let bytes = decode(kind, text.to_owned()).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn each_type_is_converted_as_in_c() {
        for (kind, text, wanted) in [
            ("string", " a\n", Some(" a\n")),
            ("int", "+7", Some("7")),
            ("i4", "-2147483648", Some("-2147483648")),
            ("i4", "2147483648", None),
            ("int", " 7", None),
            ("int", "", None),
            ("i8", "2147483648", Some("2147483648")),
            ("boolean", "1", Some("1")),
            ("boolean", "true", None),
            ("double", "1.5", Some("1.500000")),
            ("double", "-0.0000005", Some("-0.000000")),
            ("double", "1e3", Some("1000.000000")),
            ("double", "inf", None),
            ("double", "1e999", None),
            ("double", "", None),
            ("dateTime.iso8601", "19980717T14:08:55", Some("19980717T14:08:55")),
            ("base64", "aGVs\r\n bG8=", Some("hello")),
            ("base64", "aGVsbA==", Some("hell")),
            ("base64", "aGVs", Some("hel")),
            ("base64", "", Some("")),
            ("base64", "aGVsbG8", None),
            ("base64", "a===", None),
            ("base64", "a=Vs", None),
            ("base64", "aGV*", None),
            ("i2", "7", None),
        ] {
            assert_eq!(decoded(kind, text).as_deref(), wanted, "{kind} {text:?}");
        }
    }
}
