//! XML-RPC, as mi_xmlrpc of 1.11 and mi_xmlrpc_ng of 2.4 speak it.
//!
//! ```text
//! call.rs        the call: an XML document, taken apart and checked
//! scalar.rs      what its scalars are as text
//! encode.rs      the reply: a value, or a fault
//! introspect.rs  system.*
//! ```
//!
//! Faults have MI's code and reason; below zero they are XML-RPC's own, as in OpenSIPS. Both doors answer `system.*`.
//!
//! C: `default_method` in xr_server.c of 1.11 and `mi_xmlrpc_http_run_mi_cmd` in http_fnc.c of 2.4. Differs: in
//! strings, C makes CR LF of two LF to work around its library; here CR arrives as `&#13;` and LF is LF. 2.4 takes
//! strings alone, and those not when they are empty, and it answers every fault of its own by `401 Empty request`,
//! since its file has a copy of the variable; here numbers are taken and faults are those of its table.

mod call;
mod encode;
mod introspect;
mod scalar;

use std::collections::VecDeque;
use std::time::Duration;

use call::{Call, Malformed, Value};
use encode::{Encoder, Place, State};
use introspect::MULTICALL;

use super::http::{Dialect, HttpMethod, HttpRequest, ReplyHead};
use super::{MAX_BATCH, MAX_BATCH_TIME, NO_TIME_LEFT, Output, Pieces, Stream};
use crate::mi::{
    self, Caller, Classic, Context, Delivery, Fault, Generation, KeptCaller, Outcome, Params, Progress, Rest,
    Told,
};

/// XML-RPC over HTTP, by the way in which a reply tells a command's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// mi_xmlrpc, `reply_option` 0: one string, a line a node.
    String,
    /// mi_xmlrpc, `reply_option` 1: an array of strings, one a node.
    Array,
    /// mi_xmlrpc_ng, `format_version` 1: one string, a line a node, indented.
    IndentedString,
    /// mi_xmlrpc_ng, `format_version` 2: structs and arrays.
    Tree,
}

/// How much of a refused call, and of the reason, the log shows, in bytes.
const SHOWN_BYTES: usize = 100;

impl Format {
    /// Whether it is one of mi_xmlrpc_ng.
    fn is_newer(self) -> bool {
        matches!(self, Format::IndentedString | Format::Tree)
    }

    /// The module that speaks it.
    fn module(self) -> &'static str {
        if self.is_newer() { "mi_xmlrpc_ng" } else { "mi_xmlrpc" }
    }

    /// Whether a reply with that code is one. C: `xr_build_response` of 1.11, and of 2.4
    /// `mi_xmlrpc_http_answer_to_connection`.
    fn is_success(self, code: i32) -> bool {
        if self.is_newer() { code < 400 } else { (200..300).contains(&code) }
    }

    /// The type of a reply.
    fn returns(self) -> &'static str {
        match self {
            Format::String | Format::IndentedString => "string",
            Format::Array => "array",
            Format::Tree => "struct",
        }
    }

    /// There is no such command. C: `XMLRPC_NO_SUCH_METHOD_ERROR`; `ERR_NOT_AVAIL`.
    fn unknown(self, name: &str) -> Fault {
        if self.is_newer() {
            Fault::new(405, "Command not available")
        } else {
            Fault::because(-506, format_args!("Requested command ({name}) is not available!"))
        }
    }

    /// The body is no call. C: `XMLRPC_PARSE_ERROR`; `ERR_EMPTY` and `ERR_BAD_REQ`.
    fn malformed(self, body: &[u8], reason: &Malformed) -> Fault {
        match reason {
            _ if self.is_newer() && body.is_empty() => Fault::new(401, "Empty request"),
            reason if self.is_newer() => Fault::because(404, format_args!("Invalid request: {reason}")),
            reason => Fault::because(-503, format_args!("Call is not a proper XML-RPC call: {reason}")),
        }
    }

    /// A parameter is of a type that commands do not take; `number` is C's for it. C: `XMLRPC_TYPE_ERROR`;
    /// `ERR_MISS_STRING`.
    fn unsupported(self, number: u8) -> Fault {
        if self.is_newer() {
            Fault::new(407, "Missing node 'string'")
        } else {
            Fault::because(-501, format_args!("Unsupported value of type {number} supplied"))
        }
    }

    /// What a command's fault is called here. C: `XMLRPC_INTERNAL_ERROR`; `ERR_CMD_FAILED`.
    fn reworded(self, name: &str, fault: Fault) -> Fault {
        match fault {
            fault if !fault.is(&mi::COMMAND_FAILED) => fault,
            _ if self.is_newer() => Fault::new(501, "Failed to run command"),
            _ => Fault::because(-500, format_args!("Command ({name}) processing failed.\n")),
        }
    }
}

/// C: `XMLRPC_REQUEST_REFUSED_ERROR`.
const NO_RECURSION: Fault = Fault::new(-507, "Recursive system.multicall forbidden");
/// C: `XMLRPC_TYPE_ERROR`.
const NO_CALLS: Fault =
    Fault::new(-501, "Expected one parameter: an array of structs of methodName and params");

