//! For which subscribers events wait in which process, and since which one: so that an event of another process does not
//! overtake them.
//!
//! Each process has a row that it alone writes: a table of the sockets, by hash, with the order number of the oldest
//! event that waits for each. A row counts as long as it bears the number of the process that is in its slot, so what a
//! killed process leaves there is nobody's obstacle.

use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Segment;
use super::region::Region;

/// Entries of a row.
const ENTRIES: u64 = 1024;

/// Where an entry may lie, from the place that its hash says. One that finds no room is not known to others, and may be
/// overtaken.
const PROBES: u64 = 4;

/// Bytes of an entry: a hash, 0 for none, and an order number.
const ENTRY_BYTES: usize = 16;

/// Bytes of a row's head: the process, and how many entries are in use.
const HEAD_BYTES: usize = 16;

/// Where the heads begin; before them stands the last order number.
const HEADS: usize = 64;

/// The rows of all processes.
#[derive(Debug)]
pub(super) struct Backlogs {
    region: Region,
    processes: usize,
}

/// The row of one process.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    segment: &'static Segment,
    slot: usize,
}

/// A socket, by the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketHash(u64);

impl SocketHash {
    /// That of a name; the same in all processes.
    #[must_use]
    pub fn of(name: &[u8]) -> SocketHash {
        let mut hasher = DefaultHasher::new();
        hasher.write(name);
        SocketHash(hasher.finish().max(1))
    }
}

impl Backlogs {
    pub(super) fn create(processes: usize) -> io::Result<Backlogs> {
        let row = usize::try_from(ENTRIES).unwrap_or(0) * ENTRY_BYTES;
        let bytes = HEADS + (processes * HEAD_BYTES).next_multiple_of(64) + processes * row;
        Ok(Backlogs { region: Region::anonymous(bytes)?, processes })
    }

    /// The number of the process that a row is of.
    fn process(&self, slot: usize) -> &AtomicU64 {
        self.region.wide(HEADS + slot * HEAD_BYTES)
    }

    /// How many entries of a row are in use.
    fn used(&self, slot: usize) -> &AtomicU64 {
        self.region.wide(HEADS + slot * HEAD_BYTES + 8)
    }

    /// The places where an entry may lie: hash and order.
    fn places(&self, slot: usize, hash: SocketHash) -> impl Iterator<Item = (&AtomicU64, &AtomicU64)> {
        let heads = (self.processes * HEAD_BYTES).next_multiple_of(64);
        (0..PROBES).map(move |probe| {
            let index = slot as u64 * ENTRIES + hash.0.wrapping_add(probe) % ENTRIES;
            let at = HEADS + heads + usize::try_from(index).unwrap_or(0) * ENTRY_BYTES;
            (self.region.wide(at), self.region.wide(at + 8))
        })
    }

    fn find(&self, slot: usize, hash: SocketHash) -> Option<(&AtomicU64, &AtomicU64)> {
        self.places(slot, hash).find(|(found, _)| found.load(Ordering::Acquire) == hash.0)
    }
}

impl Backlog {
    /// The empty row of the process in a slot.
    #[must_use]
    pub fn begin(segment: &'static Segment, slot: usize) -> Backlog {
        let rows = &segment.backlogs;
        rows.process(slot).store(0, Ordering::Release);
        rows.used(slot).store(0, Ordering::Release);
        for hash in (0..ENTRIES).step_by(usize::try_from(PROBES).unwrap_or(1)) {
            rows.places(slot, SocketHash(hash)).for_each(|(hash, _)| hash.store(0, Ordering::Release));
        }
        rows.process(slot).store(pid(segment, slot), Ordering::Release);
        Backlog { segment, slot }
    }

