//! Answers XML-RPC calls, as mi_xmlrpc of 1.11 and mi_xmlrpc_ng of 2.4 do.
//!
//! ```text
//! call.rs        parses and checks a call, which is an XML document
//! scalar.rs      converts scalar values to the text that commands take
//! encode.rs      encodes a reply: a value or a fault
//! introspect.rs  answers the methods system.*
//! ```
//!
//! Faults have the code and the reason of MI. Codes below zero are those of XML-RPC, as in OpenSIPS. Both
//! modules answer `system.*`.
//!
//! C: `default_method` in xr_server.c of 1.11 and `mi_xmlrpc_http_run_mi_cmd` in http_fnc.c of 2.4. Differs:
//! in strings, C turns two LF into CR LF to work around its library; here CR comes as `&#13;` and LF stays
//! LF. 2.4 takes only strings that are not empty, and answers each of its own faults with `401 Empty
//! request`, because its file has a copy of the error variable; here numbers are taken, too, and the faults
//! are those of its table.

mod call;
mod encode;
mod introspect;
mod scalar;

use std::collections::VecDeque;
use std::time::Duration;

use call::{CallValue, InvalidCall, MethodCall};
use encode::{ReplyFrame, XmlRpcEncoder, XmlRpcReplyState};
use introspect::MULTICALL;

use super::http::{Dialect, HttpMethod, HttpRequest, ReplyHead};
use super::{MAX_BATCH, MAX_BATCH_TIME, NO_TIME_LEFT, Output, PieceWriter, Stream};
use crate::mi::{
    self, Caller, Classic, CommandOutcome, Context, Delivery, Generation, OwnedCaller, Params, Progress,
    Rest, Status, StoredReply,
};

/// The dialect of mi_xmlrpc or mi_xmlrpc_ng; each variant encodes the nodes of a reply in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlRpcFormat {
    /// mi_xmlrpc, `reply_option` 0: one string with a line for each node.
    String,
    /// mi_xmlrpc, `reply_option` 1: an array with a string for each node.
    Array,
    /// mi_xmlrpc_ng, `format_version` 1: one string with an indented line for each node.
    IndentedString,
    /// mi_xmlrpc_ng, `format_version` 2: structs and arrays.
    Tree,
}

/// The most bytes of a refused call, and of the reason, that are logged.
const SHOWN_BYTES: usize = 100;

impl XmlRpcFormat {
    /// Whether this is a format of mi_xmlrpc_ng.
    fn is_newer(self) -> bool {
        matches!(self, XmlRpcFormat::IndentedString | XmlRpcFormat::Tree)
    }

    /// The name of the module.
    fn module(self) -> &'static str {
        if self.is_newer() { "mi_xmlrpc_ng" } else { "mi_xmlrpc" }
    }

    /// Whether a reply with this code is a success; otherwise it is a fault. C: `xr_build_response` of 1.11,
    /// and of 2.4 `mi_xmlrpc_http_answer_to_connection`.
    fn is_success(self, code: i32) -> bool {
        if self.is_newer() { code < 400 } else { (200..300).contains(&code) }
    }

    /// The XML-RPC type of all replies, for `system.methodSignature`.
    fn reply_type(self) -> &'static str {
        match self {
            XmlRpcFormat::String | XmlRpcFormat::IndentedString => "string",
            XmlRpcFormat::Array => "array",
            XmlRpcFormat::Tree => "struct",
        }
    }

    /// The fault for an unknown command. C: `XMLRPC_NO_SUCH_METHOD_ERROR`; `ERR_NOT_AVAIL`.
    fn unknown_command(self, name: &str) -> Status {
        if self.is_newer() {
            Status::new(405, "Command not available")
        } else {
            Status::formatted(-506, format_args!("Requested command ({name}) is not available!"))
        }
    }

    /// The fault for a body that is not a call. C: `XMLRPC_PARSE_ERROR`; `ERR_EMPTY` and `ERR_BAD_REQ`.
    fn invalid_call(self, body: &[u8], reason: &InvalidCall) -> Status {
        match reason {
            _ if self.is_newer() && body.is_empty() => Status::new(401, "Empty request"),
            reason if self.is_newer() => Status::formatted(404, format_args!("Invalid request: {reason}")),
            reason => Status::formatted(-503, format_args!("Call is not a proper XML-RPC call: {reason}")),
        }
    }

    /// The fault for a parameter of a type that commands do not take. `number` is that of the type in C. C:
    /// `XMLRPC_TYPE_ERROR`; `ERR_MISS_STRING`.
    fn unsupported_type(self, number: u8) -> Status {
        if self.is_newer() {
            Status::new(407, "Missing node 'string'")
        } else {
            Status::formatted(-501, format_args!("Unsupported value of type {number} supplied"))
        }
    }

    /// Replaces the generic fault of a failed command by that of the module. C: `XMLRPC_INTERNAL_ERROR`;
    /// `ERR_CMD_FAILED`.
    fn reworded(self, name: &str, status: Status) -> Status {
        match status {
            status if !status.eq_ignore_data(&mi::COMMAND_FAILED) => status,
            _ if self.is_newer() => Status::new(501, "Failed to run command"),
            _ => Status::formatted(-500, format_args!("Command ({name}) processing failed.\n")),
        }
    }
}

