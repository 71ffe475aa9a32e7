//! The built-in modules, under their OpenSIPS names. Each is a table; none uses another.

mod blacklists;
mod cachedb_local;
#[cfg(feature = "redis")]
mod cachedb_redis;
mod core;
mod event_datagram;
mod httpd;
mod mi_datagram;
mod mi_fifo;
mod mi_http;
mod mi_json;
mod mi_xmlrpc;
mod mi_xmlrpc_ng;
mod statistics;
mod usrloc;

use crate::config::{self, ModuleSupport};
use crate::module::Module;

pub use core::{load_statistics, private_memory_statistics, restart_statistics, watch};

/// Modules that are there without `loadmodule`, in the order in which `which` lists their commands.
pub const ALWAYS: [&Module; 3] = [&statistics::MODULE, &core::MODULE, &blacklists::MODULE];

/// The module that listens for those that are served over HTTP.
pub const HTTPD: &str = httpd::MODULE.name;

/// The name under which the core's own processes run.
pub const CORE: &str = "core";

/// Modules that `loadmodule` picks from.
pub const LOADABLE: [&Module; 10 + cfg!(feature = "redis") as usize] = [
    &mi_datagram::MODULE,
    &mi_fifo::MODULE,
    &mi_xmlrpc::MODULE,
    &cachedb_local::MODULE,
    #[cfg(feature = "redis")]
    &cachedb_redis::MODULE,
    &usrloc::MODULE,
    &event_datagram::MODULE,
    &httpd::MODULE,
    &mi_http::MODULE,
    &mi_json::MODULE,
    &mi_xmlrpc_ng::MODULE,
];

/// Modules that belong here and are not built yet.
const NOT_BUILT: [&str; cfg!(not(feature = "redis")) as usize] = [
    #[cfg(not(feature = "redis"))]
    "cachedb_redis",
];

/// What modules were called in earlier releases of OpenSIPS: `localcache` in 1.5 to 1.7.
const EARLIER_NAMES: [(&str, &str); 1] = [("localcache", cachedb_local::MODULE.name)];

/// The module that `loadmodule` loads by that name: one of [`LOADABLE`], or `statistics`, which has parameters but is
/// there without `loadmodule`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Module> {
    let name = EARLIER_NAMES.iter().find(|(earlier, _)| *earlier == name).map_or(name, |(_, now)| now);
    LOADABLE.into_iter().chain([&statistics::MODULE]).find(|module| module.name == name)
}

/// Whether a module's commands are there without `loadmodule`.
#[must_use]
pub fn is_always_there(module: &Module) -> bool {
    ALWAYS.iter().any(|always| always.name == module.name)
}

/// What `loadmodule` finds under a name.
#[must_use]
pub fn look_up(name: &str) -> ModuleSupport {
    match find(name) {
        Some(module) => ModuleSupport::Builtin(module.parameters),
        None if NOT_BUILT.contains(&name) => ModuleSupport::NotBuilt,
        None => config::look_up_sip_module(name),
    }
}