    /// The order number of an event that begins to wait.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.segment.backlogs.region.wide(0).fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Says which the oldest event is that waits for a socket.
    pub fn set(&self, socket: SocketHash, order: u64) {
        let rows = &self.segment.backlogs;
        if let Some((_, oldest)) = rows.find(self.slot, socket) {
            return oldest.store(order, Ordering::Release);
        }
        let free = rows.places(self.slot, socket).find(|(hash, _)| hash.load(Ordering::Relaxed) == 0);
        if let Some((hash, oldest)) = free {
            oldest.store(order, Ordering::Release);
            hash.store(socket.0, Ordering::Release);
            rows.used(self.slot).fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Says that none waits for it any more.
    pub fn clear(&self, socket: SocketHash) {
        let rows = &self.segment.backlogs;
        if let Some((hash, _)) = rows.find(self.slot, socket) {
            hash.store(0, Ordering::Release);
            rows.used(self.slot).fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether events wait in another process at all.
    #[must_use]
    pub fn any_elsewhere(&self) -> bool {
        self.others().next().is_some()
    }

    /// The oldest event that waits for a socket in another process.
    #[must_use]
    pub fn oldest_elsewhere(&self, socket: SocketHash) -> Option<u64> {
        let rows = &self.segment.backlogs;
        let oldest = |slot| rows.find(slot, socket).map(|(_, oldest)| oldest.load(Ordering::Acquire));
        self.others().filter_map(oldest).min()
    }

    /// The slots of other processes in which events wait.
    fn others(&self) -> impl Iterator<Item = usize> {
        let rows = &self.segment.backlogs;
        (0..rows.processes).filter(move |&slot| {
            slot != self.slot
                && rows.used(slot).load(Ordering::Acquire) > 0
                && rows.process(slot).load(Ordering::Acquire) == pid(self.segment, slot)
        })
    }
}

fn pid(segment: &Segment, slot: usize) -> u64 {
    segment.slots().get(slot).and_then(|slot| u64::try_from(slot.pid()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::MIN_BYTES;
    use crate::system::process::ProcessId;

    fn segment() -> &'static Segment {
        let segment = Segment::create(MIN_BYTES, 3, 0).unwrap();
        segment.slots().iter().for_each(|slot| slot.occupy(ProcessId::own()));
        segment
    }

    #[test]
    fn a_process_sees_what_waits_in_others_and_not_what_waits_in_a_dead_one() {
        let segment = segment();
        let [one, two] = [1, 2].map(|slot| Backlog::begin(segment, slot));
        let sockets: Vec<SocketHash> = (0..200_u32).map(|n| SocketHash::of(&n.to_le_bytes())).collect();
        assert!(!two.any_elsewhere());
        let orders: Vec<u64> = sockets.iter().map(|_| one.next()).collect();
        for (socket, order) in sockets.iter().zip(&orders) {
            one.set(*socket, order + 1000);
            one.set(*socket, *order);
        }
        assert!(two.any_elsewhere() && !one.any_elsewhere());
        for (socket, order) in sockets.iter().zip(&orders) {
            assert_eq!((two.oldest_elsewhere(*socket), one.oldest_elsewhere(*socket)), (Some(*order), None));
        }
        sockets[1..].iter().for_each(|socket| one.clear(*socket));
        assert_eq!((two.oldest_elsewhere(sockets[0]), two.oldest_elsewhere(sockets[1])), (Some(1), None));
        segment.slots()[1].vacate();
        assert_eq!((two.oldest_elsewhere(sockets[0]), two.any_elsewhere()), (None, false));
        segment.slots()[1].occupy(ProcessId::own());
        let _successor = Backlog::begin(segment, 1);
        assert_eq!(two.oldest_elsewhere(sockets[0]), None);
    }

    #[test]
    fn what_finds_no_room_is_forgotten() {
        let backlog = Backlog::begin(segment(), 1);
        let sockets = (0..2 * PROBES).map(|n| SocketHash(1 + n * ENTRIES));
        sockets.clone().for_each(|socket| backlog.set(socket, 7));
        let other = Backlog::begin(backlog.segment, 2);
        assert_eq!(sockets.clone().filter(|socket| other.oldest_elsewhere(*socket).is_some()).count(), 4);
        sockets.for_each(|socket| backlog.clear(socket));
        assert!(!other.any_elsewhere());
    }
}
