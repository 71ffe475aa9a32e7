//! cachedb_local: the cache system `local`, in the shared segment.
//!
//! A system of a group, `local:GROUP`, may have a collection of its own; [`collection`] says how its keys are told from
//! those of others.
//!
//! ```text
//! collection.rs   collections and the systems on them
//! glob/           shell patterns
//! removal.rs      the removal of all values whose key matches a pattern, step by step
//! ```
//!
//! C: modules/cachedb_local.

mod collection;
mod glob;
mod removal;

use std::time::{Duration, Instant};

use crate::cachedb::{self, Backend, CacheError};
use crate::config::{DefaultValue, Param, ParameterKind, ParameterRow, Position, Settings};
use crate::logging::Shown;
use crate::mi::{
    BAD_PARAMETER, Call, Changes, Classic, Command, Context, Progress, Rest, SERVER_ERROR, Status, required,
};
use crate::module::{Module, ModuleParts, SettingError};
use crate::shm::keyed::{NEVER, Space};
use crate::timer::Timer;
use collection::Collection;
use glob::{Glob, GlobError};
use removal::Removal;

const CACHE_CLEAN_PERIOD: Param<u32> =
    Param::u32("cache_clean_period", 1..=86_400 * 365, 600, "seconds between two removals of expired values");
const ENABLE_RESTART_PERSISTENCY: Param<bool> =
    Param::boolean("enable_restart_persistency", false, "whether values survive a restart of the server");
const EXEC_THRESHOLD: Param<u32> = Param::u32(
    "exec_threshold",
    0..=i32::MAX.cast_unsigned(),
    0,
    "microseconds above which a query is logged and raises E_CORE_THRESHOLD, 0 for never",
);

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "cachedb_local",
    parameters: &[
        ParameterRow::without_effect(
            "cache_table_size",
            ParameterKind::Integer { min: 1, max: 31 },
            DefaultValue::Number(9),
            "the table has the size that the shared memory gives it",
            "binary logarithm of the number of hash buckets",
        ),
        CACHE_CLEAN_PERIOD.row,
        collection::CACHE_COLLECTIONS.row,
        collection::CACHEDB_URL.row,
        ENABLE_RESTART_PERSISTENCY.row,
        EXEC_THRESHOLD.row,
    ],
    commands: &[Command {
        name: "cache_remove_chunk",
        help: None,
        classic: Classic::takes(&[required("glob")]),
        json_rpc: &[&[required("glob")], &[required("glob"), required("collection")]],
        changes: Changes::Data,
        run: &remove_chunk,
    }],
    statistics: &[],
    events: &[],
    load: Some(|settings, _| {
        let timer = Timer {
            name: "cachedb_local: expired values",
            interval: Duration::from_secs(settings.get(CACHE_CLEAN_PERIOD).into()),
            run: clean,
        };
        let threshold = Duration::from_micros(settings.get(EXEC_THRESHOLD).into());
        let (collections, errors) = Collections::read(settings, threshold);
        let is_kept = settings.get(ENABLE_RESTART_PERSISTENCY);
        Ok(ModuleParts {
            timers: vec![timer],
            backends: collections.systems(),
            state: Some(Box::new(collections)),
            errors,
            keyed: Some(Space::Cache),
            persistent: if is_kept { vec![Space::Cache] } else { Vec::new() },
            ..ModuleParts::default()
        })
    }),
};

/// The collections that there are, and the systems on them.
#[derive(Debug)]
struct Collections {
    names: Vec<Collection>,
    systems: Vec<(String, Collection)>,
    /// Above which a query is told of.
    threshold: Duration,
}

impl Collections {
    /// Reads the settings; gives also those that cannot work.
    fn read(settings: &Settings, threshold: Duration) -> (Collections, Vec<(Position, SettingError)>) {
        let mut errors = Vec::new();
        let mut fail = |position: &Position, parameter: Param<Option<&[u8]>>, message| {
            errors.push((position.clone(), SettingError { parameter: parameter.name(), message }));
        };
        let mut names = vec![Collection::default()];
        for (text, position) in settings.all(collection::CACHE_COLLECTIONS) {
            match collection::names(text) {
                Ok(found) => names.extend(found),
                Err(message) => fail(position, collection::CACHE_COLLECTIONS, message),
            }
        }
        let mut systems: Vec<(String, Collection)> = Vec::new();
        for (text, position) in settings.all(collection::CACHEDB_URL) {
            match collection::url(text) {
                Ok((_, collection)) if !names.contains(&collection) => {
                    let message = format!(
                        "there is no collection \"{collection}\"; add modparam(\"cachedb_local\", \"{}\", \"{collection}\")",
                        collection::CACHE_COLLECTIONS.name()
                    );
                    fail(position, collection::CACHEDB_URL, message);
                }
                Ok(system) => systems.push(system),
                Err(message) => fail(position, collection::CACHEDB_URL, message),
            }
        }
        if systems.is_empty() {
            systems.push((String::from(collection::SYSTEM), Collection::default()));
        }
        (Collections { names, systems, threshold }, errors)
    }

