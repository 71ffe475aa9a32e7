//! The Event Interface: events that modules raise, and who wants to hear of them.
//!
//! Subscriptions lie in the keyed table, one entry an event, so that a subscription is there for all processes at
//! once and outlives whoever took it; an event that nobody hears costs one look-up. How a message looks and how it
//! leaves is a [`Transport`]'s. C: evi/event_interface.c, evi/evi_transport.c and evi/evi_core.c.

mod outbox;
mod subscription;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io;

use crate::mi::{Context, Generation, Statistic, Value};
use crate::shm::Backlog;
use crate::shm::keyed::{Full, Space, Update};
use outbox::{Counters, Destination, Fate, Message, Outbox};
pub use subscription::Subscription;

/// A query has taken longer than its limit: `source`, `time` in microseconds, `extra`. C: `log_expiry` in ut.h.
pub const THRESHOLD: &str = "E_CORE_THRESHOLD";

/// Shared memory is used up to its limit: `usage` and `threshold` in per cent, `used` and `size` in bytes.
pub const SHM_THRESHOLD: &str = "E_CORE_SHM_THRESHOLD";

/// Private memory is used up to its limit. Never raised here: it has no limit of ours.
pub const PKG_THRESHOLD: &str = "E_CORE_PKG_THRESHOLD";

/// The events of the core, in the order of their numbers. C: `evi_register_core`.
pub const CORE_EVENTS: [&str; 3] = [THRESHOLD, SHM_THRESHOLD, PKG_THRESHOLD];

/// What is counted of events.
pub const STATISTICS: [Statistic; 2] =
    [Statistic::counter("mi", "events_sent"), Statistic::counter("mi", "events_dropped")];

/// One event, as it is raised.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says to everybody.
    pub parameters: &'a [(&'a str, Value<'a>)],
    /// What it says before that to those who subscribed over JSON-RPC: 3.x has more parameters than 1.x.
    pub only_json: &'a [(&'a str, Value<'a>)],
}

/// The way of an event to its subscribers.
pub trait Transport: fmt::Debug {
    /// How many descriptors [`Transport::open`] takes in the attendant, from which all processes have them.
    fn shared_descriptors(&self) -> u64 {
        0
    }

    /// Gets what all processes share. Called once, before the first fork.
    ///
    /// # Errors
    /// When the system has none.
    fn open(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The schemes it serves: what stands before the first colon of a socket.
    fn schemes(&self) -> &'static [&'static str];

    /// What a socket says behind its scheme. `None` when it is malformed.
    fn parse(&self, scheme: &str, socket: &[u8]) -> Option<Place>;

    /// Looks up the address of a place whose canonical form does not say it. Must not wait for more than some
    /// milliseconds; who is told that it is [`Slow`](SubscribeError::Slow) asks again.
    ///
    /// # Errors
    /// [`SubscribeError::Socket`] when there is none, [`SubscribeError::Slow`] when that is not known yet.
    fn look_up(&self, scheme: &str, canonical: &[u8]) -> Result<Vec<u8>, SubscribeError>;

    /// Writes an event as subscribers of that generation get it.
    fn encode(&self, event: &Event<'_>, generation: Generation, message: &mut Vec<u8>);

    /// Somebody who sends; each thread that does has one of its own.
    fn sender(&self) -> Box<dyn Sender>;
}

/// What a socket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it is listed and compared, without its scheme.
    pub canonical: Vec<u8>,
    /// Its address, unless there is a name to look up.
    pub address: Option<Vec<u8>>,
}

/// Sends messages over a transport.
pub trait Sender: fmt::Debug + Send {
    /// Sends a message to an address. Must not wait.
    ///
    /// # Errors
    /// When it did not leave: `WouldBlock` when there is no room for it now.
    fn send(&mut self, message: &[u8], address: &[u8]) -> io::Result<()>;
}

/// Why somebody could not subscribe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// No module raises such an event.
    #[error("no module raises such an event; events_list shows them")]
    Event,
    /// The socket is malformed, of no known scheme, or a name in it is unknown.
    #[error("cannot send there; write udp:HOST:PORT or unix:PATH, and load the module event_datagram")]
    Socket,
    /// The name servers take their time.
    #[error("host name not resolved in time, try again")]
    Slow,
    /// The event has as many subscribers as it may have.
    #[error("too many subscribers, at most {} for an event", subscription::MAX_SUBSCRIBERS)]
    Crowded,
    /// There is no memory for it.
    #[error(transparent)]
    Full(#[from] Full),
}

