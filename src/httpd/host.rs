//! Checks the host name of a request, in the header `Host` and in an absolute URI, against DNS rebinding.
//! Pure: no socket.
//!
//! The owner of a web page can let the page's host name resolve to 127.0.0.1 once the page is loaded. The
//! browser then treats this server as a part of the page's site and sends requests without `Origin`; only
//! `Host` still shows the name. So a request to a loopback address must name an IP address, localhost, a name
//! of this machine, or a name that the configuration lists. Differs: OpenSIPS does not check the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};

/// The status and the text of a refusal.
pub(super) type HostRefusal = (StatusCode, String);

/// The host names that a request to a loopback address may have, besides localhost and IP addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct AllowedHosts {
    /// The names of this machine, and those that the configuration lists.
    pub(super) names: Vec<String>,
    /// The module whose parameter `host_names` lists names, for messages.
    pub(super) module: &'static str,
}

impl AllowedHosts {
    /// Whether a host name, with or without a port, is allowed.
    fn allows(&self, name: &[u8]) -> bool {
        let Ok(name) = str::from_utf8(name) else { return false };
        let bare = match name.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
            _ => name,
        };
        if let Some(inside) = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')) {
            return inside.parse::<Ipv6Addr>().is_ok_and(|address| is_specified(address.into()));
        }
        let mut names = self.names.iter().map(String::as_str).chain(["localhost"]);
        names.any(|own| bare.strip_suffix('.').unwrap_or(bare).eq_ignore_ascii_case(own))
            || bare.parse::<Ipv4Addr>().is_ok_and(|address| is_specified(address.into()))
    }
}

/// Checks that a request has one `Host`, and that all its host names are among `allowed`; `None` allows all
/// names, for requests to other addresses than loopback.
pub(super) fn check(head: &Parts, allowed: Option<&AllowedHosts>) -> Result<(), HostRefusal> {
    let bad = |reason: &str| (StatusCode::BAD_REQUEST, reason.to_owned());
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("there is more than one header Host"));
    }
    if host.is_none() && head.version >= Version::HTTP_11 {
        return Err(bad("the header Host is missing"));
    }
    let in_uri = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut names = host.map(|host| host.as_bytes()).into_iter().chain(in_uri);
    if let Some(allowed) = allowed
        && !names.all(|name| allowed.allows(name))
    {
        let reason = format!(
            "ask for this server by localhost, by its address, by a name of this machine, or by one that the \
             parameter host_names of {} lists: other names may be those of web pages",
            allowed.module
        );
        return Err((StatusCode::FORBIDDEN, reason));
    }
    Ok(())
}

/// Whether an address is not 0.0.0.0 or `::`. Browsers connect to this machine for those, and send no
/// `Origin`.
fn is_specified(address: IpAddr) -> bool {
    !address.to_canonical().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn allowed_hosts() -> AllowedHosts {
        AllowedHosts { names: ["Pbx", "mi.example.net"].map(String::from).into(), module: "httpd" }
    }

    #[test]
    fn only_addresses_localhost_and_listed_names_are_allowed() {
        let allowed = allowed_hosts();
        for name in [
            "localhost",
            "LocalHost:8888",
            "127.0.0.1",
            "127.0.0.1:8888",
            "127.8.9.1:",
            "192.0.2.1:80",
            "[::1]",
            "[::1]:8888",
            "[::ffff:127.0.0.1]:1",
            "localhost.",
            "pbx",
            "PBX:8888",
            "MI.example.net.:8888",
        ] {
            assert!(allowed.allows(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            ":",
            ":8888",
            "example.net",
            "example.net:8888",
            "localhost.example.net",
            "127.0.0.1.example.net",
            "a@127.0.0.1",
            "localhost:80:80",
            "127.1",
            "2130706433",
            "0.0.0.0:8888",
            "[::]:8888",
            "[::ffff:0.0.0.0]",
            "::1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "localhost:8x",
            " localhost",
            "\u{fc}",
            "x.mi.example.net",
            "pbx.example.net",
            "pbx..",
            ".",
        ] {
            assert!(!allowed.allows(name.as_bytes()), "{name}");
        }
        assert!(!allowed.allows(b"\xff"));
    }

    fn status(uri: &str, version: Version, hosts: &[&str], is_loopback: bool) -> Result<(), u16> {
        let mut request = Request::builder().uri(uri).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let allowed = allowed_hosts();
        check(&head, is_loopback.then_some(&allowed)).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn a_request_with_another_host_name_is_refused_on_loopback_only() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert_eq!(status("/mi", new, &["localhost"], true), Ok(()));
        assert_eq!(status("/mi", old, &[], true), Ok(()));
        assert_eq!(status("/mi", new, &["example.net"], false), Ok(()));
        assert_eq!(status("/mi", new, &["example.net"], true), Err(403));
        assert_eq!(status("/mi", old, &["example.net"], true), Err(403));
        assert_eq!(status("http://example.net/mi", new, &["localhost"], true), Err(403));
        assert_eq!(status("http://127.0.0.1:1/mi", new, &["localhost"], true), Ok(()));
        for is_loopback in [true, false] {
            assert_eq!(status("/mi", new, &[], is_loopback), Err(400));
            assert_eq!(status("/mi", new, &["localhost", "localhost"], is_loopback), Err(400));
        }
    }
}
