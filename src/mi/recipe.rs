//! Describes the parameters that a command takes, and checks their number.

use super::status::{MISSING_PARAMETER, Status};

/// What the value of a parameter must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any bytes.
    Text,
    /// A number. JSON-RPC callers may send a JSON number or a string.
    Integer,
    /// One or more values. Only the last parameter of a recipe.
    List,
}

/// A parameter of a command. A list of parameters is called a recipe, as in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name in JSON-RPC requests. In classic requests the position counts.
    pub name: &'static str,
    /// What the value must be.
    pub kind: ParameterKind,
    /// The parameter may be missing.
    pub optional: bool,
}

/// A text parameter that must be present.
#[must_use]
pub const fn required(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Text, optional: false }
}

/// A text parameter that may be missing.
#[must_use]
pub const fn optional(name: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Text, optional: true }
}

impl Parameter {
    /// The same parameter as a number.
    #[must_use]
    pub const fn integer(self) -> Parameter {
        Parameter { kind: ParameterKind::Integer, ..self }
    }

    /// The same parameter as a list of values.
    #[must_use]
    pub const fn list(self) -> Parameter {
        Parameter { kind: ParameterKind::List, ..self }
    }
}

/// The classic form of a command.
#[derive(Clone, Debug)]
pub enum Classic {
    /// There is none: the command exists in JSON-RPC only.
    Absent,
    /// The command has no parameters. What follows its name is not decoded. C: `MI_NO_INPUT_FLAG`.
    NoInput,
    /// The command has parameters.
    Takes {
        /// The parameters in their order.
        recipe: &'static [Parameter],
        /// The error when a required one is missing. `None` when the command checks that itself, after other
        /// checks.
        too_few: Option<Status>,
        /// The error when there are more. `None` when more are ignored, or the command checks that itself.
        too_many: Option<Status>,
    },
}

impl Classic {
    /// A command with these parameters, C's usual error when one is missing, and none when there are more.
    #[must_use]
    pub const fn takes(recipe: &'static [Parameter]) -> Classic {
        Classic::Takes { recipe, too_few: Some(MISSING_PARAMETER), too_many: None }
    }

    /// Checks that a classic request may have `count` parameters, and returns their recipe.
    ///
    /// # Errors
    /// [`too_few`](Classic::Takes::too_few) or [`too_many`](Classic::Takes::too_many).
    pub fn recipe_for(&self, count: usize) -> Result<&'static [Parameter], Status> {
        let Classic::Takes { recipe, too_few, too_many } = self else { return Ok(&[]) };
        let needed = recipe.iter().filter(|parameter| !parameter.optional).count();
        let open_ended = recipe.last().is_some_and(|parameter| parameter.kind == ParameterKind::List);
        match (too_few, too_many) {
            (Some(status), _) if count < needed => Err(status.clone()),
            (_, Some(status)) if !open_ended && count > recipe.len() => Err(status.clone()),
            _ => Ok(recipe),
        }
    }
}
