//! Handlers: what a C command keeps of a request that it answers later, and the function by which any process answers.
//!
//! A pool of them lies in shared memory, at one address in all processes. Each is free, or has the number of a pending
//! reply; who answers gives it back. One whose request is over and that was never given back, as a process was killed
//! or the module never answers, is taken for another request when no other is left, the oldest first. C: `struct
//! mi_handler` in mi/mi.h, and `build_async_handler` of each transport.
#![expect(unsafe_code, reason = "handlers are shared with C by their pointers")]

use std::ffi::c_int;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::exports::{allocate, guarded};
use super::layouts::{MiHandler, MiRoot};
use super::tree::{Tree, told};
use crate::shm::Pending;
use crate::shm::pending::MAX_PENDING;

/// Pending replies of the server. C's functions carry no context, so it cannot stand elsewhere.
static PENDING: OnceLock<&'static Pending> = OnceLock::new();

/// The handlers.
static POOL: OnceLock<Pool> = OnceLock::new();

/// Says where pending replies are. Once, before the first fork.
pub fn provide_pending(pending: &'static Pending) {
    // A second call would be by a test.
    let _first = PENDING.set(pending);
}

/// A handler with the number of its reply, 0 when it is free.
#[repr(C)]
#[derive(Debug)]
struct Numbered {
    handler: MiHandler,
    number: AtomicU64,
}

/// All handlers, in shared memory.
#[derive(Debug)]
struct Pool {
    handlers: &'static [Numbered],
    /// How many were taken so far: the next one is looked for behind the last, so that one that was given back rests.
    taken: &'static AtomicU64,
}

// SAFETY: what is written after the pool was made are atomics alone; its pointers are never followed here.
unsafe impl Sync for Pool {}
// SAFETY: as above.
unsafe impl Send for Pool {}

/// Makes the handlers, unless there are some. Before the first fork.
///
/// # Errors
/// When there is no memory.
pub(super) fn make() -> Result<(), String> {
    if POOL.get().is_none() {
        let pool = Pool::create().ok_or("no shared memory for its handlers; give a larger -m")?;
        let _made = POOL.set(pool);
    }
    Ok(())
}

/// A handler for the pending reply of that number; `None` when all are in use.
pub(super) fn take(pending: &Pending, number: u64) -> Option<NonNull<MiHandler>> {
    POOL.get()?.take(number, |number| pending.is_waiting(number))
}

/// Gives a handler back that its command does not need.
pub(super) fn give_back(handler: NonNull<MiHandler>, number: u64) {
    if let Some(numbered) = POOL.get().and_then(|pool| pool.find(handler.as_ptr())) {
        // Somebody who has answered has given it back already.
        let _given_back = numbered.number.compare_exchange(number, 0, AcqRel, Relaxed);
    }
}

impl Pool {
    fn create() -> Option<Pool> {
        let taken = allocate(size_of::<AtomicU64>() as u64)?.cast::<AtomicU64>();
        // SAFETY: a new block of that size, aligned for every type.
        unsafe { taken.write(AtomicU64::new(0)) };
        let first = allocate((size_of::<Numbered>() * MAX_PENDING) as u64)?.cast::<Numbered>();
        for at in 0..MAX_PENDING {
            let handler = MiHandler { handler_f: answer, param: null_mut() };
            // SAFETY: within the new block.
            let place = unsafe { first.add(at) };
            // SAFETY: as above, and nobody else has it.
            unsafe { place.write(Numbered { handler, number: AtomicU64::new(0) }) };
        }
        // SAFETY: written as a whole above; the block is never given back.
        let handlers = unsafe { std::slice::from_raw_parts(first.as_ptr(), MAX_PENDING) };
        // SAFETY: as above.
        let taken = unsafe { taken.as_ref() };
        Some(Pool { handlers, taken })
    }

    fn take(&self, number: u64, is_waiting: impl Fn(u64) -> bool) -> Option<NonNull<MiHandler>> {
        self.take_free(number).or_else(|| {
            self.take_from_the_dead(is_waiting);
            self.take_free(number)
        })
    }

    fn take_free(&self, number: u64) -> Option<NonNull<MiHandler>> {
        let count = self.handlers.len();
        let start = usize::try_from(self.taken.fetch_add(1, Relaxed)).unwrap_or(0) % count;
        let mut all = self.handlers[start..].iter().chain(&self.handlers[..start]);
        let taken = all.find(|it| it.number.compare_exchange(0, number, AcqRel, Relaxed).is_ok())?;
        Some(NonNull::from(&taken.handler))
    }

