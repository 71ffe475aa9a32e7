//! The body of a request as far as it has come, and how much all bodies of a process may have together. Pure: no socket.

use std::cell::Cell;
use std::rc::Rc;

use super::MAX_REQUEST_BYTES;

/// What all bodies of a process may have together, in bytes, besides [`FREE_BYTES`] for each.
const MAX_BYTES: usize = 64 << 20;

/// What each may have whatever the others have, in bytes, so that a short command always comes through.
const FREE_BYTES: usize = 16 << 10;

/// Why a body cannot grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// It is longer than one may be.
    Long,
    /// The others are too long, together.
    Full,
}

/// What is left for bodies.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget {
    taken: Rc<Cell<usize>>,
}

/// What a body has of the budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.set(self.budget.taken.get() - self.bytes);
    }
}

/// A body that grows. What has come counts, not what was told: a promise takes no memory.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    told: usize,
    share: Share,
}

impl Body {
    /// One of which nothing has come, of a length that was told, or 0.
    pub(super) fn new(budget: &Budget, told: usize) -> Body {
        let share = Share { budget: budget.clone(), bytes: 0 };
        Body { bytes: Vec::new(), told: told.min(MAX_REQUEST_BYTES), share }
    }

    /// Adds what has come.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Excess> {
        let length = self.bytes.len() + bytes.len();
        if length > MAX_REQUEST_BYTES {
            return Err(Excess::Long);
        }
        let counted = length.saturating_sub(FREE_BYTES);
        let share = &mut self.share;
        let taken = share.budget.taken.get() + counted - share.bytes;
        if counted > share.bytes && taken > MAX_BYTES {
            return Err(Excess::Full);
        }
        share.budget.taken.set(taken);
        share.bytes = counted;
        if counted > 0 && self.bytes.capacity() < self.told {
            self.bytes.reserve_exact(self.told - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What has come.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its share of the budget, for as long as what was read from it is kept.
    pub(super) fn into_share(self) -> Share {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_a_budget_and_give_it_back() {
        let budget = Budget::default();
        let whole = vec![b'x'; MAX_REQUEST_BYTES];
        let mut bodies = Vec::new();
        let refused = loop {
            let mut body = Body::new(&budget, whole.len());
            match body.push(&whole) {
                Ok(()) => bodies.push(body),
                Err(excess) => break excess,
            }
        };
        assert_eq!((refused, bodies.len()), (Excess::Full, MAX_BYTES / (MAX_REQUEST_BYTES - FREE_BYTES)));
        assert!(bodies.iter().all(|body| body.bytes() == whole && body.bytes.capacity() == whole.len()));
        let mut short = Body::new(&budget, 0);
        assert_eq!(short.push(&[b'x'; FREE_BYTES]), Ok(()));
        bodies.pop();
        assert_eq!(short.push(&whole[FREE_BYTES..]), Ok(()));
        assert_eq!(short.push(b"x"), Err(Excess::Long));
        let share = short.into_share();
        drop(bodies);
        assert_eq!(budget.taken.get(), MAX_REQUEST_BYTES - FREE_BYTES);
        drop(share);
        assert_eq!(budget.taken.get(), 0);
    }
}
