//! mi_json: commands by GET, replies as JSON.
//!
//! ```text
//! GET /json/get_statistics?params=core:,shmem:      {"core:rcv_requests": "0", …}
//! GET /json/ps                                      {"Process": [{"attributes":{"ID": "0", …}}, …]}
//! GET /json/nope                                    {"error": {"code": 500, "message": "Command not found"}}
//! ```
//!
//! The tree is the classic one, nodes/ has its shape. A command that answers without nodes has an empty reply, and
//! the status of HTTP is 200 even for an error, as in OpenSIPS.
//!
//! C: `mi_json_answer_to_connection` in mi_json.c and `mi_json_run_mi_cmd` in http_fnc.c of 2.4. Differs: texts of
//! errors are escaped, and every byte has a form that is JSON.

use std::fmt;
use std::time::Duration;

use super::http::{Dialect, HttpMethod, HttpRequest, ReplyHead};
use super::json_text::characters;
use super::nodes::{self, Key, Syntax};
use super::{Output, Pieces, Stream};
use crate::mi::{
    self, Caller, Classic, Context, Delivery, Fault, Generation, Outcome, Params, Progress, Reply, Rest,
    Told, Value,
};

/// C: `MI_HTTP_U_NOT_FOUND`.
const NOT_FOUND: Fault = Fault::new(500, "Command not found");
/// C: `MI_HTTP_U_ERROR`, for a request without a command and for one that gives no reply.
const NO_REPLY: Fault = Fault::new(500, "Internal server error");
/// C: `MI_HTTP_U_METHOD`.
const UNEXPECTED_METHOD: Fault = Fault::new(406, "Unexpected method");

/// Codes from here on are errors. C: `mi_json_answer_to_connection`.
const FIRST_ERROR: i32 = 400;

/// The type of all replies.
const JSON: &str = "application/json";

/// The JSON of 2.4, over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct TreeJson;

impl Dialect for TreeJson {
    fn allowed(&self) -> &'static str {
        "GET"
    }

    fn media_type(&self) -> &'static str {
        JSON
    }

    /// Runs the command that the path names. The parameters are those parts of the argument `params` that commas
    /// divide; since C divides after it has taken the escapes of URLs out, a comma cannot be part of one.
    fn answer(&self, context: &Context, request: &HttpRequest<'_>, output: &mut Stream) -> ReplyHead {
        let mut encoder = Encoder::new(output);
        if request.method != HttpMethod::Get {
            encoder.fail(&UNEXPECTED_METHOD);
            return ReplyHead { status: 405, ..encoded(true) };
        }
        match run(context, request, &mut encoder) {
            Ok(Outcome::Later(number)) => ReplyHead { deferred: Some(number), ..encoded(false) },
            result => {
                if let Err(fault) = &result {
                    log::debug!("{} {}: {}", fault.code, fault.reason, request.path.escape_debug());
                }
                conclude(result.map(Outcome::rest), encoder)
            }
        }
    }

    fn answer_deferred(&self, _envelope: &[u8], reply: Told, output: &mut Stream) -> ReplyHead {
        let mut encoder = Encoder::new(output);
        let result = reply.tell(&mut encoder).map_err(reworded);
        conclude(result, encoder)
    }
}

/// Ends the reply of a command that has run, but for the rest of a long one.
fn conclude(result: Result<Option<Rest>, Fault>, mut encoder: Encoder<'_>) -> ReplyHead {
    match result {
        Ok(Some(rest)) => {
            let is_error = encoder.state.is_error;
            let more = Box::new(Unfinished { state: encoder.state, rest });
            return ReplyHead { rest: Some(more), ..encoded(is_error) };
        }
        Ok(None) => encoder.finish(),
        Err(fault) => encoder.fail(&fault),
    }
    encoded(encoder.state.is_error)
}

/// What a command's fault is called here.
fn reworded(fault: Fault) -> Fault {
    if fault.is(&mi::COMMAND_FAILED) { NO_REPLY } else { fault }
}

fn encoded(is_error: bool) -> ReplyHead {
    ReplyHead { status: 200, content_type: JSON, is_error, rest: None, deferred: None }
}

fn run(context: &Context, request: &HttpRequest<'_>, reply: &mut dyn Reply) -> Result<Outcome, Fault> {
    let name = unescaped(request.path.strip_prefix('/').unwrap_or_default().as_bytes(), false);
    if name.is_empty() {
        return Err(NO_REPLY);
    }
    let command = context.commands.find(&name, Generation::Classic).ok_or(NOT_FOUND)?.command;
    let mut params = Params::new();
    if let Classic::Takes { .. } = command.classic {
        decode_params(request.query.unwrap_or_default().as_bytes(), &mut params);
    }
    let recipe = mi::classic_recipe(command, &params)?;
    let (caller, delivery) = (Caller::new("mi_json", &request.client), Delivery::AtAnyTime { form: b"" });
    mi::run(command, recipe, context, &params, reply, caller, delivery).map_err(reworded)
}

