//! Tests requests against a table of test commands.

use std::net::Ipv4Addr;

use super::*;
use crate::mi::testing::context;
use crate::mi::{Call, Command, required};

static ROWS: [Command; 7] = [
    row("done", Classic::NoInput, &|_: &mut mi::Call<'_>| Ok(())),
    row("fails", Classic::NoInput, &|_: &mut mi::Call<'_>| Err(mi::COMMAND_FAILED)),
    row("status", Classic::NoInput, &|call: &mut mi::Call<'_>| {
        call.reply.status(&Status::new(480, "say \"no\""));
        call.reply.list();
        call.reply.open(b"ignored", "x".into());
        call.reply.attribute(b"a", "x".into());
        call.reply.close();
        Ok(())
    }),
    row("synced", Classic::NoInput, &|call: &mut mi::Call<'_>| {
        call.reply.status(&Status::new(200, "Contacts already synced"));
        Ok(())
    }),
    row("echo", Classic::takes(&[required("a").list()]), &|call: &mut mi::Call<'_>| {
        call.args.list("a").for_each(|value| call.reply.node("v", value));
        Ok(())
    }),
    row("tree", Classic::NoInput, &|call: &mut mi::Call<'_>| {
        tree(call);
        Ok(())
    }),
    row("long", Classic::NoInput, &|call: &mut mi::Call<'_>| {
        call.reply.open_json("Numbers", Value::List);
        let mut next = 0;
        call.rest = Some(Rest::of_reply(move |_, reply| {
            reply.node("Number", Value::Unsigned(next));
            next += 1;
            Ok(if next < 3 { Progress::More } else { Progress::Done })
        }));
        Ok(())
    }),
];

const fn row(name: &'static str, classic: Classic, run: &'static dyn mi::CommandFunction) -> Command {
    Command { name, help: None, classic, json_rpc: &[], changes: crate::mi::Changes::Data, run }
}

/// Writes nodes of all shapes.
fn tree(call: &mut Call<'_>) {
    let reply = &mut *call.reply;
    reply.node("leaf", "a/b\r\n\x01");
    reply.node("empty", "");
    reply.open(b"attributes", Value::Nothing);
    reply.attribute(b"n", Value::Signed(-1));
    reply.attribute(b"none", "".into());
    reply.close();
    reply.open(b"all", "v".into());
    reply.attribute(b"a", Value::Text(format_args!("{}", 1)));
    reply.list();
    reply.node("item", "1");
    reply.node("item", "2");
    reply.close();
    reply.open(b"inside", "v".into());
    reply.open(b"deep", Value::Nothing);
    reply.node("deeper", Value::Bytes(b"\xff"));
    reply.close();
    reply.node("next", "n");
    reply.close();
    reply.node("", "unnamed");
    reply.open(b"none inside", Value::Nothing);
    reply.list();
    reply.close();
}

/// Answers a request. Returns the reply, whether it is an error, and its number of pieces.
fn answer(path: &str, query: &str) -> (String, bool, usize) {
    let mut context = context();
    context.commands.add("test", &ROWS).unwrap();
    let mut stream = Stream::default();
    let request = HttpRequest {
        client: Ipv4Addr::LOCALHOST.into(),
        method: HttpMethod::Get,
        path,
        query: Some(query),
        body: b"",
    };
    let mut head = TreeJson.answer(&context, &request, &mut stream);
    let mut pieces = 1;
    while let Some(more) = &mut head.rest {
        pieces += 1;
        if more.write_piece(&context, &mut stream, Duration::ZERO) == Progress::Done {
            break;
        }
    }
    assert_eq!((head.status, head.content_type), (200, "application/json"));
    let reply = String::from_utf8(stream.waiting().to_vec()).unwrap();
    if !reply.is_empty() {
        serde_json::from_str::<serde_json::Value>(&reply).unwrap_or_else(|error| panic!("{error}: {reply}"));
    }
    (reply, head.is_error, pieces)
}

#[test]
fn a_command_without_nodes_has_an_empty_reply() {
    assert_eq!(answer("/done", "params=ignored"), (String::new(), false, 1));
    assert_eq!(answer("/synced", ""), (String::new(), false, 1));
    assert_eq!(answer("/d%6Fne", "").0, "");
}

#[test]
fn errors_are_json_with_code_and_message() {
    let wanted = |code: i32, message: &str| {
        (format!("{{\"error\": {{\"code\": {code}, \"message\": \"{message}\"}}}}"), true, 1)
    };
    for path in ["", "/"] {
        assert_eq!(answer(path, ""), wanted(500, "Internal server error"));
    }
    for path in ["/nope", "/done/", "/Done", "//done", "/done%00"] {
        assert_eq!(answer(path, ""), wanted(500, "Command not found"));
    }
    assert_eq!(answer("/fails", ""), wanted(500, "Internal server error"));
    assert_eq!(answer("/status", ""), wanted(480, "say \\\"no\\\""));
    assert_eq!(answer("/echo", ""), wanted(400, "Too few or too many arguments"));
    let mut stream = Stream::default();
    let request = HttpRequest {
        client: Ipv4Addr::LOCALHOST.into(),
        method: HttpMethod::Post,
        path: "/done",
        query: None,
        body: b"params=a",
    };
    let answer = TreeJson.answer(&context(), &request, &mut stream);
    assert!(answer.is_error && answer.status == 405);
    assert_eq!(stream.waiting(), wanted(406, "Unexpected method").0.as_bytes());
}

#[test]
fn parameters_are_split_at_commas_after_decoding() {
    let values = |query: &str| {
        let mut params = Params::new();
        decode_params(query.as_bytes(), &mut params);
        params.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
    };
    for (query, wanted) in [
        ("params=a,b", &["a", "b"][..]),
        ("params=a%2Cb%20c+d", &["a", "b c d"]),
        ("x=1&p%61rams=a&params=b", &["a"]),
        ("params=,a,,b,", &["", "a", "", "b"]),
        ("params=,", &[""]),
        ("params=a=b", &["a=b"]),
        ("params=%zz%4", &["%zz%4"]),
        ("params=", &[]),
        ("params", &[]),
        ("param=a", &[]),
        ("", &[]),
    ] {
        assert_eq!(values(query), wanted, "{query}");
    }
    let bytes = percent_decoded(b"%ff+%2B", false);
    assert_eq!(bytes, b"\xff++");
}

#[test]
fn nodes_of_all_shapes_are_encoded() {
    let wanted = concat!(
        r#"{"leaf": "a\/b\r\n\u0001", "empty": {}, "attributes": {"attributes":{"n": "-1", "none": null}}, "#,
        r#""all": {"value":"v", "attributes":{"a": "1"}, "children":{"item": [{"value":"1"}, {"value":"2"}]}}, "#,
        r#""inside": {"value":"v", "children":{"deep": {"children":{"deeper": "\u00ff"}}, "next": "n"}}, "#,
        r#""value":"unnamed", "none inside": {}}"#
    );
    assert_eq!(answer("/tree", "").0, wanted);
}

#[test]
fn a_long_reply_is_written_in_pieces() {
    let wanted = r#"{"Number": [{"value":"0"}, {"value":"1"}, {"value":"2"}]}"#;
    assert_eq!(answer("/long", ""), (wanted.to_owned(), false, 4));
}
