//! mi_json: serves the JSON of OpenSIPS 1.x and 2.x by GET, on the listener of httpd.
//!
//! C: modules/mi_json of 2.4.

use crate::config::{Param, ParameterRow};
use crate::httpd::settings;
use crate::module::{self, Module, ModuleParts};
use crate::wire::http::Route;
use crate::wire::tree_json::TreeJson;

const ROOT: Param<&[u8]> =
    Param::text("mi_json_root", "json", "path under which it is served, without the slash");

/// The module's table of parameters.
const PARAMETERS: &[ParameterRow] = &[ROOT.row, module::TRACE_DESTINATION, module::TRACE_BWLIST];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_json",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| {
        let root = settings::root(settings, ROOT)?;
        Ok(ModuleParts { routes: vec![Route::new(&root, ROOT.name(), TreeJson)], ..ModuleParts::default() })
    }),
};
