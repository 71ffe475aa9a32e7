//! Parses and checks a call, which is an XML document.
//!
//! A document is limited, as it comes from the network: values nest at most [`MAX_DEPTH`] deep, there is no
//! document type definition, and only the five predefined entities are known. The listener limits its length.
//! C: `xmlrpc_parse_call` of the library xmlrpc-c.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesEnd, BytesStart, Event};

use super::scalar::{self, InvalidScalar};
use crate::wire::plain;

/// The deepest nesting of values. C: `XMLRPC_NESTING_LIMIT_DEFAULT`.
const MAX_DEPTH: usize = 64;

/// The most characters of the document that a fault quotes.
const SHOWN_CHARACTERS: usize = 40;

/// A call of a method.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MethodCall {
    pub(super) method: String,
    pub(super) params: Vec<CallValue>,
}

/// A value of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallValue {
    /// A string, or a number or other scalar as the text that 1.11 makes of it.
    Scalar(Vec<u8>),
    Nil,
    Array(Vec<CallValue>),
    Struct(Vec<(String, CallValue)>),
}

/// Why a body is not a call. The texts are part of the fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidCall {
    #[error("it is not valid XML: {0}")]
    Syntax(String),
    #[error("it is not in its encoding, or that is neither UTF-8 nor ISO-8859-1")]
    Encoding,
    #[error("it has a document type definition")]
    Definition,
    #[error("entity &{0}; is not one of XML's own")]
    Entity(String),
    #[error("it has a character that XML does not allow")]
    Character,
    #[error("values lie more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("{found} where {wanted} belongs")]
    Misplaced { found: String, wanted: &'static str },
    #[error(transparent)]
    Value(#[from] InvalidScalar),
}

/// Parses a call.
pub(super) fn parse(body: &[u8]) -> Result<MethodCall, InvalidCall> {
    let text = decode_body(body)?;
    let is_plain = |byte| (0x20..0x80).contains(&byte) | (byte == b'\t') | (byte == b'\n') | (byte == b'\r');
    if !plain::all(text.as_bytes(), is_plain) && text.chars().any(|character| !is_allowed(character)) {
        return Err(InvalidCall::Character);
    }
    let mut reader = CallReader::new(&text);
    reader.enter("methodCall")?;
    let (mut method, mut params) = (None, None);
    while let Some(tag) = reader.child("</methodCall>")? {
        match tag.name().as_ref() {
            "methodName" if method.is_none() => method = Some(reader.text("</methodName>")?),
            "params" if method.is_some() && params.is_none() => params = Some(reader.params()?),
            _ if method.is_none() => return Err(XmlToken::Open(tag).instead_of("<methodName>")),
            _ => return Err(XmlToken::Open(tag).instead_of("</methodCall>")),
        }
    }
    let method = method.ok_or_else(|| misplaced("</methodCall>", "<methodName>"))?;
    match reader.next_tag()? {
        XmlToken::End => Ok(MethodCall { method, params: params.unwrap_or_default() }),
        token => Err(token.instead_of("nothing more")),
    }
}

/// Decodes a body by the encoding in its XML declaration.
fn decode_body(body: &[u8]) -> Result<Cow<'_, str>, InvalidCall> {
    let declaration = body.strip_prefix(b"<?xml").and_then(|rest| {
        let end = rest.windows(2).position(|pair| pair == b"?>")?;
        Some(rest[..end].to_ascii_lowercase())
    });
    let says = |name: &[u8]| {
        declaration.as_ref().is_some_and(|text| text.windows(name.len()).any(|window| window == name))
    };
    if says(b"iso-8859-1") {
        return Ok(body.iter().copied().map(char::from).collect::<String>().into());
    }
    if says(b"encoding") && !says(b"utf-8") && !says(b"utf8") && !says(b"us-ascii") {
        return Err(InvalidCall::Encoding);
    }
    let text = str::from_utf8(body).map_err(|_| InvalidCall::Encoding)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).into())
}

