//! One connection: what it is doing, for the deadlines, and what it holds.
//!
//! Whoever looks at the deadlines walks over all connections now and then, so that a request costs no timer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::memory::Kind;

/// How often deadlines are looked at.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// How long a connection may be silent between two requests.
const IDLE_TICKS: u32 = ticks(30);

/// How long the head of a request may take, the silence before the first one included.
const HEAD_TICKS: u32 = ticks(10);

/// How long a body may take as a whole.
const BODY_TICKS: u32 = ticks(60);

/// How long nothing of a body may come.
const STALL_TICKS: u32 = ticks(10);

/// How long nothing of a reply may be taken. A client's system makes room in steps, on loopback of some 80 kB, however
/// steadily it reads; so there this is 3 kB a second.
const READ_TICKS: u32 = ticks(30);

/// How long a client may hold up a request when there is no room for other connections.
const GRACE_TICKS: u32 = ticks(1);

/// The ticks in that many seconds.
const fn ticks(seconds: u32) -> u32 {
    seconds * 2
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request, and none has begun.
    Idle,
    /// The head of a request.
    Head,
    /// The body of a request.
    Body,
    /// The client, which is to read its reply.
    Reply,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Not now.
    NotYet,
    /// After the request in hand.
    InOrder,
    /// At once, as it takes too long.
    Late,
    /// At once, to make room for another.
    Evicted,
    /// At once, as its client has gone.
    Gone,
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    /// The time, in ticks.
    clock: Rc<Cell<u32>>,
    phase: Cell<Phase>,
    /// When that began.
    since: Cell<u32>,
    /// When bytes last came.
    moved: Cell<u32>,
    /// Since when the client has no room for bytes that are to leave.
    blocked: Cell<Option<u32>>,
    /// How many bytes waited to be taken by the client at the last look, if it was blocked by then.
    unsent: Cell<Option<usize>>,
    /// What this connection has of the memory, in bytes of each kind.
    held: [Cell<usize>; 2],
    /// Whether that counts as free, as this connection ends at once.
    is_written_off: Cell<bool>,
    /// How much of the head of a request has come, in bytes.
    head: Cell<usize>,
    /// What of that head has a part of the memory, in bytes.
    counted_head: Cell<usize>,
    /// Whether the reply in hand comes later, from another process.
    is_deferred: Cell<bool>,
    /// Whether the next reply has to be made one of HTTP/1.1.
    is_reply_old: Cell<bool>,
    end: Cell<End>,
    task: RefCell<Option<Waker>>,
}

impl Activity {
    /// That of a new connection.
    pub(super) fn new(clock: &Rc<Cell<u32>>) -> Activity {
        let now = clock.get();
        Activity {
            clock: Rc::clone(clock),
            phase: Cell::new(Phase::Head),
            since: Cell::new(now),
            moved: Cell::new(now),
            blocked: Cell::new(None),
            unsent: Cell::new(None),
            held: Default::default(),
            is_written_off: Cell::new(false),
            head: Cell::new(0),
            counted_head: Cell::new(0),
            is_deferred: Cell::new(false),
            is_reply_old: Cell::new(false),
            end: Cell::new(End::NotYet),
            task: RefCell::new(None),
        }
    }

