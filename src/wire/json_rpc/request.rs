//! Parses one request and checks its members.
//!
//! Values stay JSON text until they are needed. So an id is sent back exactly as it came, and a deeply nested
//! value that no command uses takes no stack. C: `parse_mi_request` in mi/mi.c.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// The id of a reply whose request has none, or an invalid one.
pub(super) const NULL: &str = "null";

/// A well-formed request.
#[derive(Debug)]
pub(super) struct JsonRpcRequest<'a> {
    /// The id as JSON text; `None` for a notification, which gets no reply.
    pub(super) id: Option<&'a str>,
    /// The name of the command.
    pub(super) method: Cow<'a, str>,
    pub(super) params: RequestParams<'a>,
}

/// The parameters of a request, before they are matched with a recipe.
#[derive(Debug)]
pub(super) enum RequestParams<'a> {
    /// By position.
    Positional(Vec<&'a RawValue>),
    /// By name.
    Named(Vec<(Cow<'a, str>, &'a RawValue)>),
}

/// Why a text is not a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InvalidRequest<'a> {
    /// The text is not JSON.
    NotJson,
    /// The JSON value is not a request. The id is that of the reply, as JSON text.
    NotRequest(&'a str),
}

impl<'a> JsonRpcRequest<'a> {
    /// Parses one request object.
    pub(super) fn parse(text: &'a str) -> Result<JsonRpcRequest<'a>, InvalidRequest<'a>> {
        if !text.trim_ascii_start().starts_with('{') {
            return Err(match serde_json::from_str::<&RawValue>(text) {
                Ok(_) => InvalidRequest::NotRequest(NULL),
                Err(_) => InvalidRequest::NotJson,
            });
        }
        let mut deserializer = Deserializer::from_str(text);
        let members =
            deserializer.deserialize_map(KnownMembers::default()).map_err(|_| InvalidRequest::NotJson)?;
        deserializer.end().map_err(|_| InvalidRequest::NotJson)?;
        members.check()
    }
}

/// Whether a text is a reply, or a batch whose first element is a reply: an object with a result or an error,
/// and without a method.
pub(super) fn is_reply(text: &str) -> bool {
    let first = elements(text).and_then(|elements| elements.first().map(|first| first.get()));
    let mut deserializer = Deserializer::from_str(first.unwrap_or(text));
    let members = deserializer.deserialize_map(KnownMembers::default());
    members.is_ok_and(|members| members.outcome.is_some() && members.method.is_none())
}

/// The known members of an object. Names are compared without regard to case; the first of several members
/// with one name counts, as in C.
#[derive(Debug, Default)]
struct KnownMembers<'a> {
    version: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    /// `result` or `error`, which only a reply has.
    outcome: Option<&'a RawValue>,
}

impl<'a> Visitor<'a> for KnownMembers<'a> {
    type Value = KnownMembers<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(JsonString(name)) = map.next_key()? {
            let value = map.next_value()?;
            let is = |wanted| name.eq_ignore_ascii_case(wanted);
            let member = match () {
                () if is("jsonrpc") => &mut self.version,
                () if is("id") => &mut self.id,
                () if is("method") => &mut self.method,
                () if is("params") => &mut self.params,
                () if is("result") || is("error") => &mut self.outcome,
                () => continue,
            };
            member.get_or_insert(value);
        }
        Ok(self)
    }
}

impl<'a> KnownMembers<'a> {
    fn check(self) -> Result<JsonRpcRequest<'a>, InvalidRequest<'a>> {
        let id = self.id.map(RawValue::get);
        // An id is a string, a number or null.
        if id.is_some_and(|id| !id.starts_with(|c: char| matches!(c, '"' | '-' | 'n') || c.is_ascii_digit()))
        {
            return Err(InvalidRequest::NotRequest(NULL));
        }
        let invalid = || InvalidRequest::NotRequest(id.unwrap_or(NULL));
        let text = |value: Option<&'a RawValue>| value.and_then(string).ok_or_else(invalid);
        if text(self.version)? != "2.0" {
            return Err(invalid());
        }
        let method = text(self.method)?;
        let params = match self.params {
            None => RequestParams::Positional(Vec::new()),
            Some(params) if params.get().starts_with('[') => RequestParams::Positional(parsed(params)?),
            Some(params) if params.get().starts_with('{') => RequestParams::Named(pairs(params)?),
            Some(_) => return Err(invalid()),
        };
        Ok(JsonRpcRequest { id, method, params })
    }
}

