//! Events of C modules. C: `evi_publish_event` and `evi_raise_event` in evi/event_interface.c.
#![expect(unsafe_code, reason = "functions are exported to C, and lists of C are read by their pointers")]

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

/// The events that are known while modules begin, in the order of their numbers.
static EVENT_NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

fn event_names() -> MutexGuard<'static, Vec<&'static str>> {
    EVENT_NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has these be all events that there are before a module begins.
pub(super) fn set_known_names(known: &[&'static str]) {
    *event_names() = known.to_vec();
}

/// The events that were published after the first `known`.
pub(super) fn published_after(known: usize) -> Vec<&'static str> {
    event_names().iter().skip(known).copied().collect()
}

/// Publishes an event; gives its number. One that is there already keeps it.
#[unsafe(no_mangle)]
extern "C" fn evi_publish_event(name: Str) -> c_int {
    catch_panics(EVI_ERROR, || {
        // SAFETY: a module's string, with its length.
        let name = unsafe { c_strings::bytes(&name) }.unwrap_or_default();
        let known = event_number(name);
        if known != EVI_ERROR {
            log::warn!("event {} is published twice", name.escape_ascii());
            return known;
        }
        // SAFETY: looks at a variable of the shim.
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

/// The number of an event.
fn event_number(name: &[u8]) -> c_int {
    let found = match current_context::get() {
        Some(context) => {
            context.states.get::<Events>().and_then(|events| events.find(name)).map(|(id, _)| id)
        }
        None => event_names().iter().position(|known| known.as_bytes() == name),
    };
    found.and_then(|id| c_int::try_from(id).ok()).unwrap_or(EVI_ERROR)
}

/// The number of an event; -1 when there is none.
///
/// # Safety
/// The pointer is null, or to a string with its length.
#[unsafe(no_mangle)]
unsafe extern "C" fn evi_get_id(name: *const Str) -> c_int {
    catch_panics(EVI_ERROR, || {
        // SAFETY: as the caller says.
        let name = unsafe { name.as_ref() };
        // SAFETY: as the caller says.
        name.and_then(|name| unsafe { c_strings::bytes(name) }).map_or(EVI_ERROR, event_number)
    })
}

/// Does something with the event of a number, in a process that may.
fn with_event(id: c_int, what: impl FnOnce(&crate::mi::Context, &'static str) -> c_int) -> c_int {
    let Some(context) = current_context::get() else {
        log::error!(often = true; "event {id}: not in the main process, and not in threads of a module's own");
        return EVI_ERROR;
    };
    let names = context.states.get::<Events>().map(Events::names).unwrap_or_default();
    let Some(name) = usize::try_from(id).ok().and_then(|id| names.get(id)) else {
        log::error!(often = true; "there is no event {id}");
        return EVI_ERROR;
    };
    what(&context, name)
}

/// Whether anybody has subscribed to an event; -1 when there is none.
#[unsafe(no_mangle)]
extern "C" fn evi_probe_event(id: c_int) -> c_int {
    catch_panics(EVI_ERROR, || with_event(id, |context, name| c_int::from(evi::is_heard(context, name))))
}

/// Raises an event; -1 when there is none.
///
/// # Safety
/// The pointer is null, or to the first parameter of a list, whose texts are as long as they say.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_raise_event(id: c_int, first: *const EventParam) -> c_int {
    catch_panics(EVI_ERROR, || {
        with_event(id, |context, name| {
            // SAFETY: as the caller says.
            let all =
                std::iter::successors(unsafe { first.as_ref() }, |param| unsafe { param.next.as_ref() });
            let parameters: Vec<_> = all.map(parameter).collect();
            let parameters: Vec<_> = parameters.iter().map(|(name, value)| (&**name, *value)).collect();
            evi::raise(context, &Event { name, parameters: &parameters, only_json: &[] });
            0
        })
    })
}

/// A parameter's name, empty for none, and value.
fn parameter(param: &EventParam) -> (Cow<'_, str>, Value<'_>) {
    // SAFETY: the name of a parameter is a string with its length, or none.
    let name = unsafe { c_strings::bytes(&param.name) }.unwrap_or_default();
    let value = if param.flags & EVENT_INTEGER != 0 {
        // SAFETY: with that flag the union holds a number.
        Value::Signed(unsafe { param.value.number }.into())
    } else if param.flags & EVENT_TEXT != 0 {
        // SAFETY: with that flag the union holds a string.
        let text = unsafe { &param.value.text };
        // SAFETY: with its length, and it lives until the event is raised.
        Value::Bytes(unsafe { c_strings::bytes(text) }.unwrap_or_default())
    } else {
        Value::Null
    };
    (String::from_utf8_lossy(name), value)
}
