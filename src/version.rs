//! Names the version, the commit and the machine of this build.

/// The version, with a name of our own: exporters and panels look only for `OpenSIPS (`.
pub const VERSION: &str = concat!("opensips-mi-", env!("CARGO_PKG_VERSION"));

/// The commit it was built from, or `unknown`: the build script asks git, unless `OPENSIPS_MI_REVISION` is
/// set.
pub const REVISION: &str = env!("OPENSIPS_MI_REVISION");

/// The machine this was built for, as OpenSIPS writes it behind the version: `x86_64`.
pub const ARCHITECTURE: &str = std::env::consts::ARCH;
