//! `system.*`: what XML-RPC clients ask about a server itself, but for `system.multicall`.
//!
//! C: the methods that a registry of xmlrpc-c has of its own. Differs: there `system.listMethods` knows only them,
//! since mi_xmlrpc registers no command by its name. There is no `system.shutdown`.

use super::Format;
use super::call::Value;
use super::encode::{Encoder, array, string};
use crate::mi::{Classic, Context, Fault, Generation, Kind, Parameter};
use crate::wire::{Output, Stream};

/// The one that is not run here.
pub(super) const MULTICALL: &str = "system.multicall";

/// A name, what it returns and takes, and what it is for.
struct Method {
    name: &'static str,
    signature: &'static [&'static str],
    help: &'static str,
}

const METHODS: [Method; 6] = [
    Method { name: "system.listMethods", signature: &["array"], help: "names of all methods" },
    Method {
        name: "system.methodExist",
        signature: &["boolean", "string"],
        help: "whether there is a method of that name",
    },
    Method {
        name: "system.methodHelp",
        signature: &["string", "string"],
        help: "what the method of that name is for",
    },
    Method {
        name: "system.methodSignature",
        signature: &["array", "string"],
        help: "types of the method of that name: arrays, each of what it returns and takes",
    },
    Method {
        name: "system.getCapabilities",
        signature: &["struct"],
        help: "which specifications the server keeps to",
    },
    Method {
        name: MULTICALL,
        signature: &["array", "array"],
        help: "runs several calls, each a struct of methodName and params; gives an array of what each returns, in \
               an array of its own, and of structs for faults",
    },
];

/// What `system.getCapabilities` tells: name, document, version.
const CAPABILITIES: [[&str; 3]; 3] = [
    ["xmlrpc", "http://xmlrpc.com/spec.md", "1"],
    ["introspection", "http://xmlrpc-c.sourceforge.net/introspection.html", "1"],
    ["system.multicall", "http://www.xmlrpc.com/discuss/msgReader$1208", "1"],
];

/// C: `XMLRPC_TYPE_ERROR`.
const NO_NAME: Fault = Fault::new(-501, "Expected the name of a method as the only parameter");

/// Runs the method of that name; `None` when there is none.
pub(super) fn run(
    context: &Context,
    format: Format,
    name: &str,
    params: &[Value],
    reply: &mut Encoder<'_>,
) -> Option<Result<(), Fault>> {
    let ask = match name {
        "system.listMethods" => return Some(list(context, reply)),
        "system.getCapabilities" => return Some(capabilities(reply)),
        "system.methodExist" => exists,
        "system.methodHelp" => help,
        "system.methodSignature" => signature,
        _ => return None,
    };
    Some(match params {
        [Value::Scalar(wanted)] => ask(context, format, wanted, reply),
        _ => Err(NO_NAME),
    })
}

fn list(context: &Context, reply: &mut Encoder<'_>) -> Result<(), Fault> {
    let commands = context.commands.iter(Generation::Classic).map(|entry| entry.command.name);
    let names = METHODS.iter().map(|method| method.name).chain(commands);
    reply.whole(|output| array(output, |output| names.for_each(|name| item(output, name))));
    Ok(())
}

fn capabilities(reply: &mut Encoder<'_>) -> Result<(), Fault> {
    reply.whole(|output| {
        output.push(b"<value><struct>\r\n");
        for [name, url, version] in CAPABILITIES {
            for part in ["<member><name>", name, "</name><value><struct>\r\n<member><name>specUrl</name>"] {
                output.push(part.as_bytes());
            }
            string(output, url.as_bytes());
            output.push(b"</member>\r\n<member><name>specVersion</name><value><int>");
            output.push(version.as_bytes());
            output.push(b"</int></value></member>\r\n</struct></value></member>\r\n");
        }
        output.push(b"</struct></value>");
    });
    Ok(())
}

fn own(name: &[u8]) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name.as_bytes() == name)
}

fn exists(context: &Context, _: Format, name: &[u8], reply: &mut Encoder<'_>) -> Result<(), Fault> {
    let is_there = own(name).is_some() || context.commands.find(name, Generation::Classic).is_some();
    reply.whole(|output| {
        output.push(b"<value><boolean>");
        output.push(if is_there { b"1" } else { b"0" });
        output.push(b"</boolean></value>");
    });
    Ok(())
}

fn help(context: &Context, format: Format, name: &[u8], reply: &mut Encoder<'_>) -> Result<(), Fault> {
    let text = match (own(name), context.commands.find(name, Generation::Classic)) {
        (Some(method), _) => method.help,
        (None, Some(entry)) => entry.command.help.unwrap_or_default(),
        (None, None) => return Err(format.unknown(&String::from_utf8_lossy(name))),
    };
    reply.whole(|output| string(output, text.as_bytes()));
    Ok(())
}

fn signature(context: &Context, format: Format, name: &[u8], reply: &mut Encoder<'_>) -> Result<(), Fault> {
    if let Some(method) = own(name) {
        reply.whole(|output| array(output, |output| one_signature(output, method.signature)));
        return Ok(());
    }
    let Some(entry) = context.commands.find(name, Generation::Classic) else {
        return Err(format.unknown(&String::from_utf8_lossy(name)));
    };
    let recipe: &[Parameter] = match entry.command.classic {
        Classic::Takes { recipe, .. } => recipe,
        Classic::NoInput | Classic::Absent => &[],
    };
    // Any number of values has no signature. C: "undef", for what is not told.
    if recipe.iter().any(|parameter| parameter.kind == Kind::List) {
        reply.whole(|output| string(output, b"undef"));
        return Ok(());
    }
    let needed = recipe.iter().filter(|parameter| !parameter.optional).count();
    reply.whole(|output| {
        array(output, |output| {
            for count in needed..=recipe.len() {
                let mut types = vec!["string"; count + 1];
                types[0] = format.returns();
                one_signature(output, &types);
            }
        });
    });
    Ok(())
}

fn one_signature(output: &mut Stream, types: &[&str]) {
    array(output, |output| types.iter().for_each(|name| item(output, name)));
    output.push(b"\r\n");
}

fn item(output: &mut Stream, text: &str) {
    string(output, text.as_bytes());
    output.push(b"\r\n");
}
