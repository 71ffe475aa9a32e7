//! Keeps the values of one module's parameters, in the order in which they were set, and reads them by type.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::document::ConfigValue;
use super::parameter::{NameOrNumber, Param};
use super::position::Position;

/// One `modparam`, after the check.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The name of the parameter.
    pub name: String,
    /// The value, of the type that the parameter takes.
    pub value: ConfigValue,
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

    /// The value of a parameter: the last one that was set, or the default.
    pub fn get<'a, T: FromSetting<'a>>(&'a self, parameter: Param<T>) -> T {
        let set = self.last(parameter.name()).map(|setting| T::from_setting(&setting.value));
        debug_assert!(!matches!(set, Some(None)), "{} has a value of another type", parameter.name());
        // The check lets only values of the parameter's type pass, so this is the default of one that is not
        // set.
        set.flatten().unwrap_or(parameter.default)
    }

    /// Every value of a parameter that may be set several times, in order, each with its place.
    pub fn all<'a, T: FromSetting<'a>>(
        &'a self,
        parameter: Param<Option<T>>,
    ) -> impl Iterator<Item = (T, &'a Position)> {
        let name = parameter.name();
        let named = self.all.iter().filter(move |setting| setting.name == name);
        named.filter_map(|setting| Some((T::from_setting(&setting.value)?, &setting.position)))
    }

    /// The setting that counts of the parameter `name`.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Setting> {
        self.all.iter().rev().find(|setting| setting.name == name)
    }

    /// Whether the parameter `name` was set.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// Where the value that counts was set, for errors that are found later.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<&Position> {
        self.last(name).map(|setting| &setting.position)
    }

    /// Replaces the text that `name` was set to; its position stays.
    pub fn replace_text(&mut self, name: &str, text: Vec<u8>) {
        if let Some(last) = self.all.iter_mut().rev().find(|setting| setting.name == name) {
            last.value = ConfigValue::Text(text);
        }
    }
}

impl Setting {
    /// The value as a path; `None` when it is not a string.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        FromSetting::from_setting(&self.value)
    }
}

/// A type that a checked value can be read as.
pub trait FromSetting<'a>: Sized {
    /// Reads a value; `None` when it is of another type.
    fn from_setting(value: &'a ConfigValue) -> Option<Self>;
}

impl FromSetting<'_> for u16 {
    fn from_setting(value: &ConfigValue) -> Option<u16> {
        u32::from_setting(value)?.try_into().ok()
    }
}

impl FromSetting<'_> for u32 {
    fn from_setting(value: &ConfigValue) -> Option<u32> {
        match value {
            ConfigValue::Integer(number) => (*number).try_into().ok(),
            ConfigValue::Text(_) | ConfigValue::Checked => None,
        }
    }
}

impl FromSetting<'_> for bool {
    fn from_setting(value: &ConfigValue) -> Option<bool> {
        u32::from_setting(value).map(|number| number != 0)
    }
}

impl<'a> FromSetting<'a> for &'a [u8] {
    fn from_setting(value: &'a ConfigValue) -> Option<&'a [u8]> {
        match value {
            ConfigValue::Text(text) => Some(text),
            ConfigValue::Integer(_) | ConfigValue::Checked => None,
        }
    }
}

impl<'a> FromSetting<'a> for &'a Path {
    fn from_setting(value: &'a ConfigValue) -> Option<&'a Path> {
        <&[u8]>::from_setting(value).map(|text| Path::new(OsStr::from_bytes(text)))
    }
}

impl<'a> FromSetting<'a> for NameOrNumber<'a> {
    fn from_setting(value: &'a ConfigValue) -> Option<NameOrNumber<'a>> {
        match value {
            ConfigValue::Text(name) => Some(NameOrNumber::Name(name)),
            ConfigValue::Integer(number) => Some(NameOrNumber::Number(*number)),
            ConfigValue::Checked => None,
        }
    }
}

impl<'a, T: FromSetting<'a>> FromSetting<'a> for Option<T> {
    fn from_setting(value: &'a ConfigValue) -> Option<Option<T>> {
        T::from_setting(value).map(Some)
    }
}
