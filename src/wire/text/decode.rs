//! Requests: the first line and the parameters.
//!
//! C: `identify_command` in datagram_fnc.c and `mi_datagram_parse_node` in mi_datagram_parser.c. The C parser
//! accepts and refuses what its loops happen to; the corners are golden rows.
//!
//! Differs: an empty quoted string is a value, and an escaped quote may stand first in one; C refuses both. A
//! request that ends in `name::` without a line end has an empty value there, and one that ends in `::` is refused;
//! C reads a length below zero in both. A value with an escaped quote as the last thing of a request needs no line
//! end; C reads its last byte twice.

use crate::mi::Params;

/// The first line names no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first line is not `:command:`")]
pub struct NotAvailable;

/// The parameters do not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the parameters: {reason}")]
pub struct ParseError {
    /// Where, counted from the line after the command.
    pub at: usize,
    /// What was found there.
    pub reason: &'static str,
}

/// Splits a datagram into the command's name and the lines of its parameters.
///
/// # Errors
/// [`NotAvailable`] when it does not begin with `:`, a name, `:` and a line end.
pub fn split_command(datagram: &[u8]) -> Result<(&[u8], &[u8]), NotAvailable> {
    let line = datagram.strip_prefix(b":").ok_or(NotAvailable)?;
    let end = line.iter().position(|&byte| byte == b':' || byte == 0).ok_or(NotAvailable)?;
    let rest = line[end..].strip_prefix(b":\n").ok_or(NotAvailable)?;
    Ok((&line[..end], rest))
}

/// Decodes the parameters into `params`, which is cleared first.
///
/// # Errors
/// [`ParseError`], at the first byte that does not fit.
pub fn decode_params(text: &[u8], params: &mut Params) -> Result<(), ParseError> {
    params.clear();
    // C takes a NUL where the parameters begin for the end of its zeroed buffer.
    if text.first() == Some(&0) {
        return Ok(());
    }
    let mut at = 0;
    loop {
        at += leading_space(&text[at..]);
        if at == text.len() {
            return Ok(());
        }
        at = decode_param(text, at, params)?;
    }
}

/// What `isspace` of the C locale says.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn leading_space(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| is_space(byte)).count()
}

/// Decodes one parameter that begins at `start`, which is no space. Returns where the next may begin.
fn decode_param(text: &[u8], start: usize, params: &mut Params) -> Result<usize, ParseError> {
    if text[start] == b'"' {
        params.begin(b"");
        return decode_quoted(text, start, params);
    }
    let line_end = text[start..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |n| start + n);
    let line = &text[start..line_end];
    let separator = line.windows(2).position(|pair| pair == b"::");
    let name_end = separator.unwrap_or(line.len());
    if let Some(quote) = line[..name_end].iter().position(|&byte| byte == b'"') {
        return Err(ParseError { at: start + quote, reason: "a quote inside a name or an unquoted value" });
    }
    let Some(name_end) = separator else {
        params.push(b"", line.trim_ascii_end_all());
        return Ok(line_end);
    };
    let name = line[..name_end].trim_ascii_end_all();
    let value_start = name_end + 2 + leading_space(&line[name_end + 2..]);
    let value = line[value_start..].trim_ascii_end_all();
    if value.first() == Some(&b'"') {
        params.begin(name);
        return decode_quoted(text, start + value_start, params);
    }
    if let Some(quote) = value.iter().position(|&byte| byte == b'"') {
        return Err(ParseError {
            at: start + value_start + quote,
            reason: "a quote inside an unquoted value",
        });
    }
    if name.is_empty() && value.is_empty() {
        return Err(ParseError { at: start, reason: "neither name nor value" });
    }
    params.push(name, value);
    Ok(line_end)
}

/// Decodes a quoted value whose opening quote is at `open`, into the parameter begun last.
fn decode_quoted(text: &[u8], open: usize, params: &mut Params) -> Result<usize, ParseError> {
    let mut part = open + 1;
    let mut search = part;
    loop {
        let Some(quote) = text[search..].iter().position(|&byte| byte == b'"').map(|n| search + n) else {
            return Err(ParseError { at: open, reason: "a quote that is never closed" });
        };
        let end = line_end_after(text, quote + 1);
        // C never closes a quoted value at its first byte; here that is an empty value, at the end of its line.
        if quote == open + 1 && end.is_none() {
            search = quote + 1;
            continue;
        }
        let escaped = quote > part && text[quote - 1] == b'\\';
        // C takes `"\"` for a whole value, a backslash, where nothing else stands on the line.
        let lone_backslash = quote == open + 2 && end.is_some();
        if escaped && !lone_backslash {
            params.extend(&text[part..quote - 1]);
            part = quote;
            search = quote + 1;
            continue;
        }
        params.extend(&text[part..quote]);
        return end.ok_or(ParseError { at: quote + 1, reason: "text behind a closing quote" });
    }
}