/// C: `XMLRPC_REQUEST_REFUSED_ERROR`.
const NO_RECURSION: Status = Status::new(-507, "Recursive system.multicall forbidden");
/// C: `XMLRPC_TYPE_ERROR`.
const NO_CALLS: Status =
    Status::new(-501, "Expected one parameter: an array of structs of methodName and params");

/// C: `ERR_UNEXPECTED`.
const UNEXPECTED_METHOD: Status = Status::new(405, "Unexpected method (only POST is accepted)");

/// The content type of all replies.
const XML: &str = "text/xml; charset=utf-8";

impl Dialect for XmlRpcFormat {
    fn allowed(&self) -> &'static str {
        "POST"
    }

    fn media_type(&self) -> &'static str {
        "text/xml"
    }

    /// Runs the command that the body calls. The path below the root has no meaning.
    fn answer(&self, context: &Context, request: &HttpRequest<'_>, output: &mut Stream) -> ReplyHead {
        let (format, body) = (*self, request.body);
        if request.method != HttpMethod::Post {
            return ReplyHead { status: 405, ..write_fault(format, body, &UNEXPECTED_METHOD, output) };
        }
        let caller = Caller::new(format.module(), &request.client);
        let call = match call::parse(body) {
            Ok(call) => call,
            Err(reason) => return write_fault(format, body, &format.invalid_call(body, &reason), output),
        };
        if call.method == MULTICALL {
            let Some(calls) = multicall_calls(call.params) else {
                return write_fault(format, body, &NO_CALLS, output);
            };
            if calls.len() > MAX_BATCH {
                // C: `XMLRPC_LIMIT_EXCEEDED_ERROR`.
                let reason = format_args!("{} calls in system.multicall, at most {MAX_BATCH}", calls.len());
                return write_fault(format, body, &Status::formatted(-509, reason), output);
            }
            return begin_multicall(format, calls, caller, output);
        }
        let mut encoder = XmlRpcEncoder::new(output, format, ReplyFrame::Document);
        let origin = CallOrigin { caller, delivery: Delivery::Waiting { envelope: call.method.as_bytes() } };
        match run(format, context, &call, &mut Params::new(), &mut encoder, origin) {
            Ok(CommandOutcome::Deferred(number)) => {
                ReplyHead { deferred: Some(number), ..reply_head(false, None) }
            }
            result => finish_single(format, result.map(CommandOutcome::rest), &call.method, encoder),
        }
    }

    fn answer_deferred(&self, envelope: &[u8], reply: StoredReply, output: &mut Stream) -> ReplyHead {
        let name = String::from_utf8_lossy(envelope);
        let mut encoder = XmlRpcEncoder::new(output, *self, ReplyFrame::Document);
        let result = reply.write(&mut encoder).map_err(|status| self.reworded(&name, status));
        finish_single(*self, result, &name, encoder)
    }
}

