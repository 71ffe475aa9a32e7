//! Subscribing and raising, over a transport that remembers.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::*;
use crate::mi::testing;

/// What was sent: address and message.
type Sent = Arc<Mutex<Vec<(String, String)>>>;

/// Takes `mem:NAME`; a name in capitals is listed in small letters, `full` takes nothing, `gone` is not there,
/// `nowhere` is unknown, `slow` is not known in time.
#[derive(Debug, Default)]
struct Memory {
    sent: Sent,
    encoded: Rc<RefCell<usize>>,
    looked_up: Rc<RefCell<Vec<String>>>,
}

impl Transport for Memory {
    fn schemes(&self) -> &'static [&'static str] {
        &["mem"]
    }
    fn parse(&self, _scheme: &str, socket: &[u8]) -> Option<Place> {
        (!socket.is_empty()).then(|| Place { canonical: socket.to_ascii_lowercase(), address: None })
    }
    fn look_up(&self, _scheme: &str, socket: &[u8]) -> Result<Vec<u8>, SubscribeError> {
        self.looked_up.borrow_mut().push(String::from_utf8_lossy(socket).into_owned());
        match socket {
            b"nowhere" => Err(SubscribeError::Socket),
            b"slow" => Err(SubscribeError::Slow),
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
        Box::new(Postman(Arc::clone(&self.sent)))
    }
}

#[derive(Debug)]
struct Postman(Sent);

