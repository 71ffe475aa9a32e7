//! Tests subscribing and raising over a transport that records what is sent.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::*;
use crate::mi::testing;

/// The sent messages, each with its address.
type Sent = Arc<Mutex<Vec<(String, String)>>>;

/// Serves sockets `mem:NAME`, in lower case. `full` has no room, `gone` has no receiver, `nowhere` cannot be
/// resolved, and the look-up of `slow` never ends.
#[derive(Debug, Default)]
struct RecordingTransport {
    sent: Sent,
    encoded: Rc<RefCell<usize>>,
    looked_up: Rc<RefCell<Vec<String>>>,
}

impl Transport for RecordingTransport {
    fn schemes(&self) -> &'static [&'static str] {
        &["mem"]
    }
    fn parse(&self, _scheme: &str, socket: &[u8]) -> Option<ParsedSocket> {
        (!socket.is_empty()).then(|| ParsedSocket { canonical: socket.to_ascii_lowercase(), address: None })
    }
    fn look_up(&self, _scheme: &str, socket: &[u8]) -> Result<Vec<u8>, SubscribeError> {
        self.looked_up.borrow_mut().push(String::from_utf8_lossy(socket).into_owned());
        match socket {
            b"nowhere" => Err(SubscribeError::InvalidSocket),
            b"slow" => Err(SubscribeError::LookUpPending),
            _ => Ok([b"at ", socket].concat()),
        }
    }
    fn encode(&self, event: &Event<'_>, generation: Generation, message: &mut Vec<u8>) {
        *self.encoded.borrow_mut() += 1;
        message.extend_from_slice(
            format!("{} {generation:?} {}", event.name, event.parameters.len()).as_bytes(),
        );
    }
    fn sender(&self) -> Box<dyn Sender> {
        Box::new(RecordingSender(Arc::clone(&self.sent)))
    }
}

#[derive(Debug)]
struct RecordingSender(Sent);

impl Sender for RecordingSender {
    fn send(&mut self, message: &[u8], address: &[u8]) -> io::Result<()> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match address {
            b"at full" => return Err(io::ErrorKind::WouldBlock.into()),
            b"at gone" => return Err(io::ErrorKind::ConnectionRefused.into()),
            _ => {}
        }
        self.0.lock().unwrap().push((text(address), text(message)));
        Ok(())
    }
}

const EVENT: Event<'_> = Event { name: "E_A", parameters: &[], json_rpc_only: &[] };

struct Fixture {
    context: Context,
    sent: Sent,
    encoded: Rc<RefCell<usize>>,
    looked_up: Rc<RefCell<Vec<String>>>,
}

