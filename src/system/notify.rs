//! What systemd wants to hear from a service of `Type=notify`, see sd_notify(3). Without systemd nobody listens.
//!
//! The socket is connected when the server starts, since a new root folder would hide it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A connection to systemd, if that started this process and wants to know.
#[derive(Debug, Default)]
pub struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// Connects to what `NOTIFY_SOCKET` names.
    #[must_use]
    pub fn connect() -> Notifier {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Notifier(None) };
        let address = match name.as_encoded_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&name),
        };
        let connected = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            Ok(socket)
        });
        if let Err(error) = &connected {
            log::warn!("cannot reach systemd at {}: {error}; unset NOTIFY_SOCKET", name.display());
        }
        Notifier(connected.ok())
    }

    /// All workers are ready; the main process is the caller.
    pub fn ready(&self) {
        self.tell(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// The server is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(state.as_bytes())
        {
            log::warn!("cannot notify systemd: {error}");
        }
    }
}
