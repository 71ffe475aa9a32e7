//! Tests replies to clients that open their FIFO late, read slowly or go away. The tests change the times of
//! replies, and do not wait for the clock.

use std::fs::{File, OpenOptions};
use std::io::{Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::stat::Mode;

use super::*;
use crate::mi::Progress;
use crate::mi::testing::context;
use crate::wire::Output;

struct FifoFolder(tempfile::TempDir);

impl FifoFolder {
    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        path
    }
}

fn folder() -> FifoFolder {
    FifoFolder(tempfile::tempdir().unwrap())
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

/// Writes so many lines, one a piece.
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
struct ReportedEvents(Vec<String>);

impl ReportedEvents {
    fn report(&mut self, event: ReplyEvent<'_>) {
        let text = format!("{event:?}");
        self.0.push(text.split('(').next().unwrap_or_default().to_owned());
    }
}

fn send(
    replies: &mut ReplyQueue<'_>,
    context: &Context,
    events: &mut ReportedEvents,
    path: &Path,
    text: &str,
    more: Option<Box<dyn PieceWriter<Stream>>>,
) {
    let mut reply = replies.begin(Some(path), false).unwrap();
    reply.stream.push(text.as_bytes());
    replies.send(reply, more, context, &mut |event| events.report(event));
}

#[test]
fn a_client_that_opens_its_fifo_late_gets_its_replies_in_order() {
    let (folder, context) = (folder(), context());
    let parcels = parcels();
    let (mut replies, mut events) = (ReplyQueue::take_over(&parcels, None), ReportedEvents::default());
    let path = folder.fifo("r");
    send(&mut replies, &context, &mut events, &path, "one\n", None);
    send(&mut replies, &context, &mut events, &path, "two\n", None);
    assert_eq!(
        (replies.queued.len(), events.0.as_slice()),
        (2, &["Parked".to_owned(), "Parked".to_owned()][..])
    );
    let (requests, _writer) = pipe().unwrap();
    let file = reader(&path);
    let mut got = Vec::new();
    while !replies.is_empty() {
        replies.wait(requests.as_fd(), None, None);
        replies.run_once(&context, &mut |event| panic!("{event:?}"));
        got.extend(read(&file));
    }
    assert_eq!(got, b"one\ntwo\n");
}

#[test]
fn a_long_reply_is_encoded_as_it_is_read() {
    let (folder, context) = (folder(), context());
    let parcels = parcels();
    let (mut replies, mut events) = (ReplyQueue::take_over(&parcels, None), ReportedEvents::default());
    let path = folder.fifo("r");
    let file = reader(&path);
    send(&mut replies, &context, &mut events, &path, "", lines(1_000_000));
    let (requests, mut writer) = pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    let mut got = 0;
    let mut turns = 0;
    while !replies.is_empty() {
        let waiting: usize = replies.queued.iter().map(|reply| reply.stream.waiting().len()).sum();
        assert!(waiting < 2 * 65536, "{waiting} bytes wait");
        assert!(
            replies.wait(requests.as_fd(), None, Some(Duration::ZERO)),
            "a request is seen between two pieces"
        );
        replies.run_once(&context, &mut |event| events.report(event));
        got += read(&file).len();
        turns += 1;
    }
    got += read(&file).len();
    assert_eq!(got, 1_000_000 * 11);
    assert!(turns > 100, "{turns}");
}

#[test]
fn a_reply_is_dropped_when_its_client_stops_reading_or_goes_away() {
    let (folder, context) = (folder(), context());
    let parcels = parcels();
    let (mut replies, mut events) = (ReplyQueue::take_over(&parcels, None), ReportedEvents::default());
    let path = folder.fifo("r");
    let file = reader(&path);
    send(&mut replies, &context, &mut events, &path, "", lines(1_000_000));
    while replies.is_any_ready() {
        replies.run_once(&context, &mut |event| events.report(event));
    }
    assert_eq!(events.0, ["Parked"]);
    // The client's time passes.
    replies.queued[0].since = replies.queued[0].since.map(|since| since - reply::CLIENT_TIMEOUT);
    replies.run_once(&context, &mut |event| events.report(event));
    assert!(replies.is_empty());
    assert_eq!(events.0, ["Parked", "TimedOut"]);
    send(&mut replies, &context, &mut events, &folder.fifo("s"), "x", None);
    drop(file);
    let file = reader(&path);
    send(&mut replies, &context, &mut events, &path, "", lines(1_000_000));
    drop(file);
    while replies.is_any_ready() {
        replies.run_once(&context, &mut |event| events.report(event));
    }
    let (requests, _writer) = pipe().unwrap();
    while replies.queued.len() > 1 {
        replies.wait(requests.as_fd(), None, None);
        replies.run_once(&context, &mut |event| events.report(event));
    }
    assert_eq!(events.0.last().map(String::as_str), Some("Dropped"));
}

/// A queue with a context and the reported events.
struct TestQueue<'a> {
    replies: ReplyQueue<'a>,
    context: &'a Context,
    events: ReportedEvents,
}

