//! Whether a reply is what the server answered first, numbers aside. Pure.
//!
//! The check must stay small beside a round trip (20 µs and more), and cost the same against the floor. So a reply
//! that repeats an accepted one is compared as it is, a small one always number by number, and a large one that
//! changes with each request only now and then.

/// Replies up to this size, in bytes, are always compared whole.
const SMALL_BYTES: usize = 512;
/// Every how many replies a larger one is compared whole; the others by length, first line and last byte.
const WHOLE_EVERY: u64 = 64;
/// Digits of the largest 64-bit number.
const MAX_DIGITS: usize = 20;

/// A reply with each run of digits taken together.
pub(crate) struct Shape {
    collapsed: Vec<u8>,
    longest: usize,
    /// The reply compared whole last.
    accepted: Vec<u8>,
    first_line: usize,
    /// Whether each reply is expected to differ from the one before.
    changes: bool,
}

impl Shape {
    /// The shape of `reply`. With `changes`, one that repeats is compared like any other, because the floor always
    /// repeats and its client must not have less to do.
    pub(crate) fn of(reply: &[u8], changes: bool) -> Shape {
        let collapsed: Vec<u8> = collapse(reply).collect();
        let numbers = collapsed.iter().filter(|&&byte| byte == b'0').count();
        Shape {
            longest: collapsed.len() + numbers * (MAX_DIGITS - 1),
            collapsed,
            accepted: reply.to_vec(),
            first_line: head(reply).len(),
            changes,
        }
    }

    /// Whether `reply`, the `count`th of a turn, has this shape.
    pub(crate) fn fits(&mut self, reply: &[u8], count: u64) -> bool {
        if !self.changes && reply == self.accepted {
            return true;
        }
        let plausible = (self.collapsed.len()..=self.longest).contains(&reply.len())
            && reply.starts_with(&self.accepted[..self.first_line])
            && reply.last() == self.accepted.last();
        if !plausible || (reply.len() > SMALL_BYTES && !count.is_multiple_of(WHOLE_EVERY)) {
            return plausible;
        }
        let fits = collapse(reply).eq(self.collapsed.iter().copied());
        if fits {
            self.accepted.clear();
            self.accepted.extend_from_slice(reply);
        }
        fits
    }
}

/// What begins a good reply over JSON-RPC.
const JSON_RESULT: &[u8] = b"{\"jsonrpc\":\"2.0\",\"result\":";

/// Whether a reply says that the command has worked.
pub(crate) fn is_good(reply: &[u8]) -> bool {
    reply.starts_with(b"200 ") || reply.starts_with(JSON_RESULT)
}

/// The part of a reply that holds no number: its first line, or what stands before a result.
fn head(reply: &[u8]) -> &[u8] {
    let line = reply.iter().position(|&byte| byte == b'\n').map_or(reply.len(), |end| end + 1);
    if reply.starts_with(JSON_RESULT) { JSON_RESULT } else { &reply[..line] }
}

/// `bytes` with each run of digits replaced by one `0`.
fn collapse(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut in_number = false;
    bytes.iter().filter_map(move |&byte| {
        let continued = in_number && byte.is_ascii_digit();
        in_number = byte.is_ascii_digit();
        if continued { None } else { Some(if in_number { b'0' } else { byte }) }
    })
}
