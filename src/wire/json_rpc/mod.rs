//! JSON-RPC 2.0, as OpenSIPS 3.x speaks it on datagrams, FIFO and HTTP.
//!
//! ```text
//! request.rs   one request: its members, taken apart and checked
//! bind.rs      which recipe of its command the parameters fit
//! encode.rs    the reply: a JSON value inside its envelope
//! ```
//!
//! C: `handle_mi_request` and `print_mi_response` in mi/mi.c.
//!
//! Differs, where C breaks the standard: what is not JSON and what is no request is answered in JSON with the id null,
//! an array is a batch, an id goes back exactly as it came, and one that is neither string nor number nor null makes
//! the request invalid. Text after the request makes it no JSON; C ignores it. A batch has at most 1024
//! requests, and those that have not begun after [`MAX_BATCH_TIME`] get an error each.

mod bind;
mod encode;
mod request;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

pub use encode::{Encoder, State, notify};
use request::{NULL, Refused, Request};
use serde_json::value::RawValue;

use super::{MAX_BATCH, MAX_BATCH_TIME, NO_TIME_LEFT, Output, Pieces, too_large};
use crate::mi::{
    self, Caller, Context, Delivery, Fault, Generation, KeptCaller, Outcome, Params, Progress, Reply, Rest,
    Told,
};

/// C: `JSONRPC_PARSE_ERR_CODE`.
const PARSE_ERROR: Fault = Fault::new(-32700, "Parse error");
/// C: `JSONRPC_INVAL_REQ_CODE`.
const INVALID_REQUEST: Fault = Fault::new(-32600, "Invalid Request");
/// C: `JSONRPC_NOT_FOUND_CODE`.
const METHOD_NOT_FOUND: Fault = Fault::new(-32601, "Method not found");

/// What a command's fault is called here: 3.x has reworded some. C: mi/mi_core.c, ul_mi.c, event_interface.c.
fn reworded(fault: Fault) -> Fault {
    let Fault { code, .. } = fault;
    if fault.is(&mi::BAD_PARAMETER) {
        Fault { data: fault.data, ..Fault::new(code, "Bad parameter value") }
    } else if fault.is(&mi::SERVER_ERROR) {
        Fault { data: fault.data, ..Fault::new(code, "Internal Error") }
    } else {
        fault
    }
}

/// Whether a text is meant as JSON-RPC: after blanks, or a byte order mark, it begins as an object or an array does,
/// or it is another JSON value as a whole.
#[must_use]
pub fn is_json(text: &[u8]) -> bool {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    match text.trim_ascii_start() {
        [b'{' | b'[', ..] => true,
        text => serde_json::from_slice::<&RawValue>(text).is_ok(),
    }
}

/// Whether a text is a reply to somebody's request, or a batch of them, as any server writes it.
#[must_use]
pub fn is_reply(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(request::is_reply)
}

/// Answers texts that hold a request or a batch of them. Keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub struct Answerer {
    params: Params,
}

/// How much of a refused request the log shows, in bytes.
const SHOWN_BYTES: usize = 100;

/// What became of a text. Nothing was written when all in it were notifications.
#[derive(Debug)]
pub struct Answer {
    /// Whether a reply says that something went wrong.
    pub is_error: bool,
    /// What is left to be written, when a reply is long.
    pub unfinished: Option<Unfinished>,
    /// The number of the reply, when it comes later: [`tell`] writes it then.
    pub later: Option<u64>,
}

impl Answer {
    fn now(is_error: bool, unfinished: Option<Unfinished>) -> Answer {
        Answer { is_error, unfinished, later: None }
    }

    fn one(is_error: bool, current: Option<Current>) -> Answer {
        Answer::now(is_error, current.map(|current| Unfinished::new(Some(current), None)))
    }
}

/// What became of one request.
enum One {
    /// Its reply is written, but for what is left of a long one. True when it says that something went wrong.
    Now(bool, Option<Current>),
    Later(u64),
}

/// A reply, or the replies of a batch, that are not whole yet.
pub struct Unfinished {
    answerer: Answerer,
    current: Option<Current>,
    batch: Option<Batch>,
    is_error: bool,
}

/// The reply that is being written.
struct Current {
    /// `None` for a notification, whose reply nobody gets.
    id: Option<String>,
    state: State,
    rest: Rest,
}

