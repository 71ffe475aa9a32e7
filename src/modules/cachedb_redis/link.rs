//! One process's link to one Redis server: connected when it is first needed, and again when the connection was lost.
//!
//! Connected after the fork, so that no two processes share a connection. A command takes at most `query_timeout`; one
//! that must connect first takes at most `connect_timeout` more, look-up and log-in included. A server that was lost is
//! left alone for at least as long as it took to find that out, so that one that never answers takes at most half of a
//! worker's time. Starts no thread, but for the look-up of a name. C: `redis_connect` and `redis_run_command` in
//! cachedb_redis_dbase.c.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::connection::{Connection, Deadline, Failure};
use super::resp::{self, Reply, ReplyError};
use super::url::Url;
use crate::cachedb::CacheError;
use crate::logging::Throttle;
use crate::system::names::Resolver;

/// Shortest time for which a lost server is left alone.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait. Neither is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For a connection, with look-up and log-in.
    pub(super) connect: Duration,
    /// For the answer to a command.
    pub(super) query: Duration,
}

/// A server, and the connection that this process has to it.
pub(super) struct Link {
    url: Url,
    limits: Limits,
    resolver: Resolver,
    state: RefCell<State>,
}

struct State {
    connection: Option<Connection>,
    lost: Option<Lost>,
    lost_lines: Throttle,
    refused_lines: Throttle,
}

/// A server that did not answer.
struct Lost {
    reason: String,
    /// When it is tried again.
    until: Instant,
}

