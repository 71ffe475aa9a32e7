//! Keeps requests that take several time slices.
//!
//! The worker gives each of these requests a time slice in turn. Other requests of the same clients wait
//! meanwhile, so that each client gets its replies in the order of its requests. There are at most
//! [`MAX_CLIENTS`] clients, and [`MAX_WAITING`] requests that wait.

use std::collections::VecDeque;

use super::answer::UnfinishedDatagram;
use crate::shm::UnsentReply;
use crate::system::datagram::Peer;

/// The most clients with an unfinished request. Each holds a reply of up to one datagram.
const MAX_CLIENTS: usize = 64;

/// The most requests of all clients that wait for another request.
const MAX_WAITING: usize = 64;

/// A client with an unfinished request.
#[derive(Debug)]
pub(super) struct LongRequestClient {
    pub(super) peer: Peer,
    /// `None` when the client's next request has not begun.
    pub(super) unfinished: Option<Box<UnfinishedDatagram>>,
    /// The unfinished reply, when it is a deferred one.
    pub(super) unsent: Option<UnsentReply>,
    waiting: VecDeque<WaitingRequest>,
}

/// A request that has not begun.
#[derive(Debug)]
pub(super) struct WaitingRequest {
    /// At most the largest datagram.
    pub(super) bytes: Vec<u8>,
    /// The length of the received datagram, in bytes.
    pub(super) length: usize,
}

impl LongRequestClient {
    /// Takes the client's next request.
    pub(super) fn next_request(&mut self) -> Option<WaitingRequest> {
        self.waiting.pop_front()
    }

    fn is_done(&self) -> bool {
        self.unfinished.is_none() && self.waiting.is_empty()
    }
}

/// The clients of one worker with unfinished requests, in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct LongRequests(VecDeque<LongRequestClient>);

impl LongRequests {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The client has an unfinished request, so its other requests must wait.
    pub(super) fn has_client(&self, peer: &Peer) -> bool {
        peer.has_address() && self.0.iter().any(|client| client.peer == *peer)
    }

    /// Adds an unfinished request of a client that has none.
    ///
    /// # Errors
    /// The request, when there are too many.
    pub(super) fn add(
        &mut self,
        peer: &Peer,
        unfinished: Box<UnfinishedDatagram>,
        unsent: Option<UnsentReply>,
    ) -> Result<(), (Box<UnfinishedDatagram>, Option<UnsentReply>)> {
        if self.0.len() >= MAX_CLIENTS {
            return Err((unfinished, unsent));
        }
        let unfinished = Some(unfinished);
        self.0.push_back(LongRequestClient { peer: *peer, unfinished, unsent, waiting: VecDeque::new() });
        Ok(())
    }

    /// Adds a request that waits for the client's unfinished one. False when there are too many.
    pub(super) fn add_waiting(&mut self, peer: &Peer, bytes: &[u8], length: usize) -> bool {
        let count: usize = self.0.iter().map(|client| client.waiting.len()).sum();
        let client = self.0.iter_mut().find(|client| client.peer == *peer).filter(|_| count < MAX_WAITING);
        client
            .map(|client| client.waiting.push_back(WaitingRequest { bytes: bytes.to_vec(), length }))
            .is_some()
    }

    /// Takes the client whose turn is next.
    pub(super) fn take(&mut self) -> Option<LongRequestClient> {
        self.0.pop_front()
    }

    /// Puts a client at the end of the queue after its turn, unless all its requests are done.
    pub(super) fn put_back(&mut self, client: LongRequestClient) {
        if !client.is_done() {
            self.0.push_back(client);
        }
    }
}
