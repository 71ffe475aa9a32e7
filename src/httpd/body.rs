//! Collects the body of a request, within the limits of length and memory. Pure: no socket.

use super::MAX_REQUEST_BYTES;
use super::memory::{FREE_BODY_BYTES, RequestMemory};

/// Why bytes cannot be added to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// The body would be longer than [`MAX_REQUEST_BYTES`].
    TooLong,
    /// All requests together take the memory that they may.
    NoMemory,
}

/// A body that is being received. Only received bytes count against the memory budget, not the announced
/// length.
#[derive(Debug)]
pub(super) struct RequestBody {
    bytes: Vec<u8>,
    /// The length in `Content-Length`; 0 when the client sent none.
    announced: usize,
    memory: RequestMemory,
}

impl RequestBody {
    /// An empty body. `announced` is the length in `Content-Length`, or 0.
    pub(super) fn new(memory: RequestMemory, announced: usize) -> RequestBody {
        RequestBody { bytes: Vec::new(), announced: announced.min(MAX_REQUEST_BYTES), memory }
    }

    /// Adds received bytes. `has_room` tells whether the memory budget has room for as many bytes more.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        has_room: impl FnOnce(usize) -> bool,
    ) -> Result<(), BodyError> {
        let length = self.bytes.len() + bytes.len();
        if length > MAX_REQUEST_BYTES {
            return Err(BodyError::TooLong);
        }
        let counted = length.saturating_sub(FREE_BODY_BYTES);
        let more = self.memory.missing(counted);
        if more > 0 && !has_room(more) {
            return Err(BodyError::NoMemory);
        }
        self.memory.grow_to(counted);
        if counted > 0 && self.bytes.capacity() < self.announced {
            self.bytes.reserve_exact(self.announced - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The bytes received so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The body's part of the memory budget, for a batch whose text is kept longer than the body.
    pub(super) fn into_memory(self) -> RequestMemory {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::memory::{MemoryBudget, MemoryKind};
    use super::*;

    #[test]
    fn bodies_share_the_budget_and_give_it_back() {
        let (budget, held) = (Rc::new(MemoryBudget::default()), Rc::default());
        let has_room = |more| budget.has_room(MemoryKind::Request, more);
        let whole = vec![b'x'; MAX_REQUEST_BYTES];
        let mut bodies = Vec::new();
        let error = loop {
            let mut body = RequestBody::new(RequestMemory::new(&budget, &held), whole.len());
            match body.push(&whole, has_room) {
                Ok(()) => bodies.push(body),
                Err(error) => break error,
            }
        };
        assert_eq!((error, bodies.len()), (BodyError::NoMemory, 32));
        assert!(bodies.iter().all(|body| body.bytes() == whole && body.bytes.capacity() == whole.len()));
        let mut short = RequestBody::new(RequestMemory::new(&budget, &held), 0);
        assert_eq!(short.push(&[b'x'; FREE_BODY_BYTES], has_room), Ok(()));
        bodies.pop();
        assert_eq!(short.push(&whole[FREE_BODY_BYTES..], has_room), Ok(()));
        assert_eq!(short.push(b"x", has_room), Err(BodyError::TooLong));
        let memory = short.into_memory();
        drop(bodies);
        assert_eq!(budget.used(), MAX_REQUEST_BYTES - FREE_BODY_BYTES);
        drop(memory);
        assert_eq!(budget.used(), 0);
    }
}
