//! Answers the methods `system.*`, by which XML-RPC clients explore a server, except `system.multicall`.
//!
//! C: the built-in methods of a registry of xmlrpc-c. Differs: there `system.listMethods` lists only those,
//! as mi_xmlrpc registers no command by its name. `system.shutdown` is missing here.

use super::XmlRpcFormat;
use super::call::CallValue;
use super::encode::{XmlRpcEncoder, write_array, write_string};
use crate::mi::{Classic, Context, Generation, Parameter, ParameterKind, Status};
use crate::wire::{Output, Stream};

/// The method that calls others; the module above runs it.
pub(super) const MULTICALL: &str = "system.multicall";

/// A method `system.*`.
struct SystemMethod {
    name: &'static str,
    /// The type that it returns, then those of its parameters.
    signature: &'static [&'static str],
    help: &'static str,
}

const METHODS: [SystemMethod; 6] = [
    SystemMethod { name: "system.listMethods", signature: &["array"], help: "names of all methods" },
    SystemMethod {
        name: "system.methodExist",
        signature: &["boolean", "string"],
        help: "whether there is a method of that name",
    },
    SystemMethod {
        name: "system.methodHelp",
        signature: &["string", "string"],
        help: "what the method of that name is for",
    },
    SystemMethod {
        name: "system.methodSignature",
        signature: &["array", "string"],
        help: "types of the method of that name: arrays, each of what it returns and takes",
    },
    SystemMethod {
        name: "system.getCapabilities",
        signature: &["struct"],
        help: "which specifications the server keeps to",
    },
    SystemMethod {
        name: MULTICALL,
        signature: &["array", "array"],
        help: "runs several calls, each a struct of methodName and params; gives an array of what each returns, in \
               an array of its own, and of structs for faults",
    },
];

/// The reply to `system.getCapabilities`: name, URL of the specification, version.
const CAPABILITIES: [[&str; 3]; 3] = [
    ["xmlrpc", "http://xmlrpc.com/spec.md", "1"],
    ["introspection", "http://xmlrpc-c.sourceforge.net/introspection.html", "1"],
    ["system.multicall", "http://www.xmlrpc.com/discuss/msgReader$1208", "1"],
];

/// C: `XMLRPC_TYPE_ERROR`.
const NO_NAME: Status = Status::new(-501, "Expected the name of a method as the only parameter");

/// Runs a method by its name; `None` when there is no such method.
pub(super) fn run(
    context: &Context,
    format: XmlRpcFormat,
    name: &str,
    params: &[CallValue],
    reply: &mut XmlRpcEncoder<'_>,
) -> Option<Result<(), Status>> {
    let method = match name {
        "system.listMethods" => return Some(list_methods(context, reply)),
        "system.getCapabilities" => return Some(capabilities(reply)),
        "system.methodExist" => exists,
        "system.methodHelp" => help,
        "system.methodSignature" => signature,
        _ => return None,
    };
    Some(match params {
        [CallValue::Scalar(argument)] => method(context, format, argument, reply),
        _ => Err(NO_NAME),
    })
}

fn list_methods(context: &Context, reply: &mut XmlRpcEncoder<'_>) -> Result<(), Status> {
    let commands = context.commands.iter(Generation::Classic).map(|entry| entry.command.name);
    let names = METHODS.iter().map(|method| method.name).chain(commands);
    reply.write_value(|output| write_array(output, |output| names.for_each(|name| write_item(output, name))));
    Ok(())
}

fn capabilities(reply: &mut XmlRpcEncoder<'_>) -> Result<(), Status> {
    reply.write_value(|output| {
        output.push(b"<value><struct>\r\n");
        for [name, url, version] in CAPABILITIES {
            for part in ["<member><name>", name, "</name><value><struct>\r\n<member><name>specUrl</name>"] {
                output.push(part.as_bytes());
            }
            write_string(output, url.as_bytes());
            output.push(b"</member>\r\n<member><name>specVersion</name><value><int>");
            output.push(version.as_bytes());
            output.push(b"</int></value></member>\r\n</struct></value></member>\r\n");
        }
        output.push(b"</struct></value>");
    });
    Ok(())
}

fn system_method(name: &[u8]) -> Option<&'static SystemMethod> {
    METHODS.iter().find(|method| method.name.as_bytes() == name)
}

fn exists(
    context: &Context,
    _: XmlRpcFormat,
    name: &[u8],
    reply: &mut XmlRpcEncoder<'_>,
) -> Result<(), Status> {
    let is_there =
        system_method(name).is_some() || context.commands.find(name, Generation::Classic).is_some();
    reply.write_value(|output| {
        output.push(b"<value><boolean>");
        output.push(if is_there { b"1" } else { b"0" });
        output.push(b"</boolean></value>");
    });
    Ok(())
}

fn help(
    context: &Context,
    format: XmlRpcFormat,
    name: &[u8],
    reply: &mut XmlRpcEncoder<'_>,
) -> Result<(), Status> {
    let text = match (system_method(name), context.commands.find(name, Generation::Classic)) {
        (Some(method), _) => method.help,
        (None, Some(entry)) => entry.command.help.unwrap_or_default(),
        (None, None) => return Err(format.unknown_command(&String::from_utf8_lossy(name))),
    };
    reply.write_value(|output| write_string(output, text.as_bytes()));
    Ok(())
}

fn signature(
    context: &Context,
    format: XmlRpcFormat,
    name: &[u8],
    reply: &mut XmlRpcEncoder<'_>,
) -> Result<(), Status> {
    if let Some(method) = system_method(name) {
        reply.write_value(|output| write_array(output, |output| write_signature(output, method.signature)));
        return Ok(());
    }
    let Some(entry) = context.commands.find(name, Generation::Classic) else {
        return Err(format.unknown_command(&String::from_utf8_lossy(name)));
    };
    let recipe: &[Parameter] = match entry.command.classic {
        Classic::Takes { recipe, .. } => recipe,
        Classic::NoInput | Classic::Absent => &[],
    };
    // A command that takes any number of values has no signature. C: "undef".
    if recipe.iter().any(|parameter| parameter.kind == ParameterKind::List) {
        reply.write_value(|output| write_string(output, b"undef"));
        return Ok(());
    }
    let needed = recipe.iter().filter(|parameter| !parameter.optional).count();
    reply.write_value(|output| {
        write_array(output, |output| {
            for count in needed..=recipe.len() {
                let mut types = vec!["string"; count + 1];
                types[0] = format.reply_type();
                write_signature(output, &types);
            }
        });
    });
    Ok(())
}

fn write_signature(output: &mut Stream, types: &[&str]) {
    write_array(output, |output| types.iter().for_each(|name| write_item(output, name)));
    output.push(b"\r\n");
}

fn write_item(output: &mut Stream, text: &str) {
    write_string(output, text.as_bytes());
    output.push(b"\r\n");
}
