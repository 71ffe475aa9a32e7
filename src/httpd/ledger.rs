//! What a process counts, and what it says in the log about its clients.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counters, Plan};
use crate::logging::Throttle;
use crate::module::{OpenError, Process};

/// The process's own cells of the listener's statistics, and what it says in the log.
pub(super) struct Ledger {
    pub(super) connections: &'static AtomicU64,
    pub(super) requests: &'static AtomicU64,
    pub(super) errors: &'static AtomicU64,
    pub(super) timeouts: &'static AtomicU64,
    pub(super) dropped: &'static AtomicU64,
    pub(super) late: RefCell<Throttle>,
    pub(super) full: RefCell<Throttle>,
    pub(super) no_room: [RefCell<Throttle>; 2],
    pub(super) unacceptable: RefCell<Throttle>,
    pub(super) unwritable: RefCell<Throttle>,
}

impl Ledger {
    pub(super) fn new(process: &Process<'_>, plan: &Plan) -> Result<Ledger, OpenError> {
        let group = Counters::GROUP;
        let cell =
            |name: &str| process.counter(group, name).ok_or(format!("statistic {group}:{name} is missing"));
        let throttle = || RefCell::new(Throttle::new(plan.module));
        Ok(Ledger {
            connections: cell(plan.counters.connections)?,
            requests: cell(plan.counters.requests)?,
            errors: cell(plan.counters.errors)?,
            timeouts: cell(plan.counters.timeouts)?,
            dropped: cell(plan.counters.dropped)?,
            late: throttle(),
            full: throttle(),
            no_room: [throttle(), throttle()],
            unacceptable: throttle(),
            unwritable: throttle(),
        })
    }
}

/// Counts one more.
pub(super) fn count(cell: &AtomicU64) {
    cell.fetch_add(1, Ordering::Relaxed);
}