/// The events and transports of all loaded modules; a state of the context.
#[derive(Debug, Default)]
pub struct Events {
    names: Vec<&'static str>,
    transports: Vec<Box<dyn Transport>>,
    office: RefCell<Option<Office>>,
}

/// What a process sends with, from its first event on.
#[derive(Debug)]
struct Office {
    /// Whose it is: a process that is forked gets one of its own.
    slot: usize,
    senders: Vec<Box<dyn Sender>>,
    counters: Counters,
    outbox: Outbox,
}

impl Office {
    fn new(transports: &[Box<dyn Transport>], context: &Context) -> Office {
        let row = context.segment.row(context.slot);
        let [sent, dropped] =
            STATISTICS.map(|statistic| context.statistics.counter(row, statistic.group, statistic.name));
        let (counters, senders) = (Counters { sent, dropped }, || transports.iter().map(|one| one.sender()));
        let backlog = Backlog::begin(context.segment, context.slot);
        let outbox = Outbox::new(senders().collect(), counters, backlog);
        Office { slot: context.slot, senders: senders().collect(), counters, outbox }
    }
}

impl Events {
    /// Adds a module's events, in their order. One that exists already is not added again.
    pub fn publish(&mut self, names: &[&'static str]) {
        for &name in names {
            if self.names.contains(&name) {
                log::warn!("event {name} is published twice");
            } else {
                self.names.push(name);
            }
        }
    }

    /// Adds a transport, and opens it. Before the first fork.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn add(&mut self, mut transport: Box<dyn Transport>) -> io::Result<()> {
        transport.open()?;
        self.transports.push(transport);
        Ok(())
    }

    /// Whether anybody can subscribe.
    #[must_use]
    pub fn has_transport(&self) -> bool {
        !self.transports.is_empty()
    }

    /// All events; the position is the number.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The number and name of an event.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<(usize, &'static str)> {
        let mut all = self.names.iter().copied().enumerate();
        all.find(|(_, known)| known.as_bytes() == name)
    }

    /// A socket as it is listed, `udp:127.0.0.1:9999`; `None` when no transport serves it.
    #[must_use]
    pub fn canonical(&self, socket: &[u8]) -> Option<Vec<u8>> {
        let Route { transport, scheme, rest, .. } = self.route(socket)?;
        Some(listed(scheme, &transport.parse(scheme, rest)?))
    }

    /// C: `get_trans_mod` in evi_transport.c.
    fn route<'a>(&'a self, socket: &'a [u8]) -> Option<Route<'a>> {
        let colon = socket.iter().position(|&byte| byte == b':')?;
        let (scheme, rest) = (&socket[..colon], &socket[colon + 1..]);
        self.transports.iter().enumerate().find_map(|(at, transport)| {
            let scheme = transport.schemes().iter().find(|known| known.as_bytes() == scheme)?;
            Some(Route { at, transport: &**transport, scheme, rest })
        })
    }

    /// Sends an event to those of a list who still want it, and counts what left and what did not.
    fn deliver(&self, context: &Context, list: &[u8], now: u64, event: &Event<'_>) {
        let mut office = self.office.borrow_mut();
        let office = match &mut *office {
            Some(office) if office.slot == context.slot => office,
            other => other.insert(Office::new(&self.transports, context)),
        };
        let (mut sent, mut dropped) = (0, 0);
        let mut message = Message::default();
        let mut written_by = None;
        let mut outbox = office.outbox.open();
        for subscriber in subscription::iter(list, now).filter(Subscription::is_awake) {
            let Some(route) = self.route(subscriber.socket) else { continue };
            let Some(sender) = office.senders.get_mut(route.at) else { continue };
            let form = Some((route.at, subscriber.generation));
            if written_by != form {
                message.clear();
                route.transport.encode(event, subscriber.generation, &mut message.bytes);
                written_by = form;
            }
            let (name, address) = (subscriber.socket, subscriber.address);
            let to = Destination { name, transport: route.at, address };
            match outbox.send(to, &mut message, |bytes| sender.send(bytes, address)) {
                Fate::Sent => sent += 1,
                Fate::Dropped => dropped += 1,
                Fate::Waits => {}
            }
        }
        office.counters.add(sent, dropped);
    }
}

/// A socket as it is listed.
fn listed(scheme: &str, place: &Place) -> Vec<u8> {
    [scheme.as_bytes(), b":", &place.canonical].concat()
}

