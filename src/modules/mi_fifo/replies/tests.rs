//! Replies to readers that come late, read slowly or go away. Times are the contract's, so these tests look at what
//! waits, and not at the clock.

use std::fs::{File, OpenOptions};
use std::io::{Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::stat::Mode;

use super::*;
use crate::mi::Progress;
use crate::mi::testing::context;
use crate::wire::Output;

struct Place(tempfile::TempDir);

impl Place {
    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        path
    }
}

fn place() -> Place {
    Place(tempfile::tempdir().unwrap())
}

fn parcels() -> Parcels {
    Parcels::create(MAX_PARCELS, PARCEL_BYTES).unwrap()
}

fn reader(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap()
}

fn read(mut file: &File) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let count = file.read(&mut bytes).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

/// So many lines, made piece by piece.
struct Lines(u32);

impl PieceWriter<Stream> for Lines {
    fn write_piece(&mut self, _: &Context, output: &mut Stream, _: Duration) -> Progress {
        output.push(b"0123456789\n");
        self.0 -= 1;
        if self.0 == 0 { Progress::Done } else { Progress::More }
    }
}

fn lines(count: u32) -> Option<Box<dyn PieceWriter<Stream>>> {
    Some(Box::new(Lines(count)))
}

#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn note(&mut self, event: Event<'_>) {
        let text = format!("{event:?}");
        self.0.push(text.split('(').next().unwrap_or_default().to_owned());
    }
}

fn send(
    replies: &mut Replies<'_>,
    context: &Context,
    told: &mut Told,
    path: &Path,
    text: &str,
    more: Option<Box<dyn PieceWriter<Stream>>>,
) {
    let mut reply = replies.begin(Some(path), false).unwrap();
    reply.stream.push(text.as_bytes());
    replies.send(reply, more, context, &mut |event| told.note(event));
}

#[test]
fn an_absent_reader_gets_its_reply_when_it_comes_and_one_name_is_served_in_order() {
    let (place, context) = (place(), context());
    let parcels = parcels();
    let (mut replies, mut told) = (Replies::take_over(&parcels, None), Told::default());
    let path = place.fifo("r");
    send(&mut replies, &context, &mut told, &path, "one\n", None);
    send(&mut replies, &context, &mut told, &path, "two\n", None);
    assert_eq!((replies.kept.len(), told.0.as_slice()), (2, &["Parked".to_owned(), "Parked".to_owned()][..]));
    let (requests, _writer) = pipe().unwrap();
    let file = reader(&path);
    let mut got = Vec::new();
    while !replies.is_empty() {
        replies.wait(requests.as_fd(), None, None);
        replies.take_turn(&context, &mut |event| panic!("{event:?}"));
        got.extend(read(&file));
    }
    assert_eq!(got, b"one\ntwo\n");
}

#[test]
fn a_long_reply_is_made_as_it_is_read() {
    let (place, context) = (place(), context());
    let parcels = parcels();
    let (mut replies, mut told) = (Replies::take_over(&parcels, None), Told::default());
    let path = place.fifo("r");
    let file = reader(&path);
    send(&mut replies, &context, &mut told, &path, "", lines(1_000_000));
    let (requests, mut writer) = pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    let mut got = 0;
    let mut turns = 0;
    while !replies.is_empty() {
        let waiting: usize = replies.kept.iter().map(|reply| reply.stream.waiting().len()).sum();
        assert!(waiting < 2 * 65536, "{waiting} bytes wait");
        assert!(
            replies.wait(requests.as_fd(), None, Some(Duration::ZERO)),
            "a request is seen between two pieces"
        );
        replies.take_turn(&context, &mut |event| told.note(event));
        got += read(&file).len();
        turns += 1;
    }
    got += read(&file).len();
    assert_eq!(got, 1_000_000 * 11);
    assert!(turns > 100, "{turns}");
}

