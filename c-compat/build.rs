//! Compiles the C side of the border, and lets the server's program export what modules are linked against.

use std::path::Path;

/// The C files of c-compat/shim.
const SOURCES: [&str; 10] = [
    "event.c",
    "find.c",
    "interface.c",
    "lock.c",
    "log.c",
    "md5.c",
    "register.c",
    "script.c",
    "timer.c",
    "tree.c",
];

fn main() {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let folder = Path::new(&root).join("c-compat");
    let shim = folder.join("shim");
    cc::Build::new()
        .files(SOURCES.map(|name| shim.join(name)))
        .warnings_into_errors(true)
        .extra_warnings(true)
        .std("gnu11")
        .compile("opensips_mi_shim");
    println!(
        "cargo::rustc-link-arg-bin=opensips-mi=-Wl,--dynamic-list={}",
        shim.join("interface.list").display()
    );
    println!("cargo::rerun-if-changed={}", shim.display());
    println!("cargo::rerun-if-changed={}", folder.join("include").display());
}
