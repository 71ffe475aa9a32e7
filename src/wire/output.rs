//! Where encoded bytes go: into one datagram, or into a stream that is sent while it is written.

/// Largest datagram, request or reply, in bytes. C: `DATAGRAM_SOCK_BUF_SIZE`.
pub const MAX_DATAGRAM_BYTES: usize = 65_457;

/// Where encoded bytes go.
pub trait Output {
    /// Takes the next bytes of the reply.
    fn push(&mut self, bytes: &[u8]);

    /// Says that a reply begins here.
    fn begin(&mut self);

    /// Forgets what was pushed since the reply began. False when some of it is on its way already.
    fn take_back(&mut self) -> bool;

    /// Bytes that were pushed and wait here.
    fn held(&self) -> usize;

    /// How long what was pushed is, in bytes, when that is too long to be sent.
    fn excess(&self) -> Option<usize> {
        None
    }
}

/// What must fit one datagram. Counts on past the limit, to be able to say how long it would be.
#[derive(Debug, Default)]
pub struct Datagram {
    bytes: Vec<u8>,
    length: usize,
    /// Where the reply begins that is being written.
    start: usize,
}

impl Datagram {
    /// Room for the largest reply, to be reused.
    #[must_use]
    pub fn new() -> Datagram {
        Datagram { bytes: Vec::with_capacity(MAX_DATAGRAM_BYTES), length: 0, start: 0 }
    }

    /// What was pushed, or its full length in bytes when that is above [`MAX_DATAGRAM_BYTES`].
    ///
    /// # Errors
    /// The length.
    pub fn bytes(&self) -> Result<&[u8], usize> {
        self.excess().map_or(Ok(&self.bytes), Err)
    }

    /// Empties it for the next request.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.length = 0;
        self.start = 0;
    }
}

impl Output for Datagram {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        if self.length <= MAX_DATAGRAM_BYTES {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn begin(&mut self) {
        self.start = self.bytes.len();
    }

    fn take_back(&mut self) -> bool {
        self.bytes.truncate(self.start);
        self.length = self.bytes.len();
        true
    }

    fn held(&self) -> usize {
        self.bytes.len()
    }

    fn excess(&self) -> Option<usize> {
        (self.length > MAX_DATAGRAM_BYTES).then_some(self.length)
    }
}

/// What leaves while it is written: bytes wait here until the other side takes them.
#[derive(Debug, Default)]
pub struct Stream {
    bytes: Vec<u8>,
    /// How many of them have left.
    sent: usize,
    /// Where the reply begins that is being written, as long as nothing of it has left.
    start: Option<usize>,
}

impl Stream {
    /// An empty one with room for so many bytes before it grows.
    #[must_use]
    pub fn with_room(bytes: usize) -> Stream {
        Stream { bytes: Vec::with_capacity(bytes), ..Stream::default() }
    }

    /// What waits.
    #[must_use]
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Takes what waits, to be sent by somebody else.
    pub fn take(&mut self) -> Vec<u8> {
        let mut taken = std::mem::take(&mut self.bytes);
        self.start = self.start.filter(|&start| start >= taken.len()).map(|_| 0);
        taken.drain(..self.sent);
        self.sent = 0;
        taken
    }

    /// Notes that the first `count` bytes of what waits have left.
    pub fn sent(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        self.start = self.start.filter(|&start| start >= self.sent);
        // Not at each call: what stays has to be moved.
        if self.sent * 2 >= self.bytes.len() {
            self.bytes.drain(..self.sent);
            self.start = self.start.map(|start| start - self.sent);
            self.sent = 0;
        }
    }
}

impl Output for Stream {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn begin(&mut self) {
        self.start = Some(self.bytes.len());
    }

    fn take_back(&mut self) -> bool {
        self.start.map(|start| self.bytes.truncate(start)).is_some()
    }

    fn held(&self) -> usize {
        self.waiting().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_at_the_limit_fits_and_one_byte_more_is_counted() {
        let mut datagram = Datagram::new();
        datagram.push(&vec![b'x'; MAX_DATAGRAM_BYTES]);
        assert_eq!(datagram.bytes().unwrap().len(), MAX_DATAGRAM_BYTES);
        datagram.push(b"x");
        assert_eq!(datagram.bytes(), Err(MAX_DATAGRAM_BYTES + 1));
        datagram.push(&[b'x'; 100]);
        assert_eq!(datagram.bytes(), Err(MAX_DATAGRAM_BYTES + 101));
        assert!(datagram.take_back());
        assert_eq!(datagram.bytes(), Ok(&b""[..]));
    }

    #[test]
    fn only_the_last_reply_of_a_datagram_is_taken_back() {
        let mut datagram = Datagram::new();
        datagram.push(b"[1,");
        datagram.begin();
        datagram.push(&vec![b'x'; MAX_DATAGRAM_BYTES]);
        assert!(datagram.excess().is_some() && datagram.take_back());
        assert_eq!(datagram.bytes(), Ok(&b"[1,"[..]));
    }

    #[test]
    fn a_stream_takes_back_what_has_not_left() {
        let mut stream = Stream::default();
        stream.push(b"first");
        stream.begin();
        stream.push(b"second");
        stream.sent(5);
        assert_eq!(stream.waiting(), b"second");
        assert!(stream.take_back());
        stream.push(b"error");
        assert_eq!(stream.waiting(), b"error");
        stream.sent(1);
        assert!(!stream.take_back());
        stream.sent(2);
        assert_eq!(stream.take(), b"or");
        assert!(stream.waiting().is_empty() && !stream.take_back());
    }

    #[test]
    fn a_stream_that_is_never_empty_keeps_only_what_waits() {
        let mut stream = Stream::default();
        for _ in 0..1000 {
            stream.push(&[b'x'; 1000]);
            stream.sent(999);
        }
        assert_eq!(stream.waiting().len(), 1000);
        assert!(stream.bytes.len() <= 3000, "{}", stream.bytes.len());
    }
}
