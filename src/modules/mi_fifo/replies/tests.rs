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
use crate::wire::text::State;

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
fn lines(count: u32) -> Option<More> {
    let mut left = count;
    let rest = Box::new(move |_: &_, reply: &mut dyn crate::mi::Reply| {
        reply.node("", "0123456789");
        left -= 1;
        if left == 0 { Progress::Done } else { Progress::More }
    });
    Some(More::Text { rest, state: State::default() })
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
    answerer: &mut Answerer<'_>,
    told: &mut Told,
    path: &Path,
    text: &str,
    more: Option<More>,
) {
    let mut reply = replies.begin(Some(path)).unwrap();
    reply.stream.push(text.as_bytes());
    replies.send(reply, more, answerer, &mut |event| told.note(event));
}

#[test]
fn an_absent_reader_gets_its_reply_when_it_comes_and_one_name_is_served_in_order() {
    let (place, context) = (place(), context());
    let parcels = parcels();
    let (mut replies, mut answerer, mut told) =
        (Replies::take_over(&parcels), Answerer::new(&context, b""), Told::default());
    let path = place.fifo("r");
    send(&mut replies, &mut answerer, &mut told, &path, "one\n", None);
    send(&mut replies, &mut answerer, &mut told, &path, "two\n", None);
    assert_eq!((replies.kept.len(), told.0.as_slice()), (2, &["Parked".to_owned(), "Parked".to_owned()][..]));
    let (requests, _writer) = pipe().unwrap();
    let file = reader(&path);
    let mut got = Vec::new();
    while !replies.is_empty() {
        replies.wait(requests.as_fd(), None);
        replies.take_turn(&mut answerer, &mut |event| panic!("{event:?}"));
        got.extend(read(&file));
    }
    assert_eq!(got, b"one\ntwo\n");
}

#[test]
fn a_long_reply_is_made_as_it_is_read() {
    let (place, context) = (place(), context());
    let parcels = parcels();
    let (mut replies, mut answerer, mut told) =
        (Replies::take_over(&parcels), Answerer::new(&context, b""), Told::default());
    let path = place.fifo("r");
    let file = reader(&path);
    send(&mut replies, &mut answerer, &mut told, &path, "", lines(1_000_000));
    let (requests, mut writer) = pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    let mut got = 0;
    let mut turns = 0;
    while !replies.is_empty() {
        let waiting: usize = replies.kept.iter().map(|reply| reply.stream.waiting().len()).sum();
        assert!(waiting < 2 * 65536, "{waiting} bytes wait");
        assert!(replies.wait(requests.as_fd(), Some(Duration::ZERO)), "a request is seen between two pieces");
        replies.take_turn(&mut answerer, &mut |event| told.note(event));
        got += read(&file).len();
        turns += 1;
    }
    got += read(&file).len();
    assert_eq!(got, "200 OK\n".len() + 1_000_000 * 11 + 1);
    assert!(turns > 100, "{turns}");
}

#[test]
fn a_reader_that_stops_or_goes_is_no_burden() {
    let (place, context) = (place(), context());
    let parcels = parcels();
    let (mut replies, mut answerer, mut told) =
        (Replies::take_over(&parcels), Answerer::new(&context, b""), Told::default());
    let path = place.fifo("r");
    let file = reader(&path);
    send(&mut replies, &mut answerer, &mut told, &path, "", lines(1_000_000));
    while replies.is_any_ready() {
        replies.take_turn(&mut answerer, &mut |event| told.note(event));
    }
    assert_eq!(told.0, ["Parked"]);
    // It lets its time pass.
    replies.kept[0].since = replies.kept[0].since.map(|since| since - reply::PATIENCE);
    replies.take_turn(&mut answerer, &mut |event| told.note(event));
    assert!(replies.is_empty());
    assert_eq!(told.0, ["Parked", "TimedOut"]);
    send(&mut replies, &mut answerer, &mut told, &place.fifo("s"), "x", None);
    drop(file);
    let file = reader(&path);
    send(&mut replies, &mut answerer, &mut told, &path, "", lines(1_000_000));
    drop(file);
    while replies.is_any_ready() {
        replies.take_turn(&mut answerer, &mut |event| told.note(event));
    }
    let (requests, _writer) = pipe().unwrap();
    while replies.kept.len() > 1 {
        replies.wait(requests.as_fd(), None);
        replies.take_turn(&mut answerer, &mut |event| told.note(event));
    }
    assert_eq!(told.0.last().map(String::as_str), Some("Dropped"));
}

#[test]
fn the_list_is_bounded() {
    let (place, context) = (place(), context());
    let parcels = parcels();
    let (mut replies, mut answerer, mut told) =
        (Replies::take_over(&parcels), Answerer::new(&context, b""), Told::default());
    let path = place.fifo("r");
    for _ in 0..=MAX_REPLIES {
        send(&mut replies, &mut answerer, &mut told, &path, "x", None);
    }
    assert_eq!(replies.kept.len(), MAX_REPLIES);
    assert_eq!(told.0.last().map(String::as_str), Some("Dropped"));
}
