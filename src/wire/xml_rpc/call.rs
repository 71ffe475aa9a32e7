//! Calls: an XML document, taken apart and checked.
//!
//! What the HTTP body of a stranger may be is limited: how deep values lie in one another, no document type definition,
//! no entities but the five of XML itself. How long it may be the listener sees to. C: `xmlrpc_parse_call` of the
//! library xmlrpc-c.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesEnd, BytesStart, Event};

use super::scalar::{self, NotThat};
use crate::wire::plain;

/// How deep values may lie in one another. C: `XMLRPC_NESTING_LIMIT_DEFAULT`.
const MAX_DEPTH: usize = 64;

/// How much of what is wrong is told, in characters.
const SHOWN_CHARACTERS: usize = 40;

/// A call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) params: Vec<Value>,
}

/// A value of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// What MI commands take: text, or a number and such as the text that 1.11 makes of it.
    Scalar(Vec<u8>),
    Nil,
    Array(Vec<Value>),
    Struct(Vec<(String, Value)>),
}

/// Why a text is no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
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
    Value(#[from] NotThat),
}

/// Reads a call.
pub(super) fn parse(body: &[u8]) -> Result<Call, Malformed> {
    let text = decoded(body)?;
    let is_plain = |byte| (0x20..0x80).contains(&byte) | (byte == b'\t') | (byte == b'\n') | (byte == b'\r');
    if !plain::all(text.as_bytes(), is_plain) && text.chars().any(|character| !is_allowed(character)) {
        return Err(Malformed::Character);
    }
    let mut document = Document::new(&text);
    document.enter("methodCall")?;
    let (mut method, mut params) = (None, None);
    while let Some(tag) = document.child("</methodCall>")? {
        match tag.name().as_ref() {
            "methodName" if method.is_none() => method = Some(document.text("</methodName>")?),
            "params" if method.is_some() && params.is_none() => params = Some(document.params()?),
            _ if method.is_none() => return Err(Token::Open(tag).instead_of("<methodName>")),
            _ => return Err(Token::Open(tag).instead_of("</methodCall>")),
        }
    }
    let method = method.ok_or_else(|| misplaced("</methodCall>", "<methodName>"))?;
    match document.next_tag()? {
        Token::End => Ok(Call { method, params: params.unwrap_or_default() }),
        token => Err(token.instead_of("nothing more")),
    }
}

/// The text of a body, by what its XML declaration says.
fn decoded(body: &[u8]) -> Result<Cow<'_, str>, Malformed> {
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
        return Err(Malformed::Encoding);
    }
    let text = str::from_utf8(body).map_err(|_| Malformed::Encoding)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).into())
}