fn reply_head(is_error: bool, rest: Option<UnfinishedXmlReplies>) -> ReplyHead {
    let rest = rest.map(|rest| Box::new(rest) as Box<dyn PieceWriter<Stream>>);
    ReplyHead { status: 200, content_type: XML, is_error, rest, deferred: None }
}

/// Finishes the reply to a call that is not in a multicall, or begins a long one.
fn finish_single(
    format: XmlRpcFormat,
    result: Result<Option<Rest>, Status>,
    name: &str,
    encoder: XmlRpcEncoder<'_>,
) -> ReplyHead {
    let (is_error, partial) = finish_or_suspend(result, name, encoder);
    let unfinished = |partial| UnfinishedXmlReplies {
        format,
        partial: Some(partial),
        multicall: None,
        has_fault: is_error,
    };
    reply_head(is_error, partial.map(unfinished))
}

fn write_fault(format: XmlRpcFormat, body: &[u8], status: &Status, output: &mut Stream) -> ReplyHead {
    log_fault(status, body);
    XmlRpcEncoder::new(output, format, ReplyFrame::Document).fail(status);
    reply_head(true, None)
}

/// Logs a fault. The reason and the request are escaped, as both may have bytes of the client.
fn log_fault(status: &Status, request: &[u8]) {
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii().to_string();
    log::debug!("{} {}: {}", status.code, shown(status.reason.as_bytes()), shown(request));
}

/// Finishes the reply to a call that has run; keeps the state of a reply that has more pieces. The first
/// value is true when the reply is a fault.
fn finish_or_suspend(
    result: Result<Option<Rest>, Status>,
    name: &str,
    mut encoder: XmlRpcEncoder<'_>,
) -> (bool, Option<PartialXmlReply>) {
    match result {
        Ok(Some(rest)) => {
            let is_fault = encoder.is_fault();
            return (
                is_fault,
                Some(PartialXmlReply { name: name.to_owned(), state: encoder.into_state(), rest }),
            );
        }
        Ok(None) => encoder.finish(),
        Err(status) => {
            log_fault(&status, name.as_bytes());
            encoder.fail(&status);
        }
    }
    (encoder.is_fault(), None)
}

/// The caller of a command, and whether its reply may be deferred.
struct CallOrigin<'a> {
    caller: Caller<'a>,
    delivery: Delivery<'a>,
}

/// Runs a command, or a method `system.*` if there is no such command. The parameters of a command that takes
/// none are not checked.
fn run(
    format: XmlRpcFormat,
    context: &Context,
    call: &MethodCall,
    params: &mut Params,
    reply: &mut XmlRpcEncoder<'_>,
    origin: CallOrigin<'_>,
) -> Result<CommandOutcome, Status> {
    let name = &call.method;
    let Some(entry) = context.commands.find(name.as_bytes(), Generation::Classic) else {
        let result = introspect::run(context, format, name, &call.params, reply);
        return result
            .unwrap_or_else(|| Err(format.unknown_command(name)))
            .map(|()| CommandOutcome::Replied(None));
    };
    params.clear();
    if let Classic::Takes { .. } = entry.command.classic {
        for value in &call.params {
            match value {
                CallValue::Scalar(text) => params.push(b"", text),
                CallValue::Array(_) => return Err(format.unsupported_type(6)),
                CallValue::Struct(_) => return Err(format.unsupported_type(7)),
                CallValue::Nil => return Err(format.unsupported_type(9)),
            }
        }
    }
    let recipe = entry.command.classic.recipe_for(params.len())?;
    mi::run(entry.command, recipe, context, params, reply, origin.caller, origin.delivery)
        .map_err(|status| format.reworded(name, status))
}

/// The calls in the only parameter of `system.multicall`. An invalid call becomes its fault. `None` when the
/// parameter is not an array.
fn multicall_calls(params: Vec<CallValue>) -> Option<VecDeque<Result<MethodCall, Status>>> {
    let mut params = params.into_iter();
    match (params.next(), params.next()) {
        (Some(CallValue::Array(calls)), None) => Some(calls.into_iter().map(multicall_call).collect()),
        _ => None,
    }
}