#[test]
fn a_reader_that_stops_or_goes_is_no_burden() {
    let (place, context) = (place(), context());
    let parcels = parcels();
    let (mut replies, mut told) = (Replies::take_over(&parcels, None), Told::default());
    let path = place.fifo("r");
    let file = reader(&path);
    send(&mut replies, &context, &mut told, &path, "", lines(1_000_000));
    while replies.is_any_ready() {
        replies.take_turn(&context, &mut |event| told.note(event));
    }
    assert_eq!(told.0, ["Parked"]);
    // It lets its time pass.
    replies.kept[0].since = replies.kept[0].since.map(|since| since - reply::PATIENCE);
    replies.take_turn(&context, &mut |event| told.note(event));
    assert!(replies.is_empty());
    assert_eq!(told.0, ["Parked", "TimedOut"]);
    send(&mut replies, &context, &mut told, &place.fifo("s"), "x", None);
    drop(file);
    let file = reader(&path);
    send(&mut replies, &context, &mut told, &path, "", lines(1_000_000));
    drop(file);
    while replies.is_any_ready() {
        replies.take_turn(&context, &mut |event| told.note(event));
    }
    let (requests, _writer) = pipe().unwrap();
    while replies.kept.len() > 1 {
        replies.wait(requests.as_fd(), None, None);
        replies.take_turn(&context, &mut |event| told.note(event));
    }
    assert_eq!(told.0.last().map(String::as_str), Some("Dropped"));
}

/// A list, with all that its tests need.
struct List<'a> {
    replies: Replies<'a>,
    context: &'a Context,
    told: Told,
}

impl<'a> List<'a> {
    fn new(parcels: &'a Parcels, context: &'a crate::mi::Context) -> List<'a> {
        let replies = Replies::take_over(parcels, None);
        List { replies, context, told: Told::default() }
    }

    fn send(&mut self, path: &Path, text: &str) {
        send(&mut self.replies, self.context, &mut self.told, path, text, None);
    }

    fn take_turn(&mut self) {
        self.replies.take_turn(self.context, &mut |event| self.told.note(event));
    }

    fn count(&self, event: &str) -> usize {
        self.told.0.iter().filter(|told| *told == event).count()
    }

    fn keeps(&self, path: &Path) -> usize {
        self.replies.kept.iter().filter(|reply| reply.path.as_deref() == Some(path)).count()
    }

    /// As if so much time had passed for the first so many.
    fn age(&mut self, count: usize, time: Duration) {
        for reply in &mut self.replies.kept[..count] {
            reply.since = reply.since.map(|since| since - time);
        }
    }
}

#[test]
fn who_has_waited_longest_makes_room_for_a_new_one() {
    let (place, context, many, few) = (place(), context(), parcels(), parcels());
    let mut list = List::new(&many, &context);
    let paths: Vec<_> = (0..MAX_REPLIES + 10).map(|number| place.fifo(&format!("r{number}"))).collect();
    paths.iter().for_each(|path| list.send(path, "x"));
    assert_eq!((list.replies.kept.len(), list.count("Dropped")), (MAX_REPLIES, 10));
    for (number, path) in paths.iter().enumerate() {
        assert_eq!(list.keeps(path), usize::from(number >= 10), "{number}");
    }
    // One client cannot take the room of all others.
    let mut list = List::new(&few, &context);
    let (one, other) = (&paths[0], &paths[1]);
    list.send(other, "x");
    for number in 0..MAX_REPLIES_OF_ONE + 10 {
        list.send(one, &format!("{number}\n"));
    }
    assert_eq!((list.keeps(one), list.keeps(other), list.count("Dropped")), (MAX_REPLIES_OF_ONE, 1, 10));
    let begins = list.replies.kept.iter().filter(|reply| reply.condition != Condition::Waiting);
    assert_eq!(begins.count(), 2, "one reply at a time to each");
    let file = reader(one);
    let mut got = Vec::new();
    while list.keeps(one) > 0 {
        list.replies.wait(file.as_fd(), None, Some(Duration::from_millis(1)));
        list.take_turn();
        got.extend(read(&file));
    }
    let wanted: String = (10..MAX_REPLIES_OF_ONE + 10).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(got).unwrap(), wanted);
}

