//! mi_http: serves JSON-RPC 2.0 by POST, as OpenSIPS 3.x does, on the listener of httpd.
//!
//! C: modules/mi_http of 3.4. Differs: each reply has a complete body; an empty request body is a parse
//! error; a batch is answered.

use std::cell::RefCell;

use crate::config::{DefaultValue, Param, ParameterKind, ParameterRow};
use crate::httpd::settings;
use crate::mi::{Caller, Context, StoredReply};
use crate::module::{self, Module, ModuleParts};
use crate::wire::http::{Dialect, HttpMethod, HttpRequest, ReplyHead, Route};
use crate::wire::json_rpc::{self, JsonRpcAnswerer};
use crate::wire::{Output, PieceWriter, Stream};

const ROOT: Param<&[u8]> = Param::text("root", "mi", "path under which it is served, without the slash");

/// Why the parameters of 1.x and 2.x have no effect: there this module served a web page with forms.
const NO_PAGE: &str =
    "the web page of OpenSIPS 1.x and 2.x is not there; JSON-RPC is served at the path of \"root\"";

/// The module's table of parameters.
const PARAMETERS: &[ParameterRow] = &[
    ROOT.row,
    ParameterRow::without_effect(
        "pretty_printing",
        ParameterKind::Boolean,
        DefaultValue::Absent,
        "a reply is one line",
        "whether replies are indented",
    ),
    ParameterRow::without_effect(
        "mi_http_root",
        ParameterKind::Text,
        DefaultValue::Absent,
        NO_PAGE,
        "path of the web page of OpenSIPS 1.x and 2.x",
    ),
    ParameterRow::without_effect(
        "mi_http_method",
        ParameterKind::Boolean,
        DefaultValue::Absent,
        NO_PAGE,
        "whether the forms of that page are sent by GET (0) or POST (1)",
    ),
    module::TRACE_DESTINATION,
    module::TRACE_BWLIST,
];

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "mi_http",
    parameters: PARAMETERS,
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| {
        let root = settings::root(settings, ROOT)?;
        Ok(ModuleParts {
            routes: vec![Route::new(&root, ROOT.name(), JsonRpc::default())],
            ..ModuleParts::default()
        })
    }),
};

/// The content type of all replies.
const JSON: &str = "application/json";

/// The dialect of the module. It ignores the path below the root, as C does.
#[derive(Debug, Default)]
struct JsonRpc {
    answerer: RefCell<JsonRpcAnswerer>,
}

impl Dialect for JsonRpc {
    fn allowed(&self) -> &'static str {
        "POST"
    }

    fn media_type(&self) -> &'static str {
        JSON
    }

    /// Notifications have no reply.
    fn empty_status(&self) -> u16 {
        202
    }

    fn answer(&self, context: &Context, request: &HttpRequest<'_>, output: &mut Stream) -> ReplyHead {
        if request.method != HttpMethod::Post {
            output.push(br#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid HttpRequest","#);
            output.push(br#""data":"send the request by POST"},"id":null}"#);
            return ReplyHead { status: 405, content_type: JSON, is_error: true, rest: None, deferred: None };
        }
        let caller = Caller::new("mi_http", &request.client);
        reply_head(self.answerer.borrow_mut().answer(context, request.body, caller, output))
    }

    fn answer_deferred(&self, envelope: &[u8], reply: StoredReply, output: &mut Stream) -> ReplyHead {
        reply_head(json_rpc::write_deferred(envelope, reply, output))
    }
}

fn reply_head(outcome: json_rpc::JsonRpcOutcome) -> ReplyHead {
    let rest = outcome.unfinished.map(|unfinished| Box::new(unfinished) as Box<dyn PieceWriter<Stream>>);
    ReplyHead {
        status: 200,
        content_type: JSON,
        is_error: outcome.is_error,
        rest,
        deferred: outcome.deferred,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::mi::testing::context;

    fn answer(method: HttpMethod, body: &str) -> (u16, bool, String) {
        let request = HttpRequest {
            client: Ipv4Addr::LOCALHOST.into(),
            method,
            path: "",
            query: None,
            body: body.as_bytes(),
        };
        let mut context = context();
        context.commands.add("core", crate::modules::ALWAYS[1].commands).unwrap();
        let mut output = Stream::default();
        let answer = JsonRpc::default().answer(&context, &request, &mut output);
        assert_eq!(answer.content_type, "application/json");
        (answer.status, answer.is_error, String::from_utf8(output.take()).unwrap())
    }

    #[test]
    fn a_json_rpc_error_has_status_200() {
        let (status, is_error, text) =
            answer(HttpMethod::Post, r#"{"jsonrpc":"2.0","id":"7","method":"nope"}"#);
        assert_eq!((status, is_error), (200, true));
        assert!(text.ends_with(r#""id":"7"}"#), "{text}");
        let (status, _, text) = answer(HttpMethod::Post, "");
        assert!(status == 200 && text.contains("-32700"), "{status} {text}");
    }

    #[test]
    fn a_notification_has_an_empty_reply_with_status_202() {
        assert_eq!(
            answer(HttpMethod::Post, r#"{"jsonrpc":"2.0","method":"pwd"}"#),
            (200, false, String::new())
        );
        assert_eq!(
            answer(HttpMethod::Post, r#"{"jsonrpc":"2.0","method":"nope"}"#),
            (200, true, String::new())
        );
        assert_eq!(JsonRpc::default().empty_status(), 202);
    }

    #[test]
    fn a_get_gets_status_405() {
        let (status, is_error, text) = answer(HttpMethod::Get, "");
        assert!(status == 405 && is_error && text.contains("POST"), "{text}");
    }
}
