//! Delivers the events that modules raise to their subscribers: the Event Interface.
//!
//! The subscriptions of an event are one entry of the keyed table, so all processes see a new subscription at
//! once, and it outlives the process that took it. Raising an event without subscribers costs one look-up. A
//! [`Transport`] encodes and sends the messages. C: evi/event_interface.c, evi/evi_transport.c and
//! evi/evi_core.c.
//!
//! ```text
//! subscription.rs  the list of subscriptions of one event, as bytes
//! outbox/          messages that cannot be sent at once, and the thread that retries them
//! ```

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
use outbox::{Destination, EncodedEvent, EventCounters, Outbox, SendOutcome};
pub use subscription::Subscription;

/// A query has taken longer than its limit. Parameters: `source`, `time` in microseconds, `extra`. C:
/// `log_expiry` in ut.h.
pub const THRESHOLD: &str = "E_CORE_THRESHOLD";

/// The use of shared memory has crossed its threshold. Parameters: `usage` and `threshold` in per cent,
/// `used` and `size` in bytes.
pub const SHM_THRESHOLD: &str = "E_CORE_SHM_THRESHOLD";

/// The use of private memory has crossed its threshold. Never raised, as this server does not limit private
/// memory.
pub const PKG_THRESHOLD: &str = "E_CORE_PKG_THRESHOLD";

/// The events of the core, in the order of their numbers. C: `evi_register_core`.
pub const CORE_EVENTS: [&str; 3] = [THRESHOLD, SHM_THRESHOLD, PKG_THRESHOLD];

/// The statistics of sent and dropped messages.
pub const STATISTICS: [Statistic; 2] =
    [Statistic::counter("mi", "events_sent"), Statistic::counter("mi", "events_dropped")];

/// An event to be raised.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The name, `E_...`.
    pub name: &'a str,
    /// The parameters for all subscribers.
    pub parameters: &'a [(&'a str, Value<'a>)],
    /// More parameters, which come first and only for those who subscribed by JSON-RPC: 3.x has more than
    /// 1.x.
    pub json_rpc_only: &'a [(&'a str, Value<'a>)],
}

/// Encodes and sends messages to the sockets of certain schemes.
pub trait Transport: fmt::Debug {
    /// How many descriptors [`Transport::open`] opens in the attendant; all processes inherit them.
    fn shared_descriptors(&self) -> u64 {
        0
    }

    /// Opens what all processes share. Called once, before the first fork.
    ///
    /// # Errors
    /// When the system refuses it.
    fn open(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The schemes of its sockets: the part of a socket before the first colon.
    fn schemes(&self) -> &'static [&'static str];

    /// Parses the part of a socket behind its scheme and colon. `None` when it is malformed.
    fn parse(&self, scheme: &str, socket: &[u8]) -> Option<ParsedSocket>;

    /// Resolves the host name in the canonical form of a socket. Must not wait for more than some
    /// milliseconds: a caller that gets [`LookUpPending`](SubscribeError::LookUpPending) asks again.
    ///
    /// # Errors
    /// [`SubscribeError::InvalidSocket`] when the name is unknown, [`SubscribeError::LookUpPending`] while
    /// the name servers have not answered.
    fn look_up(&self, scheme: &str, canonical: &[u8]) -> Result<Vec<u8>, SubscribeError>;

    /// Writes the message of an event, in the form for subscribers of `generation`.
    fn encode(&self, event: &Event<'_>, generation: Generation, message: &mut Vec<u8>);

    /// A new sender. Each thread that sends has its own.
    fn sender(&self) -> Box<dyn Sender>;
}

/// A socket that a transport has parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedSocket {
    /// The form in which it is listed and compared, without its scheme.
    pub canonical: Vec<u8>,
    /// The address for [`Sender::send`]; `None` when a host name must be resolved first.
    pub address: Option<Vec<u8>>,
}

/// Sends messages over a transport.
pub trait Sender: fmt::Debug + Send {
    /// Sends a message to an address. Must not block.
    ///
    /// # Errors
    /// When the message was not sent; `WouldBlock` when the receiver has no room for it now.
    fn send(&mut self, message: &[u8], address: &[u8]) -> io::Result<()>;
}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// No module raises the event.
    #[error("no module raises such an event; events_list shows them")]
    UnknownEvent,
    /// The socket is malformed, its scheme has no transport, or its host name is unknown.
    #[error("cannot send there; write udp:HOST:PORT or unix:PATH, and load the module event_datagram")]
    InvalidSocket,
    /// The name servers have not answered yet.
    #[error("host name not resolved in time, try again")]
    LookUpPending,
    /// The event has as many subscribers as it may have.
    #[error("too many subscribers, at most {} for an event", subscription::MAX_SUBSCRIBERS)]
    TooManySubscribers,
    /// The keyed table has no memory for the subscription.
    #[error(transparent)]
    NoMemory(#[from] Full),
}

