//! Encodes and decodes the rows of pending requests. Decoding checks all bytes, as a process may have been
//! killed while it wrote them.

use super::{NewPending, UnsentReply};

/// The slot of a row whose reply is discarded.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Bytes that a waiting row reserves for a short answer, in case there is no memory for the answer that
/// comes.
pub const RESERVED_ANSWER_BYTES: usize = 128;

/// The first byte of a row without an answer.
const WAITING: u8 = 1;
/// The first byte of a row with an answer.
const ANSWERED: u8 = 2;

/// The row of a pending request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PendingRow<'a> {
    pub(super) number: u64,
    pub(super) slot: u32,
    /// In seconds of the segment's clock. The request times out then; an answered row is removed then.
    pub(super) deadline: u64,
    pub(super) command: &'a [u8],
    pub(super) address: &'a [u8],
    pub(super) envelope: &'a [u8],
    /// `None` in a waiting row.
    pub(super) answer: Option<&'a [u8]>,
}

/// A stored reply that its worker is to send.
#[derive(Debug)]
pub struct AnsweredReply {
    /// The number of the pending request.
    pub number: u64,
    /// The command's name.
    pub command: Vec<u8>,
    /// The caller's address, as [`NewPending::address`].
    pub address: Vec<u8>,
    /// As [`NewPending::envelope`].
    pub envelope: Vec<u8>,
    /// The bytes of the reply.
    pub answer: Vec<u8>,
    /// Keeps the row until the reply is sent or dropped.
    pub unsent: UnsentReply,
}

impl<'a> PendingRow<'a> {
    pub(super) fn waiting(number: u64, request: &NewPending<'a>, deadline: u64) -> PendingRow<'a> {
        PendingRow {
            number,
            slot: request.slot.and_then(|slot| u32::try_from(slot).ok()).unwrap_or(NO_SLOT),
            deadline,
            command: request.command.as_bytes(),
            address: request.address,
            envelope: request.envelope,
            answer: None,
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![if self.answer.is_some() { ANSWERED } else { WAITING }];
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.slot.to_le_bytes());
        bytes.extend(self.deadline.to_le_bytes());
        for part in [self.command, self.address, self.envelope] {
            // No request has a part of 4 GiB. A row with such a part would not decode.
            bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(part);
        }
        bytes.extend(self.answer.unwrap_or(&[0; RESERVED_ANSWER_BYTES]));
        bytes
    }

    /// Decodes a row. `None` when the bytes are no row.
    pub(super) fn read(bytes: &'a [u8]) -> Option<PendingRow<'a>> {
        let (is_waiting, number) = state_and_number(bytes)?;
        let (slot, rest) = bytes.get(9..)?.split_first_chunk()?;
        let (deadline, mut rest) = rest.split_first_chunk()?;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(part)
        };
        let (command, address, envelope) = (part()?, part()?, part()?);
        let answer = (!is_waiting).then_some(rest);
        let (slot, deadline) = (u32::from_le_bytes(*slot), u64::from_le_bytes(*deadline));
        Some(PendingRow { number, slot, deadline, command, address, envelope, answer })
    }

    pub(super) fn answered(self, unsent: UnsentReply) -> AnsweredReply {
        AnsweredReply {
            number: self.number,
            command: self.command.to_vec(),
            address: self.address.to_vec(),
            envelope: self.envelope.to_vec(),
            answer: self.answer.unwrap_or_default().to_vec(),
            unsent,
        }
    }
}

/// Decodes the first bytes of a row: whether the row waits for its answer, and its number.
pub(super) fn state_and_number(bytes: &[u8]) -> Option<(bool, u64)> {
    let (state, rest) = bytes.split_first()?;
    let number = u64::from_le_bytes(*rest.first_chunk()?);
    matches!(*state, WAITING | ANSWERED).then_some((*state == WAITING, number))
}
