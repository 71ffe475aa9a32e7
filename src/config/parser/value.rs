//! Parses the values of globals: numbers, words, strings, and the addresses and lists of SIP.
//!
//! The value of a global that serves SIP alone is checked for its form and dropped. C counterpart: the rules
//! `snumber`, `listen_def`, `id_lst`, `blst_elem` and `host` of cfg.y.

use super::{ConfigProblem, KEYWORDS, Parsed, Parser, is_one_of};
use crate::config::document::ConfigValue;
use crate::config::globals::{self, Facility, GlobalForm, GlobalRow};
use crate::config::lexer::{Token, TokenShape};
use crate::config::position::readable;

/// Words before the colon of an address, in small letters. C: `proto` of cfg.y, `parse_proto` of 2.4.
const PROTOCOLS: &[&str] =
    &["udp", "tcp", "tls", "sctp", "any", "bin", "hep_udp", "hep_tcp", "hep", "ws", "wss"];

/// The value of a run of digits and letters. Hexadecimals above `i32::MAX` become negative, as C's cast makes
/// them.
pub(in crate::config) fn number(raw: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(raw).ok()?;
    let value = if let Some(digits) = text.strip_prefix("0x") {
        i64::from(u32::from_str_radix(digits, 16).ok()?.cast_signed())
    } else if text.len() > 1 && text.starts_with('0') {
        i64::from(u32::from_str_radix(text, 8).ok()?.cast_signed())
    } else if text.starts_with(|first: char| first.is_ascii_digit()) {
        i64::from(text.parse::<u32>().ok()?)
    } else {
        return None;
    };
    Some(value)
}

