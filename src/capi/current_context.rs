//! Keeps the server's context for functions that C calls, as C's functions do not pass it on.
//!
//! It belongs to the thread that runs module code. A module's own threads have no context. Nor has the
//! attendant, whose context changes with each fork.

use std::cell::RefCell;
use std::rc::Rc;

use crate::mi::Context;

thread_local! {
    static CONTEXT: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) };
}

/// Sets the context of this thread, once, until the process ends.
pub(super) fn set(context: &Rc<Context>) {
    CONTEXT.set(Some(Rc::clone(context)));
}

/// The context of this thread. `None` in the attendant, in init functions and in a module's own threads.
pub(super) fn get() -> Option<Rc<Context>> {
    CONTEXT.with_borrow(Clone::clone)
}
