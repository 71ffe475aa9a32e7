//! cachedb_redis: the cache systems `redis` and `redis:GROUP`, each on a Redis server of its own.
//!
//! Several machines share state in this way. Here are the module's table and the three commands that a cache system
//! sends; [`url`] reads where the servers are, [`link`] keeps a process's [`connection`] to one, [`resp`] is what is
//! spoken there. A Redis Cluster is not followed: a key that lies on another node is an error. C: modules/cachedb_redis.

mod connection;
mod link;
mod resp;
mod url;

use std::time::Duration;

use crate::cachedb::{Backend, CacheError};
use crate::config::{DefaultValue, Param, ParameterKind, ParameterRow, Settings};
use crate::mi::Context;
use crate::module::{Module, ModuleParts, SettingError};
use link::{Limits, Link};
use resp::Reply;
use url::Url;

/// Default of both time limits, in milliseconds. Differs: C's `CACHEDB_REDIS_DEFAULT_TIMEOUT` is 5000, for which a
/// client of MI does not wait: with both limits used up it would be 10 s.
const DEFAULT_LIMIT: u32 = 1000;

/// Largest time limit, in milliseconds.
const MAX_LIMIT: u32 = i32::MAX.cast_unsigned();

/// What stands for a limit of 0 milliseconds, which is none.
const NO_LIMIT: Duration = Duration::from_secs(86_400);

const CACHEDB_URL: Param<Option<&[u8]>> = Param::optional_text(
    "cachedb_url",
    "a server, redis:GROUP://[[USER]:PASSWORD@]HOST[:PORT]/[DATABASE]; may be set more than once",
);
const CONNECT_TIMEOUT: Param<u32> = Param::u32(
    "connect_timeout",
    0..=MAX_LIMIT,
    DEFAULT_LIMIT,
    "milliseconds to wait for a connection, 0 for no limit",
);
const QUERY_TIMEOUT: Param<u32> = Param::u32(
    "query_timeout",
    0..=MAX_LIMIT,
    DEFAULT_LIMIT,
    "milliseconds to wait for an answer, 0 for no limit",
);

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "cachedb_redis",
    parameters: &[
        CACHEDB_URL.row,
        CONNECT_TIMEOUT.row,
        QUERY_TIMEOUT.row,
        ParameterRow::without_effect(
            "shutdown_on_error",
            ParameterKind::Boolean,
            DefaultValue::Number(0),
            "the server starts without Redis, and finds it as soon as it is there",
            "whether a start without Redis fails",
        ),
    ],
    commands: &[],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| Ok(load(settings))),
};

/// One system for each URL that is well formed, and an error for each other.
///
/// Of several URLs with one group the first counts, of several without a group the last. C:
/// `cachedb_insert_connection`.
fn load(settings: &Settings) -> ModuleParts {
    let limits = Limits { connect: limit(settings, CONNECT_TIMEOUT), query: limit(settings, QUERY_TIMEOUT) };
    let mut loaded = ModuleParts::default();
    let mut urls: Vec<Url> = Vec::new();
    for (text, position) in settings.all(CACHEDB_URL) {
        match Url::parse(text) {
            Ok(url) => {
                if url.lacks_password {
                    log::warn!(
                        "{position}: {} of {}: what stands before @ has no colon with a password behind it and is \
                         not used; write {}://:PASSWORD@{url}/",
                        CACHEDB_URL.name(),
                        url.system,
                        url.system
                    );
                }
                add(&mut urls, url);
            }
            Err(error) => {
                let error = SettingError { parameter: CACHEDB_URL.name(), message: error.to_string() };
                loaded.errors.push((position.clone(), error));
            }
        }
    }
    loaded.backends =
        urls.into_iter().map(|url| -> Box<dyn Backend> { Box::new(Link::new(url, limits)) }).collect();
    loaded
}

fn add(urls: &mut Vec<Url>, url: Url) {
    match urls.iter_mut().find(|other| other.system == url.system) {
        None => urls.push(url),
        Some(other) => {
            let (used, left) = if url.has_group() { (&*other, &url) } else { (&url, &*other) };
            log::warn!("{} is on {used} and on {left}; only {used} is used", url.system);
            if !url.has_group() {
                *other = url;
            }
        }
    }
}

fn limit(settings: &Settings, parameter: Param<u32>) -> Duration {
    match settings.get(parameter) {
        0 => {
            log::warn!(
                "{} is 0: a Redis that is stuck stops a worker for good; set a number of milliseconds",
                parameter.name()
            );
            NO_LIMIT
        }
        milliseconds => Duration::from_millis(milliseconds.into()),
    }
}

/// What a cache system asks of the server.
impl Backend for Link {
    fn name(&self) -> &str {
        self.system()
    }

    /// Differs: C sets the value and then its end, so that a server lost in between keeps the value for ever.
    fn store(&self, _: &Context, key: &[u8], value: &[u8], expires: u32) -> Result<(), CacheError> {
        match expires {
            0 => self.ask(&[b"SET", key, value], Reply::ok),
            seconds => self.ask(&[b"SET", key, value, b"EX", seconds.to_string().as_bytes()], Reply::ok),
        }
    }

    fn fetch(&self, _: &Context, key: &[u8], value: &mut Vec<u8>) -> Result<bool, CacheError> {
        value.clear();
        let found = self.ask(&[b"GET", key], Reply::value)?;
        let is_there = found.is_some();
        *value = found.unwrap_or_default();
        Ok(is_there)
    }

    fn remove(&self, _: &Context, key: &[u8]) -> Result<(), CacheError> {
        self.ask(&[b"DEL", key], Reply::number)
    }
}
