//! The value of one address of record (AoR) in the keyed table: all its contacts, in their order. Pure.
//!
//! ```text
//! a contact   expires (8)  flags (4)  cflags (4)  methods (4)  length (4)  q (2)  URI
//! ```
//!
//! Numbers are little-endian. What every contact of an MI command has in common, Call-ID, `CSeq` and user agent, is
//! not stored. C: `urecord_t` and `ucontact_t`; `mem_insert_ucontact` in urecord.c, `update_contact_pos` in ucontact.c.

use super::qvalue::Q;
use crate::shm::keyed::NEVER;

/// Bytes of a contact before its URI.
const HEAD_BYTES: usize = 26;

/// One contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contact<'a> {
    /// Its URI, by which it is told from the AoR's others.
    pub(super) uri: &'a [u8],
    /// When it expires, by the segment's clock in seconds; [`NEVER`] for a permanent one.
    pub(super) expires: u64,
    /// How much it is preferred.
    pub(super) q: Q,
    /// Flags of the module.
    pub(super) flags: u32,
    /// Flags of the routing script.
    pub(super) cflags: u32,
    /// SIP methods it takes, a bit each.
    pub(super) methods: u32,
}

impl Contact<'_> {
    /// Whether it has expired. C: `VALID_CONTACT`.
    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires != NEVER && self.expires <= now
    }
}

/// How the contacts of an AoR are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest q first, the older one first among equals.
    ByQ,
    /// The one added or changed last first.
    NewestFirst,
}

/// What a table needs to know of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// How many contacts it has.
    pub(super) contacts: u32,
    /// When the last of them expires; [`NEVER`] when one does not.
    pub(super) expires: u64,
}

/// The contacts of a record. Bytes that are no contact end it.
pub(super) fn contacts(record: &[u8]) -> impl Iterator<Item = Contact<'_>> + Clone {
    let mut rest = record;
    std::iter::from_fn(move || {
        let contact;
        (contact, rest) = decode(rest)?;
        Some(contact)
    })
}

fn decode(bytes: &[u8]) -> Option<(Contact<'_>, &[u8])> {
    let (expires, bytes) = bytes.split_first_chunk()?;
    let (flags, bytes) = bytes.split_first_chunk()?;
    let (cflags, bytes) = bytes.split_first_chunk()?;
    let (methods, bytes) = bytes.split_first_chunk()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let (q, bytes) = bytes.split_first_chunk()?;
    let (uri, bytes) = bytes.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let contact = Contact {
        uri,
        expires: u64::from_le_bytes(*expires),
        q: Q::from_thousandths(u16::from_le_bytes(*q)),
        flags: u32::from_le_bytes(*flags),
        cflags: u32::from_le_bytes(*cflags),
        methods: u32::from_le_bytes(*methods),
    };
    Some((contact, bytes))
}

/// Writes a contact behind others. One whose URI is longer than its length can say is left out.
fn encode(contact: &Contact<'_>, record: &mut Vec<u8>) {
    let Ok(length) = u32::try_from(contact.uri.len()) else { return };
    record.extend_from_slice(&contact.expires.to_le_bytes());
    for number in [contact.flags, contact.cflags, contact.methods, length] {
        record.extend_from_slice(&number.to_le_bytes());
    }
    record.extend_from_slice(&contact.q.thousandths().to_le_bytes());
    record.extend_from_slice(contact.uri);
}

/// Bytes that a record will have with a contact added or changed.
pub(super) fn bytes_with(record: &[u8], contact: &Contact<'_>) -> usize {
    let is_there = contacts(record).any(|old| old.uri == contact.uri);
    record.len() + if is_there { 0 } else { HEAD_BYTES + contact.uri.len() }
}

/// How many contacts a record has, and when it expires.
pub(super) fn summary(record: &[u8]) -> Summary {
    let mut summary = Summary { contacts: 0, expires: 0 };
    let mut is_permanent = false;
    for contact in contacts(record) {
        summary.contacts += 1;
        is_permanent |= contact.expires == NEVER;
        summary.expires = summary.expires.max(contact.expires);
    }
    if is_permanent {
        summary.expires = NEVER;
    }
    summary
}

/// Writes `record` with a contact added, or changed when its URI is there already.
///
/// Differs: when a changed q puts a contact out of order, C moves it as if the lowest came first; here it goes where
/// a new one would.
pub(super) fn add(record: &[u8], contact: &Contact<'_>, order: Order, changed: &mut Vec<u8>) {
    changed.clear();
    let old = contacts(record).position(|old| old.uri == contact.uri);
    let stays = order == Order::ByQ && old.is_some_and(|old| fits(record, old, contact.q));
    let mut is_written = order == Order::NewestFirst;
    if is_written {
        encode(contact, changed);
    }
    for (place, other) in contacts(record).enumerate() {
        let is_old = old == Some(place);
        let is_here = if stays { is_old } else { !is_old && other.q < contact.q };
        if is_here && !is_written {
            encode(contact, changed);
            is_written = true;
        }
        if !is_old {
            encode(&other, changed);
        }
    }
    if !is_written {
        encode(contact, changed);
    }
}

/// Whether the contact at a place could have this q and be in order.
fn fits(record: &[u8], place: usize, q: Q) -> bool {
    let at = |place: usize| contacts(record).nth(place);
    let before = place.checked_sub(1).and_then(at);
    before.is_none_or(|before| before.q >= q) && at(place + 1).is_none_or(|after| after.q <= q)
}

