//! Keeps the activity of one connection, which decides on its deadlines, and the reason to close it.
//!
//! The worker checks the deadlines of all connections every [`TICK`], so that a request needs no timer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::memory::HeldMemory;

/// Time between two checks of the deadlines.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// How long a connection may be silent between two requests.
const IDLE_TICKS: u32 = ticks(30);

/// How long the head of a request may take. For the first request of a connection the time before its first
/// byte counts, too.
const HEAD_TICKS: u32 = ticks(10);

/// How long a whole body may take.
const BODY_TICKS: u32 = ticks(60);

/// How long a client may pause within a body.
const BODY_PAUSE_TICKS: u32 = ticks(10);

/// How long a client may read nothing of its reply. The kernel of a client that reads steadily still makes
/// room in steps, on loopback of some 80 kB, so the slowest client that is kept reads 3 kB a second there.
const REPLY_PAUSE_TICKS: u32 = ticks(30);

/// How long a client may delay its request before the worker may close the connection to make room.
const GRACE_TICKS: u32 = ticks(1);

/// Converts seconds to ticks.
const fn ticks(seconds: u32) -> u32 {
    seconds * 2
}

/// The part of a request for which a connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
    /// The first byte of the next request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The rest of a request's body.
    Body,
    /// The end of the reply: its command runs, or the client reads.
    Reply,
}

/// Whether and why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// It stays open.
    No,
    /// It is closed after the current request, because the worker stops.
    Graceful,
    /// It is closed at once, because its client takes too long.
    TimedOut,
    /// It is closed at once, to make room for another connection.
    Evicted,
    /// It is closed at once, because its client is gone.
    ClientGone,
}

/// The activity of one connection. Times are in ticks of the worker's clock, which may wrap around.
#[derive(Debug)]
pub(super) struct Activity {
    /// The current time, which the worker advances.
    clock: Rc<Cell<u32>>,
    phase: Cell<ConnectionPhase>,
    phase_since: Cell<u32>,
    /// When the client last sent a byte, or the phase began.
    last_read: Cell<u32>,
    /// Since when the socket's send buffer is full; `None` while it has room.
    blocked_since: Cell<Option<u32>>,
    /// Bytes in the socket's send buffer at the last check, while the connection is blocked.
    unsent_bytes: Cell<Option<usize>>,
    /// The part of the worker's memory budget that this connection holds.
    memory: Rc<HeldMemory>,
    /// Bytes received of the current head.
    head_bytes: Cell<usize>,
    /// The part of the head that counts against the memory budget, in bytes.
    counted_head_bytes: Cell<usize>,
    /// The current request waits for a deferred reply.
    is_deferred: Cell<bool>,
    /// The next reply is one to HTTP/1.0, whose status line must be rewritten.
    is_http_1_0: Cell<bool>,
    closing: Cell<Closing>,
    /// Wakes the connection's task when `closing` changes.
    waker: RefCell<Option<Waker>>,
}

impl Activity {
    /// The activity of a new connection.
    pub(super) fn new(clock: &Rc<Cell<u32>>) -> Activity {
        let now = clock.get();
        Activity {
            clock: Rc::clone(clock),
            phase: Cell::new(ConnectionPhase::Head),
            phase_since: Cell::new(now),
            last_read: Cell::new(now),
            blocked_since: Cell::new(None),
            unsent_bytes: Cell::new(None),
            memory: Rc::default(),
            head_bytes: Cell::new(0),
            counted_head_bytes: Cell::new(0),
            is_deferred: Cell::new(false),
            is_http_1_0: Cell::new(false),
            closing: Cell::new(Closing::No),
            waker: RefCell::new(None),
        }
    }

    /// Begins a phase.
    pub(super) fn enter(&self, phase: ConnectionPhase) {
        self.phase.set(phase);
        self.phase_since.set(self.clock.get());
        self.last_read.set(self.clock.get());
    }

    /// Whether the client has exceeded the time limit of the phase. The idle time does not count while the
    /// client still reads the last reply.
    pub(super) fn is_late(&self) -> bool {
        let passed = |since: u32| self.clock.get().wrapping_sub(since);
        match (self.blocked_since.get(), self.phase.get()) {
            (Some(since), _) => passed(since) > REPLY_PAUSE_TICKS,
            (None, ConnectionPhase::Idle) => passed(self.phase_since.get()) > IDLE_TICKS,
            (None, ConnectionPhase::Head) => passed(self.phase_since.get()) > HEAD_TICKS,
            (None, ConnectionPhase::Body) => {
                passed(self.phase_since.get()) > BODY_TICKS || passed(self.last_read.get()) > BODY_PAUSE_TICKS
            }
            (None, ConnectionPhase::Reply) => false,
        }
    }

