//! Tests the outbox and its thread over receivers whose room the tests set.

use super::*;
use crate::shm::{MIN_BYTES, Segment};
use crate::system::process::ProcessId;

/// The receivers, by address.
#[derive(Clone, Debug, Default)]
struct Receivers(Arc<Mutex<HashMap<Vec<u8>, Receiver>>>);

#[derive(Debug, Default)]
struct Receiver {
    /// How many more messages it takes; `None` when it does not exist.
    room: Option<usize>,
    /// The numbers of the messages that it has received.
    got: Vec<u64>,
}

impl Receivers {
    fn with<T>(&self, address: &[u8], change: impl FnOnce(&mut Receiver) -> T) -> T {
        change(self.0.lock().unwrap().entry(address.to_vec()).or_default())
    }

    fn set_room(&self, address: &[u8], room: Option<usize>) {
        self.with(address, |receiver| receiver.room = room);
    }

    fn got(&self, address: &[u8]) -> Vec<u64> {
        self.with(address, |receiver| receiver.got.clone())
    }
}

impl Sender for Receivers {
    fn send(&mut self, message: &[u8], address: &[u8]) -> io::Result<()> {
        let number = u64::from_le_bytes(message[..8].try_into().unwrap());
        self.with(address, |receiver| match &mut receiver.room {
            None => Err(ErrorKind::ConnectionRefused.into()),
            Some(0) => Err(ErrorKind::WouldBlock.into()),
            Some(room) => {
                *room -= 1;
                receiver.got.push(number);
                Ok(())
            }
        })
    }
}

struct Fixture {
    outbox: Outbox,
    receivers: Receivers,
    sent: &'static AtomicU64,
    dropped: &'static AtomicU64,
}

fn segment() -> &'static Segment {
    let segment = Segment::create(MIN_BYTES, 3, 0).unwrap();
    segment.slots().iter().for_each(|slot| slot.occupy(ProcessId::own()));
    segment
}

fn fixture() -> Fixture {
    fixture_of(segment(), 1)
}

