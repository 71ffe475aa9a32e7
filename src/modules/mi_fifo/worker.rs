//! The one process's loop: read, serve, go on with replies that wait.
//!
//! While no reply waits it sleeps in a plain read; else it waits for requests and for room at once. C:
//! `mi_fifo_server` in fifo_fnc.c.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::answer::{self, FifoAnswerer, FifoOutcome};
use super::replies::{Event, Replies, Reply};
use super::settings::Settings;
use super::{COUNTERS, Open};
use crate::logging::Throttle;
use crate::mi::{Caller, Context, PeerName};
use crate::module::{OpenError, Process, TransportCounter, TransportCounters};
use crate::shm::{ReadAhead, ReplyInbox};
use crate::system::fifo::{self, Identity};
use crate::wire::frame::{
    CommandInput, FifoRequest, Frame, FrameContent, FrameWait, Framer, HeaderLookup, StreamMode,
};

/// How long the rest of a request may stay away, where it is not to be waited for.
const QUIET: Duration = Duration::from_millis(200);

/// Pause before the rest of a text request is read. A client that writes line by line, as a shell does, is not
/// interrupted between two lines, so that others write theirs between them less often.
const BETWEEN_LINES: Duration = Duration::from_micros(500);

/// Requests that are served before replies have a turn.
const BURST: usize = 16;

/// Pause after an error that is not a client's doing, so that one that stays does not take a whole core.
const AFTER_READ_ERROR: Duration = Duration::from_millis(10);

/// How long a worker that was told to stop goes on.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// How much of a refused request the log shows, in bytes.
const SHOWN_BYTES: usize = 40;

/// The process.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    process: &'a Process<'a>,
    requests: BorrowedFd<'a>,
    ahead: &'a ReadAhead,
    /// What was read; its first `taken` bytes are served.
    unread: Vec<u8>,
    taken: usize,
    framer: Framer,
    /// Since when the rest of a request stays away.
    waits_since: Option<Instant>,
    /// Whether that is for [`QUIET`] now.
    is_quiet: bool,
    service: Service<'a>,
}

impl<'a> Worker<'a> {
    /// Gets everything that serving needs, and what a predecessor has read and not served.
    pub(super) fn new(
        process: &'a Process<'a>,
        settings: &'a Settings,
        open: &'a Open,
    ) -> Result<Worker<'a>, OpenError> {
        let Open { requests, ahead, parcels, .. } = open;
        let mut unread = Vec::new();
        let mode = StreamMode::from_number(ahead.take_over(&mut unread));
        let service = Service {
            answerer: FifoAnswerer::new(process.context(), &settings.indent),
            replies: Replies::take_over(parcels, Identity::of(requests).ok()),
            settings,
            ledger: Ledger::new(process)?,
            path: OsString::new(),
            context: process.context(),
            any_may_defer: process.context().commands.any_may_defer(),
            inbox: ReplyInbox::new(process.context().pending, process.context().slot),
        };
        Ok(Worker {
            process,
            requests: requests.as_fd(),
            ahead,
            unread,
            taken: 0,
            framer: Framer::new(mode),
            waits_since: None,
            is_quiet: false,
            service,
        })
    }

    /// Serves until the process is told to stop, then answers what was written already.
    pub(super) fn serve(mut self) {
        self.process.set_ready();
        while !self.process.should_stop() {
            let served = self.serve_some();
            self.service.deliver_later();
            self.service.go_on();
            self.read(served);
        }
        self.drain();
    }

    /// Serves requests that were read already. What it takes to have another.
    fn serve_some(&mut self) -> Result<(), FrameWait> {
        for _ in 0..BURST {
            if self.service.replies.is_behind() {
                return Ok(());
            }
            let unread = &self.unread[self.taken..];
            let known = KnownNames { context: self.process.context(), settings: self.service.settings };
            match self.framer.next_frame(unread, self.is_quiet, &known) {
                Ok(Frame { start, length, next, content }) => {
                    self.process.set_busy(true);
                    // Taken before it runs: whatever happens, it never runs twice.
                    self.ahead.take(start, length, next.number());
                    self.service.serve(content, &unread[start..start + length]);
                    self.framer.note_removed(start, next);
                    if start == 0 {
                        self.taken += length;
                    } else {
                        let first = self.taken + start;
                        self.unread.drain(first..first + length);
                    }
                    self.process.set_busy(false);
                }
                Err(wait) => {
                    self.unread.drain(..self.taken);
                    self.taken = 0;
                    return Err(wait);
                }
            }
        }
        Ok(())
    }

    /// Reads more; waits for it unless there is something else to do.
    fn read(&mut self, served: Result<(), FrameWait>) {
        let notifier = self.service.notifier();
        let replies = &mut self.service.replies;
        let limit = match served {
            Ok(()) => return,
            Err(_) if replies.is_any_ready() => Some(Duration::ZERO),
            Err(FrameWait::Brief) => {
                let since = *self.waits_since.get_or_insert_with(Instant::now);
                Some(QUIET.saturating_sub(since.elapsed()))
            }
            Err(FrameWait::Indefinite) if !self.unread.is_empty() => {
                std::thread::sleep(BETWEEN_LINES);
                None
            }
            Err(FrameWait::Indefinite) => None,
        };
        let waits = limit.is_some() || notifier.is_some() || !replies.is_empty();
        if waits && !replies.wait(self.requests, notifier, limit) {
            // Not before it was seen that nothing lies there: this process may have been held up for longer.
            self.is_quiet = self.waits_since.is_some_and(|since| since.elapsed() >= QUIET);
            return;
        }
        self.read_now();
    }

    fn read_now(&mut self) {
        match self.ahead.read(self.requests, &mut self.unread) {
            Ok(_) => {
                self.waits_since = None;
                self.is_quiet = false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.service.ledger.unreadable.warn(format_args!("cannot read: {error}"));
                std::thread::sleep(AFTER_READ_ERROR);
            }
        }
    }

    /// Requests that were written before the stop are answered too, and replies that wait get a last chance.
    fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_TIME;
        loop {
            let served = self.serve_some();
            self.service.deliver_later();
            self.service.go_on();
            let now = Instant::now();
            if now >= deadline {
                return;
            }
            let replies = &mut self.service.replies;
            let is_done = served.is_err() && replies.is_empty();
            let limit = if is_done || served.is_ok() || replies.is_any_ready() {
                Duration::ZERO
            } else {
                deadline - now
            };
            let is_readable = replies.wait(self.requests, None, Some(limit));
            if is_readable && served.is_err() {
                self.read_now();
            } else if is_done {
                return;
            }
        }
    }
}