/// Which step failed.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("cannot look up {host:?}: {source}; correct the host in cachedb_url")]
    LookUp { host: String, source: Failure },
    #[error("cannot connect to {server}: {source}; start Redis there, or correct cachedb_url")]
    Connect { server: String, source: Failure },
    #[error("cannot log in to {server}: {reason}; correct user and password in cachedb_url")]
    Login { server: String, reason: String },
    #[error("cannot select database {database} of {server}: {reason}; correct cachedb_url")]
    Select { server: String, database: u32, reason: String },
    #[error("{server} was lost: {source}; see whether Redis is well, or raise query_timeout")]
    Lost { server: String, source: Failure },
    #[error("{reason}; the next attempt is in {milliseconds} ms")]
    Pause { reason: String, milliseconds: u128 },
    #[error("{server} refuses a command: {reason}; see what Redis says of it")]
    Refused { server: String, reason: String },
    #[error("a reply of {server} is not read: {source}; store less under one key")]
    TooLarge { server: String, source: Failure },
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("url", &self.url).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Link {
    /// A link without a connection.
    pub(super) fn new(url: Url, limits: Limits) -> Link {
        let state = State {
            connection: None,
            lost: None,
            lost_lines: Throttle::new(module_path!()),
            refused_lines: Throttle::new(module_path!()),
        };
        Link { url, limits, resolver: Resolver::default(), state: RefCell::new(state) }
    }

    /// As commands name the system.
    pub(super) fn system(&self) -> &str {
        &self.url.system
    }

    /// Sends a command and gives what `take` makes of the reply; a reply that `take` does not know belongs to something
    /// else. The command may be sent twice, so that it must be one for which once and twice are the same. What goes
    /// wrong is logged here, a line in a while.
    ///
    /// # Errors
    /// [`CacheError::Remote`] when the server cannot be reached, does not answer in time, or says no.
    pub(super) fn ask<T>(&self, words: &[&[u8]], take: fn(Reply) -> Option<T>) -> Result<T, CacheError> {
        let state = &mut *self.state.borrow_mut();
        self.attempt(state, &resp::command(words), take).map_err(|error| {
            let (system, message) = (self.url.system.clone(), error.to_string());
            let lines = match error {
                LinkError::Refused { .. } | LinkError::TooLarge { .. } => &mut state.refused_lines,
                _ => &mut state.lost_lines,
            };
            lines.warn(format_args!("{system}: {message}"));
            CacheError::Remote { system, message }
        })
    }

    fn attempt<T>(
        &self,
        state: &mut State,
        command: &[u8],
        take: fn(Reply) -> Option<T>,
    ) -> Result<T, LinkError> {
        let start = Instant::now();
        if let Some(mut connection) = state.connection.take() {
            match connection.query(command, Deadline::after(self.limits.query)) {
                // Closed since the last command, as by a restart of the server: a new one will do.
                Err(Failure::Closed) => {}
                Err(Failure::Extra) => state.lost_lines.warn(format_args!(
                    "{}: {} sent more than was asked for; connecting again",
                    self.url.system, self.url
                )),
                result => return self.conclude(state, connection, start, result, take),
            }
        } else if let Some(lost) = &state.lost
            && let Some(left) = lost.until.checked_duration_since(start)
        {
            return Err(LinkError::Pause { reason: lost.reason.clone(), milliseconds: left.as_millis() });
        }
        let end = Deadline::at(start, self.limits.connect + self.limits.query);
        match self.connect(end.shorter(self.limits.connect)) {
            Ok(mut connection) => {
                let result = connection.query(command, end.shorter(self.limits.query));
                self.conclude(state, connection, start, result, take)
            }
            Err(error) => {
                state.lose(start, &error);
                Err(error)
            }
        }
    }

    /// Keeps the connection if it is still good for something.
    fn conclude<T>(
        &self,
        state: &mut State,
        connection: Connection,
        start: Instant,
        result: Result<Reply, Failure>,
        take: fn(Reply) -> Option<T>,
    ) -> Result<T, LinkError> {
        let server = self.url.to_string();
        let source = match result {
            Ok(Reply::Error(reason)) => {
                // A replica has taken the master's place; where the master is now is known by a new look-up.
                if !reason.starts_with(b"READONLY") {
                    state.connection = Some(connection);
                }
                return Err(LinkError::Refused { server, reason: resp::shown(&reason) });
            }
            Ok(reply) => match take(reply) {
                Some(answer) => {
                    state.connection = Some(connection);
                    if state.lost.take().is_some() {
                        log::info!("{}: {server} answers again", self.url.system);
                    }
                    return Ok(answer);
                }
                None => Failure::Other,
            },
            // The server is well; but to read all this would take long, and memory.
            Err(source @ Failure::Reply(ReplyError::TooLarge(_))) => {
                return Err(LinkError::TooLarge { server, source });
            }
            Err(source) => source,
        };
        let error = LinkError::Lost { server, source };
        state.lose(start, &error);
        Err(error)
    }

    /// A new connection, logged in, with its database.
    fn connect(&self, deadline: Deadline) -> Result<Connection, LinkError> {
        let server = || self.url.to_string();
        let mut connection = self.open(deadline)?;
        self.log_in(&mut connection, deadline)
            .map_err(|reason| LinkError::Login { server: server(), reason })?;
        let database = self.url.database;
        if database != 0 {
            let command = resp::command(&[b"SELECT", database.to_string().as_bytes()]);
            let answer = done(connection.query(&command, deadline));
            answer.map_err(|answer| LinkError::Select {
                server: server(),
                database,
                reason: answer.shown(""),
            })?;
        }
        Ok(connection)
    }

    /// The first address of the host that answers; each gets an even share of the time that is left.
    fn open(&self, deadline: Deadline) -> Result<Connection, LinkError> {
        let connect = |source| LinkError::Connect { server: self.url.to_string(), source };
        let look_up = |source| LinkError::LookUp { host: self.url.host.clone(), source };
        let addresses = self.addresses(deadline).map_err(look_up)?;
        let mut last = None;
        for (&address, share) in addresses.iter().zip((1..=addresses.len()).rev()) {
            let limit = deadline.left().map_err(connect)? / u32::try_from(share).unwrap_or(u32::MAX);
            match Connection::open(SocketAddr::new(address, self.url.port), limit) {
                Ok(connection) => return Ok(connection),
                Err(Failure::Late(_)) => last = Some(deadline.late()),
                Err(source) => last = Some(source),
            }
        }
        Err(connect(last.unwrap_or_else(|| deadline.late())))
    }

    /// The addresses of the host, at least one.
    fn addresses(&self, deadline: Deadline) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = self.url.host.parse() {
            return Ok(vec![address]);
        }
        self.resolver.look_up_all(&self.url.host, deadline.left()?).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => deadline.late(),
            _ => Failure::Io(error),
        })
    }

    /// Tells the password. Differs: C leaves the user out; here it is tried first, since Redis has users since 6.0.
    fn log_in(&self, connection: &mut Connection, deadline: Deadline) -> Result<(), String> {
        let Some(login) = &self.url.login else { return Ok(()) };
        let password = login.password.as_bytes();
        if let Some(user) = &login.user {
            let command = resp::command(&[b"AUTH", user.as_bytes(), password]);
            match done(connection.query(&command, deadline)) {
                // An older Redis, or a user that it does not know: the password alone may do.
                Err(NotDone::Refused(_)) => {}
                answer => return answer.map_err(|answer| answer.shown(&login.password)),
            }
        }
        let command = resp::command(&[b"AUTH", password]);
        done(connection.query(&command, deadline)).map_err(|answer| answer.shown(&login.password))
    }
}

