//! Tests calls against a table of test commands.

use std::net::Ipv4Addr;

use super::*;
use crate::mi::testing::context;
use crate::mi::{Command, Reply, Value, optional, required};

static ROWS: [Command; 6] = [
    row("done", Classic::NoInput, &|_: &mut mi::Call<'_>| Ok(())),
    row("fails", Classic::NoInput, &|_: &mut mi::Call<'_>| Err(mi::COMMAND_FAILED)),
    row("status", Classic::NoInput, &|call: &mut mi::Call<'_>| {
        call.reply.status(&Status::new(302, "Elsewhere"));
        tree(call.reply);
        Ok(())
    }),
    row("echo", Classic::takes(&[required("a"), optional("b")]), &|call: &mut mi::Call<'_>| {
        call.reply.node("v", call.args.get("a").unwrap_or_default());
        Ok(())
    }),
    row("tree", Classic::NoInput, &|call: &mut mi::Call<'_>| {
        tree(call.reply);
        Ok(())
    }),
    row("long", Classic::takes(&[optional("a").list()]), &|call: &mut mi::Call<'_>| {
        call.reply.open_json("Numbers", Value::List);
        let mut next = 0;
        call.rest = Some(Rest::of_reply(move |_, reply| {
            reply.node("Number", Value::Unsigned(next));
            next += 1;
            Ok(if next < 3 { Progress::More } else { Progress::Done })
        }));
        Ok(())
    }),
];

const fn row(name: &'static str, classic: Classic, run: &'static dyn mi::CommandFunction) -> Command {
    Command { name, help: Some("does <it>"), classic, json_rpc: &[], changes: crate::mi::Changes::Data, run }
}

fn tree(reply: &mut dyn Reply) {
    reply.open(b"a&b", "<v>".into());
    reply.attribute(b"n", Value::Signed(-1));
    reply.attribute(b"t", Value::Text(format_args!("\r{}", 1)));
    reply.list();
    reply.node("item", Value::Bytes(b"\x01\xff\n"));
    reply.node("item", "");
    reply.close();
    reply.node("", "unnamed");
    reply.open(b"bare", Value::Nothing);
    reply.attribute(b"ID", Value::Unsigned(0));
    reply.close();
}

fn call(name: &str, params: &str) -> String {
    format!(
        "<?xml version='1.0'?><methodCall><methodName>{name}</methodName><params>{params}</params></methodCall>"
    )
}

fn param(value: &str) -> String {
    format!("<param><value>{value}</value></param>")
}

fn post(body: &str) -> HttpRequest<'_> {
    HttpRequest {
        client: Ipv4Addr::LOCALHOST.into(),
        method: HttpMethod::Post,
        path: "",
        query: None,
        body: body.as_bytes(),
    }
}

/// Answers a call. Returns the reply, whether it is a fault, and its number of pieces.
fn answer(format: XmlRpcFormat, body: &str) -> (String, bool, usize) {
    let mut context = context();
    context.commands.add("test", &ROWS).unwrap();
    let mut stream = Stream::default();
    stream.push(b"before");
    let mut head = format.answer(&context, &post(body), &mut stream);
    let mut pieces = 1;
    while let Some(more) = &mut head.rest {
        pieces += 1;
        let progress = more.write_piece(&context, &mut stream, Duration::ZERO);
        head.is_error |= more.is_error();
        if progress == Progress::Done {
            break;
        }
    }
    assert_eq!((head.status, head.content_type), (200, "text/xml; charset=utf-8"));
    let reply = String::from_utf8(stream.waiting().to_vec()).unwrap();
    (reply.strip_prefix("before").unwrap().to_owned(), head.is_error, pieces)
}

/// Answers a call. Returns the value of the reply, without its document.
fn value(format: XmlRpcFormat, body: &str) -> String {
    let (reply, is_error, _) = answer(format, body);
    let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n<param>";
    let end = "</param>\r\n</params>\r\n</methodResponse>\r\n";
    assert!(!is_error, "{reply}");
    reply.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).expect(&reply).to_owned()
}

