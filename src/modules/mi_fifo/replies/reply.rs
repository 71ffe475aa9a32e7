//! Sends one reply to its client, in as many steps as it takes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{ReplyEvent, ReportEvent};
use crate::mi::{Context, Progress};
use crate::shm::{Parcel, Parcels, UnsentReply};
use crate::system::fifo::{self, Identity, ReplyError};
use crate::system::time_slice::{Step, TimeSpent};
use crate::wire::{PieceWriter, Stream};

/// For how long a client may neither open its FIFO nor read from it.
pub(super) const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before the first retry to open a FIFO. Clients write their request first, and open their FIFO
/// then.
const FIRST_PAUSE: Duration = Duration::from_micros(100);

/// The longest pause between two retries. Each pause is twice the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// For how long a client counts as one that reads after it has read.
const READING_TIME: Duration = Duration::from_millis(500);

/// The same for a client that has not read since its FIFO was full.
const FIRST_READING_TIME: Duration = Duration::from_millis(50);

/// The size of a piece of a long reply, in bytes: that of a FIFO.
const PIECE_BYTES: usize = 64 << 10;

/// The most bytes of one `write`.
const WRITE_BYTES: usize = 256 << 10;

/// A reply that is not completely sent.
#[derive(Debug)]
pub(in super::super) struct FifoReply<'a> {
    /// Numbers ascend in the order of the requests.
    pub(super) number: u64,
    /// The path of the reply FIFO. `None` when the reply is discarded.
    pub(super) path: Option<PathBuf>,
    fifo: Option<fifo::Reply>,
    /// The FIFO at the path when the request came.
    pub(super) identity: Option<Identity>,
    /// The bytes that are encoded and not sent.
    pub(in super::super) stream: Stream,
    /// The length of the request, in bytes.
    pub(in super::super) request_bytes: usize,
    /// The reply is counted as one that reports an error.
    pub(in super::super) is_error: bool,
    /// The time that the request has taken.
    spent: TimeSpent,
    /// Writes the rest of a long reply.
    pub(super) more: Option<Box<dyn PieceWriter<Stream>>>,
    pub(super) condition: SendCondition,
    /// When the client has last opened its FIFO or read from it. `None` before the reply is queued.
    pub(super) since: Option<Instant>,
    was_parked: bool,
    /// How many times the FIFO was full.
    pub(super) blocks: u32,
    /// The largest number of bytes in the stream.
    pub(super) max_stream_bytes: usize,
    /// A copy for a successor, while nothing is sent.
    pub(super) parcel: Option<Parcel<'a>>,
    /// The pending request of a deferred reply, while nothing is sent.
    pub(in super::super) unsent: Option<UnsentReply>,
}

/// What a reply waits for before more of it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendCondition {
    /// A time slice.
    Ready,
    /// Room in its FIFO.
    Blocked,
    /// A client that opens its FIFO.
    ClientAbsent { next_try: Instant, pause: Duration },
    /// The end of an earlier reply to the same FIFO.
    AfterOther,
}

impl SendCondition {
    /// The FIFO is to be opened as soon as there is something to write.
    pub(super) fn untried() -> SendCondition {
        SendCondition::ClientAbsent { next_try: Instant::now(), pause: Duration::ZERO }
    }

    /// The client has not opened its FIFO.
    pub(super) fn absent() -> SendCondition {
        SendCondition::ClientAbsent { next_try: Instant::now() + FIRST_PAUSE, pause: FIRST_PAUSE }
    }
}

/// The result of a step of a reply.
#[derive(Debug)]
pub(super) enum SendStep {
    /// The FIFO is open.
    Opened,
    Continues,
    /// All bytes are sent.
    Complete,
    /// The client has neither opened its FIFO nor read from it in time.
    TimedOut,
    Failed(ReplyError),
}