/// The events and transports of all loaded modules. The context holds one.
#[derive(Debug, Default)]
pub struct Events {
    names: Vec<&'static str>,
    transports: Vec<Box<dyn Transport>>,
    /// Made when the process raises its first event with subscribers.
    senders: RefCell<Option<ProcessSenders>>,
}

/// The senders of one process.
#[derive(Debug)]
struct ProcessSenders {
    /// The process's slot. A forked child finds its parent's slot here and makes senders of its own.
    slot: usize,
    /// One for each transport, in their order.
    senders: Vec<Box<dyn Sender>>,
    counters: EventCounters,
    outbox: Outbox,
}

impl ProcessSenders {
    fn new(transports: &[Box<dyn Transport>], context: &Context) -> ProcessSenders {
        let row = context.segment.row(context.slot);
        let [sent, dropped] =
            STATISTICS.map(|statistic| context.statistics.counter(row, statistic.group, statistic.name));
        let counters = EventCounters { sent, dropped };
        let senders = || transports.iter().map(|transport| transport.sender()).collect();
        let backlog = Backlog::begin(context.segment, context.slot);
        let outbox = Outbox::new(senders(), counters, backlog);
        ProcessSenders { slot: context.slot, senders: senders(), counters, outbox }
    }
}

impl Events {
    /// Adds the events of a module, in their order. A name that exists already is not added again.
    pub fn publish(&mut self, names: &[&'static str]) {
        for &name in names {
            if self.names.contains(&name) {
                log::warn!("event {name} is published twice");
            } else {
                self.names.push(name);
            }
        }
    }

    /// Opens a transport and adds it. Called before the first fork.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn add(&mut self, mut transport: Box<dyn Transport>) -> io::Result<()> {
        transport.open()?;
        self.transports.push(transport);
        Ok(())
    }

    /// Whether there is a transport. Without one every subscription is refused.
    #[must_use]
    pub fn has_transport(&self) -> bool {
        !self.transports.is_empty()
    }

    /// The names of all events; the index of a name is the event's number.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The number and the name of an event.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<(usize, &'static str)> {
        let mut all = self.names.iter().copied().enumerate();
        all.find(|(_, known)| known.as_bytes() == name)
    }

    /// A socket in the form in which it is listed, `udp:127.0.0.1:9999`; `None` when no transport can parse
    /// it.
    #[must_use]
    pub fn canonical(&self, socket: &[u8]) -> Option<Vec<u8>> {
        let SocketTransport { transport, scheme, rest, .. } = self.transport_of(socket)?;
        Some(listed(scheme, &transport.parse(scheme, rest)?))
    }

    /// Finds the transport of a socket by its scheme. C: `get_trans_mod` in evi_transport.c.
    fn transport_of<'a>(&'a self, socket: &'a [u8]) -> Option<SocketTransport<'a>> {
        let colon = socket.iter().position(|&byte| byte == b':')?;
        let (scheme, rest) = (&socket[..colon], &socket[colon + 1..]);
        self.transports.iter().enumerate().find_map(|(index, transport)| {
            let scheme = transport.schemes().iter().find(|known| known.as_bytes() == scheme)?;
            Some(SocketTransport { index, transport: &**transport, scheme, rest })
        })
    }

    /// Sends an event to the active subscribers of a list. Counts the messages that are sent and dropped.
    fn deliver(&self, context: &Context, list: &[u8], now: u64, event: &Event<'_>) {
        let mut senders = self.senders.borrow_mut();
        let senders = match &mut *senders {
            Some(senders) if senders.slot == context.slot => senders,
            other => other.insert(ProcessSenders::new(&self.transports, context)),
        };
        let (mut sent, mut dropped) = (0, 0);
        let mut message = EncodedEvent::default();
        let mut encoded_for = None;
        let mut outbox = senders.outbox.lock();
        for subscription in subscription::iter(list, now).filter(Subscription::is_active) {
            let Some(SocketTransport { index, transport, .. }) = self.transport_of(subscription.socket)
            else {
                continue;
            };
            let Some(sender) = senders.senders.get_mut(index) else { continue };
            let form = Some((index, subscription.generation));
            if encoded_for != form {
                message.clear();
                transport.encode(event, subscription.generation, &mut message.bytes);
                encoded_for = form;
            }
            let (name, address) = (subscription.socket, subscription.address);
            let destination = Destination { name, transport: index, address };
            match outbox.send(destination, &mut message, |bytes| sender.send(bytes, address)) {
                SendOutcome::Sent => sent += 1,
                SendOutcome::Dropped => dropped += 1,
                SendOutcome::Queued => {}
            }
        }
        senders.counters.add(sent, dropped);
    }
}

