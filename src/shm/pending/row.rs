//! What a row holds, in bytes. It is read as input is: a process may have died anywhere.

use super::{Asked, Unsent};

/// The slot of rows that nobody waits for.
pub(super) const NOBODY: u32 = u32::MAX;

/// Room that a waiting row keeps for a short answer, in bytes: when there is no memory for the one that comes, there is
/// for another.
pub const ROOM_BYTES: usize = 128;

/// The first byte of a row.
const WAITING: u8 = 1;
/// The first byte of a row.
const ANSWERED: u8 = 2;

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) number: u64,
    pub(super) slot: u32,
    /// By the segment's clock, in seconds. Of an answer: when it is given up.
    pub(super) deadline: u64,
    pub(super) command: &'a [u8],
    pub(super) address: &'a [u8],
    pub(super) form: &'a [u8],
    pub(super) answer: Option<&'a [u8]>,
}

/// An answer that is to be sent.
#[derive(Debug)]
pub struct Due {
    /// The row's number.
    pub number: u64,
    /// The command.
    pub command: Vec<u8>,
    /// How the caller is found.
    pub address: Vec<u8>,
    /// What else the reply needs, by what is spoken.
    pub form: Vec<u8>,
    /// The answer.
    pub answer: Vec<u8>,
    /// Keeps the row until the reply has left.
    pub unsent: Unsent,
}

impl<'a> Row<'a> {
    pub(super) fn waiting(number: u64, asked: &Asked<'a>, deadline: u64) -> Row<'a> {
        Row {
            number,
            slot: asked.slot.and_then(|slot| u32::try_from(slot).ok()).unwrap_or(NOBODY),
            deadline,
            command: asked.command.as_bytes(),
            address: asked.address,
            form: asked.form,
            answer: None,
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![if self.answer.is_some() { ANSWERED } else { WAITING }];
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.slot.to_le_bytes());
        bytes.extend(self.deadline.to_le_bytes());
        for part in [self.command, self.address, self.form] {
            // No request has a part of 4 GiB; one that had would not be read again.
            bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(part);
        }
        bytes.extend(self.answer.unwrap_or(&[0; ROOM_BYTES]));
        bytes
    }

    /// The row in these bytes; `None` when there is none.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Row<'a>> {
        let (is_waiting, number) = state(bytes)?;
        let (slot, rest) = bytes.get(9..)?.split_first_chunk()?;
        let (deadline, mut rest) = rest.split_first_chunk()?;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(part)
        };
        let (command, address, form) = (part()?, part()?, part()?);
        let answer = (!is_waiting).then_some(rest);
        let (slot, deadline) = (u32::from_le_bytes(*slot), u64::from_le_bytes(*deadline));
        Some(Row { number, slot, deadline, command, address, form, answer })
    }

    pub(super) fn due(self, unsent: Unsent) -> Due {
        Due {
            number: self.number,
            command: self.command.to_vec(),
            address: self.address.to_vec(),
            form: self.form.to_vec(),
            answer: self.answer.unwrap_or_default().to_vec(),
            unsent,
        }
    }
}

/// Whether a row waits for its answer, and its number.
pub(super) fn state(bytes: &[u8]) -> Option<(bool, u64)> {
    let (kind, rest) = bytes.split_first()?;
    let number = u64::from_le_bytes(*rest.first_chunk()?);
    matches!(*kind, WAITING | ANSWERED).then_some((*kind == WAITING, number))
}
