//! Hands deferred replies to the connections that wait for them.
//!
//! A connection ends with its process, so a worker removes the pending requests that a killed predecessor has left.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use tokio::net::TcpStream;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::mi::Context;
use crate::shm::ReplyInbox;
use crate::shm::pending::AnsweredReply;
use crate::system::pipe_notifier::DRAIN_BYTES;
use crate::system::tcp::{self, LastWords, OpenSockets};

/// The deferred replies that this worker's connections wait for.
#[derive(Debug)]
pub(super) struct DeferredReplies {
    inbox: RefCell<ReplyInbox>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<AnsweredReply>>>,
}

/// A connection's wait for one reply. Dropping it removes the pending request.
struct ReplyWait<'a> {
    replies: &'a DeferredReplies,
    number: u64,
}

impl DeferredReplies {
    pub(super) fn new(context: &Context) -> DeferredReplies {
        let mut inbox = ReplyInbox::new(context.pending, context.slot);
        inbox.clear();
        DeferredReplies { inbox: RefCell::new(inbox), waiting: RefCell::default() }
    }

    /// Waits for the reply to the pending request of that number. `None` when the reply is lost.
    pub(super) async fn reply(&self, number: u64) -> Option<AnsweredReply> {
        let (sender, receiver) = oneshot::channel();
        self.inbox.borrow_mut().expect(number);
        self.waiting.borrow_mut().insert(number, sender);
        let _removed_on_drop = ReplyWait { replies: self, number };
        receiver.await.ok()
    }

    /// The notifier for [`listen`](DeferredReplies::listen). `None` when no command may defer its reply.
    pub(super) fn notifier(&self) -> io::Result<Option<Receiver>> {
        let notifier = self.inbox.borrow().notifier();
        notifier.map(|notifier| Receiver::from_owned_fd(notifier.try_clone_to_owned()?)).transpose()
    }

    /// Hands each reply to its connection when a process has given it. Returns only on an error.
    pub(super) async fn listen(&self, notifier: Receiver) -> io::Result<()> {
        let mut bytes = [0; DRAIN_BYTES];
        loop {
            notifier.readable().await?;
            match notifier.try_read(&mut bytes) {
                Ok(length) => self.inbox.borrow_mut().note_notified(&bytes[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            while let Some(answered) = self.take() {
                let waiting = self.waiting.borrow_mut().remove(&answered.number);
                if let Some(waiting) = waiting {
                    // The send fails when the connection has just ended.
                    let _sent = waiting.send(answered);
                    // Lets the connection count its reply before the next one is taken.
                    yield_now().await;
                }
            }
        }
    }

    fn take(&self) -> Option<AnsweredReply> {
        let lost = |number| {
            // Dropping the sender tells the connection that the reply is lost.
            self.waiting.borrow_mut().remove(&number);
        };
        self.inbox.borrow_mut().take(|_| true, lost)
    }
}

/// The client of a connection will not read its reply. `open` caches the table of open sockets between calls.
pub(super) fn has_left(connection: &TcpStream, open: &mut Option<OpenSockets>) -> bool {
    let (Ok(own), Ok(peer)) = (connection.local_addr(), connection.peer_addr()) else { return true };
    match tcp::last_words(connection) {
        LastWords::None => false,
        LastWords::Reset => true,
        // The client may have closed its sending side only, and wait for the reply. Its socket shows that, when it is a
        // socket of this machine.
        LastWords::End if peer.ip() == own.ip() || peer.ip().to_canonical().is_loopback() => {
            !open.get_or_insert_with(OpenSockets::read).has(peer, own)
        }
        LastWords::End => false,
    }
}

impl Drop for ReplyWait<'_> {
    fn drop(&mut self) {
        self.replies.waiting.borrow_mut().remove(&self.number);
        self.replies.inbox.borrow_mut().give_up(self.number);
    }
}
