//! `list_blacklists`: destinations the server keeps away from. There are none without SIP.
//!
//! C: `mi_print_blacklists` in blacklists.c, registered under the module name `blacklists`.

use crate::mi::{Call, Classic, Command, Fault};
use crate::module::Module;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "blacklists",
    parameters: &[],
    commands: &[Command {
        name: "list_blacklists",
        help: Some("lists all the defined (static or learned) blacklists"),
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        run: &list,
    }],
    statistics: &[],
    events: &[],
    load: None,
};

#[expect(clippy::unnecessary_wraps, reason = "has the type of every command")]
fn list(_call: &mut Call<'_>) -> Result<(), Fault> {
    Ok(())
}
