//! One request in, one reply out, or its beginning.
//!
//! Every status has a body that is complete. A request is read to its end before it is answered, also where it is
//! refused, so that the client is there to read the answer; one that asks first whether to go on is refused at once.
//!
//! Requests that a web page can have a browser send without asking are refused: those that name an origin or say that
//! they come from another site, those on loopback for a server of another name, and bodies of the types that a form
//! has. Differs: OpenSIPS runs some of them.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;

use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, ORIGIN,
    TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};

use tokio::task::spawn_local;

use super::MAX_REQUEST_BYTES;
use super::body::{self, Excess};
use super::connection::{Activity, Phase};
use super::host;
use super::log_file::Entry;
use super::memory::{FREE_HEAD_BYTES, Kind, Share};
use super::reply::Reply;
use super::work::{Begun, Work};
use super::worker::{SHORT_BYTES, Worker};
use crate::mi::Told;
use crate::wire::http::{self, ReplyHead, Route};
use crate::wire::{Output, Stream};

/// How much of a body that is refused is read, in bytes, for its client to read why.
const MAX_PASSED_OVER_BYTES: u64 = 64 << 20;

/// Room that a reply begins with, in bytes: most need no more.
const ROOM_BYTES: usize = 2 << 10;

/// Why a request does not come to a dialect.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    reason: String,
    /// What the header `Allow` says.
    allowed: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Refusal {
        Refusal { status, reason: reason.into(), allowed: None }
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) client: IpAddr,
    /// Whether the client came to an address that only this machine has.
    pub(super) is_loopback: bool,
}

/// Answers a request.
pub(super) async fn answer(
    worker: Rc<Worker>,
    activity: Rc<Activity>,
    ends: Ends,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    activity.enter(Phase::Body);
    let (head, incoming) = request.into_parts();
    // A long head stays in the connection's buffer. What has come behind a short one does not.
    let is_head_long = least_bytes(&head) > FREE_HEAD_BYTES;
    if !is_head_long {
        worker.count_head(&activity, 0);
    }
    let mut response = respond(&worker, &activity, ends, &head, incoming).await;
    let is_old = head.version < Version::HTTP_11;
    let has_length = response.body().size_hint().exact().is_some();
    if is_head_long || is_old && !(has_length && is_kept_alive(&head.headers)) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if is_old {
        activity.is_reply_old().set(true);
        // So that hyper marks the end of a reply without a length by that of the connection.
        *response.version_mut() = if has_length { Version::HTTP_11 } else { Version::HTTP_10 };
    }
    if head.method == Method::HEAD {
        response.body().leave_out();
    }
    worker.log(&Entry {
        client: ends.client,
        method: &head.method,
        uri: &head.uri,
        version: head.version,
        status: response.status(),
        length: response.body().size_hint().exact(),
    });
    Ok(response)
}

/// What a head has at the least, in bytes: there may be blanks that are not seen here.
fn least_bytes(head: &Parts) -> usize {
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    path + headers.sum::<usize>()
}

/// Whether a client of HTTP/1.0 asks for the connection to stay.
fn is_kept_alive(headers: &HeaderMap) -> bool {
    let values =
        headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    values.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(b"keep-alive"))
}

async fn respond(
    worker: &Rc<Worker>,
    activity: &Rc<Activity>,
    ends: Ends,
    head: &Parts,
    mut incoming: Incoming,
) -> Response<Reply> {
    let names = ends.is_loopback.then_some(&worker.names);
    let named = host::check(head, names).map_err(|(status, reason)| Refusal::new(status, reason));
    let asked = named.and_then(|()| method(&head.method, &head.headers)).and_then(|method| {
        let (route, path) =
            worker.routes.find(head.uri.path()).ok_or_else(|| nowhere(worker, head.uri.path()))?;
        let method = acceptable(method, &head.headers, route)?;
        plain(&head.headers).map(|()| (route, method, path))
    });
    let refused = match asked {
        Ok((route, method, path)) => match read(worker, activity, &mut incoming, &head.headers).await {
            Ok(body) => {
                let client = ends.client;
                let request =
                    http::HttpRequest { client, method, path, query: head.uri.query(), body: body.bytes() };
                activity.enter(Phase::Reply);
                let mut stream = Stream::with_room(ROOM_BYTES);
                let answer =
                    worker.busy(|worker| route.dialect.answer(&worker.context, &request, &mut stream));
                return reply(worker, activity, route, stream, answer, body.into_share()).await;
            }
            Err(refused) => refused,
        },
        Err(refused) => refused,
    };
    let is_passed_over = pass_over(&mut incoming, &head.headers).await;
    refuse(worker, activity, &refused, is_passed_over)
}

/// The methods that there are behind some route.
fn method(method: &Method, headers: &HeaderMap) -> Result<Option<http::HttpMethod>, Refusal> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if headers.contains_key(ORIGIN) || matches!(site, Some(b"cross-site" | b"same-site")) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "a web page may not send commands here"));
    }
    Ok(match *method {
        Method::GET => Some(http::HttpMethod::Get),
        Method::POST => Some(http::HttpMethod::Post),
        _ => None,
    })
}