/// What the server knows of the names in a header.
struct KnownNames<'a> {
    context: &'a Context,
    settings: &'a Settings,
}

impl HeaderLookup for KnownNames<'_> {
    fn command(&self, name: &[u8]) -> CommandInput {
        answer::command_input(self.context, name)
    }

    fn is_reply_fifo(&self, name: &[u8]) -> bool {
        let mut path = OsString::new();
        matches!(reply_path(self.settings, name, &mut path), Ok(Some(path)) if fifo::Reply::look(path).is_ok())
    }
}

/// What serves requests, apart from where they come from.
#[derive(Debug)]
struct Service<'a> {
    answerer: FifoAnswerer<'a>,
    replies: Replies<'a>,
    settings: &'a Settings,
    ledger: Ledger,
    /// The path of the reply in hand, to be reused.
    path: OsString,
    context: &'a Context,
    /// Whether there are commands that answer later.
    any_may_defer: bool,
    inbox: ReplyInbox,
}

impl<'a> Service<'a> {
    /// Serves a frame, whose bytes are `bytes`.
    fn serve(&mut self, content: FrameContent<'_>, bytes: &[u8]) {
        match content {
            FrameContent::Skip => {}
            FrameContent::Garbage => {
                let shown = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii();
                self.ledger.refused.warn(format_args!("no request, passed over: {shown}"));
                self.ledger.counters.count(TransportCounter::Errors);
            }
            FrameContent::Request { reply_fifo, request } => self.answer(reply_fifo, request, bytes.len()),
        }
    }

    /// Answers a request of `length` bytes.
    fn answer(&mut self, reply_fifo: &[u8], request: FifoRequest<'_>, length: usize) {
        self.ledger.counters.count(TransportCounter::Requests);
        let path = match reply_path(self.settings, reply_fifo, &mut self.path) {
            Ok(path) => path,
            Err(reason) => {
                let name = reply_fifo.escape_ascii();
                self.ledger.refused.warn(format_args!("no reply to {name}, nothing is run: {reason}"));
                return self.ledger.counters.count(TransportCounter::Errors);
            }
        };
        let may_be_deferred = self.any_may_defer && answer::may_be_deferred(self.context, &request);
        let mut reply = match self.replies.begin(path, may_be_deferred) {
            Ok(reply) => reply,
            Err(error) => {
                let path = path.unwrap_or(Path::new("")).display();
                self.ledger.refused.warn(format_args!("no reply to {path}, nothing is run: {error}"));
                return self.ledger.counters.count(TransportCounter::Errors);
            }
        };
        let address = if may_be_deferred { reply.address() } else { Vec::new() };
        let peer = ReplyPath(path);
        let caller = Caller { transport: "mi_fifo", peer: &peer, address: &address };
        let outcome = self.answerer.answer(request, caller, &mut reply.stream);
        reply.asked = length;
        match outcome.deferred {
            Some(number) => self.inbox.expect(number),
            None => self.send(reply, outcome),
        }
    }

