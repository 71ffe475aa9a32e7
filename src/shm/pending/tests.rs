//! Rows that are answered once, taken once, and late.

use super::*;
use crate::shm::MIN_BYTES;

fn pending(patience: u64) -> &'static Pending {
    let segment = Segment::create(2 * MIN_BYTES, 3, 0).unwrap();
    let bells = (0..3).map(|_| Bell::new().unwrap()).collect();
    Box::leak(Box::new(Pending::new(segment, bells, Duration::from_secs(patience))))
}

const ASKED: Asked<'_> = Asked { slot: Some(1), command: "later", address: b"who", form: b"7" };

#[test]
fn an_answer_comes_once_to_the_slot_that_asked() {
    let pending = pending(60);
    let (mut inbox, mut other) = (Inbox::new(pending, 1), Inbox::new(pending, 2));
    let number = pending.add(&ASKED).unwrap();
    inbox.expect(number);
    assert!(inbox.take(|_| true, |_| ()).is_none() && !inbox.is_empty() && pending.is_waiting(number));
    assert_eq!(pending.answer(number, b"answer", b"instead"), Ok(()));
    assert_eq!(pending.answer(number, b"again", b"instead"), Err(Gone));
    assert!(!pending.is_waiting(number));
    inbox.listen();
    other.listen();
    assert!(
        other.take(|_| true, |_| ()).is_none() && inbox.take(|address| address != b"who", |_| ()).is_none()
    );
    let due = inbox.take(|_| true, |_| ()).unwrap();
    let found = (due.number, &due.command[..], &due.address[..], &due.form[..], &due.answer[..]);
    assert_eq!(found, (number, &b"later"[..], &b"who"[..], &b"7"[..], &b"answer"[..]));
    drop(due);
    assert!(inbox.take(|_| true, |_| ()).is_none() && inbox.is_empty());
    assert_eq!((pending.count(), pending.answer(number, b"", b"")), (0, Err(Gone)));
    assert_eq!(pending.answer(number + 1, b"", b""), Err(Gone));
}

#[test]
fn a_successor_finds_what_was_answered_and_what_was_not() {
    let pending = pending(60);
    let numbers: Vec<u64> = (0..20).map(|_| pending.add(&ASKED).unwrap()).collect();
    pending.add(&Asked { slot: Some(2), ..ASKED }).unwrap();
    for number in &numbers[..10] {
        pending.answer(*number, &number.to_le_bytes(), b"").unwrap();
    }
    // The bell was heard by one that is dead.
    pending.bells[1].hear(&mut Vec::new());
    let mut inbox = Inbox::new(pending, 1);
    let taken: Vec<u64> = std::iter::from_fn(|| inbox.take(|_| true, |_| ())).map(|due| due.number).collect();
    assert_eq!(taken, numbers[..10]);
    assert!(!inbox.is_empty());
    for number in &numbers[10..] {
        pending.answer(*number, b"x", b"").unwrap();
    }
    inbox.listen();
    let taken: Vec<u64> = std::iter::from_fn(|| inbox.take(|_| true, |_| ())).map(|due| due.number).collect();
    assert_eq!((taken.as_slice(), inbox.is_empty(), pending.count()), (&numbers[10..], true, 1));
    let mut other = Inbox::new(pending, 2);
    other.clear();
    assert_eq!((pending.count(), other.is_empty()), (0, true));
}

#[test]
fn an_answer_that_was_taken_and_not_sent_is_sent_by_the_successor_and_one_in_flight_by_nobody() {
    let pending = pending(60);
    let mut inbox = Inbox::new(pending, 1);
    let numbers = [(); 3].map(|()| pending.add(&ASKED).unwrap());
    for number in numbers {
        inbox.expect(number);
        pending.answer(number, b"answer", b"").unwrap();
    }
    inbox.listen();
    // As if the worker had been killed before it sent the first one, after a try at the second, and at the third.
    let taken = [(); 3].map(|()| inbox.take(|_| true, |_| ()).unwrap());
    taken[1].unsent.set_in_flight(true);
    taken[1].unsent.set_in_flight(false);
    taken[2].unsent.set_in_flight(true);
    std::mem::forget(taken);
    let mut successor = Inbox::new(pending, 1);
    let sent: Vec<u64> =
        std::iter::from_fn(|| successor.take(|_| true, |_| ())).map(|due| due.number).collect();
    assert_eq!(sent, numbers[..2]);
    assert_eq!((pending.count(), Inbox::new(pending, 1).is_empty()), (0, true));
}

#[test]
fn what_is_late_is_answered_and_what_is_not_taken_is_rung_again() {
    let pending = pending(0);
    let mut inbox = Inbox::new(pending, 1);
    let number = pending.add(&ASKED).unwrap();
    inbox.expect(number);
    let nobodys = pending.add(&Asked { slot: None, ..ASKED }).unwrap();
    let mut late = Vec::new();
    while late.len() < 2 {
        late.extend(pending.sweep(b"late"));
    }
    assert_eq!((late, pending.count()), (vec!["later".to_owned(); 2], 1));
    assert_eq!(pending.answer(nobodys, b"", b""), Err(Gone));
    // As if whoever answered had been killed before the bell.
    pending.bells[1].hear(&mut Vec::new());
    inbox.listen();
    assert!(inbox.take(|_| true, |_| ()).is_none());
    assert!(pending.sweep(b"late").is_empty());
    inbox.listen();
    assert_eq!(inbox.take(|_| true, |_| ()).unwrap().answer, b"late");
    assert!(inbox.is_empty());
}

