//! Requests that take several time slices.
//!
//! The worker gives each of them a slice in turn. What their clients send meanwhile waits behind them, so that each
//! client gets its replies in the order of its requests. Bounded: [`MAX_CLIENTS`] clients, [`MAX_BEHIND`] requests behind.

use std::collections::VecDeque;

use super::answer::UnfinishedDatagram;
use crate::shm::UnsentReply;
use crate::system::datagram::Peer;

/// Clients whose requests may be unfinished at the same time. Each holds a reply of up to one datagram.
const MAX_CLIENTS: usize = 64;

/// Requests that may wait behind others, of all clients together.
const MAX_BEHIND: usize = 64;

/// A client whose request takes long.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) peer: Peer,
    /// What is to go on; `None` when the next of its requests is to begin.
    pub(super) unfinished: Option<Box<UnfinishedDatagram>>,
    /// The row of that reply, when it has come later.
    pub(super) row: Option<UnsentReply>,
    behind: VecDeque<Request>,
}

/// A request that has not begun.
#[derive(Debug)]
pub(super) struct Request {
    /// Cut at the largest length of a datagram.
    pub(super) bytes: Vec<u8>,
    /// As it came, in bytes.
    pub(super) length: usize,
}

impl Client {
    /// The next of its requests, which has not begun.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        self.behind.pop_front()
    }

    fn is_done(&self) -> bool {
        self.unfinished.is_none() && self.behind.is_empty()
    }
}

/// The clients of one worker whose requests take long, the one whose turn is next first.
#[derive(Debug, Default)]
pub(super) struct LongRequests(VecDeque<Client>);

impl LongRequests {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request of that client is unfinished: a later one must not overtake it.
    pub(super) fn holds(&self, peer: &Peer) -> bool {
        peer.has_address() && self.0.iter().any(|client| client.peer == *peer)
    }

    /// Keeps a request that takes long.
    ///
    /// # Errors
    /// The request with its row, when there are too many.
    pub(super) fn add(
        &mut self,
        peer: &Peer,
        unfinished: Box<UnfinishedDatagram>,
        row: Option<UnsentReply>,
    ) -> Result<(), (Box<UnfinishedDatagram>, Option<UnsentReply>)> {
        if self.0.len() >= MAX_CLIENTS {
            return Err((unfinished, row));
        }
        let unfinished = Some(unfinished);
        self.0.push_back(Client { peer: *peer, unfinished, row, behind: VecDeque::new() });
        Ok(())
    }

    /// Keeps a request of a client that [`holds`](LongRequests::holds) knows. False when there are too many.
    pub(super) fn add_behind(&mut self, peer: &Peer, bytes: &[u8], length: usize) -> bool {
        let count: usize = self.0.iter().map(|client| client.behind.len()).sum();
        let client = self.0.iter_mut().find(|client| client.peer == *peer).filter(|_| count < MAX_BEHIND);
        client.map(|client| client.behind.push_back(Request { bytes: bytes.to_vec(), length })).is_some()
    }

    /// Takes the client whose turn it is.
    pub(super) fn take(&mut self) -> Option<Client> {
        self.0.pop_front()
    }

    /// Keeps a client that has had its turn, unless it is done.
    pub(super) fn put_back(&mut self, client: Client) {
        if !client.is_done() {
            self.0.push_back(client);
        }
    }
}