/// Whether XML 1.0 allows a character, literally or as a reference.
pub(super) fn is_allowed(character: char) -> bool {
    !matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The beginning of a text, for a fault.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

fn misplaced(found: &str, wanted: &'static str) -> InvalidCall {
    InvalidCall::Misplaced { found: shown(found), wanted }
}

/// A part of a document that has a meaning in a call.
#[derive(Debug)]
enum XmlToken<'a> {
    Open(BytesStart<'a>),
    Close(BytesEnd<'a>),
    Text(Cow<'a, str>),
    End,
}

impl XmlToken<'_> {
    fn instead_of(&self, wanted: &'static str) -> InvalidCall {
        match self {
            XmlToken::Open(tag) => misplaced(&format!("<{}>", tag.name().as_ref()), wanted),
            XmlToken::Close(tag) => misplaced(&format!("</{}>", tag.name().as_ref()), wanted),
            XmlToken::Text(text) => misplaced(&format!("text \"{}\"", shown(text.trim())), wanted),
            XmlToken::End => misplaced("the end", wanted),
        }
    }
}

struct CallReader<'a> {
    reader: Reader<&'a [u8]>,
}

impl<'a> CallReader<'a> {
    fn new(text: &'a str) -> CallReader<'a> {
        let mut reader = Reader::from_str(text);
        // `<a/>` is read as `<a></a>`.
        reader.config_mut().expand_empty_elements = true;
        CallReader { reader }
    }

    /// Reads the next token; skips comments and processing instructions. Normalises newlines, as XML asks
    /// for, so only a reference gives a CR.
    fn next(&mut self) -> Result<XmlToken<'a>, InvalidCall> {
        loop {
            let event = self.reader.read_event().map_err(|error| syntax(&error))?;
            return Ok(match event {
                Event::Start(tag) => XmlToken::Open(tag),
                Event::End(tag) => XmlToken::Close(tag),
                Event::Text(text) => XmlToken::Text(text.xml10_content()),
                Event::CData(text) => XmlToken::Text(text.xml10_content()),
                Event::GeneralRef(reference) => XmlToken::Text(resolve(&reference)?.to_string().into()),
                Event::DocType(_) => return Err(InvalidCall::Definition),
                Event::Eof => XmlToken::End,
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::Empty(_) => continue,
            });
        }
    }

    /// Reads the next token between elements, where blanks have no meaning.
    fn next_tag(&mut self) -> Result<XmlToken<'a>, InvalidCall> {
        loop {
            match self.next()? {
                XmlToken::Text(text) if text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) => {}
                token => return Ok(token),
            }
        }
    }

    /// Reads the start tag of an element that must come next.
    fn enter(&mut self, name: &'static str) -> Result<(), InvalidCall> {
        match self.next_tag()? {
            XmlToken::Open(tag) if tag.name().as_ref() == name => Ok(()),
            token => Err(token.instead_of(name)),
        }
    }

    /// Reads the end tag that must come next.
    fn leave(&mut self, wanted: &'static str) -> Result<(), InvalidCall> {
        match self.next_tag()? {
            XmlToken::Close(_) => Ok(()),
            token => Err(token.instead_of(wanted)),
        }
    }

    /// Reads the start tag of the next child; `None` when the enclosing element ends.
    fn child(&mut self, wanted: &'static str) -> Result<Option<BytesStart<'a>>, InvalidCall> {
        match self.next_tag()? {
            XmlToken::Open(tag) => Ok(Some(tag)),
            XmlToken::Close(_) => Ok(None),
            token => Err(token.instead_of(wanted)),
        }
    }

    /// Reads the start tag of the next child, which must have this name; false when the enclosing element
    /// ends.
    fn has_child(&mut self, name: &'static str) -> Result<bool, InvalidCall> {
        match self.child(name)? {
            Some(tag) if tag.name().as_ref() != name => Err(XmlToken::Open(tag).instead_of(name)),
            found => Ok(found.is_some()),
        }
    }

    /// Reads the text and the end tag of an element without children.
    fn text(&mut self, wanted: &'static str) -> Result<String, InvalidCall> {
        let mut all = String::new();
        loop {
            match self.next()? {
                XmlToken::Text(text) => all.push_str(&text),
                XmlToken::Close(_) => return Ok(all),
                token => return Err(token.instead_of(wanted)),
            }
        }
    }

    fn params(&mut self) -> Result<Vec<CallValue>, InvalidCall> {
        let mut params = Vec::new();
        while self.has_child("param")? {
            self.enter("value")?;
            params.push(self.value(1)?);
            self.leave("</param>")?;
        }
        Ok(params)
    }

    /// Reads the content and the end tag of a `value`.
    fn value(&mut self, depth: usize) -> Result<CallValue, InvalidCall> {
        if depth > MAX_DEPTH {
            return Err(InvalidCall::TooDeep);
        }
        let mut plain = String::new();
        let kind = loop {
            match self.next()? {
                XmlToken::Text(text) => plain.push_str(&text),
                XmlToken::Close(_) => return Ok(CallValue::Scalar(plain.into_bytes())),
                XmlToken::Open(kind) => break kind,
                XmlToken::End => return Err(XmlToken::End.instead_of("</value>")),
            }
        };
        if !plain.trim_ascii().is_empty() {
            return Err(XmlToken::Text(plain.into()).instead_of("the element of a type"));
        }
        let value = match kind.name().as_ref() {
            "array" => CallValue::Array(self.array(depth)?),
            "struct" => CallValue::Struct(self.members(depth)?),
            "nil" | "ex:nil" => {
                self.leave("</nil>")?;
                CallValue::Nil
            }
            kind => CallValue::Scalar(scalar::decode(kind, self.text("the value of a type")?)?),
        };
        self.leave("</value>")?;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<CallValue>, InvalidCall> {
        let mut values = Vec::new();
        self.enter("data")?;
        while self.has_child("value")? {
            values.push(self.value(depth + 1)?);
        }
        self.leave("</array>")?;
        Ok(values)
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, CallValue)>, InvalidCall> {
        let mut members = Vec::new();
        while self.has_child("member")? {
            self.enter("name")?;
            let name = self.text("</name>")?;
            self.enter("value")?;
            members.push((name, self.value(depth + 1)?));
            self.leave("</member>")?;
        }
        Ok(members)
    }
}

/// The error of the XML library, shortened, as it may quote the document.
fn syntax(error: &quick_xml::Error) -> InvalidCall {
    InvalidCall::Syntax(error.to_string().chars().take(2 * SHOWN_CHARACTERS).collect())
}

/// Resolves a character or entity reference.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, InvalidCall> {
    let character = match (reference.resolve_char_ref().map_err(|error| syntax(&error))?, &**reference) {
        (Some(character), _) => character,
        (None, "lt") => '<',
        (None, "gt") => '>',
        (None, "amp") => '&',
        (None, "quot") => '"',
        (None, "apos") => '\'',
        (None, name) => return Err(InvalidCall::Entity(shown(name))),
    };
    if is_allowed(character) { Ok(character) } else { Err(InvalidCall::Character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> CallValue {
        CallValue::Scalar(value.as_bytes().to_vec())
    }

    fn param(value: &str) -> Result<Vec<CallValue>, InvalidCall> {
        let body = format!(
            "<?xml version='1.0'?><methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
        );
        parse(body.as_bytes()).map(|call| call.params)
    }

    #[test]
    fn values_are_decoded_by_their_type() {
        for (value, wanted) in [
            ("<value>plain</value>", text("plain")),
            ("<value> a\r\nb\rc </value>", text(" a\nb\nc ")),
            ("<value/>", text("")),
            ("<value><string/></value>", text("")),
            ("<value>\n<string> x </string>\n</value>", text(" x ")),
            (
                "<value><string>a&#13;\n&#x20AC;&lt;<![CDATA[<&]]><!-- c -->z</string></value>",
                text("a\r\n€<<&z"),
            ),
            ("<value><i4>-7</i4></value>", text("-7")),
            ("<value><double>1.5</double></value>", text("1.500000")),
            ("<value><nil/></value>", CallValue::Nil),
            ("<value><array><data/></array></value>", CallValue::Array(vec![])),
            (
                "<value><array><data><value>a</value> <value><int>1</int></value></data></array></value>",
                CallValue::Array(vec![text("a"), text("1")]),
            ),
            (
                "<value><struct><member><name>n</name><value>v</value></member></struct></value>",
                CallValue::Struct(vec![("n".to_owned(), text("v"))]),
            ),
        ] {
            assert_eq!(param(value), Ok(vec![wanted]), "{value}");
        }
        let bare =
            parse(b"<methodCall>\n<methodName>ps</methodName>\n</methodCall>\n<!-- end -->\n").unwrap();
        assert_eq!(bare, MethodCall { method: "ps".to_owned(), params: Vec::new() });
    }

    #[test]
    fn the_fault_tells_why_a_body_is_not_a_call() {
        for (body, wanted) in [
            ("", "the end where methodCall belongs"),
            ("not xml", "text \"not xml\" where methodCall belongs"),
            ("<methodCall/>", "</methodCall> where <methodName> belongs"),
            ("<methodCall><methodName>ps", "the end where </methodName> belongs"),
            ("<methodCall><params/></methodCall>", "<params> where <methodName> belongs"),
            ("<methodResponse/>", "<methodResponse> where methodCall belongs"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall/>", "it has a document type definition"),
            ("<methodCall><methodName>&b;</methodName></methodCall>", "entity &b; is not one of XML's own"),
            (
                "<methodCall><methodName>&#1;</methodName></methodCall>",
                "it has a character that XML does not allow",
            ),
            (
                "<methodCall><methodName>\x01</methodName></methodCall>",
                "it has a character that XML does not allow",
            ),
            ("<methodCall><methodName>a</methodName></methodCall>x", "text \"x\" where nothing more belongs"),
            (
                "<?xml version='1.0' encoding='UTF-16'?><methodCall/>",
                "it is not in its encoding, or that is neither UTF-8 nor ISO-8859-1",
            ),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().to_string(), wanted, "{body}");
        }
        for body in ["<methodCall></methodName>", "<methodCall>&", "<methodCall>&#xD800;", "<methodCall><!--"]
        {
            assert!(matches!(parse(body.as_bytes()), Err(InvalidCall::Syntax(_))), "{body}");
        }
        assert_eq!(parse(b"\xff"), Err(InvalidCall::Encoding));
        for value in [
            "",
            "x",
            "<value>",
            "<value><int>1</int>x</value>",
            "<value>x<int>1</int></value>",
            "<value><x>1</x></value>",
            "<value><array/></value>",
            "<value><struct><member/></struct></value>",
        ] {
            assert!(param(value).is_err(), "{value}");
        }
    }

    #[test]
    fn latin_1_is_decoded_if_it_is_declared() {
        let body = b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><methodCall><methodName>\xe9</methodName></methodCall>";
        assert_eq!(parse(body).unwrap().method, "é");
    }

    #[test]
    fn values_nest_at_most_64_deep() {
        let deep = |depth: usize| {
            let (open, close) = ("<value><array><data>", "</data></array></value>");
            param(&format!("{}{}", open.repeat(depth), close.repeat(depth)))
        };
        assert!(deep(MAX_DEPTH).is_ok());
        assert_eq!(deep(MAX_DEPTH + 1), Err(InvalidCall::TooDeep));
        assert_eq!(deep(10_000), Err(InvalidCall::TooDeep));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_that_xml_allows_is_encoded_and_decoded_unchanged(value in "[\\t\\n\\r -\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]*") {
            let mut escaped = crate::wire::Stream::default();
            super::super::encode::characters(&mut escaped, value.as_bytes());
            let escaped = String::from_utf8(escaped.waiting().to_vec()).unwrap();
            proptest::prop_assert_eq!(param(&format!("<value>{escaped}</value>")), Ok(vec![text(&value)]));
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(body: Vec<u8>) {
            let _either_is_fine = parse(&body);
        }
    }
}
