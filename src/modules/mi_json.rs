//! mi_json: the JSON of OpenSIPS 1.x and 2.x by GET, on the listener of httpd.
//!
//! C: modules/mi_json of 2.4.

use crate::config::{Effect, Kind, Parameter};
use crate::httpd::settings;
use crate::module::{self, Loaded, Module};
use crate::wire::http::Door;
use crate::wire::tree_json::TreeJson;

/// Sets the path.
const ROOT: &str = "mi_json_root";

/// What may be set.
const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: ROOT,
        kind: Kind::Text,
        effect: Effect::Used,
        help: "path under which it is served, without the slash; default json",
    },
    module::TRACE_DESTINATION,
    module::TRACE_BWLIST,
];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_json",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| {
        let root = settings::root(settings, ROOT, "json")?;
        Ok(Loaded { doors: vec![Door::new(&root, ROOT, TreeJson)], ..Loaded::default() })
    }),
};
