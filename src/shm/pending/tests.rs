//! Tests that pending requests are answered once, taken once, and time out.

use super::*;
use crate::shm::MIN_BYTES;

fn pending(timeout: u64) -> &'static PendingRequests {
    let segment = Segment::create(2 * MIN_BYTES, 3, 0).unwrap();
    let notifiers = (0..3).map(|_| PipeNotifier::new().unwrap()).collect();
    Box::leak(Box::new(PendingRequests::new(segment, notifiers, Duration::from_secs(timeout))))
}

const NEW: NewPending<'_> = NewPending { slot: Some(1), command: "later", address: b"who", envelope: b"7" };

#[test]
fn a_request_is_answered_once_and_its_reply_taken_once_by_its_slot() {
    let pending = pending(60);
    let (mut inbox, mut other) = (ReplyInbox::new(pending, 1), ReplyInbox::new(pending, 2));
    let number = pending.add(&NEW).unwrap();
    inbox.expect(number);
    assert!(inbox.take(|_| true, |_| ()).is_none() && !inbox.is_empty() && pending.is_waiting(number));
    assert_eq!(pending.answer(number, b"answer", b"short"), Ok(()));
    assert_eq!(pending.answer(number, b"again", b"short"), Err(NotPending));
    assert!(!pending.is_waiting(number));
    inbox.drain_notifier();
    other.drain_notifier();
    assert!(
        other.take(|_| true, |_| ()).is_none() && inbox.take(|address| address != b"who", |_| ()).is_none()
    );
    let answered = inbox.take(|_| true, |_| ()).unwrap();
    let found = (
        answered.number,
        &answered.command[..],
        &answered.address[..],
        &answered.envelope[..],
        &answered.answer[..],
    );
    assert_eq!(found, (number, &b"later"[..], &b"who"[..], &b"7"[..], &b"answer"[..]));
    drop(answered);
    assert!(inbox.take(|_| true, |_| ()).is_none() && inbox.is_empty());
    assert_eq!((pending.count(), pending.answer(number, b"", b"")), (0, Err(NotPending)));
    assert_eq!(pending.answer(number + 1, b"", b""), Err(NotPending));
}

#[test]
fn a_successor_finds_answered_and_waiting_requests_of_its_slot() {
    let pending = pending(60);
    let numbers: Vec<u64> = (0..20).map(|_| pending.add(&NEW).unwrap()).collect();
    pending.add(&NewPending { slot: Some(2), ..NEW }).unwrap();
    for number in &numbers[..10] {
        pending.answer(*number, &number.to_le_bytes(), b"").unwrap();
    }
    // As if the worker had read its notifier and been killed.
    pending.notifiers[1].drain(&mut Vec::new());
    let mut inbox = ReplyInbox::new(pending, 1);
    let taken: Vec<u64> =
        std::iter::from_fn(|| inbox.take(|_| true, |_| ())).map(|answered| answered.number).collect();
    assert_eq!(taken, numbers[..10]);
    assert!(!inbox.is_empty());
    for number in &numbers[10..] {
        pending.answer(*number, b"x", b"").unwrap();
    }
    inbox.drain_notifier();
    let taken: Vec<u64> =
        std::iter::from_fn(|| inbox.take(|_| true, |_| ())).map(|answered| answered.number).collect();
    assert_eq!((taken.as_slice(), inbox.is_empty(), pending.count()), (&numbers[10..], true, 1));
    let mut other = ReplyInbox::new(pending, 2);
    other.clear();
    assert_eq!((pending.count(), other.is_empty()), (0, true));
}