impl<'a> TestQueue<'a> {
    fn new(parcels: &'a Parcels, context: &'a crate::mi::Context) -> TestQueue<'a> {
        let replies = ReplyQueue::take_over(parcels, None);
        TestQueue { replies, context, events: ReportedEvents::default() }
    }

    fn send(&mut self, path: &Path, text: &str) {
        send(&mut self.replies, self.context, &mut self.events, path, text, None);
    }

    fn run_once(&mut self) {
        self.replies.run_once(self.context, &mut |event| self.events.report(event));
    }

    fn count(&self, event: &str) -> usize {
        self.events.0.iter().filter(|events| *events == event).count()
    }

    fn keeps(&self, path: &Path) -> usize {
        self.replies.queued.iter().filter(|reply| reply.path.as_deref() == Some(path)).count()
    }

    /// Makes `count` replies older by `time`.
    fn age(&mut self, count: usize, time: Duration) {
        for reply in &mut self.replies.queued[..count] {
            reply.since = reply.since.map(|since| since - time);
        }
    }
}

#[test]
fn a_full_queue_drops_the_reply_that_has_waited_longest() {
    let (folder, context, many, few) = (folder(), context(), parcels(), parcels());
    let mut queue = TestQueue::new(&many, &context);
    let paths: Vec<_> = (0..MAX_REPLIES + 10).map(|number| folder.fifo(&format!("r{number}"))).collect();
    paths.iter().for_each(|path| queue.send(path, "x"));
    assert_eq!((queue.replies.queued.len(), queue.count("Dropped")), (MAX_REPLIES, 10));
    for (number, path) in paths.iter().enumerate() {
        assert_eq!(queue.keeps(path), usize::from(number >= 10), "{number}");
    }
    // The replies to one client have a limit of their own.
    let mut queue = TestQueue::new(&few, &context);
    let (one, other) = (&paths[0], &paths[1]);
    queue.send(other, "x");
    for number in 0..MAX_REPLIES_OF_CLIENT + 10 {
        queue.send(one, &format!("{number}\n"));
    }
    assert_eq!(
        (queue.keeps(one), queue.keeps(other), queue.count("Dropped")),
        (MAX_REPLIES_OF_CLIENT, 1, 10)
    );
    let begins = queue.replies.queued.iter().filter(|reply| reply.condition != SendCondition::AfterOther);
    assert_eq!(begins.count(), 2, "one reply at a time to each");
    let file = reader(one);
    let mut got = Vec::new();
    while queue.keeps(one) > 0 {
        queue.replies.wait(file.as_fd(), None, Some(Duration::from_millis(1)));
        queue.run_once();
        got.extend(read(&file));
    }
    let wanted: String = (10..MAX_REPLIES_OF_CLIENT + 10).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(got).unwrap(), wanted);
}

#[test]
fn the_bytes_that_wait_for_clients_have_a_limit() {
    let (folder, context, parcels) = (folder(), context(), parcels());
    let mut queue = TestQueue::new(&parcels, &context);
    let long = "x".repeat(1 << 20);
    let taken = folder.fifo("taken");
    let file = reader(&taken);
    queue.send(&taken, &long);
    // The client reads, and then stops.
    while queue.replies.queued[0].blocks < 2 {
        read(&file);
        queue.replies.wait(file.as_fd(), None, Some(Duration::ZERO));
        while queue.replies.is_any_ready() {
            queue.run_once();
        }
    }
    let absent: Vec<_> = (0..30).map(|number| folder.fifo(&format!("absent{number}"))).collect();
    for path in &absent {
        queue.replies.queued[0].since = Some(Instant::now());
        queue.send(path, &long);
        assert_eq!(queue.keeps(path), 1, "the last one stays");
        let held_bytes: usize = queue.replies.queued.iter().map(FifoReply::held_bytes).sum();
        assert!(held_bytes <= MAX_QUEUED_BYTES, "{held_bytes}");
    }
    assert_eq!(queue.keeps(&taken), 1, "a client that reads");
    assert!(queue.count("Dropped") >= 14 && queue.keeps(&absent[0]) == 0 && queue.keeps(&absent[29]) == 1);
    // The client has not read for a while.
    queue.age(1, Duration::from_secs(1));
    queue.send(&absent[0], &long);
    queue.send(&absent[1], &long);
    assert_eq!(queue.keeps(&taken), 0, "a client that has stopped");
    // A reply over the limit of bytes is the only one.
    queue.send(&absent[2], &"x".repeat(2 * MAX_QUEUED_BYTES));
    assert_eq!((queue.replies.queued.len(), queue.keeps(&absent[2])), (1, 1));
}

