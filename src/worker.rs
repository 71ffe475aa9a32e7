//! Runs a service in a forked child: signals, the tie to the attendant, the service, the exit status.
//!
//! C: `internal_fork` in pt.c and `init_mi_child`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::mi::Context;
use crate::module::{Lifecycles, OpenError, Process, ReadyNotifier, Service};
use crate::system::process::{self, ProcessId};
use crate::system::signal::{self, Blocked};

/// Exit status of a worker that the attendant has stopped.
const STOPPED: i32 = 0;

/// Exit status of a worker that could not start, or that panicked.
const FAILED: i32 = 1;

/// Runs worker `number` of a service in a child that was just forked, with all signals blocked. Ends the
/// process.
pub fn run(
    service: &dyn Service,
    number: usize,
    context: &Rc<Context>,
    ready: &dyn ReadyNotifier,
    attendant: ProcessId,
    blocked: Blocked,
) -> ! {
    // A panic must not unwind into the attendant's code, whose stack frames this process has inherited.
    let result =
        catch_unwind(AssertUnwindSafe(|| serve(service, number, context, ready, attendant, blocked)));
    process::exit_child(match result {
        Ok(Ok(())) => STOPPED,
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
