//! A strict reader of replies of XML-RPC, apart from the server's own reader of calls: what is not in the grammar, or
//! not valid XML, is an error.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

/// What a reply says.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// A value, as JSON has it.
    Value(Value),
    /// A fault: code and text.
    Fault(i64, String),
}

/// Reads a whole reply.
pub(crate) fn read(bytes: &[u8]) -> Result<Reply, String> {
    let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let forbidden =
        |c: char| matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    if let Some(character) = text.chars().find(|&c| forbidden(c)) {
        return Err(format!("{character:?} in XML"));
    }
    let mut reader = Strict { reader: Reader::from_str(text) };
    reader.open("methodResponse")?;
    let reply = match reader.tag()?.as_str() {
        "params" => {
            reader.open("param")?;
            reader.open("value")?;
            let value = reader.value()?;
            reader.close()?;
            Reply::Value(value)
        }
        "fault" => {
            reader.open("value")?;
            let value = reader.value()?;
            let (code, text) = (value["faultCode"].as_i64(), value["faultString"].as_str());
            let (Some(code), Some(text)) = (code, text) else { return Err(format!("no fault: {value}")) };
            Reply::Fault(code, text.to_owned())
        }
        other => return Err(format!("<{other}>")),
    };
    reader.close()?;
    reader.close()?;
    match reader.blank()? {
        Event::Eof => Ok(reply),
        event => Err(format!("{event:?} at the end")),
    }
}

struct Strict<'a> {
    reader: Reader<&'a [u8]>,
}

impl<'a> Strict<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        self.reader.read_event().map_err(|error| error.to_string())
    }

    /// What comes after blanks.
    fn blank(&mut self) -> Result<Event<'a>, String> {
        loop {
            match self.next()? {
                Event::Text(text) if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() => {}
                Event::Decl(_) => {}
                event => return Ok(event),
            }
        }
    }

    fn tag(&mut self) -> Result<String, String> {
        match self.blank()? {
            Event::Start(tag) if tag.attributes_raw().trim().is_empty() => Ok(tag.name().as_ref().to_owned()),
            event => Err(format!("{event:?} instead of a tag")),
        }
    }

    fn open(&mut self, name: &str) -> Result<(), String> {
        let found = self.tag()?;
        if found == name { Ok(()) } else { Err(format!("<{found}> instead of <{name}>")) }
    }

    /// That the names are the same is looked after by the library.
    fn close(&mut self) -> Result<(), String> {
        match self.blank()? {
            Event::End(_) => Ok(()),
            event => Err(format!("{event:?} instead of a closing tag")),
        }
    }

    /// The text up to a closing tag, or to an opening one, whose name comes with it.
    fn text(&mut self) -> Result<(String, Option<String>), String> {
        let mut all = String::new();
        loop {
            match self.next()? {
                Event::Text(text) if text.contains("]]>") => return Err(format!("]]> in {text:?}")),
                Event::Text(text) => all.push_str(&text.xml10_content()),
                Event::GeneralRef(name) => {
                    let character = match (name.resolve_char_ref(), &*name) {
                        (Ok(Some(character)), _) => character,
                        (_, "lt") => '<',
                        (_, "gt") => '>',
                        (_, "amp") => '&',
                        (_, "quot") => '"',
                        (_, "apos") => '\'',
                        _ => return Err(format!("&{}; is unknown", &*name)),
                    };
                    all.push(character);
                }
                Event::End(_) => return Ok((all, None)),
                Event::Start(tag) => return Ok((all, Some(tag.name().as_ref().to_owned()))),
                event => return Err(format!("{event:?} in a value")),
            }
        }
    }

    /// The text of an element without others.
    fn plain(&mut self) -> Result<String, String> {
        match self.text()? {
            (text, None) => Ok(text),
            (_, Some(name)) => Err(format!("<{name}> in text")),
        }
    }

    /// A value behind its opening tag, with its closing tag.
    fn value(&mut self) -> Result<Value, String> {
        let kind = match self.text()? {
            (text, None) => return Ok(Value::String(text)),
            (blank, Some(_)) if !blank.trim().is_empty() => return Err(format!("{blank:?} beside a type")),
            (_, Some(kind)) => kind,
        };
        let value = match kind.as_str() {
            "string" => Value::String(self.plain()?),
            "int" | "i4" => self.plain()?.parse::<i32>().map_err(|error| error.to_string())?.into(),
            "boolean" => match self.plain()?.as_str() {
                "0" => false.into(),
                "1" => true.into(),
                other => return Err(format!("{other:?} is no boolean")),
            },
            "array" => self.array()?,
            "struct" => self.members()?,
            other => return Err(format!("no type is called {other}")),
        };
        self.close()?;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, String> {
        self.open("data")?;
        let mut values = Vec::new();
        loop {
            match self.blank()? {
                Event::Start(tag) if tag.name().as_ref() == "value" => values.push(self.value()?),
                Event::End(_) => break,
                event => return Err(format!("{event:?} in an array")),
            }
        }
        self.close()?;
        Ok(Value::Array(values))
    }

    fn members(&mut self) -> Result<Value, String> {
        let mut members = serde_json::Map::new();
        loop {
            match self.blank()? {
                Event::Start(tag) if tag.name().as_ref() == "member" => {}
                Event::End(_) => return Ok(Value::Object(members)),
                event => return Err(format!("{event:?} in a struct")),
            }
            self.open("name")?;
            let name = self.plain()?;
            self.open("value")?;
            members.insert(name, self.value()?);
            self.close()?;
        }
    }
}