fn fault(code: i32, reason: &str) -> String {
    format!(
        "<value><struct>\r\n<member><name>faultCode</name>\r\n<value><i4>{code}</i4></value></member>\r\n\
         <member><name>faultString</name>\r\n<value><string>{reason}</string></value></member>\r\n</struct></value>"
    )
}

fn whole_fault(code: i32, reason: &str) -> (String, bool, usize) {
    let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<fault>\r\n";
    (format!("{start}{}\r\n</fault>\r\n</methodResponse>\r\n", fault(code, reason)), true, 1)
}

#[test]
fn each_format_encodes_nodes_in_its_own_way() {
    let body = call("tree", "");
    assert_eq!(
        value(XmlRpcFormat::String, &body),
        "<value><string>a&amp;b:: &lt;v&gt; n=-1 t=&#13;1\nitem:: \x7fÿ\n\nitem:: \nunnamed\nbare::  ID=0\n</string></value>"
    );
    assert_eq!(
        value(XmlRpcFormat::IndentedString, &body),
        "<value><string>a&amp;b:: &lt;v&gt; n=-1 t=&#13;1\n   item:: \x7fÿ\n\n   item\nunnamed\nbare::  ID=0\n</string></value>"
    );
    let item = |text: &str| format!("<value><string>{text}\n</string></value>\r\n");
    let items = ["a&amp;b:: &lt;v&gt; n=-1 t=&#13;1", "item:: \x7fÿ\n", "item:: ", "unnamed", "bare::  ID=0"];
    let items: String = items.into_iter().map(item).collect();
    assert_eq!(
        value(XmlRpcFormat::Array, &body),
        format!("<value><array><data>\r\n{items}</data></array></value>")
    );
    let member = |name: &str, value: &str| format!("<member><name>{name}</name>{value}</member>");
    let of = |members: &str| format!("<value><struct>{members}</struct></value>");
    let text = |text: &str| format!("<value>{text}</value>");
    let list = "<value><array><data><value>\x7fÿ\n</value><value></value></data></array></value>";
    let attributes = of(&(member("n", &text("-1")) + &member("t", &text("&#13;1"))));
    let first = member("value", &text("&lt;v&gt;"))
        + &member("attributes", &attributes)
        + &member("kids", &of(&member("item", list)));
    let last = member("attributes", &of(&member("ID", &text("0"))));
    let wanted = of(&(member("a&amp;b", &of(&first))
        + &member("name", &text("unnamed"))
        + &member("bare", &of(&last))));
    assert_eq!(value(XmlRpcFormat::Tree, &body), wanted);
}

#[test]
fn a_command_without_nodes_has_an_empty_value() {
    for (format, wanted) in [
        (XmlRpcFormat::String, "<value><string></string></value>"),
        (XmlRpcFormat::Array, "<value><array><data>\r\n</data></array></value>"),
        (XmlRpcFormat::IndentedString, "<value><string></string></value>"),
        (XmlRpcFormat::Tree, "<value><struct></struct></value>"),
    ] {
        assert_eq!(value(format, &call("done", &param("<struct/>"))), wanted);
    }
}

