//! `list_blacklists`: destinations the server keeps away from. There are none without SIP.
//!
//! C: `mi_print_blacklists` in blacklists.c, registered under the module name `blacklists`.

use crate::mi::{Call, Changes, Classic, Command, Status, Value, required};
use crate::module::Module;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "blacklists",
    parameters: &[],
    commands: &[Command {
        name: "list_blacklists",
        help: Some("lists all the defined (static or learned) blacklists"),
        classic: Classic::NoInput,
        json_rpc: &[&[], &[required("name")]],
        changes: Changes::Data,
        run: &list,
    }],
    statistics: &[],
    events: &[],
    load: None,
};

fn list(call: &mut Call<'_>) -> Result<(), Status> {
    if call.args.get("name").is_some() && call.reply.is_json() {
        return Err(Status::new(404, "Unknown name"));
    }
    call.reply.in_json("Lists", Value::List, |_| {});
    Ok(())
}
