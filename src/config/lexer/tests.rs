//! Tokens of one file: borders, escapes, comments.

use std::path::PathBuf;

use super::*;

fn tokens(text: &[u8]) -> Vec<(TokenShape, Vec<u8>)> {
    let mut lexer = Lexer::new(SourceFile::new(PathBuf::from("t.cfg"), text.to_vec()));
    let mut all = Vec::new();
    loop {
        let token = lexer.next();
        if token.shape == TokenShape::End {
            return all;
        }
        all.push((token.shape, token.raw().to_vec()));
    }
}

fn shapes(text: &str) -> Vec<TokenShape> {
    tokens(text.as_bytes()).into_iter().map(|(shape, _)| shape).collect()
}

fn value(text: &[u8]) -> Vec<u8> {
    let token = Lexer::new(SourceFile::new(PathBuf::from("t.cfg"), text.to_vec())).next();
    assert_eq!(token.shape, TokenShape::Text, "{:?}", String::from_utf8_lossy(text));
    token.text()
}

#[test]
fn a_statement_is_split_into_words_marks_and_numbers() {
    use TokenShape::{Mark, Number, Word};
    assert_eq!(shapes("debug=3"), [Word, Mark(b'='), Number]);
    assert_eq!(shapes("127.0.0.1"), [Number, Mark(b'.'), Number, Mark(b'.'), Number, Mark(b'.'), Number]);
    assert_eq!(tokens(b"0x1F a_b")[0], (Number, b"0x1F".to_vec()));
}

#[test]
fn ipv6_addresses_win_over_words_when_they_are_longer() {
    use TokenShape::{Ipv6, Mark, Number, Word};
    assert_eq!(
        shapes("udp:[::1]:5060"),
        [Word, Mark(b':'), Mark(b'['), Ipv6, Mark(b']'), Mark(b':'), Number]
    );
    assert_eq!(tokens(b"dead:beef::1")[0], (Ipv6, b"dead:beef::1".to_vec()));
    assert_eq!(shapes("fe80::"), [Ipv6]);
    assert_eq!(shapes("1:2:3:4:5:6:7:8"), [Ipv6]);
    assert_eq!(shapes("abc:5060"), [Word, Mark(b':'), Number]);
}

#[test]
fn double_quotes_resolve_escapes() {
    assert_eq!(value(br#""a\tb\n\r\a\"\\""#), b"a\tb\n\r\x07\"\\");
    assert_eq!(value(br#""\x41\x4g\101\77\7\d""#), b"A\x04gA?\\7\\d");
    assert_eq!(value(b"\"one \\\ntwo\""), b"one two");
    assert_eq!(value(b"\"one\ntwo\""), b"one\ntwo");
}

#[test]
fn single_quotes_resolve_no_escapes() {
    assert_eq!(value(br"'a\tb\'"), br"a\tb\");
    assert_eq!(value(b"'say \"x\"'"), b"say \"x\"");
}

#[test]
fn strings_keep_bytes_that_are_not_utf8_and_comment_signs() {
    assert_eq!(value(b"\"\xff#//\xfe/*\""), b"\xff#//\xfe/*");
}

#[test]
fn comments_nest_and_end() {
    assert_eq!(shapes("/* a /* b */ c */ fork"), [TokenShape::Word]);
    assert_eq!(shapes("# fork \" '\nfork // fork\n//"), [TokenShape::Word]);
    assert_eq!(shapes("/* a /* b */ fork"), [TokenShape::UnclosedComment]);
    assert_eq!(shapes("/*/"), [TokenShape::UnclosedComment]);
}

#[test]
fn a_string_without_closing_quote_runs_to_the_end_of_the_file() {
    assert_eq!(
        tokens(b"a \"b\nc"),
        [(TokenShape::Word, b"a".to_vec()), (TokenShape::UnclosedText, b"\"b\nc".to_vec())]
    );
    assert_eq!(shapes("\"\\\""), [TokenShape::UnclosedText]);
    assert_eq!(shapes("\"\\"), [TokenShape::UnclosedText]);
}

#[test]
fn variables_take_their_parentheses_whole() {
    let first = |text: &str| String::from_utf8_lossy(&tokens(text.as_bytes())[0].1).into_owned();
    assert_eq!(first("$(ru{uri.param,\"x\n}){s.len}) }"), "$(ru{uri.param,\"x\n})");
    assert_eq!(first("$avp(s:x)=1"), "$avp(s:x)");
    assert_eq!(first("$rU=~\"x\""), "$rU");
    assert_eq!(first("$ru,\"{\""), "$ru");
    assert_eq!(first("$retcode){"), "$retcode");
    assert_eq!(shapes("$(ru"), [TokenShape::UnclosedVariable]);
    assert_eq!(shapes("$"), [TokenShape::Variable]);
}

#[test]
fn a_byte_order_mark_and_escaped_newlines_are_white_space() {
    assert_eq!(shapes("\u{feff}fork"), [TokenShape::Word]);
    assert_eq!(
        shapes("fork \\\n = \\\r\n 1"),
        [TokenShape::Word, TokenShape::Mark(b'='), TokenShape::Number]
    );
}

#[test]
fn tokens_know_whether_they_open_their_line() {
    let mut lexer = Lexer::new(SourceFile::new(PathBuf::from("t"), b"a b\n  c /*\n*/ d \"\n\" e".to_vec()));
    let opens: Vec<bool> = (0..6).map(|_| lexer.next().first_on_line).collect();
    assert_eq!(opens, [true, false, true, true, false, false]);
}