/// Whether a request is one for that route.
fn acceptable(
    method: Option<http::HttpMethod>,
    headers: &HeaderMap,
    route: &Route,
) -> Result<http::HttpMethod, Refusal> {
    let allowed = route.dialect.allowed();
    let method = method.ok_or_else(|| Refusal {
        allowed: Some(allowed),
        ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("send the request by {allowed}"))
    })?;
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let forms = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
    // Where a POST is of no use at all its dialect says so.
    if method == http::HttpMethod::Post
        && allowed.contains(Method::POST.as_str())
        && forms.iter().any(|form| media_type.eq_ignore_ascii_case(form.as_bytes()))
    {
        let wanted = route.dialect.media_type();
        let reason = format!("this is what a web page may send unasked; say Content-Type: {wanted}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(method)
}

/// Whether a body is what its bytes say: nothing is unpacked here.
fn plain(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_other = |name, plain: &str| {
        let values =
            headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        values
            .map(<[u8]>::trim_ascii)
            .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(plain.as_bytes()))
    };
    if is_other(TRANSFER_ENCODING, "chunked") {
        let reason = "a body may come in chunks; no other Transfer-Encoding is known";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, reason));
    }
    if is_other(CONTENT_ENCODING, "identity") {
        let reason = "send the body as it is; no Content-Encoding is known";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(())
}

fn nowhere(worker: &Worker, path: &str) -> Refusal {
    let roots: Vec<String> = worker.routes.iter().map(|route| format!("/{}", route.root)).collect();
    let remedy = if roots.is_empty() { "load a module that serves something" } else { "try" };
    let roots = roots.join(", ");
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("nothing is served under {path}; {remedy} {roots}").trim_end(),
    )
}

fn too_large() -> Refusal {
    let reason = format!("request too large: more than {MAX_REQUEST_BYTES} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
}

/// The length that a request says its body has.
fn told_length(headers: &HeaderMap) -> u64 {
    let text = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The body, whole.
async fn read(
    worker: &Worker,
    activity: &Rc<Activity>,
    incoming: &mut Incoming,
    headers: &HeaderMap,
) -> Result<body::Body, Refusal> {
    if told_length(headers) > MAX_REQUEST_BYTES as u64 {
        return Err(too_large());
    }
    let told = usize::try_from(told_length(headers)).unwrap_or(0);
    let mut body = body::Body::new(Share::new(&worker.memory, activity), told);
    while let Some(frame) = next(incoming).await {
        let frame = frame.map_err(|error| {
            log::debug!(target: worker.module, "a body cannot be read: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, "the body does not come to its end")
        })?;
        if let Some(bytes) = frame.data_ref() {
            let has_room = |more| worker.has_room(Kind::Request, more);
            body.push(bytes, has_room).map_err(|excess| match excess {
                Excess::Long => too_large(),
                Excess::Full => Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many long requests are being sent at the same time; send this one again later",
                ),
            })?;
        }
    }
    Ok(body)
}

async fn next(incoming: &mut Incoming) -> Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>> {
    poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await
}

/// Reads on to the end of a body that is of no use. False when that would take too long, or cannot be done.
async fn pass_over(incoming: &mut Incoming, headers: &HeaderMap) -> bool {
    if incoming.is_end_stream() {
        return true;
    }
    if headers.contains_key(EXPECT) || told_length(headers) > MAX_PASSED_OVER_BYTES {
        return false;
    }
    let mut passed_over = 0;
    while let Some(frame) = next(incoming).await {
        let Ok(frame) = frame else { return false };
        passed_over += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
        if passed_over > MAX_PASSED_OVER_BYTES {
            return false;
        }
    }
    true
}

/// What a dialect has answered. `share` is that of the request's body, which a batch goes on to hold in other form.
async fn reply(
    worker: &Rc<Worker>,
    activity: &Rc<Activity>,
    route: &Route,
    mut stream: Stream,
    answer: ReplyHead,
    share: Share,
) -> Response<Reply> {
    let answer = match answer.deferred {
        None => answer,
        Some(number) => {
            activity.is_deferred().set(true);
            let due = worker.later.reply(number).await;
            activity.is_deferred().set(false);
            let Some(due) = due else {
                let refused = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the reply is lost");
                return refuse(worker, activity, &refused, true);
            };
            let told = Told::from_bytes(&due.answer);
            worker.busy(|_| route.dialect.answer_deferred(&due.form, told, &mut stream))
        }
    };
    let ReplyHead { mut status, content_type, mut is_error, rest, .. } = answer;
    // One that ends within a piece has its length told.
    let begun = match rest.map(|rest| Work::new(rest, share)) {
        None => Begun { stream, work: None, is_error: false, turn: None },
        // Also when its client goes.
        Some(work) if work.has_work() => {
            let own = Rc::clone(worker);
            match spawn_local(async move { work.begin(&own, stream).await }).await {
                Ok(begun) => begun,
                Err(_) => {
                    let refused = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the reply is lost");
                    return refuse(worker, activity, &refused, true);
                }
            }
        }
        Some(work) => work.begin(worker, stream).await,
    };
    let Begun { stream, work, is_error: is_wrong, turn: _turn } = begun;
    is_error |= is_wrong;
    if stream.waiting().len() > SHORT_BYTES && !worker.has_room(Kind::Reply, 1) {
        let reason =
            "this has run, and its reply is long; too many long ones wait to be read, ask again later";
        return refuse(worker, activity, &Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason), true);
    }
    if status == 200 && work.is_none() && stream.waiting().is_empty() {
        status = route.dialect.empty_status();
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let is_error = is_error || !status.is_success();
    worker.note_request(is_error);
    let mut response = Response::new(Reply::new(worker, activity, stream, work, is_error));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static(route.dialect.allowed()));
    }
    response
}

fn refuse(worker: &Rc<Worker>, activity: &Rc<Activity>, refusal: &Refusal, goes_on: bool) -> Response<Reply> {
    worker.note_request(true);
    log::debug!(target: worker.module, "{}: {}", refusal.status, refusal.reason);
    let mut stream = Stream::default();
    stream.push(refusal.reason.as_bytes());
    stream.push(b"\n");
    let mut response = Response::new(Reply::new(worker, activity, stream, None, true));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(allowed) = refusal.allowed {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if !goes_on {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