impl<'a> FifoReply<'a> {
    pub(super) fn new(
        number: u64,
        path: Option<PathBuf>,
        fifo: Option<fifo::Reply>,
        condition: SendCondition,
        stream: Stream,
    ) -> FifoReply<'a> {
        FifoReply {
            number,
            path,
            fifo,
            identity: None,
            stream,
            request_bytes: 0,
            is_error: false,
            spent: TimeSpent::default(),
            more: None,
            condition,
            since: None,
            was_parked: false,
            blocks: 0,
            max_stream_bytes: 0,
            parcel: None,
            unsent: None,
        }
    }

    /// Stores a copy for a successor, when the FIFO is not open. A client whose FIFO is open reads an end of
    /// file when the worker is killed, and takes it for the end of the reply. Long and unfinished replies are
    /// not stored.
    pub(super) fn store_copy(&mut self, parcels: &'a Parcels) {
        // A deferred reply is in the table of pending requests.
        let has_not_begun = self.unsent.is_none()
            && matches!(self.condition, SendCondition::ClientAbsent { .. } | SendCondition::AfterOther);
        if let (true, None, Some(path)) = (has_not_begun, &self.more, &self.path) {
            let identity = self.identity.map_or([0; 24], Identity::to_bytes);
            let parts = [&identity[..], path.as_os_str().as_bytes(), b"\0", self.stream.waiting()];
            self.parcel = parcels.keep(self.number, &parts);
        }
    }

    /// The FIFO was not tried yet.
    pub(super) fn is_not_tried(&self) -> bool {
        matches!(self.condition, SendCondition::ClientAbsent { pause: Duration::ZERO, .. })
    }

    /// The address for a deferred reply: the identity of the FIFO, and its path.
    pub(in super::super) fn address(&self) -> Vec<u8> {
        let Some(path) = &self.path else { return Vec::new() };
        let identity = self.identity.map_or([0; 24], Identity::to_bytes);
        [&identity[..], path.as_os_str().as_bytes()].concat()
    }

    /// The path for log lines.
    pub(super) fn shown_path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new("nowhere"))
    }

    pub(super) fn report_if_parked(&mut self, report: &mut ReportEvent<'_>) {
        if self.condition != SendCondition::Ready && !std::mem::replace(&mut self.was_parked, true) {
            report(ReplyEvent::Parked);
        }
    }

    /// The bytes in memory for this reply.
    pub(super) fn held_bytes(&self) -> usize {
        self.stream.waiting().len() + if self.has_work() { self.request_bytes } else { 0 }
    }

    /// A change is to be made, or requests of a batch are to be run, even when the client is gone.
    fn has_work(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.has_work())
    }

    /// The reply can use a time slice now. Work does not wait for the client until there is a reply to it.
    pub(super) fn is_ready(&self) -> bool {
        self.condition == SendCondition::Ready || (self.stream.waiting().is_empty() && self.has_work())
    }

    /// The client has used up its time.
    pub(super) fn is_timed_out(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= CLIENT_TIMEOUT)
    }

    /// The reply may be dropped over a limit: its client is not reading.
    pub(super) fn may_be_dropped(&self, now: Instant) -> bool {
        let time = self.since.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        match self.condition {
            SendCondition::Ready => false,
            SendCondition::Blocked => time >= if self.blocks > 1 { READING_TIME } else { FIRST_READING_TIME },
            SendCondition::ClientAbsent { .. } | SendCondition::AfterOther => true,
        }
    }

    /// The time of the next retry or timeout.
    pub(super) fn next_step_at(&self) -> Option<Instant> {
        match self.condition {
            SendCondition::Ready | SendCondition::AfterOther => None,
            SendCondition::Blocked => self.since.map(|since| since + CLIENT_TIMEOUT),
            SendCondition::ClientAbsent { next_try, .. } => Some(next_try),
        }
    }

    /// The FIFO, when the reply waits for room in it.
    pub(super) fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        self.fifo.as_ref().filter(|_| self.condition == SendCondition::Blocked).map(AsFd::as_fd)
    }

    /// Opens the FIFO when a retry is due, and checks the client's time.
    pub(super) fn try_open(&mut self, now: Instant) -> SendStep {
        self.since.get_or_insert(now);
        let is_timed_out = self.is_timed_out(now);
        match (&mut self.condition, &self.path) {
            (SendCondition::ClientAbsent { next_try, pause }, Some(path)) if now >= *next_try => {
                match fifo::Reply::open(path) {
                    Ok(fifo) if self.identity.is_some_and(|identity| identity != fifo.identity()) => {
                        SendStep::Failed(ReplyError::Replaced)
                    }
                    Ok(fifo) => {
                        self.fifo = Some(fifo);
                        self.condition = SendCondition::Ready;
                        self.since = Some(now);
                        SendStep::Opened
                    }
                    Err(ReplyError::Absent) if is_timed_out => SendStep::TimedOut,
                    Err(ReplyError::Absent) => {
                        *pause = (*pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                        *next_try = now + *pause;
                        SendStep::Continues
                    }
                    Err(error) => SendStep::Failed(error),
                }
            }
            (SendCondition::Blocked, _) if is_timed_out => SendStep::TimedOut,
            _ => SendStep::Continues,
        }
    }

    /// Encodes the next piece, for a time slice.
    fn make_piece(&mut self, context: &Context, report: &mut ReportEvent<'_>) {
        let FifoReply { more: Some(more), stream, spent, .. } = self else { return };
        let mut progress = Progress::More;
        spent.slice(|spent| {
            progress = more.write_piece(context, stream, spent);
            let is_enough = progress == Progress::Done || stream.waiting().len() >= PIECE_BYTES;
            if is_enough { Step::Done } else { Step::More }
        });
        if more.is_error() && !std::mem::replace(&mut self.is_error, true) {
            report(ReplyEvent::Failed);
        }
        if progress == Progress::Done {
            self.more = None;
        }
    }

    /// Encodes the next piece when the stream is empty, and writes as much as the FIFO has room for.
    pub(super) fn send_some(&mut self, context: &Context, report: &mut ReportEvent<'_>) -> SendStep {
        if self.stream.waiting().is_empty() {
            self.make_piece(context, report);
        }
        if self.condition != SendCondition::Ready {
            return SendStep::Continues;
        }
        self.max_stream_bytes = self.max_stream_bytes.max(self.stream.waiting().len());
        // Removed before the first byte is written, so that no successor sends the reply again.
        self.parcel = None;
        self.unsent = None;
        let waiting = self.stream.waiting();
        let piece = &waiting[..waiting.len().min(WRITE_BYTES)];
        let written = match &self.fifo {
            Some(fifo) if !piece.is_empty() => fifo.write(piece),
            // The reply is discarded, or empty: then the FIFO is opened and closed.
            _ => Ok(piece.len()),
        };
        match written {
            Ok(count) => self.stream.sent(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(fifo) = self.fifo.as_ref().filter(|_| self.more.is_some() && !self.was_parked) {
                    fifo.widen();
                }
                self.condition = SendCondition::Blocked;
                self.blocks += 1;
                return SendStep::Continues;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return SendStep::Continues,
            Err(error) => return SendStep::Failed(error.into()),
        }
        if self.stream.waiting().is_empty() && self.more.is_none() {
            return SendStep::Complete;
        }
        self.since = Some(Instant::now());
        SendStep::Continues
    }

    /// Continues a reply without its client, when it has work left. False when it has none.
    pub(super) fn detach(&mut self) -> bool {
        let has_work = self.has_work();
        if has_work {
            self.path = None;
            self.fifo = None;
            self.parcel = None;
            self.unsent = None;
            self.stream = Stream::default();
            self.condition = SendCondition::Ready;
        }
        has_work
    }
}
