//! Modules whose process died with one of their locks: what the lock protects may be half written. Counted in the
//! statistic `mi:NAME_suspect_locks` of each C module, which never goes down.
#![expect(unsafe_code, reason = "a function is exported to C, and a counter is made in shared memory")]

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::c_strings;
use super::exports::{allocate, catch_panics};
use crate::mi::{Source, Statistic};

/// The counters of all C modules.
static COUNTERS: Mutex<Vec<(&str, &AtomicU64)>> = Mutex::new(Vec::new());

fn counters() -> MutexGuard<'static, Vec<(&'static str, &'static AtomicU64)>> {
    COUNTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A module's counter. `None` without shared memory. Before the first fork.
pub(super) fn register_counter(module: &'static str) -> Option<Statistic> {
    let place = allocate(size_of::<AtomicU64>() as u64)?.cast::<u64>();
    // SAFETY: a block of that size, aligned for every type, that nobody else has.
    unsafe { place.write(0) };
    // SAFETY: as above, and it is never given back.
    let cell = unsafe { AtomicU64::from_ptr(place.as_ptr()) };
    counters().push((module, cell));
    let name = c_strings::leak(format!("{module}_suspect_locks"));
    Some(Statistic { group: "mi", name, source: Source::Shared { cell, can_reset: false } })
}

/// Counts a lock whose holder has died, and says so.
///
/// # Safety
/// The module is null, or a string that ends with NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_count_orphaned_lock(module: *const c_char, lock: *const c_void) {
    catch_panics((), || {
        // SAFETY: as the caller says.
        let module = unsafe { c_strings::to_string_lossy(module) }.unwrap_or_default();
        log::error!(
            "module {module}: the holder of its lock {lock:p} has died, and what the lock protects may be half written"
        );
        if let Some((_, deaths)) = counters().iter().find(|(name, _)| *name == module) {
            deaths.fetch_add(1, Ordering::Relaxed);
        }
    });
}
