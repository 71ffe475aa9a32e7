//! Limits the memory that the requests and replies of a worker take together. Pure: no socket.
//!
//! The budget is 48 MiB: 32 MiB for the heads and bodies of requests, 16 MiB for replies that clients have
//! not read. Neither part can use up the other. The number of connections limits the rest.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

/// One part of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryKind {
    /// The head and the body of a request, beyond [`FREE_HEAD_BYTES`] and [`FREE_BODY_BYTES`].
    Request,
    /// A reply that its client has not read.
    Reply,
}

impl MemoryKind {
    /// The size of this part of the budget, in bytes.
    const fn limit(self) -> usize {
        match self {
            MemoryKind::Request => 32 << 20,
            MemoryKind::Reply => 16 << 20,
        }
    }
}

/// Bytes of each head that do not count against the budget: more than any common client sends.
pub(super) const FREE_HEAD_BYTES: usize = 4 << 10;

/// Bytes of each body that do not count against the budget, so that a short command always has room.
pub(super) const FREE_BODY_BYTES: usize = 8 << 10;

/// The least that a waiting task needs, in bytes; for how many are woken at a time.
const LEAST_WANTED_BYTES: usize = 4 << 10;

/// The memory of all connections of a worker, and the tasks that wait for some.
#[derive(Debug, Default)]
pub(super) struct MemoryBudget {
    used: [Cell<usize>; 2],
    /// In the order in which they began to wait.
    waiters: RefCell<VecDeque<Waker>>,
}

/// The part of the budget that one connection holds.
#[derive(Debug, Default)]
pub(super) struct HeldMemory {
    bytes: [Cell<usize>; 2],
    /// The connection is being closed: all that it holds counts as free already.
    is_written_off: Cell<bool>,
}

impl HeldMemory {
    /// How many bytes of a kind the connection holds; 0 when they are written off.
    pub(super) fn bytes(&self, kind: MemoryKind) -> usize {
        self.counted(kind).map_or(0, Cell::get)
    }

    fn counted(&self, kind: MemoryKind) -> Option<&Cell<usize>> {
        (!self.is_written_off.get()).then_some(&self.bytes[kind as usize])
    }
}

impl MemoryBudget {
    fn used_of(&self, kind: MemoryKind) -> &Cell<usize> {
        &self.used[kind as usize]
    }

    /// Counts `bytes` more for a connection. The caller has checked that there is room.
    pub(super) fn take(&self, kind: MemoryKind, held: &HeldMemory, bytes: usize) {
        if let Some(held) = held.counted(kind) {
            held.set(held.get() + bytes);
            self.used_of(kind).set(self.used_of(kind).get() + bytes);
        }
    }

    /// Counts `bytes` less for a connection.
    pub(super) fn give_back(&self, kind: MemoryKind, held: &HeldMemory, bytes: usize) {
        if let Some(held) = held.counted(kind) {
            held.set(held.get() - bytes);
            self.free(kind, bytes);
        }
    }

    /// Counts all that a connection holds as free, as it is closed at once. Nothing of it counts from now on.
    pub(super) fn write_off(&self, held: &HeldMemory) {
        for kind in [MemoryKind::Request, MemoryKind::Reply] {
            let bytes = held.counted(kind).map_or(0, Cell::take);
            self.free(kind, bytes);
        }
        held.is_written_off.set(true);
    }

    /// Wakes as many tasks as may have room now: not all, as thousands may wait.
    fn free(&self, kind: MemoryKind, bytes: usize) {
        let used = self.used_of(kind).get() - bytes;
        self.used_of(kind).set(used);
        let room = kind.limit().saturating_sub(used);
        if bytes > 0 && room > 0 {
            let mut waiters = self.waiters.borrow_mut();
            let count = (1 + room / LEAST_WANTED_BYTES).min(waiters.len());
            waiters.drain(..count).for_each(Waker::wake);
        }
    }

    /// Whether `bytes` more fit this part of the budget.
    pub(super) fn has_room(&self, kind: MemoryKind, bytes: usize) -> bool {
        self.used_of(kind).get() + bytes <= kind.limit()
    }

