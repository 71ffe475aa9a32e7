//! The core's commands.
//!
//! C: mi_core.c; `mi_help` in mi.c; `mi_list_tcp_conns` in tcp_main.c. Help texts are part of the protocol and
//! stand as clients know them, slips included.

use super::log_level;
use crate::logging::Shown;
use crate::mi::{
    BAD_PARAMETER, COMMAND_FAILED, Call, Changes, Classic, Command, Status, Value, optional, required, signed,
};
use crate::system::clock;
use crate::version;

/// Rows in the order that `which` lists them.
pub(super) const COMMANDS: [Command; 17] = [
    Command {
        name: "uptime",
        help: Some(
            "prints various time information about OpenSIPS - when it started to run, for how long it runs",
        ),
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &uptime,
    },
    Command {
        name: "version",
        help: Some("prints the version string of a runningOpenSIPS"),
        classic: Classic::NoInput,
        json_rpc: &[&[], &[required("revision")]],
        changes: Changes::Data,
        run: &version,
    },
    Command {
        name: "pwd",
        help: Some("prints the working directory of OpenSIPS"),
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &pwd,
    },
    Command {
        name: "arg",
        help: Some("returns the full list of arguments used at startup"),
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &arg,
    },
    Command {
        name: "which",
        help: Some("lists all avaialbe MI commands"),
        classic: Classic::NoInput,
        json_rpc: &[&[], &[required("command")]],
        changes: Changes::Data,
        run: &which,
    },
    Command {
        name: "ps",
        help: Some("lists all processes used by OpenSIPS"),
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &ps,
    },
    Command {
        name: "kill",
        help: Some("terminates OpenSIPS"),
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        changes: Changes::Server,
        run: &kill,
    },
    Command {
        name: "debug",
        help: Some("gets/sets the value of the debug core variable"),
        classic: Classic::takes(&[optional("level").integer()]),
        json_rpc: &[],
        changes: Changes::ServerIfParameters,
        run: &debug,
    },
    log_level::COMMAND,
    super::cache::STORE,
    super::cache::FETCH,
    super::cache::REMOVE,
    super::events::SUBSCRIBE,
    super::events::LIST,
    super::events::SUBSCRIBERS,
    Command {
        name: "list_tcp_conns",
        help: Some("list all ongoing TCP/TLS connections"),
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &list_tcp_conns,
    },
    Command {
        name: "help",
        help: Some("prints information about MI commands usage"),
        classic: Classic::takes(&[optional("mi_cmd")]),
        json_rpc: &[&[], &[required("mi_cmd")]],
        changes: Changes::Data,
        run: &help,
    },
];

/// C: `mi_help` and `mi_which_cmd`.
const UNKNOWN_COMMAND: Status = Status::new(404, "unknown MI command");

fn uptime(call: &mut Call<'_>) -> Result<(), Status> {
    let header = call.context.segment.header();
    call.reply.node("Now", clock::ctime(clock::wall_seconds()).as_str());
    call.reply.node("Up since", clock::ctime(header.started()).as_str());
    call.reply.node("Up time", Value::Text(format_args!("{} [sec]", header.uptime())));
    Ok(())
}

fn version(call: &mut Call<'_>) -> Result<(), Status> {
    let (version, machine) = (version::VERSION, version::ARCHITECTURE);
    call.reply.node("Server", Value::Text(format_args!("OpenSIPS ({version} ({machine}/linux))")));
    if call.args.get("revision").is_some() {
        call.reply.node("git", version::REVISION);
    }
    Ok(())
}

fn pwd(call: &mut Call<'_>) -> Result<(), Status> {
    let folder = std::env::current_dir().map_err(|error| COMMAND_FAILED.with_cause(error))?;
    call.reply.node("WD", folder.as_os_str().as_encoded_bytes());
    Ok(())
}

fn arg(call: &mut Call<'_>) -> Result<(), Status> {
    call.reply.in_json("", Value::List, |reply| {
        call.context.arguments.iter().for_each(|argument| reply.node("", argument.as_encoded_bytes()));
    });
    Ok(())
}

/// All commands; or, of one, the names of the parameters that its recipes take.
fn which(call: &mut Call<'_>) -> Result<(), Status> {
    let (commands, generation) = (&call.context.commands, call.reply.generation());
    let Some(name) = call.args.get("command") else {
        call.reply.in_json("", Value::List, |reply| {
            commands.iter(generation).for_each(|entry| reply.node("", entry.command.name));
        });
        return Ok(());
    };
    let command = commands.find(name, generation).ok_or(UNKNOWN_COMMAND)?.command;
    call.reply.in_json("", Value::List, |reply| {
        for recipe in command.json_rpc {
            reply.in_json("", Value::List, |reply| {
                recipe.iter().for_each(|parameter| reply.node("", parameter.name));
            });
        }
    });
    Ok(())
}

fn ps(call: &mut Call<'_>) -> Result<(), Status> {
    let slots = call.context.segment.slots().iter();
    call.reply.open_json("Processes", Value::List);
    for (id, (slot, description)) in (0..).zip(slots.zip(&call.context.processes)) {
        call.reply.open(b"Process", Value::Nothing);
        call.reply.attribute(b"ID", Value::Unsigned(id));
        call.reply.attribute(b"PID", Value::Signed(slot.pid().into()));
        call.reply.attribute(b"Type", description.as_str().into());
        call.reply.close();
    }
    call.reply.close_json();
    Ok(())
}

/// Answers first, ends then: the attendant lets the request in hand be finished.
fn kill(call: &mut Call<'_>) -> Result<(), Status> {
    call.context.attendant.terminate();
    Ok(())
}

fn debug(call: &mut Call<'_>) -> Result<(), Status> {
    let header = call.context.segment.header();
    if let Some(wanted) = call.args.get("level") {
        call.context.segment.set_level(signed(wanted).ok_or_else(|| {
            BAD_PARAMETER.with_cause(format_args!("level: \"{}\" is no number", Shown(wanted)))
        })?);
    }
    call.reply.node("DEBUG", Value::Signed(header.level().into()));
    Ok(())
}

fn list_tcp_conns(call: &mut Call<'_>) -> Result<(), Status> {
    if call.context.tcp_disabled {
        return Err(Status::new(404, "TCP support disabled"));
    }
    call.reply.in_json("", Value::Null, |_| {});
    Ok(())
}

fn help(call: &mut Call<'_>) -> Result<(), Status> {
    let Some(name) = call.args.filled("mi_cmd") else {
        if call.reply.is_json() {
            call.reply.node("", "Usage: help mi_cmd - returns information about 'mi_cmd'");
        } else {
            call.reply.node("Usage", "help mi_cmd - returns information about 'mi_cmd'");
        }
        return Ok(());
    };
    let entry = call.context.commands.find(name, call.reply.generation()).ok_or(UNKNOWN_COMMAND)?;
    call.reply.node("Help", entry.command.help.unwrap_or("not available for this command"));
    call.reply.node("Exported by", entry.module);
    Ok(())
}
