//! `event_subscribe`, `events_list` and `subscribers_list`, and the event of shared memory that runs out.
//!
//! C: `mi_event_subscribe`, `mi_events_list` and `mi_subscribers_list` in event_interface.c; `shm_threshold_check`
//! in shm_mem.h.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::evi::{self, Event, Events, SubscribeError, Subscribers, Subscription};
use crate::logging::Shown;
use crate::mi::{
    BAD_PARAMETER, Call, Changes, Classic, Command, Context, Generation, MISSING_PARAMETER, Progress, Reply,
    Rest, SERVER_ERROR, Status, Value, optional, required, unsigned,
};
use crate::module::ModuleParts;
use crate::shm::keyed::{NEVER, Space};
use crate::timer::Timer;

/// How long a subscriber waits at most for its host to be looked up; others are served meanwhile.
const LOOK_UP_TIME: Duration = Duration::from_millis(500);

/// Seconds that a subscription lasts when it does not say. C: `DEFAULT_EXPIRE`.
const DEFAULT_EXPIRE: u32 = 3600;

/// C: `init_mi_param_error` of 3.x, when it does not know what is wrong.
const UNHANDLED_PARAMETER: Status = Status {
    code: -32000,
    reason: Cow::Borrowed("Server error"),
    data: Some(Cow::Borrowed("Failed to handle parameter")),
};

pub(super) const SUBSCRIBE: Command = Command {
    name: "event_subscribe",
    help: Some("subscribes an event to the Event Interface"),
    classic: Classic::takes(&[required("event"), required("socket"), optional("expire")]),
    json_rpc: &[
        &[required("event"), required("socket")],
        &[required("event"), required("socket"), required("expire").integer()],
    ],
    changes: Changes::Server,
    run: &subscribe,
};

pub(super) const LIST: Command = Command {
    name: "events_list",
    help: Some("lists all the events advertised through the Event Interface"),
    classic: Classic::NoInput,
    json_rpc: &[&[]],
    changes: Changes::Data,
    run: &list,
};

pub(super) const SUBSCRIBERS: Command = Command {
    name: "subscribers_list",
    help: Some("lists all the Event Interface subscribers; Params: [ event [ subscriber ]]"),
    classic: Classic::Takes {
        recipe: &[optional("event"), optional("socket")],
        too_few: None,
        too_many: None,
    },
    json_rpc: &[&[], &[required("event")], &[required("event"), required("socket")]],
    changes: Changes::Data,
    run: &subscribers,
};

fn subscribe(call: &mut Call<'_>) -> Result<(), Status> {
    let generation = call.reply.generation();
    let missing = match generation {
        Generation::Classic => MISSING_PARAMETER,
        Generation::JsonRpc => UNHANDLED_PARAMETER,
    };
    let negative = || match generation {
        Generation::Classic => BAD_PARAMETER.with_cause("expire is no number from 0 to 4294967295"),
        Generation::JsonRpc => Status::invalid_params("Negative expire value"),
    };
    let event = call.args.filled("event").ok_or(missing.clone())?;
    let socket = call.args.filled("socket").ok_or(missing)?;
    let expire = match call.args.get("expire") {
        None => DEFAULT_EXPIRE,
        Some(text) => unsigned(text).ok_or_else(negative)?,
    };
    match evi::subscribe(call.context, event, socket, expire, generation) {
        Err(SubscribeError::LookUpPending) => {}
        done => return done.map_err(|error| refused(&error, event, socket)),
    }
    let (event, socket, since) = (event.to_vec(), socket.to_vec(), Instant::now());
    call.rest = Some(Rest::of_change(move |context, _| {
        match evi::subscribe(context, &event, &socket, expire, generation) {
            Ok(()) => Ok(Progress::Done),
            Err(SubscribeError::LookUpPending) if since.elapsed() < LOOK_UP_TIME => Ok(Progress::More),
            Err(error) => Err(refused(&error, &event, &socket)),
        }
    }));
    Ok(())
}

fn refused(error: &SubscribeError, event: &[u8], socket: &[u8]) -> Status {
    match error {
        SubscribeError::UnknownEvent => {
            BAD_PARAMETER.with_cause(format_args!("event: \"{}\": {error}", Shown(event)))
        }
        SubscribeError::InvalidSocket => {
            BAD_PARAMETER.with_cause(format_args!("socket: \"{}\": {error}", Shown(socket)))
        }
        SubscribeError::LookUpPending | SubscribeError::TooManySubscribers | SubscribeError::NoMemory(_) => {
            Status::formatted(500, error)
        }
    }
}

fn events<'a>(call: &Call<'a>) -> Result<&'a Events, Status> {
    call.context.states.get::<Events>().ok_or(SERVER_ERROR)
}

fn list(call: &mut Call<'_>) -> Result<(), Status> {
    let names = events(call)?.names();
    call.reply.in_json("Events", Value::List, |reply| {
        for (id, name) in names.iter().enumerate() {
            open_event(reply, id, name);
            reply.close();
        }
    });
    Ok(())
}

