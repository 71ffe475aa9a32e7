//! Turns the statistics of C modules into rows of the statistics table. C: statistics.c.
#![expect(unsafe_code, reason = "reads C statistics through their pointers and calls C functions")]

use std::ffi::{c_ulong, c_void};
use std::sync::atomic::AtomicU64;

use super::c_strings;
use super::layouts::{self, RegisteredStat, STAT_IS_FUNC, STAT_NO_RESET};
use crate::mi::{Statistic, StatisticSource};

/// A module's function that computes a statistic, with its argument.
struct StatFunction {
    function: unsafe extern "C" fn(*mut c_void) -> c_ulong,
    context: *mut c_void,
}

// SAFETY: only the module's own function follows the pointer, and one thread of each process reads
// statistics.
unsafe impl Sync for StatFunction {}

impl StatFunction {
    fn value(&self) -> u64 {
        // SAFETY: the module registered a function of this type, with its own context.
        unsafe { (self.function)(self.context) }
    }
}

/// The number of statistics that C modules have registered so far.
pub(super) fn registered_count() -> usize {
    registered_stats().count()
}

/// Table rows of the registered statistics, without the first `known`.
pub(super) fn registered_after(known: usize) -> Vec<Statistic> {
    registered_stats().skip(known).filter_map(statistic_row).collect()
}

fn registered_stats() -> impl Iterator<Item = &'static RegisteredStat> {
    // SAFETY: reads a variable of the shim.
    let first = unsafe { layouts::opensips_mi_stats() };
    // SAFETY: null or a statistic that is never freed.
    std::iter::successors(unsafe { first.as_ref() }, |stat| unsafe { stat.next.as_ref() })
}

fn statistic_row(stat: &'static RegisteredStat) -> Option<Statistic> {
    // SAFETY: a string of a module that is never closed.
    let group = c_strings::leak(unsafe { c_strings::to_string_lossy(stat.module) }?);
    // SAFETY: as above.
    let name = unsafe { c_strings::bytes(&stat.var.name) }?;
    let name = c_strings::leak(String::from_utf8_lossy(name).into_owned());
    let source = if stat.var.flags & STAT_IS_FUNC == 0 {
        // SAFETY: without that flag the union holds a cell.
        let cell = unsafe { stat.var.source.cell };
        // SAFETY: the shim has taken the cell from shared memory and never gives it back; C changes it by
        // atomic operations alone.
        let cell = unsafe { AtomicU64::from_ptr(cell) };
        StatisticSource::Shared { cell, can_reset: stat.var.flags & STAT_NO_RESET == 0 }
    } else {
        // SAFETY: with that flag the union holds a function.
        let function = unsafe { stat.var.source.function };
        let function = StatFunction { function, context: stat.var.context };
        StatisticSource::Function(Box::leak(Box::new(move |_: &_| function.value())))
    };
    Some(Statistic { group, name, source })
}
