//! Who wants to hear of one event, as it lies in the keyed table: a list of subscriptions, the newest first.
//!
//! Pure: bytes in, bytes out. C: `evi_subs_t` in event_interface.h, and the list in `evi_event_subscribe`.
//!
//! ```text
//! form u8   expire u32   until u64   socket length u16   address length u16   socket   address
//! ```

use crate::mi::Generation;

/// Subscribers that one event has at most: a list is copied whole when it is read or changed.
pub(super) const MAX_SUBSCRIBERS: usize = 1000;

/// Bytes of a subscription besides socket and address.
const HEAD_BYTES: usize = 17;

/// One subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Where to, as lists show it: `udp:127.0.0.1:9999`.
    pub socket: &'a [u8],
    /// Where to, as the transport wants it.
    pub address: &'a [u8],
    /// Seconds that were asked for; 0 ends it.
    pub expire: u32,
    /// When it is gone, by the segment's clock.
    pub until: u64,
    /// In what form the subscriber gets events: in that in which it subscribed.
    pub generation: Generation,
}

impl<'a> Subscription<'a> {
    /// A subscription of now.
    ///
    /// It lasts through its last second, as C's does. One for no time at all is the way to end it: no event
    /// goes there any more, and the list shows it for a second or two, where C shows it until the next event.
    pub(super) fn new(socket: &'a [u8], address: &'a [u8], expire: u32, now: u64) -> Subscription<'a> {
        let until = now + u64::from(expire.max(1)) + 1;
        Subscription { socket, address, expire, until, generation: Generation::Classic }
    }

    /// Whether events go there.
    pub(super) fn is_awake(&self) -> bool {
        self.expire > 0
    }

    /// Takes one off the front of a list. `None` at its end, and when what is there is not a subscription.
    fn take(list: &mut &'a [u8]) -> Option<Subscription<'a>> {
        let generation = match list.split_off_first()? {
            0 => Generation::Classic,
            _ => Generation::JsonRpc,
        };
        let expire = u32::from_le_bytes(*list.split_off(..4)?.as_array()?);
        let until = u64::from_le_bytes(*list.split_off(..8)?.as_array()?);
        let socket = u16::from_le_bytes(*list.split_off(..2)?.as_array()?);
        let address = u16::from_le_bytes(*list.split_off(..2)?.as_array()?);
        let socket = list.split_off(..usize::from(socket))?;
        let address = list.split_off(..usize::from(address))?;
        Some(Subscription { socket, address, expire, until, generation })
    }

    /// Adds it to a list. False when it does not fit the form.
    fn write(&self, list: &mut Vec<u8>) -> bool {
        let (Ok(socket), Ok(address)) = (u16::try_from(self.socket.len()), u16::try_from(self.address.len()))
        else {
            return false;
        };
        list.push(u8::from(self.generation == Generation::JsonRpc));
        list.extend_from_slice(&self.expire.to_le_bytes());
        list.extend_from_slice(&self.until.to_le_bytes());
        list.extend_from_slice(&socket.to_le_bytes());
        list.extend_from_slice(&address.to_le_bytes());
        list.extend_from_slice(self.socket);
        list.extend_from_slice(self.address);
        true
    }

    /// Bytes it takes in a list.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.socket.len() + self.address.len()
    }
}

/// The subscriptions of a list that are not over by `now`.
pub(super) fn iter(mut list: &[u8], now: u64) -> impl Iterator<Item = Subscription<'_>> {
    std::iter::from_fn(move || Subscription::take(&mut list)).filter(move |one| one.until > now)
}

