//! Declares the parameters of modules: one row each, with the type, the range and the default.
//!
//! A module declares a parameter that it reads as a constant `Param<T>`, puts `CONSTANT.row` into its table
//! and reads the value by `settings.get(CONSTANT)`. A parameter that has no effect is a row alone. C
//! counterpart: `param_export_t` in sr_module.h. Differs: C knows numbers and strings, and each module checks
//! the rest by itself, if at all.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

/// One row of a module's table of parameters.
#[derive(Clone, Copy, Debug)]
pub struct ParameterRow {
    /// The name, as in `modparam("module", "name", value)`.
    pub name: &'static str,
    /// The type and the range of a value.
    pub kind: ParameterKind,
    /// The value that counts without `modparam`.
    pub default: DefaultValue,
    /// Whether this server acts on the parameter.
    pub effect: ParameterEffect,
    /// One line for man page and example, without the default.
    pub help: &'static str,
}

/// The type of a parameter, with its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A number in a range, or a string that holds one.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number, of which 0 is no, or a string `yes`, `no`, `1`, `0`. Read as 1 or 0.
    Boolean,
    /// A string.
    Text,
    /// A path, or an address such as `udp:HOST:PORT`.
    Path,
    /// One of a few strings.
    Choice(&'static [&'static str]),
    /// A user or a group: a name, or its number from 0 to 4294967294.
    NameOrNumber,
    /// Permission bits from 0 to 07777: an octal number, or a string of octal digits. A decimal number is
    /// taken as it is, as C does, with a warning.
    Mode,
}

/// Whether this server acts on a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterEffect {
    /// It does.
    Used,
    /// The parameter is accepted and has no effect, for this reason.
    None(&'static str),
}

/// The default of a parameter. [`fmt::Display`] gives the words of the man page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// There is none.
    Absent,
    /// A number; a boolean is 1 or 0.
    Number(i64),
    /// Permission bits.
    Mode(u32),
    /// A string.
    Text(&'static str),
    /// Something that the server knows, in words, as "the server's user".
    Described(&'static str),
}

impl DefaultValue {
    /// The default as the third argument of `modparam`; `None` when it is not one that a file can say.
    #[must_use]
    pub fn as_written(&self) -> Option<String> {
        match self {
            DefaultValue::Number(_) | DefaultValue::Mode(_) => Some(self.to_string()),
            DefaultValue::Text(text) => Some(format!("\"{text}\"")),
            DefaultValue::Absent | DefaultValue::Described(_) => None,
        }
    }
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DefaultValue::Absent => f.write_str("no default"),
            DefaultValue::Number(number) => write!(f, "{number}"),
            DefaultValue::Mode(mode) => write!(f, "0{mode:o}"),
            DefaultValue::Text("\t") => f.write_str("a TAB"),
            DefaultValue::Text(text) => f.write_str(text),
            DefaultValue::Described(words) => f.write_str(words),
        }
    }
}

impl ParameterRow {
    /// A parameter that is accepted and has no effect, for `reason`.
    #[must_use]
    pub const fn without_effect(
        name: &'static str,
        kind: ParameterKind,
        default: DefaultValue,
        reason: &'static str,
        help: &'static str,
    ) -> ParameterRow {
        ParameterRow { name, kind, default, effect: ParameterEffect::None(reason), help }
    }
}

/// A parameter whose values are `T`s. [`super::Settings::get`] reads the value.
#[derive(Clone, Copy, Debug)]
pub struct Param<T> {
    /// The row of the module's table.
    pub row: ParameterRow,
    /// The value that counts without `modparam`.
    pub default: T,
}

impl<T> Param<T> {
    const fn new(
        name: &'static str,
        kind: ParameterKind,
        default: T,
        shown_default: DefaultValue,
        help: &'static str,
    ) -> Param<T> {
        let row = ParameterRow { name, kind, default: shown_default, effect: ParameterEffect::Used, help };
        Param { row, default }
    }

    /// The name, as in `modparam("module", "name", value)`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.row.name
    }
}

impl Param<u16> {
    /// A number from a range.
    #[must_use]
    pub const fn u16(
        name: &'static str,
        range: RangeInclusive<u16>,
        default: u16,
        help: &'static str,
    ) -> Self {
        let kind = ParameterKind::Integer { min: *range.start() as i64, max: *range.end() as i64 };
        Param::new(name, kind, default, DefaultValue::Number(default as i64), help)
    }
}

impl Param<u32> {
    /// A number from a range.
    #[must_use]
    pub const fn u32(
        name: &'static str,
        range: RangeInclusive<u32>,
        default: u32,
        help: &'static str,
    ) -> Self {
        let kind = ParameterKind::Integer { min: *range.start() as i64, max: *range.end() as i64 };
        Param::new(name, kind, default, DefaultValue::Number(default as i64), help)
    }

    /// Permission bits.
    #[must_use]
    pub const fn mode(name: &'static str, default: u32, help: &'static str) -> Self {
        Param::new(name, ParameterKind::Mode, default, DefaultValue::Mode(default), help)
    }
}

impl Param<bool> {
    /// Yes or no.
    #[must_use]
    pub const fn boolean(name: &'static str, default: bool, help: &'static str) -> Self {
        Param::new(name, ParameterKind::Boolean, default, DefaultValue::Number(default as i64), help)
    }
}

impl Param<&'static [u8]> {
    /// A string.
    #[must_use]
    pub const fn text(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Param::new(name, ParameterKind::Text, default.as_bytes(), DefaultValue::Text(default), help)
    }

    /// The beginning of a path, to which a name is appended.
    #[must_use]
    pub const fn path_prefix(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Param::new(name, ParameterKind::Path, default.as_bytes(), DefaultValue::Text(default), help)
    }

    /// One of a few strings.
    #[must_use]
    pub const fn choice(
        name: &'static str,
        choices: &'static [&'static str],
        default: &'static str,
        help: &'static str,
    ) -> Self {
        let kind = ParameterKind::Choice(choices);
        Param::new(name, kind, default.as_bytes(), DefaultValue::Text(default), help)
    }
}

impl Param<Option<&'static [u8]>> {
    /// A string without a default.
    #[must_use]
    pub const fn optional_text(name: &'static str, help: &'static str) -> Self {
        Param::new(name, ParameterKind::Text, None, DefaultValue::Absent, help)
    }
}

impl Param<Option<&'static Path>> {
    /// A path without a default.
    #[must_use]
    pub const fn optional_path(name: &'static str, help: &'static str) -> Self {
        Param::new(name, ParameterKind::Path, None, DefaultValue::Absent, help)
    }
}

impl Param<Option<NameOrNumber<'static>>> {
    /// A user or a group; `default` says in words which one counts without `modparam`.
    #[must_use]
    pub const fn name_or_number(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Param::new(name, ParameterKind::NameOrNumber, None, DefaultValue::Described(default), help)
    }
}

/// A user or a group as a file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOrNumber<'a> {
    /// By name.
    Name(&'a [u8]),
    /// By number.
    Number(i64),
}

impl fmt::Display for NameOrNumber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameOrNumber::Name(name) => f.write_str(&String::from_utf8_lossy(name)),
            NameOrNumber::Number(number) => write!(f, "{number}"),
        }
    }
}