impl Fixture {
    /// The messages sent since the last call.
    fn sent(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

fn fixture() -> Fixture {
    let transport = RecordingTransport::default();
    let (sent, encoded) = (Arc::clone(&transport.sent), Rc::clone(&transport.encoded));
    let looked_up = Rc::clone(&transport.looked_up);
    let mut events = Events::default();
    events.publish(&["E_A", "E_B", "E_A"]);
    events.add(Box::new(transport)).unwrap();
    let mut context = testing::context();
    context.statistics.add(&STATISTICS);
    context.states.add(Box::new(events));
    Fixture { context, sent, encoded, looked_up }
}

fn subscribe_classic(context: &Context, event: &str, socket: &str) -> Result<(), SubscribeError> {
    subscribe(context, event.as_bytes(), socket.as_bytes(), 60, Generation::Classic)
}

fn listed(context: &Context, event: &str) -> Vec<(String, u32)> {
    let subscribers = Subscribers::of(context, event);
    let text = |one: Subscription<'_>| (String::from_utf8_lossy(one.socket).into_owned(), one.expire);
    subscribers.iter().map(text).collect()
}

fn counted(context: &Context) -> [u64; 2] {
    STATISTICS.map(|row| context.statistics.find(row.name.as_bytes()).unwrap().value(context))
}

#[test]
fn an_event_reaches_only_its_subscribers_and_is_encoded_once() {
    let fixture = fixture();
    let context = &fixture.context;
    raise(context, &EVENT);
    assert_eq!((fixture.sent().len(), *fixture.encoded.borrow()), (0, 0));
    for socket in ["mem:one", "mem:gone", "mem:two"] {
        subscribe_classic(context, "E_A", socket).unwrap();
    }
    subscribe_classic(context, "E_B", "mem:three").unwrap();
    raise(context, &Event { parameters: &[("a", Value::Unsigned(1))], ..EVENT });
    let wanted = ["at two", "at one"].map(|address| (address.to_owned(), "E_A Classic 1".to_owned()));
    assert_eq!(fixture.sent(), wanted);
    assert_eq!(*fixture.encoded.borrow(), 1);
    assert_eq!(counted(context), [2, 1]);
}

#[test]
fn each_subscriber_gets_messages_in_its_generation() {
    let fixture = fixture();
    subscribe_classic(&fixture.context, "E_A", "mem:old").unwrap();
    subscribe(&fixture.context, b"E_A", b"mem:new", 60, Generation::JsonRpc).unwrap();
    raise(&fixture.context, &EVENT);
    let sent: Vec<_> = fixture.sent().into_iter().map(|(_, message)| message).collect();
    assert_eq!(sent, ["E_A JsonRpc 0", "E_A Classic 0"]);
    assert_eq!(*fixture.encoded.borrow(), 2);
}

#[test]
fn renewing_and_ending_a_subscription_needs_no_look_up() {
    let fixture = fixture();
    let ask = |socket: &str, expire| {
        subscribe(&fixture.context, b"E_A", socket.as_bytes(), expire, Generation::Classic)
    };
    assert_eq!(ask("mem:slow", 60), Err(SubscribeError::LookUpPending));
    assert_eq!(ask("mem:slow", 0), Ok(()));
    assert_eq!(listed(&fixture.context, "E_A"), []);
    for expire in [60, 70, 0] {
        assert_eq!(ask("mem:one", expire), Ok(()));
    }
    assert_eq!(*fixture.looked_up.borrow(), ["slow", "one"]);
    assert_eq!(listed(&fixture.context, "E_A"), [("mem:one".to_owned(), 0)]);
}

#[test]
fn a_forked_process_has_its_own_senders_and_counters() {
    let mut fixture = fixture();
    subscribe_classic(&fixture.context, "E_A", "mem:one").unwrap();
    for slot in [0, 1, 1] {
        fixture.context.slot = slot;
        raise(&fixture.context, &EVENT);
    }
    let context = &fixture.context;
    let sent = [0, 1].map(|slot| {
        let row = context.segment.row(slot);
        let cell = context.statistics.counter(row, STATISTICS[0].group, STATISTICS[0].name);
        cell.unwrap().load(std::sync::atomic::Ordering::Relaxed)
    });
    assert_eq!(sent, [1, 2]);
}

#[test]
fn an_event_published_twice_has_one_number() {
    let Fixture { context, .. } = fixture();
    let events = context.states.get::<Events>().unwrap();
    assert_eq!(events.names(), ["E_A", "E_B"]);
    assert_eq!(events.find(b"E_B"), Some((1, "E_B")));
    assert_eq!(events.find(b"e_b"), None);
}

#[test]
fn a_socket_in_another_spelling_renews_its_subscription() {
    let Fixture { context, .. } = fixture();
    subscribe(&context, b"E_A", b"mem:one", 60, Generation::Classic).unwrap();
    subscribe(&context, b"E_A", b"mem:two", 60, Generation::Classic).unwrap();
    subscribe(&context, b"E_A", b"mem:ONE", 70, Generation::Classic).unwrap();
    assert_eq!(listed(&context, "E_A"), [("mem:two".to_owned(), 60), ("mem:one".to_owned(), 70)]);
    assert_eq!(listed(&context, "E_B"), []);
}

#[test]
fn invalid_subscriptions_are_refused() {
    let Fixture { context, .. } = fixture();
    for (event, socket, wanted) in [
        ("E_C", "mem:one", SubscribeError::UnknownEvent),
        ("E_A", "mem", SubscribeError::InvalidSocket),
        ("E_A", "mem:", SubscribeError::InvalidSocket),
        ("E_A", "mem:nowhere", SubscribeError::InvalidSocket),
        ("E_A", "men:one", SubscribeError::InvalidSocket),
        ("E_A", "", SubscribeError::InvalidSocket),
    ] {
        assert_eq!(subscribe_classic(&context, event, socket), Err(wanted), "{event} {socket}");
    }
    assert_eq!(listed(&context, "E_A"), []);
    assert_eq!(subscribe_classic(&testing::context(), "E_A", "mem:one"), Err(SubscribeError::UnknownEvent));
    for number in 0..subscription::MAX_SUBSCRIBERS {
        subscribe_classic(&context, "E_A", &format!("mem:{number}")).unwrap();
    }
    assert_eq!(subscribe_classic(&context, "E_A", "mem:more"), Err(SubscribeError::TooManySubscribers));
    assert_eq!(listed(&context, "E_A").len(), subscription::MAX_SUBSCRIBERS);
}

#[test]
fn a_lifetime_of_0_ends_a_subscription() {
    let fixture = fixture();
    subscribe_classic(&fixture.context, "E_A", "mem:one").unwrap();
    subscribe(&fixture.context, b"E_A", b"mem:one", 0, Generation::Classic).unwrap();
    raise(&fixture.context, &EVENT);
    assert_eq!(fixture.sent(), []);
    assert_eq!(counted(&fixture.context), [0, 0]);
}

#[test]
fn remove_expired_frees_expired_subscriptions_only() {
    let Fixture { context, .. } = fixture();
    let table = context.segment.table();
    subscribe_classic(&context, "E_A", "mem:one").unwrap();
    table.put(Space::Subscription, b"E_B", b"of long ago", 1).unwrap();
    assert_eq!(table.count(Space::Subscription), 2);
    remove_expired(&context);
    assert_eq!(table.count(Space::Subscription), 1);
    assert_eq!(listed(&context, "E_A").len(), 1);
}