impl Sender for Postman {
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

const SILENT: Event<'_> = Event { name: "E_A", parameters: &[], only_json: &[] };

struct Fixture {
    context: Context,
    sent: Sent,
    encoded: Rc<RefCell<usize>>,
    looked_up: Rc<RefCell<Vec<String>>>,
}

impl Fixture {
    /// What was sent since this was asked before.
    fn sent(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

fn fixture() -> Fixture {
    let memory = Memory::default();
    let (sent, encoded) = (Arc::clone(&memory.sent), Rc::clone(&memory.encoded));
    let looked_up = Rc::clone(&memory.looked_up);
    let mut events = Events::default();
    events.publish(&["E_A", "E_B", "E_A"]);
    events.add(Box::new(memory)).unwrap();
    let mut context = testing::context();
    context.statistics.add(&STATISTICS);
    context.states.add(Box::new(events));
    Fixture { context, sent, encoded, looked_up }
}

fn subscribed(context: &Context, event: &str, socket: &str) -> Result<(), SubscribeError> {
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
fn an_event_goes_to_its_subscribers_alone_and_is_written_once() {
    let fixture = fixture();
    let context = &fixture.context;
    raise(context, &SILENT);
    assert_eq!((fixture.sent().len(), *fixture.encoded.borrow()), (0, 0));
    for socket in ["mem:one", "mem:gone", "mem:two"] {
        subscribed(context, "E_A", socket).unwrap();
    }
    subscribed(context, "E_B", "mem:three").unwrap();
    raise(context, &Event { parameters: &[("a", Value::Unsigned(1))], ..SILENT });
    let wanted = ["at two", "at one"].map(|address| (address.to_owned(), "E_A Classic 1".to_owned()));
    assert_eq!(fixture.sent(), wanted);
    assert_eq!(*fixture.encoded.borrow(), 1);
    assert_eq!(counted(context), [2, 1]);
}

#[test]
fn each_subscriber_gets_the_form_it_subscribed_in() {
    let fixture = fixture();
    subscribed(&fixture.context, "E_A", "mem:old").unwrap();
    subscribe(&fixture.context, b"E_A", b"mem:new", 60, Generation::JsonRpc).unwrap();
    raise(&fixture.context, &SILENT);
    let sent: Vec<_> = fixture.sent().into_iter().map(|(_, message)| message).collect();
    assert_eq!(sent, ["E_A JsonRpc 0", "E_A Classic 0"]);
    assert_eq!(*fixture.encoded.borrow(), 2);
}

#[test]
fn who_is_known_needs_no_look_up_and_who_is_unknown_has_nothing_to_end() {
    let fixture = fixture();
    let ask = |socket: &str, expire| {
        subscribe(&fixture.context, b"E_A", socket.as_bytes(), expire, Generation::Classic)
    };
    assert_eq!(ask("mem:slow", 60), Err(SubscribeError::Slow));
    assert_eq!(ask("mem:slow", 0), Ok(()));
    assert_eq!(listed(&fixture.context, "E_A"), []);
    for expire in [60, 70, 0] {
        assert_eq!(ask("mem:one", expire), Ok(()));
    }
    assert_eq!(*fixture.looked_up.borrow(), ["slow", "one"]);
    assert_eq!(listed(&fixture.context, "E_A"), [("mem:one".to_owned(), 0)]);
}

#[test]
fn a_process_that_was_forked_sends_and_counts_for_itself() {
    let mut fixture = fixture();
    subscribed(&fixture.context, "E_A", "mem:one").unwrap();
    for slot in [0, 1, 1] {
        fixture.context.slot = slot;
        raise(&fixture.context, &SILENT);
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
fn events_are_numbered_once_each() {
    let Fixture { context, .. } = fixture();
    let events = context.states.get::<Events>().unwrap();
    assert_eq!(events.names(), ["E_A", "E_B"]);
    assert_eq!(events.find(b"E_B"), Some((1, "E_B")));
    assert_eq!(events.find(b"e_b"), None);
}

#[test]
fn a_socket_is_known_again_however_it_is_written() {
    let Fixture { context, .. } = fixture();
    subscribe(&context, b"E_A", b"mem:one", 60, Generation::Classic).unwrap();
    subscribe(&context, b"E_A", b"mem:two", 60, Generation::Classic).unwrap();
    subscribe(&context, b"E_A", b"mem:ONE", 70, Generation::Classic).unwrap();
    assert_eq!(listed(&context, "E_A"), [("mem:two".to_owned(), 60), ("mem:one".to_owned(), 70)]);
    assert_eq!(listed(&context, "E_B"), []);
}

#[test]
fn what_cannot_be_is_refused() {
    let Fixture { context, .. } = fixture();
    for (event, socket, wanted) in [
        ("E_C", "mem:one", SubscribeError::Event),
        ("E_A", "mem", SubscribeError::Socket),
        ("E_A", "mem:", SubscribeError::Socket),
        ("E_A", "mem:nowhere", SubscribeError::Socket),
        ("E_A", "men:one", SubscribeError::Socket),
        ("E_A", "", SubscribeError::Socket),
    ] {
        assert_eq!(subscribed(&context, event, socket), Err(wanted), "{event} {socket}");
    }
    assert_eq!(listed(&context, "E_A"), []);
    assert_eq!(subscribed(&testing::context(), "E_A", "mem:one"), Err(SubscribeError::Event));
    for number in 0..subscription::MAX_SUBSCRIBERS {
        subscribed(&context, "E_A", &format!("mem:{number}")).unwrap();
    }
    assert_eq!(subscribed(&context, "E_A", "mem:more"), Err(SubscribeError::Crowded));
    assert_eq!(listed(&context, "E_A").len(), subscription::MAX_SUBSCRIBERS);
}

#[test]
fn no_time_at_all_ends_a_subscription_at_once() {
    let fixture = fixture();
    subscribed(&fixture.context, "E_A", "mem:one").unwrap();
    subscribe(&fixture.context, b"E_A", b"mem:one", 0, Generation::Classic).unwrap();
    raise(&fixture.context, &SILENT);
    assert_eq!(fixture.sent(), []);
    assert_eq!(counted(&fixture.context), [0, 0]);
}

#[test]
fn cleaning_frees_what_is_over_and_nothing_else() {
    let Fixture { context, .. } = fixture();
    let table = context.segment.table();
    subscribed(&context, "E_A", "mem:one").unwrap();
    table.put(Space::Subscription, b"E_B", b"of long ago", 1).unwrap();
    assert_eq!(table.count(Space::Subscription), 2);
    clean(&context);
    assert_eq!(table.count(Space::Subscription), 1);
    assert_eq!(listed(&context, "E_A").len(), 1);
}
