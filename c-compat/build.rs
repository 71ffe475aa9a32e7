//! Compiles the C side of the border, and has the server's program export what modules are linked against.
//!
//! The names stand in shim/interface.list, one a line. From these come a table, by which the linker keeps what they
//! name and fails when one is nowhere, and the list of those that it exports. It also tells the program its commit.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The variable that tells the program its commit.
const REVISION: &str = "OPENSIPS_MI_REVISION";

/// The program that loads modules.
const PROGRAM: &str = "opensips-mi";

/// What the linker is told to keep.
const TABLE: &str = "opensips_mi_interface";

fn main() -> io::Result<()> {
    let [root, out] =
        ["CARGO_MANIFEST_DIR", "OUT_DIR"].map(|name| PathBuf::from(env::var_os(name).unwrap_or_default()));
    let folder = root.join("c-compat");
    let shim = folder.join("shim");
    let interface = fs::read_to_string(shim.join("interface.list"))?;
    let (table, exported) = (out.join("interface.c"), out.join("interface.dynamic"));
    fs::write(&table, table_of(&interface))?;
    fs::write(&exported, format!("{{ {} }};\n", ended(&interface)))?;
    cc::Build::new()
        .files(sources(&shim)?)
        .file(table)
        .warnings_into_errors(true)
        .extra_warnings(true)
        .std("gnu11")
        .compile("opensips_mi_shim");
    let exported = exported.display();
    println!("cargo::rustc-link-arg-bin={PROGRAM}=-Wl,--undefined={TABLE},--dynamic-list={exported}");
    println!("cargo::rustc-env={REVISION}={}", revision(&root));
    println!("cargo::rerun-if-env-changed={REVISION}");
    println!("cargo::rerun-if-changed={}", shim.display());
    println!("cargo::rerun-if-changed={}", folder.join("include").display());
    Ok(())
}

/// The commit that the sources are of, or `unknown`, as in a tarball. Has the script run again after the next commit.
fn revision(root: &Path) -> String {
    if let Ok(given) = env::var(REVISION) {
        return given;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?.trim_end().to_owned();
        output.status.success().then_some(said)
    };
    // Sources without a repository may lie in a folder of somebody else's.
    let is_own = git(&["rev-parse", "--show-toplevel"])
        .and_then(|top| Some(fs::canonicalize(top).ok()? == fs::canonicalize(root).ok()?));
    if is_own != Some(true) {
        return String::from("unknown");
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| root.join(log).exists()) {
        println!("cargo::rerun-if-changed={}", root.join(log).display());
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| String::from("unknown"))
}

/// The C files in a folder, always in the same order.
fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let files: io::Result<Vec<PathBuf>> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let mut sources = files?;
    sources.retain(|path| path.extension().is_some_and(|ending| ending == "c"));
    sources.sort();
    Ok(sources)
}

/// A table of the addresses of all names, in C. What each is does not matter there.
fn table_of(names: &str) -> String {
    let declared: String = names.lines().map(|name| format!("extern const char {name}[];\n")).collect();
    let addresses: String = names.lines().map(|name| format!("\t{name},\n")).collect();
    let table = format!("const void *const {TABLE}[]");
    format!("{declared}extern {table};\n{table} = {{\n{addresses}}};\n")
}

/// The names, each with a semicolon.
fn ended(names: &str) -> String {
    names.lines().map(|name| format!("{name};")).collect()
}
