//! Mistakes in the text: where they are told, what is said, and that the rest is still read.

use super::*;

/// Each text, what is said about it, and how many statements are read all the same.
const CASES: &[(&str, &str, usize)] = &[
    ("fork=maybe\ndebug=3", "1:6: expected yes or no, found `maybe`; write yes or no", 1),
    ("debug=\"3\"\nfork=no", "1:7: expected a number, found \"3\"; write it without quotes", 1),
    ("debug 3\nfork=no", "1:7: expected `=`, found `3`; write name=value", 1),
    ("debug=\nfork=no", "2:1: expected a number, found `fork`; write it without quotes", 1),
    (
        "debug=08\nfork=no",
        "1:7: `08` is not a number; write a decimal, an octal as 0660 or a hexadecimal as 0x1f",
        1,
    ),
    ("debug=2147483648\nfork=no", "1:7: `2147483648` is too large; write a number up to 2147483647", 1),
    ("debug=99999999999", "1:7: `99999999999` is too large; write a number up to 2147483647", 0),
    (
        "event_shm_threshold=101",
        "1:21: event_shm_threshold=101 is out of range; write a number from 0 to 100",
        1,
    ),
    (
        "debug=3;\nfork=no",
        "1:8: expected a statement, found `;`; remove it, statements outside of blocks have no end mark",
        2,
    ),
    ("lgo_level=3\nfork=no", "1:1: unknown global \"lgo_level\"; write \"log_level\" if that is meant", 1),
    ("log-level=3\nfork=no", "1:1: unknown global \"log-level\"; write \"log_level\" if that is meant", 1),
    ("nonsense_here=3\nfork=no", "1:1: unknown global \"nonsense_here\"; correct or remove it", 1),
    (
        "loadmodul \"a\"\nfork=no",
        "1:1: unknown statement \"loadmodul\"; write \"loadmodule\" if that is meant",
        1,
    ),
    ("socket=udp:1.2.3.4\nfork=no", "1:1: unknown global \"socket\"; write \"listen\" if that is meant", 1),
    (
        "log_facility=LOG_NONE",
        "1:14: unknown syslog facility `LOG_NONE`; write one of LOG_DAEMON, LOG_USER, LOG_LOCAL0 … LOG_LOCAL7",
        1,
    ),
    (
        "loadmodule a.so\nfork=no",
        "1:12: expected a file name as \"mi_datagram.so\", found `a`; put it in quotes",
        1,
    ),
    (
        "loadmodule \"\"\nfork=no",
        "1:12: expected a file name as \"mi_datagram.so\", found \"\"; write one, or remove the line",
        1,
    ),
    (
        "modparam(\"a\", \"b\" 1)\nfork=no",
        "1:19: expected `,`, found `1`; write modparam(\"module\", \"parameter\", value)",
        1,
    ),
    (
        "modparam(\"a\", \"b\", 1\nfork=no",
        "2:1: expected `)`, found `fork`; write modparam(\"module\", \"parameter\", value)",
        1,
    ),
    (
        "modparam(\"a\", \"b\", x)\nfork=no",
        "1:20: expected a number or a string in quotes, found `x`; put text in quotes",
        1,
    ),
    ("modparam(\"a\", \"b\", \"x\\x00\")\nfork=no", "1:20: string \"x\\x00\" holds a NUL byte; remove it", 1),
    (
        "listen=udp:1.2.3.256\nfork=no",
        "1:12: `1.2.3.256` is not an IPv4 address; write four numbers from 0 to 255",
        1,
    ),
    (
        "listen=udp:a:65536\nfork=no",
        "1:14: expected a port from 0 to 65535, found `65536`; correct it, or remove the colon",
        1,
    ),
    (
        "listen=udp:<ip>:5060\nfork=no",
        "1:12: expected a host or an address, found `<`; put a name in quotes",
        1,
    ),
    ("}\nfork=no", "1:1: `}` closes nothing; remove it, or look for a block above that ends too early", 1),
    (
        "{ a }\nfork=no",
        "1:1: expected a statement, found `{`; write the word that opens the block, as route",
        1,
    ),
    ("nothing { fork=no }\ndebug=3", "1:1: unknown statement \"nothing\"; correct or remove it", 1),
    ("route[1 { }\nfork=no", "1:9: expected `]`, found `{`; write route[name] { … }", 1),
    ("/* a /* b */\nfork=no", "1:1: comment is not closed; add `*/`, once for each `/*`", 0),
    (
        "fork=no\nroute {\n  if ($ru) {\n}\n",
        "2:7: block is not closed before the end of the file; add `}`",
        1,
    ),
    (
        "route {\n  if ($ru) {\n}\nroute[2] {\n}\nfork=no",
        "1:7: block is not closed before `route`; add `}`",
        1,
    ),
    ("route {\n exit;\n\nloadmodule \"a\"\n", "1:7: block is not closed before `loadmodule`; add `}`", 1),
    ("route { $(ru{x; }\n", "1:9: variable `$(ru{x; }` has no closing parenthesis; add `)`", 0),
    (
        "? @\nfork=no",
        "1:1: expected a global, loadmodule, modparam or a routing block, found `?`; remove it, or look for an error in the line before",
        1,
    ),
];

