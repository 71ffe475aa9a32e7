//! Tests requests and batches against a table of test commands.

use std::time::Duration;

use super::*;
use crate::mi::testing::context;
use crate::mi::{Call, Changes, Classic, Command, Progress, Value, required};
use crate::wire::{Datagram, MAX_BATCH_TIME, MAX_DATAGRAM_BYTES, NO_TIME_LEFT, PieceWriter};

static ROWS: [Command; 5] = [
    Command {
        name: "done",
        help: None,
        classic: Classic::Absent,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &|_: &mut Call<'_>| Ok(()),
    },
    Command {
        name: "echo",
        help: None,
        classic: Classic::Absent,
        json_rpc: &[&[required("text")]],
        changes: Changes::Data,
        run: &|call: &mut Call<'_>| {
            call.reply.node("text", call.args.get("text").unwrap_or_default());
            Ok(())
        },
    },
    Command {
        name: "count",
        help: None,
        classic: Classic::Absent,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &count,
    },
    Command {
        name: "endless",
        help: None,
        classic: Classic::Absent,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &|call: &mut Call<'_>| {
            call.reply.open(b"Lines", Value::List);
            call.rest = Some(Rest::of_reply(|_, reply| {
                reply.node("", "x".repeat(1000).as_str());
                Ok(Progress::More)
            }));
            Ok(())
        },
    },
    Command {
        name: "old",
        help: None,
        classic: Classic::NoInput,
        json_rpc: &[],
        changes: Changes::Data,
        run: &|_: &mut Call<'_>| Ok(()),
    },
];

/// Writes a reply in three pieces.
fn count(call: &mut Call<'_>) -> Result<(), Status> {
    call.reply.open(b"Numbers", Value::List);
    let mut next = 0;
    call.rest = Some(Rest::of_reply(move |_, reply| {
        reply.node("", Value::Unsigned(next));
        next += 1;
        if next < 3 {
            return Ok(Progress::More);
        }
        reply.close();
        Ok(Progress::Done)
    }));
    Ok(())
}

/// Answers a text. Returns the reply and its number of pieces.
fn answer(text: &str) -> (String, usize) {
    let mut context = context();
    context.commands.add("test", &ROWS).unwrap();
    let (mut answerer, mut datagram) = (JsonRpcAnswerer::default(), Datagram::new());
    let mut outcome = answerer.answer(&context, text.as_bytes(), Caller::new("test", &""), &mut datagram);
    let mut pieces = 1;
    while let Some(unfinished) = &mut outcome.unfinished {
        pieces += 1;
        if unfinished.write_piece(&context, &mut datagram, Duration::ZERO) == Progress::Done {
            break;
        }
    }
    let reply = String::from_utf8(datagram.bytes().unwrap().to_vec()).unwrap();
    if !reply.is_empty() {
        serde_json::from_str::<serde_json::Value>(&reply).unwrap_or_else(|error| panic!("{error}: {reply}"));
    }
    (reply, pieces)
}

fn request(id: &str, rest: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{rest}}}"#)
}

const OK_1: &str = r#"{"jsonrpc":"2.0","result":"OK","id":1}"#;
const NUMBERS_2: &str = r#"{"jsonrpc":"2.0","result":{"Numbers":[0,1,2]},"id":2}"#;
const INVALID: &str = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}"#;

