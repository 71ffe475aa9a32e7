//! Replies that come later than their requests: each connection waits for its own, and for no other.
//!
//! A connection is this process's alone, so what a killed predecessor has left is forgotten.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use tokio::net::TcpStream;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::mi::Context;
use crate::shm::Inbox;
use crate::shm::pending::Due;
use crate::system::bell::HEARD_BYTES;
use crate::system::tcp::{self, LastWords, OpenSockets};

/// Those that a process waits for.
#[derive(Debug)]
pub(super) struct Later {
    inbox: RefCell<Inbox>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<Due>>>,
}

/// One that is waited for. Dropping it gives it up.
struct Waiting<'a> {
    later: &'a Later,
    number: u64,
}

impl Later {
    pub(super) fn new(context: &Context) -> Later {
        let mut inbox = Inbox::new(context.pending, context.slot);
        inbox.clear();
        Later { inbox: RefCell::new(inbox), waiting: RefCell::default() }
    }

    /// The reply of that number, when it has come; `None` when it never will.
    pub(super) async fn reply(&self, number: u64) -> Option<Due> {
        let (sender, receiver) = oneshot::channel();
        self.inbox.borrow_mut().expect(number);
        self.waiting.borrow_mut().insert(number, sender);
        let _given_up_at_the_end = Waiting { later: self, number };
        receiver.await.ok()
    }

    /// What is to be listened to by [`listen`](Later::listen), when there are commands that answer later.
    pub(super) fn bell(&self) -> io::Result<Option<Receiver>> {
        let bell = self.inbox.borrow().bell();
        bell.map(|bell| Receiver::from_owned_fd(bell.try_clone_to_owned()?)).transpose()
    }

    /// Hands replies that have come to their connections, for ever.
    pub(super) async fn listen(&self, bell: Receiver) -> io::Result<()> {
        let mut bytes = [0; HEARD_BYTES];
        loop {
            bell.readable().await?;
            match bell.try_read(&mut bytes) {
                Ok(length) => self.inbox.borrow_mut().hear(&bytes[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            while let Some(due) = self.take() {
                let waiting = self.waiting.borrow_mut().remove(&due.number);
                if let Some(waiting) = waiting {
                    // One whose connection has just ended goes nowhere.
                    let _sent = waiting.send(due);
                    // It is counted before the next one is taken.
                    yield_now().await;
                }
            }
        }
    }

    fn take(&self) -> Option<Due> {
        let lost = |number| {
            // Its connection learns that there is no reply.
            self.waiting.borrow_mut().remove(&number);
        };
        self.inbox.borrow_mut().take(|_| true, lost)
    }
}

/// Whether the client at the other end of a connection will read no reply. `open` keeps the table of sockets for who
/// asks about several.
pub(super) fn has_left(connection: &TcpStream, open: &mut Option<OpenSockets>) -> bool {
    let (Ok(own), Ok(peer)) = (connection.local_addr(), connection.peer_addr()) else { return true };
    match tcp::last_words(connection) {
        LastWords::None => false,
        LastWords::Reset => true,
        // It may have said that it sends no more and wait for the reply. That can be seen on this machine alone.
        LastWords::End if peer.ip() == own.ip() || peer.ip().to_canonical().is_loopback() => {
            !open.get_or_insert_with(OpenSockets::read).has(peer, own)
        }
        LastWords::End => false,
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.later.waiting.borrow_mut().remove(&self.number);
        self.later.inbox.borrow_mut().give_up(self.number);
    }
}
