//! Replies that one process is to hand over later, so that its successor does it when that process is killed.
//!
//! Slots in shared memory with one writer at a time. Bytes are copied into a free slot, and one store says that they are
//! there; one store frees it. Whatever lies in a free slot is of no meaning, so a kill at any moment leaves a parcel or
//! none. A mark says that a parcel is just being sent: nobody knows whether one that was marked has left, so a successor
//! drops it, and no reply is sent twice.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::region::Region;

/// Bytes of a slot's word: 0 when it is free, else the order, shifted by [`LENGTH_BITS`] and one more, [`IN_FLIGHT`], and
/// the length. The words of all slots come first, so that a look at them touches no page of the bytes.
const WORD_BYTES: usize = 8;
/// Bits of a length.
const LENGTH_BITS: u32 = 24;
/// The parcel is just being sent.
const IN_FLIGHT: u64 = 1 << LENGTH_BITS;

/// The slots.
#[derive(Debug)]
pub struct Parcels {
    region: Region,
    slots: usize,
    /// Most that one holds, in bytes.
    room: usize,
}

/// A parcel. Its slot is free as soon as this value goes.
#[derive(Debug)]
pub struct Parcel<'a> {
    parcels: &'a Parcels,
    slot: usize,
}

impl Parcel<'_> {
    /// Notes whether it is just being sent.
    pub fn set_in_flight(&self, is_in_flight: bool) {
        let word = self.parcels.word(self.slot);
        let rest = word.load(Ordering::Relaxed) & !IN_FLIGHT;
        word.store(if is_in_flight { rest | IN_FLIGHT } else { rest }, Ordering::Release);
    }
}

impl Parcels {
    /// So many slots for at most so many bytes each, fewer than 16 MiB.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn create(slots: usize, room: usize) -> io::Result<Parcels> {
        let room = room.min((1 << LENGTH_BITS) - 1).next_multiple_of(8);
        Ok(Parcels { region: Region::anonymous(slots * (WORD_BYTES + room))?, slots, room })
    }

    /// Keeps what `parts` are together. `None` when there is no room for it. `order`, from 1 up, tells a successor what
    /// came first.
    pub fn keep(&self, order: u64, parts: &[&[u8]]) -> Option<Parcel<'_>> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > self.room || length >= 1 << LENGTH_BITS {
            return None;
        }
        let slot = (0..self.slots).find(|&slot| self.word(slot).load(Ordering::Relaxed) == 0)?;
        let mut at = self.offset(slot);
        for part in parts {
            self.region.copy_in(at, part);
            at += part.len();
        }
        self.word(slot).store(order << (LENGTH_BITS + 1) | length as u64, Ordering::Release);
        Some(Parcel { parcels: self, slot })
    }

    /// What the predecessor has left, with its order, what came first at the front; what it was just sending is dropped. To
    /// be called once by each process that is to keep parcels, before it does.
    #[must_use]
    pub fn take_over(&self) -> Vec<(u64, Parcel<'_>, Vec<u8>)> {
        let mut left = Vec::new();
        for slot in 0..self.slots {
            let word = self.word(slot).load(Ordering::Acquire);
            let length = usize::try_from(word & ((1 << LENGTH_BITS) - 1)).unwrap_or(0).min(self.room);
            let parcel = Parcel { parcels: self, slot };
            if word & IN_FLIGHT != 0 {
                log::warn!("a reply may be lost: its process was killed while it sent it");
            } else if word != 0 {
                let mut bytes = Vec::new();
                self.region.copy_out(self.offset(slot), length, &mut bytes);
                left.push((word >> (LENGTH_BITS + 1), parcel, bytes));
            }
        }
        left.sort_by_key(|(order, ..)| *order);
        left
    }

    fn offset(&self, slot: usize) -> usize {
        self.slots * WORD_BYTES + slot * self.room
    }

    fn word(&self, slot: usize) -> &AtomicU64 {
        self.region.wide(slot * WORD_BYTES)
    }
}

impl Drop for Parcel<'_> {
    fn drop(&mut self) {
        self.parcels.word(self.slot).store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_finds_what_was_not_handed_over_in_order() {
        let parcels = Parcels::create(3, 20).unwrap();
        let first = parcels.keep(7, &[b"one ", b"two"]);
        let second = parcels.keep(8, &[b""]);
        let third = parcels.keep(9, &[b"third"]);
        assert!(first.is_some() && second.is_some() && third.is_some());
        assert!(parcels.keep(10, &[b"no slot"]).is_none());
        drop(first);
        let fourth = parcels.keep(10, &[&[b'x'; 20]]);
        assert!(parcels.keep(11, &[&[b'x'; 25]]).is_none());
        // As if their process had been killed.
        [second, third, fourth].into_iter().for_each(std::mem::forget);
        let left = parcels.take_over();
        let found: Vec<(u64, &[u8])> = left.iter().map(|(order, _, bytes)| (*order, &bytes[..])).collect();
        assert_eq!(found, [(8, &b""[..]), (9, b"third"), (10, &[b'x'; 20])]);
        drop(left);
        assert!(parcels.take_over().is_empty());
    }

    #[test]
    fn what_was_just_being_sent_is_sent_by_nobody_again() {
        let parcels = Parcels::create(2, 20).unwrap();
        let tried = parcels.keep(1, &[b"tried"]).unwrap();
        tried.set_in_flight(true);
        tried.set_in_flight(false);
        let sent = parcels.keep(2, &[b"sent"]).unwrap();
        sent.set_in_flight(true);
        [tried, sent].into_iter().for_each(std::mem::forget);
        let left: Vec<_> = parcels.take_over().into_iter().map(|(order, _, bytes)| (order, bytes)).collect();
        assert_eq!(left, [(1, b"tried".to_vec())]);
        assert!(parcels.take_over().is_empty());
    }
}
