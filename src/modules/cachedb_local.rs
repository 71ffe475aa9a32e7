//! cachedb_local: the cache system `local`, in the shared segment.
//!
//! C: modules/cachedb_local.

use std::time::Duration;

use crate::cachedb::{self, Backend, CacheError};
use crate::config::{Effect, Kind, Parameter};
use crate::mi::{Call, Classic, Command, Context, Fault, SERVER_ERROR, required};
use crate::module::{Loaded, Module};
use crate::shm::keyed::{NEVER, Space};
use crate::system::pattern::Pattern;
use crate::timer::Timer;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "cachedb_local",
    parameters: &[
        Parameter {
            name: "cache_table_size",
            kind: Kind::Integer { min: 1, max: 31 },
            effect: Effect::None("the table has the size that the shared memory gives it"),
            help: "binary logarithm of the number of hash buckets; default 9",
        },
        Parameter {
            name: "cache_clean_period",
            kind: Kind::Integer { min: 1, max: 86_400 * 365 },
            effect: Effect::Used,
            help: "seconds between two removals of expired values; default 600",
        },
        Parameter {
            name: "enable_restart_persistency",
            kind: Kind::Boolean,
            effect: Effect::Used,
            help: "whether values survive a restart of the server; default 0",
        },
        Parameter {
            name: "exec_threshold",
            kind: Kind::Integer { min: 0, max: i32::MAX as i64 },
            effect: Effect::Used,
            help: "microseconds above which a query is logged and raises E_CORE_THRESHOLD; default 0, which is never",
        },
    ],
    commands: &[Command {
        name: "cache_remove_chunk",
        help: None,
        classic: Classic::takes(&[required("glob")]),
        json_rpc: &[&[required("glob")], &[required("glob"), required("collection")]],
        run: &remove_chunk,
    }],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| {
        let period = settings.integer("cache_clean_period").unwrap_or(600);
        let timer = Timer {
            name: "cachedb_local: expired values",
            interval: Duration::from_secs(u64::try_from(period).unwrap_or(600)),
            run: clean,
        };
        let micros = settings.integer("exec_threshold").and_then(|micros| u64::try_from(micros).ok());
        let local = Local { threshold: Duration::from_micros(micros.unwrap_or(0)) };
        let is_kept = settings.boolean("enable_restart_persistency") == Some(true);
        Ok(Loaded {
            timers: vec![timer],
            backends: vec![Box::new(local)],
            state: Some(Box::new(local)),
            persistent: if is_kept { vec![Space::Cache] } else { Vec::new() },
            ..Loaded::default()
        })
    }),
};

/// The system `local`.
#[derive(Clone, Copy, Debug)]
struct Local {
    /// Above which a query is told of.
    threshold: Duration,
}

impl Backend for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn store(&self, context: &Context, key: &[u8], value: &[u8], expires: u32) -> Result<(), CacheError> {
        let segment = context.segment;
        let expires = if expires == 0 { NEVER } else { segment.now() + u64::from(expires) };
        let put = || segment.table().put(Space::Cache, key, value, expires);
        Ok(cachedb::timed(context, self.threshold, "cachedb_local insert", key, put)?)
    }

    fn fetch(&self, context: &Context, key: &[u8], value: &mut Vec<u8>) -> Result<bool, CacheError> {
        let segment = context.segment;
        let get = || segment.table().get(Space::Cache, key, segment.now(), value);
        Ok(cachedb::timed(context, self.threshold, "cachedb_local fetch", key, get))
    }

    fn remove(&self, context: &Context, key: &[u8]) -> Result<(), CacheError> {
        cachedb::timed(context, self.threshold, "cachedb_local remove", key, || {
            context.segment.table().remove(Space::Cache, key)
        });
        Ok(())
    }
}

/// Removes all values whose key matches a glob. C: `mi_cache_remove_chunk`.
fn remove_chunk(call: &mut Call<'_>) -> Result<(), Fault> {
    // 3.x parts the system into collections; here there is the one it has by default.
    if call.args.get("collection").is_some_and(|collection| collection != b"default") {
        return Err(Fault::new(500, "Internal error"));
    }
    let glob = call.args.get("glob").unwrap_or_default();
    let pattern = Pattern::new(glob).ok_or(SERVER_ERROR)?;
    let threshold = call.context.states.get::<Local>().map_or(Duration::ZERO, |local| local.threshold);
    let (segment, table) = (call.context.segment, call.context.segment.table());
    cachedb::timed(call.context, threshold, "cachedb_local remove_chunk", glob, || {
        table.list(Space::Cache, segment.now(), |entry| {
            if pattern.matches(&entry.key) {
                table.remove(Space::Cache, &entry.key);
            }
            true
        });
    });
    Ok(())
}

fn clean(context: &Context) {
    let segment = context.segment;
    segment.table().expire(Space::Cache, segment.now(), |_| {});
}
