//! Replies that come later: how a command says so, and what it answers then.
//!
//! A command that may answer later is a row whose function is a [`Later`]. It gets the number of its reply before it
//! runs, may keep it wherever it likes, and whichever process has that number answers by [`Told::answer`]; see
//! [`crate::shm::pending`]. C: `MI_ASYNC_RPL_FLAG` and `struct mi_handler` in mi/mi.h.

use super::command::{Act, Call};
use super::fault::{Fault, SERVER_ERROR};
use super::reply::{Progress, Reply, Rest};
use super::snapshot::{Snapshot, Telling};
use super::statistics::Statistic;
use crate::shm::Pending;
use crate::shm::pending::{Asked, Gone, Refused};

/// What is answered in the place of a reply that nobody has given in time.
const LATE: Fault = Fault::new(408, "Reply timeout");

/// What is answered when there are too many.
const TOO_MANY: Fault = Fault::new(503, "Too many pending replies");

/// What is answered when the server ends.
const ENDING: Fault = Fault::new(503, "Server is stopping");

/// What is answered to one of several requests whose replies come together.
const ALONE: Fault = Fault::new(500, "This command answers later, call it alone");

/// The statistics of pending replies, where there is a command that answers later.
pub const STATISTICS: [Statistic; 2] = [
    Statistic::function("mi", "pending_replies", &|context| context.pending.count()),
    Statistic::counter("mi", TIMEOUTS),
];

/// The statistic of replies that nobody has given in time, in the group `mi`.
pub const TIMEOUTS: &str = "pending_timeouts";

/// Whether a reply may come later than its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// It may.
    AtAnyTime {
        /// What the reply needs beside the caller's address, by what is spoken.
        form: &'a [u8],
    },
    /// Nobody wants it.
    Never,
    /// It goes with those to other requests, at once.
    WithOthers,
}

/// What came of a command.
pub enum Outcome {
    /// The reply, and what is left of a long one.
    Now(Option<Rest>),
    /// It comes later, under that number; nothing was written.
    Later(u64),
}

impl Outcome {
    /// What is left of a long reply that comes now.
    #[must_use]
    pub fn rest(self) -> Option<Rest> {
        match self {
            Outcome::Now(rest) => rest,
            Outcome::Later(_) => None,
        }
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Now(rest) => write!(f, "Now(rest: {})", rest.is_some()),
            Outcome::Later(number) => write!(f, "Later({number})"),
        }
    }
}

/// When a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It has, as any other.
    Now,
    /// Somebody who has the number will.
    Later,
}

/// The function of a command that may answer later: it gets the number of the reply, too. When it answers now, or
/// fails, the number is of no meaning any more.
#[derive(Debug)]
pub struct Later<F>(pub F);

impl<F: Fn(&mut Call<'_>, u64) -> Result<When, Fault> + Sync> Act for Later<F> {
    fn run(&self, call: &mut Call<'_>) -> Result<(), Fault> {
        let slot = call.context.slot;
        let (slot, address, form) = match call.delivery {
            Delivery::AtAnyTime { form } => (Some(slot), call.caller.address, form),
            Delivery::Never => (None, &[][..], &[][..]),
            Delivery::WithOthers => return Err(ALONE),
        };
        let asked = Asked { slot, command: call.name, address, form };
        let number = call.context.pending.add(&asked).map_err(|refused| {
            log::warn!(often = true; "{} is not run: {refused}", call.name);
            match refused {
                Refused::TooMany => TOO_MANY,
                Refused::Ending => ENDING,
                Refused::Full(full) => SERVER_ERROR.with_cause(full),
            }
        })?;
        let when = (self.0)(call, number);
        if when == Ok(When::Later) {
            call.later = Some(number);
        } else {
            call.context.pending.remove(number);
        }
        when.map(|_| ())
    }

    fn answers_later(&self) -> bool {
        true
    }
}

/// A whole reply: code, reason and nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    status: Fault,
    nodes: Snapshot,
}

impl From<Fault> for Told {
    fn from(fault: Fault) -> Told {
        Told { status: fault, nodes: Snapshot::default() }
    }
}

impl From<Snapshot> for Told {
    /// `200 OK` with these nodes.
    fn from(nodes: Snapshot) -> Told {
        Told { status: Fault::new(200, "OK"), nodes }
    }
}

impl Told {
    /// A code and a reason of its own, with nodes.
    #[must_use]
    pub fn new(status: Fault, nodes: Snapshot) -> Told {
        Told { status, nodes }
    }

    /// Tells it as a command does; gives what is left when it is long. In JSON a code other than 2xx is an error; without
    /// nodes, any code and reason but `200 OK` is one.
    ///
    /// # Errors
    /// That error.
    pub fn tell(self, reply: &mut dyn Reply) -> Result<Option<Rest>, Fault> {
        let Told { status, nodes } = self;
        let is_plain = status.code == 200 && status.reason == "OK";
        if reply.is_json() && status.code / 100 != 2 || nodes.is_empty() && !is_plain {
            return Err(status);
        }
        if !reply.is_json() && !is_plain {
            reply.status(&status);
        }
        let mut telling = Telling::new(nodes);
        let progress = telling.go_on(reply);
        Ok((progress == Progress::More).then(|| Rest::of_reply(move |_, reply| Ok(telling.go_on(reply)))))
    }

    /// Answers the pending reply of that number with it. From any process.
    ///
    /// # Errors
    /// [`Gone`]: nobody waits for it any more.
    pub fn answer(&self, pending: &Pending, number: u64) -> Result<(), Gone> {
        pending.answer(number, &self.to_bytes(), &Told::from(SERVER_ERROR).to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.status.code.to_le_bytes().to_vec();
        // A reason is one line.
        let reason = self.status.reason.as_bytes();
        bytes.extend(u32::try_from(reason.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(reason);
        self.nodes.write(&mut bytes);
        bytes
    }

    /// What was answered. What is no answer at all is an error of the server.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Told {
        let read = || {
            let (code, rest) = bytes.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (reason, rest) = rest.split_at_checked(length)?;
            let reason = String::from_utf8_lossy(reason);
            let status = match (i32::from_le_bytes(*code), &*reason) {
                (200, "OK") => Fault::new(200, "OK"),
                (code, reason) => Fault::because(code, reason),
            };
            Some(Told { status, nodes: Snapshot::read(rest)? })
        };
        read().unwrap_or_else(|| Told::from(SERVER_ERROR))
    }
}

/// Answers those whose time is over. To be called every second; gives how many there were.
pub fn end_late(pending: &Pending) -> usize {
    let late = pending.sweep(&Told::from(LATE).to_bytes());
    late.iter().for_each(|command| log::warn!(often = true; "{command}: nobody has answered in time"));
    late.len()
}

/// Answers all that are pending, as the server ends, and refuses more. For the attendant.
pub fn end_all(pending: &Pending) {
    let count = pending.end(&Told::from(ENDING).to_bytes());
    if count > 0 {
        log::warn!("{count} commands have not answered yet; their clients are told that the server ends");
    }
}

#[cfg(test)]
mod tests;
