//! Against fnmatch(3), and against the limits.

use proptest::prelude::*;

use super::*;
use crate::system::fnmatch::fnmatch;

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Comparison::default().go_on(&Glob::new(pattern).unwrap(), text, &mut usize::MAX.clone()).unwrap()
}

#[test]
fn patterns_match_as_in_a_shell() {
    let matches = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
    assert!(matches("chunk_*", "chunk_a") && matches("*", "") && matches("a?[b-d]", "axc"));
    assert!(!matches("chunk_*", "other") && !matches("a", "ab") && !matches("*", "a\0b"));
    assert_eq!(Glob::new(b"a\0").unwrap_err(), GlobError::Nul);
}

#[test]
fn each_byte_is_in_a_set_as_in_the_c_library() {
    for pattern in [
        "?",
        "a",
        "\\*",
        "\\",
        "[a-f]",
        "[!a-f]",
        "[^a-f]",
        "[]a]",
        "[!]a]",
        "[a-]",
        "[-a]",
        "[--a]",
        "[a-c-e]",
        "[z-a]",
        "[\\]]",
        "[a-\\]]",
        "[\\a-c]",
        "[!\\!]",
        "[[:alnum:]]",
        "[[:alpha:]]",
        "[[:blank:]]",
        "[[:cntrl:]]",
        "[[:digit:]]",
        "[[:graph:]]",
        "[[:lower:]]",
        "[[:print:]]",
        "[[:punct:]]",
        "[[:space:]]",
        "[[:upper:]]",
        "[[:xdigit:]]",
        "[![:alpha:][:digit:]_]",
        "[[:alpha:]-z]",
        "[[=a=]b]",
        "[[.a.]b]",
        "[[.a.]-c]",
        "[a-[.c.]]",
        "[[.-.]]",
        "[[:zzz:]]",
        "[a[:foo:]b]",
        "[!a[:foo:]b]",
        "[[::]]",
        "[[:alpha]",
        "[a[.bb.]c]",
        "[",
        "[a",
        "[!",
        "[a-",
        "[a-\\",
        "[a\\",
        "[[",
        "[[:alpha:]",
        "[]",
        "[!]",
        "[[.a]",
        "[a[=b]",
        "[a-\u{e9}]",
        "[[.a.]-]",
        "[a-[.bb.]c]",
        "[\u{e9}-\u{ff}]",
        "[[===]]",
        "[a[:]",
        "[^]",
        "[a-z",
    ] {
        let pattern = pattern.as_bytes();
        for byte in 1..=u8::MAX {
            let text = [byte];
            let (found, wanted) = (matches(pattern, &text), fnmatch(pattern, &text));
            assert_eq!(found, wanted, "{} with {byte}", pattern.escape_ascii());
        }
    }
}

#[test]
fn a_bracket_without_end_stands_for_itself() {
    for pattern in [
        "[abc",
        "x[!a",
        "*[a-z",
        "[[",
        "[a[",
        "[a-",
        "[a\\",
        "[[.a",
        "[[=a",
        "[a[.",
        "[[:alpha:]",
        "[A-a",
        "[[:foo:]",
        "[a[:foo:]",
        "[[a]",
        "[[\\]",
        "[\\]",
        "[\\[",
        "[!a",
        "[![",
        "[[[[",
        "[a--",
        "[[[a--",
        "[[[\\]",
        "[[a[b[c]",
        "[!",
        "[!!",
        "[]",
        "[[]",
    ] {
        let stripped = pattern.replace(['*', '\\'], "");
        for text in [pattern, &stripped, "[l", "[:", "[f", "[af", "a", "["] {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            let (found, wanted) = (matches(pattern, text), fnmatch(pattern, text));
            assert_eq!(found, wanted, "{} with {}", pattern.escape_ascii(), text.escape_ascii());
        }
    }
}

