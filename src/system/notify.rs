//! What systemd wants to hear from a service of `Type=notify`, see sd_notify(3). Without systemd nobody listens.
//!
//! The socket is connected when the server starts, since a new root folder would hide it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

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
            // A systemd that does not read must not stop the server.
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        if let Err(error) = &connected {
            log::warn!("cannot reach systemd at {}: {error}; unset NOTIFY_SOCKET", name.display());
        }
        Notifier(connected.ok())
    }

    /// How often [`alive`](Notifier::alive) is to be called: half of what systemd waits for it. `None` when it does not
    /// wait for the calling process. See sd_watchdog_enabled(3).
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.0.as_ref()?;
        let text = |name| std::env::var(name).ok();
        watchdog_interval(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id())
    }

    /// All workers are ready; the main process is the caller.
    pub fn ready(&self) {
        self.tell(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// The caller has just gone round its loop.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// The server is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(state.as_bytes())
        {
            log::warn!(often = true; "cannot notify systemd: {error}");
        }
    }
}

/// Half of the microseconds of `WATCHDOG_USEC`, if `WATCHDOG_PID` names the process or nobody.
fn watchdog_interval(microseconds: Option<String>, process: Option<String>, own: u32) -> Option<Duration> {
    if process.is_some_and(|process| process.parse() != Ok(own)) {
        return None;
    }
    let microseconds = microseconds?.parse().ok().filter(|&number| number > 0)?;
    Some(Duration::from_micros(microseconds) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_half_of_what_systemd_waits_for_this_process() {
        let interval = |microseconds: Option<&str>, process: Option<&str>| {
            watchdog_interval(microseconds.map(str::to_owned), process.map(str::to_owned), 7)
        };
        let half_a_second = Some(Duration::from_millis(500));
        assert_eq!(interval(Some("1000000"), Some("7")), half_a_second);
        assert_eq!(interval(Some("1000000"), None), half_a_second);
        for (microseconds, process) in [
            (Some("1000000"), Some("8")),
            (Some("1000000"), Some("")),
            (Some("0"), None),
            (Some("-5"), None),
            (Some("soon"), None),
            (None, Some("7")),
        ] {
            assert_eq!(interval(microseconds, process), None, "{microseconds:?} {process:?}");
        }
        assert_eq!(Notifier(None).interval(), None);
    }
}
