//! mi_xmlrpc: XML-RPC as OpenSIPS 1.x speaks it, on a listener of its own.
//!
//! C: modules/mi_xmlrpc of 1.11. Differs: it listens on 127.0.0.1 alone unless `ip` says otherwise, where C listens
//! everywhere; a port below 1025 is an error, where C takes 8080 for it; a reply may be as long as it is.

use crate::config::{Effect, Kind, Parameter};
use crate::httpd::{Counters, Listener, Plan, settings};
use crate::module::{Loaded, Module};
use crate::wire::http::Door;
use crate::wire::xml_rpc::Format;

/// What may be set.
const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "port",
        kind: Kind::Integer { min: 1025, max: 65_535 },
        effect: Effect::Used,
        help: "TCP port to listen on; default 8080",
    },
    Parameter {
        name: "ip",
        kind: Kind::Text,
        effect: Effect::Used,
        help: "address to listen on, IPv4 or IPv6; default 127.0.0.1",
    },
    Parameter {
        name: "children_count",
        kind: Kind::Integer { min: 1, max: 1024 },
        effect: Effect::Used,
        help: "worker processes; default 1",
    },
    settings::HOST_NAMES,
    Parameter {
        name: "log_file",
        kind: Kind::Path,
        effect: Effect::Used,
        help: "file that gets a line for each request; no default",
    },
    Parameter {
        name: "reply_option",
        kind: Kind::Integer { min: 0, max: 1 },
        effect: Effect::Used,
        help: "0 for replies of one string, 1 for an array of strings, one a node; default 0",
    },
    Parameter {
        name: "buffer_size",
        kind: Kind::Integer { min: 0, max: i64::MAX },
        effect: Effect::None("replies leave while they are written"),
        help: "bytes of the buffer for a reply; no default",
    },
];

const COUNTERS: Counters = Counters {
    connections: "xmlrpc_connections",
    requests: "xmlrpc_requests",
    errors: "xmlrpc_errors",
    timeouts: "xmlrpc_timeouts",
    dropped: "xmlrpc_dropped_replies",
};

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_xmlrpc",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &COUNTERS.rows(),
    events: &[],
    load: Some(|settings, identity| {
        let format = if settings.integer("reply_option") == Some(1) { Format::Array } else { Format::String };
        let plan = Plan {
            module: "mi_xmlrpc",
            description: String::from("MI XMLRPC"),
            address: settings::address(settings, 8080)?,
            workers: settings::workers(settings),
            door: Some(Door::new("RPC2", "port", format)),
            counters: COUNTERS,
            host_names: settings::host_names(settings)?,
            parameters: "ip and port",
            log_file: settings.path("log_file").map(|path| (path.to_owned(), identity)),
        };
        Ok(Loaded { service: Some(Box::new(Listener::new(plan))), ..Loaded::default() })
    }),
};