#[test]
fn faults_have_the_codes_of_their_module() {
    for (body, old, new) in [
        (
            call("nope", ""),
            (-506, "Requested command (nope) is not available!"),
            (405, "Command not available"),
        ),
        (call("fails", ""), (-500, "Command (fails) processing failed.\n"), (501, "Failed to run command")),
        (call("echo", ""), (400, "Too few or too many arguments"), (400, "Too few or too many arguments")),
        (
            call("echo", &param("<array><data/></array>")),
            (-501, "Unsupported value of type 6 supplied"),
            (407, "Missing node 'string'"),
        ),
        (
            call("echo", &param("<struct/>")),
            (-501, "Unsupported value of type 7 supplied"),
            (407, "Missing node 'string'"),
        ),
        (
            call("echo", &param("<nil/>")),
            (-501, "Unsupported value of type 9 supplied"),
            (407, "Missing node 'string'"),
        ),
        (
            String::new(),
            (-503, "Call is not a proper XML-RPC call: the end where methodCall belongs"),
            (401, "Empty request"),
        ),
        (
            "<a".into(),
            (
                -503,
                "Call is not a proper XML-RPC call: it is not valid XML: syntax error: tag not closed: `&gt;` not found before end of input",
            ),
            (
                404,
                "Invalid request: it is not valid XML: syntax error: tag not closed: `&gt;` not found before end of input",
            ),
        ),
    ] {
        for format in [XmlRpcFormat::String, XmlRpcFormat::Array] {
            assert_eq!(answer(format, &body), whole_fault(old.0, old.1), "{body}");
        }
        for format in [XmlRpcFormat::IndentedString, XmlRpcFormat::Tree] {
            assert_eq!(answer(format, &body), whole_fault(new.0, new.1), "{body}");
        }
    }
    assert_eq!(answer(XmlRpcFormat::String, &call("status", "")), whole_fault(302, "Elsewhere"));
    assert!(!answer(XmlRpcFormat::Tree, &call("status", "")).1, "2.4 answers a code below 400 with a fault");
    let many = answer(XmlRpcFormat::String, &multicall(&"<value/>".repeat(MAX_BATCH + 1)));
    assert_eq!(many, whole_fault(-509, "1025 calls in system.multicall, at most 1024"));
    assert!(!answer(XmlRpcFormat::String, &multicall(&"<value/>".repeat(MAX_BATCH))).0.contains("-509"));
    let mut stream = Stream::default();
    let get = HttpRequest { client: Ipv4Addr::LOCALHOST.into(), method: HttpMethod::Get, ..post("") };
    assert_eq!(XmlRpcFormat::Tree.answer(&context(), &get, &mut stream).status, 405);
    assert_eq!(stream.waiting(), whole_fault(405, "Unexpected method (only POST is accepted)").0.as_bytes());
}

#[test]
fn a_long_reply_is_written_in_pieces() {
    let (reply, is_error, pieces) = answer(XmlRpcFormat::String, &call("long", ""));
    assert!(reply.contains("<string>Number:: 0\nNumber:: 1\nNumber:: 2\n</string>") && !is_error, "{reply}");
    assert_eq!(pieces, 4);
}

/// A call in a multicall.
fn multicall_element(name: &str, params: &str) -> String {
    format!(
        "<value><struct><member><name>methodName</name><value>{name}</value></member>\
         <member><name>params</name><value><array><data>{params}</data></array></value></member></struct></value>"
    )
}

fn multicall(calls: &str) -> String {
    call(MULTICALL, &param(&format!("<array><data>{calls}</data></array>")))
}

#[test]
fn the_calls_of_a_multicall_are_answered_in_order() {
    let calls = multicall_element("echo", "<value>x</value>")
        + &multicall_element("nope", "")
        + &multicall_element("long", "")
        + &multicall_element(MULTICALL, "")
        + "<value>no struct</value>"
        + &multicall_element("system.methodExist", "<value>done</value>");
    let (reply, is_error, pieces) = answer(XmlRpcFormat::String, &multicall(&calls));
    let one = |value: &str| format!("<value><array><data>\r\n{value}</data></array></value>\r\n");
    let wanted = [
        one("<value><string>v:: x\n</string></value>"),
        fault(-506, "Requested command (nope) is not available!") + "\r\n",
        one("<value><string>Number:: 0\nNumber:: 1\nNumber:: 2\n</string></value>"),
        fault(-507, "Recursive system.multicall forbidden") + "\r\n",
        fault(-501, "Expected one parameter: an array of structs of methodName and params") + "\r\n",
        one("<value><boolean>1</boolean></value>"),
    ];
    let wanted = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n<param>\
         <value><array><data>\r\n{}</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n",
        wanted.concat()
    );
    assert_eq!(reply, wanted);
    assert!(is_error && pieces > 4, "{pieces}");
    assert!(value(XmlRpcFormat::Tree, &multicall("")).starts_with("<value><array>"));
    for params in [String::new(), param("x"), param("<array><data/></array>").repeat(2)] {
        let reason = "Expected one parameter: an array of structs of methodName and params";
        assert_eq!(answer(XmlRpcFormat::String, &call(MULTICALL, &params)), whole_fault(-501, reason));
    }
}