fn parsed<'a, T: serde::Deserialize<'a>>(value: &'a RawValue) -> Result<T, InvalidRequest<'a>> {
    serde_json::from_str(value.get()).map_err(|_| InvalidRequest::NotJson)
}

/// The characters of a JSON string; `None` for any other value.
pub(super) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(value.get()).ok().map(|JsonString(text)| text)
}

/// The elements of a JSON array; `None` for any other text.
pub(super) fn elements(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

/// A JSON string, copied only if it has an escape.
#[derive(serde::Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object, in their order; several may have one name.
fn pairs(params: &RawValue) -> Result<Vec<(Cow<'_, str>, &RawValue)>, InvalidRequest<'_>> {
    struct Pairs;
    impl<'a> Visitor<'a> for Pairs {
        type Value = Vec<(Cow<'a, str>, &'a RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("named parameters")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((JsonString(name), value)) = map.next_entry()? {
                pairs.push((name, value));
            }
            Ok(pairs)
        }
    }
    Deserializer::from_str(params.get()).deserialize_map(Pairs).map_err(|_| InvalidRequest::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> InvalidRequest<'_> {
        JsonRpcRequest::parse(text).unwrap_err()
    }

    #[test]
    fn members_have_any_case_and_order_and_the_first_of_a_name_counts() {
        let text = r#" {"x":[{}],"ID":1.50,"METHOD":"p\u0073","JSONRPC":"2.0","id":2,"params":null,"a":{}} "#;
        assert_eq!(refused(text), InvalidRequest::NotRequest("1.50"));
        let text = r#"{"id":12345678901234567890,"method":"ps","jsonrpc":"2.0","params":{"b":1,"b":"x"}}"#;
        let request = JsonRpcRequest::parse(text).unwrap();
        assert_eq!((request.id, &*request.method), (Some("12345678901234567890"), "ps"));
        let RequestParams::Named(pairs) = request.params else { panic!("{request:?}") };
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, value.get())).collect();
        assert_eq!(pairs, [("b", "1"), ("b", "\"x\"")]);
    }

    #[test]
    fn an_id_is_a_string_a_number_or_null() {
        for id in ["\"\"", "\"a\\u00e9\"", "0", "-7", "1e400", "null"] {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"ps","id":{id}}}"#);
            assert_eq!(JsonRpcRequest::parse(&text).unwrap().id, Some(id));
        }
        for id in ["true", "false", "{}", "[1]"] {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"ps","id":{id}}}"#);
            assert_eq!(refused(&text), InvalidRequest::NotRequest(NULL), "{id}");
        }
        assert_eq!(JsonRpcRequest::parse(r#"{"jsonrpc":"2.0","method":"ps"}"#).unwrap().id, None);
    }

    #[test]
    fn json_that_is_not_a_request_is_invalid() {
        for text in ["5", "null", "\"x\"", "{}", r#"{"method":"ps"}"#, r#"{"jsonrpc":"2.0","method":5}"#] {
            assert_eq!(refused(text), InvalidRequest::NotRequest(NULL), "{text}");
        }
        for rest in [
            r#""method":"ps""#,
            r#""jsonrpc":2.0,"method":"ps""#,
            r#""jsonrpc":"1.0","method":"ps""#,
            r#""jsonrpc":"2.0""#,
            r#""jsonrpc":"2.0","method":"ps","params":5"#,
            r#""jsonrpc":"2.0","method":"ps","params":"x""#,
            r#""jsonrpc":"2.0","method":"ps","params":null"#,
        ] {
            let text = format!("{{\"id\":1,{rest}}}");
            assert_eq!(refused(&text), InvalidRequest::NotRequest("1"), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in
            ["", " ", "hello", "{", "{'a':1}", r#"{"a":1,}"#, "{} x", "{}{}", "\u{feff}{}", "{\"a\":\"\n\"}"]
        {
            assert_eq!(refused(text), InvalidRequest::NotJson, "{text}");
        }
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ps","x":{deep}}}"#);
        assert!(JsonRpcRequest::parse(&text).is_ok());
    }
}