/// Where the line ends, when there is only space from `at` to there.
fn line_end_after(text: &[u8], at: usize) -> Option<usize> {
    let end =
        text[at..].iter().position(|&byte| byte == b'\n' || !is_space(byte)).map_or(text.len(), |n| at + n);
    (end == text.len() || text[end] == b'\n').then_some(end)
}

/// `trim_end` with C's idea of space, which has the vertical tab.
trait TrimEnd {
    fn trim_ascii_end_all(&self) -> &Self;
}

impl TrimEnd for [u8] {
    fn trim_ascii_end_all(&self) -> &[u8] {
        let kept = self.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
        &self[..kept]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Vec<(String, String)>, &'static str> {
        let mut params = Params::new();
        decode_params(text.as_bytes(), &mut params).map_err(|error| error.reason)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(params.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn values(text: &str) -> Vec<String> {
        decode(text).unwrap().into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn the_first_line_is_a_command_between_colons() {
        assert_eq!(split_command(b":ps:\n"), Ok((&b"ps"[..], &b""[..])));
        assert_eq!(split_command(b":ps:\na\nb"), Ok((&b"ps"[..], &b"a\nb"[..])));
        assert_eq!(split_command(b"::\n"), Ok((&b""[..], &b""[..])));
        for bad in
            [&b""[..], b"ps", b":", b"::", b":ps", b":ps:", b":ps:\r\n", b" :ps:\n", b":p\0s:\n", b":ps: \n"]
        {
            assert_eq!(split_command(bad), Err(NotAvailable), "{bad:?}");
        }
    }

    #[test]
    fn values_are_trimmed_and_blank_lines_ignored() {
        assert_eq!(values("a\n\n  b c \r\n\n\x0bd\x0b"), ["a", "b c", "d"]);
        assert_eq!(values(""), [""; 0]);
        assert_eq!(values(" \n\t\n"), [""; 0]);
        assert_eq!(values("\0whatever"), [""; 0]);
    }

    #[test]
    fn a_double_colon_parts_name_and_value() {
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(decode("n  ::  v  \n"), Ok(pair("n", "v")));
        assert_eq!(decode("n::a::b"), Ok(pair("n", "a::b")));
        assert_eq!(decode("[::1]:5060"), Ok(pair("[", "1]:5060")));
        assert_eq!(decode("a:::b"), Ok(pair("a", ":b")));
        assert_eq!(decode("::v"), Ok(pair("", "v")));
        assert_eq!(decode("n::\n"), Ok(pair("n", "")));
        assert_eq!(decode("n::"), Ok(pair("n", "")));
        assert_eq!(decode("n::\"q :: \\\" x\"  \n"), Ok(pair("n", "q :: \" x")));
        assert!(decode("::\n").is_err() && decode("::").is_err());
    }

    #[test]
    fn quotes_hold_anything_and_close_at_the_end_of_a_line() {
        assert_eq!(values("\"  v  \"\n\"a\nb\"\nc"), ["  v  ", "a\nb", "c"]);
        assert_eq!(values(r#""a\"b\"c""#), ["a\"b\"c"]);
        assert_eq!(values(r#""a\b""#), ["a\\b"]);
        assert_eq!(values(r#""\"b""#), ["\"b"]);
        assert_eq!(values(r#""\"""#), ["\""]);
        assert_eq!(values("\"\\\"\nb"), ["\\", "b"]);
        assert_eq!(values("\"\"\n\"\" "), ["", ""]);
        assert_eq!(values("\"\"ps\""), ["\"ps"]);
        for bad in ["\"v", "\"v\" x", "a\"b", "ab\"", "na\"me::v", "n::v\"x", "\"a\\\\\"", "\"v\"x", "\"\"v"]
        {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn never_panics_and_errors_are_inside(text: Vec<u8>) {
            if let Err(error) = decode_params(&text, &mut Params::new()) {
                proptest::prop_assert!(error.at < text.len() + 1);
            }
        }

        #[test]
        fn any_value_survives_quoting(value in proptest::collection::vec("[^\\\\]*", 0..5)) {
            // What this grammar cannot write: a backslash before the closing quote, and, since C takes `"\"` at
            // the end of a line for a backslash, a quote that is the first line's only mark.
            let space = |c: char| matches!(c, ' ' | '\t' | '\x0b' | '\x0c' | '\r');
            let odd = |v: &String| v.strip_prefix('"').is_some_and(|v| v.trim_start_matches(space).starts_with('\n'));
            proptest::prop_assume!(!value.iter().any(odd));
            let text: String = value.iter().map(|v| format!("\"{}\"\n", v.replace('"', "\\\""))).collect();
            proptest::prop_assert_eq!(values(&text), value);
        }
    }
}
