//! One process's connection to one Redis server: made when it is first needed, and again when it was lost.
//!
//! Made after the fork, so that no two processes share one. Every wait has an end: no step of a connection goes on after
//! `connect_timeout`, and no part of an answer is waited for longer than `query_timeout`. Only a connection that the
//! server closes while it is asked costs one more round. What the system's resolver takes for a name comes on top.
//! A server that was lost is left alone for as long as it took to find that out, so that a dead one takes at most
//! half of a worker's time. Starts no thread. C: `redis_connect` and `redis_run_command` in cachedb_redis_dbase.c.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use redis::{Client, Cmd, Connection, ErrorKind, FromRedisValue, RedisError};

use super::url::Url;
use crate::cachedb::CacheError;
use crate::logging::Throttle;

/// Shortest time for which a lost server is left alone.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Longest time for which a lost server is left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait. Neither is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For a connection, with log-in.
    pub(super) connect: Duration,
    /// For the answer to a command.
    pub(super) query: Duration,
}

/// A server, and the connection that this process has to it.
pub(super) struct Link {
    url: Url,
    limits: Limits,
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
    LookUp { host: String, source: io::Error },
    #[error("cannot connect to {server}: {}; start Redis there, or correct cachedb_url", Told(.source, .limit))]
    Connect { server: String, source: RedisError, limit: Duration },
    #[error("cannot log in to {server}: {}; correct user and password in cachedb_url", Told(.source, .limit))]
    Login { server: String, source: RedisError, limit: Duration },
    #[error("cannot select database {database} of {server}: {}; correct cachedb_url", Told(.source, .limit))]
    Select { server: String, database: u32, source: RedisError, limit: Duration },
    #[error("{server} was lost: {}; see whether Redis is well, or raise query_timeout", Told(.source, .limit))]
    Lost { server: String, source: RedisError, limit: Duration },
    #[error("{reason}; the next attempt is in {milliseconds} ms")]
    Pause { reason: String, milliseconds: u128 },
    #[error("{server} refuses a command: {source}; see what Redis says of it")]
    Refused { server: String, source: RedisError },
}

