//! Answers GET requests with JSON, as mi_json of 2.4 does.
//!
//! ```text
//! GET /json/get_statistics?params=core:,shmem:      {"core:rcv_requests": "0", …}
//! GET /json/ps                                      {"Process": [{"attributes":{"ID": "0", …}}, …]}
//! GET /json/nope                                    {"error": {"code": 500, "message": "Command not found"}}
//! ```
//!
//! The reply is the tree of the classic commands; nodes/ defines its shape. The reply of a command without
//! nodes is empty, and the HTTP status is 200 even for an error, as in OpenSIPS.
//!
//! C: `mi_json_answer_to_connection` in mi_json.c and `mi_json_run_mi_cmd` in http_fnc.c of 2.4. Differs:
//! texts of errors are escaped, and every byte is encoded as valid JSON.

use std::fmt;
use std::time::Duration;

use super::http::{Dialect, HttpMethod, HttpRequest, ReplyHead};
use super::json_text::characters;
use super::nodes::{self, Key, Syntax};
use super::{Output, PieceWriter, Stream};
use crate::mi::{
    self, Caller, Classic, CommandOutcome, Context, Delivery, Generation, Params, Progress, Reply, Rest,
    Status, StoredReply, Value,
};

/// C: `MI_HTTP_U_NOT_FOUND`.
const NOT_FOUND: Status = Status::new(500, "Command not found");
/// For a request without a command, and for a command that fails without an error. C: `MI_HTTP_U_ERROR`.
const NO_REPLY: Status = Status::new(500, "Internal server error");
/// C: `MI_HTTP_U_METHOD`.
const UNEXPECTED_METHOD: Status = Status::new(406, "Unexpected method");

/// Codes from this one on are errors. C: `mi_json_answer_to_connection`.
const FIRST_ERROR: i32 = 400;

/// The content type of all replies.
const JSON: &str = "application/json";

/// The dialect of mi_json.
#[derive(Clone, Copy, Debug)]
pub struct TreeJson;

impl Dialect for TreeJson {
    fn allowed(&self) -> &'static str {
        "GET"
    }

    fn media_type(&self) -> &'static str {
        JSON
    }

    /// Runs the command that the path names. Its parameters are the comma-separated parts of the query
    /// argument `params`. They are split after percent-decoding, as in C, so no parameter can contain a
    /// comma.
    fn answer(&self, context: &Context, request: &HttpRequest<'_>, output: &mut Stream) -> ReplyHead {
        let mut encoder = TreeJsonEncoder::new(output);
        if request.method != HttpMethod::Get {
            encoder.fail(&UNEXPECTED_METHOD);
            return ReplyHead { status: 405, ..reply_head(true) };
        }
        match run(context, request, &mut encoder) {
            Ok(CommandOutcome::Deferred(number)) => ReplyHead { deferred: Some(number), ..reply_head(false) },
            result => {
                if let Err(status) = &result {
                    log::debug!("{} {}: {}", status.code, status.reason, request.path.escape_debug());
                }
                finish_or_suspend(result.map(CommandOutcome::rest), encoder)
            }
        }
    }

    fn answer_deferred(&self, _envelope: &[u8], reply: StoredReply, output: &mut Stream) -> ReplyHead {
        let mut encoder = TreeJsonEncoder::new(output);
        let result = reply.write(&mut encoder).map_err(reworded);
        finish_or_suspend(result, encoder)
    }
}

/// Finishes the reply of a command that has run, or keeps the state of a reply that has more pieces.
fn finish_or_suspend(result: Result<Option<Rest>, Status>, mut encoder: TreeJsonEncoder<'_>) -> ReplyHead {
    match result {
        Ok(Some(rest)) => {
            let is_error = encoder.state.is_error;
            let rest = Box::new(UnfinishedTreeReply { state: encoder.state, rest });
            return ReplyHead { rest: Some(rest), ..reply_head(is_error) };
        }
        Ok(None) => encoder.finish(),
        Err(status) => encoder.fail(&status),
    }
    reply_head(encoder.state.is_error)
}

/// Replaces the generic error of a failed command by that of mi_json.
fn reworded(status: Status) -> Status {
    if status.eq_ignore_data(&mi::COMMAND_FAILED) { NO_REPLY } else { status }
}

fn reply_head(is_error: bool) -> ReplyHead {
    ReplyHead { status: 200, content_type: JSON, is_error, rest: None, deferred: None }
}