    /// Since when the connection has had no request and no unread reply; `None` while it has one.
    pub(super) fn idle_since(&self) -> Option<u32> {
        let is_idle = matches!(self.phase.get(), ConnectionPhase::Idle | ConnectionPhase::Head)
            && self.blocked_since.get().is_none();
        is_idle.then(|| self.phase_since.get())
    }

    /// Since when the client has delayed its request, by its body or by not reading the reply; `None` within
    /// the first [`GRACE_TICKS`], so that a burst of new connections does not close those that are about to
    /// send or read.
    pub(super) fn delaying_since(&self) -> Option<u32> {
        let body = (self.phase.get() == ConnectionPhase::Body).then(|| self.phase_since.get());
        self.blocked_since.get().or(body).filter(|since| self.is_past_grace(*since))
    }

    /// Since when the client has neither sent nor read a byte that the worker waits for; `None` within the
    /// first [`GRACE_TICKS`].
    pub(super) fn stalled_since(&self) -> Option<u32> {
        let is_sending = matches!(self.phase.get(), ConnectionPhase::Head | ConnectionPhase::Body);
        let last_read = is_sending.then(|| self.last_read.get());
        self.blocked_since.get().or(last_read).filter(|since| self.is_past_grace(*since))
    }

    fn is_past_grace(&self, since: u32) -> bool {
        self.clock.get().wrapping_sub(since) >= GRACE_TICKS
    }

    /// The part of the worker's memory budget that this connection holds.
    pub(super) fn memory(&self) -> &Rc<HeldMemory> {
        &self.memory
    }

    /// Bytes received of the current or next head; `None` while a body or a reply is in progress.
    pub(super) fn head_bytes(&self) -> Option<usize> {
        match self.phase.get() {
            ConnectionPhase::Idle => Some(0),
            ConnectionPhase::Head => Some(self.head_bytes.get()),
            ConnectionPhase::Body | ConnectionPhase::Reply => None,
        }
    }

    /// The part of the head that counts against the memory budget, in bytes. The worker sets it.
    pub(super) fn counted_head_bytes(&self) -> &Cell<usize> {
        &self.counted_head_bytes
    }

    /// Whether the current request waits for a deferred reply. The request's task sets it.
    pub(super) fn is_deferred(&self) -> &Cell<bool> {
        &self.is_deferred
    }

    /// Whether the next reply is one to HTTP/1.0. The request's task sets it; the connection's bytes clear
    /// it.
    pub(super) fn is_http_1_0(&self) -> &Cell<bool> {
        &self.is_http_1_0
    }

