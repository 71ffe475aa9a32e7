//! Publishes and raises the events of C modules. C: `evi_publish_event` and `evi_raise_event` in
//! evi/event_interface.c.
#![expect(unsafe_code, reason = "exports functions to C and reads C lists through their pointers")]

use std::borrow::Cow;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::exports::catch_panics;
use super::layouts::{self, EVENT_INTEGER, EVENT_TEXT, EventParam, Str};
use super::{c_strings, current_context};
use crate::evi::{self, Event, Events};
use crate::mi::Value;

/// C: `EVI_ERROR`.
const EVI_ERROR: c_int = -1;

/// The names of all events while init functions run, in the order of their numbers.
static EVENT_NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

fn event_names() -> MutexGuard<'static, Vec<&'static str>> {
    EVENT_NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the events that exist before a module's init function runs.
pub(super) fn set_known_names(known: &[&'static str]) {
    *event_names() = known.to_vec();
}

/// The names of the published events, without the first `known`.
pub(super) fn published_after(known: usize) -> Vec<&'static str> {
    event_names().iter().skip(known).copied().collect()
}

/// Publishes an event and gives its number. An event that exists already keeps its number.
#[unsafe(no_mangle)]
extern "C" fn evi_publish_event(name: Str) -> c_int {
    catch_panics(EVI_ERROR, || {
        // SAFETY: a module's `str`, whose length is right.
        let name = unsafe { c_strings::bytes(&name) }.unwrap_or_default();
        let known = event_number(name);
        if known != EVI_ERROR {
            log::warn!("event {} is published twice", name.escape_ascii());
            return known;
        }
        // SAFETY: reads a variable of the shim.
        let is_late = unsafe { layouts::opensips_mi_is_registration_closed() } != 0;
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_name(name) && !is_late) else {
            log::error!(
                "event {}: events have names of letters, digits and signs, and are published before the processes are \
                 forked",
                name.escape_ascii()
            );
            return EVI_ERROR;
        };
        event_names().push(c_strings::leak(name.to_owned()));
        event_number(name.as_bytes())
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The number of an event, or [`EVI_ERROR`].
fn event_number(name: &[u8]) -> c_int {
    let found = match current_context::get() {
        Some(context) => {
            context.states.get::<Events>().and_then(|events| events.find(name)).map(|(id, _)| id)
        }
        None => event_names().iter().position(|known| known.as_bytes() == name),
    };
    found.and_then(|id| c_int::try_from(id).ok()).unwrap_or(EVI_ERROR)
}

/// Gives the number of an event, -1 when no event has this name.
///
/// # Safety
/// The pointer is null or points to a `str` whose length is right.
#[unsafe(no_mangle)]
unsafe extern "C" fn evi_get_id(name: *const Str) -> c_int {
    catch_panics(EVI_ERROR, || {
        // SAFETY: the caller guarantees it.
        let name = unsafe { name.as_ref() };
        // SAFETY: the caller guarantees it.
        name.and_then(|name| unsafe { c_strings::bytes(name) }).map_or(EVI_ERROR, event_number)
    })
}

/// Calls `action` with the context and the name of an event. [`EVI_ERROR`] when the number is unknown, and in
/// a thread or process without a context.
fn with_event(id: c_int, action: impl FnOnce(&crate::mi::Context, &'static str) -> c_int) -> c_int {
    let Some(context) = current_context::get() else {
        log::error!(often = true; "event {id}: the main process and a module's own threads raise no events");
        return EVI_ERROR;
    };
    let names = context.states.get::<Events>().map(Events::names).unwrap_or_default();
    let Some(name) = usize::try_from(id).ok().and_then(|id| names.get(id)) else {
        log::error!(often = true; "there is no event {id}");
        return EVI_ERROR;
    };
    action(&context, name)
}

/// Gives 1 when an event has subscribers, 0 when it has none, -1 when no event has this number.
#[unsafe(no_mangle)]
extern "C" fn evi_probe_event(id: c_int) -> c_int {
    catch_panics(EVI_ERROR, || {
        with_event(id, |context, name| c_int::from(evi::has_subscribers(context, name)))
    })
}

/// Raises an event and gives 0, or -1 when no event has this number.
///
/// # Safety
/// `first` is null or points to the first parameter of a list, and the lengths of all texts in it are right.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_raise_event(id: c_int, first: *const EventParam) -> c_int {
    catch_panics(EVI_ERROR, || {
        with_event(id, |context, name| {
            // SAFETY: the caller guarantees it.
            let all =
                std::iter::successors(unsafe { first.as_ref() }, |param| unsafe { param.next.as_ref() });
            let parameters: Vec<_> = all.map(parameter).collect();
            let parameters: Vec<_> = parameters.iter().map(|(name, value)| (&**name, *value)).collect();
            evi::raise(context, &Event { name, parameters: &parameters, json_rpc_only: &[] });
            0
        })
    })
}

/// Name and value of a parameter. The name is empty when it has none.
fn parameter(param: &EventParam) -> (Cow<'_, str>, Value<'_>) {
    // SAFETY: the name of a parameter is null or a `str` whose length is right.
    let name = unsafe { c_strings::bytes(&param.name) }.unwrap_or_default();
    let value = if param.flags & EVENT_INTEGER != 0 {
        // SAFETY: with that flag the union holds a number.
        Value::Signed(unsafe { param.value.number }.into())
    } else if param.flags & EVENT_TEXT != 0 {
        // SAFETY: with that flag the union holds a string.
        let text = unsafe { &param.value.text };
        // SAFETY: its length is right, and it lives until the event is raised.
        Value::Bytes(unsafe { c_strings::bytes(text) }.unwrap_or_default())
    } else {
        Value::Null
    };
    (String::from_utf8_lossy(name), value)
}