#[test]
fn each_error_is_reported_at_its_place() {
    for (text, message, statements) in CASES {
        let (document, diagnostics) = Files::main(text).parse();
        assert_eq!(messages(&diagnostics), [format!("cfg:{message}")], "{text}");
        assert_eq!(document.statements.len(), *statements, "{text}");
    }
}

#[test]
fn a_missing_quote_is_reported_where_the_string_starts() {
    let text = "loadmodule \"a.so\nloadmodule \"b.so\"\nmodparam(\"b\", \"x, 1)\nmodparam(\"b\", \"y\", \"z)\nmodparam(\"b\", \"y\", \"z\")\n";
    let (document, diagnostics) = Files::main(text).parse();
    assert_eq!(
        messages(&diagnostics),
        [
            "cfg:1:12: string \"a.so does not end on its line; add the closing quote",
            "cfg:3:15: string \"x, 1) does not end on its line; add the closing quote",
            "cfg:4:20: string \"z) does not end on its line; add the closing quote",
        ]
    );
    assert_eq!((document.modules().count(), document.parameters().count()), (1, 1));
}

#[test]
fn a_missing_quote_in_a_block_hides_no_later_statement() {
    let text = "route {\n  xlog(\"a);\n  if (1) { xlog(\"b\"); }\n}\nforkk=no\nmodparam(\"x\", \"y\", \"z)";
    assert_eq!(
        said(text),
        [
            "cfg:2:8: string \"a); does not end on its line; add the closing quote",
            "cfg:5:1: unknown global \"forkk\"; write \"fork\" if that is meant",
            "cfg:6:20: string \"z) does not end on its line; add the closing quote",
        ]
    );
}

#[test]
fn one_run_reports_all_errors() {
    let text = "forkk=no\nloadmodule \"mi_datagram.so\"\ndebug=x\nmodparam(\"mi_datagram\", \"unix_socket_mode\", \"rw\")\n\
                modparam(\"mi_datagram\", \"children\", 1)\nroute { if }\nuser=3";
    let lines: Vec<String> = said(text).iter().map(|message| message[..6].to_owned()).collect();
    assert_eq!(lines, ["cfg:1:", "cfg:3:", "cfg:4:", "cfg:5:"]);
}

#[test]
fn a_printed_error_has_its_line_and_a_caret() {
    let text =
        "loadmodule \"mi_datagram.so\"\n\tmodparam(\"mi_datagram\", \"unix_socket_mode\", \"rw\") # \u{e9}\n";
    let (_, diagnostics) = Files::main(text).resolve();
    assert_eq!(
        diagnostics.to_string(),
        "/etc/opensips/opensips.cfg:2:46: modparam(\"mi_datagram\", \"unix_socket_mode\", \"rw\"): \
         expected an octal mode; write 0660\n\
         \tmodparam(\"mi_datagram\", \"unix_socket_mode\", \"rw\") # \u{e9}\n\
         \t                                            ^\n"
    );
}

#[test]
fn a_file_of_another_language_gives_a_bounded_list_of_errors() {
    let text = "[section]\nkey: value\n<xml attr='1'/>\n".repeat(20_000);
    let (_, diagnostics) = Files::main(text).parse();
    assert!(diagnostics.has_errors());
    assert!(diagnostics.to_string().len() < 200_000);
}
