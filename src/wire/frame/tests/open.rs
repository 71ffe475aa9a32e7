//! Tests requests among the lines of a text request whose end is missing.

use super::*;

fn unterminated(command: &str, reply: &str) -> Found {
    Found::Unterminated(command.to_owned(), reply.to_owned())
}

#[test]
fn complete_requests_after_an_unterminated_one_are_found() {
    let good = "set:g\nv\n\n";
    for bad in [
        // With and without a reply FIFO that exists, with lines, without a line end, with quotes.
        ":set:b\n",
        ":set:gone\n",
        ":nope:b\n",
        ":set:b\na\n",
        ":set:b\na",
        ":set:b\na\n:set:gone\n:ps:gone\n:set:\n",
        ":set:b\n\"open\n",
        ":set:b\n\"open",
        ":set:b\nx\"y\n",
        ":set:b\n\"open\n:nope:c\n",
        // Incomplete headers.
        ":set",
        ":set:",
        ":set:b",
        ":set:b:set:b:set:b",
        "set:b",
        "\0\0\0",
        "\0\n\0",
        "x:y",
    ] {
        let mut stream = Stream::default();
        for times in 1..=3 {
            stream.feed(bad.as_bytes());
            stream.feed(format!(":{good}").as_bytes());
            let answered = stream.found.iter().filter(|it| **it == command("set", "g", "v\n")).count();
            assert_eq!(answered, times, "{bad:?}: {:?}", stream.found);
            let all = found(&format!("{bad}:{good}").repeat(times));
            assert_eq!(all, stream.found, "{bad:?} at once");
        }
    }
}

#[test]
fn an_open_request_continues_after_a_nested_one() {
    let two = [command("set", "b", "2\n"), command("set", "a", "1\n3\n")];
    assert_eq!(found(":set:a\n1\n:set:b\n2\n\n3\n\n"), two);
    // The nested header ends a line of the outer request.
    assert_eq!(found(":set:a\n1\n3:set:b\n2\n\n\n\n"), two);
    assert_eq!(
        found(":set:a\n\"x\n:set:b\n2\n\ny\"\n\n"),
        [two[0].clone(), command("set", "a", "\"x\ny\"\n")]
    );
    let closed = [two[0].clone(), command("set", "a", "\"x\n:ps:c\ny\"z\n")];
    assert_eq!(found(":set:a\n\"x\n:ps:c\ny\":set:b\n2\n\nz\n\n"), closed);
    let three = [command("set", "c", ""), two[0].clone(), two[1].clone()];
    assert_eq!(found(":set:a\n1\n:set:b\n:set:c\n\n2\n\n3\n\n"), three);
}

#[test]
fn requests_without_parameters_that_come_line_by_line_do_not_hide_each_other() {
    let two = [command("ps", "a", ""), command("pwd", "b", "")];
    assert_eq!(found(":ps:a\n:pwd:b\n\n\n"), two);
    assert_eq!(found(":nope:a\nx\n:pwd:b\n\n"), [command("nope", "a", "x\n"), two[1].clone()]);
    assert_eq!(found(":ps:a\n:set:b\n1\n\n\n"), [two[0].clone(), command("set", "b", "1\n")]);
    assert_eq!(found(":ps:a\n:pwd:gone\n\n\n"), [two[0].clone(), command("pwd", "gone", "")]);
    // Among the lines of a request with parameters.
    for mixed in [":set:a\n:ps:b\n1\n\n\n", ":set:a\n:ps:b\n\n1\n\n", ":set:a\n:ps:b\n:pwd:c\n1\n\n\n\n"] {
        let all = found(mixed);
        assert_eq!(all.first(), Some(&command("ps", "b", "")), "{mixed:?}");
        assert_eq!(all.last(), Some(&command("set", "a", "1\n")), "{mixed:?}");
    }
    // An unknown command.
    assert_eq!(found(":ps:a\n:nope:gone\n\n"), [command("ps", "a", ":nope:gone\n")]);
}

#[test]
fn a_parameter_that_looks_like_a_header_stays_a_parameter() {
    for params in [
        // The reply FIFO does not exist.
        ":ps:gone\n",
        ":kill:\n",
        ":nope:gone\n",
        "sip:alice:a\n",
        ":gone:{1}\n",
        "a:x\n",
        // In quotes.
        "\"a\n:ps:b\nc\"\n",
        "\"\n:ps:b\n\"\n",
        "name::\"a\\\"\n:set:b\n:set:c\"\n",
        "1\n\":ps:b\n:ps:c\n\"\n2\n",
    ] {
        assert_eq!(found(&format!(":set:r\n{params}\n")), [command("set", "r", params)], "{params:?}");
    }
    // Also in a nested request that begins inside of an unclosed quote.
    assert_eq!(found(":set:r\n\"a\n:ps:b\nc\"\n:ps:d\n\n"), [command("ps", "d", "")]);
    let value = "\"a\n:ps:b\nc\"\n";
    assert_eq!(found(&format!(":set:r\n\"open\n:set:s\n{value}\n")), [command("set", "s", value)]);
}

#[test]
fn a_client_with_a_new_request_gets_no_error_for_its_unterminated_one() {
    assert_eq!(
        found(&format!("{}:ps:b\n\n", ":set:a\n".repeat(3))),
        [Found::Garbage, Found::Garbage, command("ps", "b", "")]
    );
    assert_eq!(found(":set:a\nx\n:set:a\n1\n\n"), [Found::Garbage, command("set", "a", "1\n")]);
}

/// All lines are read again when the rule for quotes is known, so the lines have a limit.
#[test]
fn a_header_in_an_unclosed_quote_is_found_after_a_limit_of_lines() {
    let open = ":set:r\n\"a\n:ps:b\n";
    let (few, many) = ("x\n".repeat(200), "x\n".repeat(300));
    let value = format!("\"a\n:ps:b\n{few}\"\n");
    assert_eq!(found(&format!(":set:r\n{value}\n")), [command("set", "r", &value)]);
    assert_eq!(found(&format!("{open}{few}")), []);
    assert_eq!(found(&format!("{open}{many}")), [command("ps", "b", "")]);
    assert_eq!(found(&format!("{open}{many}{}:ps:d\n\n", ":ps:c\n".repeat(300))).len(), 302);
}

#[test]
fn too_many_open_requests_refuse_the_oldest() {
    let names: Vec<char> = ('a'..='z').collect();
    let headers: String = (0..200).map(|at| format!(":set:{}\n", names[at % names.len()])).collect();
    let all = found(&format!("{headers}:ps:z\n\n"));
    assert_eq!(all.last(), Some(&command("ps", "z", "")));
    assert!(all.len() > 100 && all[0] == unterminated("set", "a"), "{all:?}");
}

#[test]
fn an_open_request_over_the_limit_hides_no_other() {
    let long = "x".repeat(MAX_REQUEST_BYTES);
    for open in
        [format!(":set:b\n{long}"), format!(":set:b\n\"{long}\n{long}"), format!(":set:a\n:set:b\n{long}")]
    {
        for end in ["", "\n"] {
            let mut stream = Stream::default();
            format!("{open}{end}").as_bytes().chunks(60_000).for_each(|piece| _ = stream.feed(piece));
            for piece in ["y:p", "s:c\n\n", ":ps", ":d\n\n"] {
                stream.feed(piece.as_bytes());
            }
            let last = &stream.found[stream.found.len() - 2..];
            assert_eq!(last, [command("ps", "c", ""), command("ps", "d", "")], "{end:?}");
        }
    }
}