/// An error of the connection, in place of what the system says for a timeout.
struct Told<'a>(&'a RedisError, &'a Duration);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told(error, limit) if error.is_timeout() => {
                write!(f, "no answer within {} ms", limit.as_millis())
            }
            Told(error, _) => error.fmt(f),
        }
    }
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
        Link { url, limits, state: RefCell::new(state) }
    }

    /// As commands name the system.
    pub(super) fn system(&self) -> &str {
        &self.url.system
    }

    /// Sends a command and reads its answer. The command may be sent twice, so that it must be one for which once
    /// and twice are the same. What goes wrong is logged here, a line in a while.
    ///
    /// # Errors
    /// [`CacheError::Remote`] when the server cannot be reached, does not answer in time, or says no.
    pub(super) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CacheError> {
        let state = &mut *self.state.borrow_mut();
        self.attempt(state, command).map_err(|error| {
            let (system, message) = (self.url.system.clone(), error.to_string());
            let lines = match error {
                LinkError::Refused { .. } => &mut state.refused_lines,
                _ => &mut state.lost_lines,
            };
            lines.warn(format_args!("{system}: {message}"));
            CacheError::Remote { system, message }
        })
    }

    fn attempt<T: FromRedisValue>(&self, state: &mut State, command: &Cmd) -> Result<T, LinkError> {
        let start = Instant::now();
        if let Some(mut connection) = state.connection.take() {
            match command.query(&mut connection) {
                // Closed since the last command, as by a restart of the server: a new one will do.
                Err(error) if error.is_connection_dropped() => {}
                result => return self.conclude(state, connection, start, result),
            }
        } else if let Some(lost) = &state.lost
            && let Some(left) = lost.until.checked_duration_since(start)
        {
            return Err(LinkError::Pause { reason: lost.reason.clone(), milliseconds: left.as_millis() });
        }
        match self.connect() {
            Ok(mut connection) => {
                let result = command.query(&mut connection);
                self.conclude(state, connection, start, result)
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
        result: Result<T, RedisError>,
    ) -> Result<T, LinkError> {
        let server = || self.url.to_string();
        let source = match result {
            Ok(answer) => {
                state.connection = Some(connection);
                if state.lost.take().is_some() {
                    log::info!("{}: {} answers again", self.url.system, self.url);
                }
                return Ok(answer);
            }
            Err(source) => source,
        };
        // The server has answered, so the connection is in step.
        if matches!(source.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
            state.connection = Some(connection);
            return Err(LinkError::Refused { server: server(), source });
        }
        let error = LinkError::Lost { server: server(), source, limit: self.limits.query };
        state.lose(start, &error);
        Err(error)
    }

    /// A new connection, logged in, with its database, and with the limit of commands set.
    fn connect(&self) -> Result<Connection, LinkError> {
        let (server, limit) = (|| self.url.to_string(), self.limits.connect);
        let until = Instant::now() + limit;
        let mut connection = self.open(until)?;
        self.log_in(&mut connection, until).map_err(|source| LinkError::Login {
            server: server(),
            source,
            limit,
        })?;
        let database = self.url.database;
        if database != 0 {
            within(&mut connection, until, redis::cmd("SELECT").arg(database))
                .map_err(|source| LinkError::Select { server: server(), database, source, limit })?;
        }
        set_limit(&connection, self.limits.query).map_err(|source| LinkError::Connect {
            server: server(),
            source,
            limit,
        })?;
        Ok(connection)
    }

    /// The first address of the host that answers; each gets an even share of the time that is left.
    fn open(&self, until: Instant) -> Result<Connection, LinkError> {
        let look_up = |source| LinkError::LookUp { host: self.url.host.clone(), source };
        let addresses = (self.url.host.as_str(), self.url.port).to_socket_addrs().map_err(look_up)?;
        let addresses: Vec<_> = addresses.collect();
        let mut last = look_up(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
        for (address, share) in addresses.iter().zip((1..=addresses.len()).rev()) {
            let left = until.saturating_duration_since(Instant::now());
            let limit = left / u32::try_from(share).unwrap_or(u32::MAX);
            match open_address((address.ip().to_string(), address.port()), limit) {
                Ok(connection) => return Ok(connection),
                Err(source) => {
                    let (server, limit) = (self.url.to_string(), self.limits.connect);
                    last = LinkError::Connect { server, source, limit };
                }
            }
        }
        Err(last)
    }

    /// Tells the password. Differs: C leaves the user out; here it is tried first, since Redis has users since 6.0.
    fn log_in(&self, connection: &mut Connection, until: Instant) -> Result<(), RedisError> {
        let Some(login) = &self.url.login else { return Ok(()) };
        if let Some(user) = &login.user {
            let answer = within(connection, until, redis::cmd("AUTH").arg(user).arg(&login.password));
            // An older Redis, or a user that it does not know: the password alone may do.
            match answer {
                Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {}
                answer => return answer,
            }
        }
        within(connection, until, redis::cmd("AUTH").arg(&login.password))
    }
}

impl State {
    /// Leaves the server alone for a while.
    fn lose(&mut self, start: Instant, error: &LinkError) {
        let now = Instant::now();
        let pause = now.duration_since(start).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.lost = Some(Lost { reason: error.to_string(), until: now + pause });
    }
}

fn open_address(address: (String, u16), limit: Duration) -> Result<Connection, RedisError> {
    if limit.is_zero() {
        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
    }
    let info = redis::IntoConnectionInfo::into_connection_info(address)?;
    // Redis need not know which library speaks to it.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Client::open(info.set_redis_settings(settings))?.get_connection_with_timeout(limit)
}

/// Runs a command of the log-in.
fn within(connection: &mut Connection, until: Instant, command: &Cmd) -> Result<(), RedisError> {
    set_limit(connection, until.saturating_duration_since(Instant::now()))?;
    command.query(connection)
}

fn set_limit(connection: &Connection, limit: Duration) -> Result<(), RedisError> {
    if limit.is_zero() {
        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
    }
    connection.set_read_timeout(Some(limit))?;
    connection.set_write_timeout(Some(limit))
}