    /// All that is used, of both kinds, in bytes.
    pub(super) fn used(&self) -> usize {
        self.used.iter().map(Cell::get).sum()
    }

    /// Wakes the task once when there is more room.
    pub(super) fn wake_on_room(&self, cx: &Context<'_>) {
        self.waiters.borrow_mut().push_back(cx.waker().clone());
    }

    /// Wakes all waiting tasks.
    pub(super) fn wake_all(&self) {
        self.waiters.take().into_iter().for_each(Waker::wake);
    }
}

/// The part of the budget that one request's body holds; given back on drop.
#[derive(Debug)]
pub(super) struct RequestMemory {
    budget: Rc<MemoryBudget>,
    /// The memory of the request's connection.
    held: Rc<HeldMemory>,
    bytes: usize,
}

impl RequestMemory {
    /// Holds nothing yet.
    pub(super) fn new(budget: &Rc<MemoryBudget>, held: &Rc<HeldMemory>) -> RequestMemory {
        RequestMemory { budget: Rc::clone(budget), held: Rc::clone(held), bytes: 0 }
    }

    /// How many bytes more are needed to hold `bytes`.
    pub(super) fn missing(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.bytes)
    }

    /// Takes what is missing to hold `bytes`. The caller has checked that there is room.
    pub(super) fn grow_to(&mut self, bytes: usize) {
        let more = self.missing(bytes);
        self.budget.take(MemoryKind::Request, &self.held, more);
        self.bytes += more;
    }
}

impl Drop for RequestMemory {
    fn drop(&mut self) {
        self.budget.give_back(MemoryKind::Request, &self.held, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct WakeCounter(AtomicUsize);

    impl Wake for WakeCounter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn freed_memory_wakes_as_many_waiters_as_may_have_room() {
        let woken = Arc::new(WakeCounter::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let (budget, held) = (MemoryBudget::default(), HeldMemory::default());
        let limit = MemoryKind::Reply.limit();
        budget.take(MemoryKind::Reply, &held, limit - 1);
        assert!(!budget.has_room(MemoryKind::Reply, 2) && budget.has_room(MemoryKind::Reply, 1));
        assert!(
            budget.has_room(MemoryKind::Request, MemoryKind::Request.limit()),
            "the other part is full, too"
        );
        budget.wake_on_room(&cx);
        budget.wake_on_room(&cx);
        budget.wake_on_room(&cx);
        budget.take(MemoryKind::Reply, &held, 2);
        budget.give_back(MemoryKind::Reply, &held, 1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        budget.give_back(MemoryKind::Reply, &held, 1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        budget.give_back(MemoryKind::Reply, &held, LEAST_WANTED_BYTES);
        assert_eq!(woken.0.load(Ordering::Relaxed), 3);
        budget.wake_all();
        assert_eq!(woken.0.load(Ordering::Relaxed), 3, "a waiter is woken twice");
    }

    #[test]
    fn a_dropped_request_gives_its_memory_back() {
        let (budget, held) = (Rc::default(), Rc::default());
        let mut memory = RequestMemory::new(&budget, &held);
        memory.grow_to(10);
        memory.grow_to(5);
        assert_eq!((budget.used(), memory.missing(12)), (10, 2));
        memory.grow_to(12);
        assert_eq!((budget.used(), held.bytes(MemoryKind::Request)), (12, 12));
        drop(memory);
        assert_eq!((budget.used(), held.bytes(MemoryKind::Request)), (0, 0));
    }

    #[test]
    fn a_connection_that_is_written_off_uses_no_memory() {
        let (budget, held) = (Rc::default(), Rc::default());
        let mut memory = RequestMemory::new(&budget, &held);
        memory.grow_to(10);
        budget.take(MemoryKind::Reply, &held, 5);
        budget.write_off(&held);
        assert_eq!(budget.used(), 0);
        memory.grow_to(20);
        drop(memory);
        budget.give_back(MemoryKind::Reply, &held, 5);
        assert_eq!(budget.used(), 0);
    }
}
