//! Reads the module's parameters.
//!
//! C: `mi_params` and `mi_mod_init` in mi_datagram.c.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{self, Param, ParameterRow};
use crate::module::{self, PermissionParameters, RunUser, SettingError};
use crate::system::endpoint::{Access, MAX_PATH_BYTES};

/// Lowest UDP port. C: the check in `mi_mod_init`.
const MIN_PORT: u16 = 1024;

const SOCKET_NAME: Param<Option<&Path>> = Param::optional_path(
    "socket_name",
    "path of a UNIX socket, or udp:HOST:PORT with a port from 1024 to 65535",
);
const CHILDREN_COUNT: Param<u16> =
    Param::u16("children_count", 1..=1024, 1, "worker processes that serve the socket");
const SOCKET_TIMEOUT: Param<u32> = Param::u32(
    "socket_timeout",
    0..=3_600_000,
    2000,
    "milliseconds for which a reply is kept for a client that does not read",
);
const REPLY_INDENT: Param<&[u8]> =
    Param::text("reply_indent", "\t", "what stands before a line of a reply for each level of depth");

/// Who may use the UNIX socket.
const PERMISSIONS: PermissionParameters = PermissionParameters {
    mode: Param::mode("unix_socket_mode", 0o660, "permissions of the UNIX socket"),
    user: Param::name_or_number(
        "unix_socket_user",
        "the server's user",
        "owner of the UNIX socket, name or number",
    ),
    group: Param::name_or_number(
        "unix_socket_group",
        "the server's group",
        "group of the UNIX socket, name or number",
    ),
};

/// The module's table of parameters.
pub(super) const PARAMETERS: &[ParameterRow] = &[
    SOCKET_NAME.row,
    CHILDREN_COUNT.row,
    PERMISSIONS.mode.row,
    PERMISSIONS.group.row,
    PERMISSIONS.user.row,
    SOCKET_TIMEOUT.row,
    REPLY_INDENT.row,
    module::TRACE_DESTINATION,
    module::TRACE_BWLIST,
];

/// The address on which the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListenAddress {
    /// A UNIX socket.
    Unix {
        path: PathBuf,
        /// Owner, group and permissions of the socket.
        access: Access,
    },
    /// A UDP socket.
    Udp(SocketAddr),
}

/// Writes the address as log lines and the statistics group `load` name it.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            ListenAddress::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

/// The parameters with their defaults, checked.
#[derive(Debug)]
pub(super) struct DatagramSettings {
    pub(super) address: ListenAddress,
    pub(super) workers: usize,
    /// For how long a parked reply is kept.
    pub(super) timeout: Duration,
    /// Written once for each level of a node's depth.
    pub(super) indent: Vec<u8>,
}

impl DatagramSettings {
    /// Reads and checks the parameters.
    pub(super) fn new(
        settings: &config::Settings,
        identity: RunUser,
    ) -> Result<DatagramSettings, SettingError> {
        let Some(name) = settings.get(SOCKET_NAME).filter(|name| !name.as_os_str().is_empty()) else {
            return Err(error(
                "not set; add modparam(\"mi_datagram\", \"socket_name\", \"/run/opensips/mi.sock\")"
                    .to_owned(),
            ));
        };
        let length = name.as_os_str().len();
        let address = match name.as_os_str().as_encoded_bytes().strip_prefix(b"udp:") {
            Some(address) => ListenAddress::Udp(udp_address(&String::from_utf8_lossy(address))?),
            None if length > MAX_PATH_BYTES => {
                let message = format!(
                    "the path has {length} bytes, a UNIX socket takes {MAX_PATH_BYTES}; choose a shorter one"
                );
                return Err(error(message));
            }
            None => {
                ListenAddress::Unix { path: name.to_owned(), access: PERMISSIONS.read(settings, identity)? }
            }
        };
        Ok(DatagramSettings {
            address,
            workers: settings.get(CHILDREN_COUNT).into(),
            timeout: Duration::from_millis(settings.get(SOCKET_TIMEOUT).into()),
            indent: settings.get(REPLY_INDENT).to_vec(),
        })
    }
}

fn error(message: String) -> SettingError {
    SettingError { parameter: SOCKET_NAME.name(), message }
}

/// Parses `HOST:PORT`, `[::1]:PORT` or `::1:PORT`. The last colon is that before the port.
fn udp_address(text: &str) -> Result<SocketAddr, SettingError> {
    let wanted = "write udp:HOST:PORT, e.g. udp:127.0.0.1:8080 or udp:[::1]:8080";
    let wrong = |found: String| error(format!("\"udp:{text}\": {found}; {wanted}"));
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
    fn udp_addresses_are_read_in_each_form() {
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
    fn an_invalid_udp_address_names_its_error_and_an_example() {
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