fn subscribers(call: &mut Call<'_>) -> Result<(), Status> {
    let events = events(call)?;
    let Some(name) = call.args.get("event") else {
        call.reply.open_json("Events", Value::List);
        let mut next = 0;
        call.rest = Some(Rest::of_reply(move |context, reply| {
            let names = context.states.get::<Events>().map(Events::names).unwrap_or_default();
            let Some(name) = names.get(next) else {
                reply.close_json();
                return Ok(Progress::Done);
            };
            let subscribers = Subscribers::of(context, name);
            if subscribers.iter().next().is_some() {
                open_event(reply, next, name);
                show_all(reply, &subscribers);
                reply.close();
            }
            next += 1;
            Ok(Progress::More)
        }));
        return Ok(());
    };
    let (id, name) = events.find(name).ok_or(Status::new(404, "Event not published"))?;
    let subscribers = Subscribers::of(call.context, name);
    let Some(socket) = call.args.get("socket") else {
        if subscribers.iter().next().is_some() {
            call.reply.list();
            open_event(call.reply, id, name);
            show_all(call.reply, &subscribers);
            call.reply.close();
        } else {
            call.reply.in_json("Event", Value::Nothing, |_| {});
        }
        return Ok(());
    };
    if call.args.count() > 2 {
        return Err(MISSING_PARAMETER);
    }
    let socket = events.canonical(socket);
    let wanted = subscribers.iter().find(|one| socket.as_deref() == Some(one.socket));
    let wanted = wanted.ok_or(Status::new(404, "Subscriber does not exist"))?;
    call.reply.list();
    open_event(call.reply, id, name);
    call.reply.list();
    show(call.reply, "Subscriber", &wanted, &subscribers);
    call.reply.close();
    Ok(())
}

fn open_event(reply: &mut dyn Reply, id: usize, name: &str) {
    match reply.generation() {
        Generation::Classic => reply.open(b"Event", name.into()),
        Generation::JsonRpc => {
            reply.open(b"Event", Value::Nothing);
            reply.attribute(b"name", name.into());
        }
    }
    reply.attribute(b"id", Value::Unsigned(id as u64));
}

fn show_all(reply: &mut dyn Reply, subscribers: &Subscribers) {
    reply.in_json("Subscribers", Value::List, |reply| {
        subscribers.iter().for_each(|one| show(reply, "Subscriber", &one, subscribers));
    });
}

/// C: `evi_print_subscriber`.
fn show(reply: &mut dyn Reply, name: &str, subscription: &Subscription<'_>, all: &Subscribers) {
    reply.open(name.as_bytes(), Value::Nothing);
    reply.attribute(b"socket", subscription.socket.into());
    reply.attribute(b"expire", Value::Unsigned(subscription.expire.into()));
    if reply.generation() == Generation::JsonRpc {
        reply.attribute(b"ttl", Value::Unsigned(all.seconds_left(subscription)));
    }
    reply.close();
}

/// What `event_shm_threshold` says: per cent of shared memory.
#[derive(Debug)]
struct Threshold(u64);

/// What the core does for events from time to time. A threshold of 0 is none.
#[must_use]
pub fn watch(shm_threshold: u32) -> ModuleParts {
    let mut timers = vec![Timer {
        name: "core: event subscriptions that are over",
        interval: Duration::from_secs(60),
        run: evi::remove_expired,
    }];
    if shm_threshold > 0 {
        timers.push(Timer {
            name: "core: shared memory",
            interval: Duration::from_secs(1),
            run: look_at_memory,
        });
    }
    ModuleParts { timers, state: Some(Box::new(Threshold(shm_threshold.into()))), ..ModuleParts::default() }
}

/// Where the usage that was told last lies, so that a successor of this process goes on from there.
const TOLD_KEY: &[u8] = b"E_CORE_SHM_THRESHOLD\0told";

/// Raises the event when usage is above the threshold and has changed by a per cent, and when it is below again.
/// C looks at each allocation.
fn look_at_memory(context: &Context) {
    let Some(&Threshold(threshold)) = context.states.get() else { return };
    let (segment, table) = (context.segment, context.segment.table());
    let (size, used) =
        (segment.bytes(), segment.fixed_bytes() + table.claimed_bytes() + segment.contiguous_bytes());
    let usage = used * 100 / size.max(1);
    let mut told = Vec::new();
    let is_first = !table.get(Space::Subscription, TOLD_KEY, segment.now(), &mut told);
    let last = told.as_array().copied().map_or(0, u64::from_le_bytes);
    let is_due = is_due(usage, last, threshold);
    if is_first || is_due {
        let told = if is_due { usage } else { last };
        if let Err(error) = table.put(Space::Subscription, TOLD_KEY, &told.to_le_bytes(), NEVER) {
            log::warn!("cannot remember the use of shared memory: {error}");
        }
    }
    if is_due {
        let figures = [("usage", usage), ("threshold", threshold), ("used", used), ("size", size)];
        let parameters = &figures.map(|(name, figure)| (name, Value::Unsigned(figure)));
        evi::raise(context, &Event { name: evi::SHM_THRESHOLD, parameters, json_rpc_only: &[] });
    }
}

/// C: the condition of `shm_threshold_check`, which tells of a way down only from above the threshold.
fn is_due(usage: u64, last: u64, threshold: u64) -> bool {
    if usage < threshold { last > threshold } else { last != usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_up_is_told_by_each_per_cent_and_a_way_down_once() {
        let mut last = 0;
        let mut told = Vec::new();
        for usage in [10, 49, 50, 50, 51, 51, 60, 55, 49, 48, 49, 70] {
            if is_due(usage, last, 50) {
                last = usage;
                told.push(usage);
            }
        }
        assert_eq!(told, [50, 51, 60, 55, 49, 70]);
        assert!(!is_due(49, 50, 50), "from the threshold itself C tells of no way down");
    }
}
