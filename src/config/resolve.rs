//! Makes a [`Configuration`] of a document: the modules in load order with their typed settings, and the
//! globals.
//!
//! Matches each `modparam` with the loaded modules, and warns about modules that have no effect in this
//! server. Opens no file: a module whose name is in no table stays in the configuration, and the attendant
//! looks for a C module of that name. C counterpart: `set_mod_param_regex` in modparam.c, the rule
//! `module_stm` in cfg.y. Differs: a parameter that only one of several modules lacks is an error for that
//! module; the others get the value.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::diagnostics::Diagnostics;
use super::document::{ConfigDocument, ConfigValue, GlobalAssignment, LoadModule, ModParam, Statement};
use super::globals::{GlobalScope, Globals};
use super::module_support::ModuleSupport;
use super::nearest::nearest;
use super::origin;
use super::parameter::ParameterEffect;
use super::position::{Position, readable};
use super::problem::ConfigProblem;
use super::settings::{Setting, Settings};
use super::sip_modules;

/// The folder of modules without `mpath`.
pub const DEFAULT_MODULE_PATH: &str = "/usr/lib/opensips/modules/";

/// Says which modules the server has.
pub trait ModuleCatalogue {
    /// What this server has of `module`, the name of its file without folder and `.so`; `path` is where that
    /// file would be.
    fn look_up(&self, module: &str, path: &Path) -> ModuleSupport;
}

impl<F: Fn(&str, &Path) -> ModuleSupport> ModuleCatalogue for F {
    fn look_up(&self, module: &str, path: &Path) -> ModuleSupport {
        self(module, path)
    }
}

/// A module that is loaded.
#[derive(Debug)]
pub struct LoadedModule {
    /// The name of its file without folder and `.so`.
    pub name: String,
    /// Its file: as written when that is absolute, else below `mpath`. Where there is none, C tries
    /// `MPATH/NAME/NAME.so` too.
    pub path: PathBuf,
    /// What this server has of the module.
    pub support: ModuleSupport,
    /// The settings: checked and typed for a built-in module, as written for others.
    pub settings: Settings,
    /// The place of its file in the `loadmodule`.
    pub position: Position,
}

/// The whole configuration, checked.
#[derive(Debug, Default)]
pub struct Configuration {
    /// The globals that `name=value` sets.
    pub globals: Globals,
    /// The modules, in load order, those without effect included.
    pub modules: Vec<LoadedModule>,
}

impl Configuration {
    /// A loaded module.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<&LoadedModule> {
        self.modules.iter().find(|module| module.name == name)
    }
}

/// Checks a document and makes a configuration of it. Adds every error to `diagnostics`; the server must not
/// start with the result when there is one.
pub fn resolve(
    document: ConfigDocument,
    catalogue: &dyn ModuleCatalogue,
    diagnostics: &mut Diagnostics,
) -> Configuration {
    let all_loads = document.modules().map(|load| (load.name(), load.position.clone())).collect();
    let mut resolver = StatementResolver {
        catalogue,
        diagnostics,
        mpath: PathBuf::from(DEFAULT_MODULE_PATH),
        all_loads,
        unknown: Vec::new(),
        result: Configuration::default(),
    };
    for statement in document.statements {
        match statement {
            Statement::Global(assignment) => resolver.global(assignment),
            Statement::Load(load) => resolver.load(&load),
            Statement::Parameter(parameter) => resolver.parameter(&parameter),
        }
    }
    let StatementResolver { result, unknown, .. } = resolver;
    diagnostics.set_closing_line(origin::closing_line(diagnostics, &unknown));
    result
}

struct StatementResolver<'a> {
    catalogue: &'a dyn ModuleCatalogue,
    diagnostics: &'a mut Diagnostics,
    mpath: PathBuf,
    /// All modules of the document by name, also those that are loaded further down.
    all_loads: Vec<(String, Position)>,
    /// Modules that are in no table.
    unknown: Vec<LoadModule>,
    result: Configuration,
}

