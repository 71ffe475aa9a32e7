//! What must hold for any body of a call: its answer is one reply of XML-RPC in each format, strictly, and the formats
//! agree on whether it is a fault.

use opensips_mi::mi::Progress;
use opensips_mi::wire::Stream;
use opensips_mi::wire::http::{Dialect, HttpMethod, HttpRequest};
use opensips_mi::wire::xml_rpc::XmlRpcFormat;
use serde_json::Value;
use std::net::Ipv4Addr;

use super::server::SERVER;
use super::xml_reply::{Reply, read};

const FORMATS: [XmlRpcFormat; 4] =
    [XmlRpcFormat::String, XmlRpcFormat::Array, XmlRpcFormat::IndentedString, XmlRpcFormat::Tree];

/// Checks one input. True when it is answered by a value.
pub(crate) fn check(input: &[u8]) -> bool {
    let replies = FORMATS.map(|format| (format, answered(format, input)));
    let is_fault = |reply: &Reply| matches!(reply, Reply::Fault(..));
    let first = is_fault(&replies[0].1);
    for (format, reply) in &replies {
        assert_eq!(is_fault(reply), first, "{format:?}: {reply:?}");
        match (format, reply) {
            (_, Reply::Fault(code, text)) => assert!(*code != 0 && !text.is_empty(), "{reply:?}"),
            (XmlRpcFormat::Tree, Reply::Value(value)) => check_shape(value),
            (_, Reply::Value(_)) => {}
        }
    }
    !first
}

fn answered(format: XmlRpcFormat, input: &[u8]) -> Reply {
    SERVER.with(|server| {
        let request = HttpRequest {
            client: Ipv4Addr::LOCALHOST.into(),
            method: HttpMethod::Post,
            path: "",
            query: None,
            body: input,
        };
        let mut stream = Stream::default();
        let mut answer = format.answer(server, &request, &mut stream);
        while let Some(more) = &mut answer.rest {
            if more.write_piece(server, &mut stream, std::time::Duration::ZERO) == Progress::Done {
                break;
            }
        }
        let reply = read(stream.waiting());
        let shown = stream.waiting().escape_ascii();
        let reply = reply.unwrap_or_else(|error| panic!("{format:?}: {error}: {shown}"));
        let is_error = matches!(reply, Reply::Fault(..));
        assert!(answer.status == 200 && (answer.is_error || !is_error), "{answer:?}: {shown}");
        reply
    })
}

/// Where a value is a node with parts, they are those that a node has.
fn check_shape(value: &Value) {
    match value {
        Value::Object(members) => {
            if members.contains_key("kids") || members.contains_key("attributes") {
                let known = |name: &String| ["value", "attributes", "kids"].contains(&name.as_str());
                assert!(members.keys().all(known), "{value}");
            }
            members.values().for_each(check_shape);
        }
        Value::Array(values) => values.iter().for_each(check_shape),
        _ => {}
    }
}
