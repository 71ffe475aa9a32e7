//! The body of a request as far as it has come. Pure: no socket.

use super::MAX_REQUEST_BYTES;
use super::memory::{FREE_BODY_BYTES, Share};

/// Why a body cannot grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// It is longer than one may be.
    Long,
    /// The requests of others are too long, together.
    Full,
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
    pub(super) fn new(share: Share, told: usize) -> Body {
        Body { bytes: Vec::new(), told: told.min(MAX_REQUEST_BYTES), share }
    }

    /// Adds what has come, if there is room for so many bytes more as `has_room` is asked for.
    pub(super) fn push(&mut self, bytes: &[u8], has_room: impl FnOnce(usize) -> bool) -> Result<(), Excess> {
        let length = self.bytes.len() + bytes.len();
        if length > MAX_REQUEST_BYTES {
            return Err(Excess::Long);
        }
        let counted = length.saturating_sub(FREE_BODY_BYTES);
        let more = self.share.lacks(counted);
        if more > 0 && !has_room(more) {
            return Err(Excess::Full);
        }
        self.share.grow_to(counted);
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

    /// Its share of the memory, for as long as what was read from it is kept.
    pub(super) fn into_share(self) -> Share {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::connection::Activity;
    use super::super::memory::{Kind, Memory};
    use super::*;

    #[test]
    fn bodies_share_the_memory_and_give_it_back() {
        let (memory, activity) = (Rc::new(Memory::default()), Rc::new(Activity::new(&Rc::default())));
        let has_room = |more| memory.has_room(Kind::Request, more);
        let whole = vec![b'x'; MAX_REQUEST_BYTES];
        let mut bodies = Vec::new();
        let refused = loop {
            let mut body = Body::new(Share::new(&memory, &activity), whole.len());
            match body.push(&whole, has_room) {
                Ok(()) => bodies.push(body),
                Err(excess) => break excess,
            }
        };
        assert_eq!((refused, bodies.len()), (Excess::Full, 32));
        assert!(bodies.iter().all(|body| body.bytes() == whole && body.bytes.capacity() == whole.len()));
        let mut short = Body::new(Share::new(&memory, &activity), 0);
        assert_eq!(short.push(&[b'x'; FREE_BODY_BYTES], has_room), Ok(()));
        bodies.pop();
        assert_eq!(short.push(&whole[FREE_BODY_BYTES..], has_room), Ok(()));
        assert_eq!(short.push(b"x", has_room), Err(Excess::Long));
        let share = short.into_share();
        drop(bodies);
        assert_eq!(memory.taken(), MAX_REQUEST_BYTES - FREE_BODY_BYTES);
        drop(share);
        assert_eq!(memory.taken(), 0);
    }
}
