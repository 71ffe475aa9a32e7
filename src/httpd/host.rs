//! Which server a request names: the header `Host`, and the name in the address it asks for. Pure: no socket.
//!
//! A web page may have its own name lead to 127.0.0.1 after it was loaded; a browser then takes what is there for a
//! part of that page's site, and sends requests without a word of where they come from. The name still stands in
//! `Host`. So on loopback it has to be one that leads there whatever a name server says, one of the machine's own, or
//! one that the configuration lists. Differs: OpenSIPS does not look at it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};

/// Why a request is not for this server.
pub(super) type Reason = (StatusCode, String);

/// The names that a request may ask for on loopback, besides localhost and addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// The machine's own, and those that the configuration lists.
    pub(super) names: Vec<String>,
    /// The module whose parameter lists more.
    pub(super) module: &'static str,
}

impl Names {
    /// Whether a name, with its port or without, is an address, one of these, or leads to loopback for certain.
    fn has(&self, name: &[u8]) -> bool {
        let Ok(name) = str::from_utf8(name) else { return false };
        let bare = match name.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
            _ => name,
        };
        if let Some(inside) = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')) {
            return inside.parse::<Ipv6Addr>().is_ok_and(|address| is_told(address.into()));
        }
        let mut names = self.names.iter().map(String::as_str).chain(["localhost"]);
        names.any(|own| bare.strip_suffix('.').unwrap_or(bare).eq_ignore_ascii_case(own))
            || bare.parse::<Ipv4Addr>().is_ok_and(|address| is_told(address.into()))
    }
}

/// Checks the name of a request that came to an address of loopback, where it has to be one of `names`, or to another
/// one.
pub(super) fn check(head: &Parts, names: Option<&Names>) -> Result<(), Reason> {
    let bad = |reason: &str| (StatusCode::BAD_REQUEST, reason.to_owned());
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("there is more than one header Host"));
    }
    if host.is_none() && head.version >= Version::HTTP_11 {
        return Err(bad("the header Host is missing"));
    }
    let asked = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut asked = host.map(|host| host.as_bytes()).into_iter().chain(asked);
    if let Some(names) = names
        && !asked.all(|name| names.has(name))
    {
        let reason = format!(
            "ask for this server by localhost, by its address, by a name of this machine, or by one that the \
             parameter host_names of {} lists: other names may be those of web pages",
            names.module
        );
        return Err((StatusCode::FORBIDDEN, reason));
    }
    Ok(())
}

/// Whether that is an address of some machine. Browsers take 0.0.0.0 for this one, and do not tell there which site
/// a request comes from.
fn is_told(address: IpAddr) -> bool {
    !address.to_canonical().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn names() -> Names {
        Names { names: ["Pbx", "mi.example.net"].map(String::from).into(), module: "httpd" }
    }

    #[test]
    fn only_addresses_localhost_and_listed_names_are_here() {
        let names = names();
        for here in [
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
            assert!(names.has(here.as_bytes()), "{here}");
        }
        for elsewhere in [
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
            assert!(!names.has(elsewhere.as_bytes()), "{elsewhere}");
        }
        assert!(!names.has(b"\xff"));
    }

    fn status(uri: &str, version: Version, hosts: &[&str], is_loopback: bool) -> Result<(), u16> {
        let mut request = Request::builder().uri(uri).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let names = names();
        check(&head, is_loopback.then_some(&names)).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn a_request_names_one_server() {
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
