//! Opens a C module: finds its file, opens it, checks its table and sets its parameters. C: `sr_load_module`
//! in sr_module.c.
#![expect(unsafe_code, reason = "calls dlopen and reads the table of the module")]

use std::ffi::{CString, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::layouts::{self, ModuleExports};
use super::lifecycle::CModule;
use super::load_error::LoadError;
use super::{c_strings, parameters};
use crate::config::Settings;
use crate::module::{Module, ModuleParts};

/// Finds the file of a module: `path`, or else `NAME/NAME.so` in the same folder. `None` when neither is a
/// file.
#[must_use]
pub fn find(name: &str, path: &Path) -> Option<PathBuf> {
    let own_folder = path.with_file_name(name).join(format!("{name}.so"));
    [path.to_owned(), own_folder].into_iter().find(|path| path.is_file())
}

/// Whether the file of a module was compiled for this server, in any version, and not for OpenSIPS itself. It
/// searches the file for the text of the version, because opening the file would run its code.
#[must_use]
pub fn is_for_this_server(name: &str, path: &Path) -> bool {
    // SAFETY: a constant of the shim.
    let version = unsafe { layouts::opensips_mi_version };
    // SAFETY: that is a string.
    let Some(version) = (unsafe { c_strings::to_string_lossy(version) }) else { return false };
    let words = version.trim_end_matches(|c: char| c.is_ascii_digit()).as_bytes();
    let Some(Ok(bytes)) = find(name, path).map(fs::read) else { return false };
    bytes.windows(words.len().max(1)).any(|window| window == words)
}

/// Opens the file of a module, checks what it exports and sets its parameters. Called before the first fork,
/// after [`super::provide_memory`].
///
/// # Errors
/// All reasons why the module cannot be loaded.
pub fn open(
    name: &str,
    path: &Path,
    settings: &Settings,
) -> Result<(&'static Module, ModuleParts), Vec<LoadError>> {
    let refused = |reason: String| {
        let message = format!("loadmodule \"{name}\": {}: {reason}", path.display());
        vec![LoadError { position: None, message }]
    };
    // SAFETY: reads clocks and sets variables of the shim.
    unsafe { layouts::opensips_mi_start_clock() };
    let (file, symbol) = open_file(path).map_err(refused)?;
    // SAFETY: a module's symbol of that name is its table. The table of another version begins with the same
    // three strings, and nothing else is used before they are checked.
    let exports = unsafe { symbol.read() };
    check_table(name, &exports).map_err(refused)?;
    apply_dlflags(&file, &exports);
    // SAFETY: the table of an open module, whose lists end with a row without a name.
    let rows = unsafe { c_strings::table_rows(exports.params, |row| row.name) };
    // SAFETY: the checked table of a module that is never closed.
    let module = unsafe { CModule::new(c_strings::leak(name.to_owned()), symbol) };
    // SAFETY: as above.
    if unsafe { layouts::opensips_mi_add_module(symbol) } < 0 {
        return Err(refused("no memory".to_owned()));
    }
    // SAFETY: the rows of the module's table, and none of its functions has run.
    let errors = unsafe { parameters::set_all(name, &rows, settings) };
    if !errors.is_empty() {
        return Err(errors);
    }
    let table = Module {
        name: module.name(),
        parameters: &[],
        commands: &[],
        statistics: &[],
        events: &[],
        load: None,
    };
    Ok((
        Box::leak(Box::new(table)),
        ModuleParts { lifecycle: Some(Box::new(module)), ..ModuleParts::default() },
    ))
}

/// The dynamic linker's message about its last failure.
fn linker_error() -> String {
    // SAFETY: returns null or a string that lives until the next call.
    let error = unsafe { libc::dlerror() };
    // SAFETY: as above.
    unsafe { c_strings::to_string_lossy(error) }.unwrap_or_else(|| "unknown error".to_owned())
}

/// Opens the file of a module and finds its table. The file is never closed.
fn open_file(path: &Path) -> Result<(CString, *const ModuleExports), String> {
    let file = CString::new(path.as_os_str().as_bytes()).map_err(|_| "a NUL in the path".to_owned())?;
    // SAFETY: runs the module's constructors; modules of OpenSIPS have none.
    let handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW) };
    if handle.is_null() {
        let error = linker_error();
        // The caller adds the path.
        let reason =
            error.strip_prefix(&*path.to_string_lossy()).map_or(&*error, |it| it.trim_start_matches(": "));
        return Err(format!(
            "{reason}; a module may use libraries that its LDLIBS names, and what is in the headers, c-compat/include in the source or include/opensips-mi where they are installed; c-compat/README.md is their guide"
        ));
    }
    // SAFETY: the handle is open, and the name ends with NUL.
    let symbol = unsafe { libc::dlsym(handle, c"exports".as_ptr()) };
    if symbol.is_null() {
        return Err("it has no \"struct module_exports exports\"".to_owned());
    }
    Ok((file, symbol.cast()))
}

/// Opens the module again with the `dlopen` flags that its table asks for.
fn apply_dlflags(file: &CString, exports: &ModuleExports) {
    let flags = i32::try_from(exports.dlflags).unwrap_or(0);
    if flags != 0 && flags != libc::RTLD_NOW {
        // SAFETY: the file is open already, so no code runs; only its flags change.
        let handle: *mut c_void = unsafe { libc::dlopen(file.as_ptr(), flags | libc::RTLD_NOW) };
        if handle.is_null() {
            log::warn!("{}: {}", file.to_string_lossy(), linker_error());
        }
    }
}

/// Checks that a module was compiled for this version with the same flags, and has the name that the
/// configuration expects.
fn check_table(name: &str, exports: &ModuleExports) -> Result<(), String> {
    // SAFETY: constants of the shim, from the header that modules are compiled with.
    let [version, flags] = unsafe { [layouts::opensips_mi_version, layouts::opensips_mi_compile_flags] };
    for (found, wanted, what) in
        [(exports.version, version, "version"), (exports.compile_flags, flags, "compile flags")]
    {
        // SAFETY: null or a string, in every version of the table.
        let [found, wanted] =
            [found, wanted].map(|it| unsafe { c_strings::to_string_lossy(it) }.unwrap_or_default());
        if found != wanted {
            return Err(format!("{what}: found \"{found}\", this server has \"{wanted}\"; compile it again"));
        }
    }
    // SAFETY: a string of the table.
    let own = unsafe { c_strings::to_string_lossy(exports.name) }.unwrap_or_default();
    if own != name {
        return Err(format!("the module calls itself \"{own}\"; name the file {own}.so"));
    }
    Ok(())
}