fn run(
    context: &Context,
    request: &HttpRequest<'_>,
    reply: &mut dyn Reply,
) -> Result<CommandOutcome, Status> {
    let name = percent_decoded(request.path.strip_prefix('/').unwrap_or_default().as_bytes(), false);
    if name.is_empty() {
        return Err(NO_REPLY);
    }
    let command = context.commands.find(&name, Generation::Classic).ok_or(NOT_FOUND)?.command;
    let mut params = Params::new();
    if let Classic::Takes { .. } = command.classic {
        decode_params(request.query.unwrap_or_default().as_bytes(), &mut params);
    }
    let recipe = command.classic.recipe_for(params.len())?;
    let (caller, delivery) = (Caller::new("mi_json", &request.client), Delivery::Waiting { envelope: b"" });
    mi::run(command, recipe, context, &params, reply, caller, delivery).map_err(reworded)
}

/// Splits the first query argument `params`. A comma at the end begins no further parameter, as in C.
fn decode_params(query: &[u8], params: &mut Params) {
    let is_params = |argument: &&[u8]| {
        let name = argument.split(|&byte| byte == b'=').next().unwrap_or_default();
        percent_decoded(name, true) == b"params"
    };
    let Some(argument) = query.split(|&byte| byte == b'&').find(is_params) else { return };
    let Some(equals) = argument.iter().position(|&byte| byte == b'=') else { return };
    let value = percent_decoded(&argument[equals + 1..], true);
    let whole = value.strip_suffix(b",").unwrap_or(&value);
    if !value.is_empty() {
        whole.split(|&byte| byte == b',').for_each(|part| params.push(b"", part));
    }
}

/// Decodes a part of a URL. An invalid escape stays as it is. In an argument `+` is a blank. C:
/// `MHD_http_unescape` of libmicrohttpd, and for arguments its `MHD_unescape_plus`.
fn percent_decoded(text: &[u8], is_argument: bool) -> Vec<u8> {
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

/// A reply that is not completely written.
struct UnfinishedTreeReply {
    state: TreeJsonReplyState,
    rest: Rest,
}

impl PieceWriter<Stream> for UnfinishedTreeReply {
    fn write_piece(&mut self, context: &Context, output: &mut Stream, _spent: Duration) -> Progress {
        let mut encoder = TreeJsonEncoder { output, state: std::mem::take(&mut self.state) };
        let step = self.rest.step(context, &mut encoder);
        match &step {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => encoder.finish(),
            Err(status) => encoder.fail(&reworded(status.clone())),
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

/// The state of a reply between two pieces.
#[derive(Debug, Default)]
struct TreeJsonReplyState {
    nodes: nodes::State,
    /// An error is written instead of the tree; nodes are ignored.
    is_error: bool,
}

/// Writes one reply into a stream.
struct TreeJsonEncoder<'a> {
    output: &'a mut Stream,
    state: TreeJsonReplyState,
}

impl fmt::Debug for TreeJsonEncoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl<'a> TreeJsonEncoder<'a> {
    fn new(output: &'a mut Stream) -> TreeJsonEncoder<'a> {
        output.begin();
        TreeJsonEncoder { output, state: TreeJsonReplyState::default() }
    }

    fn finish(&mut self) {
        if !self.state.is_error {
            self.state.nodes.finish::<TreeJsonSyntax>(self.output);
        }
    }

    /// Replaces the tree by an error. Does nothing when part of the tree has been sent.
    fn fail(&mut self, status: &Status) {
        if self.output.take_back() {
            self.state.is_error = true;
            self.output.push(b"{\"error\": {\"code\": ");
            self.output.push(itoa::Buffer::new().format(status.code).as_bytes());
            self.output.push(b", \"message\": ");
            TreeJsonSyntax::text(self.output, status.reason.as_bytes());
            self.output.push(b"}}");
        }
    }
}

impl Reply for TreeJsonEncoder<'_> {
    fn generation(&self) -> Generation {
        Generation::Classic
    }

    fn status(&mut self, status: &Status) {
        if status.code >= FIRST_ERROR {
            self.fail(status);
        }
    }

    fn open(&mut self, name: &[u8], value: Value<'_>) {
        if !self.state.is_error {
            self.state.nodes.open::<TreeJsonSyntax>(self.output, name, value);
        }
    }

    fn attribute(&mut self, name: &[u8], value: Value<'_>) {
        if !self.state.is_error {
            self.state.nodes.attribute::<TreeJsonSyntax>(self.output, name, value);
        }
    }

    fn close(&mut self) {
        if !self.state.is_error {
            self.state.nodes.close::<TreeJsonSyntax>(self.output);
        }
    }

    fn list(&mut self) {
        self.state.nodes.list();
    }
}

/// The syntax of mi_json, with the blanks and escapes of C.
struct TreeJsonSyntax;

impl Syntax for TreeJsonSyntax {
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
        TreeJsonSyntax::item(output, is_first);
        match key {
            Key::Fixed(key) => {
                TreeJsonSyntax::text(output, key.as_bytes());
                output.push(b":");
            }
            Key::Name(name) => {
                TreeJsonSyntax::text(output, name);
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
