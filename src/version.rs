//! Who this server says it is.

/// The version, with a name of our own: exporters and panels look only for `OpenSIPS (`.
pub const VERSION: &str = concat!("opensips-mi-", env!("CARGO_PKG_VERSION"));

/// The revision it was built from, when `OPENSIPS_MI_REVISION` named one to the build.
pub const REVISION: &str = match option_env!("OPENSIPS_MI_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The machine this was built for, as OpenSIPS writes it behind the version: `x86_64`.
pub const ARCHITECTURE: &str = std::env::consts::ARCH;
