//! Shares the worker's time between the requests that need several time slices.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

/// The queue of the tasks that want a time slice, in the order in which they asked.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

/// The right to one time slice; given back on drop. `None` only if the queue is closed, which it never is.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

/// A turn that a task waits for.
pub(super) type NextTurn = Pin<Box<dyn Future<Output = Turn>>>;

impl Default for Turns {
    fn default() -> Turns {
        Turns(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for a turn, and then until the worker has served the connections whose bytes have arrived
    /// meanwhile.
    pub(super) fn next(&self) -> NextTurn {
        let turns = Arc::clone(&self.0);
        Box::pin(async move {
            let turn = turns.acquire_owned().await.ok();
            yield_now().await;
            turn
        })
    }

    /// A turn at once; `None` when another task has it or waits for it.
    pub(super) fn try_next(&self) -> Turn {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}
