//! Says what this server has of a module that `loadmodule` names.

use super::parameter::ParameterRow;

/// What this server has of a module.
#[derive(Clone, Copy, Debug)]
pub enum ModuleSupport {
    /// The module is built in, and has these parameters.
    Builtin(&'static [ParameterRow]),
    /// The module of OpenSIPS exports no MI command; it is accepted and has no effect.
    SipOnly,
    /// The module of OpenSIPS exports these MI commands, which this server lacks; it is accepted and has no
    /// effect.
    MissingCommands(&'static [&'static str]),
    /// This build leaves the module out; it is accepted and has no effect.
    NotBuilt,
    /// The table of modules does not have the name. The attendant looks for a C module of that name later.
    Unknown,
}
