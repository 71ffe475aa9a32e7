//! Runs the loop of the worker: reads requests, answers them, and sends the replies.
//!
//! The worker blocks in `read` while no reply is queued. Otherwise it polls the FIFO for requests and the
//! reply FIFOs. C: `mi_fifo_server` in fifo_fnc.c.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::answer::{self, FifoAnswerer, FifoOutcome};
use super::replies::{FifoReply, ReplyEvent, ReplyQueue};
use super::settings::FifoSettings;
use super::{COUNTERS, OpenedFifo};
use crate::logging::Throttle;
use crate::mi::{Caller, Context, PeerName};
use crate::module::{OpenError, Process, TransportCounter, TransportCounters};
use crate::shm::{ReadAhead, ReplyInbox};
use crate::system::fifo::{self, Identity};
use crate::wire::frame::{
    CommandInput, FifoRequest, Frame, FrameContent, FrameWait, Framer, HeaderLookup, StreamMode,
};

/// How long the worker waits for the rest of a request that is not text.
const QUIET_TIME: Duration = Duration::from_millis(200);

/// Pause before the worker reads the rest of a text request. It lets a client that writes line by line, as a
/// shell does, write all its lines, so that lines of other clients come between them less often.
const BETWEEN_LINES: Duration = Duration::from_micros(500);

/// The most requests that are served before a queued reply gets a time slice.
const BURST: usize = 16;

/// Pause after an error of `read`, so that a lasting error does not take a whole core.
const AFTER_READ_ERROR: Duration = Duration::from_millis(10);

/// For how long the worker answers requests and sends replies when it has to stop.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// The most bytes of a refused request that are logged.
const SHOWN_BYTES: usize = 40;

/// The worker process.
#[derive(Debug)]
pub(super) struct FifoWorker<'a> {
    process: &'a Process<'a>,
    requests: BorrowedFd<'a>,
    ahead: &'a ReadAhead,
    /// The bytes that are read. The first `taken` of them are served.
    unread: Vec<u8>,
    taken: usize,
    framer: Framer,
    /// Since when the rest of a request is missing.
    waiting_since: Option<Instant>,
    /// It is missing for [`QUIET_TIME`].
    is_quiet: bool,
    server: RequestServer<'a>,
}

