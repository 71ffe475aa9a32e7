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
mod statistics;
mod usrloc;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{self, Effect, Known, Parameter, Settings};
use crate::module::{Module, SettingError};

pub use core::{load_statistics, private_memory_statistics, restart_statistics, watch};

/// Modules that are there without `loadmodule`, in the order in which `which` lists their commands.
pub const ALWAYS: [&Module; 3] = [&statistics::MODULE, &core::MODULE, &blacklists::MODULE];

/// The module that listens for those that are served over HTTP.
pub const HTTPD: &str = httpd::MODULE.name;

/// The name under which the core's own processes run.
pub const CORE: &str = "core";

/// Modules that `loadmodule` picks from.
pub const LOADABLE: [&Module; 7 + cfg!(feature = "redis") as usize] = [
    &mi_datagram::MODULE,
    &mi_fifo::MODULE,
    &cachedb_local::MODULE,
    #[cfg(feature = "redis")]
    &cachedb_redis::MODULE,
    &usrloc::MODULE,
    &event_datagram::MODULE,
    &httpd::MODULE,
    &mi_http::MODULE,
];

/// Modules that belong here and are not built yet.
const NOT_BUILT: [&str; 3 + cfg!(not(feature = "redis")) as usize] = [
    #[cfg(not(feature = "redis"))]
    "cachedb_redis",
    "mi_json",
    "mi_xmlrpc",
    "mi_xmlrpc_ng",
];

/// The loadable module of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Module> {
    LOADABLE.into_iter().find(|module| module.name == name)
}

/// What `loadmodule` finds under a name.
#[must_use]
pub fn look_up(name: &str) -> Known {
    match find(name) {
        Some(module) => Known::Builtin(module.parameters),
        None if NOT_BUILT.contains(&name) => Known::NotBuilt,
        None => config::look_up_sip_module(name),
    }
}

/// A parameter of the modules that OpenSIPS can trace.
const TRACE_DESTINATION: Parameter = Parameter {
    name: "trace_destination",
    kind: config::Kind::Text,
    effect: Effect::None("there is no module that traces"),
    help: "where to send a trace of the commands; no default",
};

/// Another one.
const TRACE_BWLIST: Parameter = Parameter {
    name: "trace_bwlist",
    kind: config::Kind::Text,
    effect: Effect::None("there is no module that traces"),
    help: "which commands to trace; no default",
};

/// Where a module that listens for HTTP does so: `ip` and `port`, on this machine alone without `ip`.
fn http_address(settings: &Settings, port: u16) -> Result<SocketAddr, SettingError> {
    let port = settings.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(port);
    let Some(text) = settings.text("ip").filter(|text| !text.is_empty()) else {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    };
    let text = String::from_utf8_lossy(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    let address: IpAddr = bare.parse().map_err(|_| SettingError {
        parameter: "ip",
        message: format!("\"{text}\" is no IP address; write e.g. \"127.0.0.1\" or \"::1\""),
    })?;
    Ok((address, port).into())
}

/// How many processes do so.
fn http_workers(settings: &Settings) -> usize {
    settings.integer("children_count").and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
}

/// The path under which a module is served.
fn http_root(settings: &Settings, parameter: &'static str, default: &str) -> Result<String, SettingError> {
    let Some(text) = settings.text(parameter) else { return Ok(default.to_owned()) };
    let root = String::from_utf8_lossy(text);
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    let bare = root.trim_matches('/');
    if bare.is_empty() || !bare.bytes().all(is_path) {
        let message = format!("\"{root}\" is no path; write letters, digits and dashes, e.g. \"{default}\"");
        return Err(SettingError { parameter, message });
    }
    Ok(bare.to_owned())
}