/// The outbox of the process in `slot`.
fn fixture_of(segment: &'static Segment, slot: usize) -> Fixture {
    let (receivers, cell) = (Receivers::default(), || -> &'static AtomicU64 { Box::leak(Box::default()) });
    let (sent, dropped) = (cell(), cell());
    let counters = EventCounters { sent: Some(sent), dropped: Some(dropped) };
    let outbox = Outbox::new(vec![Box::new(receivers.clone())], counters, Backlog::begin(segment, slot));
    Fixture { outbox, receivers, sent, dropped }
}

impl Fixture {
    /// Sends a message of `bytes` bytes, at least 8, that begins with `number`.
    fn send(&mut self, address: &[u8], number: u64, bytes: usize) -> SendOutcome {
        let mut message = EncodedEvent::default();
        message.bytes.extend_from_slice(&number.to_le_bytes());
        message.bytes.resize(bytes.max(8), 0);
        let to = Destination { name: address, transport: 0, address };
        let mut receivers = self.receivers.clone();
        self.outbox.lock().send(to, &mut message, |bytes| receivers.send(bytes, address))
    }

    fn counted(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

#[track_caller]
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_burst_reaches_a_subscriber_that_reads_in_order() {
    let mut fixture = fixture();
    fixture.receivers.set_room(b"a", Some(3));
    let outcomes: Vec<_> = (0..500).map(|number| fixture.send(b"a", number, 40)).collect();
    assert_eq!(outcomes[..3], [SendOutcome::Sent; 3]);
    assert!(outcomes[3..].iter().all(|outcome| *outcome == SendOutcome::Queued));
    wait_for("the rest", || {
        // The receiver reads a few messages at a time.
        fixture.receivers.set_room(b"a", Some(7));
        fixture.counted() == (497, 0)
    });
    assert_eq!(fixture.receivers.got(b"a"), (0..500).collect::<Vec<_>>());
    wait_for("the end of the backlog", || fixture.outbox.queue.lock().by_name.is_empty());
    assert_eq!(fixture.outbox.queue.lock().bytes, 0);
    fixture.receivers.set_room(b"a", Some(1));
    assert_eq!(fixture.send(b"a", 500, 40), SendOutcome::Sent);
}

#[test]
fn a_subscriber_that_never_reads_loses_messages_after_two_seconds() {
    let mut fixture = fixture();
    fixture.receivers.set_room(b"a", Some(0));
    let start = Instant::now();
    assert_eq!([0, 1].map(|number| fixture.send(b"a", number, 40)), [SendOutcome::Queued; 2]);
    wait_for("the deadline", || fixture.counted() == (0, 2));
    assert!(start.elapsed() >= MAX_QUEUED_TIME, "dropped after {:?}", start.elapsed());
    wait_for("their room", || fixture.outbox.queue.lock().bytes == 0);
    // While the socket is full, only the thread tries to send.
    assert_eq!(fixture.send(b"a", 2, 40), SendOutcome::Queued);
    fixture.receivers.set_room(b"a", Some(9));
    wait_for("the one after it", || fixture.receivers.got(b"a") == [2]);
}

#[test]
fn events_reach_a_subscriber_that_comes_back_and_none_that_is_gone() {
    let mut fixture = fixture();
    assert_eq!(fixture.send(b"a", 0, 40), SendOutcome::Dropped, "the first try");
    assert_eq!([1, 2].map(|number| fixture.send(b"a", number, 40)), [SendOutcome::Queued; 2]);
    wait_for("the thread's try", || fixture.counted() == (0, 2));
    fixture.receivers.set_room(b"a", Some(9));
    assert_eq!([3, 4].map(|number| fixture.send(b"a", number, 40)), [SendOutcome::Queued; 2]);
    wait_for("the ones after it", || fixture.receivers.got(b"a") == [3, 4]);
    wait_for("the end of the backlog", || fixture.outbox.queue.lock().by_name.is_empty());
}

#[test]
fn subscribers_that_never_read_leave_room_for_others() {
    let mut fixture = fixture();
    let addresses: Vec<Vec<u8>> = (0..20).map(|number| vec![b'h', number]).collect();
    for address in &addresses {
        fixture.receivers.set_room(address, Some(0));
        while fixture.send(address, 0, 10_000) == SendOutcome::Queued {}
    }
    let waiting = fixture.outbox.queue.lock().bytes;
    assert!((1 << 20..MAX_QUEUED_BYTES).contains(&waiting), "{waiting}");
    fixture.receivers.set_room(b"good", Some(0));
    assert_eq!(fixture.send(b"good", 1, 10_000), SendOutcome::Queued);
    fixture.receivers.set_room(b"good", Some(9));
    wait_for("the good one's", || fixture.receivers.got(b"good") == [1]);
}

#[test]
fn backlogged_sockets_have_a_limit() {
    let mut fixture = fixture();
    for number in 0..=MAX_BACKLOGGED {
        fixture.send(&number.to_le_bytes(), 0, 8);
    }
    assert_eq!(fixture.outbox.queue.lock().by_name.len(), 1);
}

#[test]
fn a_full_socket_delays_no_other() {
    let mut fixture = fixture();
    for (address, room) in [(b"full", 0), (b"good", 0)] {
        fixture.receivers.set_room(address, Some(room));
        assert_eq!(fixture.send(address, 1, 8), SendOutcome::Queued);
    }
    fixture.receivers.set_room(b"good", Some(1));
    wait_for("the good one's", || fixture.receivers.got(b"good") == [1]);
    assert_eq!(fixture.receivers.got(b"full"), [0; 0]);
}

#[test]
fn an_event_of_another_process_does_not_overtake_queued_ones() {
    let segment = segment();
    let [mut one, mut two] = [1, 2].map(|slot| fixture_of(segment, slot));
    one.receivers.set_room(b"a", Some(0));
    two.receivers.set_room(b"a", Some(9));
    assert_eq!(one.send(b"a", 1, 40), SendOutcome::Queued);
    assert_eq!(two.send(b"a", 2, 40), SendOutcome::Queued, "there is room, and an older one waits elsewhere");
    assert_eq!(two.send(b"b", 3, 40), SendOutcome::Dropped, "another socket has nothing to do with it");
    two.receivers.set_room(b"c", Some(1));
    assert_eq!(two.send(b"c", 4, 40), SendOutcome::Sent);
    assert_eq!(one.send(b"a", 5, 40), SendOutcome::Queued);
    assert_eq!(two.receivers.got(b"a"), [0; 0]);
    one.receivers.set_room(b"a", Some(1));
    wait_for("the second one", || two.receivers.got(b"a") == [2]);
    assert_eq!(one.receivers.got(b"a"), [1], "the third one waits for room");
    one.receivers.set_room(b"a", Some(1));
    wait_for("the third one", || one.receivers.got(b"a") == [1, 5]);
    wait_for("the end of the backlog", || one.outbox.queue.lock().by_name.is_empty());
    wait_for("the end of the backlog", || !two.outbox.queue.lock().by_name.contains_key(&b"a"[..]));
    assert_eq!(two.send(b"a", 6, 40), SendOutcome::Sent);
}

#[test]
fn the_queue_of_a_killed_process_delays_no_other() {
    let segment = segment();
    let [mut one, mut two] = [1, 2].map(|slot| fixture_of(segment, slot));
    one.receivers.set_room(b"a", Some(0));
    two.receivers.set_room(b"a", Some(9));
    assert_eq!([one.send(b"a", 1, 40), two.send(b"a", 2, 40)], [SendOutcome::Queued; 2]);
    segment.slots()[1].vacate();
    wait_for("the second one", || two.receivers.got(b"a") == [2]);
}
