//! Parameters of modules: the rows that modules declare, and the check of one value against its row.
//!
//! C counterpart: `param_export_t` in sr_module.h. Differs: C knows numbers and strings, and each module checks
//! the rest by itself, if at all.

use super::diagnostics::Diagnostics;
use super::document::{ModParam, Value};
use super::parser::number;
use super::problem::Problem;

/// One parameter of a module.
#[derive(Debug)]
pub struct Parameter {
    /// Its name, as in `modparam("module", "name", value)`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it does something here.
    pub effect: Effect,
    /// One line for man page and example, with the default.
    pub help: &'static str,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number in a range, or a string that holds one.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number that is no when 0, or a string `yes`, `no`, `1`, `0`. Read as 1 or 0.
    Boolean,
    /// A string.
    Text,
    /// A path, or an address such as `udp:HOST:PORT`.
    Path,
    /// One of a few strings.
    Choice(&'static [&'static str]),
    /// A user or a group: a name, or its number from 0 to 4294967294.
    IntegerOrText,
    /// Permission bits from 0 to 07777: an octal number, or a string of octal digits. A decimal number is taken as
    /// it is, as C does, with a warning.
    Mode,
}

/// Whether a parameter does something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Used,
    /// It is accepted, and does nothing, for this reason.
    None(&'static str),
}

/// Largest permission bits.
const MAX_MODE: i64 = 0o7777;

impl Parameter {
    /// The value as this parameter takes it: a number for all kinds but `Text`, `Path`, `Choice` and names. `None` when it
    /// does not fit; the error is added then.
    pub(super) fn check(
        &self,
        module: &str,
        written: &ModParam,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        match self.typed(&written.value) {
            Ok(value) => {
                self.warn_of_decimal_mode(module, written, diagnostics);
                Some(value)
            }
            Err((wanted, remedy)) => {
                let problem = Problem::BadValue {
                    module: module.to_owned(),
                    name: self.name,
                    found: written.written.clone(),
                    wanted,
                    remedy,
                };
                diagnostics.error(&written.value_position, problem);
                None
            }
        }
    }

    /// The typed value, or what was wanted and a value that would do.
    fn typed(&self, value: &Value) -> Result<Value, (String, String)> {
        match self.kind {
            Kind::Integer { min, max } => integer(value)
                .filter(|number| (min..=max).contains(number))
                .map(Value::Integer)
                .ok_or_else(|| (format!("a number from {min} to {max}"), fitting(integer(value), min, max))),
            Kind::Boolean => truth(value)
                .map(|truth| Value::Integer(i64::from(truth)))
                .ok_or_else(|| ("yes or no, as a number".to_owned(), "1 or 0".to_owned())),
            Kind::Text | Kind::Path => match value {
                Value::Text(_) => Ok(value.clone()),
                Value::Integer(number) => Err(("a string".to_owned(), format!("\"{number}\""))),
                Value::Checked => Err(("a string".to_owned(), "\"\"".to_owned())),
            },
            Kind::Choice(choices) => match value {
                Value::Text(text) if choices.iter().any(|choice| choice.as_bytes() == text) => {
                    Ok(value.clone())
                }
                _ => Err((
                    format!("one of \"{}\"", choices.join("\", \"")),
                    format!("\"{}\"", choices.first().copied().unwrap_or_default()),
                )),
            },
            Kind::IntegerOrText => match value {
                Value::Text(text) if !text.is_empty() => Ok(value.clone()),
                Value::Integer(number) if *number >= 0 => Ok(value.clone()),
                _ => Err(("a name or a number".to_owned(), "\"opensips\" or 1000".to_owned())),
            },
            Kind::Mode => mode(value)
                .filter(|mode| (0..=MAX_MODE).contains(mode))
                .map(Value::Integer)
                .ok_or_else(|| ("an octal mode".to_owned(), "0660".to_owned())),
        }
    }

    fn warn_of_decimal_mode(&self, module: &str, written: &ModParam, diagnostics: &mut Diagnostics) {
        let Value::Integer(value) = written.value else { return };
        if self.kind == Kind::Mode && value != 0 && !written.written.starts_with('0') {
            let problem = Problem::DecimalMode { module: module.to_owned(), name: self.name, value };
            diagnostics.warning(&written.value_position, problem);
        }
    }
}

/// The number that a value is, or that its string holds, in decimal, octal or hexadecimal.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Text(text) => match text.trim_ascii() {
            [b'-', digits @ ..] => number(digits).map(|number| -number),
            [b'+', digits @ ..] | digits => number(digits),
        },
        Value::Checked => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Text(text) => match text.as_slice() {
            b"yes" | b"true" | b"on" | b"enable" => Some(true),
            b"no" | b"false" | b"off" | b"disable" => Some(false),
            _ => integer(value).map(|number| number != 0),
        },
        Value::Integer(_) | Value::Checked => integer(value).map(|number| number != 0),
    }
}

/// The mode that a value is: a number as it is, a string of octal digits as chmod(1) reads it.
fn mode(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Text(text) => {
            let digits = std::str::from_utf8(text).ok()?.trim();
            let octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
            octal.then(|| i64::from_str_radix(digits, 8).ok())?
        }
        Value::Checked => None,
    }
}

/// The number of the range that is next to what was written.
fn fitting(number: Option<i64>, min: i64, max: i64) -> String {
    number.map_or(min, |number| number.clamp(min, max)).to_string()
}
