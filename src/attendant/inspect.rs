//! What `-c` looks at beyond the configuration: folders, addresses, and whether two modules want the same one.
//!
//! What is in the way for good is an error. What may be otherwise at another moment or for another user is a warning:
//! the server that runs already has its sockets, and `-c` comes before a restart.

use std::path::PathBuf;

use super::{boot, relative};
use crate::cli::Options;
use crate::config::{Diagnostics, Globals, LoadedModule, Position};
use crate::module::ModuleParts;
use crate::system::obstacle::{self, Obstacle};

/// Looks at what the modules will make.
pub(super) fn modules(
    made: &[(&LoadedModule, &ModuleParts)],
    options: &Options,
    globals: &Globals,
    diagnostics: &mut Diagnostics,
) {
    let root = root(options, globals);
    let mut seen: Vec<(String, &LoadedModule)> = Vec::new();
    let services = made.iter().filter_map(|(entry, made)| Some((*entry, made.service.as_deref()?)));
    for (entry, service) in services {
        for (parameter, found) in service.obstacles(&root) {
            let place = entry.settings.position(parameter).unwrap_or(&entry.position);
            let message = format!("modparam(\"{}\", \"{parameter}\"): {}", entry.name, found.message);
            report(diagnostics, Some(place), message, found.is_lasting);
        }
        let Some(name) = service.load_name() else { continue };
        if let Some((_, other)) = seen.iter().find(|(seen, _)| *seen == name) {
            let message =
                format!("module {} and module {} both serve {name}; change one", other.name, entry.name);
            diagnostics.error_at(&entry.position, message);
        }
        seen.push((name, entry));
    }
}

/// Looks at the folders that the globals and the command line name.
pub(super) fn folders(
    options: &Options,
    globals: &Globals,
    is_persistent: bool,
    diagnostics: &mut Diagnostics,
) {
    let (root, options) = (root(options, globals), &relative::resolve_options(options, globals));
    let mut look = |found: Option<Obstacle>, what: &str, place: Option<&Position>| {
        if let Some(found) = found {
            report(diagnostics, place, format!("{what}: {}", found.message), found.is_lasting);
        }
    };
    look(obstacle::to_folder(&root), "root folder", globals.position("chroot"));
    if let Some(folder) = boot::working_folder(options, globals) {
        look(
            obstacle::to_folder(&obstacle::below(&root, folder)),
            "working folder",
            globals.position("workdir"),
        );
    }
    if is_persistent {
        let found = obstacle::to_file(&obstacle::below(&root, &boot::state_file(options, globals)));
        let name = "restart_persistency_cache_file";
        look(found, name, globals.position(name));
    }
    for (option, path) in [("-P", &options.pid_file), ("-G", &options.pgid_file)] {
        let found = path.as_ref().and_then(|path| obstacle::to_file(&obstacle::below(&root, path)));
        look(found, option, None);
    }
}

fn report(diagnostics: &mut Diagnostics, place: Option<&Position>, message: String, is_error: bool) {
    match (place, is_error) {
        (Some(place), true) => diagnostics.error_at(place, message),
        (Some(place), false) => diagnostics.warning_at(place, message),
        (None, true) => diagnostics.error_without_position(message),
        (None, false) => diagnostics.warning_without_position(message),
    }
}

/// The folder that will be the root.
fn root(options: &Options, globals: &Globals) -> PathBuf {
    options.chroot.clone().or_else(|| globals.chroot.clone()).unwrap_or_else(|| PathBuf::from("/"))
}