/// The replies to a batch: an array of those that there are.
struct Batch {
    caller: KeptCaller,
    text: Box<str>,
    /// Where in it the requests are that have not run, the next one last.
    waiting: Vec<Range<usize>>,
    has_replies: bool,
    /// What the requests that have not run are answered.
    refusal: Option<Fault>,
}

/// Whether other replies stand around the one to a request.
enum Among<'a> {
    None,
    Batch { has_replies: &'a mut bool },
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.batch.as_ref().map_or(0, |batch| batch.waiting.len());
        write!(f, "Unfinished({} requests wait)", waiting)
    }
}

impl Answerer {
    /// Runs what `text` asks for and writes the replies.
    pub fn answer<O: Output>(
        &mut self,
        context: &Context,
        text: &[u8],
        caller: Caller<'_>,
        output: &mut O,
    ) -> Answer {
        let Ok(text) = str::from_utf8(text) else { return refuse(&PARSE_ERROR, output) };
        if !text.trim_ascii_start().starts_with('[') {
            return match self.one(context, text, caller, Among::None, None, output) {
                One::Now(is_error, current) => Answer::one(is_error, current),
                One::Later(number) => Answer { is_error: false, unfinished: None, later: Some(number) },
            };
        }
        let Some(elements) = request::elements(text) else { return refuse(&PARSE_ERROR, output) };
        if elements.is_empty() {
            return refuse(&INVALID_REQUEST, output);
        }
        if elements.len() > MAX_BATCH {
            let data = format!("{} requests in a batch, at most {MAX_BATCH}", elements.len());
            return refuse(&Fault { data: Some(data.into()), ..INVALID_REQUEST }, output);
        }
        let batch = Batch::new(text, &elements, caller.keep());
        Answer::now(false, Some(Unfinished::new(None, Some(batch))))
    }

    /// Answers what `text` asks for with an error, without running it.
    pub fn refuse<O: Output>(&mut self, context: &Context, text: &[u8], fault: &Fault, output: &mut O) {
        let Ok(text) = str::from_utf8(text) else {
            refuse(&PARSE_ERROR, output);
            return;
        };
        // Nothing is run.
        let caller = Caller::new("", &"");
        match request::elements(text) {
            Some(elements) if (1..=MAX_BATCH).contains(&elements.len()) => {
                let batch = Batch::new(text, &elements, caller.keep());
                Unfinished::new(None, Some(batch)).give_up(context, fault, output);
            }
            _ => {
                self.one(context, text, caller, Among::None, Some(fault), output);
            }
        }
    }

    /// Runs one request and writes its reply. With a `refusal` it is not run, and that is the reply.
    fn one<O: Output>(
        &mut self,
        context: &Context,
        text: &str,
        caller: Caller<'_>,
        among: Among<'_>,
        refusal: Option<&Fault>,
        output: &mut O,
    ) -> One {
        let parsed = Request::parse(text);
        if let Ok(request @ Request { id: None, .. }) = &parsed {
            return if refusal.is_some() {
                One::Now(true, None)
            } else {
                self.notified(context, request, caller)
            };
        }
        let is_alone = match among {
            Among::None => true,
            Among::Batch { has_replies } => {
                output.push(if *has_replies { b"," } else { b"[" });
                *has_replies = true;
                false
            }
        };
        let id = match &parsed {
            Ok(request) => request.id.unwrap_or(NULL),
            Err(Refused::Invalid(id)) => id,
            Err(Refused::Parse) => NULL,
        };
        let delivery =
            if is_alone { Delivery::AtAnyTime { form: id.as_bytes() } } else { Delivery::WithOthers };
        let mut encoder = Encoder::new(output, id);
        let result = match (&parsed, refusal) {
            (Ok(_), Some(refusal)) => Err(refusal.clone()),
            (Ok(request), None) => self.run(context, request, &mut encoder, caller, delivery),
            (Err(Refused::Invalid(_)), _) => Err(INVALID_REQUEST),
            (Err(Refused::Parse), _) => Err(PARSE_ERROR),
        };
        if let Err(fault) = &result {
            let shown = text.as_bytes()[..text.len().min(SHOWN_BYTES)].escape_ascii();
            log::debug!("{} {}: {shown}", fault.code, fault.reason);
        }
        if let Ok(Outcome::Later(number)) = result {
            return One::Later(number);
        }
        let (is_error, current) = conclude(result.map(Outcome::rest), encoder, id);
        One::Now(is_error, current)
    }

