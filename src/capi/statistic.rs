//! A C module's statistics as rows of its table. C: statistics.c.
#![expect(unsafe_code, reason = "statistics of C are read by their pointers, and computed by functions of C")]

use std::ffi::{c_ulong, c_void};
use std::sync::atomic::AtomicU64;

use super::layouts::{self, STAT_IS_FUNC, STAT_NO_RESET, Stat};
use super::text;
use crate::mi::{Source, Statistic};

/// How a statistic is computed.
struct Function {
    function: unsafe extern "C" fn(*mut c_void) -> c_ulong,
    context: *mut c_void,
}

// SAFETY: the module's own pointer, which only its function follows; a process of the server has one thread that asks
// for statistics.
unsafe impl Sync for Function {}

impl Function {
    fn value(&self) -> u64 {
        // SAFETY: the function is one of the type that its module registers, with its own context.
        unsafe { (self.function)(self.context) }
    }
}

/// How many statistics C modules have registered so far.
pub(super) fn count() -> usize {
    registered().count()
}

/// The statistics that were registered after the first `known`.
pub(super) fn rows_after(known: usize) -> Vec<Statistic> {
    registered().skip(known).filter_map(row).collect()
}

fn registered() -> impl Iterator<Item = &'static Stat> {
    // SAFETY: no more than a look at a variable of the shim.
    let first = unsafe { layouts::opensips_mi_stats() };
    // SAFETY: null, or a statistic that is never freed.
    std::iter::successors(unsafe { first.as_ref() }, |stat| unsafe { stat.next.as_ref() })
}

fn row(stat: &'static Stat) -> Option<Statistic> {
    // SAFETY: a string of the module, which is never closed.
    let group = text::keep(unsafe { text::read(stat.module) }?);
    // SAFETY: as above.
    let name = unsafe { text::bytes(&stat.var.name) }?;
    let name = text::keep(String::from_utf8_lossy(name).into_owned());
    let source = if stat.var.flags & STAT_IS_FUNC == 0 {
        // SAFETY: without that flag the union holds a cell.
        let cell = unsafe { stat.var.source.cell };
        // SAFETY: the shim has taken the cell from shared memory and never gives it back; C changes it by atomic
        // operations alone.
        let cell = unsafe { AtomicU64::from_ptr(cell) };
        Source::Shared { cell, can_reset: stat.var.flags & STAT_NO_RESET == 0 }
    } else {
        // SAFETY: with that flag the union holds a function.
        let function = unsafe { stat.var.source.function };
        let function = Function { function, context: stat.var.context };
        Source::Function(Box::leak(Box::new(move |_: &_| function.value())))
    };
    Some(Statistic { group, name, source })
}