/// C: `ERR_UNEXPECTED`.
const UNEXPECTED_METHOD: Fault = Fault::new(405, "Unexpected method (only POST is accepted)");

/// The type of all replies.
const XML: &str = "text/xml; charset=utf-8";

impl Dialect for Format {
    fn allowed(&self) -> &'static str {
        "POST"
    }

    fn media_type(&self) -> &'static str {
        "text/xml"
    }

    /// Runs the command that the body calls. What is below the root does not matter.
    fn answer(&self, context: &Context, request: &HttpRequest<'_>, output: &mut Stream) -> ReplyHead {
        let (format, body) = (*self, request.body);
        if request.method != HttpMethod::Post {
            return ReplyHead { status: 405, ..refuse(format, body, &UNEXPECTED_METHOD, output) };
        }
        let caller = Caller::new(format.module(), &request.client);
        let call = match call::parse(body) {
            Ok(call) => call,
            Err(reason) => return refuse(format, body, &format.malformed(body, &reason), output),
        };
        if call.method == MULTICALL {
            let Some(calls) = calls_in(call.params) else { return refuse(format, body, &NO_CALLS, output) };
            if calls.len() > MAX_BATCH {
                // C: `XMLRPC_LIMIT_EXCEEDED_ERROR`.
                let reason = format_args!("{} calls in system.multicall, at most {MAX_BATCH}", calls.len());
                return refuse(format, body, &Fault::because(-509, reason), output);
            }
            return begin_all(format, calls, caller, output);
        }
        let mut encoder = Encoder::new(output, format, Place::Document);
        let asked = Asked { caller, delivery: Delivery::AtAnyTime { form: call.method.as_bytes() } };
        match run(format, context, &call, &mut Params::new(), &mut encoder, asked) {
            Ok(Outcome::Later(number)) => ReplyHead { deferred: Some(number), ..encoded(false, None) },
            result => alone(format, result.map(Outcome::rest), &call.method, encoder),
        }
    }

    fn answer_deferred(&self, envelope: &[u8], reply: Told, output: &mut Stream) -> ReplyHead {
        let name = String::from_utf8_lossy(envelope);
        let mut encoder = Encoder::new(output, *self, Place::Document);
        let result = reply.tell(&mut encoder).map_err(|fault| self.reworded(&name, fault));
        alone(*self, result, &name, encoder)
    }
}

fn encoded(is_error: bool, rest: Option<Unfinished>) -> ReplyHead {
    let rest = rest.map(|rest| Box::new(rest) as Box<dyn Pieces<Stream>>);
    ReplyHead { status: 200, content_type: XML, is_error, rest, deferred: None }
}

/// Ends the reply to the only call, but for the rest of a long one.
fn alone(format: Format, result: Result<Option<Rest>, Fault>, name: &str, encoder: Encoder<'_>) -> ReplyHead {
    let (is_error, current) = conclude(result, name, encoder);
    let unfinished =
        |current| Unfinished { format, current: Some(current), calls: None, has_fault: is_error };
    encoded(is_error, current.map(unfinished))
}

fn refuse(format: Format, body: &[u8], fault: &Fault, output: &mut Stream) -> ReplyHead {
    log_fault(fault, body);
    Encoder::new(output, format, Place::Document).fail(fault);
    encoded(true, None)
}

/// Both may hold what the client has sent.
fn log_fault(fault: &Fault, request: &[u8]) {
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii().to_string();
    log::debug!("{} {}: {}", fault.code, shown(fault.reason.as_bytes()), shown(request));
}

/// Ends the reply to a call that has run, but for the rest of a long one. True when it is a fault.
fn conclude(
    result: Result<Option<Rest>, Fault>,
    name: &str,
    mut encoder: Encoder<'_>,
) -> (bool, Option<Current>) {
    match result {
        Ok(Some(rest)) => {
            let is_fault = encoder.is_fault();
            return (is_fault, Some(Current { name: name.to_owned(), state: encoder.into_state(), rest }));
        }
        Ok(None) => encoder.finish(),
        Err(fault) => {
            log_fault(&fault, name.as_bytes());
            encoder.fail(&fault);
        }
    }
    (encoder.is_fault(), None)
}

/// Who asks, and when the reply may come.
struct Asked<'a> {
    caller: Caller<'a>,
    delivery: Delivery<'a>,
}

/// The command is looked up first, then its parameters are looked at, and only if it takes any.
fn run(
    format: Format,
    context: &Context,
    call: &Call,
    params: &mut Params,
    reply: &mut Encoder<'_>,
    asked: Asked<'_>,
) -> Result<Outcome, Fault> {
    let name = &call.method;
    let Some(entry) = context.commands.find(name.as_bytes(), Generation::Classic) else {
        let own = introspect::run(context, format, name, &call.params, reply);
        return own.unwrap_or_else(|| Err(format.unknown(name))).map(|()| Outcome::Now(None));
    };
    params.clear();
    if let Classic::Takes { .. } = entry.command.classic {
        for value in &call.params {
            match value {
                Value::Scalar(text) => params.push(b"", text),
                Value::Array(_) => return Err(format.unsupported(6)),
                Value::Struct(_) => return Err(format.unsupported(7)),
                Value::Nil => return Err(format.unsupported(9)),
            }
        }
    }
    let recipe = mi::classic_recipe(entry.command, params)?;
    mi::run(entry.command, recipe, context, params, reply, asked.caller, asked.delivery)
        .map_err(|fault| format.reworded(name, fault))
}

