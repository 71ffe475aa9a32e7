//! One reply on its way to its client.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Event, Tell};
use crate::mi::{Context, Progress};
use crate::shm::{Parcel, Parcels, UnsentReply};
use crate::system::fifo::{self, Identity, ReplyError};
use crate::system::time_slice::{Step, TimeSpent};
use crate::wire::{PieceWriter, Stream};

/// How long a client may take to open its FIFO, or to read on.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How soon a FIFO that nobody reads is first tried again: clients write their request, and open it then.
const FIRST_PAUSE: Duration = Duration::from_micros(100);

/// How long the pause between two tries gets.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// How long a client that has taken something counts as one that reads.
const TAKES: Duration = Duration::from_millis(500);

/// How long one does that has taken nothing since its FIFO was full.
const BEGINS_TO_TAKE: Duration = Duration::from_millis(50);

/// How much of a long reply is made at once, in bytes: what a FIFO holds.
const PIECE_BYTES: usize = 64 << 10;

/// Most that is written at once, in bytes.
const WRITE_BYTES: usize = 256 << 10;

/// A reply.
#[derive(Debug)]
pub(in super::super) struct Reply<'a> {
    /// The order of requests.
    pub(super) number: u64,
    /// The client's FIFO; `None` when it goes nowhere.
    pub(super) path: Option<PathBuf>,
    fifo: Option<fifo::Reply>,
    /// Which FIFO the path named when the request came, when it is to be opened later.
    pub(super) identity: Option<Identity>,
    /// What was written and has not left.
    pub(in super::super) stream: Stream,
    /// How long its request is, in bytes.
    pub(in super::super) asked: usize,
    /// Whether it was told of as one with an error.
    pub(in super::super) is_error: bool,
    /// How long its request has kept the process busy.
    spent: TimeSpent,
    /// What is not written yet.
    pub(super) more: Option<Box<dyn PieceWriter<Stream>>>,
    pub(super) condition: Condition,
    /// When the client made its last move, once it is waited for.
    pub(super) since: Option<Instant>,
    was_parked: bool,
    /// How often its FIFO was full.
    pub(super) blocks: u32,
    /// Most that has waited at once, in bytes.
    pub(super) largest: usize,
    /// A copy for a successor, while nothing was written.
    pub(super) parcel: Option<Parcel<'a>>,
    /// Its row in the table, when it has come later and nothing was written.
    pub(in super::super) unsent: Option<UnsentReply>,
}

/// What a reply waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Its turn.
    Ready,
    /// Room in the FIFO.
    Blocked,
    /// Somebody who reads the FIFO.
    Absent { next_try: Instant, pause: Duration },
    /// The end of another reply to the same FIFO.
    Waiting,
}

impl Condition {
    /// To be tried as soon as there is something to write.
    pub(super) fn due() -> Condition {
        Condition::Absent { next_try: Instant::now(), pause: Duration::ZERO }
    }

    /// To be tried soon.
    pub(super) fn absent() -> Condition {
        Condition::Absent { next_try: Instant::now() + FIRST_PAUSE, pause: FIRST_PAUSE }
    }
}

/// What a turn has led to.
#[derive(Debug)]
pub(super) enum Turn {
    /// Its client has come.
    Opened,
    GoesOn,
    /// All of it has left.
    Ends,
    /// Its client took too long.
    Late,
    Fails(ReplyError),
}

