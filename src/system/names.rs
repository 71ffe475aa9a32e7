//! Names of hosts.
//!
//! C: `resolvehost` in resolve.c, which waits as long as the name servers make it.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::signal::Blocked;

/// How long a look-up may hold up its caller.
const LIMIT: Duration = Duration::from_secs(2);

/// Looks up names, one at a time.
#[derive(Debug, Default)]
pub struct Resolver {
    /// Whether a look-up is under way, perhaps one that nobody waits for any more.
    busy: Arc<AtomicBool>,
}

impl Resolver {
    /// The address of a host, IPv4 first. `None` when there is none, when the name servers take longer than two
    /// seconds, and while they have not answered for the name before.
    #[must_use]
    pub fn look_up(&self, host: &str) -> Option<IpAddr> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        let (busy, host) = (Arc::clone(&self.busy), host.to_owned());
        let (found, answer) = mpsc::channel();
        let work = move || {
            // Signals are for the thread that serves. Without this they may come here; it works all the same.
            let _blocked = Blocked::new();
            let addresses: Vec<IpAddr> = (host.as_str(), 0)
                .to_socket_addrs()
                .map(|all| all.map(|address| address.ip()).collect())
                .unwrap_or_default();
            let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied();
            busy.store(false, Ordering::Release);
            // Nobody may be waiting any more.
            let _late = found.send(first);
        };
        if std::thread::Builder::new().spawn(work).is_err() {
            self.busy.store(false, Ordering::Release);
            return None;
        }
        answer.recv_timeout(LIMIT).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_an_address_and_nonsense_none() {
        let resolver = Resolver::default();
        assert_eq!(resolver.look_up("localhost"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(resolver.look_up("no such host"), None);
    }

    #[test]
    fn one_at_a_time() {
        let resolver = Resolver::default();
        resolver.busy.store(true, Ordering::Relaxed);
        assert_eq!(resolver.look_up("localhost"), None);
    }
}