impl<'a> FifoWorker<'a> {
    /// Makes the worker, with the requests and replies that a predecessor has left.
    pub(super) fn new(
        process: &'a Process<'a>,
        settings: &'a FifoSettings,
        open: &'a OpenedFifo,
    ) -> Result<FifoWorker<'a>, OpenError> {
        let OpenedFifo { requests, ahead, parcels, .. } = open;
        let mut unread = Vec::new();
        let mode = StreamMode::from_number(ahead.take_over(&mut unread));
        let server = RequestServer {
            answerer: FifoAnswerer::new(process.context(), &settings.indent),
            replies: ReplyQueue::take_over(parcels, Identity::of(requests).ok()),
            settings,
            recorder: EventRecorder::new(process)?,
            path_buffer: OsString::new(),
            context: process.context(),
            any_may_defer: process.context().commands.any_may_defer(),
            inbox: ReplyInbox::new(process.context().pending, process.context().slot),
        };
        Ok(FifoWorker {
            process,
            requests: requests.as_fd(),
            ahead,
            unread,
            taken: 0,
            framer: Framer::new(mode),
            waiting_since: None,
            is_quiet: false,
            server,
        })
    }

    /// Serves requests until the process has to stop, then those that clients have written.
    pub(super) fn serve(mut self) {
        self.process.set_ready();
        while !self.process.should_stop() {
            let served = self.serve_read_requests();
            self.server.send_deferred();
            self.server.send_queued();
            self.read(served);
        }
        self.drain();
    }

    /// Serves requests that are read.
    ///
    /// # Errors
    /// [`FrameWait`] when more bytes are needed.
    fn serve_read_requests(&mut self) -> Result<(), FrameWait> {
        for _ in 0..BURST {
            if self.server.replies.has_detached_backlog() {
                return Ok(());
            }
            let unread = &self.unread[self.taken..];
            let known = HeaderNames { context: self.process.context(), settings: self.server.settings };
            match self.framer.next_frame(unread, self.is_quiet, &known) {
                Ok(Frame { start, length, next, content }) => {
                    self.process.set_busy(true);
                    // The request is removed before it runs, so that no successor runs it again.
                    self.ahead.take(start, length, next.number());
                    self.server.serve(content, &unread[start..start + length]);
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

    /// Reads requests. Waits for them unless there is other work to do.
    fn read(&mut self, served: Result<(), FrameWait>) {
        let notifier = self.server.notifier();
        let replies = &mut self.server.replies;
        let limit = match served {
            Ok(()) => return,
            Err(_) if replies.is_any_ready() => Some(Duration::ZERO),
            Err(FrameWait::Brief) => {
                let since = *self.waiting_since.get_or_insert_with(Instant::now);
                Some(QUIET_TIME.saturating_sub(since.elapsed()))
            }
            Err(FrameWait::Indefinite) if !self.unread.is_empty() => {
                std::thread::sleep(BETWEEN_LINES);
                None
            }
            Err(FrameWait::Indefinite) => None,
        };
        let waits = limit.is_some() || notifier.is_some() || !replies.is_empty();
        if waits && !replies.wait(self.requests, notifier, limit) {
            // Set after a poll that found no bytes, as the process may have been stopped for longer.
            self.is_quiet = self.waiting_since.is_some_and(|since| since.elapsed() >= QUIET_TIME);
            return;
        }
        self.read_now();
    }

    fn read_now(&mut self) {
        match self.ahead.read(self.requests, &mut self.unread) {
            Ok(_) => {
                self.waiting_since = None;
                self.is_quiet = false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.server.recorder.unreadable.warn(format_args!("cannot read: {error}"));
                std::thread::sleep(AFTER_READ_ERROR);
            }
        }
    }

    /// Answers requests that were written before the stop, and sends queued replies.
    fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_TIME;
        loop {
            let served = self.serve_read_requests();
            self.server.send_deferred();
            self.server.send_queued();
            let now = Instant::now();
            if now >= deadline {
                return;
            }
            let replies = &mut self.server.replies;
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

/// Looks up the names in a header.
struct HeaderNames<'a> {
    context: &'a Context,
    settings: &'a FifoSettings,
}

impl HeaderLookup for HeaderNames<'_> {
    fn command(&self, name: &[u8]) -> CommandInput {
        answer::command_input(self.context, name)
    }

    fn is_reply_fifo(&self, name: &[u8]) -> bool {
        let mut path = OsString::new();
        matches!(reply_path(self.settings, name, &mut path), Ok(Some(path)) if fifo::Reply::look(path).is_ok())
    }
}

/// Answers requests and sends their replies.
#[derive(Debug)]
struct RequestServer<'a> {
    answerer: FifoAnswerer<'a>,
    replies: ReplyQueue<'a>,
    settings: &'a FifoSettings,
    recorder: EventRecorder,
    /// The buffer of a reply FIFO's path, reused.
    path_buffer: OsString,
    context: &'a Context,
    /// There are commands that may defer their replies.
    any_may_defer: bool,
    inbox: ReplyInbox,
}

impl<'a> RequestServer<'a> {
    /// Serves a frame, whose bytes are `bytes`.
    fn serve(&mut self, content: FrameContent<'_>, bytes: &[u8]) {
        match content {
            FrameContent::Skip => {}
            FrameContent::Garbage => {
                let shown = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii();
                self.recorder.refused.warn(format_args!("no request, passed over: {shown}"));
                self.recorder.counters.count(TransportCounter::Errors);
            }
            FrameContent::Request { reply_fifo, request } => self.answer(reply_fifo, request, bytes.len()),
        }
    }

    /// Answers a request of `length` bytes.
    fn answer(&mut self, reply_fifo: &[u8], request: FifoRequest<'_>, length: usize) {
        self.recorder.counters.count(TransportCounter::Requests);
        let path = match reply_path(self.settings, reply_fifo, &mut self.path_buffer) {
            Ok(path) => path,
            Err(reason) => {
                let name = reply_fifo.escape_ascii();
                self.recorder.refused.warn(format_args!("no reply to {name}, nothing is run: {reason}"));
                return self.recorder.counters.count(TransportCounter::Errors);
            }
        };
        let may_be_deferred = self.any_may_defer && answer::may_be_deferred(self.context, &request);
        let mut reply = match self.replies.begin(path, may_be_deferred) {
            Ok(reply) => reply,
            Err(error) => {
                let path = path.unwrap_or(Path::new("")).display();
                self.recorder.refused.warn(format_args!("no reply to {path}, nothing is run: {error}"));
                return self.recorder.counters.count(TransportCounter::Errors);
            }
        };
        let address = if may_be_deferred { reply.address() } else { Vec::new() };
        let peer = ReplyPath(path);
        let caller = Caller { transport: "mi_fifo", peer: &peer, address: &address };
        let outcome = self.answerer.answer(request, caller, &mut reply.stream);
        reply.request_bytes = length;
        match outcome.deferred {
            Some(number) => self.inbox.expect(number),
            None => self.send(reply, outcome),
        }
    }

    fn send(&mut self, mut reply: FifoReply<'a>, outcome: FifoOutcome) {
        reply.is_error = outcome.is_error;
        if outcome.is_error {
            self.recorder.counters.count(TransportCounter::Errors);
        }
        let recorder = &mut self.recorder;
        self.replies.send(reply, outcome.unfinished, self.context, &mut |event| recorder.record(event));
    }

    /// The descriptor that is readable when a pending request was answered. `None` while no request is
    /// pending, or the queue has no room.
    fn notifier(&self) -> Option<BorrowedFd<'static>> {
        self.inbox.notifier().filter(|_| !self.inbox.is_empty() && self.replies.has_room())
    }

    /// Sends the deferred replies that other processes have given.
    fn send_deferred(&mut self) {
        if self.inbox.is_empty() || !self.replies.has_room() {
            return;
        }
        self.inbox.drain_notifier();
        while self.replies.has_room()
            && let Some(answered) = self.inbox.take(
                |address| decode_address(address).is_none_or(|(_, path)| self.replies.has_room_for(path)),
                |_| (),
            )
        {
            let Some((identity, path)) = decode_address(&answered.address) else { continue };
            match self.replies.begin_deferred(path, identity) {
                Ok(mut reply) => {
                    let outcome = self.answerer.write_deferred(&answered, &mut reply.stream);
                    reply.unsent = Some(answered.unsent);
                    self.send(reply, outcome);
                }
                Err(error) => self.recorder.record(ReplyEvent::Dropped(path, &error)),
            }
        }
    }

    fn send_queued(&mut self) {
        if !self.replies.is_empty() {
            let recorder = &mut self.recorder;
            self.replies.run_once(self.context, &mut |event| recorder.record(event));
        }
    }
}

/// A client in log lines: the path of its reply FIFO, and the FIFO's owner.
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

/// Decodes the address of a deferred reply. `None` when the request has no reply FIFO.
fn decode_address(address: &[u8]) -> Option<(Identity, &Path)> {
    let (identity, path) = address.split_first_chunk()?;
    Some((Identity::from_bytes(*identity), Path::new(OsStr::from_bytes(path))))
}

/// Writes the path of the reply FIFO of that name to `path`. `None` when the name is empty. C:
/// `get_reply_filename`.
fn reply_path<'a>(
    settings: &FifoSettings,
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

/// Counts events in the module's statistics, and logs them.
#[derive(Debug)]
struct EventRecorder {
    counters: TransportCounters,
    refused: Throttle,
    undeliverable: Throttle,
    unreadable: Throttle,
}

impl EventRecorder {
    fn new(process: &Process<'_>) -> Result<EventRecorder, OpenError> {
        Ok(EventRecorder {
            counters: TransportCounters::find(process, &COUNTERS)?,
            refused: Throttle::new(module_path!()),
            undeliverable: Throttle::new(module_path!()),
            unreadable: Throttle::new(module_path!()),
        })
    }

    fn record(&mut self, event: ReplyEvent<'_>) {
        match event {
            ReplyEvent::Failed => self.counters.count(TransportCounter::Errors),
            ReplyEvent::Parked => self.counters.count(TransportCounter::ParkedReplies),
            ReplyEvent::TimedOut(path) => {
                self.counters.count(TransportCounter::Timeouts);
                let path = path.display();
                self.undeliverable.warn(format_args!("reply to {path} dropped: nobody reads it"));
            }
            ReplyEvent::Dropped(path, error) => {
                self.counters.count(TransportCounter::DroppedReplies);
                self.undeliverable.warn(format_args!("reply to {} dropped: {error}", path.display()));
            }
        }
    }
}
