//! Compiles a module in C for the server that is measured. Starts no server.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};

/// Makes of a source `NAME.c` of the package a module `NAME.so` in a folder.
///
/// # Errors
/// `make` or the C compiler is missing, or does not take it.
pub(crate) fn compile(source: &str, folder: &Path) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join(source);
    let name = source.file_stem().unwrap_or_default().display().to_string();
    let copy = folder.join(format!("{name}.c"));
    fs::copy(&source, &copy).map_err(Error::os("write", &copy))?;
    let rules = root.join("c-compat/include/modules/module/module.mk");
    let makefile = folder.join("Makefile");
    fs::write(&makefile, format!("NAME := {name}\ninclude {}\n", rules.display()))
        .map_err(Error::os("write", &makefile))?;
    let output =
        Command::new("make").arg("-C").arg(folder).output().map_err(Error::os("run make in", folder))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{name}.c cannot be compiled: {}", String::from_utf8_lossy(&output.stderr))
            .as_str()
            .into())
    }
}