fn multicall_call(value: CallValue) -> Result<MethodCall, Status> {
    let CallValue::Struct(members) = value else { return Err(NO_CALLS) };
    let (mut method, mut params) = (None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("methodName", CallValue::Scalar(name)) => method = String::from_utf8(name).ok(),
            ("params", CallValue::Array(values)) => params = Some(values),
            _ => {}
        }
    }
    let (Some(method), Some(params)) = (method, params) else { return Err(NO_CALLS) };
    if method == MULTICALL { Err(NO_RECURSION) } else { Ok(MethodCall { method, params }) }
}

/// Begins the reply to a multicall: an array with an array of one value for each call, or a struct for its
/// fault. Runs no call yet.
fn begin_multicall(
    format: XmlRpcFormat,
    calls: VecDeque<Result<MethodCall, Status>>,
    caller: Caller<'_>,
    output: &mut Stream,
) -> ReplyHead {
    output.push(encode::PROLOGUE);
    output.push(b"<params>\r\n<param><value><array><data>\r\n");
    let multicall = Multicall { waiting: calls, caller: caller.to_owned_caller(), is_out_of_time: false };
    reply_head(
        false,
        Some(UnfinishedXmlReplies { format, partial: None, multicall: Some(multicall), has_fault: false }),
    )
}

/// A reply, or the replies of a multicall, that are not completely written.
struct UnfinishedXmlReplies {
    format: XmlRpcFormat,
    /// The reply that is being written.
    partial: Option<PartialXmlReply>,
    multicall: Option<Multicall>,
    /// One of the calls that have run has a fault.
    has_fault: bool,
}

/// A reply that is being written.
struct PartialXmlReply {
    /// The name of the command.
    name: String,
    state: XmlRpcReplyState,
    rest: Rest,
}

/// The calls of a `system.multicall` that have not run.
struct Multicall {
    waiting: VecDeque<Result<MethodCall, Status>>,
    caller: OwnedCaller,
    /// The time limit has passed; no further call runs.
    is_out_of_time: bool,
}

impl Multicall {
    /// The next call, or its fault. `spent` as for [`PieceWriter::write_piece`].
    fn next(&mut self, spent: Duration) -> Option<Result<MethodCall, Status>> {
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

impl PieceWriter<Stream> for UnfinishedXmlReplies {
    fn write_piece(&mut self, context: &Context, output: &mut Stream, spent: Duration) -> Progress {
        if let Some(PartialXmlReply { name, state, mut rest }) = self.partial.take() {
            let mut encoder = XmlRpcEncoder::resume(output, state);
            match rest.step(context, &mut encoder) {
                Ok(Progress::More) => {
                    self.partial = Some(PartialXmlReply { name, state: encoder.into_state(), rest });
                    return Progress::More;
                }
                Ok(Progress::Done) => encoder.finish(),
                Err(status) => encoder.fail(&self.format.reworded(&name, status)),
            }
            self.has_fault |= encoder.is_fault();
        }
        let Some(multicall) = &mut self.multicall else { return Progress::Done };
        let Some(call) = multicall.next(spent) else {
            output.push(b"</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n");
            return Progress::Done;
        };
        let is_error = match call {
            Ok(call) => {
                let mut encoder = XmlRpcEncoder::new(output, self.format, ReplyFrame::MulticallElement);
                let origin = CallOrigin { caller: multicall.caller.caller(), delivery: Delivery::InBatch };
                let outcome = run(self.format, context, &call, &mut Params::new(), &mut encoder, origin);
                let (is_error, partial) =
                    finish_or_suspend(outcome.map(CommandOutcome::rest), &call.method, encoder);
                self.partial = partial;
                is_error
            }
            Err(status) => {
                XmlRpcEncoder::new(output, self.format, ReplyFrame::MulticallElement).fail(&status);
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
        self.multicall.as_ref().is_some_and(|multicall| !multicall.waiting.is_empty())
            || self.partial.as_ref().is_some_and(|partial| partial.rest.is_change())
    }
}

#[cfg(test)]
mod tests;
