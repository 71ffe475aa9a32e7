//! Describes the sender of a request, for log lines and deferred replies.

use std::fmt;
use std::net::IpAddr;

use super::status::Status;

/// OpenSIPS's log level for refused requests.
const NOTICE: i32 = 2;

/// The sender of a request, as its transport knows it.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The name of the transport's module.
    pub transport: &'static str,
    /// The client in log lines.
    pub peer: &'a dyn PeerName,
    /// The address of the caller for a deferred reply, in the form of the transport.
    pub address: &'a [u8],
}

impl<'a> Caller<'a> {
    /// A caller without an address for deferred replies.
    #[must_use]
    pub fn new(transport: &'static str, peer: &'a dyn PeerName) -> Caller<'a> {
        Caller { transport, peer, address: b"" }
    }

    /// A copy without an address, which outlives the request.
    #[must_use]
    pub fn to_owned_caller(&self) -> OwnedCaller {
        OwnedCaller { transport: self.transport, peer: self.peer.to_boxed() }
    }

    /// Logs the cause of an error, when the reply does not name it.
    pub fn log_refusal(&self, command: &str, status: &Status) {
        if let Some(reason) = &status.data {
            log::info!(
                level = NOTICE, cause = command;
                "{command} by {self} is refused: {} {}: {reason}", status.code, status.reason
            );
        }
    }
}

impl fmt::Display for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.peer)
    }
}

impl fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({self})")
    }
}

/// Names a client in log lines, by a path or an address. Writing the name may take system calls.
pub trait PeerName: fmt::Display {
    /// A copy that outlives the request.
    fn to_boxed(&self) -> Box<dyn PeerName>;
}

impl PeerName for IpAddr {
    fn to_boxed(&self) -> Box<dyn PeerName> {
        Box::new(*self)
    }
}

impl PeerName for &'static str {
    fn to_boxed(&self) -> Box<dyn PeerName> {
        Box::new(*self)
    }
}

/// A [`Caller`] without an address, which outlives its request.
pub struct OwnedCaller {
    transport: &'static str,
    peer: Box<dyn PeerName>,
}

impl fmt::Debug for OwnedCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.caller().fmt(f)
    }
}

impl OwnedCaller {
    /// Borrows the caller.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        Caller::new(self.transport, &*self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_caller_is_logged_as_the_borrowed_one() {
        let caller = Caller { transport: "mi_fifo", peer: &"somebody", address: b"x" };
        assert_eq!(caller.to_owned_caller().caller().to_string(), caller.to_string());
    }
}