#[test]
fn an_answer_that_has_waited_for_too_long_is_told_as_lost() {
    let pending = pending(60);
    let mut inbox = Inbox::new(pending, 1);
    let [first, second] = [(); 2].map(|()| pending.add(&ASKED).unwrap());
    for number in [first, second] {
        inbox.expect(number);
        pending.answer(number, b"answer", b"").unwrap();
    }
    // As the sweep does when its time is over.
    assert!(pending.remove(first));
    inbox.listen();
    let mut lost = Vec::new();
    let due = inbox.take(|_| true, |number| lost.push(number)).unwrap();
    assert_eq!((due.number, lost, inbox.is_empty()), (second, vec![first], true));
}

#[test]
fn there_is_always_memory_for_a_short_answer_and_never_for_too_many() {
    let pending = pending(60);
    let numbers: Vec<u64> = std::iter::from_fn(|| pending.add(&ASKED).ok()).collect();
    assert_eq!((numbers.len(), pending.add(&ASKED)), (MAX_PENDING, Err(Refused::TooMany)));
    let table = pending.segment.table();
    let filled =
        (0_u32..).take_while(|number| table.put(Space::Cache, &number.to_le_bytes(), &[1; 900], 0).is_ok());
    assert!(filled.count() > 0);
    let mut inbox = Inbox::new(pending, 1);
    for number in numbers {
        pending.answer(number, &[7; 100_000], &[8; row::ROOM_BYTES]).unwrap();
        pending.bells[1].hear(&mut Vec::new());
    }
    let mut inbox_of_successor = Inbox::new(pending, 1);
    let answers = std::iter::from_fn(|| inbox_of_successor.take(|_| true, |_| ()));
    let answers: Vec<Vec<u8>> = answers.map(|due| due.answer).collect();
    assert_eq!(answers.len(), MAX_PENDING);
    assert!(answers.iter().any(|answer| answer == &[8; row::ROOM_BYTES]));
    assert!(std::iter::from_fn(|| inbox.take(|_| true, |_| ())).next().is_none());
}

#[test]
fn a_place_is_taken_again_when_its_row_is_gone_and_an_old_number_does_not_reach_it() {
    let pending = pending(60);
    let numbers: Vec<u64> = (0..MAX_PENDING).map(|_| pending.add(&ASKED).unwrap()).collect();
    let (first, gone) = (numbers[0], numbers[1000]);
    assert!(pending.remove(gone) && !pending.remove(gone));
    let next = pending.add(&ASKED).unwrap();
    assert!(next > numbers[MAX_PENDING - 1]);
    assert_eq!(key(next), key(gone));
    assert!(!pending.is_waiting(gone) && pending.is_waiting(next) && pending.is_waiting(first));
    assert_eq!((pending.answer(gone, b"old", b""), pending.remove(gone)), (Err(Gone), false));
    let divisor = 1024 * MAX_PENDING as u64;
    assert_eq!((pending.find(gone, divisor), pending.find(next, divisor)), (None, Some(next)));
    assert_eq!((pending.add(&ASKED), pending.count()), (Err(Refused::TooMany), MAX_PENDING as u64));
    assert_eq!(pending.answer(next, b"new", b""), Ok(()));
    let taken = Inbox::new(pending, 1).take(|_| true, |_| ()).map(|due| (due.number, due.answer));
    assert_eq!(taken, Some((next, b"new".to_vec())));
}

#[test]
fn those_of_an_address_that_cannot_be_served_stand_aside_in_their_order() {
    let pending = pending(60);
    let mut inbox = Inbox::new(pending, 1);
    let add = |address| pending.add(&Asked { address, ..ASKED }).unwrap();
    let numbers: Vec<u64> = (0..4).flat_map(|_| [add(b"slow"), add(b"fast")]).collect();
    for number in &numbers {
        inbox.expect(*number);
        pending.answer(*number, b"", b"").unwrap();
    }
    let mut taken = |may: fn(&[u8]) -> bool| {
        // Rung again and again, as by the sweep of each second.
        numbers.iter().for_each(|number| pending.ring(1, *number));
        inbox.listen();
        std::iter::from_fn(|| inbox.take(may, |_| ())).map(|due| due.number).collect::<Vec<_>>()
    };
    let of = |first: usize| numbers.iter().copied().skip(first).step_by(2).collect::<Vec<_>>();
    assert_eq!(taken(|address| address != b"slow"), of(1));
    assert!(taken(|address| address != b"slow").is_empty());
    assert_eq!(taken(|_| true), of(0));
    assert!(inbox.is_empty() && pending.count() == 0);
}

#[test]
fn a_server_that_ends_answers_all_and_takes_no_more() {
    let pending = pending(60);
    let (first, second) = (pending.add(&ASKED).unwrap(), pending.add(&ASKED).unwrap());
    pending.add(&Asked { slot: None, ..ASKED }).unwrap();
    pending.answer(first, b"in time", b"").unwrap();
    assert_eq!((pending.end(b"the end"), pending.end(b"the end")), (2, 0));
    assert_eq!((pending.add(&ASKED), pending.count()), (Err(Refused::Ending), 2));
    assert_eq!(pending.answer(second, b"too late", b""), Err(Gone));
    let mut inbox = Inbox::new(pending, 1);
    let answers: Vec<_> = std::iter::from_fn(|| inbox.take(|_| true, |_| ())).map(|due| due.answer).collect();
    assert_eq!(answers, [&b"in time"[..], b"the end"]);
}

#[test]
fn bytes_that_are_no_row_are_none() {
    let row = Row::waiting(3, &ASKED, 5).to_bytes();
    assert_eq!(Row::read(&row), Some(Row::waiting(3, &ASKED, 5)));
    for length in 0..row.len() - row::ROOM_BYTES {
        assert_eq!(Row::read(&row[..length]), None, "{length}");
    }
    assert_eq!(Row::read(&[9; 100]), None);
}
