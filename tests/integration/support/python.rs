//! The clients of OpenSIPS 3.x in a virtual environment of Python.
//!
//! `MI_CLIENTS_VENV` names a ready one; else tests/clients/setup.sh makes one under Cargo's target folder, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::skip;

/// The folder of `opensips-cli` and `opensips-mi`; `None`, said aloud, where they are not and cannot be installed.
pub(crate) fn python_clients(test: &str) -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(folder) => Some(folder),
        Err(reason) => {
            skip(test, &format!("opensips-cli cannot be installed: {reason}"));
            None
        }
    }
}

fn find() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("MI_CLIENTS_VENV").map(PathBuf::from) {
        let folder = named.join("bin");
        assert!(
            folder.join("opensips-cli").is_file(),
            "MI_CLIENTS_VENV has no opensips-cli: {}",
            named.display()
        );
        return Ok(folder);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/setup.sh");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let outcome = Command::new(&script).arg(&venv).output().map_err(|error| error.to_string())?;
    if outcome.status.success() {
        return Ok(venv.join("bin"));
    }
    let said = String::from_utf8_lossy(&outcome.stderr);
    Err(said.lines().last().unwrap_or("setup.sh took too long").to_owned())
}
