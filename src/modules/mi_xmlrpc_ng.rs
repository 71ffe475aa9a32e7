//! mi_xmlrpc_ng: XML-RPC as OpenSIPS 2.x speaks it, on the listener of httpd.
//!
//! C: modules/mi_xmlrpc_ng of 2.4.

use crate::config::{Effect, Kind, Parameter};
use crate::httpd::settings;
use crate::module::{self, Loaded, Module};
use crate::wire::http::Door;
use crate::wire::xml_rpc::Format;

/// Sets the path.
const ROOT: &str = "http_root";

/// The same in OpenSIPS 1.10 to 2.1.
const OLD_ROOT: &str = "mi_xmlrpc_ng_root";

/// What may be set.
const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: ROOT,
        kind: Kind::Text,
        effect: Effect::Used,
        help: "path under which it is served, without the slash; default RPC2",
    },
    Parameter {
        name: OLD_ROOT,
        kind: Kind::Text,
        effect: Effect::Used,
        help: "what http_root is called in OpenSIPS 1.10 to 2.1; default RPC2",
    },
    Parameter {
        name: "format_version",
        kind: Kind::Integer { min: 1, max: 2 },
        effect: Effect::Used,
        help: "2 for replies of structs and arrays, 1 for one string with a line a node; default 2",
    },
    module::TRACE_DESTINATION,
    module::TRACE_BWLIST,
];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_xmlrpc_ng",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| {
        let parameter = if settings.text(ROOT).is_some() { ROOT } else { OLD_ROOT };
        let root = settings::root(settings, parameter, "RPC2")?;
        let format =
            if settings.integer("format_version") == Some(1) { Format::IndentedString } else { Format::Tree };
        Ok(Loaded { doors: vec![Door::new(&root, parameter, format)], ..Loaded::default() })
    }),
};
