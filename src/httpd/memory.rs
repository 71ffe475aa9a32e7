//! How much memory the requests and the replies of a process may take together. Pure: no socket.
//!
//! 48 MiB: 32 for requests, their heads and bodies, and 16 for replies that wait to be read, so that who fills one part
//! does not hold up the other. What each connection has beside that is bounded by the number of connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::connection::Activity;

/// What takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The head and the body of a request, beyond [`FREE_HEAD_BYTES`] and [`FREE_BODY_BYTES`].
    Request,
    /// A reply that its client has not read.
    Reply,
}

impl Kind {
    /// What all of a process may take, in bytes.
    const fn limit(self) -> usize {
        match self {
            Kind::Request => 32 << 20,
            Kind::Reply => 16 << 20,
        }
    }
}

/// What each head may have whatever the others have, in bytes: more than any common client sends.
pub(super) const FREE_HEAD_BYTES: usize = 4 << 10;

/// What each body may have whatever the others have, in bytes, so that a short command always comes through.
pub(super) const FREE_BODY_BYTES: usize = 8 << 10;

/// What those who wait for memory take at least, in bytes.
const STEP_BYTES: usize = 4 << 10;

/// What all connections of a process hold, and who waits for some of it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    taken: [Cell<usize>; 2],
    /// Those who wait, in their order.
    wanted: RefCell<VecDeque<Waker>>,
}

impl Memory {
    fn cell(&self, kind: Kind) -> &Cell<usize> {
        &self.taken[kind as usize]
    }

    /// Has a connection take so many bytes more.
    pub(super) fn take(&self, kind: Kind, activity: &Activity, bytes: usize) {
        if let Some(held) = activity.held(kind) {
            held.set(held.get() + bytes);
            self.cell(kind).set(self.cell(kind).get() + bytes);
        }
    }

    /// Has a connection give so many bytes back.
    pub(super) fn give_back(&self, kind: Kind, activity: &Activity, bytes: usize) {
        if let Some(held) = activity.held(kind) {
            held.set(held.get() - bytes);
            self.free(kind, bytes);
        }
    }

    /// Counts what a connection holds as free, as it ends at once: nothing of it counts from now on.
    pub(super) fn write_off(&self, activity: &Activity) {
        for kind in [Kind::Request, Kind::Reply] {
            let held = activity.held(kind).map_or(0, Cell::take);
            self.free(kind, held);
        }
        activity.write_off();
    }

    /// As many look for room again as there may be some for: not all, as there can be thousands.
    fn free(&self, kind: Kind, bytes: usize) {
        let taken = self.cell(kind).get() - bytes;
        self.cell(kind).set(taken);
        let room = kind.limit().saturating_sub(taken);
        if bytes > 0 && room > 0 {
            let mut wanted = self.wanted.borrow_mut();
            let count = (1 + room / STEP_BYTES).min(wanted.len());
            wanted.drain(..count).for_each(Waker::wake);
        }
    }

    /// Whether so many bytes more can be had.
    pub(super) fn has_room(&self, kind: Kind, more: usize) -> bool {
        self.cell(kind).get() + more <= kind.limit()
    }

    /// All that is taken, in bytes.
    pub(super) fn taken(&self) -> usize {
        self.taken.iter().map(Cell::get).sum()
    }

    /// Has a task told when to look for room again.
    pub(super) fn want(&self, cx: &Context<'_>) {
        self.wanted.borrow_mut().push_back(cx.waker().clone());
    }

    /// Has all look again who want room.
    pub(super) fn wake(&self) {
        self.wanted.take().into_iter().for_each(Waker::wake);
    }
}

/// What a request has of the memory; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Rc<Memory>,
    /// The connection that the request came by.
    activity: Rc<Activity>,
    bytes: usize,
}

impl Share {
    /// One that has nothing.
    pub(super) fn new(memory: &Rc<Memory>, activity: &Rc<Activity>) -> Share {
        Share { memory: Rc::clone(memory), activity: Rc::clone(activity), bytes: 0 }
    }

    /// How many bytes more it takes when it is to have so many.
    pub(super) fn lacks(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.bytes)
    }

    /// Has it take what it lacks.
    pub(super) fn grow_to(&mut self, bytes: usize) {
        let more = self.lacks(bytes);
        self.memory.take(Kind::Request, &self.activity, more);
        self.bytes += more;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.give_back(Kind::Request, &self.activity, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_wants_room_is_told_when_there_is_some() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let (memory, activity) = (Memory::default(), Activity::new(&Rc::default()));
        let limit = Kind::Reply.limit();
        memory.take(Kind::Reply, &activity, limit - 1);
        assert!(!memory.has_room(Kind::Reply, 2) && memory.has_room(Kind::Reply, 1));
        assert!(memory.has_room(Kind::Request, Kind::Request.limit()), "the other part is full, too");
        memory.want(&cx);
        memory.want(&cx);
        memory.want(&cx);
        memory.take(Kind::Reply, &activity, 2);
        memory.give_back(Kind::Reply, &activity, 1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        memory.give_back(Kind::Reply, &activity, 1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        memory.give_back(Kind::Reply, &activity, STEP_BYTES);
        assert_eq!(woken.0.load(Ordering::Relaxed), 3);
        memory.wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 3, "told again of what they have seen");
    }

    #[test]
    fn a_share_is_given_back() {
        let (memory, activity) = (Rc::default(), Rc::new(Activity::new(&Rc::default())));
        let mut share = Share::new(&memory, &activity);
        share.grow_to(10);
        share.grow_to(5);
        assert_eq!((memory.taken(), share.lacks(12)), (10, 2));
        share.grow_to(12);
        assert_eq!((memory.taken(), activity.held(Kind::Request).map(Cell::get)), (12, Some(12)));
        drop(share);
        assert_eq!((memory.taken(), activity.held(Kind::Request).map(Cell::get)), (0, Some(0)));
    }

    #[test]
    fn a_connection_that_is_written_off_counts_no_more() {
        let (memory, activity) = (Rc::default(), Rc::new(Activity::new(&Rc::default())));
        let mut share = Share::new(&memory, &activity);
        share.grow_to(10);
        memory.take(Kind::Reply, &activity, 5);
        memory.write_off(&activity);
        assert_eq!(memory.taken(), 0);
        share.grow_to(20);
        drop(share);
        memory.give_back(Kind::Reply, &activity, 5);
        assert_eq!(memory.taken(), 0);
    }
}
