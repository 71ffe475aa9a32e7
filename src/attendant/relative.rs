//! Paths that do not begin at the root, made absolute once, and said so.
//!
//! Those of the configuration begin at the working folder, when one is named, or else in the folder of the file that
//! names them; those of the command line where the server is started. C: all of them begin at the working folder,
//! which is the root folder by default for a daemon.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::boot;
use crate::cli::Options;
use crate::config::{Configuration, Diagnostics, Globals, ModuleSupport, ParameterKind, Position};

/// The file that has the state.
const STATE_FILE: &str = "restart_persistency_cache_file";

/// Makes the paths of the configuration absolute.
pub(super) fn resolve(options: &Options, configuration: &mut Configuration, diagnostics: &mut Diagnostics) {
    let Configuration { globals, modules } = configuration;
    let mut resolved = |globals: &Globals, path: &Path, place: &Position, what: String| {
        let is_relative = path.is_relative() && !path.as_os_str().is_empty();
        if !is_relative || path.as_os_str().as_bytes().starts_with(b"udp:") {
            return None;
        }
        let (folder, reason) = folder(options, globals, place);
        let path = folder.join(path);
        let message =
            format!("{what}: is relative and stands for {}, {reason}; write the whole path", path.display());
        diagnostics.warning_at(place, message);
        Some(path)
    };
    for entry in modules {
        let ModuleSupport::Builtin(parameters) = entry.support else { continue };
        for parameter in parameters.iter().filter(|parameter| parameter.kind == ParameterKind::Path) {
            let name = parameter.name;
            let Some(setting) = entry.settings.last(name) else { continue };
            let Some(path) = setting.path() else { continue };
            let what = format!("modparam(\"{}\", \"{name}\", \"{}\")", entry.name, path.display());
            if let Some(path) = resolved(globals, path, &setting.position, what) {
                entry.settings.replace_text(name, path.into_os_string().into_vec());
            }
        }
    }
    if let (Some(path), Some(place)) = (&globals.restart_persistency_cache_file, globals.position(STATE_FILE))
    {
        let what = format!("{STATE_FILE}=\"{}\"", path.display());
        if let Some(path) = resolved(globals, path, place, what) {
            globals.restart_persistency_cache_file = Some(path);
        }
    }
}

/// Makes the paths of the pid files absolute, while this process is in the folder that it was started in. With another
/// root folder they stay as they are: they are below that.
pub(super) fn resolve_options(options: &Options, globals: &Globals) -> Options {
    let mut options = options.clone();
    if options.chroot.is_none() && globals.chroot.is_none() {
        for path in [&mut options.pid_file, &mut options.pgid_file].into_iter().flatten() {
            *path = absolute(path);
        }
    }
    options
}

/// Where relative paths of a place in the configuration begin, and why there.
fn folder(options: &Options, globals: &Globals, place: &Position) -> (PathBuf, &'static str) {
    if let Some(folder) = boot::working_folder(options, globals) {
        return (absolute(folder), "by the working folder");
    }
    if options.chroot.is_some() || globals.chroot.is_some() {
        return (PathBuf::from("/"), "by the root folder");
    }
    let file = absolute(place.file().path());
    (file.parent().map(Path::to_owned).unwrap_or(file), "by the folder of this file")
}

/// The same path, from the folder that this process is in.
pub(super) fn absolute(path: &Path) -> PathBuf {
    // Fails for an empty path, or when this process's folder is gone; then it stays as it is.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