    /// Runs a request that nobody wants a reply to.
    fn notified(&mut self, context: &Context, request: &Request<'_>, caller: Caller<'_>) -> One {
        let mut nowhere = Nowhere;
        let encoder = &mut Encoder::new(&mut nowhere, NULL);
        let outcome = self.run(context, request, encoder, caller, Delivery::Never);
        let is_error = outcome.is_err();
        let rest = outcome.ok().and_then(Outcome::rest).filter(Rest::is_change);
        One::Now(is_error, rest.map(|rest| Current { id: None, state: State::default(), rest }))
    }

    fn run(
        &mut self,
        context: &Context,
        request: &Request<'_>,
        reply: &mut dyn Reply,
        caller: Caller<'_>,
        delivery: Delivery<'_>,
    ) -> Result<Outcome, Fault> {
        let entry = context.commands.find(request.method.as_bytes(), Generation::JsonRpc);
        let command = entry.ok_or(METHOD_NOT_FOUND)?.command;
        let recipe = bind::bind(&request.params, command.json_rpc, &mut self.params)?;
        mi::run(command, recipe, context, &self.params, reply, caller, delivery).map_err(reworded)
    }
}

impl Unfinished {
    fn new(current: Option<Current>, batch: Option<Batch>) -> Unfinished {
        Unfinished { answerer: Answerer::default(), current, batch, is_error: false }
    }

    /// Writes the next piece of the reply in hand, or runs the next request. `spent` as for [`Pieces::go_on`].
    pub fn go_on<O: Output>(&mut self, context: &Context, output: &mut O, spent: Duration) -> Progress {
        if let Some(current) = &mut self.current {
            match current.go_on(context, output, self.batch.is_some()) {
                Step::More => return Progress::More,
                Step::Done { is_error } => self.is_error |= is_error,
            }
            self.current = None;
        }
        let Some(batch) = &mut self.batch else { return Progress::Done };
        let Some(range) = batch.waiting.pop() else {
            batch.end(output);
            return Progress::Done;
        };
        if spent >= MAX_BATCH_TIME && batch.refusal.is_none() {
            let (count, limit) = (batch.waiting.len() + 1, MAX_BATCH_TIME.as_millis());
            log::warn!(often = true; "{count} requests of a batch are not run: those before took more than {limit} ms");
            batch.refusal = Some(NO_TIME_LEFT);
        }
        let (text, among) = (&batch.text[range], Among::Batch { has_replies: &mut batch.has_replies });
        let caller = batch.caller.caller();
        match self.answerer.one(context, text, caller, among, batch.refusal.as_ref(), output) {
            One::Now(is_error, current) => {
                self.is_error |= is_error;
                self.current = current;
            }
            One::Later(_) => {} // never, as its caller is told to be one among others
        }
        Progress::More
    }

    /// Ends it now: with an error in the place of the reply in hand, and of each one that has not begun.
    pub fn give_up<O: Output>(&mut self, context: &Context, fault: &Fault, output: &mut O) {
        if let Some(Current { id: Some(id), state, .. }) = self.current.take() {
            let mut encoder = Encoder::resume(output, &id, state);
            encoder.fail(fault);
            encoder.finish();
        }
        if let Some(batch) = &mut self.batch {
            batch.refusal = Some(fault.clone());
            while self.go_on(context, output, Duration::ZERO) == Progress::More {}
        }
    }
}

/// What became of a reply by one step.
enum Step {
    More,
    Done { is_error: bool },
}

