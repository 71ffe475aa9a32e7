//! A child's life: its own signals, its tie to the attendant, one service, the end.
//!
//! C: `internal_fork` in pt.c and `init_mi_child`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::mi::Context;
use crate::module::{Lifecycles, OpenError, Process, ReadyNotifier, Service};
use crate::system::process::{self, ProcessId};
use crate::system::signal::{self, Blocked};

/// Exit status of a worker that was told to end.
const ENDED: i32 = 0;

/// Exit status of a worker that could not begin, or that panicked.
const FAILED: i32 = 1;

/// Runs worker `number` of its service in a child that was just forked, with all signals blocked, and ends the
/// process.
pub fn live(
    service: &dyn Service,
    number: usize,
    context: &Rc<Context>,
    ready: &dyn ReadyNotifier,
    attendant: ProcessId,
    blocked: Blocked,
) -> ! {
    // A panic must not unwind into the attendant's code, which this process has a copy of.
    let lived = catch_unwind(AssertUnwindSafe(|| serve(service, number, context, ready, attendant, blocked)));
    process::exit_child(match lived {
        Ok(Ok(())) => ENDED,
        Ok(Err(error)) => {
            log::error!("process {} ({}): {error}", context.slot, service.description());
            FAILED
        }
        Err(_) => FAILED, // the panic hook has logged it
    })
}

fn serve(
    service: &dyn Service,
    number: usize,
    context: &Rc<Context>,
    ready: &dyn ReadyNotifier,
    attendant: ProcessId,
    blocked: Blocked,
) -> Result<(), OpenError> {
    signal::worker_handlers()?;
    process::end_with(attendant)?;
    if let Err(error) = process::raise_oom_score() {
        log::warn!(
            "short of memory, the kernel may end the attendant before its workers: cannot raise oom_score_adj: {error}"
        );
    }
    drop(blocked);
    if let Some(lifecycles) = context.states.get::<Lifecycles>() {
        lifecycles.start_process(service.rank(), context)?;
    }
    let process = Process::new(context, number, ready).ok_or("its slot is not in the segment")?;
    service.run(&process)
}
