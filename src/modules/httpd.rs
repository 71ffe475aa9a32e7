//! httpd: the HTTP listener of the modules mi_http, mi_json and mi_xmlrpc_ng.
//!
//! C: modules/httpd. Differs: without `ip` it listens on 127.0.0.1 alone; C listens everywhere.

use crate::config::{DefaultValue, Param, ParameterKind, ParameterRow};
use crate::httpd::{HttpListener, ListenerConfig, settings};
use crate::module::{CounterName, Module, ModuleParts, TransportCounter, TransportCounters};

const PORT: Param<u16> = Param::u16("port", 1..=65_535, 8888, "TCP port to listen on");

/// The module's table of parameters.
const PARAMETERS: &[ParameterRow] = &[
    settings::IP.row,
    PORT.row,
    settings::CHILDREN_COUNT.row,
    settings::HOST_NAMES.row,
    ParameterRow::without_effect(
        "buf_size",
        ParameterKind::Integer { min: 0, max: i64::MAX },
        DefaultValue::Absent,
        "replies leave while they are written",
        "bytes of the buffer for a reply",
    ),
    ParameterRow::without_effect(
        "post_buf_size",
        ParameterKind::Integer { min: 0, max: i64::MAX },
        DefaultValue::Absent,
        "a request may have 1 MiB",
        "bytes of the buffer for a request",
    ),
];

/// The module's counters.
const COUNTERS: [CounterName; 5] = [
    (TransportCounter::Connections, "http_connections"),
    (TransportCounter::Requests, "http_requests"),
    (TransportCounter::Errors, "http_errors"),
    (TransportCounter::Timeouts, "http_timeouts"),
    (TransportCounter::DroppedReplies, "http_dropped_replies"),
];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "httpd",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &TransportCounters::statistics(COUNTERS),
    events: &[],
    load: Some(|settings, _| {
        let address = settings::address(settings, PORT)?;
        let config = ListenerConfig {
            module: "httpd",
            description: format!("HTTPD {address}"),
            address,
            workers: settings.get(settings::CHILDREN_COUNT).into(),
            route: None,
            counters: &COUNTERS,
            host_names: settings::host_names(settings)?,
            parameters: "ip and port",
            log_file: None,
        };
        Ok(ModuleParts { service: Some(Box::new(HttpListener::new(config))), ..ModuleParts::default() })
    }),
};
