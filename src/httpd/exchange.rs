//! Answers one request: checks it, reads its body, runs its route's dialect, and begins the reply.
//!
//! Each reply has a complete body, also one with an error status. The worker reads the whole body of a
//! refused request, so that the client is there to read the refusal; a client that sends `Expect` is refused
//! before its body.
//!
//! Requests that a web page can have a browser send unasked are refused: those with `Origin` or from another
//! site, those to a loopback address with another host name, and bodies of the types of HTML forms. Differs:
//! OpenSIPS runs some of them.

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
use super::access_log::AccessLogEntry;
use super::body::{BodyError, RequestBody};
use super::connection::{Activity, ConnectionPhase};
use super::host;
use super::memory::{FREE_HEAD_BYTES, MemoryKind, RequestMemory};
use super::remaining::{RemainingReply, StartedReply};
use super::reply::HttpReply;
use super::worker::{HttpWorker, SHORT_REPLY_BYTES};
use crate::mi::StoredReply;
use crate::wire::http::{HttpMethod, HttpRequest, ReplyHead, Route};
use crate::wire::{Output, Stream};

/// The most bytes of a refused body that the worker reads before it closes the connection.
const MAX_DISCARDED_BYTES: u64 = 64 << 20;

/// Initial capacity of a reply's buffer, in bytes: most replies need no more.
const REPLY_CAPACITY_BYTES: usize = 2 << 10;

/// Why a request does not reach a dialect.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    /// The body of the reply.
    reason: String,
    /// The header `Allow`.
    allowed: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Refusal {
        Refusal { status, reason: reason.into(), allowed: None }
    }

    fn lost_reply() -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the reply is lost")
    }

    fn too_large() -> Refusal {
        let reason = format!("request too large: more than {MAX_REQUEST_BYTES} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestOrigin {
    pub(super) client: IpAddr,
    /// The client has connected to a loopback address of this machine.
    pub(super) is_loopback: bool,
}

/// Answers a request.
pub(super) async fn answer(
    worker: Rc<HttpWorker>,
    activity: Rc<Activity>,
    origin: RequestOrigin,
    request: Request<Incoming>,
) -> Result<Response<HttpReply>, Infallible> {
    activity.enter(ConnectionPhase::Body);
    let (head, incoming) = request.into_parts();
    // hyper keeps the buffer of a long head as long as the connection, so it goes on counting. The buffer of
    // a short head is free.
    let is_head_long = min_head_bytes(&head) > FREE_HEAD_BYTES;
    if !is_head_long {
        worker.count_head(&activity, 0);
    }
    let mut response = respond(&worker, &activity, origin, &head, incoming).await;
    let is_http_1_0 = head.version < Version::HTTP_11;
    let has_length = response.body().size_hint().exact().is_some();
    if is_head_long || is_http_1_0 && !(has_length && asks_for_keep_alive(&head.headers)) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if is_http_1_0 {
        activity.is_http_1_0().set(true);
        // With HTTP/1.0 hyper ends a reply of unknown length by closing the connection.
        *response.version_mut() = if has_length { Version::HTTP_11 } else { Version::HTTP_10 };
    }
    if head.method == Method::HEAD {
        response.body().set_head_only();
    }
    worker.log_access(&AccessLogEntry {
        client: origin.client,
        method: &head.method,
        uri: &head.uri,
        version: head.version,
        status: response.status(),
        length: response.body().size_hint().exact(),
    });
    Ok(response)
}

/// The least bytes that a head can have had. hyper does not tell how many blanks it had.
fn min_head_bytes(head: &Parts) -> usize {
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    path + headers.sum::<usize>()
}

/// Whether a client of HTTP/1.0 asks to keep the connection open.
fn asks_for_keep_alive(headers: &HeaderMap) -> bool {
    let values =
        headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    values.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(b"keep-alive"))
}

async fn respond(
    worker: &Rc<HttpWorker>,
    activity: &Rc<Activity>,
    origin: RequestOrigin,
    head: &Parts,
    mut incoming: Incoming,
) -> Response<HttpReply> {
    let (route, method, path) = match check_head(worker, origin, head) {
        Ok(checked) => checked,
        Err(refusal) => return refuse_body(worker, activity, &refusal, &mut incoming, head).await,
    };
    let body = match read_body(worker, activity, &mut incoming, &head.headers).await {
        Ok(body) => body,
        Err(refusal) => return refuse_body(worker, activity, &refusal, &mut incoming, head).await,
    };
    let query = head.uri.query();
    let request = HttpRequest { client: origin.client, method, path, query, body: body.bytes() };
    activity.enter(ConnectionPhase::Reply);
    let mut stream = Stream::with_room(REPLY_CAPACITY_BYTES);
    let reply_head = worker.while_busy(|worker| route.dialect.answer(&worker.context, &request, &mut stream));
    reply(worker, activity, route, stream, reply_head, body.into_memory()).await
}

