//! The thread, over senders whose room the tests give and take.

use super::*;
use crate::shm::{MIN_BYTES, Segment};
use crate::system::process::ProcessId;

/// Subscribers by address: how many messages each has room for, `None` when nobody is there, and what it got.
#[derive(Clone, Debug, Default)]
struct Post(Arc<Mutex<HashMap<Vec<u8>, Peer>>>);

#[derive(Debug, Default)]
struct Peer {
    room: Option<usize>,
    got: Vec<u64>,
}

impl Post {
    fn with<T>(&self, address: &[u8], change: impl FnOnce(&mut Peer) -> T) -> T {
        change(self.0.lock().unwrap().entry(address.to_vec()).or_default())
    }

    fn set_room(&self, address: &[u8], room: Option<usize>) {
        self.with(address, |peer| peer.room = room);
    }

    fn got(&self, address: &[u8]) -> Vec<u64> {
        self.with(address, |peer| peer.got.clone())
    }
}

impl Sender for Post {
    fn send(&mut self, message: &[u8], address: &[u8]) -> io::Result<()> {
        let number = u64::from_le_bytes(message[..8].try_into().unwrap());
        self.with(address, |peer| match &mut peer.room {
            None => Err(ErrorKind::ConnectionRefused.into()),
            Some(0) => Err(ErrorKind::WouldBlock.into()),
            Some(room) => {
                *room -= 1;
                peer.got.push(number);
                Ok(())
            }
        })
    }
}