    /// Frees half of those whose requests are over, the oldest ones.
    fn take_from_the_dead(&self, is_waiting: impl Fn(u64) -> bool) {
        let numbers = self.handlers.iter().map(|it| (it.number.load(Acquire), it));
        let mut over: Vec<_> = numbers.filter(|(number, _)| !is_waiting(*number)).collect();
        over.sort_unstable_by_key(|(number, _)| *number);
        for (number, it) in &over[..over.len().div_ceil(2)] {
            // Whoever was faster has given it back or taken it.
            let _freed = it.number.compare_exchange(*number, 0, AcqRel, Relaxed);
        }
    }

    /// The handler at that address, if there is one.
    fn find(&self, handler: *mut MiHandler) -> Option<&'static Numbered> {
        let offset = handler.addr().checked_sub(self.handlers.as_ptr().addr())?;
        let is_one = offset.is_multiple_of(size_of::<Numbered>());
        self.handlers.get(offset / size_of::<Numbered>()).filter(|_| is_one)
    }
}

/// What `handler_f` is: answers a request, once. What a module says before it is done goes nowhere, as every request has
/// one reply. C: `xmlrpc_close_async` in xr_server.c, and others.
extern "C" fn answer(root: *mut MiRoot, handler: *mut MiHandler, done: c_int) {
    guarded((), || {
        // SAFETY: a module gives its tree away, or none.
        let tree = NonNull::new(root).map(|root| unsafe { Tree::returned(root) });
        if done == 0 {
            return;
        }
        let numbered = POOL.get().and_then(|pool| pool.find(handler));
        let number = numbered.map_or(0, |it| it.number.load(Acquire));
        let (Some(numbered), Some(pending), true) = (numbered, PENDING.get(), number != 0) else {
            log::error!(often = true; "a request was answered by handler {handler:p}, which has none; it was answered before");
            return;
        };
        if let Err(gone) = told(tree, "an answer that came later").answer(pending, number) {
            log::warn!(often = true; "an answer to request {number} goes nowhere: {gone}");
        }
        // One that dies before this leaves a handler whose request is over.
        let _given_back = numbered.number.compare_exchange(number, 0, AcqRel, Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of memory that is not shared.
    fn pool(count: usize) -> Pool {
        let handlers = (0..count).map(|_| Numbered {
            handler: MiHandler { handler_f: answer, param: null_mut() },
            number: AtomicU64::new(0),
        });
        let handlers: Vec<Numbered> = handlers.collect();
        Pool { handlers: handlers.leak(), taken: Box::leak(Box::new(AtomicU64::new(0))) }
    }

    #[test]
    fn those_whose_requests_are_over_come_last_and_the_oldest_first() {
        let pool = pool(4);
        let all: Vec<_> = (1..=4).map(|number| pool.take(number, |_| true).unwrap()).collect();
        assert_eq!(pool.take(5, |_| true), None);
        // 1 waits, the others are over.
        let next = pool.take(6, |number| number == 1).unwrap();
        assert!(all[1..3].contains(&next), "2 and 3 are older than 4");
        let numbers: Vec<u64> = pool.handlers.iter().map(|it| it.number.load(Relaxed)).collect();
        assert!(numbers.contains(&1) && numbers.contains(&4) && numbers.contains(&6), "{numbers:?}");
    }

    #[test]
    fn one_that_was_given_back_rests() {
        let pool = pool(3);
        let first = pool.take(1, |_| true).unwrap();
        pool.find(first.as_ptr()).unwrap().number.store(0, Relaxed);
        let others = [2, 3].map(|number| pool.take(number, |_| true).unwrap());
        assert!(!others.contains(&first));
        assert_eq!(pool.take(4, |_| true), Some(first));
    }

    #[test]
    fn other_pointers_are_no_handlers() {
        let pool = pool(2);
        let first = pool.handlers.as_ptr().cast_mut().cast::<MiHandler>();
        assert!(pool.find(first).is_some());
        for wrong in
            [first.wrapping_byte_add(8), first.wrapping_byte_sub(24), first.wrapping_byte_add(48), null_mut()]
        {
            assert!(pool.find(wrong).is_none());
        }
    }
}
