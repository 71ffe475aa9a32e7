//! Requests of others among the lines of one that has no end yet.

use super::*;

fn unfinished(command: &str, reply: &str) -> Found {
    Found::Unfinished(command.to_owned(), reply.to_owned())
}

#[test]
fn whole_requests_behind_an_unfinished_one_are_found() {
    let good = "set:g\nv\n\n";
    for bad in [
        // Its client waits, or does not; lines behind it; one without its end; quotes.
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
        // Headers without their end.
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
fn an_open_request_goes_on_behind_those_of_others() {
    let two = [command("set", "b", "2\n"), command("set", "a", "1\n3\n")];
    assert_eq!(found(":set:a\n1\n:set:b\n2\n\n3\n\n"), two);
    // In the middle of a line, which is whole then.
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
fn requests_without_input_that_come_line_by_line_do_not_hide_each_other() {
    let two = [command("ps", "a", ""), command("pwd", "b", "")];
    assert_eq!(found(":ps:a\n:pwd:b\n\n\n"), two);
    assert_eq!(found(":nope:a\nx\n:pwd:b\n\n"), [command("nope", "a", "x\n"), two[1].clone()]);
    assert_eq!(found(":ps:a\n:set:b\n1\n\n\n"), [two[0].clone(), command("set", "b", "1\n")]);
    assert_eq!(found(":ps:a\n:pwd:gone\n\n\n"), [two[0].clone(), command("pwd", "gone", "")]);
    // Between the lines of one with parameters.
    for mixed in [":set:a\n:ps:b\n1\n\n\n", ":set:a\n:ps:b\n\n1\n\n", ":set:a\n:ps:b\n:pwd:c\n1\n\n\n\n"] {
        let all = found(mixed);
        assert_eq!(all.first(), Some(&command("ps", "b", "")), "{mixed:?}");
        assert_eq!(all.last(), Some(&command("set", "a", "1\n")), "{mixed:?}");
    }
    // No command.
    assert_eq!(found(":ps:a\n:nope:gone\n\n"), [command("ps", "a", ":nope:gone\n")]);
}

#[test]
fn a_parameter_that_looks_like_a_header_stays_one() {
    for params in [
        // Nobody waits for the reply.
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
    // Also inside of a request that is found in quotes that never close.
    assert_eq!(found(":set:r\n\"a\n:ps:b\nc\"\n:ps:d\n\n"), [command("ps", "d", "")]);
    let value = "\"a\n:ps:b\nc\"\n";
    assert_eq!(found(&format!(":set:r\n\"open\n:set:s\n{value}\n")), [command("set", "s", value)]);
}

#[test]
fn a_client_that_has_gone_on_is_not_told_of_its_unfinished_request() {
    assert_eq!(
        found(&format!("{}:ps:b\n\n", ":set:a\n".repeat(3))),
        [Found::Garbage, Found::Garbage, command("ps", "b", "")]
    );
    assert_eq!(found(":set:a\nx\n:set:a\n1\n\n"), [Found::Garbage, command("set", "a", "1\n")]);
}

/// It would take long to look at all lines again, and again behind each request that is found among them.
#[test]
fn headers_in_quotes_are_undecided_for_so_many_lines_only() {
    let open = ":set:r\n\"a\n:ps:b\n";
    let (few, many) = ("x\n".repeat(200), "x\n".repeat(300));
    let value = format!("\"a\n:ps:b\n{few}\"\n");
    assert_eq!(found(&format!(":set:r\n{value}\n")), [command("set", "r", &value)]);
    assert_eq!(found(&format!("{open}{few}")), []);
    assert_eq!(found(&format!("{open}{many}")), [command("ps", "b", "")]);
    assert_eq!(found(&format!("{open}{many}{}:ps:d\n\n", ":ps:c\n".repeat(300))).len(), 302);
}

/// The oldest is refused when there are too many.
#[test]
fn open_requests_have_a_limit() {
    let names: Vec<char> = ('a'..='z').collect();
    let headers: String = (0..200).map(|at| format!(":set:{}\n", names[at % names.len()])).collect();
    let all = found(&format!("{headers}:ps:z\n\n"));
    assert_eq!(all.last(), Some(&command("ps", "z", "")));
    assert!(all.len() > 100 && all[0] == unfinished("set", "a"), "{all:?}");
}

#[test]
fn open_requests_that_get_too_long_hide_nobody() {
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