/// The parts of the first argument `params`. What follows the last comma is none when it is empty, as in C.
fn decode_params(query: &[u8], params: &mut Params) {
    let is_params = |argument: &&[u8]| {
        let name = argument.split(|&byte| byte == b'=').next().unwrap_or_default();
        unescaped(name, true) == b"params"
    };
    let Some(argument) = query.split(|&byte| byte == b'&').find(is_params) else { return };
    let Some(equals) = argument.iter().position(|&byte| byte == b'=') else { return };
    let value = unescaped(&argument[equals + 1..], true);
    let whole = value.strip_suffix(b",").unwrap_or(&value);
    if !value.is_empty() {
        whole.split(|&byte| byte == b',').for_each(|part| params.push(b"", part));
    }
}

/// What a part of a URL stands for. An escape that is none stays as it is. C: `MHD_http_unescape` of libmicrohttpd,
/// and for arguments its `MHD_unescape_plus`.
fn unescaped(text: &[u8], is_argument: bool) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        bytes.push(match byte {
            b'+' if is_argument => b' ',
            b'%' => match (digit(at), digit(at + 1)) {
                (Some(high), Some(low)) => {
                    at += 2;
                    u8::try_from(high * 16 + low).unwrap_or(byte)
                }
                _ => byte,
            },
            byte => byte,
        });
    }
    bytes
}

/// A reply that is not whole yet.
struct Unfinished {
    state: State,
    rest: Rest,
}

impl Pieces<Stream> for Unfinished {
    fn go_on(&mut self, context: &Context, output: &mut Stream, _spent: Duration) -> Progress {
        let mut encoder = Encoder { output, state: std::mem::take(&mut self.state) };
        let step = self.rest.go_on(context, &mut encoder);
        match &step {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => encoder.finish(),
            Err(fault) => encoder.fail(&reworded(fault.clone())),
        }
        self.state = encoder.state;
        step.unwrap_or(Progress::Done)
    }

    fn is_error(&self) -> bool {
        self.state.is_error
    }

    fn has_work(&self) -> bool {
        self.rest.is_change()
    }
}

#[derive(Debug, Default)]
struct State {
    nodes: nodes::State,
    /// An error stands there, and nothing else fits.
    is_error: bool,
}

/// One reply on its way into a stream.
struct Encoder<'a> {
    output: &'a mut Stream,
    state: State,
}

impl fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl<'a> Encoder<'a> {
    fn new(output: &'a mut Stream) -> Encoder<'a> {
        output.begin();
        Encoder { output, state: State::default() }
    }

    fn finish(&mut self) {
        if !self.state.is_error {
            self.state.nodes.finish::<Json>(self.output);
        }
    }

    /// Replaces what was written by an error.
    fn fail(&mut self, fault: &Fault) {
        if self.output.take_back() {
            self.state.is_error = true;
            self.output.push(b"{\"error\": {\"code\": ");
            self.output.push(itoa::Buffer::new().format(fault.code).as_bytes());
            self.output.push(b", \"message\": ");
            Json::text(self.output, fault.reason.as_bytes());
            self.output.push(b"}}");
        }
    }
}

impl Reply for Encoder<'_> {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Fault) {
        if status.code >= FIRST_ERROR {
            self.fail(status);
        }
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        if !self.state.is_error {
            self.state.nodes.open::<Json>(self.output, name, value);
        }
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        if !self.state.is_error {
            self.state.nodes.attribute::<Json>(self.output, name, value);
        }
    }

    fn close(&mut self) {
        if !self.state.is_error {
            self.state.nodes.close::<Json>(self.output);
        }
    }

    fn list(&mut self) {
        self.state.nodes.list();
    }
}

/// Spaces and escapes as C writes them.
struct Json;

impl Syntax for Json {
    const INSIDE: &'static str = "children";
    const PLAIN_ITEMS: bool = false;
    const UNNAMED: Option<&'static str> = None;

    fn open_object(output: &mut Stream) {
        output.push(b"{");
    }

    fn close_object(output: &mut Stream) {
        output.push(b"}");
    }

    fn open_member(output: &mut Stream, key: Key<'_>, is_first: bool) {
        Json::item(output, is_first);
        match key {
            Key::Fixed(key) => {
                Json::text(output, key.as_bytes());
                output.push(b":");
            }
            Key::Name(name) => {
                Json::text(output, name);
                output.push(b": ");
            }
        }
    }

    fn close_member(_output: &mut Stream) {}

    fn open_list(output: &mut Stream) {
        output.push(b"[");
    }

    fn close_list(output: &mut Stream) {
        output.push(b"]");
    }

    fn item(output: &mut Stream, is_first: bool) {
        if !is_first {
            output.push(b", ");
        }
    }

    fn text(output: &mut Stream, bytes: &[u8]) {
        output.push(b"\"");
        for (at, part) in bytes.split(|&byte| byte == b'/').enumerate() {
            if at > 0 {
                output.push(b"\\/");
            }
            characters(output, part);
        }
        output.push(b"\"");
    }

    fn empty_node(output: &mut Stream) {
        output.push(b"{}");
    }

    fn empty_attribute(output: &mut Stream) {
        output.push(b"null");
    }

    fn empty_reply(_output: &mut Stream) {}
}

#[cfg(test)]
mod tests;
