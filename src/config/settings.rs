//! The values of one module's parameters, in the order in which they were set.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::document::Value;
use super::position::Position;

/// One `modparam`, after the check.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The parameter.
    pub name: String,
    /// The value, of the type that the parameter takes.
    pub value: Value,
    /// Where the value stands.
    pub position: Position,
}

/// All values of one module. Where a parameter was set several times, the last one counts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    all: Vec<Setting>,
}

impl Settings {
    pub(super) fn push(&mut self, setting: Setting) {
        self.all.push(setting);
    }

    /// Every setting, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.all.iter()
    }

    /// The number that `name` was set to. `None` when it was not set, or to text.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.last(name)?.value {
            Value::Integer(number) => Some(number),
            Value::Text(_) | Value::Checked => None,
        }
    }

    /// What a `Kind::Boolean` was set to.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.integer(name).map(|number| number != 0)
    }

    /// The text that `name` was set to, without NUL bytes. `None` when it was not set, or to a number.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&[u8]> {
        match &self.last(name)?.value {
            Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Checked => None,
        }
    }

    /// The same as [`Settings::text`], as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.text(name).map(|text| Path::new(OsStr::from_bytes(text)))
    }

    /// Every text that `name` was set to, in order, each with its place: for parameters that add up.
    pub fn all_text(&self, name: &str) -> impl Iterator<Item = (&[u8], &Position)> {
        self.all.iter().filter(move |setting| setting.name == name).filter_map(|setting| {
            match &setting.value {
                Value::Text(text) => Some((text.as_slice(), &setting.position)),
                Value::Integer(_) | Value::Checked => None,
            }
        })
    }

    /// Where the value that counts was set, for errors that are found later.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<&Position> {
        self.last(name).map(|setting| &setting.position)
    }

    /// Replaces the text that `name` was set to; its position stays.
    pub fn replace_text(&mut self, name: &str, text: Vec<u8>) {
        if let Some(last) = self.all.iter_mut().rev().find(|setting| setting.name == name) {
            last.value = Value::Text(text);
        }
    }

    fn last(&self, name: &str) -> Option<&Setting> {
        self.all.iter().rev().find(|setting| setting.name == name)
    }
}
