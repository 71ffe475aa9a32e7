//! Encodes the subscriptions of one event as the bytes of a table entry, the newest subscription first.
//!
//! Pure: bytes in, bytes out. C: `evi_subs_t` in event_interface.h, and the list in `evi_event_subscribe`.
//!
//! ```text
//! generation u8   expire u32   expires_at u64   socket length u16   address length u16   socket   address
//! ```

use crate::mi::Generation;

/// The most subscribers of one event. A list is copied completely whenever it is read or changed.
pub(super) const MAX_SUBSCRIBERS: usize = 1000;

/// Bytes of an encoded subscription besides socket and address.
const HEAD_BYTES: usize = 17;

/// One subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The socket as it is listed: `udp:127.0.0.1:9999`.
    pub socket: &'a [u8],
    /// The address as its transport encodes it.
    pub address: &'a [u8],
    /// The lifetime in seconds, as the subscriber gave it; 0 ends the subscription.
    pub expire: u32,
    /// When it expires, in seconds of the segment's clock.
    pub expires_at: u64,
    /// The form of the messages: that of the protocol over which it was made.
    pub generation: Generation,
}

impl<'a> Subscription<'a> {
    /// A subscription that begins at `now`.
    ///
    /// It lasts through its last second, as in C. With a lifetime of 0 it gets no event, and lists still show
    /// it for a second or two, where C shows it until the next event.
    pub(super) fn new(socket: &'a [u8], address: &'a [u8], expire: u32, now: u64) -> Subscription<'a> {
        let expires_at = now + u64::from(expire.max(1)) + 1;
        Subscription { socket, address, expire, expires_at, generation: Generation::Classic }
    }

    /// Whether it gets events.
    pub(super) fn is_active(&self) -> bool {
        self.expire > 0
    }

    /// Decodes the first subscription of a list and advances the list. `None` at the end and for malformed
    /// bytes.
    fn decode_first(list: &mut &'a [u8]) -> Option<Subscription<'a>> {
        let generation = match list.split_off_first()? {
            0 => Generation::Classic,
            _ => Generation::JsonRpc,
        };
        let expire = u32::from_le_bytes(*list.split_off(..4)?.as_array()?);
        let expires_at = u64::from_le_bytes(*list.split_off(..8)?.as_array()?);
        let socket = u16::from_le_bytes(*list.split_off(..2)?.as_array()?);
        let address = u16::from_le_bytes(*list.split_off(..2)?.as_array()?);
        let socket = list.split_off(..usize::from(socket))?;
        let address = list.split_off(..usize::from(address))?;
        Some(Subscription { socket, address, expire, expires_at, generation })
    }

    /// Appends it to a list. False when socket or address is longer than 65 535 bytes.
    fn encode(&self, list: &mut Vec<u8>) -> bool {
        let (Ok(socket), Ok(address)) = (u16::try_from(self.socket.len()), u16::try_from(self.address.len()))
        else {
            return false;
        };
        list.push(u8::from(self.generation == Generation::JsonRpc));
        list.extend_from_slice(&self.expire.to_le_bytes());
        list.extend_from_slice(&self.expires_at.to_le_bytes());
        list.extend_from_slice(&socket.to_le_bytes());
        list.extend_from_slice(&address.to_le_bytes());
        list.extend_from_slice(self.socket);
        list.extend_from_slice(self.address);
        true
    }

    /// Its length in a list, in bytes.
    pub(super) fn encoded_bytes(&self) -> usize {
        HEAD_BYTES + self.socket.len() + self.address.len()
    }
}

/// The subscriptions of a list that have not expired by `now`.
pub(super) fn iter(mut list: &[u8], now: u64) -> impl Iterator<Item = Subscription<'_>> {
    std::iter::from_fn(move || Subscription::decode_first(&mut list))
        .filter(move |subscription| subscription.expires_at > now)
}

