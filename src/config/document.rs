//! What was written: the statements of the configuration in their order, parsed and not yet checked against the
//! modules.
//!
//! C has no counterpart: there the parser loads modules and sets their variables as it reads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::globals::GlobalRow;
use super::position::{Position, readable};

/// The statements that concern this server, in order. Routing blocks and what serves SIP alone are left out,
/// but for the names of the globals that were set.
#[derive(Debug, Default)]
pub struct Document {
    /// All of them, across all files.
    pub statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug)]
pub enum Statement {
    /// `name=value`
    Global(Assignment),
    /// `loadmodule "file.so"`
    Load(LoadModule),
    /// `modparam("module", "parameter", value)`
    Parameter(ModParam),
}

/// `name=value`
#[derive(Debug)]
pub struct Assignment {
    /// What the name stands for.
    pub row: &'static GlobalRow,
    /// What it was set to.
    pub value: Value,
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
    /// What it is set to.
    pub value: Value,
    /// The value as it was written, for messages.
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
pub enum Value {
    /// A number, or `yes` and its like as 1, `no` and its like as 0. In the range of a C `int`.
    Integer(i64),
    /// A string or a word. Holds no NUL byte.
    Text(Vec<u8>),
    /// A value of SIP alone: its form was checked, nothing is kept.
    Checked,
}

impl Document {
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
    pub fn globals(&self) -> impl Iterator<Item = &Assignment> {
        self.statements.iter().filter_map(|statement| match statement {
            Statement::Global(assignment) => Some(assignment),
            Statement::Load(_) | Statement::Parameter(_) => None,
        })
    }
}