    fn systems(&self) -> Vec<Box<dyn Backend>> {
        let local = |(system, collection): &(String, Collection)| -> Box<dyn Backend> {
            let (system, collection) = (system.clone(), collection.clone());
            Box::new(Local { system, collection, threshold: self.threshold })
        };
        self.systems.iter().map(local).collect()
    }
}

/// A cache system: `local`, or `local:GROUP`.
#[derive(Debug)]
struct Local {
    system: String,
    collection: Collection,
    /// Above which a query is told of.
    threshold: Duration,
}

impl Backend for Local {
    fn name(&self) -> &str {
        &self.system
    }

    fn store(&self, context: &Context, key: &[u8], value: &[u8], expires: u32) -> Result<(), CacheError> {
        let segment = context.segment;
        let expires = if expires == 0 { NEVER } else { segment.now() + u64::from(expires) };
        let stored = self.collection.stored_key(key);
        let put = || segment.table().put(Space::Cache, &stored, value, expires);
        Ok(cachedb::timed(context, self.threshold, "cachedb_local insert", key, put)?)
    }

    fn fetch(&self, context: &Context, key: &[u8], value: &mut Vec<u8>) -> Result<bool, CacheError> {
        let segment = context.segment;
        let stored = self.collection.stored_key(key);
        let get = || segment.table().get(Space::Cache, &stored, segment.now(), value);
        Ok(cachedb::timed(context, self.threshold, "cachedb_local fetch", key, get))
    }

    fn remove(&self, context: &Context, key: &[u8]) -> Result<(), CacheError> {
        let stored = self.collection.stored_key(key);
        cachedb::timed(context, self.threshold, "cachedb_local remove", key, || {
            context.segment.table().remove(Space::Cache, &stored)
        });
        Ok(())
    }
}

/// Removes all values whose key matches a glob. C: `mi_cache_remove_chunk`.
///
/// Differs: a glob has a limit of parts; C's fnmatch(3) may take hours for one key.
fn remove_chunk(call: &mut Call<'_>) -> Result<(), Status> {
    let collections = call.context.states.get::<Collections>();
    let collection = call.args.get("collection").map(Collection::new).unwrap_or_default();
    if !collections.is_none_or(|all| all.names.contains(&collection)) {
        let name = call.args.get("collection").unwrap_or_default();
        let cause = format_args!(
            "collection: there is no \"{}\"; the parameter cache_collections lists them",
            Shown(name)
        );
        return Err(Status::new(500, "Internal error").with_cause(cause));
    }
    let text = call.args.get("glob").unwrap_or_default();
    let glob = Glob::new(text).map_err(|error| {
        let status = match error {
            GlobError::Nul => SERVER_ERROR,
            GlobError::TooLong => BAD_PARAMETER,
        };
        status.with_cause(format_args!("glob: \"{}\": {error}", Shown(text)))
    })?;
    let mut removal = Removal::new(glob, collection, call.context.segment);
    let threshold = collections.map_or(Duration::ZERO, |all| all.threshold);
    let (text, mut taken) = (text.to_vec(), Duration::ZERO);
    call.rest = Some(Rest::of_change(move |context, _| {
        if threshold.is_zero() {
            return Ok(removal.go_on(context));
        }
        let start = Instant::now();
        let progress = removal.go_on(context);
        taken += start.elapsed();
        if progress == Progress::Done {
            cachedb::report_slow(context, threshold, taken, "cachedb_local remove_chunk", &text);
        }
        Ok(progress)
    }));
    Ok(())
}

fn clean(context: &Context) {
    let segment = context.segment;
    segment.table().expire(Space::Cache, segment.now(), |_| {});
}
