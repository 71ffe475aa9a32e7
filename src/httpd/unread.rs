//! What waits for clients to read it, and how much all of it may be. Pure: no socket.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// What may wait of all replies of a process, in bytes, besides the last one.
const MAX_BYTES: usize = 16 << 20;

/// How much waits, and who wants to add to it.
#[derive(Debug, Default)]
pub(super) struct Unread {
    bytes: Cell<usize>,
    wanted: RefCell<Vec<Waker>>,
}

impl Unread {
    /// Notes what waits from now on.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// Notes what waits no more.
    pub(super) fn remove(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() - bytes);
        if self.has_room_without(0) {
            self.wake();
        }
    }

    /// Whether there is room for one more when `leaving` bytes have left.
    pub(super) fn has_room_without(&self, leaving: usize) -> bool {
        self.bytes.get().saturating_sub(leaving) < MAX_BYTES
    }

    /// Has a task told when to look for room again.
    pub(super) fn want(&self, cx: &Context<'_>) {
        self.wanted.borrow_mut().push(cx.waker().clone());
    }

    /// Has those look again who want room.
    pub(super) fn wake(&self) {
        self.wanted.take().into_iter().for_each(Waker::wake);
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
        let unread = Unread::default();
        unread.add(MAX_BYTES - 1);
        assert!(unread.has_room_without(0));
        unread.add(2);
        assert!(!unread.has_room_without(1) && unread.has_room_without(2));
        unread.want(&cx);
        unread.want(&cx);
        unread.remove(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        unread.remove(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        unread.remove(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2, "told again of what they have seen");
    }
}