/// Finds the route of a request, and checks all that can be checked before its body is read. Returns the path
/// behind the route's root, too.
fn check_head<'a>(
    worker: &'a HttpWorker,
    origin: RequestOrigin,
    head: &'a Parts,
) -> Result<(&'a Route, HttpMethod, &'a str), Refusal> {
    let allowed_hosts = origin.is_loopback.then_some(&worker.hosts);
    host::check(head, allowed_hosts).map_err(|(status, reason)| Refusal::new(status, reason))?;
    check_site(&head.headers)?;
    let path = head.uri.path();
    let (route, path) = worker.routes.find(path).ok_or_else(|| no_route(worker, path))?;
    let method = check_method_and_type(head, route)?;
    check_encodings(&head.headers)?;
    Ok((route, method, path))
}

/// Refuses the requests that a browser marks as those of a web page of another site.
fn check_site(headers: &HeaderMap) -> Result<(), Refusal> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if headers.contains_key(ORIGIN) || matches!(site, Some(b"cross-site" | b"same-site")) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "a web page may not send commands here"));
    }
    Ok(())
}

/// Refuses methods that no dialect knows, and content types that an HTML form can have.
fn check_method_and_type(head: &Parts, route: &Route) -> Result<HttpMethod, Refusal> {
    let allowed = route.dialect.allowed();
    let method = match head.method {
        Method::GET => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        _ => {
            let reason = format!("send the request by {allowed}");
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, reason);
            return Err(Refusal { allowed: Some(allowed), ..refusal });
        }
    };
    let media_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let form_types = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
    // A dialect that takes no POST at all refuses it by itself, in its own syntax.
    if method == HttpMethod::Post
        && allowed.contains(Method::POST.as_str())
        && form_types.iter().any(|form_type| media_type.eq_ignore_ascii_case(form_type.as_bytes()))
    {
        let wanted = route.dialect.media_type();
        let reason = format!("this is what a web page may send unasked; say Content-Type: {wanted}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(method)
}

/// Refuses compressed bodies and unknown transfer codings.
fn check_encodings(headers: &HeaderMap) -> Result<(), Refusal> {
    let has_other_than = |name, known: &str| {
        let values =
            headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        values
            .map(<[u8]>::trim_ascii)
            .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(known.as_bytes()))
    };
    if has_other_than(TRANSFER_ENCODING, "chunked") {
        let reason = "a body may come in chunks; no other Transfer-Encoding is known";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, reason));
    }
    if has_other_than(CONTENT_ENCODING, "identity") {
        let reason = "send the body as it is; no Content-Encoding is known";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(())
}

fn no_route(worker: &HttpWorker, path: &str) -> Refusal {
    let roots: Vec<String> = worker.routes.iter().map(|route| format!("/{}", route.root)).collect();
    let remedy = if roots.is_empty() { "load a module that serves something" } else { "try" };
    let roots = roots.join(", ");
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("nothing is served under {path}; {remedy} {roots}").trim_end(),
    )
}