#[test]
fn a_killed_worker_s_unsent_replies_go_to_its_successor_except_one_in_flight() {
    let pending = pending(60);
    let mut inbox = ReplyInbox::new(pending, 1);
    let numbers = [(); 3].map(|()| pending.add(&NEW).unwrap());
    for number in numbers {
        inbox.expect(number);
        pending.answer(number, b"answer", b"").unwrap();
    }
    inbox.drain_notifier();
    // As if the worker had been killed before it sent the first, after the second was refused, and within the
    // third.
    let taken = [(); 3].map(|()| inbox.take(|_| true, |_| ()).unwrap());
    taken[1].unsent.set_in_flight(true);
    taken[1].unsent.set_in_flight(false);
    taken[2].unsent.set_in_flight(true);
    std::mem::forget(taken);
    let mut successor = ReplyInbox::new(pending, 1);
    let sent: Vec<u64> =
        std::iter::from_fn(|| successor.take(|_| true, |_| ())).map(|answered| answered.number).collect();
    assert_eq!(sent, numbers[..2]);
    assert_eq!((pending.count(), ReplyInbox::new(pending, 1).is_empty()), (0, true));
}

#[test]
fn the_sweep_answers_timed_out_requests_and_notifies_again_of_answers() {
    let pending = pending(0);
    let mut inbox = ReplyInbox::new(pending, 1);
    let number = pending.add(&NEW).unwrap();
    inbox.expect(number);
    let discarded = pending.add(&NewPending { slot: None, ..NEW }).unwrap();
    let mut late = Vec::new();
    while late.len() < 2 {
        late.extend(pending.sweep(b"late"));
    }
    assert_eq!((late, pending.count()), (vec!["later".to_owned(); 2], 1));
    assert_eq!(pending.answer(discarded, b"", b""), Err(NotPending));
    // As if the process that answered had been killed before it notified.
    pending.notifiers[1].drain(&mut Vec::new());
    inbox.drain_notifier();
    assert!(inbox.take(|_| true, |_| ()).is_none());
    assert!(pending.sweep(b"late").is_empty());
    inbox.drain_notifier();
    assert_eq!(inbox.take(|_| true, |_| ()).unwrap().answer, b"late");
    assert!(inbox.is_empty());
}

#[test]
fn an_answer_removed_by_the_sweep_is_reported_as_lost() {
    let pending = pending(60);
    let mut inbox = ReplyInbox::new(pending, 1);
    let [first, second] = [(); 2].map(|()| pending.add(&NEW).unwrap());
    for number in [first, second] {
        inbox.expect(number);
        pending.answer(number, b"answer", b"").unwrap();
    }
    // As the sweep does when an answer has waited too long.
    assert!(pending.remove(first));
    inbox.drain_notifier();
    let mut lost = Vec::new();
    let answered = inbox.take(|_| true, |number| lost.push(number)).unwrap();
    assert_eq!((answered.number, lost, inbox.is_empty()), (second, vec![first], true));
}

#[test]
fn a_full_segment_has_memory_for_short_answers_to_all_pending_requests() {
    let pending = pending(60);
    let numbers: Vec<u64> = std::iter::from_fn(|| pending.add(&NEW).ok()).collect();
    assert_eq!((numbers.len(), pending.add(&NEW)), (MAX_PENDING, Err(NewPendingError::TooMany)));
    let table = pending.segment.table();
    let filled =
        (0_u32..).take_while(|number| table.put(Space::Cache, &number.to_le_bytes(), &[1; 900], 0).is_ok());
    assert!(filled.count() > 0);
    let mut inbox = ReplyInbox::new(pending, 1);
    for number in numbers {
        pending.answer(number, &[7; 100_000], &[8; row::RESERVED_ANSWER_BYTES]).unwrap();
        pending.notifiers[1].drain(&mut Vec::new());
    }
    let mut inbox_of_successor = ReplyInbox::new(pending, 1);
    let answers = std::iter::from_fn(|| inbox_of_successor.take(|_| true, |_| ()));
    let answers: Vec<Vec<u8>> = answers.map(|answered| answered.answer).collect();
    assert_eq!(answers.len(), MAX_PENDING);
    assert!(answers.iter().any(|answer| answer == &[8; row::RESERVED_ANSWER_BYTES]));
    assert!(std::iter::from_fn(|| inbox.take(|_| true, |_| ())).next().is_none());
}

