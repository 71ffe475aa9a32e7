//! Limits how often a worker logs each kind of warning.

use std::cell::RefCell;

use crate::logging::Throttle;

/// The throttle of each kind of warning.
pub(super) struct WarningThrottles {
    /// A connection is closed because its client is too slow.
    pub(super) slow_client: RefCell<Throttle>,
    /// As many connections are open as there may be.
    pub(super) too_many_connections: RefCell<Throttle>,
    /// A part of the memory budget is used up; by [`MemoryKind`](super::memory::MemoryKind).
    pub(super) no_memory: [RefCell<Throttle>; 2],
    /// A connection cannot be accepted.
    pub(super) accept_failed: RefCell<Throttle>,
    /// A request cannot be written to the access log.
    pub(super) log_failed: RefCell<Throttle>,
}

impl WarningThrottles {
    /// For warnings in the name of `module`.
    pub(super) fn new(module: &'static str) -> WarningThrottles {
        let throttle = || RefCell::new(Throttle::new(module));
        WarningThrottles {
            slow_client: throttle(),
            too_many_connections: throttle(),
            no_memory: [throttle(), throttle()],
            accept_failed: throttle(),
            log_failed: throttle(),
        }
    }
}