impl<'a> Reply<'a> {
    pub(super) fn new(
        number: u64,
        path: Option<PathBuf>,
        fifo: Option<fifo::Reply>,
        condition: Condition,
        stream: Stream,
    ) -> Reply<'a> {
        Reply {
            number,
            path,
            fifo,
            identity: None,
            stream,
            asked: 0,
            is_error: false,
            spent: TimeSpent::default(),
            more: None,
            condition,
            since: None,
            was_parked: false,
            blocks: 0,
            largest: 0,
            parcel: None,
            unsent: None,
        }
    }

    /// Leaves a copy for a successor, when the client has not come: one whose FIFO is open sees its end when this process
    /// is killed, and takes that for the end of the reply. What is long, or not yet made, is lost with the process.
    pub(super) fn keep(&mut self, parcels: &'a Parcels) {
        // A reply that has come later lies in the table anyway.
        let waits =
            self.unsent.is_none() && matches!(self.condition, Condition::Absent { .. } | Condition::Waiting);
        if let (true, None, Some(path)) = (waits, &self.more, &self.path) {
            let identity = self.identity.map_or([0; 24], Identity::to_bytes);
            let parts = [&identity[..], path.as_os_str().as_bytes(), b"\0", self.stream.waiting()];
            self.parcel = parcels.keep(self.number, &parts);
        }
    }

    /// Whether nobody has looked for its client yet.
    pub(super) fn was_not_opened(&self) -> bool {
        matches!(self.condition, Condition::Absent { pause: Duration::ZERO, .. })
    }

    /// Which FIFO its path named, and the path: to be kept somewhere.
    pub(in super::super) fn address(&self) -> Vec<u8> {
        let Some(path) = &self.path else { return Vec::new() };
        let identity = self.identity.map_or([0; 24], Identity::to_bytes);
        [&identity[..], path.as_os_str().as_bytes()].concat()
    }

    /// For the log.
    pub(super) fn shown_path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new("nowhere"))
    }

    pub(super) fn tell_if_parked(&mut self, tell: &mut Tell<'_>) {
        if self.condition != Condition::Ready && !std::mem::replace(&mut self.was_parked, true) {
            tell(Event::Parked);
        }
    }

    /// What it holds at most, in bytes.
    pub(super) fn held(&self) -> usize {
        self.stream.waiting().len() + if self.has_work() { self.asked } else { 0 }
    }

    /// Whether it is more than a reply, whoever reads it: a change to be made, or requests of a batch to be run.
    fn has_work(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.has_work())
    }

    /// Whether it goes on as soon as it has its turn. Work does not wait for the client until there is a reply to it.
    pub(super) fn can_go_on(&self) -> bool {
        self.condition == Condition::Ready || (self.stream.waiting().is_empty() && self.has_work())
    }

    /// Whether its client lets time pass: all of it that it has.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }

    /// Whether it may be given up to make room: its client does not read at the moment.
    pub(super) fn may_go(&self, now: Instant) -> bool {
        let time = self.since.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        match self.condition {
            Condition::Ready => false,
            Condition::Blocked => time >= if self.blocks > 1 { TAKES } else { BEGINS_TO_TAKE },
            Condition::Absent { .. } | Condition::Waiting => true,
        }
    }

    /// When something is to be done without anybody's move.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.condition {
            Condition::Ready | Condition::Waiting => None,
            Condition::Blocked => self.since.map(|since| since + PATIENCE),
            Condition::Absent { next_try, .. } => Some(next_try),
        }
    }

    /// The FIFO, when it must have room first.
    pub(super) fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        self.fifo.as_ref().filter(|_| self.condition == Condition::Blocked).map(AsFd::as_fd)
    }

    /// Tries to open the FIFO, when that is due, and sees whether the client is late.
    pub(super) fn look(&mut self, now: Instant) -> Turn {
        self.since.get_or_insert(now);
        let is_late = self.is_late(now);
        match (&mut self.condition, &self.path) {
            (Condition::Absent { next_try, pause }, Some(path)) if now >= *next_try => {
                match fifo::Reply::open(path) {
                    Ok(fifo) if self.identity.is_some_and(|asked| asked != fifo.identity()) => {
                        Turn::Fails(ReplyError::Replaced)
                    }
                    Ok(fifo) => {
                        self.fifo = Some(fifo);
                        self.condition = Condition::Ready;
                        self.since = Some(now);
                        Turn::Opened
                    }
                    Err(ReplyError::Absent) if is_late => Turn::Late,
                    Err(ReplyError::Absent) => {
                        *pause = (*pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                        *next_try = now + *pause;
                        Turn::GoesOn
                    }
                    Err(error) => Turn::Fails(error),
                }
            }
            (Condition::Blocked, _) if is_late => Turn::Late,
            _ => Turn::GoesOn,
        }
    }

    /// Makes the next piece of what is not written yet, for a time slice.
    fn make(&mut self, context: &Context, tell: &mut Tell<'_>) {
        let Reply { more: Some(more), stream, spent, .. } = self else { return };
        let mut progress = Progress::More;
        spent.slice(|spent| {
            progress = more.write_piece(context, stream, spent);
            let is_enough = progress == Progress::Done || stream.waiting().len() >= PIECE_BYTES;
            if is_enough { Step::Done } else { Step::More }
        });
        if more.is_error() && !std::mem::replace(&mut self.is_error, true) {
            tell(Event::Erred);
        }
        if progress == Progress::Done {
            self.more = None;
        }
    }

    /// Writes what there is room for, and the next piece when that has left.
    pub(super) fn go_on(&mut self, context: &Context, tell: &mut Tell<'_>) -> Turn {
        if self.stream.waiting().is_empty() {
            self.make(context, tell);
        }
        if self.condition != Condition::Ready {
            return Turn::GoesOn;
        }
        self.largest = self.largest.max(self.stream.waiting().len());
        // Before anything is written, so that nothing is written twice.
        self.parcel = None;
        self.unsent = None;
        let waiting = self.stream.waiting();
        let piece = &waiting[..waiting.len().min(WRITE_BYTES)];
        let written = match &self.fifo {
            Some(fifo) if !piece.is_empty() => fifo.write(piece),
            // Nobody reads it, or a client waits for an empty reply: its FIFO is opened and closed.
            _ => Ok(piece.len()),
        };
        match written {
            Ok(count) => self.stream.sent(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(fifo) = self.fifo.as_ref().filter(|_| self.more.is_some() && !self.was_parked) {
                    fifo.widen();
                }
                self.condition = Condition::Blocked;
                self.blocks += 1;
                return Turn::GoesOn;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Turn::GoesOn,
            Err(error) => return Turn::Fails(error.into()),
        }
        if self.stream.waiting().is_empty() && self.more.is_none() {
            return Turn::Ends;
        }
        self.since = Some(Instant::now());
        Turn::GoesOn
    }

    /// What has lost its client goes on without it, when there is work to be done. False when not.
    pub(super) fn go_nowhere(&mut self) -> bool {
        let goes_on = self.has_work();
        if goes_on {
            self.path = None;
            self.fifo = None;
            self.parcel = None;
            self.unsent = None;
            self.stream = Stream::default();
            self.condition = Condition::Ready;
        }
        goes_on
    }
}