impl StatementResolver<'_> {
    fn global(&mut self, assignment: GlobalAssignment) {
        if assignment.row.scope != GlobalScope::Used {
            return;
        }
        match &assignment.value {
            ConfigValue::Text(path) if assignment.row.names == ["mpath"] => {
                self.mpath = PathBuf::from(OsStr::from_bytes(path));
            }
            _ => self.result.globals.assign(assignment),
        }
    }

    fn load(&mut self, load: &LoadModule) {
        let name = load.name();
        if name.is_empty() {
            let problem = ConfigProblem::ModuleWithoutName { path: readable(&load.file) };
            self.diagnostics.error(&load.position, problem);
            return;
        }
        if let Some(first) = self.result.module(&name) {
            let problem = ConfigProblem::LoadedTwice { line: first.position.line(), name };
            self.diagnostics.warning(&load.position, problem);
            return;
        }
        let path = self.mpath.join(OsStr::from_bytes(&load.file));
        let support = self.catalogue.look_up(&name, &path);
        match support {
            ModuleSupport::SipOnly => {
                self.diagnostics.notice(&load.position, ConfigProblem::NoEffectModule { name: name.clone() });
            }
            ModuleSupport::NotBuilt => {
                self.diagnostics
                    .warning(&load.position, ConfigProblem::NotBuiltModule { name: name.clone() });
            }
            ModuleSupport::MissingCommands(commands) => {
                let problem = ConfigProblem::LackingModule {
                    name: name.clone(),
                    commands,
                    can_be_compiled: sip_modules::compiles(&name),
                };
                self.diagnostics.warning(&load.position, problem);
            }
            ModuleSupport::Unknown => self.unknown.push(load.clone()),
            ModuleSupport::Builtin(_) => {}
        }
        let position = load.position.clone();
        self.result.modules.push(LoadedModule {
            name,
            path,
            support,
            settings: Settings::default(),
            position,
        });
    }

    fn parameter(&mut self, written: &ModParam) {
        let Some(pattern) = pattern(&written.module) else {
            let problem = ConfigProblem::BadPattern { found: quoted(&written.module) };
            self.diagnostics.error(&written.module_position, problem);
            return;
        };
        let mut found = false;
        for module in &mut self.result.modules {
            if pattern.is_match(&module.name) {
                found = true;
                set(module, written, self.diagnostics);
            }
        }
        if !found {
            let problem = self.not_loaded(written, &pattern);
            self.diagnostics.error(&written.module_position, problem);
        }
    }

    /// Why no loaded module matches: the order is wrong, the name is, or the `loadmodule` is missing.
    fn not_loaded(&self, written: &ModParam, pattern: &Regex) -> ConfigProblem {
        let found = quoted(&written.module);
        if let Some((_, position)) = self.all_loads.iter().find(|(name, _)| pattern.is_match(name)) {
            return ConfigProblem::LoadedLater { found, line: position.line() };
        }
        let plain = String::from_utf8(written.module.clone()).ok().filter(|name| is_plain(name));
        let names = self.result.modules.iter().map(|module| module.name.as_str());
        let nearest = plain.as_deref().and_then(|name| nearest(name, names)).map(str::to_owned);
        ConfigProblem::NotLoaded { found, module: plain, nearest }
    }
}

/// Sets one parameter of one module.
fn set(module: &mut LoadedModule, written: &ModParam, diagnostics: &mut Diagnostics) {
    let ModuleSupport::Builtin(parameters) = module.support else {
        module.settings.push(Setting {
            name: String::from_utf8_lossy(&written.name).into_owned(),
            value: written.value.clone(),
            position: written.value_position.clone(),
        });
        return;
    };
    let Some(parameter) = parameters.iter().find(|parameter| parameter.name.as_bytes() == written.name)
    else {
        let name = readable(&written.name);
        let nearest = nearest(&name, parameters.iter().map(|parameter| parameter.name)).map(str::to_owned);
        let problem = ConfigProblem::UnknownParameter { module: module.name.clone(), name, nearest };
        diagnostics.error(&written.name_position, problem);
        return;
    };
    if let ParameterEffect::None(reason) = parameter.effect {
        let problem =
            ConfigProblem::NoEffectParameter { module: module.name.clone(), name: parameter.name, reason };
        diagnostics.notice(&written.name_position, problem);
    }
    if let Some(value) = parameter.check(&module.name, written, diagnostics) {
        module.settings.push(Setting {
            name: parameter.name.to_owned(),
            value,
            position: written.value_position.clone(),
        });
    }
}

/// The whole name must match; case does not count.
fn pattern(module: &[u8]) -> Option<Regex> {
    let text = std::str::from_utf8(module).ok()?;
    Regex::new(&format!("(?i)^(?:{text})$")).ok()
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn quoted(text: &[u8]) -> String {
    format!("\"{}\"", readable(text))
}