impl Parser<'_> {
    /// The value of a global, after its `=`.
    pub(super) fn value(&mut self, row: &'static GlobalRow) -> Parsed<ConfigValue> {
        const QUOTES: &str = "put it in quotes";
        match row.form {
            GlobalForm::Integer { min, max } => self.ranged(row, min, max),
            GlobalForm::Boolean => Ok(ConfigValue::Integer(self.integer("yes or no", "write yes or no")?.0)),
            GlobalForm::Text => Ok(ConfigValue::Text(self.text("a string", QUOTES)?.1)),
            GlobalForm::Word => self.word_or("a word", false, false),
            GlobalForm::TextOrWord => self.word_or("a word or a string", true, false),
            GlobalForm::WordOrInteger => self.word_or("a word or a number", false, true),
            GlobalForm::Name => self.word_or("a name", true, true),
            GlobalForm::Facility => self.facility(),
            GlobalForm::Sockets => self.addresses(true),
            GlobalForm::Aliases => self.addresses(false),
            GlobalForm::Host => {
                self.address()?;
                Ok(ConfigValue::Checked)
            }
            GlobalForm::Blacklist => self.blacklist(),
            GlobalForm::MemoryGroup => self.memory_group(),
        }
    }

    /// Takes a number with an optional sign, or `yes` and its like; gives it also as it was written.
    pub(super) fn integer(&mut self, wanted: &'static str, remedy: &'static str) -> Parsed<(i64, String)> {
        let sign = self.reader.peek(0).clone();
        let signed = sign.is(b'-') || sign.is(b'+');
        if signed {
            self.reader.next();
        }
        let token = self.reader.next();
        let magnitude = match token.shape {
            TokenShape::Word if !signed => truth(token.raw()),
            TokenShape::Number => match number(token.raw()) {
                Some(value) => Some(value),
                None => return self.bad_number(&token),
            },
            _ => None,
        };
        let Some(magnitude) = magnitude else { return self.unexpected(&token, wanted, remedy) };
        let negative = sign.is(b'-');
        let value = if negative { -magnitude } else { magnitude };
        if i32::try_from(value).is_err() {
            return self.bad_number(&token);
        }
        let minus = if negative { "-" } else { "" };
        Ok((value, format!("{minus}{}", readable(token.raw()))))
    }

    fn bad_number<T>(&mut self, token: &Token) -> Parsed<T> {
        let (raw, found) = (token.raw(), token.shown());
        let decimal = !raw.starts_with(b"0") && raw.iter().all(u8::is_ascii_digit);
        let problem = if decimal {
            ConfigProblem::NumberTooLarge { found }
        } else {
            ConfigProblem::BadNumber { found }
        };
        self.give_up(token, problem)
    }

    fn ranged(&mut self, row: &'static GlobalRow, min: i64, max: i64) -> Parsed<ConfigValue> {
        let start = self.reader.peek(0).clone();
        let (value, _) = self.integer("a number", "write it without quotes")?;
        if value < min || value > max {
            let name = row.names.first().copied().unwrap_or_default();
            let problem = ConfigProblem::GlobalRange { name, value, min, max };
            self.reader.diagnostics.error(&start.position(), problem);
        }
        Ok(ConfigValue::Integer(value))
    }

    fn word_or(&mut self, wanted: &'static str, text: bool, integer: bool) -> Parsed<ConfigValue> {
        let shape = self.reader.peek(0).shape;
        if text && matches!(shape, TokenShape::Text | TokenShape::UnclosedText) {
            return Ok(ConfigValue::Text(self.text(wanted, "put it in quotes")?.1));
        }
        let token = self.reader.next();
        match shape {
            TokenShape::Word => Ok(ConfigValue::Text(token.raw().to_vec())),
            TokenShape::Number if integer => Ok(ConfigValue::Text(token.raw().to_vec())),
            _ => self.unexpected(&token, wanted, "write one"),
        }
    }

    fn facility(&mut self) -> Parsed<ConfigValue> {
        let token = self.reader.peek(0).clone();
        let value = self.word_or("a syslog facility", true, false)?;
        if let ConfigValue::Text(name) = &value
            && Facility::from_name(name).is_none()
        {
            let problem = ConfigProblem::UnknownFacility { found: token.shown() };
            self.reader.diagnostics.error(&token.position(), problem);
        }
        Ok(value)
    }

    /// One or more addresses. A word that opens the next statement ends the list.
    fn addresses(&mut self, socket: bool) -> Parsed<ConfigValue> {
        loop {
            self.address()?;
            if socket {
                self.socket_options()?;
            }
            if !self.address_follows() {
                return Ok(ConfigValue::Checked);
            }
        }
    }

    fn address_follows(&mut self) -> bool {
        let next = self.reader.peek(0).clone();
        match next.shape {
            TokenShape::Text | TokenShape::Ipv6 | TokenShape::Number => true,
            TokenShape::Mark(mark) => mark == b'[' || mark == b'*',
            TokenShape::Word => {
                let statement = is_one_of(&next, KEYWORDS) || globals::find(next.raw()).is_some();
                !statement && !self.reader.peek(1).is(b'=') && !next.is_word("mem")
            }
            _ => false,
        }
    }

    /// `as HOST:PORT`, `anycast`, `use_children N`
    fn socket_options(&mut self) -> Parsed<()> {
        if is_one_of(self.reader.peek(0), &["as", "AS"]) {
            self.reader.next();
            self.address()?;
        }
        if self.reader.peek(0).is_word("anycast") {
            self.reader.next();
        }
        if is_one_of(self.reader.peek(0), &["use_children", "USE_CHILDREN"]) {
            self.reader.next();
            self.integer("a number of processes", "write use_children 4")?;
        }
        Ok(())
    }

    /// `udp:HOST:PORT`, of which the first and the last may be missing.
    fn address(&mut self) -> Parsed<()> {
        let (first, second) = (self.reader.peek(0).clone(), self.reader.peek(1).clone());
        if first.shape == TokenShape::Word && second.is(b':') {
            let word = readable(first.raw()).to_lowercase();
            if PROTOCOLS.contains(&word.as_str()) {
                self.reader.next();
                self.reader.next();
            }
        }
        self.host()?;
        if self.reader.peek(0).is(b':') {
            self.reader.next();
            let port = self.reader.next();
            let known = number(port.raw()).is_some_and(|port| (0..=65_535).contains(&port));
            if !(port.is_word("any") || (port.shape == TokenShape::Number && known)) {
                return self.unexpected(&port, "a port from 0 to 65535", "correct it, or remove the colon");
            }
        }
        Ok(())
    }

    fn host(&mut self) -> Parsed<()> {
        const WANTED: &str = "a host or an address";
        const REMEDY: &str = "put a name in quotes";
        let token = self.reader.next();
        match token.shape {
            TokenShape::Text | TokenShape::Ipv6 | TokenShape::Mark(b'*') => Ok(()),
            TokenShape::Mark(b'[') => {
                let inner = self.reader.next();
                if inner.shape != TokenShape::Ipv6 {
                    return self.unexpected(&inner, "an IPv6 address", "write it as [::1]");
                }
                self.mark(b']', "`]`", "close the bracket after the address")
            }
            TokenShape::Word | TokenShape::Number => self.labels(token),
            _ => self.unexpected(&token, WANTED, REMEDY),
        }
    }

    /// The rest of a host name or an IPv4 address after its first label.
    fn labels(&mut self, first: Token) -> Parsed<()> {
        let mut name = first.raw().to_vec();
        let mut last = first.clone();
        loop {
            let (mark, label) = (self.reader.peek(0).clone(), self.reader.peek(1).clone());
            let joined = (mark.is(b'.') || mark.is(b'-')) && last.touches(&mark) && mark.touches(&label);
            if !joined || !matches!(label.shape, TokenShape::Word | TokenShape::Number) {
                break;
            }
            name.extend(mark.raw());
            name.extend(label.raw());
            self.reader.next();
            last = self.reader.next();
        }
        let numeric = name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        if numeric && !is_ipv4(&name) {
            return self
                .give_up(&first, ConfigProblem::BadAddress { found: format!("`{}`", readable(&name)) });
        }
        Ok(())
    }

    /// `name:{(udp, 10.0.0.0/8, 5060, "text"), !(…)}`
    fn blacklist(&mut self) -> Parsed<ConfigValue> {
        const FORM: &str = "write name:{(udp, 10.0.0.0/255.0.0.0, 5060, \"\")}";
        self.word_or("the name of the list", false, false)?;
        self.mark(b':', "`:`", FORM)?;
        self.mark(b'{', "`{`", FORM)?;
        loop {
            let next = self.reader.peek(0);
            if next.is(b'!') || next.is_word("not") {
                self.reader.next();
            }
            self.mark(b'(', "`(`", FORM)?;
            self.word_or("a protocol", false, false)?;
            self.mark(b',', "`,`", FORM)?;
            self.host()?;
            if self.reader.peek(0).is(b'/') {
                self.reader.next();
                if self.reader.peek(0).shape == TokenShape::Number && !self.reader.peek(1).is(b'.') {
                    self.reader.next();
                } else {
                    self.host()?;
                }
            }
            self.mark(b',', "`,`", FORM)?;
            self.word_or("a port", false, true)?;
            self.mark(b',', "`,`", FORM)?;
            self.text("a text in quotes", FORM)?;
            self.mark(b')', "`)`", FORM)?;
            if !self.reader.peek(0).is(b',') {
                break;
            }
            self.reader.next();
        }
        self.mark(b'}', "`}`", FORM)?;
        Ok(ConfigValue::Checked)
    }

    /// `"group": "module" "module"`
    fn memory_group(&mut self) -> Parsed<ConfigValue> {
        const FORM: &str = "write mem-group = \"group\": \"module\"";
        self.text("the name of a group", FORM)?;
        self.mark(b':', "`:`", FORM)?;
        self.text("the name of a module", FORM)?;
        while self.reader.peek(0).shape == TokenShape::Text {
            self.reader.next();
        }
        Ok(ConfigValue::Checked)
    }
}

/// C: `YES` and `NO` of cfg.lex. Case counts.
fn truth(word: &[u8]) -> Option<i64> {
    match word {
        b"yes" | b"true" | b"on" | b"enable" => Some(1),
        b"no" | b"false" | b"off" | b"disable" => Some(0),
        _ => None,
    }
}

/// Whether a name is four numbers up to 255. Leading zeros are allowed; C reads such numbers as octal.
fn is_ipv4(name: &[u8]) -> bool {
    let groups: Vec<&[u8]> = name.split(|&byte| byte == b'.').collect();
    groups.len() == 4
        && groups.iter().all(|group| number(group).is_some_and(|value| (0..=255).contains(&value)))
}