#[test]
fn a_request_has_one_reply_and_a_notification_none() {
    assert_eq!(answer(&request("1", r#""done""#)).0, OK_1);
    assert_eq!(answer(&request("2", r#""count""#)), (NUMBERS_2.to_owned(), 4));
    for notification in [r#""done""#, r#""count""#, r#""nope""#, r#""echo","params":[]"#] {
        assert_eq!(answer(&format!(r#"{{"jsonrpc":"2.0","method":{notification}}}"#)).0, "");
    }
}

#[test]
fn a_request_that_cannot_run_gets_an_error() {
    for (rest, wanted) in [
        (r#""old""#, r#"{"code":-32601,"message":"Method not found"}"#),
        (r#""Done""#, r#"{"code":-32601,"message":"Method not found"}"#),
        (
            r#""echo","params":[{}]"#,
            r#"{"code":-32602,"message":"Invalid params","data":"Bad type for parameter 'text'"}"#,
        ),
    ] {
        let wanted = format!(r#"{{"jsonrpc":"2.0","error":{wanted},"id":"x"}}"#);
        assert_eq!(answer(&request("\"x\"", rest)).0, wanted);
    }
    let bytes = [b"{\"a\":\"".as_slice(), b"\xff\"}"].concat();
    let mut datagram = Datagram::new();
    assert!(
        JsonRpcAnswerer::default()
            .answer(&context(), &bytes, Caller::new("test", &""), &mut datagram)
            .is_error
    );
    assert!(datagram.bytes().unwrap().starts_with(b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700"));
}

#[test]
fn a_batch_gets_an_array_of_the_replies_to_requests_with_an_id() {
    let (one, two) = (request("1", r#""done""#), request("2", r#""count""#));
    let silent = r#"{"jsonrpc":"2.0","method":"done"}"#;
    assert_eq!(answer(&format!("[{one},{silent},{two},{one}]")).0, format!("[{OK_1},{NUMBERS_2},{OK_1}]"));
    assert_eq!(answer(&format!("[{two},{silent}]")).0, format!("[{NUMBERS_2}]"));
    assert_eq!(answer(&format!("[{silent},{silent}]")).0, "");
    assert_eq!(answer(&format!(" [1, {one}, []]")).0, format!("[{INVALID},{OK_1},{INVALID}]"));
    assert_eq!(answer("[]").0, INVALID);
    assert!(answer(&format!("[{one},]")).0.contains("-32700"));
}

#[test]
fn a_reply_that_is_too_long_becomes_an_error_in_its_batch() {
    let long = request("3", &format!(r#""echo","params":["{}"]"#, "x".repeat(MAX_DATAGRAM_BYTES)));
    let (reply, _) = answer(&long);
    assert!(
        reply.starts_with(r#"{"jsonrpc":"2.0","error":{"code":500,"message":"reply too large: 655"#),
        "{reply}"
    );
    assert!(reply.ends_with(r#" bytes, limit 65457"},"id":3}"#), "{reply}");
    let (reply, _) =
        answer(&format!("[{},{long},{}]", request("1", r#""done""#), request("2", r#""count""#)));
    assert!(reply.starts_with(&format!("[{OK_1},")) && reply.ends_with(&format!(",{NUMBERS_2}]")), "{reply}");
    assert!(reply.contains("too large"));
}

#[test]
fn a_reply_of_a_batch_that_is_too_long_is_cut_short() {
    let (endless, done) = (request("1", r#""endless""#), request("1", r#""done""#));
    let (reply, pieces) = answer(&format!("[{endless},{done}]"));
    assert!(reply.contains("reply too large") && reply.ends_with(&format!(",{OK_1}]")), "{reply}");
    assert!(pieces < 100, "{pieces}");
}

#[test]
fn a_batch_holds_one_large_reply_at_a_time() {
    let mut context = context();
    context.commands.add("test", &ROWS).unwrap();
    let large = request("1", &format!(r#""echo","params":["{}"]"#, "x".repeat(100_000)));
    let (mut answerer, mut stream) = (JsonRpcAnswerer::default(), crate::wire::Stream::default());
    let text = format!("[{}]", vec![large.as_str(); 20].join(","));
    let mut unfinished =
        answerer.answer(&context, text.as_bytes(), Caller::new("test", &""), &mut stream).unfinished.unwrap();
    let mut longest = stream.held();
    let mut all = stream.held();
    stream.sent(all);
    while unfinished.write_piece(&context, &mut stream, Duration::ZERO) == Progress::More {
        longest = longest.max(stream.held());
        all += stream.held();
        stream.sent(stream.held());
    }
    assert!(longest < 101_000 && all > 1_900_000, "{longest} {all}");
}

#[test]
fn a_batch_of_more_than_1024_requests_is_refused() {
    let done = request("1", r#""done""#);
    let batch = |count: usize| format!("[{}]", vec![done.as_str(); count].join(","));
    assert_eq!(answer(&batch(MAX_BATCH)).0.matches(r#""OK""#).count(), MAX_BATCH);
    let refused = answer(&batch(MAX_BATCH + 1)).0;
    assert!(refused.contains(r#""data":"1025 requests in a batch, at most 1024"},"id":null}"#), "{refused}");
}

#[test]
fn requests_of_a_batch_past_the_time_limit_get_an_error_each() {
    let mut context = context();
    context.commands.add("test", &ROWS).unwrap();
    let (one, two) = (request("1", r#""done""#), request("2", r#""count""#));
    let silent = r#"{"jsonrpc":"2.0","method":"done"}"#;
    let text = format!("[{one},{two},{one},{silent},5,{two}]");
    let (mut answerer, mut datagram) = (JsonRpcAnswerer::default(), Datagram::new());
    let mut unfinished = answerer
        .answer(&context, text.as_bytes(), Caller::new("test", &""), &mut datagram)
        .unfinished
        .unwrap();
    // The first two begin within the time limit.
    let spent = |pieces: u32| if pieces < 2 { Duration::ZERO } else { MAX_BATCH_TIME };
    let mut pieces = 0;
    while unfinished.write_piece(&context, &mut datagram, spent(pieces)) == Progress::More {
        pieces += 1;
    }
    let late = |id: u32| {
        let message = &NO_TIME_LEFT.reason;
        format!(r#"{{"jsonrpc":"2.0","error":{{"code":503,"message":"{message}"}},"id":{id}}}"#)
    };
    let wanted = format!("[{OK_1},{NUMBERS_2},{},{INVALID},{}]", late(1), late(2));
    assert_eq!(str::from_utf8(datagram.bytes().unwrap()).unwrap(), wanted);
    assert!(PieceWriter::<Datagram>::is_error(&unfinished));
}

#[test]
fn an_aborted_text_gets_an_error_for_each_request() {
    let mut context = context();
    context.commands.add("test", &ROWS).unwrap();
    let status = Status::new(503, "Enough");
    let gone =
        |id: &str| format!(r#"{{"jsonrpc":"2.0","error":{{"code":503,"message":"Enough"}},"id":{id}}}"#);
    let (done, endless) = (request("1", r#""done""#), request("\"x\"", r#""endless""#));
    let silent = r#"{"jsonrpc":"2.0","method":"done"}"#;
    for (text, pieces, wanted) in [
        (endless.clone(), 3, gone("\"x\"")),
        (
            format!("[{done},{endless},{silent},{done}]"),
            5,
            format!("[{OK_1},{},{}]", gone("\"x\""), gone("1")),
        ),
        (format!("[{silent},{silent}]"), 1, String::new()),
    ] {
        let (mut answerer, mut datagram) = (JsonRpcAnswerer::default(), Datagram::new());
        let mut unfinished = answerer
            .answer(&context, text.as_bytes(), Caller::new("test", &""), &mut datagram)
            .unfinished
            .unwrap();
        (0..pieces).for_each(|_| {
            assert_eq!(unfinished.write_piece(&context, &mut datagram, Duration::ZERO), Progress::More)
        });
        unfinished.abort(&context, &status, &mut datagram);
        assert_eq!(str::from_utf8(datagram.bytes().unwrap()).unwrap(), wanted);
        // The same text, refused before any request has run.
        datagram.clear();
        answerer.refuse(&context, text.as_bytes(), &status, &mut datagram);
        let wanted = wanted.replace(OK_1, &gone("1"));
        assert_eq!(str::from_utf8(datagram.bytes().unwrap()).unwrap(), wanted);
    }
}

#[test]
fn objects_arrays_and_whole_json_values_are_taken_for_json_rpc() {
    for text in ["{", " \r\n\t[", "{}", "\u{feff}{}", "5", "null", "\"x\" "] {
        assert!(is_json(text.as_bytes()), "{text}");
    }
    for text in ["", "  ", ":ps:\n", "x{", "x", "\0{"] {
        assert!(!is_json(text.as_bytes()), "{text}");
    }
}

#[test]
fn replies_of_any_server_differ_from_requests() {
    for reply in [
        r#"{"jsonrpc":"2.0","result":"OK","id":1}"#,
        r#" { "id": 1, "error": {"code": -32600}, "jsonrpc": "2.0" }"#,
        r#"{"error":null}"#,
        r#"[{"jsonrpc":"2.0","result":[],"id":1},{"jsonrpc":"2.0","method":"ps","id":2}]"#,
    ] {
        assert!(is_reply(reply.as_bytes()), "{reply}");
    }
    for other in [
        r#"{"jsonrpc":"2.0","method":"ps","id":1}"#,
        r#"{"jsonrpc":"2.0","method":"ps","id":1,"error":1}"#,
        r#"{"result""#,
        "{}",
        "[]",
        "5",
        "",
    ] {
        assert!(!is_reply(other.as_bytes()), "{other}");
    }
}
