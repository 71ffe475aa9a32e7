//! `log_level`: the level of all processes or of one, as JSON-RPC callers set it.
//!
//! C: `w_log_level` and `mi_log_level` in mi/mi_core.c of 3.x.

use crate::mi::{Call, Changes, Classic, Command, Parameter, Status, Value, required, signed};

const LEVEL: Parameter = required("level").integer();

pub(super) const COMMAND: Command = Command {
    name: "log_level",
    help: Some("gets/sets the per process or global log level in OpenSIPS"),
    classic: Classic::Absent,
    json_rpc: &[&[], &[LEVEL], &[LEVEL, required("pid").integer()]],
    changes: Changes::ServerIfParameters,
    run: &log_level,
};

fn log_level(call: &mut Call<'_>) -> Result<(), Status> {
    let number = |name| call.args.get(name).and_then(signed);
    let (segment, slots) = (call.context.segment, call.context.segment.slots());
    match (number("level"), number("pid")) {
        (None, _) => {
            call.reply.open(b"Processes", Value::List);
            for (slot, description) in slots.iter().zip(&call.context.processes) {
                let level = slot.level().unwrap_or(segment.header().level());
                call.reply.open(b"", Value::Nothing);
                call.reply.attribute(b"PID", Value::Signed(slot.pid().into()));
                call.reply.attribute(b"Log level", Value::Signed(level.into()));
                call.reply.attribute(b"Type", description.as_str().into());
                call.reply.close();
            }
            call.reply.close();
        }
        (Some(level), None) => {
            segment.set_level(level);
            call.reply.node("New global log level", Value::Signed(level.into()));
        }
        (Some(level), Some(pid)) => {
            let slot = slots.iter().find(|slot| pid != 0 && slot.pid() == pid);
            slot.ok_or(Status::invalid_params("Bad PID"))?.set_level(level);
            call.reply.node("Log level", Value::Signed(level.into()));
        }
    }
    Ok(())
}
