//! Holds the statements of a configuration in their order, parsed and not yet checked against the modules.
//!
//! C has no counterpart: its parser loads modules and sets their variables while it reads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::globals::GlobalRow;
use super::position::{Position, readable};

/// The statements that this server reads, in order. Routing blocks are left out; globals that serve SIP alone
/// are kept without their values.
#[derive(Debug, Default)]
pub struct ConfigDocument {
    /// All of them, across all files.
    pub statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug)]
pub enum Statement {
    /// `name=value`
    Global(GlobalAssignment),
    /// `loadmodule "file.so"`
    Load(LoadModule),
    /// `modparam("module", "parameter", value)`
    Parameter(ModParam),
}

/// `name=value`
#[derive(Debug)]
pub struct GlobalAssignment {
    /// The row of the name in the table of globals.
    pub row: &'static GlobalRow,
    /// The value.
    pub value: ConfigValue,
    /// Where the name stands.
    pub position: Position,
    /// Where the value stands.
    pub value_position: Position,
}

/// `loadmodule "file.so"`
#[derive(Clone, Debug)]
pub struct LoadModule {
    /// The file, not empty.
    pub file: Vec<u8>,
    /// Where the file stands.
    pub position: Position,
}

impl LoadModule {
    /// The name of the file without folder and `.so`.
    #[must_use]
    pub fn name(&self) -> String {
        let name = Path::new(OsStr::from_bytes(&self.file)).file_name().unwrap_or_default().as_bytes();
        readable(name.strip_suffix(b".so").unwrap_or(name))
    }
}

/// `modparam("module", "parameter", value)`
#[derive(Clone, Debug)]
pub struct ModParam {
    /// The module, as a regular expression.
    pub module: Vec<u8>,
    /// The parameter.
    pub name: Vec<u8>,
    /// The value.
    pub value: ConfigValue,
    /// The value as the file has it, for messages.
    pub written: String,
    /// Where the module stands.
    pub module_position: Position,
    /// Where the parameter stands.
    pub name_position: Position,
    /// Where the value stands.
    pub value_position: Position,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigValue {
    /// A number, or `yes` and its like as 1, `no` and its like as 0. In the range of a C `int`.
    Integer(i64),
    /// A string or a word. Holds no NUL byte.
    Text(Vec<u8>),
    /// The value of a global that serves SIP alone: its form was checked, and the value is dropped.
    Checked,
}

impl ConfigDocument {
    /// The `loadmodule` statements, in order.
    pub fn modules(&self) -> impl Iterator<Item = &LoadModule> {
        self.statements.iter().filter_map(|statement| match statement {
            Statement::Load(load) => Some(load),
            Statement::Global(_) | Statement::Parameter(_) => None,
        })
    }

    /// The `modparam` statements, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &ModParam> {
        self.statements.iter().filter_map(|statement| match statement {
            Statement::Parameter(parameter) => Some(parameter),
            Statement::Global(_) | Statement::Load(_) => None,
        })
    }

    /// The globals that were set, in order.
    pub fn globals(&self) -> impl Iterator<Item = &GlobalAssignment> {
        self.statements.iter().filter_map(|statement| match statement {
            Statement::Global(assignment) => Some(assignment),
            Statement::Load(_) | Statement::Parameter(_) => None,
        })
    }
}