struct Fixture {
    outbox: Outbox,
    post: Post,
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

/// The outbox of the process in a slot.
fn fixture_of(segment: &'static Segment, slot: usize) -> Fixture {
    let (post, cell) = (Post::default(), || -> &'static AtomicU64 { Box::leak(Box::default()) });
    let (sent, dropped) = (cell(), cell());
    let counters = Counters { sent: Some(sent), dropped: Some(dropped) };
    let outbox = Outbox::new(vec![Box::new(post.clone())], counters, Backlog::begin(segment, slot));
    Fixture { outbox, post, sent, dropped }
}

impl Fixture {
    /// Sends a message of so many bytes that begins with a number.
    fn send(&mut self, address: &[u8], number: u64, bytes: usize) -> Fate {
        let mut message = Message::default();
        message.bytes.extend_from_slice(&number.to_le_bytes());
        message.bytes.resize(bytes.max(8), 0);
        let to = Destination { name: address, transport: 0, address };
        let mut post = self.post.clone();
        self.outbox.open().send(to, &mut message, |bytes| post.send(bytes, address))
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
fn a_burst_reaches_one_who_reads_in_its_order() {
    let mut fixture = fixture();
    fixture.post.set_room(b"a", Some(3));
    let fates: Vec<_> = (0..500).map(|number| fixture.send(b"a", number, 40)).collect();
    assert_eq!(fates[..3], [Fate::Sent; 3]);
    assert!(fates[3..].iter().all(|fate| *fate == Fate::Waits));
    wait_for("the rest", || {
        // It reads a few, again and again.
        fixture.post.set_room(b"a", Some(7));
        fixture.counted() == (497, 0)
    });
    assert_eq!(fixture.post.got(b"a"), (0..500).collect::<Vec<_>>());
    wait_for("an end of the trouble", || fixture.outbox.shared.lock().all.is_empty());
    assert_eq!(fixture.outbox.shared.lock().bytes, 0);
    fixture.post.set_room(b"a", Some(1));
    assert_eq!(fixture.send(b"a", 500, 40), Fate::Sent);
}

#[test]
fn who_never_reads_loses_what_has_waited_long_enough() {
    let mut fixture = fixture();
    fixture.post.set_room(b"a", Some(0));
    let start = Instant::now();
    assert_eq!([0, 1].map(|number| fixture.send(b"a", number, 40)), [Fate::Waits; 2]);
    wait_for("the deadline", || fixture.counted() == (0, 2));
    assert!(start.elapsed() >= KEPT_FOR, "dropped after {:?}", start.elapsed());
    wait_for("their room", || fixture.outbox.shared.lock().bytes == 0);
    // Until there is room it is not tried by whoever raises an event.
    assert_eq!(fixture.send(b"a", 2, 40), Fate::Waits);
    fixture.post.set_room(b"a", Some(9));
    wait_for("the one after it", || fixture.post.got(b"a") == [2]);
}

#[test]
fn who_is_gone_loses_its_events_and_who_comes_back_gets_them_again() {
    let mut fixture = fixture();
    assert_eq!(fixture.send(b"a", 0, 40), Fate::Dropped, "the first try");
    assert_eq!([1, 2].map(|number| fixture.send(b"a", number, 40)), [Fate::Waits; 2]);
    wait_for("the thread's try", || fixture.counted() == (0, 2));
    fixture.post.set_room(b"a", Some(9));
    assert_eq!([3, 4].map(|number| fixture.send(b"a", number, 40)), [Fate::Waits; 2]);
    wait_for("the ones after it", || fixture.post.got(b"a") == [3, 4]);
    wait_for("an end of the trouble", || fixture.outbox.shared.lock().all.is_empty());
}

#[test]
fn those_who_hoard_leave_room_for_others() {
    let mut fixture = fixture();
    let addresses: Vec<Vec<u8>> = (0..20).map(|number| vec![b'h', number]).collect();
    for address in &addresses {
        fixture.post.set_room(address, Some(0));
        while fixture.send(address, 0, 10_000) == Fate::Waits {}
    }
    let waiting = fixture.outbox.shared.lock().bytes;
    assert!((1 << 20..MAX_BYTES).contains(&waiting), "{waiting}");
    fixture.post.set_room(b"good", Some(0));
    assert_eq!(fixture.send(b"good", 1, 10_000), Fate::Waits);
    fixture.post.set_room(b"good", Some(9));
    wait_for("the good one's", || fixture.post.got(b"good") == [1]);
}

#[test]
fn sockets_in_trouble_are_bounded() {
    let mut fixture = fixture();
    for number in 0..=MAX_TROUBLED {
        fixture.send(&number.to_le_bytes(), 0, 8);
    }
    assert_eq!(fixture.outbox.shared.lock().all.len(), 1);
}

#[test]
fn one_socket_does_not_hold_up_another() {
    let mut fixture = fixture();
    for (address, room) in [(b"full", 0), (b"good", 0)] {
        fixture.post.set_room(address, Some(room));
        assert_eq!(fixture.send(address, 1, 8), Fate::Waits);
    }
    fixture.post.set_room(b"good", Some(1));
    wait_for("the good one's", || fixture.post.got(b"good") == [1]);
    assert_eq!(fixture.post.got(b"full"), [0; 0]);
}

#[test]
fn an_event_of_another_process_does_not_overtake_what_waits() {
    let segment = segment();
    let [mut one, mut two] = [1, 2].map(|slot| fixture_of(segment, slot));
    one.post.set_room(b"a", Some(0));
    two.post.set_room(b"a", Some(9));
    assert_eq!(one.send(b"a", 1, 40), Fate::Waits);
    assert_eq!(two.send(b"a", 2, 40), Fate::Waits, "there is room, and an older one waits elsewhere");
    assert_eq!(two.send(b"b", 3, 40), Fate::Dropped, "another socket has nothing to do with it");
    two.post.set_room(b"c", Some(1));
    assert_eq!(two.send(b"c", 4, 40), Fate::Sent);
    assert_eq!(one.send(b"a", 5, 40), Fate::Waits);
    assert_eq!(two.post.got(b"a"), [0; 0]);
    one.post.set_room(b"a", Some(1));
    wait_for("the second one", || two.post.got(b"a") == [2]);
    assert_eq!(one.post.got(b"a"), [1], "the third one waits for room");
    one.post.set_room(b"a", Some(1));
    wait_for("the third one", || one.post.got(b"a") == [1, 5]);
    wait_for("an end of the trouble", || one.outbox.shared.lock().all.is_empty());
    wait_for("an end of the trouble", || !two.outbox.shared.lock().all.contains_key(&b"a"[..]));
    assert_eq!(two.send(b"a", 6, 40), Fate::Sent);
}

#[test]
fn what_waited_in_a_killed_process_holds_up_nobody() {
    let segment = segment();
    let [mut one, mut two] = [1, 2].map(|slot| fixture_of(segment, slot));
    one.post.set_room(b"a", Some(0));
    two.post.set_room(b"a", Some(9));
    assert_eq!([one.send(b"a", 1, 40), two.send(b"a", 2, 40)], [Fate::Waits; 2]);
    segment.slots()[1].vacate();
    wait_for("the second one", || two.post.got(b"a") == [2]);
}