/// The calls in the only parameter of `system.multicall`, each with what is wrong with it.
fn calls_in(params: Vec<Value>) -> Option<VecDeque<Result<Call, Fault>>> {
    let mut params = params.into_iter();
    match (params.next(), params.next()) {
        (Some(Value::Array(calls)), None) => Some(calls.into_iter().map(call_in).collect()),
        _ => None,
    }
}

fn call_in(value: Value) -> Result<Call, Fault> {
    let Value::Struct(members) = value else { return Err(NO_CALLS) };
    let (mut method, mut params) = (None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("methodName", Value::Scalar(name)) => method = String::from_utf8(name).ok(),
            ("params", Value::Array(values)) => params = Some(values),
            _ => {}
        }
    }
    let (Some(method), Some(params)) = (method, params) else { return Err(NO_CALLS) };
    if method == MULTICALL { Err(NO_RECURSION) } else { Ok(Call { method, params }) }
}

/// Begins the reply to several calls: an array of one value each, with structs for faults. None of them has run yet.
fn begin_all(
    format: Format,
    calls: VecDeque<Result<Call, Fault>>,
    caller: Caller<'_>,
    output: &mut Stream,
) -> ReplyHead {
    output.push(encode::PROLOGUE);
    output.push(b"<params>\r\n<param><value><array><data>\r\n");
    let calls = Calls { waiting: calls, caller: caller.keep(), is_out_of_time: false };
    encoded(false, Some(Unfinished { format, current: None, calls: Some(calls), has_fault: false }))
}

/// A reply, or the replies of several calls, that are not whole yet.
struct Unfinished {
    format: Format,
    current: Option<Current>,
    calls: Option<Calls>,
    /// One of those that have run had a fault.
    has_fault: bool,
}

/// The reply that is being written.
struct Current {
    /// The command.
    name: String,
    state: State,
    rest: Rest,
}

/// The calls of a `system.multicall`.
struct Calls {
    waiting: VecDeque<Result<Call, Fault>>,
    caller: KeptCaller,
    is_out_of_time: bool,
}

impl Calls {
    /// The next call with what is wrong with it, if something is. `spent` as for [`Pieces::go_on`].
    fn next(&mut self, spent: Duration) -> Option<Result<Call, Fault>> {
        let count = self.waiting.len();
        let call = self.waiting.pop_front()?;
        if spent < MAX_BATCH_TIME {
            return Some(call);
        }
        if !std::mem::replace(&mut self.is_out_of_time, true) {
            let limit = MAX_BATCH_TIME.as_millis();
            log::warn!(often = true; "the last {count} calls of {MULTICALL} are not run, it took more than {limit} ms");
        }
        Some(call.and(Err(NO_TIME_LEFT)))
    }
}

impl Pieces<Stream> for Unfinished {
    fn go_on(&mut self, context: &Context, output: &mut Stream, spent: Duration) -> Progress {
        if let Some(Current { name, state, mut rest }) = self.current.take() {
            let mut encoder = Encoder::resume(output, state);
            match rest.go_on(context, &mut encoder) {
                Ok(Progress::More) => {
                    self.current = Some(Current { name, state: encoder.into_state(), rest });
                    return Progress::More;
                }
                Ok(Progress::Done) => encoder.finish(),
                Err(fault) => encoder.fail(&self.format.reworded(&name, fault)),
            }
            self.has_fault |= encoder.is_fault();
        }
        let Some(calls) = &mut self.calls else { return Progress::Done };
        let Some(call) = calls.next(spent) else {
            output.push(b"</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n");
            return Progress::Done;
        };
        let is_error = match call {
            Ok(call) => {
                let mut encoder = Encoder::new(output, self.format, Place::Among);
                let asked = Asked { caller: calls.caller.caller(), delivery: Delivery::WithOthers };
                let outcome = run(self.format, context, &call, &mut Params::new(), &mut encoder, asked);
                let (is_error, current) = conclude(outcome.map(Outcome::rest), &call.method, encoder);
                self.current = current;
                is_error
            }
            Err(fault) => {
                Encoder::new(output, self.format, Place::Among).fail(&fault);
                true
            }
        };
        self.has_fault |= is_error;
        Progress::More
    }

    fn is_error(&self) -> bool {
        self.has_fault
    }

    fn has_work(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| !calls.waiting.is_empty())
            || self.current.as_ref().is_some_and(|current| current.rest.is_change())
    }
}

#[cfg(test)]
mod tests;
