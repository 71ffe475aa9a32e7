//! Parses and resolves the sockets of subscriptions: the part behind `udp:` or `unix:`.
//!
//! C: `datagram_parse` and `datagram_print` in event_datagram.c, which accept only IPv4.

use std::net::{Ipv6Addr, SocketAddr};

use crate::evi::SubscribeError;
use crate::system::datagram::Peer;
use crate::system::names::{Answer, Resolver};

/// The socket of a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SubscriberSocket<'a> {
    /// The path of a UNIX socket.
    Unix(&'a [u8]),
    /// A host name or IP address, and a port. An IPv6 address has no brackets.
    Udp(&'a str, u16),
}

impl<'a> SubscriberSocket<'a> {
    /// Parses `/path` or `HOST:PORT`; IPv6 as `[::1]:8080` or `::1:8080`.
    pub(super) fn parse(scheme: &str, socket: &'a [u8]) -> Option<SubscriberSocket<'a>> {
        if scheme == "unix" {
            return Peer::unix(socket).map(|_| SubscriberSocket::Unix(socket));
        }
        let (host, port) = std::str::from_utf8(socket).ok()?.rsplit_once(':')?;
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = inside.unwrap_or(host);
        let is_ipv6 = host.parse::<Ipv6Addr>().is_ok();
        // Only an IPv6 address may have a colon or brackets.
        let is_host = is_ipv6 || (inside.is_none() && !host.is_empty() && !host.contains(':'));
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|&port| digits && port > 0)?;
        is_host.then_some(SubscriberSocket::Udp(host, port))
    }

    /// The canonical form, for lists and comparisons.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            SubscriberSocket::Unix(path) => path.to_vec(),
            SubscriberSocket::Udp(host, port) if host.contains(':') => {
                format!("[{host}]:{port}").into_bytes()
            }
            SubscriberSocket::Udp(host, port) => format!("{host}:{port}").into_bytes(),
        }
    }

    /// The address; `None` when the host is a name.
    pub(super) fn peer(&self) -> Option<Peer> {
        match *self {
            SubscriberSocket::Unix(path) => Peer::unix(path),
            SubscriberSocket::Udp(host, port) => Some(Peer::udp(SocketAddr::new(host.parse().ok()?, port))),
        }
    }

    /// The address, with the host name resolved.
    pub(super) fn look_up(&self, resolver: &Resolver) -> Result<Peer, SubscribeError> {
        match (self.peer(), self) {
            (Some(peer), _) => Ok(peer),
            (None, SubscriberSocket::Unix(_)) => Err(SubscribeError::InvalidSocket),
            (None, &SubscriberSocket::Udp(host, port)) => match resolver.look_up(host) {
                Answer::Address(address) => Ok(Peer::udp(SocketAddr::new(address, port))),
                Answer::Unknown => Err(SubscribeError::InvalidSocket),
                Answer::NotYet => Err(SubscribeError::LookUpPending),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn parsed(scheme: &str, socket: &str) -> Option<String> {
        let target = SubscriberSocket::parse(scheme, socket.as_bytes())?;
        Some(String::from_utf8(target.to_bytes()).unwrap())
    }

    #[test]
    fn each_spelling_has_one_canonical_form() {
        for (socket, listed) in [
            ("127.0.0.1:9999", "127.0.0.1:9999"),
            ("127.0.0.1:09999", "127.0.0.1:9999"),
            ("events.example.com:65535", "events.example.com:65535"),
            ("[::1]:8080", "[::1]:8080"),
            ("::1:8080", "[::1]:8080"),
        ] {
            assert_eq!(parsed("udp", socket).as_deref(), Some(listed), "{socket}");
        }
        assert_eq!(parsed("unix", "/tmp/a:b.sock").as_deref(), Some("/tmp/a:b.sock"));
    }

    #[test]
    fn malformed_sockets_are_refused() {
        for socket in [
            "",
            "host",
            ":9",
            "host:",
            "host:0",
            "host:65536",
            "host:+9",
            "a:b:9",
            "[host]:9",
            "[::1:9",
            "[]:9",
        ] {
            assert_eq!(parsed("udp", socket), None, "{socket}");
        }
        assert_eq!(parsed("unix", ""), None);
        assert_eq!(parsed("unix", &"x".repeat(108)), None);
        assert_eq!(parsed("unix", "a\0b"), None);
        assert_eq!(SubscriberSocket::parse("udp", b"h\xff:9"), None);
    }

    #[test]
    fn only_host_names_are_resolved() {
        let resolver = Resolver::default();
        let target = |socket: &'static str| SubscriberSocket::parse("udp", socket.as_bytes()).unwrap();
        let text = |peer: Peer| peer.to_string();
        for (socket, wanted) in [("127.0.0.1:9", "127.0.0.1:9"), ("::1:9", "[::1]:9")] {
            assert_eq!(target(socket).peer().map(text).as_deref(), Some(wanted));
        }
        assert_eq!(target("localhost:9").peer(), None);
        let resolved = |socket: &'static str| {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                match target(socket).look_up(&resolver) {
                    Err(SubscribeError::LookUpPending) if Instant::now() < deadline => {
                        std::thread::yield_now()
                    }
                    found => return found.map(text),
                }
            }
        };
        assert_eq!(resolved("localhost:9").as_deref(), Ok("127.0.0.1:9"));
        assert_eq!(resolved("no such host:9"), Err(SubscribeError::InvalidSocket));
    }
}
