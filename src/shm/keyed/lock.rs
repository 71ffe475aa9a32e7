//! A shard's lock: a robust mutex in shared memory, never waited on without bound.
//!
//! A sleeping waiter of a robust mutex is lost for ever when the one that was woken instead of it is killed
//! before it runs. So nobody sleeps for long: try, then wait in slices of 5 ms by the monotonic clock.
//!
//! Any other answer than got, busy and dead owner is a broken invariant, and ends the process. `ENOTRECOVERABLE` would
//! need somebody to give a lock back that he has not made consistent: nobody does, since a holder that panics aborts
//! and leaves a dead owner. `EINVAL` and the like need foreign bytes in the mutex. Making it anew would be wrong in
//! both cases: others may hold it, or wait on it, and would then be two in one shard. The worker that meets it ends
//! and says so, as does its successor with the same shard; the other shards serve, and a start of the server makes
//! all locks anew.
#![expect(unsafe_code, reason = "the pthread functions")]

use std::sync::atomic::{AtomicU32, Ordering};

use super::layout::{LOCK_BYTES, Layout, SHARDS};
use crate::shm::region::Region;
use crate::system::process::ProcessId;

/// Tries before the first sleep.
const SPINS: usize = 60;

/// How long one sleep lasts at most, in nanoseconds.
const SLICE_NANOS: i64 = 5_000_000;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= LOCK_BYTES, "a mutex fits its place");

unsafe extern "C" {
    /// In glibc since 2.30; the libc crate does not have it.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        deadline: *const libc::timespec,
    ) -> libc::c_int;
}

/// Makes the locks of all shards. Only while no other process uses them.
pub(super) fn initialize(region: &Region, layout: &Layout) {
    (0..SHARDS).for_each(|index| make(region, layout.shard(index)));
}

/// Makes a lock at that place of a region. Only while no other process uses it.
pub(in crate::shm) fn make(region: &Region, offset: usize) {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    // SAFETY: the pointer is to a live value, which this call initializes.
    let made = unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) };
    assert_eq!(made, 0, "mutex attributes can be made");
    // SAFETY: initialized above.
    let shared =
        unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) };
    assert_eq!(shared, 0, "a mutex can be shared between processes");
    // SAFETY: initialized above.
    let robust =
        unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) };
    assert_eq!(robust, 0, "a mutex can be robust");
    // SAFETY: the place lies in the region, is aligned, and nobody uses it yet.
    let initialized = unsafe { libc::pthread_mutex_init(mutex(region, offset), attributes.as_ptr()) };
    assert_eq!(initialized, 0, "a mutex can be made");
}

fn mutex(region: &Region, offset: usize) -> *mut libc::pthread_mutex_t {
    region.place(offset, LOCK_BYTES).cast()
}

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shm) enum Got {
    /// In order.
    Clean,
    /// Its holder died with it: what it protects must be made whole before anything else.
    OwnerDied,
}

/// Takes the lock of a shard.
///
/// # Panics
/// When the lock is damaged, see the module's text.
pub(super) fn acquire(region: &Region, layout: &Layout, index: usize) -> Got {
    let got = take(region, layout.shard(index)).unwrap_or_else(|damage| damaged(index, damage));
    region.cell(layout.turn_cell(index)).fetch_add(1, Ordering::Relaxed);
    got
}

/// Takes the lock at that place of a region.
///
/// # Errors
/// When the lock is damaged, see the module's text.
pub(in crate::shm) fn take(region: &Region, offset: usize) -> Result<Got, libc::c_int> {
    let mutex = mutex(region, offset);
    let mut tries = 0;
    loop {
        let result = if tries < SPINS {
            std::hint::spin_loop();
            // SAFETY: the mutex was made by `make` and lies in the region, which is never unmapped.
            unsafe { libc::pthread_mutex_trylock(mutex) }
        } else {
            let deadline = slice_from_now();
            // SAFETY: as above; the deadline is a live value.
            unsafe { pthread_mutex_clocklock(mutex, libc::CLOCK_MONOTONIC, &raw const deadline) }
        };
        tries += 1;
        match result {
            0 => return Ok(Got::Clean),
            libc::EOWNERDEAD => return Ok(Got::OwnerDied),
            libc::EBUSY | libc::ETIMEDOUT => {}
            damage => return Err(damage),
        }
    }
}

#[expect(clippy::panic, reason = "a broken invariant; see the module's text")]
fn damaged(index: usize, error: libc::c_int) -> ! {
    let error = std::io::Error::from_raw_os_error(error);
    panic!("the lock of shard {index} is whole, or its owner is dead, but it cannot be taken: {error}")
}

/// Says that what the lock protects is whole again after its holder died.
pub(super) fn make_consistent(region: &Region, layout: &Layout, index: usize) {
    settle(region, layout.shard(index));
}

/// The same for the lock at that place of a region.
pub(in crate::shm) fn settle(region: &Region, offset: usize) {
    // SAFETY: the mutex was made by `make`, and the caller holds it.
    let consistent = unsafe { libc::pthread_mutex_consistent(mutex(region, offset)) };
    assert_eq!(consistent, 0, "the caller got the lock of a dead owner");
}

/// Gives the lock back.
pub(super) fn release(region: &Region, layout: &Layout, index: usize) {
    give_back(region, layout.shard(index));
}

/// The same for the lock at that place of a region.
pub(in crate::shm) fn give_back(region: &Region, offset: usize) {
    // SAFETY: the mutex was made by `make`, and the caller holds it.
    let released = unsafe { libc::pthread_mutex_unlock(mutex(region, offset)) };
    assert_eq!(released, 0, "the caller holds the lock");
}

fn slice_from_now() -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_nsec += SLICE_NANOS;
    if now.tv_nsec >= 1_000_000_000 {
        now.tv_nsec -= 1_000_000_000;
        now.tv_sec += 1;
    }
    now
}

/// Who holds a lock, and for which turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process; the server's processes have one thread.
    pub process: ProcessId,
    /// The shard.
    pub shard: usize,
    /// Counts how often the lock was taken.
    pub turn: u32,
}

/// Who holds the lock of a shard now. The kernel's protocol for robust locks puts the holder into the lock word.
pub(super) fn holder(region: &Region, layout: &Layout, index: usize) -> Option<Holder> {
    // glibc's mutex begins with the lock word.
    let word: &AtomicU32 = region.cell(layout.shard(index));
    let owner = word.load(Ordering::Relaxed) & libc::FUTEX_TID_MASK;
    let process = ProcessId::from_number(i32::try_from(owner).ok()?)?;
    let turn = region.cell(layout.turn_cell(index)).load(Ordering::Relaxed);
    Some(Holder { process, shard: index, turn })
}
