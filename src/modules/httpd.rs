//! httpd: the HTTP listener for the modules that are served by it: mi_http, mi_json, mi_xmlrpc_ng.
//!
//! C: modules/httpd. Differs: without `ip` it listens on 127.0.0.1 alone; C listens everywhere.

use crate::config::{Effect, Kind, Parameter};
use crate::httpd::{Counters, Listener, Plan, settings};
use crate::module::{Loaded, Module};

/// What may be set.
const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "ip",
        kind: Kind::Text,
        effect: Effect::Used,
        help: "address to listen on, IPv4 or IPv6; default 127.0.0.1",
    },
    Parameter {
        name: "port",
        kind: Kind::Integer { min: 1, max: 65_535 },
        effect: Effect::Used,
        help: "TCP port to listen on; default 8888",
    },
    Parameter {
        name: "children_count",
        kind: Kind::Integer { min: 1, max: 1024 },
        effect: Effect::Used,
        help: "worker processes; default 1",
    },
    settings::HOST_NAMES,
    Parameter {
        name: "buf_size",
        kind: Kind::Integer { min: 0, max: i64::MAX },
        effect: Effect::None("replies leave while they are written"),
        help: "bytes of the buffer for a reply; no default",
    },
    Parameter {
        name: "post_buf_size",
        kind: Kind::Integer { min: 0, max: i64::MAX },
        effect: Effect::None("a request may have 1 MiB"),
        help: "bytes of the buffer for a request; no default",
    },
];

const COUNTERS: Counters = Counters {
    connections: "http_connections",
    requests: "http_requests",
    errors: "http_errors",
    timeouts: "http_timeouts",
    dropped: "http_dropped_replies",
};

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "httpd",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &COUNTERS.rows(),
    events: &[],
    load: Some(|settings, _| {
        let address = settings::address(settings, 8888)?;
        let plan = Plan {
            module: "httpd",
            description: format!("HTTPD {address}"),
            address,
            workers: settings::workers(settings),
            door: None,
            counters: COUNTERS,
            host_names: settings::host_names(settings)?,
            parameters: "ip and port",
            log_file: None,
        };
        Ok(Loaded { service: Some(Box::new(Listener::new(plan))), ..Loaded::default() })
    }),
};