/// Who serves a socket.
struct Route<'a> {
    /// The transport's position.
    at: usize,
    transport: &'a dyn Transport,
    scheme: &'static str,
    /// What stands behind the scheme.
    rest: &'a [u8],
}

/// Tells the subscribers of an event. Never waits for one: who has no room for it now gets it a little later, who has
/// none for two seconds does without.
///
/// C: `evi_raise_event`.
pub fn raise(context: &Context, event: &Event<'_>) {
    let Some(events) = context.states.get::<Events>() else { return };
    let now = context.segment.now();
    let mut list = Vec::new();
    if context.segment.table().get(Space::Subscription, event.name.as_bytes(), now, &mut list) {
        events.deliver(context, &list, now, event);
    }
}

/// Whether somebody has subscribed to an event.
///
/// C: `evi_probe_event`.
#[must_use]
pub fn is_heard(context: &Context, event: &str) -> bool {
    Subscribers::of(context, event).iter().any(|subscription| subscription.is_awake())
}

/// Subscribes a socket to an event for so many seconds, in place of what the socket had asked for before; it gets
/// events in the form of `generation`. No time at all ends a subscription, if there is one.
///
/// A host's name is looked up here, once, when its socket is not subscribed yet: a subscription is renewed and ended
/// without the name servers. C: `evi_event_subscribe`, which looks it up each time.
///
/// # Errors
/// See [`SubscribeError`].
pub fn subscribe(
    context: &Context,
    event: &[u8],
    socket: &[u8],
    expire: u32,
    generation: Generation,
) -> Result<(), SubscribeError> {
    let events = context.states.get::<Events>().ok_or(SubscribeError::Event)?;
    events.find(event).ok_or(SubscribeError::Event)?;
    let Route { transport, scheme, rest, .. } = events.route(socket).ok_or(SubscribeError::Socket)?;
    let place = transport.parse(scheme, rest).ok_or(SubscribeError::Socket)?;
    let socket = listed(scheme, &place);

    let (table, now) = (context.segment.table(), context.segment.now());
    let mut list = Vec::new();
    table.get(Space::Subscription, event, now, &mut list);
    let known = subscription::iter(&list, now).find(|one| one.socket == socket);
    let address = match (known, place.address) {
        (Some(known), _) => known.address.to_vec(),
        (None, _) if expire == 0 => return Ok(()),
        (None, Some(address)) => address,
        (None, None) => transport.look_up(scheme, &place.canonical)?,
    };
    let new = Subscription { generation, ..Subscription::new(&socket, &address, expire, now) };
    // Room is made before the lock is taken.
    let (mut changed, mut fits) = (Vec::with_capacity(list.len() + new.bytes()), true);
    let (room, fitted) = (&mut changed, &mut fits);
    table.update(Space::Subscription, event, now, &mut list, |list| {
        match subscription::add(list.unwrap_or_default(), &new, now, room) {
            Some(expires) => Update::Put { value: room, expires, weight: 1 },
            None => {
                *fitted = false;
                Update::Keep
            }
        }
    })?;
    if fits { Ok(()) } else { Err(SubscribeError::Crowded) }
}

/// Who has subscribed to an event.
#[derive(Debug)]
pub struct Subscribers {
    list: Vec<u8>,
    now: u64,
}

impl Subscribers {
    /// Those of now.
    #[must_use]
    pub fn of(context: &Context, event: &str) -> Subscribers {
        let (now, mut list) = (context.segment.now(), Vec::new());
        context.segment.table().get(Space::Subscription, event.as_bytes(), now, &mut list);
        Subscribers { list, now }
    }

    /// The newest first.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'_>> {
        subscription::iter(&self.list, self.now)
    }

    /// Seconds that are left of a subscription, at least 1.
    #[must_use]
    pub fn left(&self, subscription: &Subscription<'_>) -> u64 {
        subscription.until.saturating_sub(self.now + 1).clamp(1, u64::from(subscription.expire.max(1)))
    }
}

/// Frees the memory of events whose subscriptions are all over.
pub fn clean(context: &Context) {
    let (table, now) = (context.segment.table(), context.segment.now());
    let mut list = Vec::new();
    for event in context.states.get::<Events>().map(Events::names).unwrap_or_default() {
        // What is over is as good as absent here, and `Full` cannot come of it.
        let _kept =
            table.update(Space::Subscription, event.as_bytes(), now, &mut list, |found| match found {
                Some(_) => Update::Keep,
                None => Update::Remove,
            });
    }
}