    fn send(&mut self, mut reply: Reply<'a>, outcome: FifoOutcome) {
        reply.is_error = outcome.is_error;
        if outcome.is_error {
            self.ledger.counters.count(TransportCounter::Errors);
        }
        let ledger = &mut self.ledger;
        self.replies.send(reply, outcome.unfinished, self.context, &mut |event| ledger.note(event));
    }

    /// What rings when a reply has come that came not at once; `None` while none is to come, or to be sent.
    fn notifier(&self) -> Option<BorrowedFd<'static>> {
        self.inbox.notifier().filter(|_| !self.inbox.is_empty() && self.replies.has_room())
    }

    /// Sends replies that come later, of those that have come.
    fn deliver_later(&mut self) {
        if self.inbox.is_empty() || !self.replies.has_room() {
            return;
        }
        self.inbox.drain_notifier();
        while self.replies.has_room()
            && let Some(answered) = self
                .inbox
                .take(|address| target(address).is_none_or(|(_, path)| self.replies.may_wait(path)), |_| ())
        {
            let Some((identity, path)) = target(&answered.address) else { continue };
            match self.replies.begin_to(path, identity) {
                Ok(mut reply) => {
                    let outcome = self.answerer.write_deferred(&answered, &mut reply.stream);
                    reply.unsent = Some(answered.unsent);
                    self.send(reply, outcome);
                }
                Err(error) => self.ledger.note(Event::Dropped(path, &error)),
            }
        }
    }

    fn go_on(&mut self) {
        if !self.replies.is_empty() {
            let ledger = &mut self.ledger;
            self.replies.take_turn(self.context, &mut |event| ledger.note(event));
        }
    }
}

/// A client, as the log shows it: its FIFO for replies, and the user whose FIFO that is.
struct ReplyPath<P>(Option<P>);

impl<P: AsRef<Path>> fmt::Display for ReplyPath<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(path) = self.0.as_ref().map(AsRef::as_ref) else {
            return f.write_str("without a reply FIFO");
        };
        match path.symlink_metadata() {
            Ok(file) => write!(f, "{} (uid {})", path.display(), file.uid()),
            Err(_) => write!(f, "{}", path.display()),
        }
    }
}

impl<P: AsRef<Path>> PeerName for ReplyPath<P> {
    fn to_boxed(&self) -> Box<dyn PeerName> {
        Box::new(ReplyPath(self.0.as_ref().map(|path| path.as_ref().to_owned())))
    }
}

/// What a reply's address says; `None` when nobody wants the reply.
fn target(address: &[u8]) -> Option<(Identity, &Path)> {
    let (identity, path) = address.split_first_chunk()?;
    Some((Identity::from_bytes(*identity), Path::new(OsStr::from_bytes(path))))
}

/// Where the reply to a client that gave that name goes, written to `path`; nowhere without one. C:
/// `get_reply_filename`.
fn reply_path<'a>(
    settings: &Settings,
    name: &[u8],
    path: &'a mut OsString,
) -> Result<Option<&'a Path>, &'static str> {
    if name.is_empty() {
        return Ok(None);
    }
    if name.iter().any(|byte| matches!(byte, b'.' | b'/' | b'\\' | 0)) {
        return Err("a name must not hold a dot, a slash, a backslash or a NUL");
    }
    path.clear();
    path.push(&settings.reply_dir);
    path.push(OsStr::from_bytes(name));
    Ok(Some(Path::new(path)))
}

/// The worker's own cells of the module's statistics, and what it says in the log.
#[derive(Debug)]
struct Ledger {
    counters: TransportCounters,
    refused: Throttle,
    undeliverable: Throttle,
    unreadable: Throttle,
}

impl Ledger {
    fn new(process: &Process<'_>) -> Result<Ledger, OpenError> {
        Ok(Ledger {
            counters: TransportCounters::find(process, &COUNTERS)?,
            refused: Throttle::new(module_path!()),
            undeliverable: Throttle::new(module_path!()),
            unreadable: Throttle::new(module_path!()),
        })
    }

    fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Erred => self.counters.count(TransportCounter::Errors),
            Event::Parked => self.counters.count(TransportCounter::ParkedReplies),
            Event::TimedOut(path) => {
                self.counters.count(TransportCounter::Timeouts);
                let path = path.display();
                self.undeliverable.warn(format_args!("reply to {path} dropped: nobody reads it"));
            }
            Event::Dropped(path, error) => {
                self.counters.count(TransportCounter::DroppedReplies);
                self.undeliverable.warn(format_args!("reply to {} dropped: {error}", path.display()));
            }
        }
    }
}
