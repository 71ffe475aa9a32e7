//! Cache systems: what a back end does, and which there are.
//!
//! The commands `cache_store`, `cache_fetch` and `cache_remove` name a system, `local`, or a system with a group,
//! `redis:group1`; a module provides it. C: cachedb/cachedb.c.

use std::fmt;
use std::time::{Duration, Instant};

use crate::evi::{self, Event};
use crate::logging::Shown;
use crate::mi::{Context, Value};

/// Why a cache system did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// There is no such system: its name, as the log shows it.
    #[error("no cache system \"{0}\" is loaded; load its module, or name another")]
    Unknown(String),
    /// The segment is full.
    #[error(transparent)]
    Full(#[from] crate::shm::keyed::Full),
    /// The system's server. The system logs it, not more often than helps.
    #[error("{system}: {message}")]
    Remote {
        /// The system, with its group.
        system: String,
        /// What happened, and what to do.
        message: String,
    },
}

/// Runs a query, and says so in the log and by an event when it takes longer than `threshold`; zero means no limit.
///
/// C: `start_expire_timer` and `stop_expire_timer` in ut.h.
pub fn timed<T>(
    context: &Context,
    threshold: Duration,
    query: &str,
    key: &[u8],
    run: impl FnOnce() -> T,
) -> T {
    if threshold.is_zero() {
        return run();
    }
    let start = Instant::now();
    let result = run();
    report_slow(context, threshold, start.elapsed(), query, key);
    result
}

/// Says in the log and by an event that a query has `taken` longer than `threshold`, if it has.
pub fn report_slow(context: &Context, threshold: Duration, taken: Duration, query: &str, key: &[u8]) {
    if taken <= threshold {
        return;
    }
    let micros = taken.as_micros();
    log::warn!(often = true; "threshold exceeded: {query} of {} took {micros} us", Shown(key));
    let parameters = &[
        ("source", query.into()),
        ("time", Value::Unsigned(u64::try_from(micros).unwrap_or(u64::MAX))),
        ("extra", key.into()),
    ];
    evi::raise(context, &Event { name: evi::THRESHOLD, parameters, json_rpc_only: &[] });
}

/// A cache system.
pub trait Backend: fmt::Debug {
    /// How commands name it: `local`, or `redis:group1`.
    fn name(&self) -> &str;

    /// Stores a value; it expires in so many seconds, 0 for never.
    ///
    /// # Errors
    /// When it is not stored.
    fn store(&self, context: &Context, key: &[u8], value: &[u8], expires: u32) -> Result<(), CacheError>;

    /// Copies a value into `value`, which is cleared first. False when there is none.
    ///
    /// # Errors
    /// When that cannot be said.
    fn fetch(&self, context: &Context, key: &[u8], value: &mut Vec<u8>) -> Result<bool, CacheError>;

    /// Removes a value, if there is one.
    ///
    /// # Errors
    /// When it may still be there.
    fn remove(&self, context: &Context, key: &[u8]) -> Result<(), CacheError>;
}

/// All cache systems that are loaded.
#[derive(Debug, Default)]
pub struct Backends(Vec<Box<dyn Backend>>);

impl Backends {
    /// Adds a system.
    pub fn add(&mut self, backend: Box<dyn Backend>) {
        self.0.push(backend);
    }

    /// The system of that name. With an empty group, as `local:`, the one that has none; without a colon, that or else
    /// the first of its kind.
    ///
    /// C: `cachedb_store` in cachedb.c, where a name without a colon is as one with an empty group.
    ///
    /// # Errors
    /// [`CacheError::Unknown`].
    pub fn find(&self, name: &[u8]) -> Result<&dyn Backend, CacheError> {
        let engine = name.strip_suffix(b":").filter(|engine| !engine.contains(&b':'));
        let wanted = engine.unwrap_or(name);
        let exact = self.0.iter().find(|backend| backend.name().as_bytes() == wanted);
        let kind = || {
            self.0.iter().find(|backend| backend.name().split(':').next().map(str::as_bytes) == Some(name))
        };
        let found = exact.or_else(kind).map(|backend| &**backend);
        found.ok_or_else(|| CacheError::Unknown(Shown(name).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Named(&'static str);

    impl Backend for Named {
        fn name(&self) -> &str {
            self.0
        }
        fn store(&self, _: &Context, _: &[u8], _: &[u8], _: u32) -> Result<(), CacheError> {
            Ok(())
        }
        fn fetch(&self, _: &Context, _: &[u8], _: &mut Vec<u8>) -> Result<bool, CacheError> {
            Ok(false)
        }
        fn remove(&self, _: &Context, _: &[u8]) -> Result<(), CacheError> {
            Ok(())
        }
    }

    #[test]
    fn an_empty_group_is_none() {
        let mut backends = Backends::default();
        for name in ["local", "redis:a", "redis:b"] {
            backends.add(Box::new(Named(name)));
        }
        let found = |name: &str| backends.find(name.as_bytes()).map(|backend| backend.name().to_owned()).ok();
        for (name, wanted) in [
            ("local", Some("local")),
            ("local:", Some("local")),
            ("local:a", None),
            ("local::", None),
            ("redis", Some("redis:a")),
            ("redis:", None),
            ("redis:b", Some("redis:b")),
            ("redis:b:", None),
            (":", None),
            ("", None),
        ] {
            assert_eq!(found(name).as_deref(), wanted, "{name}");
        }
    }
}
