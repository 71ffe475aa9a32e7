//! Copies of entries, made while a lock is held: in room that was made before, as an allocation may be a system call.
//!
//! Whoever copies is told how much room it takes when there is too little, gives the lock back, makes room, and tries
//! again.

use super::Entry;

/// Room that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// What lies beside an entry's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) key_length: usize,
    pub(super) value_length: usize,
    pub(super) expires: u64,
    pub(super) weight: u32,
}

/// Some entries, the bytes of all one after the other.
#[derive(Debug, Default)]
pub(super) struct Copies {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

impl Copies {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// Whether so much fits into an empty one without an allocation.
    pub(super) fn fits(&self, room: Room) -> bool {
        room.bytes <= self.bytes.capacity() && room.entries <= self.rows.capacity()
    }

    /// Makes room, and forgets what it holds. Not under a lock.
    pub(super) fn make(&mut self, room: Room) {
        self.clear();
        self.bytes.reserve(room.bytes);
        self.rows.reserve(room.entries);
    }

    /// Adds an entry that fits; `copy` appends the bytes of its key and value.
    pub(super) fn push(&mut self, row: Row, copy: impl FnOnce(&mut Vec<u8>)) {
        copy(&mut self.bytes);
        self.rows.push(row);
    }

    /// The entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let mut rest = &self.bytes[..];
        self.rows.iter().map(move |row| {
            let (key, after) = rest.split_at(row.key_length);
            let (value, after) = after.split_at(row.value_length);
            rest = after;
            Entry { key: key.to_vec(), value: value.to_vec(), expires: row.expires, weight: row.weight }
        })
    }
}