    /// What the connection does from now on.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
        self.moved.set(self.clock.get());
    }

    /// Whether its client has waited for too long with what it should do. One that still reads the last reply is not
    /// asked for its next request.
    pub(super) fn is_late(&self) -> bool {
        let passed = |since: u32| self.clock.get().wrapping_sub(since);
        match (self.blocked.get(), self.phase.get()) {
            (Some(since), _) => passed(since) > READ_TICKS,
            (None, Phase::Idle) => passed(self.since.get()) > IDLE_TICKS,
            (None, Phase::Head) => passed(self.since.get()) > HEAD_TICKS,
            (None, Phase::Body) => {
                passed(self.since.get()) > BODY_TICKS || passed(self.moved.get()) > STALL_TICKS
            }
            (None, Phase::Reply) => false,
        }
    }

    /// Since when it has done nothing, if it may be closed to make room: no request of it is in hand.
    pub(super) fn spare_since(&self) -> Option<u32> {
        let is_spare = matches!(self.phase.get(), Phase::Idle | Phase::Head) && self.blocked.get().is_none();
        is_spare.then(|| self.since.get())
    }

    /// Since when a request of it is in hand and its client is waited for. Not when that has just begun: who is
    /// about to send or to read is not held up by many who come.
    pub(super) fn waiting_since(&self) -> Option<u32> {
        let body = (self.phase.get() == Phase::Body).then(|| self.since.get());
        self.blocked.get().or(body).filter(|since| self.is_long_ago(*since))
    }

    /// Since when its client has neither sent nor read anything, though it is its turn. Not when that has just begun.
    pub(super) fn stalled_since(&self) -> Option<u32> {
        let sends = matches!(self.phase.get(), Phase::Head | Phase::Body).then(|| self.moved.get());
        self.blocked.get().or(sends).filter(|since| self.is_long_ago(*since))
    }

    fn is_long_ago(&self, since: u32) -> bool {
        self.clock.get().wrapping_sub(since) >= GRACE_TICKS
    }

    /// What it has of the memory, in bytes, if that counts.
    pub(super) fn held(&self, kind: Kind) -> Option<&Cell<usize>> {
        (!self.is_written_off.get()).then_some(&self.held[kind as usize])
    }

    /// Has nothing count that it holds.
    pub(super) fn write_off(&self) {
        self.is_written_off.set(true);
    }

    /// How much of a head has come, in bytes, while one is read or waited for.
    pub(super) fn head(&self) -> Option<usize> {
        match self.phase.get() {
            Phase::Idle => Some(0),
            Phase::Head => Some(self.head.get()),
            Phase::Body | Phase::Reply => None,
        }
    }

    /// What of the head of a request has a part of the memory, in bytes, for who changes that.
    pub(super) fn counted_head(&self) -> &Cell<usize> {
        &self.counted_head
    }

    /// Whether the reply in hand comes later, from another process.
    pub(super) fn is_deferred(&self) -> &Cell<bool> {
        &self.is_deferred
    }

    /// Whether the reply that leaves next is one that hyper makes for HTTP/1.0.
    pub(super) fn is_reply_old(&self) -> &Cell<bool> {
        &self.is_reply_old
    }

    /// Whether bytes are to leave for which the client has no room.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.get().is_some()
    }

    /// Notes how much waits to be taken by a client that has no room for more. One that takes some is waited for.
    pub(super) fn note_unsent(&self, bytes: usize) {
        if self.unsent.replace(Some(bytes)).is_some_and(|before| bytes < before) {
            self.blocked.set(Some(self.clock.get()));
        }
    }

    /// Whether it did what it should, so that its end is no fault of its client's.
    pub(super) fn is_punctual(&self) -> bool {
        self.phase.get() == Phase::Idle && self.blocked.get().is_none()
    }

    /// Has the connection end.
    pub(super) fn end(&self, end: End) {
        self.end.set(end);
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }

    /// How it is to end. The task that asks is told when that changes.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> End {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        self.end.get()
    }

    /// How it is to end.
    pub(super) fn ending(&self) -> End {
        self.end.get()
    }

    /// Notes bytes that have come.
    pub(super) fn note_read(&self, bytes: usize) {
        if let Some(head) = self.head() {
            if self.phase.get() == Phase::Idle {
                self.enter(Phase::Head);
            }
            self.head.set(head + bytes);
        }
        self.moved.set(self.clock.get());
    }

    /// Notes whether bytes could leave.
    pub(super) fn note_write<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Ready(_) => {
                // Its time for the next request begins when the last reply has left.
                if self.blocked.take().is_some() && self.phase.get() == Phase::Idle {
                    self.enter(Phase::Idle);
                }
                self.unsent.set(None);
            }
            Poll::Pending if self.blocked.get().is_none() => self.blocked.set(Some(self.clock.get())),
            Poll::Pending => {}
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_a_deadline_of_its_own() {
        for (phase, limit) in
            [(Phase::Idle, IDLE_TICKS), (Phase::Head, HEAD_TICKS), (Phase::Body, STALL_TICKS)]
        {
            let clock = Rc::new(Cell::new(u32::MAX - 3));
            let activity = Activity::new(&clock);
            activity.enter(phase);
            clock.set(clock.get().wrapping_add(limit));
            assert!(!activity.is_late(), "{phase:?}");
            clock.set(clock.get().wrapping_add(1));
            assert!(activity.is_late(), "{phase:?}");
            activity.enter(Phase::Reply);
            assert!(!activity.is_late() && activity.spare_since().is_none());
        }
    }

    #[test]
    fn a_body_that_trickles_has_a_limit_too() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        activity.enter(Phase::Body);
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
    fn a_reader_is_late_when_nothing_leaves() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        activity.enter(Phase::Reply);
        for tick in [0, 5, READ_TICKS] {
            clock.set(tick);
            let _pending = activity.note_write(Poll::<()>::Pending);
            assert!(!activity.is_late());
        }
        let _written = activity.note_write(Poll::Ready(()));
        clock.set(READ_TICKS + 1);
        assert!(!activity.is_late());
        let _pending = activity.note_write(Poll::<()>::Pending);
        clock.set(2 * READ_TICKS + 2);
        assert!(activity.is_late() && !activity.is_punctual());
    }

    /// Also when the last piece of the reply is made, and only waits to leave.
    #[test]
    fn a_reader_that_takes_little_is_waited_for() {
        for phase in [Phase::Reply, Phase::Idle] {
            let clock = Rc::new(Cell::new(0));
            let activity = Activity::new(&clock);
            activity.enter(phase);
            let _pending = activity.note_write(Poll::<()>::Pending);
            for (tick, unsent) in (0..10 * READ_TICKS).zip((0..100_000).rev()) {
                clock.set(tick);
                activity.note_unsent(unsent);
                assert!(!activity.is_late(), "{phase:?} {tick}");
            }
            let stopped = clock.get();
            for tick in stopped..=stopped + READ_TICKS {
                clock.set(tick);
                activity.note_unsent(99_999);
                assert!(!activity.is_late(), "{phase:?} {tick}");
            }
            clock.set(stopped + READ_TICKS + 1);
            assert!(activity.is_late());
        }
    }

    #[test]
    fn the_time_for_the_next_request_begins_when_the_last_reply_has_left() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        activity.enter(Phase::Idle);
        let _pending = activity.note_write(Poll::<()>::Pending);
        clock.set(IDLE_TICKS);
        let _written = activity.note_write(Poll::Ready(()));
        clock.set(2 * IDLE_TICKS);
        assert!(!activity.is_late());
        clock.set(2 * IDLE_TICKS + 1);
        assert!(activity.is_late());
    }

    #[test]
    fn who_holds_up_a_request_makes_room_after_a_while() {
        let clock = Rc::new(Cell::new(0));
        let activity = Activity::new(&clock);
        clock.set(GRACE_TICKS);
        assert!(activity.waiting_since().is_none() && activity.spare_since().is_some());
        activity.enter(Phase::Body);
        assert_eq!(activity.waiting_since(), None);
        clock.set(2 * GRACE_TICKS);
        assert_eq!(activity.waiting_since(), Some(GRACE_TICKS));
        activity.enter(Phase::Reply);
        assert_eq!(activity.waiting_since(), None);
        let _pending = activity.note_write(Poll::<()>::Pending);
        assert_eq!(activity.stalled_since(), None);
        clock.set(3 * GRACE_TICKS);
        assert_eq!(activity.waiting_since(), Some(2 * GRACE_TICKS));
        assert_eq!(activity.stalled_since(), Some(2 * GRACE_TICKS));
    }
}