/// Why a step of the log-in is not done.
enum NotDone {
    /// The server says why.
    Refused(Vec<u8>),
    /// It does not answer.
    Failed(Failure),
}

impl NotDone {
    /// Fit for a message; `secret`, if there is any, is left out of what the server says.
    fn shown(&self, secret: &str) -> String {
        match self {
            NotDone::Refused(reason) if secret.is_empty() => resp::shown(reason),
            NotDone::Refused(reason) => resp::shown_without(reason, secret),
            NotDone::Failed(failure) => failure.to_string(),
        }
    }
}

fn done(answer: Result<Reply, Failure>) -> Result<(), NotDone> {
    match answer {
        Ok(Reply::Ok) => Ok(()),
        Ok(Reply::Error(reason)) => Err(NotDone::Refused(reason)),
        Ok(_) => Err(NotDone::Failed(Failure::Other)),
        Err(failure) => Err(NotDone::Failed(failure)),
    }
}

impl State {
    /// Leaves the server alone for as long as it has just taken, or a little longer.
    fn lose(&mut self, start: Instant, error: &LinkError) {
        let now = Instant::now();
        let pause = now.duration_since(start).max(SHORTEST_PAUSE);
        self.lost = Some(Lost { reason: error.to_string(), until: now + pause });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(host: &str, connect: Duration) -> Link {
        let url = Url::parse(format!("redis:g://{host}:1/").as_bytes()).unwrap();
        Link::new(url, Limits { connect, query: Duration::from_secs(1) })
    }

    fn lost(link: &Link) -> String {
        link.ask(&[b"GET", b"k"], Reply::value).unwrap_err().to_string()
    }

    #[test]
    fn a_pause_is_never_shorter_than_the_time_lost() {
        let link = link("127.0.0.1", Duration::from_secs(1));
        let state = &mut *link.state.borrow_mut();
        let error = LinkError::LookUp { host: String::new(), source: Failure::Closed };
        for taken in [Duration::ZERO, SHORTEST_PAUSE, Duration::from_secs(90)] {
            let start = Instant::now().checked_sub(taken).unwrap();
            state.lose(start, &error);
            let pause = state.lost.as_ref().unwrap().until - Instant::now();
            let wanted = taken.max(SHORTEST_PAUSE);
            assert!(pause + Duration::from_secs(1) > wanted, "{pause:?} after {taken:?}");
            assert!(pause < wanted + Duration::from_secs(1), "{pause:?} after {taken:?}");
        }
    }

    #[test]
    fn no_time_at_all_is_an_error_and_a_pause() {
        let link = link("localhost", Duration::from_nanos(1));
        let error = lost(&link);
        assert!(error.contains("cannot look up \"localhost\": no answer within 0 ms"), "{error}");
        assert!(lost(&link).contains("the next attempt is in"), "no pause");
    }

    #[test]
    fn a_name_that_is_none_is_said() {
        let error = lost(&link("no.such.host.invalid", Duration::from_secs(5)));
        assert!(error.contains("cannot look up \"no.such.host.invalid\""), "{error}");
    }
}
