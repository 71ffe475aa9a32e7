//! What must hold for any path and query, divided by the first question mark: the answer is empty or strictly JSON,
//! an error is told as one, and a node has the parts that nodes have.

use opensips_mi::mi::Progress;
use opensips_mi::wire::Stream;
use opensips_mi::wire::http::{Dialect, HttpMethod, HttpRequest};
use opensips_mi::wire::tree_json::TreeJson;
use serde_json::Value;
use std::net::Ipv4Addr;

use super::server::SERVER;

/// Checks one input. True when it is answered, and not by an error.
pub(crate) fn check(input: &[u8]) -> bool {
    // A request line is text, and a listener has taken it for that.
    let Ok(target) = str::from_utf8(input) else { return false };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let (reply, is_error) = SERVER.with(|server| {
        let request = HttpRequest {
            client: Ipv4Addr::LOCALHOST.into(),
            method: HttpMethod::Get,
            path,
            query,
            body: b"",
        };
        let mut stream = Stream::default();
        let mut answer = TreeJson.answer(server, &request, &mut stream);
        while let Some(more) = &mut answer.rest {
            if more.write_piece(server, &mut stream, std::time::Duration::ZERO) == Progress::Done {
                break;
            }
        }
        (stream.waiting().to_vec(), answer.is_error)
    });
    let shown = reply.escape_ascii();
    if reply.is_empty() {
        assert!(!is_error, "an error without words");
        return true;
    }
    let value: Value = serde_json::from_slice(&reply).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert!(value.is_object(), "{shown}");
    if is_error {
        let error = &value["error"];
        assert!(error["code"].is_i64() && error["message"].is_string(), "{shown}");
    } else {
        check_nodes(&value, &shown.to_string());
    }
    !is_error
}

fn check_nodes(nodes: &Value, shown: &str) {
    let Some(members) = nodes.as_object() else { panic!("{nodes} is no node: {shown}") };
    for (name, value) in members {
        match value {
            Value::String(_) => {}
            Value::Array(items) => items.iter().for_each(|item| check_nodes(item, shown)),
            Value::Object(_) if name == "attributes" => {
                let values = value.as_object().into_iter().flat_map(|attributes| attributes.values());
                values.for_each(|value| assert!(value.is_string() || value.is_null(), "{shown}"));
            }
            Value::Object(_) => check_nodes(value, shown),
            _ => panic!("{name} is {value}: {shown}"),
        }
    }
}