#[test]
fn a_removed_request_s_key_is_used_again_and_its_number_is_not() {
    let pending = pending(60);
    let numbers: Vec<u64> = (0..MAX_PENDING).map(|_| pending.add(&NEW).unwrap()).collect();
    let (first, removed) = (numbers[0], numbers[1000]);
    assert!(pending.remove(removed) && !pending.remove(removed));
    let next = pending.add(&NEW).unwrap();
    assert!(next > numbers[MAX_PENDING - 1]);
    assert_eq!(key(next), key(removed));
    assert!(!pending.is_waiting(removed) && pending.is_waiting(next) && pending.is_waiting(first));
    assert_eq!((pending.answer(removed, b"old", b""), pending.remove(removed)), (Err(NotPending), false));
    let divisor = 1024 * MAX_PENDING as u64;
    assert_eq!((pending.find(removed, divisor), pending.find(next, divisor)), (None, Some(next)));
    assert_eq!((pending.add(&NEW), pending.count()), (Err(NewPendingError::TooMany), MAX_PENDING as u64));
    assert_eq!(pending.answer(next, b"new", b""), Ok(()));
    let taken =
        ReplyInbox::new(pending, 1).take(|_| true, |_| ()).map(|answered| (answered.number, answered.answer));
    assert_eq!(taken, Some((next, b"new".to_vec())));
}

#[test]
fn replies_to_an_unserved_address_are_held_in_order_and_delay_no_other() {
    let pending = pending(60);
    let mut inbox = ReplyInbox::new(pending, 1);
    let add = |address| pending.add(&NewPending { address, ..NEW }).unwrap();
    let numbers: Vec<u64> = (0..4).flat_map(|_| [add(b"slow"), add(b"fast")]).collect();
    for number in &numbers {
        inbox.expect(*number);
        pending.answer(*number, b"", b"").unwrap();
    }
    let mut taken = |is_served: fn(&[u8]) -> bool| {
        // Notified again and again, as by the sweep of each second.
        numbers.iter().for_each(|number| pending.notify(1, *number));
        inbox.drain_notifier();
        std::iter::from_fn(|| inbox.take(is_served, |_| ()))
            .map(|answered| answered.number)
            .collect::<Vec<_>>()
    };
    let of = |first: usize| numbers.iter().copied().skip(first).step_by(2).collect::<Vec<_>>();
    assert_eq!(taken(|address| address != b"slow"), of(1));
    assert!(taken(|address| address != b"slow").is_empty());
    assert_eq!(taken(|_| true), of(0));
    assert!(inbox.is_empty() && pending.count() == 0);
}

#[test]
fn a_stopping_server_answers_all_pending_requests_and_refuses_new_ones() {
    let pending = pending(60);
    let (first, second) = (pending.add(&NEW).unwrap(), pending.add(&NEW).unwrap());
    pending.add(&NewPending { slot: None, ..NEW }).unwrap();
    pending.answer(first, b"in time", b"").unwrap();
    assert_eq!((pending.stop(b"the end"), pending.stop(b"the end")), (2, 0));
    assert_eq!((pending.add(&NEW), pending.count()), (Err(NewPendingError::Stopping), 2));
    assert_eq!(pending.answer(second, b"too late", b""), Err(NotPending));
    let mut inbox = ReplyInbox::new(pending, 1);
    let answers: Vec<_> =
        std::iter::from_fn(|| inbox.take(|_| true, |_| ())).map(|answered| answered.answer).collect();
    assert_eq!(answers, [&b"in time"[..], b"the end"]);
}

#[test]
fn truncated_or_foreign_bytes_decode_to_no_row() {
    let row = PendingRow::waiting(3, &NEW, 5).to_bytes();
    assert_eq!(PendingRow::read(&row), Some(PendingRow::waiting(3, &NEW, 5)));
    for length in 0..row.len() - row::RESERVED_ANSWER_BYTES {
        assert_eq!(PendingRow::read(&row[..length]), None, "{length}");
    }
    assert_eq!(PendingRow::read(&[9; 100]), None);
}
