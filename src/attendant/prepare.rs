//! From a checked configuration to services that are ready to be opened.

use std::ffi::OsStr;
use std::path::Path;

use super::{inspect, relative};
use crate::capi;
use crate::cli::{DEFAULT_MEMORY_MEGABYTES, Options, RunMode};
use crate::config::LoadedModule;
use crate::config::{Configuration, Diagnostics, Globals, ModuleSupport};
use crate::module::{Module, ModuleParts, RunUser, SettingError};
use crate::modules;
use crate::shm::{self, Contiguous};
use crate::system::{memory, user};
use crate::wire::http::Route;

/// What the configuration and the command line ask for.
#[derive(Debug)]
pub struct Plan {
    /// Global settings.
    pub globals: Globals,
    /// Who the server becomes.
    pub identity: RunUser,
    /// The loaded modules, with what each became by its settings.
    pub modules: Vec<(&'static Module, ModuleParts)>,
    /// The memory of C modules, when there are any.
    pub contiguous: Option<&'static Contiguous>,
}

/// What `loadmodule` finds. Where this server lacks a module of OpenSIPS, its file is taken if it is compiled for this
/// server; OpenSIPS's own file is not.
#[must_use]
pub fn look_up(name: &str, path: &Path) -> ModuleSupport {
    match modules::look_up(name) {
        ModuleSupport::SipOnly | ModuleSupport::MissingCommands(_)
            if capi::is_for_this_server(name, path) =>
        {
            ModuleSupport::Unknown
        }
        known => known,
    }
}

/// Makes the services. What cannot work on this system is added to `diagnostics`, all of it; with errors there,
/// the plan is not one to start with.
#[must_use]
pub fn prepare(options: &Options, mut configuration: Configuration, diagnostics: &mut Diagnostics) -> Plan {
    relative::resolve(options, &mut configuration, diagnostics);
    let identity = identity(options, &configuration.globals, diagnostics);
    let mut loaded = Vec::new();
    let mut all_routes: Vec<(&LoadedModule, Route)> = Vec::new();
    let mut contiguous = None;
    let mut entries = Vec::new();
    for entry in &configuration.modules {
        let Some(module) = modules::find(&entry.name) else {
            if matches!(entry.support, ModuleSupport::Unknown) {
                let bytes = memory_bytes(options, &configuration.globals, false) / 2;
                loaded.extend(open_module(entry, bytes, &mut contiguous, diagnostics));
            }
            continue;
        };
        let result =
            module.load.map_or_else(|| Ok(ModuleParts::default()), |load| load(&entry.settings, identity));
        let told = |error: &SettingError| {
            format!("modparam(\"{}\", \"{}\"): {}", module.name, error.parameter, error.message)
        };
        match result {
            Ok(made) => {
                let routes = made.routes.iter().map(|route| (entry, route.clone()));
                all_routes.extend(routes);
                made.errors.iter().for_each(|(place, error)| diagnostics.error_at(place, told(error)));
                entries.push((entry, loaded.len()));
                loaded.push((module, made));
            }
            Err(error) => {
                let place = entry.settings.position(error.parameter).unwrap_or(&entry.position);
                diagnostics.error_at(place, told(&error));
            }
        }
    }
    let is_persistent = loaded.iter().any(|(_, made)| !made.persistent.is_empty());
    let bytes = memory_bytes(options, &configuration.globals, is_persistent);
    // C modules have one half.
    let halves = if contiguous.is_some() && !is_persistent { 2 } else { 1 };
    if !(halves * shm::MIN_BYTES..=shm::MAX_BYTES).contains(&bytes) {
        let [least, most] = [halves * shm::MIN_BYTES, shm::MAX_BYTES].map(|bytes| bytes >> 20);
        let found = bytes >> 20;
        match configuration.globals.position("restart_persistency_size").filter(|_| is_persistent) {
            Some(place) => diagnostics.error_at(
                place,
                format!("restart_persistency_size={found}: expected {least} to {most} megabytes"),
            ),
            None => diagnostics
                .error_without_position(format!("option -m: {found}: expected {least} to {most} megabytes")),
        }
    }
    if options.mode == RunMode::Check {
        let made: Vec<_> = entries.iter().map(|&(entry, at)| (entry, &loaded[at].1)).collect();
        inspect::modules(&made, options, &configuration.globals, diagnostics);
        inspect::folders(options, &configuration.globals, is_persistent, diagnostics);
    }
    // A file is no such memory: the kernel writes out what does not fit.
    if let Some(limit) = memory::limit().filter(|limit| bytes > limit.bytes && !is_persistent) {
        diagnostics.warning_without_position(format!(
            "shared memory: {} megabytes asked for, but {limit}; when more is used, the kernel ends processes: give a \
             smaller -m",
            bytes >> 20
        ));
    }
    check_routes(&all_routes, loaded.iter().any(|(module, _)| module.name == modules::HTTPD), diagnostics);
    Plan { globals: configuration.globals, identity, modules: loaded, contiguous }
}

/// Opens a C module; the first one makes the memory of all.
fn open_module(
    entry: &LoadedModule,
    bytes: u64,
    contiguous: &mut Option<&'static Contiguous>,
    diagnostics: &mut Diagnostics,
) -> Option<(&'static Module, ModuleParts)> {
    let Some(path) = capi::find(&entry.name, &entry.path) else {
        diagnostics.error_at(&entry.position, unknown_module(entry));
        return None;
    };
    if contiguous.is_none() {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match capi::provide_memory(bytes) {
            Ok(memory) => *contiguous = Some(memory),
            Err(error) => {
                let message = format!("shared memory: cannot get {bytes} bytes: {error}; give a smaller -m");
                diagnostics.error_without_position(message);
                return None;
            }
        }
    }
    match capi::open(&entry.name, &path, &entry.settings) {
        Ok(made) => Some(made),
        Err(errors) => {
            for error in errors {
                diagnostics.error_at(error.position.as_ref().unwrap_or(&entry.position), error.message);
            }
            None
        }
    }
}

/// The size of the shared memory; of what survives a restart, if anything does.
pub(super) fn memory_bytes(options: &Options, globals: &Globals, is_persistent: bool) -> u64 {
    let of_file = globals.restart_persistency_size.filter(|_| is_persistent);
    let of_file = of_file.map(|megabytes| u64::from(megabytes) << 20);
    of_file.or(options.memory_bytes).unwrap_or(u64::from(DEFAULT_MEMORY_MEGABYTES) << 20)
}

/// What is served over HTTP needs a listener, and a path of its own.
fn check_routes(routes: &[(&LoadedModule, Route)], has_listener: bool, diagnostics: &mut Diagnostics) {
    for (at, (entry, route)) in routes.iter().enumerate() {
        if !has_listener {
            let message = format!(
                "loadmodule \"{}\": needs the module httpd, which listens for it; add loadmodule \"{}.so\"",
                entry.name,
                modules::HTTPD
            );
            diagnostics.error_at(&entry.position, message);
        }
        if let Some((other, _)) = routes[..at].iter().find(|(_, other)| other.root == route.root) {
            let place = entry.settings.position(route.parameter).unwrap_or(&entry.position);
            let message = format!(
                "modparam(\"{}\", \"{}\"): the path \"{}\" is that of module {} already; choose another",
                entry.name, route.parameter, route.root, other.name
            );
            diagnostics.error_at(place, message);
        }
    }
}

fn unknown_module(entry: &LoadedModule) -> String {
    let known: Vec<_> = modules::LOADABLE.iter().map(|module| module.name).collect();
    format!(
        "loadmodule \"{}\": no such module, and no file {}; this server has {}",
        entry.name,
        entry.path.display(),
        known.join(", ")
    )
}

/// The command line wins over the configuration. C: `-u` and `-g` in main.c.
fn identity(options: &Options, globals: &Globals, diagnostics: &mut Diagnostics) -> RunUser {
    let user = options.user.as_deref().or(globals.user.as_deref());
    let group = options.group.as_deref().or(globals.group.as_deref());
    let found_user = user.map(|name| user::find_user(&name.to_string_lossy()));
    let found_group = group.map(|name| user::find_group(&name.to_string_lossy()));
    let missing = |kind: &str, name: Option<&OsStr>| {
        let name = name.unwrap_or_default();
        format!("no {kind} {name:?} on this system; name one that exists, or a number")
    };
    for (kind, name, is_missing, from_command_line) in [
        ("user", user, found_user == Some(None), options.user.is_some()),
        ("group", group, found_group == Some(None), options.group.is_some()),
    ] {
        if is_missing {
            match globals.position(kind).filter(|_| !from_command_line) {
                Some(place) => diagnostics.error_at(place, missing(kind, name)),
                None => diagnostics.error_without_position(format!(
                    "option -{}: {}",
                    &kind[..1],
                    missing(kind, name)
                )),
            }
        }
    }
    let uid = found_user.flatten();
    let gid = found_group.flatten().or(uid.and_then(|user| user.gid));
    // Without this the group would stay that of whoever starts the server, root as a rule.
    if let Some(name) = user.filter(|_| uid.is_some() && gid.is_none() && group.is_none()) {
        let message = format!("user {name:?} has no entry in passwd, so no group either; give a group, too");
        match globals.position("user").filter(|_| options.user.is_none()) {
            Some(place) => diagnostics.error_at(place, format!("{message}, by group=")),
            None => diagnostics.error_without_position(format!("option -u: {message}, by -g")),
        }
    }
    RunUser { uid: uid.map(|user| user.uid), gid }
}