/// Writes `list` with `new` into `changed`, without the expired subscriptions. `new` replaces a subscription
/// of the same socket in its position; otherwise it goes first. Returns when the last subscription expires;
/// `None` when there are too many.
pub(super) fn put(list: &[u8], new: &Subscription<'_>, now: u64, changed: &mut Vec<u8>) -> Option<u64> {
    changed.clear();
    let replaces = iter(list, now).any(|subscription| subscription.socket == new.socket);
    let mut fits = replaces || new.encode(changed);
    let (mut count, mut last_expiry) = (1, new.expires_at);
    for subscription in iter(list, now) {
        let kept = if subscription.socket == new.socket { new } else { &subscription };
        fits &= kept.encode(changed);
        count += usize::from(subscription.socket != new.socket);
        last_expiry = last_expiry.max(kept.expires_at);
    }
    (fits && count <= MAX_SUBSCRIBERS).then_some(last_expiry)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sockets(list: &[u8], now: u64) -> Vec<(&[u8], u32)> {
        iter(list, now).map(|subscription| (subscription.socket, subscription.expire)).collect()
    }

    fn added(list: &[u8], socket: &str, expire: u32, now: u64) -> (Vec<u8>, u64) {
        let mut changed = Vec::new();
        let expiry = put(list, &Subscription::new(socket.as_bytes(), b"A", expire, now), now, &mut changed);
        (changed, expiry.unwrap())
    }

    #[test]
    fn a_new_subscription_comes_first_and_a_renewed_one_keeps_its_position() {
        let (list, _) = added(b"", "a", 50, 100);
        let (list, _) = added(&list, "b", 60, 100);
        assert_eq!(sockets(&list, 100), [(&b"b"[..], 60), (b"a", 50)]);
        let (list, expiry) = added(&list, "a", 10, 100);
        assert_eq!(sockets(&list, 100), [(&b"b"[..], 60), (b"a", 10)]);
        assert_eq!(expiry, 161, "that of b");
    }

    #[test]
    fn an_expired_subscription_is_gone_and_comes_first_when_renewed() {
        let (list, _) = added(b"", "a", 5, 100);
        let (list, _) = added(&list, "b", 60, 100);
        assert_eq!(sockets(&list, 105).len(), 2, "through its last second");
        assert_eq!(sockets(&list, 106), [(&b"b"[..], 60)]);
        let (list, _) = added(&list, "a", 7, 106);
        assert_eq!(sockets(&list, 106), [(&b"a"[..], 7), (b"b", 60)]);
    }

    #[test]
    fn a_lifetime_of_0_ends_a_subscription_within_two_seconds() {
        let (list, _) = added(b"", "a", 0, 100);
        let subscription = iter(&list, 100).next().unwrap();
        assert!(!subscription.is_active() && subscription.expire == 0);
        assert_eq!(iter(&list, 102).count(), 0);
    }

    #[test]
    fn a_full_list_takes_no_new_subscription_and_renews_old_ones() {
        let mut list = Vec::new();
        for number in 0..MAX_SUBSCRIBERS {
            (list, _) = added(&list, &number.to_string(), 9, 100);
        }
        let more = Subscription::new(b"more", b"A", 9, 100);
        assert_eq!(put(&list, &more, 100, &mut Vec::new()), None);
        let renewed = Subscription::new(b"7", b"A", 9, 100);
        assert_eq!(put(&list, &renewed, 100, &mut Vec::new()), Some(110));
        assert_eq!(put(&list, &more, 110, &mut Vec::new()), Some(110), "the others have expired");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read: usize = iter(&bytes, 0).map(|subscription| subscription.encoded_bytes()).sum();
            prop_assert!(read <= bytes.len());
        }

        #[test]
        fn an_encoded_subscription_is_decoded_unchanged(
            socket in proptest::collection::vec(any::<u8>(), 0..300),
            address in proptest::collection::vec(any::<u8>(), 0..130),
            expire in 1_u32..,
        ) {
            let generation = if expire % 2 == 0 { Generation::Classic } else { Generation::JsonRpc };
            let new = Subscription { generation, ..Subscription::new(&socket, &address, expire, 7) };
            let mut list = Vec::new();
            prop_assert!(put(b"", &new, 7, &mut list).is_some());
            prop_assert_eq!(iter(&list, 7).collect::<Vec<_>>(), [new]);
            prop_assert_eq!(list.len(), new.encoded_bytes());
        }
    }
}
