//! The server, for functions that C calls: those carry no context, so the thread that runs modules' code keeps it here.
//! A module's own threads have none, and the attendant has none, whose context changes with each fork.

use std::cell::RefCell;
use std::rc::Rc;

use crate::mi::Context;

thread_local! {
    static CONTEXT: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) };
}

/// Keeps the server, to the end of the process.
pub(super) fn set(context: &Rc<Context>) {
    CONTEXT.set(Some(Rc::clone(context)));
}

/// The server, where there is one.
pub(super) fn get() -> Option<Rc<Context>> {
    CONTEXT.with_borrow(Clone::clone)
}