    /// Whether the socket's send buffer is full.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_since.get().is_some()
    }

    /// Notes the bytes in the send buffer of a blocked connection. When they have become fewer the client
    /// reads, and its time begins again.
    pub(super) fn note_unsent(&self, bytes: usize) {
        if self.unsent_bytes.replace(Some(bytes)).is_some_and(|before| bytes < before) {
            self.blocked_since.set(Some(self.clock.get()));
        }
    }

    /// Whether the connection waits for its next request and the client has read all replies.
    pub(super) fn is_idle(&self) -> bool {
        self.phase.get() == ConnectionPhase::Idle && self.blocked_since.get().is_none()
    }

    /// Closes the connection, by its own task.
    pub(super) fn close(&self, closing: Closing) {
        self.closing.set(closing);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether and why the connection is to be closed. The calling task is woken when that changes.
    pub(super) fn poll_closing(&self, cx: &Context<'_>) -> Closing {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.closing.get()
    }

    /// Whether and why the connection is to be closed.
    pub(super) fn closing(&self) -> Closing {
        self.closing.get()
    }

    /// Notes received bytes.
    pub(super) fn note_read(&self, bytes: usize) {
        if let Some(head_bytes) = self.head_bytes() {
            if self.phase.get() == ConnectionPhase::Idle {
                self.enter(ConnectionPhase::Head);
            }
            self.head_bytes.set(head_bytes + bytes);
        }
        self.last_read.set(self.clock.get());
    }

    /// Notes whether the socket took bytes or is blocked, and passes the result on.
    pub(super) fn note_write<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Ready(_) => {
                // The idle time begins when the last bytes of the reply have left.
                if self.blocked_since.take().is_some() && self.phase.get() == ConnectionPhase::Idle {
                    self.enter(ConnectionPhase::Idle);
                }
                self.unsent_bytes.set(None);
            }
            Poll::Pending if self.blocked_since.get().is_none() => {
                self.blocked_since.set(Some(self.clock.get()));
            }
            Poll::Pending => {}
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_time_limit() {
        for (phase, limit) in [
            (ConnectionPhase::Idle, IDLE_TICKS),
            (ConnectionPhase::Head, HEAD_TICKS),
            (ConnectionPhase::Body, BODY_PAUSE_TICKS),
        ] {
            let clock = Rc::new(Cell::new(u32::MAX - 3));
            let activity = Activity::new(&clock);
            activity.enter(phase);
            clock.set(clock.get().wrapping_add(limit));
            assert!(!activity.is_late(), "{phase:?}");
            clock.set(clock.get().wrapping_add(1));
            assert!(activity.is_late(), "{phase:?}");
            activity.enter(ConnectionPhase::Reply);
            assert!(!activity.is_late() && activity.idle_since().is_none());
        }
    }

    #[test]
    fn a_body_that_comes_slowly_is_late_after_the_limit_of_a_whole_body() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        activity.enter(ConnectionPhase::Body);
        for tick in 0..=BODY_TICKS {
            clock.set(tick);
            activity.note_read(1);
            assert!(!activity.is_late());
        }
        clock.set(BODY_TICKS + 1);
        activity.note_read(1);
        assert!(activity.is_late());
    }

    #[test]
    fn a_client_that_reads_nothing_is_late() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        activity.enter(ConnectionPhase::Reply);
        for tick in [0, 5, REPLY_PAUSE_TICKS] {
            clock.set(tick);
            let _pending = activity.note_write(Poll::<()>::Pending);
            assert!(!activity.is_late());
        }
        let _written = activity.note_write(Poll::Ready(()));
        clock.set(REPLY_PAUSE_TICKS + 1);
        assert!(!activity.is_late());
        let _pending = activity.note_write(Poll::<()>::Pending);
        clock.set(2 * REPLY_PAUSE_TICKS + 2);
        assert!(activity.is_late() && !activity.is_idle());
    }

    /// Also when the last piece of the reply is written and waits in the send buffer.
    #[test]
    fn a_client_that_reads_slowly_is_not_late() {
        for phase in [ConnectionPhase::Reply, ConnectionPhase::Idle] {
            let clock = Rc::new(Cell::new(0));
            let activity = Activity::new(&clock);
            activity.enter(phase);
            let _pending = activity.note_write(Poll::<()>::Pending);
            for (tick, unsent) in (0..10 * REPLY_PAUSE_TICKS).zip((0..100_000).rev()) {
                clock.set(tick);
                activity.note_unsent(unsent);
                assert!(!activity.is_late(), "{phase:?} {tick}");
            }
            let stopped = clock.get();
            for tick in stopped..=stopped + REPLY_PAUSE_TICKS {
                clock.set(tick);
                activity.note_unsent(99_999);
                assert!(!activity.is_late(), "{phase:?} {tick}");
            }
            clock.set(stopped + REPLY_PAUSE_TICKS + 1);
            assert!(activity.is_late());
        }
    }

    #[test]
    fn the_idle_time_begins_when_the_last_reply_has_left() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        activity.enter(ConnectionPhase::Idle);
        let _pending = activity.note_write(Poll::<()>::Pending);
        clock.set(IDLE_TICKS);
        let _written = activity.note_write(Poll::Ready(()));
        clock.set(2 * IDLE_TICKS);
        assert!(!activity.is_late());
        clock.set(2 * IDLE_TICKS + 1);
        assert!(activity.is_late());
    }

    #[test]
    fn a_client_that_delays_its_request_can_be_evicted_after_the_grace_time() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        clock.set(GRACE_TICKS);
        assert!(activity.delaying_since().is_none() && activity.idle_since().is_some());
        activity.enter(ConnectionPhase::Body);
        assert_eq!(activity.delaying_since(), None);
        clock.set(2 * GRACE_TICKS);
        assert_eq!(activity.delaying_since(), Some(GRACE_TICKS));
        activity.enter(ConnectionPhase::Reply);
        assert_eq!(activity.delaying_since(), None);
        let _pending = activity.note_write(Poll::<()>::Pending);
        assert_eq!(activity.stalled_since(), None);
        clock.set(3 * GRACE_TICKS);
        assert_eq!(activity.delaying_since(), Some(2 * GRACE_TICKS));
        assert_eq!(activity.stalled_since(), Some(2 * GRACE_TICKS));
    }
}