/// Writes the contacts of `record` that are to be kept. Returns how many were not.
pub(super) fn retain(record: &[u8], keep: impl Fn(&Contact<'_>) -> bool, changed: &mut Vec<u8>) -> u64 {
    changed.clear();
    let mut dropped = 0;
    for contact in contacts(record) {
        if keep(&contact) {
            encode(&contact, changed);
        } else {
            dropped += 1;
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contact<'a>(uri: &'a str, q: &str) -> Contact<'a> {
        let q = Q::parse(q.as_bytes()).unwrap();
        Contact { uri: uri.as_bytes(), expires: 7, q, flags: 0, cflags: 0, methods: 0 }
    }

    /// The URIs of a record that got these contacts one after the other.
    fn order_of(added: &[(&str, &str)], order: Order) -> String {
        let (mut record, mut changed) = (Vec::new(), Vec::new());
        for (uri, q) in added {
            add(&record, &contact(uri, q), order, &mut changed);
            std::mem::swap(&mut record, &mut changed);
        }
        contacts(&record).map(|contact| char::from(contact.uri[0])).collect()
    }

    #[test]
    fn the_highest_q_comes_first_and_equals_in_their_order() {
        assert_eq!(order_of(&[("a", "0.5"), ("b", "1"), ("c", "0.5"), ("d", "0.1")], Order::ByQ), "bacd");
        // Changed without being out of order: it stays, also among equals.
        assert_eq!(order_of(&[("a", "0.5"), ("b", "0.5"), ("c", "0.5"), ("a", "0.5")], Order::ByQ), "abc");
        assert_eq!(order_of(&[("a", "0.9"), ("b", "0.5"), ("c", "0.1"), ("b", "0.1")], Order::ByQ), "abc");
        // Changed and out of order: it goes where a new one would.
        assert_eq!(order_of(&[("a", "0.9"), ("b", "0.5"), ("c", "0.1"), ("a", "0.3")], Order::ByQ), "bac");
        assert_eq!(order_of(&[("a", "0.9"), ("b", "0.5"), ("c", "0.1"), ("c", "1")], Order::ByQ), "cab");
        assert_eq!(order_of(&[("a", "0.9"), ("b", "0.5"), ("c", "0.1"), ("a", "0")], Order::ByQ), "bca");
    }

    #[test]
    fn the_newest_comes_first_whatever_its_q() {
        assert_eq!(order_of(&[("a", "1"), ("b", "0"), ("c", "0.5")], Order::NewestFirst), "cba");
        assert_eq!(order_of(&[("a", "1"), ("b", "0"), ("c", "0.5"), ("a", "1")], Order::NewestFirst), "acb");
    }

    #[test]
    fn a_record_lives_as_long_as_its_last_contact() {
        let (mut record, mut changed) = (Vec::new(), Vec::new());
        assert_eq!(summary(&record).contacts, 0);
        for (uri, expires, wanted) in
            [("a", 5, 5), ("b", 9, 9), ("c", 7, 9), ("b", 6, 7), ("d", NEVER, NEVER)]
        {
            add(&record, &Contact { expires, ..contact(uri, "1") }, Order::ByQ, &mut changed);
            std::mem::swap(&mut record, &mut changed);
            assert_eq!(summary(&record).expires, wanted);
        }
        assert_eq!(summary(&record).contacts, 4);
        assert_eq!(retain(&record, |contact| !contact.is_expired(6), &mut changed), 2);
        assert_eq!(summary(&changed), Summary { contacts: 2, expires: NEVER });
        assert_eq!(retain(&changed, |contact| contact.uri != b"d", &mut record), 1);
        assert_eq!(summary(&record), Summary { contacts: 1, expires: 7 });
    }

    #[test]
    fn bytes_that_are_no_contact_end_a_record() {
        let mut record = Vec::new();
        add(&[], &contact("sip:a", "1"), Order::ByQ, &mut record);
        let whole = record.clone();
        record.extend_from_slice(&[0xff; HEAD_BYTES + 3]);
        assert_eq!(contacts(&record).count(), 1);
        for end in 0..whole.len() {
            assert_eq!(contacts(&whole[..end]).count(), 0, "{end}");
        }
    }

    proptest! {
        #[test]
        fn what_is_added_is_found_again(
            added in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..40), any::<u64>(), 0..=1000_u16, any::<[u32; 3]>()),
                0..12,
            ),
            newest_first in any::<bool>(),
        ) {
            let order = if newest_first { Order::NewestFirst } else { Order::ByQ };
            let (mut record, mut changed) = (Vec::new(), Vec::new());
            let mut wanted = std::collections::BTreeMap::new();
            for (uri, expires, q, [flags, cflags, methods]) in &added {
                let q = Q::from_thousandths(*q);
                let contact = Contact { uri, expires: *expires, q, flags: *flags, cflags: *cflags, methods: *methods };
                wanted.insert(&uri[..], contact);
                let bytes = bytes_with(&record, &contact);
                add(&record, &contact, order, &mut changed);
                std::mem::swap(&mut record, &mut changed);
                prop_assert_eq!(record.len(), bytes);
                if newest_first {
                    prop_assert_eq!(contacts(&record).next(), Some(contact));
                } else {
                    prop_assert!(contacts(&record).map(|contact| contact.q).is_sorted_by(|a, b| a >= b));
                }
            }
            let found: std::collections::BTreeMap<_, _> =
                contacts(&record).map(|contact| (contact.uri, contact)).collect();
            prop_assert_eq!(contacts(&record).count(), wanted.len());
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let count = contacts(&bytes).count();
            prop_assert!(count * HEAD_BYTES <= bytes.len());
            prop_assert_eq!(usize::try_from(summary(&bytes).contacts).unwrap(), count);
        }
    }
}
