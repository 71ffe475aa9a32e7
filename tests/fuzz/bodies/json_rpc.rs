//! What must hold for any JSON-RPC text: its answer is strictly JSON, every reply in it is one, and a request is
//! answered once with its own id.

use opensips_mi::mi::{Caller, Progress};
use opensips_mi::wire::json_rpc::{JsonRpcAnswerer, is_json};
use opensips_mi::wire::{Datagram, MAX_DATAGRAM_BYTES, Output};
use serde_json::Value;
use serde_json::value::RawValue;

use super::server::SERVER;

/// Checks one input. True when it is answered, and every reply is a success.
pub(crate) fn check(input: &[u8]) -> bool {
    let reply = SERVER.with(|server| {
        let mut reply = Datagram::new();
        let mut answer =
            JsonRpcAnswerer::default().answer(server, input, Caller::new("test", &""), &mut reply);
        while let Some(unfinished) = &mut answer.unfinished {
            if unfinished.write_piece(server, &mut reply, std::time::Duration::ZERO) == Progress::Done {
                break;
            }
        }
        assert!(reply.excess().is_none() || input.starts_with(b"["), "one reply is too long");
        reply.bytes().map(<[u8]>::to_vec)
    });
    let Ok(reply) = reply else { return false };
    assert!(reply.len() <= MAX_DATAGRAM_BYTES);
    let parsed = serde_json::from_slice::<Value>(input);
    if reply.is_empty() {
        let is_json = serde_json::from_slice::<&RawValue>(input).is_ok();
        assert!(is_json, "no answer to what is no JSON: {}", input.escape_ascii());
        // Half a surrogate pair in a string is JSON, but no value.
        if let Ok(request) = &parsed {
            check_silence(input, request);
        }
        return false;
    }
    let shown = reply.escape_ascii().to_string();
    let strict = serde_json::from_slice::<&RawValue>(&reply);
    assert!(strict.is_ok(), "no JSON: {shown}");
    // An id that goes back as it came may be a number, or half a surrogate pair, that this reader has no value for.
    let Ok(answered) = serde_json::from_slice::<Value>(&reply) else { return false };
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = &parsed {
        assert!(is_json(input), "{value} is not taken for JSON");
    }
    let batch = serde_json::from_slice::<Vec<&RawValue>>(input);
    match (&answered, &batch) {
        (Value::Array(replies), Ok(requests)) => {
            assert!(!replies.is_empty() && replies.len() <= requests.len(), "{shown}");
            replies.iter().filter(|reply| !check_reply(reply, &shown)).count() == 0
        }
        (Value::Object(_), _) => {
            check_id(input, &reply);
            check_reply(&answered, &shown)
        }
        _ => panic!("no reply: {shown}"),
    }
}

/// Only notifications are not answered.
fn check_silence(input: &[u8], request: &Value) {
    let is_notification =
        |value: &Value| value.as_object().is_some_and(|members| !members.keys().any(|name| name == "id"));
    let is_silent = match request {
        Value::Array(batch) => !batch.is_empty() && batch.iter().all(is_notification),
        one => is_notification(one),
    };
    assert!(is_silent, "not answered: {}", input.escape_ascii());
}

/// The envelope of one reply. True for a result.
fn check_reply(reply: &Value, shown: &str) -> bool {
    let Some(members) = reply.as_object() else { panic!("a reply is no object: {shown}") };
    assert!(reply["jsonrpc"] == "2.0" && members.len() == 3 && members.contains_key("id"), "{shown}");
    let id = &reply["id"];
    assert!(id.is_null() || id.is_string() || id.is_number(), "{shown}");
    let Some(error) = members.get("error") else {
        assert!(members.contains_key("result"), "{shown}");
        return true;
    };
    assert!(error["code"].is_i64() && error["message"].is_string(), "{shown}");
    let known = error
        .as_object()
        .is_some_and(|error| error.keys().all(|key| ["code", "message", "data"].contains(&&**key)));
    assert!(known, "{shown}");
    false
}

/// A reply to one request has its id, byte for byte, or null.
fn check_id(input: &[u8], reply: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Id<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    // The first of several counts, whatever the case: only where there is one can this look from outside tell.
    let is_one = input.to_ascii_lowercase().windows(4).filter(|word| word == b"\"id\"").count() == 1;
    if !is_one {
        return;
    }
    let Ok(Id { id }) = serde_json::from_slice::<Id<'_>>(input) else { return };
    let Ok(Id { id: answered }) = serde_json::from_slice::<Id<'_>>(reply) else { panic!("no id") };
    assert!([id.get(), "null"].contains(&answered.get()), "{} instead of {}", answered.get(), id.get());
}
