//! Bounds how often each kind of warning about clients is logged.

use std::cell::RefCell;

use crate::logging::Throttle;

/// One throttle for each kind of warning of a worker.
pub(super) struct Ledger {
    pub(super) late: RefCell<Throttle>,
    pub(super) full: RefCell<Throttle>,
    pub(super) no_room: [RefCell<Throttle>; 2],
    pub(super) unacceptable: RefCell<Throttle>,
    pub(super) unwritable: RefCell<Throttle>,
}

impl Ledger {
    pub(super) fn new(module: &'static str) -> Ledger {
        let throttle = || RefCell::new(Throttle::new(module));
        Ledger {
            late: throttle(),
            full: throttle(),
            no_room: [throttle(), throttle()],
            unacceptable: throttle(),
            unwritable: throttle(),
        }
    }
}
