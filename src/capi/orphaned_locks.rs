//! Counts the locks of each C module whose holder died: what such a lock protects may be half written.
//!
//! The counter is the statistic `mi:NAME_suspect_locks`. It never goes down.
#![expect(unsafe_code, reason = "exports a function to C and puts counters into shared memory")]

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::c_strings;
use super::exports::{allocate, catch_panics};
use crate::mi::{Statistic, StatisticSource};

/// The counter of each C module, by the name of the module. Filled before the first fork.
static COUNTERS: Mutex<Vec<(&str, &AtomicU64)>> = Mutex::new(Vec::new());

fn counters() -> MutexGuard<'static, Vec<(&'static str, &'static AtomicU64)>> {
    COUNTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a module's counter and gives its statistic. Called before the first fork. `None` without shared
/// memory.
pub(super) fn register_counter(module: &'static str) -> Option<Statistic> {
    let block = allocate(size_of::<AtomicU64>() as u64)?.cast::<u64>();
    // SAFETY: a new block of that size, aligned for every type.
    unsafe { block.write(0) };
    // SAFETY: as above, and the block is never freed.
    let cell = unsafe { AtomicU64::from_ptr(block.as_ptr()) };
    counters().push((module, cell));
    let name = c_strings::leak(format!("{module}_suspect_locks"));
    Some(Statistic { group: "mi", name, source: StatisticSource::Shared { cell, can_reset: false } })
}

/// Counts a lock whose holder died, and writes a line to the log.
///
/// # Safety
/// `module` is null or a string that ends with NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_count_orphaned_lock(module: *const c_char, lock: *const c_void) {
    catch_panics((), || {
        // SAFETY: the caller guarantees it.
        let module = unsafe { c_strings::to_string_lossy(module) }.unwrap_or_default();
        log::error!(
            "module {module}: the holder of its lock {lock:p} has died, and what the lock protects may be half written"
        );
        if let Some((_, counter)) = counters().iter().find(|(name, _)| *name == module) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
}
