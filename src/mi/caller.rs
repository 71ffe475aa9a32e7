//! Who has sent a request, and what the log says of that.

use std::fmt;
use std::net::IpAddr;

use super::command::{Changes, Command};
use super::params::Params;
use super::status::Status;

/// OpenSIPS's level of what an operator may want to see.
const NOTICE: i32 = 2;

/// Bytes of the parameters that the log shows at most.
const SHOWN_BYTES: usize = 100;

/// Who has sent a request, as the transport that received it knows.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The transport: its module.
    pub transport: &'static str,
    /// Who it is, for the log.
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

    /// The caller, for requests that run when the one they came with is gone.
    #[must_use]
    pub fn to_owned_caller(&self) -> OwnedCaller {
        OwnedCaller { transport: self.transport, peer: self.peer.to_boxed() }
    }

    /// Says that a command that changes the server is about to run.
    pub(super) fn log_change(&self, command: &Command, params: &Params) {
        let is_shown = match command.changes {
            Changes::Data => false,
            Changes::Server => true,
            Changes::ServerIfParameters => !params.is_empty(),
        };
        if is_shown {
            let name = command.name;
            log::info!(level = NOTICE, cause = name; "{name}{} by {self}", Shown(params));
        }
    }

    /// Says why a request is refused, when the reply does not.
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

/// A client, shown by a path or an address. That may take system calls; it is done only when a line is
/// written.
pub trait PeerName: fmt::Display {
    /// The client, apart from its request.
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

/// A [`Caller`] without an address that lives by itself.
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
    /// The caller.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        Caller::new(self.transport, &*self.peer)
    }
}

/// Parameters, each after a blank, in ASCII and not longer than some.
struct Shown<'a>(&'a Params);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = SHOWN_BYTES;
        for (_, value) in self.0.iter() {
            let shown = &value[..value.len().min(room)];
            write!(f, " {}", shown.escape_ascii())?;
            if shown.len() < value.len() {
                return f.write_str("...");
            }
            room -= shown.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_shown_in_part() {
        let mut params = Params::new();
        params.push(b"", b"a\n");
        params.push(b"x", &[b'y'; 200]);
        params.push(b"", b"z");
        assert_eq!(Shown(&params).to_string(), format!(" a\\n {}...", "y".repeat(98)));
    }

    #[test]
    fn a_kept_caller_is_the_same_to_the_log() {
        let caller = Caller { transport: "mi_fifo", peer: &"somebody", address: b"x" };
        assert_eq!(caller.to_owned_caller().caller().to_string(), caller.to_string());
    }
}