/// Whether a character may stand in XML 1.0, in itself or as a reference.
pub(super) fn is_allowed(character: char) -> bool {
    !matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The beginning of a text that may be long.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

fn misplaced(found: &str, wanted: &'static str) -> Malformed {
    Malformed::Misplaced { found: shown(found), wanted }
}

/// What a document consists of.
#[derive(Debug)]
enum Token<'a> {
    Open(BytesStart<'a>),
    Close(BytesEnd<'a>),
    Text(Cow<'a, str>),
    End,
}

impl Token<'_> {
    fn instead_of(&self, wanted: &'static str) -> Malformed {
        match self {
            Token::Open(tag) => misplaced(&format!("<{}>", tag.name().as_ref()), wanted),
            Token::Close(tag) => misplaced(&format!("</{}>", tag.name().as_ref()), wanted),
            Token::Text(text) => misplaced(&format!("text \"{}\"", shown(text.trim())), wanted),
            Token::End => misplaced("the end", wanted),
        }
    }
}

struct Document<'a> {
    reader: Reader<&'a [u8]>,
}

impl<'a> Document<'a> {
    fn new(text: &'a str) -> Document<'a> {
        let mut reader = Reader::from_str(text);
        // An empty element is its two tags, too.
        reader.config_mut().expand_empty_elements = true;
        Document { reader }
    }

    /// The next part that counts. Newlines are normalised here, as XML has it: what is to stay CR is a reference.
    fn next(&mut self) -> Result<Token<'a>, Malformed> {
        loop {
            let event = self.reader.read_event().map_err(|error| syntax(&error))?;
            return Ok(match event {
                Event::Start(tag) => Token::Open(tag),
                Event::End(tag) => Token::Close(tag),
                Event::Text(text) => Token::Text(text.xml10_content()),
                Event::CData(text) => Token::Text(text.xml10_content()),
                Event::GeneralRef(reference) => Token::Text(resolve(&reference)?.to_string().into()),
                Event::DocType(_) => return Err(Malformed::Definition),
                Event::Eof => Token::End,
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::Empty(_) => continue,
            });
        }
    }

    /// The same between elements, where blanks are nothing.
    fn next_tag(&mut self) -> Result<Token<'a>, Malformed> {
        loop {
            match self.next()? {
                Token::Text(text) if text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) => {}
                token => return Ok(token),
            }
        }
    }

    /// Reads the opening tag of an element that must come next.
    fn enter(&mut self, name: &'static str) -> Result<(), Malformed> {
        match self.next_tag()? {
            Token::Open(tag) if tag.name().as_ref() == name => Ok(()),
            token => Err(token.instead_of(name)),
        }
    }

    /// Reads the closing tag that must come next.
    fn leave(&mut self, wanted: &'static str) -> Result<(), Malformed> {
        match self.next_tag()? {
            Token::Close(_) => Ok(()),
            token => Err(token.instead_of(wanted)),
        }
    }

    /// The tag of the element that opens next; `None` when the one around it closes instead.
    fn child(&mut self, wanted: &'static str) -> Result<Option<BytesStart<'a>>, Malformed> {
        match self.next_tag()? {
            Token::Open(tag) => Ok(Some(tag)),
            Token::Close(_) => Ok(None),
            token => Err(token.instead_of(wanted)),
        }
    }

    /// As [`child`](Document::child), for elements that all have one name.
    fn has_child(&mut self, name: &'static str) -> Result<bool, Malformed> {
        match self.child(name)? {
            Some(tag) if tag.name().as_ref() != name => Err(Token::Open(tag).instead_of(name)),
            found => Ok(found.is_some()),
        }
    }

    /// The text up to the closing tag of an element without others.
    fn text(&mut self, wanted: &'static str) -> Result<String, Malformed> {
        let mut all = String::new();
        loop {
            match self.next()? {
                Token::Text(text) => all.push_str(&text),
                Token::Close(_) => return Ok(all),
                token => return Err(token.instead_of(wanted)),
            }
        }
    }

    fn params(&mut self) -> Result<Vec<Value>, Malformed> {
        let mut params = Vec::new();
        while self.has_child("param")? {
            self.enter("value")?;
            params.push(self.value(1)?);
            self.leave("</param>")?;
        }
        Ok(params)
    }

    /// A value, whose opening tag is read already, with its closing tag.
    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        let mut plain = String::new();
        let kind = loop {
            match self.next()? {
                Token::Text(text) => plain.push_str(&text),
                Token::Close(_) => return Ok(Value::Scalar(plain.into_bytes())),
                Token::Open(kind) => break kind,
                Token::End => return Err(Token::End.instead_of("</value>")),
            }
        };
        if !plain.trim_ascii().is_empty() {
            return Err(Token::Text(plain.into()).instead_of("the element of a type"));
        }
        let value = match kind.name().as_ref() {
            "array" => Value::Array(self.array(depth)?),
            "struct" => Value::Struct(self.members(depth)?),
            "nil" | "ex:nil" => {
                self.leave("</nil>")?;
                Value::Nil
            }
            kind => Value::Scalar(scalar::decode(kind, self.text("the value of a type")?)?),
        };
        self.leave("</value>")?;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, Malformed> {
        let mut values = Vec::new();
        self.enter("data")?;
        while self.has_child("value")? {
            values.push(self.value(depth + 1)?);
        }
        self.leave("</array>")?;
        Ok(values)
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Malformed> {
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

/// With the words of the library, which may quote what it read.
fn syntax(error: &quick_xml::Error) -> Malformed {
    Malformed::Syntax(error.to_string().chars().take(2 * SHOWN_CHARACTERS).collect())
}

/// What a reference stands for.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, Malformed> {
    let character = match (reference.resolve_char_ref().map_err(|error| syntax(&error))?, &**reference) {
        (Some(character), _) => character,
        (None, "lt") => '<',
        (None, "gt") => '>',
        (None, "amp") => '&',
        (None, "quot") => '"',
        (None, "apos") => '\'',
        (None, name) => return Err(Malformed::Entity(shown(name))),
    };
    if is_allowed(character) { Ok(character) } else { Err(Malformed::Character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Scalar(value.as_bytes().to_vec())
    }

    fn param(value: &str) -> Result<Vec<Value>, Malformed> {
        let body = format!(
            "<?xml version='1.0'?><methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
        );
        parse(body.as_bytes()).map(|call| call.params)
    }

    #[test]
    fn values_are_what_their_type_says() {
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
            ("<value><nil/></value>", Value::Nil),
            ("<value><array><data/></array></value>", Value::Array(vec![])),
            (
                "<value><array><data><value>a</value> <value><int>1</int></value></data></array></value>",
                Value::Array(vec![text("a"), text("1")]),
            ),
            (
                "<value><struct><member><name>n</name><value>v</value></member></struct></value>",
                Value::Struct(vec![("n".to_owned(), text("v"))]),
            ),
        ] {
            assert_eq!(param(value), Ok(vec![wanted]), "{value}");
        }
        let bare =
            parse(b"<methodCall>\n<methodName>ps</methodName>\n</methodCall>\n<!-- end -->\n").unwrap();
        assert_eq!(bare, Call { method: "ps".to_owned(), params: Vec::new() });
    }

    #[test]
    fn what_is_no_call_is_told_apart() {
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
            assert!(matches!(parse(body.as_bytes()), Err(Malformed::Syntax(_))), "{body}");
        }
        assert_eq!(parse(b"\xff"), Err(Malformed::Encoding));
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
    fn latin_1_is_read_where_it_is_declared() {
        let body = b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><methodCall><methodName>\xe9</methodName></methodCall>";
        assert_eq!(parse(body).unwrap().method, "é");
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = |depth: usize| {
            let (open, close) = ("<value><array><data>", "</data></array></value>");
            param(&format!("{}{}", open.repeat(depth), close.repeat(depth)))
        };
        assert!(deep(MAX_DEPTH).is_ok());
        assert_eq!(deep(MAX_DEPTH + 1), Err(Malformed::TooDeep));
        assert_eq!(deep(10_000), Err(Malformed::TooDeep));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_that_xml_can_carry_arrives(value in "[\\t\\n\\r -\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]*") {
            let mut escaped = crate::wire::Stream::default();
            super::super::encode::characters(&mut escaped, value.as_bytes());
            let escaped = String::from_utf8(escaped.waiting().to_vec()).unwrap();
            proptest::prop_assert_eq!(param(&format!("<value>{escaped}</value>")), Ok(vec![text(&value)]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            let _either_is_fine = parse(&body);
        }
    }
}