#[test]
fn what_waits_for_those_who_do_not_read_is_bounded() {
    let (place, context, parcels) = (place(), context(), parcels());
    let mut list = List::new(&parcels, &context);
    let long = "x".repeat(1 << 20);
    let taken = place.fifo("taken");
    let file = reader(&taken);
    list.send(&taken, &long);
    // It reads, and then stops.
    while list.replies.kept[0].blocks < 2 {
        read(&file);
        list.replies.wait(file.as_fd(), None, Some(Duration::ZERO));
        while list.replies.is_any_ready() {
            list.take_turn();
        }
    }
    let absent: Vec<_> = (0..30).map(|number| place.fifo(&format!("absent{number}"))).collect();
    for path in &absent {
        list.replies.kept[0].since = Some(Instant::now());
        list.send(path, &long);
        assert_eq!(list.keeps(path), 1, "the last one stays");
        let held: usize = list.replies.kept.iter().map(Reply::held).sum();
        assert!(held <= MAX_WAITING_BYTES, "{held}");
    }
    assert_eq!(list.keeps(&taken), 1, "a client that reads");
    assert!(list.count("Dropped") >= 14 && list.keeps(&absent[0]) == 0 && list.keeps(&absent[29]) == 1);
    // It has not read for a while.
    list.age(1, Duration::from_secs(1));
    list.send(&absent[0], &long);
    list.send(&absent[1], &long);
    assert_eq!(list.keeps(&taken), 0, "a client that has stopped");
    // One that is longer than all that may wait is alone.
    list.send(&absent[2], &"x".repeat(2 * MAX_WAITING_BYTES));
    assert_eq!((list.replies.kept.len(), list.keeps(&absent[2])), (1, 1));
}

#[test]
fn a_large_buffer_is_not_kept() {
    let (place, context, parcels) = (place(), context(), parcels());
    let mut list = List::new(&parcels, &context);
    let path = place.fifo("r");
    let file = reader(&path);
    list.send(&path, &"x".repeat(4 << 20));
    while !list.replies.is_empty() {
        read(&file);
        list.replies.wait(file.as_fd(), None, Some(Duration::ZERO));
        list.take_turn();
    }
    while !read(&file).is_empty() {}
    list.send(&path, "short");
    assert!(list.replies.is_empty());
    assert_eq!(list.replies.spare.take().capacity(), 8);
    let mut reply = list.replies.begin(Some(&path), false).unwrap();
    reply.largest = MAX_SPARE_BYTES + 1;
    reply.stream.push(&[b'x'; 1000]);
    list.replies.send(reply, None, list.context, &mut |event| panic!("{event:?}"));
    assert_eq!(list.replies.spare.take().capacity(), 0);
}

#[test]
fn a_client_that_does_not_come_is_given_up_once_for_all_its_replies() {
    let (place, context, parcels) = (place(), context(), parcels());
    let mut list = List::new(&parcels, &context);
    let path = place.fifo("r");
    (0..20).for_each(|_| list.send(&path, "x"));
    list.age(15, reply::PATIENCE);
    list.replies.wait(reader(&place.fifo("w")).as_fd(), None, Some(Duration::from_millis(1)));
    list.take_turn();
    assert_eq!((list.keeps(&path), list.count("TimedOut")), (5, 15));
    assert!(matches!(list.replies.kept[0].condition, Condition::Absent { .. }));
    // The others have a time of their own, from when they were sent.
    list.age(5, reply::PATIENCE);
    list.replies.wait(reader(&place.fifo("v")).as_fd(), None, Some(Duration::from_millis(1)));
    list.take_turn();
    assert_eq!((list.keeps(&path), list.count("TimedOut")), (0, 20));
}

#[test]
fn a_reply_goes_to_the_fifo_that_was_there_when_its_request_came() {
    let (place, context, parcels) = (place(), context(), parcels());
    let path = place.fifo("r");
    for is_successor in [false, true] {
        let mut list = List::new(&parcels, &context);
        list.send(&path, "old");
        if is_successor {
            // As after a kill: nothing of the first list is dropped.
            std::mem::forget(list);
            list = List::new(&parcels, &context);
        }
        assert_eq!(list.keeps(&path), 1);
        std::fs::rename(&path, path.with_extension("away")).unwrap();
        let file = reader(&place.fifo("r"));
        let (requests, _writer) = pipe().unwrap();
        while !list.replies.is_empty() {
            list.replies.wait(requests.as_fd(), None, None);
            list.take_turn();
        }
        assert_eq!((list.count("Dropped"), read(&file)), (1, Vec::new()), "successor {is_successor}");
    }
}

#[test]
fn no_reply_goes_to_where_requests_come_from_whatever_its_name() {
    let place = place();
    let parcels = parcels();
    let path = place.fifo("requests");
    let _server = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut replies = Replies::take_over(&parcels, Identity::at(&path).ok());
    let link = place.0.path().join("link");
    std::os::unix::fs::symlink(place.0.path(), &link).unwrap();
    for path in [path, link.join("requests")] {
        assert!(matches!(replies.begin(Some(&path), false), Err(ReplyError::Requests)), "{}", path.display());
    }
    assert!(replies.begin(Some(&place.fifo("other")), false).is_ok());
}