/// Writes `list` with `new` into `changed`, and without what is over by `now`. A subscription of the same socket
/// is replaced in its place, else the new one goes first. Gives the time when all of them are over; `None` when
/// there are too many.
pub(super) fn add(list: &[u8], new: &Subscription<'_>, now: u64, changed: &mut Vec<u8>) -> Option<u64> {
    changed.clear();
    let is_known = iter(list, now).any(|one| one.socket == new.socket);
    let mut fits = is_known || new.write(changed);
    let (mut count, mut until) = (1, new.until);
    for one in iter(list, now) {
        let kept = if one.socket == new.socket { new } else { &one };
        fits &= kept.write(changed);
        count += usize::from(one.socket != new.socket);
        until = until.max(kept.until);
    }
    (fits && count <= MAX_SUBSCRIBERS).then_some(until)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sockets(list: &[u8], now: u64) -> Vec<(&[u8], u32)> {
        iter(list, now).map(|one| (one.socket, one.expire)).collect()
    }

    fn added(list: &[u8], socket: &str, expire: u32, now: u64) -> (Vec<u8>, u64) {
        let mut changed = Vec::new();
        let until = add(list, &Subscription::new(socket.as_bytes(), b"A", expire, now), now, &mut changed);
        (changed, until.unwrap())
    }

    #[test]
    fn the_newest_comes_first_and_a_socket_keeps_its_place() {
        let (list, _) = added(b"", "a", 50, 100);
        let (list, _) = added(&list, "b", 60, 100);
        assert_eq!(sockets(&list, 100), [(&b"b"[..], 60), (b"a", 50)]);
        let (list, until) = added(&list, "a", 10, 100);
        assert_eq!(sockets(&list, 100), [(&b"b"[..], 60), (b"a", 10)]);
        assert_eq!(until, 161, "the last one's");
    }

    #[test]
    fn what_is_over_is_gone_and_new_again_when_it_comes_back() {
        let (list, _) = added(b"", "a", 5, 100);
        let (list, _) = added(&list, "b", 60, 100);
        assert_eq!(sockets(&list, 105).len(), 2, "through its last second");
        assert_eq!(sockets(&list, 106), [(&b"b"[..], 60)]);
        let (list, _) = added(&list, "a", 7, 106);
        assert_eq!(sockets(&list, 106), [(&b"a"[..], 7), (b"b", 60)]);
    }

    #[test]
    fn no_time_at_all_ends_it_soon() {
        let (list, _) = added(b"", "a", 0, 100);
        let one = iter(&list, 100).next().unwrap();
        assert!(!one.is_awake() && one.expire == 0);
        assert_eq!(iter(&list, 102).count(), 0);
    }

    #[test]
    fn a_list_has_a_limit_and_replacing_is_possible_at_it() {
        let mut list = Vec::new();
        for number in 0..MAX_SUBSCRIBERS {
            (list, _) = added(&list, &number.to_string(), 9, 100);
        }
        let more = Subscription::new(b"more", b"A", 9, 100);
        assert_eq!(add(&list, &more, 100, &mut Vec::new()), None);
        let known = Subscription::new(b"7", b"A", 9, 100);
        assert_eq!(add(&list, &known, 100, &mut Vec::new()), Some(110));
        assert_eq!(add(&list, &more, 110, &mut Vec::new()), Some(110), "the others are over");
    }

    proptest! {
        #[test]
        fn whatever_lies_there_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read: usize = iter(&bytes, 0).map(|one| one.bytes()).sum();
            prop_assert!(read <= bytes.len());
        }

        #[test]
        fn what_is_written_is_read(
            socket in proptest::collection::vec(any::<u8>(), 0..300),
            address in proptest::collection::vec(any::<u8>(), 0..130),
            expire in 1_u32..,
        ) {
            let generation = if expire % 2 == 0 { Generation::Classic } else { Generation::JsonRpc };
            let new = Subscription { generation, ..Subscription::new(&socket, &address, expire, 7) };
            let mut list = Vec::new();
            prop_assert!(add(b"", &new, 7, &mut list).is_some());
            prop_assert_eq!(iter(&list, 7).collect::<Vec<_>>(), [new]);
            prop_assert_eq!(list.len(), new.bytes());
        }
    }
}
