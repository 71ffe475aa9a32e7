//! What a row holds, in bytes. It is read as input is: a process may have died anywhere.

use super::Asked;

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
    pub(super) slot: u32,
    /// By the segment's clock, in seconds. Of an answer: when it is given up.
    pub(super) deadline: u64,
    pub(super) command: &'a [u8],
    pub(super) address: &'a [u8],
    pub(super) form: &'a [u8],
    pub(super) answer: Option<&'a [u8]>,
}

/// An answer that is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

impl<'a> Row<'a> {
    pub(super) fn waiting(asked: &Asked<'a>, deadline: u64) -> Row<'a> {
        Row {
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
        let (slot, is_waiting) = state(bytes)?;
        let (deadline, mut rest) = bytes.get(5..)?.split_first_chunk()?;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(part)
        };
        let (command, address, form) = (part()?, part()?, part()?);
        let answer = (!is_waiting).then_some(rest);
        Some(Row { slot, deadline: u64::from_le_bytes(*deadline), command, address, form, answer })
    }

    pub(super) fn due(self, number: u64) -> Due {
        Due {
            number,
            command: self.command.to_vec(),
            address: self.address.to_vec(),
            form: self.form.to_vec(),
            answer: self.answer.unwrap_or_default().to_vec(),
        }
    }
}

/// The slot that a row belongs to, and whether it waits for its answer.
pub(super) fn state(bytes: &[u8]) -> Option<(u32, bool)> {
    let (kind, rest) = bytes.split_first()?;
    let slot = u32::from_le_bytes(*rest.first_chunk()?);
    matches!(*kind, WAITING | ANSWERED).then_some((slot, *kind == WAITING))
}

/// Whether it is a row that waits for its answer.
pub(super) fn is_waiting(bytes: &[u8]) -> bool {
    state(bytes).is_some_and(|(_, is_waiting)| is_waiting)
}

/// The number in a key.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_le_bytes)
}