/// The part of a pattern, well formed.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let member = prop_oneof![
        prop::sample::select(&b"abcdxyz019_ \xe9!^"[..]).prop_map(|byte| vec![byte]),
        (b'a'..=b'f', b'a'..=b'f').prop_map(|(first, last)| vec![first, b'-', last]),
        prop::sample::select(&["[:alpha:]", "[:digit:]", "[:space:]", "[=b=]", "[.c.]", "\\]", "\\\\"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let bracket =
        (prop::sample::select(&["[", "[!", "[^", "[]", "[!]"][..]), prop::collection::vec(member, 1..4))
            .prop_map(|(start, members)| [start.as_bytes(), &members.concat(), b"]"].concat());
    prop_oneof![
        3 => Just(b"*".to_vec()),
        1 => Just(b"?".to_vec()),
        4 => prop::sample::select(&b"abc"[..]).prop_map(|byte| vec![byte]),
        1 => prop::sample::select(&b"*?[]\\a"[..]).prop_map(|byte| vec![b'\\', byte]),
        2 => bracket,
    ]
}

/// Without `-`, as glibc takes `[[-` for itself.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"aaabbbccdxz01*?[]!\\ \xe9"[..]), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn well_formed_patterns_match_as_in_the_c_library(
        parts in prop::collection::vec(part(), 0..8),
        text in text(),
    ) {
        let pattern = parts.concat();
        prop_assert_eq!(matches(&pattern, &text), fnmatch(&pattern, &text), "{}", pattern.escape_ascii());
    }

    #[test]
    fn others_do_so_too(
        pattern in prop::collection::vec(prop::sample::select(&b"aabc**?[[]]!^-\\"[..]), 0..10),
        text in text(),
    ) {
        prop_assert_eq!(matches(&pattern, &text), fnmatch(&pattern, &text), "{}", pattern.escape_ascii());
    }

    /// Over several words of places.
    #[test]
    fn long_ones_do_so_too(
        parts in prop::collection::vec(prop::sample::select(&["a", "aa", "b", "?", "*", "[ab]"][..]), 60..200),
        cut in 0..4_usize,
    ) {
        let pattern = parts.concat();
        let text = pattern.replace("[ab]", "b").replace('?', "a").replace('*', &"ab"[..cut.min(2)]);
        let text = &text.as_bytes()[..text.len() - usize::from(cut == 3)];
        prop_assert_eq!(matches(pattern.as_bytes(), text), fnmatch(pattern.as_bytes(), text));
    }

    #[test]
    fn whatever_is_written_is_read(pattern in prop::collection::vec(1..=u8::MAX, 0..40), text in text()) {
        let _either = matches(&pattern, &text);
    }
}

#[test]
fn a_pattern_has_its_limit_of_parts() {
    let repeated = |part: &str, count: usize| part.repeat(count).into_bytes();
    for (part, parts) in
        [("a", 1), ("?", 1), ("*", 1), ("\\*", 1), ("[a]", 2), ("[!a-z[:digit:]]", 3), ("[", 1)]
    {
        assert!(Glob::new(&repeated(part, MAX_PARTS / parts)).is_ok(), "{part}");
        let error = Glob::new(&repeated(part, MAX_PARTS / parts + 1)).err();
        assert_eq!(error, Some(GlobError::TooLong), "{part}");
    }
    for member in ["a", "a-z", "[:alpha:]", "[=a=]", "[.a.]"] {
        let pattern = |count: usize| [b"[", &repeated(member, count)[..], b"]"].concat();
        assert!(Glob::new(&pattern(MAX_PARTS - 1)).is_ok(), "{member}");
        assert_eq!(Glob::new(&pattern(1 << 17)).err(), Some(GlobError::TooLong), "{member}");
    }
}

/// The steps that each key takes, in pieces, and whether it matches.
#[test]
fn no_key_takes_more_steps_than_the_product_of_the_lengths() {
    let key = |text: &str, count: usize| text.repeat(count).into_bytes();
    for (pattern, text, wanted) in [
        ([b"*", &key("?", 1000)[..], b"b"].concat(), key("a", 30_000), false),
        (key("*[a-z", 200), key("a", 6000), false),
        (key("*[a-z]", 200), key("a", 6000), true),
        (key("*a", 500), key("a", 499), false),
        ([b"*", &key("a", 1000)[..], b"b"].concat(), key("a", 2000), false),
        ([b"*", &key("a", 1000)[..], b"b*"].concat(), key("a", 2000), false),
        ([b"*", &key("?a", 500)[..], b"b*"].concat(), key("a", 2000), false),
        (key("[", 1000), key("[", 1000), true),
        ([&key("[", 1000)[..], b"\\]"].concat(), key("[", 1001), false),
        ([&key("[", 1000)[..], b"a--"].concat(), key("[", 1003), false),
        ([b"[", &key("[:alpha:]", 600)[..], b"]"].concat(), key("a", 6000), false),
    ] {
        let glob = Glob::new(&pattern).unwrap();
        let (mut comparison, mut taken) = (Comparison::default(), 0);
        let found = loop {
            let mut steps = 100;
            let found = comparison.go_on(&glob, &text, &mut steps);
            taken += 100 - steps;
            if let Some(found) = found {
                break found;
            }
        };
        assert_eq!(found, wanted, "{}", pattern[..20].escape_ascii());
        assert!(taken <= (text.len() + 1) * (pattern.len() + 1), "{taken}");
        let is_one_star = pattern.iter().filter(|&&byte| byte == b'*').count() == 1;
        assert!(!is_one_star || taken <= text.len() + pattern.len(), "{taken}");
    }
}
