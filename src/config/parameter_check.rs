//! Checks one value of a `modparam` against the row of its parameter.

use super::diagnostics::Diagnostics;
use super::document::{ConfigValue, ModParam};
use super::parameter::{ParameterKind, ParameterRow};
use super::parser::number;
use super::problem::ConfigProblem;

/// Largest permission bits.
const MAX_MODE: i64 = 0o7777;

impl ParameterRow {
    /// The value in the type of this parameter: a number for all kinds but `Text`, `Path`, `Choice` and
    /// names. Adds an error and gives `None` when the value does not fit.
    pub(super) fn check(
        &self,
        module: &str,
        written: &ModParam,
        diagnostics: &mut Diagnostics,
    ) -> Option<ConfigValue> {
        match self.typed(&written.value) {
            Ok(value) => {
                self.warn_of_decimal_mode(module, written, diagnostics);
                Some(value)
            }
            Err((wanted, remedy)) => {
                let problem = ConfigProblem::BadValue {
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

    /// The typed value, or the words for the wanted type and for a value that fits.
    fn typed(&self, value: &ConfigValue) -> Result<ConfigValue, (String, String)> {
        match self.kind {
            ParameterKind::Integer { min, max } => integer(value)
                .filter(|number| (min..=max).contains(number))
                .map(ConfigValue::Integer)
                .ok_or_else(|| (format!("a number from {min} to {max}"), fitting(integer(value), min, max))),
            ParameterKind::Boolean => truth(value)
                .map(|truth| ConfigValue::Integer(i64::from(truth)))
                .ok_or_else(|| ("yes or no, as a number".to_owned(), "1 or 0".to_owned())),
            ParameterKind::Text | ParameterKind::Path => match value {
                ConfigValue::Text(_) => Ok(value.clone()),
                ConfigValue::Integer(number) => Err(("a string".to_owned(), format!("\"{number}\""))),
                ConfigValue::Checked => Err(("a string".to_owned(), "\"\"".to_owned())),
            },
            ParameterKind::Choice(choices) => match value {
                ConfigValue::Text(text) if choices.iter().any(|choice| choice.as_bytes() == text) => {
                    Ok(value.clone())
                }
                _ => Err((
                    format!("one of \"{}\"", choices.join("\", \"")),
                    format!("\"{}\"", choices.first().copied().unwrap_or_default()),
                )),
            },
            ParameterKind::NameOrNumber => match value {
                ConfigValue::Text(text) if !text.is_empty() => Ok(value.clone()),
                ConfigValue::Integer(number) if *number >= 0 => Ok(value.clone()),
                _ => Err(("a name or a number".to_owned(), "\"opensips\" or 1000".to_owned())),
            },
            ParameterKind::Mode => mode(value)
                .filter(|mode| (0..=MAX_MODE).contains(mode))
                .map(ConfigValue::Integer)
                .ok_or_else(|| ("an octal mode".to_owned(), "0660".to_owned())),
        }
    }

    fn warn_of_decimal_mode(&self, module: &str, written: &ModParam, diagnostics: &mut Diagnostics) {
        let ConfigValue::Integer(value) = written.value else { return };
        if self.kind == ParameterKind::Mode && value != 0 && !written.written.starts_with('0') {
            let problem = ConfigProblem::DecimalMode { module: module.to_owned(), name: self.name, value };
            diagnostics.warning(&written.value_position, problem);
        }
    }
}

/// The number that a value is, or that its string holds, in decimal, octal or hexadecimal.
fn integer(value: &ConfigValue) -> Option<i64> {
    match value {
        ConfigValue::Integer(number) => Some(*number),
        ConfigValue::Text(text) => match text.trim_ascii() {
            [b'-', digits @ ..] => number(digits).map(|number| -number),
            [b'+', digits @ ..] | digits => number(digits),
        },
        ConfigValue::Checked => None,
    }
}

fn truth(value: &ConfigValue) -> Option<bool> {
    match value {
        ConfigValue::Text(text) => match text.as_slice() {
            b"yes" | b"true" | b"on" | b"enable" => Some(true),
            b"no" | b"false" | b"off" | b"disable" => Some(false),
            _ => integer(value).map(|number| number != 0),
        },
        ConfigValue::Integer(_) | ConfigValue::Checked => integer(value).map(|number| number != 0),
    }
}

/// The mode that a value is: a number as it is, a string of octal digits as chmod(1) reads it.
fn mode(value: &ConfigValue) -> Option<i64> {
    match value {
        ConfigValue::Integer(number) => Some(*number),
        ConfigValue::Text(text) => {
            let digits = std::str::from_utf8(text).ok()?.trim();
            let octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
            octal.then(|| i64::from_str_radix(digits, 8).ok())?
        }
        ConfigValue::Checked => None,
    }
}

/// The number of the range that is nearest to the written one.
fn fitting(number: Option<i64>, min: i64, max: i64) -> String {
    number.map_or(min, |number| number.clamp(min, max)).to_string()
}
