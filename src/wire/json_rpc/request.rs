//! One request: its members, taken apart and checked.
//!
//! Values stay the text they were until somebody needs them, so an id goes back exactly as it came and a deep value
//! that nobody asks for costs no stack. C: `parse_mi_request` in mi/mi.c.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// An id that nobody has sent, or that none may send.
pub(super) const NULL: &str = "null";

/// A well-formed request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// As it was sent; `None` for a notification, which nobody answers.
    pub(super) id: Option<&'a str>,
    /// The command.
    pub(super) method: Cow<'a, str>,
    /// What the command gets.
    pub(super) params: Given<'a>,
}

/// A request's parameters before a recipe says what they are.
#[derive(Debug)]
pub(super) enum Given<'a> {
    /// By position.
    Positional(Vec<&'a RawValue>),
    /// By name.
    Named(Vec<(Cow<'a, str>, &'a RawValue)>),
}

/// Why a text is no request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused<'a> {
    /// It is not JSON.
    Parse,
    /// It is JSON, but no request. With the id to answer with.
    Invalid(&'a str),
}

impl<'a> Request<'a> {
    /// Reads one request object.
    pub(super) fn parse(text: &'a str) -> Result<Request<'a>, Refused<'a>> {
        if !text.trim_ascii_start().starts_with('{') {
            return Err(match serde_json::from_str::<&RawValue>(text) {
                Ok(_) => Refused::Invalid(NULL),
                Err(_) => Refused::Parse,
            });
        }
        let mut deserializer = Deserializer::from_str(text);
        let members = deserializer.deserialize_map(Members::default()).map_err(|_| Refused::Parse)?;
        deserializer.end().map_err(|_| Refused::Parse)?;
        members.check()
    }
}

/// Whether a text is the reply to a request, or a batch whose first element is one: it has a result or an error, and no
/// method.
pub(super) fn is_reply(text: &str) -> bool {
    let first = elements(text).and_then(|elements| elements.first().map(|first| first.get()));
    let mut deserializer = Deserializer::from_str(first.unwrap_or(text));
    let members = deserializer.deserialize_map(Members::default());
    members.is_ok_and(|members| members.outcome.is_some() && members.method.is_none())
}

/// The members that count. Their names may be in any case, and of two with one name the first counts, as in C.
#[derive(Debug, Default)]
struct Members<'a> {
    version: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    /// `result` or `error`, which only a reply has.
    outcome: Option<&'a RawValue>,
}

impl<'a> Visitor<'a> for Members<'a> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(Name(name)) = map.next_key()? {
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

impl<'a> Members<'a> {
    fn check(self) -> Result<Request<'a>, Refused<'a>> {
        let id = self.id.map(RawValue::get);
        // A string, a number or null.
        if id.is_some_and(|id| !id.starts_with(|c: char| matches!(c, '"' | '-' | 'n') || c.is_ascii_digit()))
        {
            return Err(Refused::Invalid(NULL));
        }
        let invalid = || Refused::Invalid(id.unwrap_or(NULL));
        let text = |value: Option<&'a RawValue>| value.and_then(string).ok_or_else(invalid);
        if text(self.version)? != "2.0" {
            return Err(invalid());
        }
        let method = text(self.method)?;
        let params = match self.params {
            None => Given::Positional(Vec::new()),
            Some(params) if params.get().starts_with('[') => Given::Positional(parsed(params)?),
            Some(params) if params.get().starts_with('{') => Given::Named(pairs(params)?),
            Some(_) => return Err(invalid()),
        };
        Ok(Request { id, method, params })
    }
}

fn parsed<'a, T: serde::Deserialize<'a>>(value: &'a RawValue) -> Result<T, Refused<'a>> {
    serde_json::from_str(value.get()).map_err(|_| Refused::Parse)
}

/// The text of a string; `None` for any other value.
pub(super) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(value.get()).ok().map(|Name(text)| text)
}

/// The elements of an array.
pub(super) fn elements(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

/// A string that is copied only where it holds an escape.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn pairs(params: &RawValue) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Refused<'_>> {
    struct Pairs;
    impl<'a> Visitor<'a> for Pairs {
        type Value = Vec<(Cow<'a, str>, &'a RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("named parameters")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((Name(name), value)) = map.next_entry()? {
                pairs.push((name, value));
            }
            Ok(pairs)
        }
    }
    Deserializer::from_str(params.get()).deserialize_map(Pairs).map_err(|_| Refused::Parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Refused<'_> {
        Request::parse(text).unwrap_err()
    }

    #[test]
    fn members_in_any_case_and_order_the_first_of_each_counts() {
        let text = r#" {"x":[{}],"ID":1.50,"METHOD":"p\u0073","JSONRPC":"2.0","id":2,"params":null,"a":{}} "#;
        assert_eq!(refused(text), Refused::Invalid("1.50"));
        let text = r#"{"id":12345678901234567890,"method":"ps","jsonrpc":"2.0","params":{"b":1,"b":"x"}}"#;
        let request = Request::parse(text).unwrap();
        assert_eq!((request.id, &*request.method), (Some("12345678901234567890"), "ps"));
        let Given::Named(pairs) = request.params else { panic!("{request:?}") };
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, value.get())).collect();
        assert_eq!(pairs, [("b", "1"), ("b", "\"x\"")]);
    }

    #[test]
    fn an_id_is_a_string_a_number_or_null() {
        for id in ["\"\"", "\"a\\u00e9\"", "0", "-7", "1e400", "null"] {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"ps","id":{id}}}"#);
            assert_eq!(Request::parse(&text).unwrap().id, Some(id));
        }
        for id in ["true", "false", "{}", "[1]"] {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"ps","id":{id}}}"#);
            assert_eq!(refused(&text), Refused::Invalid(NULL), "{id}");
        }
        assert_eq!(Request::parse(r#"{"jsonrpc":"2.0","method":"ps"}"#).unwrap().id, None);
    }

    #[test]
    fn what_is_json_but_no_request_is_invalid() {
        for text in ["5", "null", "\"x\"", "{}", r#"{"method":"ps"}"#, r#"{"jsonrpc":"2.0","method":5}"#] {
            assert_eq!(refused(text), Refused::Invalid(NULL), "{text}");
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
            assert_eq!(refused(&text), Refused::Invalid("1"), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in
            ["", " ", "hello", "{", "{'a':1}", r#"{"a":1,}"#, "{} x", "{}{}", "\u{feff}{}", "{\"a\":\"\n\"}"]
        {
            assert_eq!(refused(text), Refused::Parse, "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ps","x":{deep}}}"#);
        assert!(Request::parse(&text).is_ok());
    }
}
