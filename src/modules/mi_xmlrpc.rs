//! mi_xmlrpc: serves XML-RPC as OpenSIPS 1.x does, on a listener of its own.
//!
//! C: modules/mi_xmlrpc of 1.11. Differs: it listens on 127.0.0.1 alone unless `ip` says otherwise, where C
//! listens everywhere; a port below 1025 is an error, where C uses 8080 instead; the length of a reply is not
//! limited.

use std::path::Path;

use crate::config::{DefaultValue, Param, ParameterKind, ParameterRow};
use crate::httpd::{HttpListener, ListenerConfig, settings};
use crate::module::{CounterName, Module, ModuleParts, TransportCounter, TransportCounters};
use crate::wire::http::Route;
use crate::wire::xml_rpc::XmlRpcFormat;

const PORT: Param<u16> = Param::u16("port", 1025..=65_535, 8080, "TCP port to listen on");
const LOG_FILE: Param<Option<&Path>> =
    Param::optional_path("log_file", "file that gets a line for each request");
const REPLY_OPTION: Param<u16> = Param::u16(
    "reply_option",
    0..=1,
    0,
    "0 for replies of one string, 1 for an array of strings, one a node",
);

/// The module's table of parameters.
const PARAMETERS: &[ParameterRow] = &[
    PORT.row,
    settings::IP.row,
    settings::CHILDREN_COUNT.row,
    settings::HOST_NAMES.row,
    LOG_FILE.row,
    REPLY_OPTION.row,
    ParameterRow::without_effect(
        "buffer_size",
        ParameterKind::Integer { min: 0, max: i64::MAX },
        DefaultValue::Absent,
        "replies leave while they are written",
        "bytes of the buffer for a reply",
    ),
];

/// The module's counters.
const COUNTERS: [CounterName; 5] = [
    (TransportCounter::Connections, "xmlrpc_connections"),
    (TransportCounter::Requests, "xmlrpc_requests"),
    (TransportCounter::Errors, "xmlrpc_errors"),
    (TransportCounter::Timeouts, "xmlrpc_timeouts"),
    (TransportCounter::DroppedReplies, "xmlrpc_dropped_replies"),
];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_xmlrpc",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &TransportCounters::statistics(COUNTERS),
    events: &[],
    load: Some(|settings, identity| {
        let format = if settings.get(REPLY_OPTION) == 1 { XmlRpcFormat::Array } else { XmlRpcFormat::String };
        let config = ListenerConfig {
            module: "mi_xmlrpc",
            description: String::from("MI XMLRPC"),
            address: settings::address(settings, PORT)?,
            workers: settings.get(settings::CHILDREN_COUNT).into(),
            route: Some(Route::new("RPC2", "port", format)),
            counters: &COUNTERS,
            host_names: settings::host_names(settings)?,
            parameters: "ip and port",
            log_file: settings.get(LOG_FILE).map(|path| (path.to_owned(), identity)),
        };
        Ok(ModuleParts { service: Some(Box::new(HttpListener::new(config))), ..ModuleParts::default() })
    }),
};