impl Current {
    fn go_on<O: Output>(&mut self, context: &Context, output: &mut O, is_in_batch: bool) -> Step {
        let Some(id) = &self.id else {
            let mut nowhere = Nowhere;
            return match self.rest.go_on(context, &mut Encoder::new(&mut nowhere, NULL)) {
                Ok(Progress::More) => Step::More,
                ended => Step::Done { is_error: ended.is_err() },
            };
        };
        let mut encoder = Encoder::resume(output, id, std::mem::take(&mut self.state));
        match self.rest.go_on(context, &mut encoder) {
            Ok(progress) => {
                // The size of one reply is counted to its end; among many it is enough that it is too long.
                let is_hopeless = is_in_batch && !self.rest.is_change() && encoder.excess().is_some();
                if progress == Progress::More && !is_hopeless {
                    self.state = encoder.into_state();
                    return Step::More;
                }
                Step::Done { is_error: finish(encoder) }
            }
            Err(fault) => {
                encoder.fail(&reworded(fault));
                encoder.finish();
                Step::Done { is_error: true }
            }
        }
    }
}

impl<O: Output> Pieces<O> for Unfinished {
    fn go_on(&mut self, context: &Context, output: &mut O, spent: Duration) -> Progress {
        Unfinished::go_on(self, context, output, spent)
    }

    fn is_error(&self) -> bool {
        self.is_error
    }

    fn has_work(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.waiting.is_empty())
            || self.current.as_ref().is_some_and(|current| current.rest.is_change())
    }
}

impl Batch {
    /// With all requests waiting; `elements` are parts of `text`.
    fn new(text: &str, elements: &[&RawValue], caller: KeptCaller) -> Batch {
        let start = text.as_ptr().addr();
        let place = |element: &&RawValue| {
            let begin = element.get().as_ptr().addr() - start;
            begin..begin + element.get().len()
        };
        Batch {
            caller,
            text: text.into(),
            waiting: elements.iter().rev().map(place).collect(),
            has_replies: false,
            refusal: None,
        }
    }

    /// A batch of notifications alone is not answered at all.
    fn end<O: Output>(&self, output: &mut O) {
        if self.has_replies {
            output.push(b"]");
        }
    }
}

/// Whether a text is one request whose command may answer later.
#[must_use]
pub fn may_answer_later(context: &Context, text: &[u8]) -> bool {
    let Some(Ok(request)) = str::from_utf8(text).ok().map(Request::parse) else { return false };
    let entry = context.commands.find(request.method.as_bytes(), Generation::JsonRpc);
    entry.is_some_and(|entry| entry.command.run.answers_later())
}

/// Writes the reply to the request with that id, when that comes later.
pub fn tell<O: Output>(id: &[u8], told: Told, output: &mut O) -> Answer {
    // As it came from a request.
    let id = str::from_utf8(id).unwrap_or(NULL);
    let mut encoder = Encoder::new(output, id);
    let result = told.tell(&mut encoder).map_err(reworded);
    let (is_error, current) = conclude(result, encoder, id);
    Answer::one(is_error, current)
}

/// Ends a reply whose command has run, but for the rest of a long one. True when it is an error.
fn conclude<O: Output>(
    result: Result<Option<Rest>, Fault>,
    mut encoder: Encoder<'_, O>,
    id: &str,
) -> (bool, Option<Current>) {
    match result {
        Ok(Some(rest)) => {
            (false, Some(Current { id: Some(id.to_owned()), state: encoder.into_state(), rest }))
        }
        Ok(None) => (finish(encoder), None),
        Err(fault) => {
            encoder.fail(&fault);
            encoder.finish();
            (true, None)
        }
    }
}

/// Ends a reply, or makes an error of it when it is too long. True when it is an error.
fn finish<O: Output>(mut encoder: Encoder<'_, O>) -> bool {
    encoder.finish();
    let excess = encoder.excess();
    if let Some(length) = excess {
        encoder.fail(&too_large("reply", length));
        encoder.finish();
    }
    excess.is_some()
}

/// Answers what is no JSON, and so has no id.
pub fn refuse_broken<O: Output>(output: &mut O) -> Answer {
    refuse(&PARSE_ERROR, output)
}

/// Answers a text as a whole with an error, and the id null.
pub fn refuse<O: Output>(fault: &Fault, output: &mut O) -> Answer {
    let mut encoder = Encoder::new(output, NULL);
    encoder.status(fault);
    encoder.finish();
    Answer::now(true, None)
}

/// Where the replies to notifications go.
struct Nowhere;

impl Output for Nowhere {
    fn push(&mut self, _bytes: &[u8]) {}
    fn begin(&mut self) {}
    fn take_back(&mut self) -> bool {
        true
    }
    fn held(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests;