#[test]
fn the_calls_of_a_multicall_run_in_pieces() {
    let calls = multicall_element("tree", "").repeat(1000);
    let (reply, is_error, pieces) = answer(XmlRpcFormat::Array, &multicall(&calls));
    assert_eq!(reply.matches("unnamed").count(), 1000);
    assert!(!is_error && pieces > 900, "{pieces}");
    assert!(
        answer(XmlRpcFormat::Array, &multicall(&(calls + &multicall_element("nope", "")))).1,
        "a fault at the end"
    );
}

#[test]
fn calls_past_the_time_limit_get_a_fault_each() {
    let mut context = context();
    context.commands.add("test", &ROWS).unwrap();
    let body = multicall(
        &(multicall_element("tree", "").repeat(2)
            + &multicall_element("nope", "")
            + &multicall_element(MULTICALL, "")),
    );
    let mut stream = Stream::default();
    let mut more = XmlRpcFormat::String.answer(&context, &post(&body), &mut stream).rest.unwrap();
    let mut spent = Duration::ZERO;
    while more.write_piece(&context, &mut stream, spent) == Progress::More {
        spent = MAX_BATCH_TIME;
    }
    let reply = String::from_utf8(stream.waiting().to_vec()).unwrap();
    let late = fault(503, &NO_TIME_LEFT.reason);
    assert_eq!((reply.matches("unnamed").count(), reply.matches(&late).count()), (1, 2), "{reply}");
    assert!(
        reply.contains("Recursive") && reply.ends_with("</methodResponse>\r\n") && more.is_error(),
        "{reply}"
    );
}

#[test]
fn system_methods_describe_all_methods() {
    let ask = |name: &str, of: &str| value(XmlRpcFormat::String, &call(name, &param(of)));
    let names = value(XmlRpcFormat::String, &call("system.listMethods", ""));
    for name in ["system.multicall", "system.listMethods", "done", "long"] {
        assert!(names.contains(&format!("<value><string>{name}</string></value>\r\n")), "{names}");
    }
    assert_eq!(ask("system.methodExist", "nope"), "<value><boolean>0</boolean></value>");
    assert_eq!(ask("system.methodExist", "system.methodHelp"), "<value><boolean>1</boolean></value>");
    assert_eq!(ask("system.methodHelp", "done"), "<value><string>does &lt;it&gt;</string></value>");
    let signatures = |name: &str| {
        let text = ask("system.methodSignature", name).replace("\r\n", "");
        let text = text.replace("<value><string>", " ").replace("</string></value>", "");
        text.replace("<value><array><data>", "[").replace("</data></array></value>", "]")
    };
    assert_eq!(signatures("done"), "[[ string]]");
    assert_eq!(signatures("echo"), "[[ string string][ string string string]]");
    assert_eq!(signatures("system.listMethods"), "[ array]".replace("[ ", "[[ ").replace("]", "]]"));
    assert_eq!(signatures("long"), " undef");
    assert!(
        value(XmlRpcFormat::Tree, &call("system.getCapabilities", "")).contains("<name>specVersion</name>")
    );
    let unknown = whole_fault(-506, "Requested command (nope) is not available!");
    for name in ["system.methodHelp", "system.methodSignature"] {
        assert_eq!(answer(XmlRpcFormat::String, &call(name, &param("nope"))), unknown);
        let fault = whole_fault(-501, "Expected the name of a method as the only parameter");
        assert_eq!(answer(XmlRpcFormat::String, &call(name, "")), fault);
    }
    assert!(answer(XmlRpcFormat::String, &call("system.shutdown", "")).1);
}