/// The value of `Content-Length`; 0 when it is absent or malformed.
fn content_length(headers: &HeaderMap) -> u64 {
    let text = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Reads the whole body.
async fn read_body(
    worker: &HttpWorker,
    activity: &Rc<Activity>,
    incoming: &mut Incoming,
    headers: &HeaderMap,
) -> Result<RequestBody, Refusal> {
    if content_length(headers) > MAX_REQUEST_BYTES as u64 {
        return Err(Refusal::too_large());
    }
    let announced = usize::try_from(content_length(headers)).unwrap_or(0);
    let mut body = RequestBody::new(RequestMemory::new(&worker.memory, activity.memory()), announced);
    while let Some(frame) = next_frame(incoming).await {
        let frame = frame.map_err(|error| {
            log::debug!(target: worker.module, "a body cannot be read: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, "the body does not come to its end")
        })?;
        if let Some(bytes) = frame.data_ref() {
            let has_room = |more| worker.make_room(MemoryKind::Request, more);
            body.push(bytes, has_room).map_err(|error| match error {
                BodyError::TooLong => Refusal::too_large(),
                BodyError::NoMemory => Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many long requests are being sent at the same time; send this one again later",
                ),
            })?;
        }
    }
    Ok(body)
}

async fn next_frame(incoming: &mut Incoming) -> Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>> {
    poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await
}

/// Reads the rest of a refused body and drops it. False when the body is too long or cannot be read, so that
/// the connection must be closed.
async fn discard_body(incoming: &mut Incoming, headers: &HeaderMap) -> bool {
    if incoming.is_end_stream() {
        return true;
    }
    if headers.contains_key(EXPECT) || content_length(headers) > MAX_DISCARDED_BYTES {
        return false;
    }
    let mut discarded = 0;
    while let Some(frame) = next_frame(incoming).await {
        let Ok(frame) = frame else { return false };
        discarded += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
        if discarded > MAX_DISCARDED_BYTES {
            return false;
        }
    }
    true
}

/// Makes the response of a dialect's reply, once the reply is complete or its first piece is written. A batch
/// goes on to hold `memory`, that of the request's body.
async fn reply(
    worker: &Rc<HttpWorker>,
    activity: &Rc<Activity>,
    route: &Route,
    mut stream: Stream,
    head: ReplyHead,
    memory: RequestMemory,
) -> Response<HttpReply> {
    let head = match head.deferred {
        None => head,
        Some(number) => {
            activity.is_deferred().set(true);
            let answered = worker.deferred.reply(number).await;
            activity.is_deferred().set(false);
            let Some(answered) = answered else {
                return refuse(worker, activity, &Refusal::lost_reply(), true);
            };
            let told = StoredReply::from_bytes(&answered.answer);
            worker.while_busy(|_| route.dialect.answer_deferred(&answered.envelope, told, &mut stream))
        }
    };
    let ReplyHead { mut status, content_type, mut is_error, rest, .. } = head;
    // A reply that fits its first piece gets a Content-Length.
    let started = match rest.map(|rest| RemainingReply::new(rest, memory)) {
        None => StartedReply { stream, remaining: None, is_error: false, turn: None },
        // Changes and the requests of a batch run in a task of their own, which goes on when the client goes
        // away.
        Some(remaining) if remaining.has_work() => {
            let task_worker = Rc::clone(worker);
            match spawn_local(async move { remaining.start(&task_worker, stream).await }).await {
                Ok(started) => started,
                Err(_) => return refuse(worker, activity, &Refusal::lost_reply(), true),
            }
        }
        Some(remaining) => remaining.start(worker, stream).await,
    };
    let StartedReply { stream, remaining, is_error: has_failed, turn: _turn } = started;
    is_error |= has_failed;
    if stream.waiting().len() > SHORT_REPLY_BYTES && !worker.make_room(MemoryKind::Reply, 1) {
        let reason =
            "this has run, and its reply is long; too many long ones wait to be read, ask again later";
        return refuse(worker, activity, &Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason), true);
    }
    if status == 200 && remaining.is_none() && stream.waiting().is_empty() {
        status = route.dialect.empty_status();
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let is_error = is_error || !status.is_success();
    worker.count_request(is_error);
    let mut response = Response::new(HttpReply::new(worker, activity, stream, remaining, is_error));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static(route.dialect.allowed()));
    }
    response
}

/// Refuses a request whose body is not read completely.
async fn refuse_body(
    worker: &Rc<HttpWorker>,
    activity: &Rc<Activity>,
    refusal: &Refusal,
    incoming: &mut Incoming,
    head: &Parts,
) -> Response<HttpReply> {
    let is_discarded = discard_body(incoming, &head.headers).await;
    refuse(worker, activity, refusal, is_discarded)
}

/// Refuses a request. `keeps_open` tells whether the connection can take the next request.
fn refuse(
    worker: &Rc<HttpWorker>,
    activity: &Rc<Activity>,
    refusal: &Refusal,
    keeps_open: bool,
) -> Response<HttpReply> {
    worker.count_request(true);
    log::debug!(target: worker.module, "{}: {}", refusal.status, refusal.reason);
    let mut stream = Stream::default();
    stream.push(refusal.reason.as_bytes());
    stream.push(b"\n");
    let mut response = Response::new(HttpReply::new(worker, activity, stream, None, true));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(allowed) = refusal.allowed {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if !keeps_open {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