#[test]
fn a_large_buffer_is_not_reused() {
    let (folder, context, parcels) = (folder(), context(), parcels());
    let mut queue = TestQueue::new(&parcels, &context);
    let path = folder.fifo("r");
    let file = reader(&path);
    queue.send(&path, &"x".repeat(4 << 20));
    while !queue.replies.is_empty() {
        read(&file);
        queue.replies.wait(file.as_fd(), None, Some(Duration::ZERO));
        queue.run_once();
    }
    while !read(&file).is_empty() {}
    queue.send(&path, "short");
    assert!(queue.replies.is_empty());
    assert_eq!(queue.replies.spare.take().capacity(), 8);
    let mut reply = queue.replies.begin(Some(&path), false).unwrap();
    reply.max_stream_bytes = MAX_SPARE_BYTES + 1;
    reply.stream.push(&[b'x'; 1000]);
    queue.replies.send(reply, None, queue.context, &mut |event| panic!("{event:?}"));
    assert_eq!(queue.replies.spare.take().capacity(), 0);
}

#[test]
fn an_absent_client_loses_all_its_timed_out_replies_at_once() {
    let (folder, context, parcels) = (folder(), context(), parcels());
    let mut queue = TestQueue::new(&parcels, &context);
    let path = folder.fifo("r");
    (0..20).for_each(|_| queue.send(&path, "x"));
    queue.age(15, reply::CLIENT_TIMEOUT);
    queue.replies.wait(reader(&folder.fifo("w")).as_fd(), None, Some(Duration::from_millis(1)));
    queue.run_once();
    assert_eq!((queue.keeps(&path), queue.count("TimedOut")), (5, 15));
    assert!(matches!(queue.replies.queued[0].condition, SendCondition::ClientAbsent { .. }));
    // The other replies have their own times.
    queue.age(5, reply::CLIENT_TIMEOUT);
    queue.replies.wait(reader(&folder.fifo("v")).as_fd(), None, Some(Duration::from_millis(1)));
    queue.run_once();
    assert_eq!((queue.keeps(&path), queue.count("TimedOut")), (0, 20));
}

#[test]
fn a_reply_goes_to_the_fifo_that_was_there_when_its_request_came() {
    let (folder, context, parcels) = (folder(), context(), parcels());
    let path = folder.fifo("r");
    for is_successor in [false, true] {
        let mut queue = TestQueue::new(&parcels, &context);
        queue.send(&path, "old");
        if is_successor {
            // As after a kill: the first queue is not dropped.
            std::mem::forget(queue);
            queue = TestQueue::new(&parcels, &context);
        }
        assert_eq!(queue.keeps(&path), 1);
        std::fs::rename(&path, path.with_extension("away")).unwrap();
        let file = reader(&folder.fifo("r"));
        let (requests, _writer) = pipe().unwrap();
        while !queue.replies.is_empty() {
            queue.replies.wait(requests.as_fd(), None, None);
            queue.run_once();
        }
        assert_eq!((queue.count("Dropped"), read(&file)), (1, Vec::new()), "successor {is_successor}");
    }
}

#[test]
fn no_reply_is_written_to_the_fifo_for_requests() {
    let folder = folder();
    let parcels = parcels();
    let path = folder.fifo("requests");
    let _server = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut replies = ReplyQueue::take_over(&parcels, Identity::at(&path).ok());
    let link = folder.0.path().join("link");
    std::os::unix::fs::symlink(folder.0.path(), &link).unwrap();
    for path in [path, link.join("requests")] {
        assert!(matches!(replies.begin(Some(&path), false), Err(ReplyError::Requests)), "{}", path.display());
    }
    assert!(replies.begin(Some(&folder.fifo("other")), false).is_ok());
}
