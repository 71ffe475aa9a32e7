//! mi_xmlrpc_ng: serves XML-RPC as OpenSIPS 2.x does, on the listener of httpd.
//!
//! C: modules/mi_xmlrpc_ng of 2.4.

use crate::config::{Param, ParameterRow};
use crate::httpd::settings;
use crate::module::{self, Module, ModuleParts};
use crate::wire::http::Route;
use crate::wire::xml_rpc::XmlRpcFormat;

const ROOT: Param<&[u8]> =
    Param::text("http_root", "RPC2", "path under which it is served, without the slash");

/// Used when [`ROOT`] is not set.
const OLD_ROOT: Param<&[u8]> =
    Param::text("mi_xmlrpc_ng_root", "RPC2", "what http_root is called in OpenSIPS 1.10 to 2.1");
const FORMAT_VERSION: Param<u16> = Param::u16(
    "format_version",
    1..=2,
    2,
    "2 for replies of structs and arrays, 1 for one string with a line a node",
);

/// The module's table of parameters.
const PARAMETERS: &[ParameterRow] =
    &[ROOT.row, OLD_ROOT.row, FORMAT_VERSION.row, module::TRACE_DESTINATION, module::TRACE_BWLIST];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_xmlrpc_ng",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| {
        let parameter = if settings.is_set(ROOT.name()) { ROOT } else { OLD_ROOT };
        let root = settings::root(settings, parameter)?;
        let format =
            if settings.get(FORMAT_VERSION) == 1 { XmlRpcFormat::IndentedString } else { XmlRpcFormat::Tree };
        Ok(ModuleParts {
            routes: vec![Route::new(&root, parameter.name(), format)],
            ..ModuleParts::default()
        })
    }),
};