/// A socket in the form in which it is listed.
fn listed(scheme: &str, socket: &ParsedSocket) -> Vec<u8> {
    [scheme.as_bytes(), b":", &socket.canonical].concat()
}

/// The transport of a socket.
struct SocketTransport<'a> {
    /// The index in [`Events::transports`].
    index: usize,
    transport: &'a dyn Transport,
    scheme: &'static str,
    /// The part of the socket behind its scheme and colon.
    rest: &'a [u8],
}

/// Sends an event to its subscribers. Never blocks: a message for a subscriber without room waits in the
/// outbox for at most two seconds and is then dropped.
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

/// Whether an event has a subscriber.
///
/// C: `evi_probe_event`.
#[must_use]
pub fn has_subscribers(context: &Context, event: &str) -> bool {
    Subscribers::of(context, event).iter().any(|subscription| subscription.is_active())
}

/// Subscribes a socket to an event for `expire` seconds. Replaces an earlier subscription of the socket; 0
/// seconds end it. `generation` is the form of the messages.
///
/// Resolves a host name only when the socket is not subscribed yet, so renewing and ending a subscription
/// needs no name server. C: `evi_event_subscribe`, which resolves it each time.
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
    let events = context.states.get::<Events>().ok_or(SubscribeError::UnknownEvent)?;
    events.find(event).ok_or(SubscribeError::UnknownEvent)?;
    let found = events.transport_of(socket).ok_or(SubscribeError::InvalidSocket)?;
    let SocketTransport { transport, scheme, rest, .. } = found;
    let parsed = transport.parse(scheme, rest).ok_or(SubscribeError::InvalidSocket)?;
    let socket = listed(scheme, &parsed);

    let (table, now) = (context.segment.table(), context.segment.now());
    let mut list = Vec::new();
    table.get(Space::Subscription, event, now, &mut list);
    let existing = subscription::iter(&list, now).find(|subscription| subscription.socket == socket);
    let address = match (existing, parsed.address) {
        (Some(existing), _) => existing.address.to_vec(),
        (None, _) if expire == 0 => return Ok(()),
        (None, Some(address)) => address,
        (None, None) => transport.look_up(scheme, &parsed.canonical)?,
    };
    let new = Subscription { generation, ..Subscription::new(&socket, &address, expire, now) };
    // Allocated before the table's lock is taken.
    let (mut changed, mut fits) = (Vec::with_capacity(list.len() + new.encoded_bytes()), true);
    let (changed_list, has_room) = (&mut changed, &mut fits);
    table.update(Space::Subscription, event, now, &mut list, |list| {
        match subscription::put(list.unwrap_or_default(), &new, now, changed_list) {
            Some(expires) => Update::Put { value: changed_list, expires, weight: 1 },
            None => {
                *has_room = false;
                Update::Keep
            }
        }
    })?;
    if fits { Ok(()) } else { Err(SubscribeError::TooManySubscribers) }
}

/// The subscriptions of one event, as they were when they were read.
#[derive(Debug)]
pub struct Subscribers {
    list: Vec<u8>,
    now: u64,
}

impl Subscribers {
    /// Reads the current subscriptions of an event.
    #[must_use]
    pub fn of(context: &Context, event: &str) -> Subscribers {
        let (now, mut list) = (context.segment.now(), Vec::new());
        context.segment.table().get(Space::Subscription, event.as_bytes(), now, &mut list);
        Subscribers { list, now }
    }

    /// The subscriptions, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'_>> {
        subscription::iter(&self.list, self.now)
    }

    /// Seconds until a subscription expires, at least 1.
    #[must_use]
    pub fn seconds_left(&self, subscription: &Subscription<'_>) -> u64 {
        let left = subscription.expires_at.saturating_sub(self.now + 1);
        left.clamp(1, u64::from(subscription.expire.max(1)))
    }
}

/// Frees the memory of the events whose subscriptions have all expired.
pub fn remove_expired(context: &Context) {
    let (table, now) = (context.segment.table(), context.segment.now());
    let mut list = Vec::new();
    for event in context.states.get::<Events>().map(Events::names).unwrap_or_default() {
        // The table passes `None` for an expired entry. Neither `Keep` nor `Remove` needs memory, so `Full`
        // cannot occur.
        let _updated =
            table.update(Space::Subscription, event.as_bytes(), now, &mut list, |list| match list {
                Some(_) => Update::Keep,
                None => Update::Remove,
            });
    }
}
