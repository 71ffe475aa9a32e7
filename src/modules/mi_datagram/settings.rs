//! What `modparam("mi_datagram", …)` says, made into addresses and numbers.
//!
//! C: `mi_params` and `mi_mod_init` in mi_datagram.c.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{self, Effect, Kind, Parameter};
use crate::module::{self, AccessParameters, Identity, SettingError};
use crate::system::endpoint::{Access, MAX_PATH_BYTES};

/// Lowest UDP port. C: the check in `mi_mod_init`.
const MIN_PORT: u16 = 1024;

/// Most workers on one socket.
const MAX_WORKERS: i64 = 1024;

/// What may be set.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "socket_name",
        kind: Kind::Path,
        effect: Effect::Used,
        help: "path of a UNIX socket, or udp:HOST:PORT with a port from 1024 to 65535; no default",
    },
    Parameter {
        name: "children_count",
        kind: Kind::Integer { min: 1, max: MAX_WORKERS },
        effect: Effect::Used,
        help: "worker processes that serve the socket; default 1",
    },
    Parameter {
        name: "unix_socket_mode",
        kind: Kind::Mode,
        effect: Effect::Used,
        help: "permissions of the UNIX socket; default 0660",
    },
    Parameter {
        name: "unix_socket_group",
        kind: Kind::IntegerOrText,
        effect: Effect::Used,
        help: "group of the UNIX socket, name or number; default the server's group",
    },
    Parameter {
        name: "unix_socket_user",
        kind: Kind::IntegerOrText,
        effect: Effect::Used,
        help: "owner of the UNIX socket, name or number; default the server's user",
    },
    Parameter {
        name: "socket_timeout",
        kind: Kind::Integer { min: 0, max: 3_600_000 },
        effect: Effect::Used,
        help: "milliseconds for which a reply is kept for a client that does not read; default 2000",
    },
    Parameter {
        name: "reply_indent",
        kind: Kind::Text,
        effect: Effect::Used,
        help: "what stands before a line of a reply for each level of depth; default a TAB",
    },
    module::TRACE_DESTINATION,
    module::TRACE_BWLIST,
];

/// Who may use the socket.
const ACCESS: AccessParameters =
    AccessParameters { mode: "unix_socket_mode", user: "unix_socket_user", group: "unix_socket_group" };

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// On a UNIX socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Who may use it.
        access: Access,
    },
    /// On UDP.
    Udp(SocketAddr),
}

/// As the group `load` and the log name it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Address::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

/// The module's settings, ready for use.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where to listen.
    pub(super) address: Address,
    /// How many processes.
    pub(super) workers: usize,
    /// How long a reply is kept.
    pub(super) timeout: Duration,
    /// For each level of depth.
    pub(super) indent: Vec<u8>,
}

impl Settings {
    /// Reads the settings; what they leave open gets its default.
    pub(super) fn new(settings: &config::Settings, identity: Identity) -> Result<Settings, SettingError> {
        let name = settings.path("socket_name").unwrap_or(Path::new(""));
        if name.as_os_str().is_empty() {
            return Err(error(
                "socket_name",
                String::from(
                    "not set; add modparam(\"mi_datagram\", \"socket_name\", \"/run/opensips/mi.sock\")",
                ),
            ));
        }
        let length = name.as_os_str().len();
        let address = match name.as_os_str().as_encoded_bytes().strip_prefix(b"udp:") {
            Some(address) => Address::Udp(udp_address(&String::from_utf8_lossy(address))?),
            None if length > MAX_PATH_BYTES => {
                let message = format!(
                    "the path has {length} bytes, a UNIX socket takes {MAX_PATH_BYTES}; choose a shorter one"
                );
                return Err(error("socket_name", message));
            }
            None => Address::Unix { path: name.to_owned(), access: ACCESS.read(settings, identity)? },
        };
        let number = |name, default| {
            let value = settings.integer(name).unwrap_or(default);
            u64::try_from(value).unwrap_or_default()
        };
        Ok(Settings {
            address,
            workers: usize::try_from(number("children_count", 1)).unwrap_or(1),
            timeout: Duration::from_millis(number("socket_timeout", 2000)),
            indent: settings.text("reply_indent").unwrap_or(b"\t").to_vec(),
        })
    }
}

fn error(parameter: &'static str, message: String) -> SettingError {
    SettingError { parameter, message }
}

/// `HOST:PORT`, `[::1]:PORT` or `::1:PORT`; the last colon parts the port.
fn udp_address(text: &str) -> Result<SocketAddr, SettingError> {
    let wanted = "write udp:HOST:PORT, e.g. udp:127.0.0.1:8080 or udp:[::1]:8080";
    let wrong = |found: String| error("socket_name", format!("\"udp:{text}\": {found}; {wanted}"));
    let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong(String::from("no port")))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(wrong(String::from("no host")));
    }
    let port: u16 = port
        .parse()
        .ok()
        .filter(|&port| port >= MIN_PORT)
        .ok_or_else(|| wrong(format!("port {port:?} is not in [{MIN_PORT}, 65535]")))?;
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|source| wrong(format!("cannot resolve {host:?}: {source}")))?;
    found.into_iter().next().ok_or_else(|| wrong(format!("{host:?} has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udp_addresses_in_every_form() {
        for (text, wanted) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("::1:8080", "[::1]:8080"),
            ("0.0.0.0:65535", "0.0.0.0:65535"),
        ] {
            assert_eq!(udp_address(text).unwrap(), wanted.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn wrong_udp_addresses_say_what_is_wrong() {
        for (text, wanted) in [
            ("127.0.0.1", "no port"),
            (":8080", "no host"),
            ("127.0.0.1:80", "port \"80\" is not in [1024, 65535]"),
            ("127.0.0.1:65536", "port \"65536\" is not in"),
            ("127.0.0.1:x", "port \"x\" is not in"),
            ("no.such.host.invalid:8080", "cannot resolve"),
        ] {
            let error = udp_address(text).unwrap_err();
            assert!(error.message.contains(wanted), "{text}: {}", error.message);
            assert!(error.message.contains("udp:127.0.0.1:8080"), "{}", error.message);
        }
    }
}
