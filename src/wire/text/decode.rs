//! Decodes requests of the text protocol: the first line and the parameters.
//!
//! C: `identify_command` in datagram_fnc.c and `mi_datagram_parse_node` in mi_datagram_parser.c. The C parser
//! has no written grammar; golden rows record what it accepts.
//!
//! Differs: an empty quoted string is a value, and a quoted value may begin with an escaped quote; C refuses
//! both. A request that ends in `name::` without a line end has an empty value, and a request that ends in
//! `::` is refused; C computes a negative length for both. A quoted value with an escaped quote at the end of
//! a request needs no line end; C reads its last byte twice.

use crate::mi::Params;

/// The first line of a request names no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first line is not `:command:`")]
pub struct NoCommandLine;

/// The parameters of a request do not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the parameters: {reason}")]
pub struct InvalidTextParams {
    /// The offset of the wrong byte from the line after the command.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Splits a request into the command's name and the lines of its parameters.
///
/// # Errors
/// [`NoCommandLine`] when the request does not begin with `:`, a name, `:` and a line end.
pub fn split_command(datagram: &[u8]) -> Result<(&[u8], &[u8]), NoCommandLine> {
    let line = datagram.strip_prefix(b":").ok_or(NoCommandLine)?;
    let end = line.iter().position(|&byte| byte == b':' || byte == 0).ok_or(NoCommandLine)?;
    let rest = line[end..].strip_prefix(b":\n").ok_or(NoCommandLine)?;
    Ok((&line[..end], rest))
}

/// Decodes parameters into `params`, which is cleared first.
///
/// # Errors
/// [`InvalidTextParams`] at the first wrong byte.
pub fn decode_params(text: &[u8], params: &mut Params) -> Result<(), InvalidTextParams> {
    params.clear();
    // C reads a NUL at the beginning as the end of its zeroed buffer.
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

/// C: `isspace` in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn leading_space(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| is_space(byte)).count()
}

/// Decodes the parameter that begins at `start`, which is not a space. Returns the offset of its end.
fn decode_param(text: &[u8], start: usize, params: &mut Params) -> Result<usize, InvalidTextParams> {
    if text[start] == b'"' {
        params.begin(b"");
        return decode_quoted(text, start, params);
    }
    let line_end = text[start..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |n| start + n);
    let line = &text[start..line_end];
    let separator = line.windows(2).position(|pair| pair == b"::");
    let name_end = separator.unwrap_or(line.len());
    if let Some(quote) = line[..name_end].iter().position(|&byte| byte == b'"') {
        return Err(InvalidTextParams {
            at: start + quote,
            reason: "a quote inside a name or an unquoted value",
        });
    }
    let Some(name_end) = separator else {
        params.push(b"", line.trim_space_end());
        return Ok(line_end);
    };
    let name = line[..name_end].trim_space_end();
    let value_start = name_end + 2 + leading_space(&line[name_end + 2..]);
    let value = line[value_start..].trim_space_end();
    if value.first() == Some(&b'"') {
        params.begin(name);
        return decode_quoted(text, start + value_start, params);
    }
    if let Some(quote) = value.iter().position(|&byte| byte == b'"') {
        return Err(InvalidTextParams {
            at: start + value_start + quote,
            reason: "a quote inside an unquoted value",
        });
    }
    if name.is_empty() && value.is_empty() {
        return Err(InvalidTextParams { at: start, reason: "neither name nor value" });
    }
    params.push(name, value);
    Ok(line_end)
}

/// Decodes the quoted value whose opening quote is at `open` into the last parameter. Returns the offset of
/// the line's end.
fn decode_quoted(text: &[u8], open: usize, params: &mut Params) -> Result<usize, InvalidTextParams> {
    let mut part = open + 1;
    let mut search = part;
    loop {
        let Some(quote) = text[search..].iter().position(|&byte| byte == b'"').map(|n| search + n) else {
            return Err(InvalidTextParams { at: open, reason: "a quote that is never closed" });
        };
        let end = line_end_after(text, quote + 1);
        // Two quotes are an empty value at the end of a line. Elsewhere the second quote is part of the
        // value, as in C.
        if quote == open + 1 && end.is_none() {
            search = quote + 1;
            continue;
        }
        let escaped = quote > part && text[quote - 1] == b'\\';
        // `"\"` at the end of a line is a value, a backslash, as in C.
        let lone_backslash = quote == open + 2 && end.is_some();
        if escaped && !lone_backslash {
            params.extend(&text[part..quote - 1]);
            part = quote;
            search = quote + 1;
            continue;
        }
        params.extend(&text[part..quote]);
        return end.ok_or(InvalidTextParams { at: quote + 1, reason: "text behind a closing quote" });
    }
}

/// The offset of the line's end. `None` when there is more than space before it, from `at` on.
fn line_end_after(text: &[u8], at: usize) -> Option<usize> {
    let end =
        text[at..].iter().position(|&byte| byte == b'\n' || !is_space(byte)).map_or(text.len(), |n| at + n);
    (end == text.len() || text[end] == b'\n').then_some(end)
}

/// Trims what [`is_space`] accepts. `trim_ascii_end` keeps the vertical tab.
trait TrimSpaceEnd {
    fn trim_space_end(&self) -> &Self;
}

impl TrimSpaceEnd for [u8] {
    fn trim_space_end(&self) -> &[u8] {
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
    fn the_first_line_holds_the_command_between_colons() {
        assert_eq!(split_command(b":ps:\n"), Ok((&b"ps"[..], &b""[..])));
        assert_eq!(split_command(b":ps:\na\nb"), Ok((&b"ps"[..], &b"a\nb"[..])));
        assert_eq!(split_command(b"::\n"), Ok((&b""[..], &b""[..])));
        for bad in
            [&b""[..], b"ps", b":", b"::", b":ps", b":ps:", b":ps:\r\n", b" :ps:\n", b":p\0s:\n", b":ps: \n"]
        {
            assert_eq!(split_command(bad), Err(NoCommandLine), "{bad:?}");
        }
    }

    #[test]
    fn values_are_trimmed_and_blank_lines_skipped() {
        assert_eq!(values("a\n\n  b c \r\n\n\x0bd\x0b"), ["a", "b c", "d"]);
        assert_eq!(values(""), [""; 0]);
        assert_eq!(values(" \n\t\n"), [""; 0]);
        assert_eq!(values("\0whatever"), [""; 0]);
    }

    #[test]
    fn a_double_colon_separates_name_and_value() {
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
    fn a_quoted_value_ends_at_a_quote_before_a_line_end() {
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
        fn error_offsets_are_inside_the_request(text: Vec<u8>) {
            if let Err(error) = decode_params(&text, &mut Params::new()) {
                proptest::prop_assert!(error.at < text.len() + 1);
            }
        }

        #[test]
        fn quoted_values_decode_to_themselves(value in proptest::collection::vec("[^\\\\]*", 0..5)) {
            // The grammar cannot express a backslash before the closing quote, and, as `"\"` at the end of a
            // line is a backslash, a first line that holds only a quote.
            let space = |c: char| matches!(c, ' ' | '\t' | '\x0b' | '\x0c' | '\r');
            let is_lone_quote = |v: &String| v.strip_prefix('"').is_some_and(|v| v.trim_start_matches(space).starts_with('\n'));
            proptest::prop_assume!(!value.iter().any(is_lone_quote));
            let text: String = value.iter().map(|v| format!("\"{}\"\n", v.replace('"', "\\\""))).collect();
            proptest::prop_assert_eq!(values(&text), value);
        }
    }
}
