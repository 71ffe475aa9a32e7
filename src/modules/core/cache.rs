//! `cache_store`, `cache_fetch` and `cache_remove`: the core's commands over the loaded cache systems.
//!
//! C: `mi_cachestore`, `mi_cachefetch` and `mi_cacheremove` in mi_core.c. Each argument is checked before the next
//! is looked for, so the order of the checks is part of the protocol.

use crate::cachedb::{Backend, Backends, CacheError};
use crate::logging::Shown;
use crate::mi::{Call, Changes, Classic, Command, Parameter, Status, Value, optional, required, unsigned};

/// Classic callers are checked in the commands, in C's order and with C's words.
const fn checked_by_the_command(recipe: &'static [Parameter]) -> Classic {
    Classic::Takes { recipe, too_few: None, too_many: None }
}

const STORE_RECIPE: Classic =
    checked_by_the_command(&[required("system"), required("attr"), required("value"), optional("expire")]);
const KEY_RECIPE: Classic = checked_by_the_command(&[required("system"), required("attr")]);

pub(super) const STORE: Command = Command {
    name: "cache_store",
    help: Some("stores in a cache system a string value"),
    classic: STORE_RECIPE,
    json_rpc: &[
        &[required("system"), required("attr"), required("value")],
        &[required("system"), required("attr"), required("value"), required("expire").integer()],
    ],
    changes: Changes::Data,
    run: &store,
};

pub(super) const FETCH: Command = Command {
    name: "cache_fetch",
    help: Some("queries for a cache stored value"),
    classic: KEY_RECIPE,
    json_rpc: &[&[required("system"), required("attr")]],
    changes: Changes::Data,
    run: &fetch,
};

pub(super) const REMOVE: Command = Command {
    name: "cache_remove",
    help: Some("removes a record from the cache system"),
    classic: KEY_RECIPE,
    json_rpc: &[&[required("system"), required("attr")]],
    changes: Changes::Data,
    run: &remove,
};

/// An argument that must be there, and must not be empty.
fn argument<'a>(call: &Call<'a>, name: &str, when_empty: &'static str) -> Result<&'a [u8], Status> {
    match call.args.get(name) {
        None => Err(Status::new(404, "Too few arguments")),
        Some(b"") => Err(unsuitable(call, when_empty, when_empty)),
        Some(value) => Ok(value),
    }
}

/// What a caller is told of an argument that does not suit.
fn unsuitable(call: &Call<'_>, classic: &'static str, json: &'static str) -> Status {
    if call.reply.is_json() { Status::invalid_params(json) } else { Status::new(404, classic) }
}

fn at_most(call: &Call<'_>, count: usize, status: &'static str) -> Result<(), Status> {
    if call.args.count() > count { Err(Status::new(404, status)) } else { Ok(()) }
}

fn backend<'a>(call: &Call<'a>, system: &[u8]) -> Result<&'a dyn Backend, CacheError> {
    match call.context.states.get::<Backends>() {
        Some(backends) => backends.find(system),
        None => Err(CacheError::Unknown(Shown(system).to_string())),
    }
}

/// The client gets C's words, but is told when memory is full.
fn failed(error: &CacheError, answer: &'static str) -> Status {
    match error {
        CacheError::Full(full) => {
            log::warn!(often = true; "{answer}: {full}");
            Status::formatted(500, full)
        }
        CacheError::Unknown(_) | CacheError::Remote { .. } => Status::new(500, answer).with_cause(error),
    }
}

/// C: `mi_cachestore`.
///
/// Differs: an expiry above 4294967295 is refused; C takes what is left of it in 32 bits.
fn store(call: &mut Call<'_>) -> Result<(), Status> {
    let system = argument(call, "system", "Empty memory cache id")?;
    let key = argument(call, "attr", "Empty attribute name")?;
    let value = match call.args.get("value") {
        Some(b"") => return Err(unsuitable(call, "Empty value argument", "Empty value")),
        _ => argument(call, "value", "")?,
    };
    let expires = match call.args.get("expire") {
        None => 0,
        Some(b"") => return Err(Status::new(404, "Empty expires argument")),
        Some(text) => unsigned(text)
            .ok_or_else(|| unsuitable(call, "Bad format for expires argument", "Negative expire value"))?,
    };
    at_most(call, 4, "Too many parameters")?;
    backend(call, system)
        .and_then(|backend| backend.store(call.context, key, value, expires))
        .map_err(|error| failed(&error, "Cache store command failed"))
}

fn fetch(call: &mut Call<'_>) -> Result<(), Status> {
    let system = argument(call, "system", "Empty memory cache id")?;
    let key = argument(call, "attr", "Empty attribute name")?;
    at_most(call, 2, "Too many arguments")?;
    let mut value = Vec::new();
    let found = backend(call, system)
        .and_then(|backend| backend.fetch(call.context, key, &mut value))
        .map_err(|error| failed(&error, "Cache fetch command failed"))?;
    if call.reply.is_json() {
        if !found {
            return Err(Status::new(400, "Value not found"));
        }
        call.reply.node("key", key);
        call.reply.node("value", &value[..]);
    } else if found && !value.is_empty() {
        let shown = [key, b" = [", &value, b"]"].concat();
        call.reply.node("", Value::Bytes(&shown));
    } else {
        call.reply.node("", "Value not found");
    }
    Ok(())
}

fn remove(call: &mut Call<'_>) -> Result<(), Status> {
    let system = argument(call, "system", "Empty memory cache id")?;
    let key = argument(call, "attr", "Empty attribute name")?;
    at_most(call, 2, "Too many parameters")?;
    backend(call, system)
        .and_then(|backend| backend.remove(call.context, key))
        .map_err(|error| failed(&error, "Cache remove command failed"))
}
