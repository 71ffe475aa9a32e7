//! Names of hosts.
//!
//! C: `resolvehost` in resolve.c, which waits as long as the name servers make it.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::signal::Blocked;

/// How long a look-up may hold up a caller that names no limit.
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
        let addresses = self.look_up_all(host, LIMIT).ok()?;
        addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
    }

    /// All addresses of a host, at least one, in the system's order.
    ///
    /// # Errors
    /// `NotFound` when there is none, `TimedOut` when the name servers take longer than `limit`, `ResourceBusy` while
    /// they have not answered for the name before, and what the system says.
    pub fn look_up_all(&self, host: &str, limit: Duration) -> io::Result<Vec<IpAddr>> {
        let host = host.to_owned();
        self.within(limit, move || {
            let addresses = (host.as_str(), 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }

    /// Runs the one look-up that may be under way.
    fn within(
        &self,
        limit: Duration,
        look_up: impl FnOnce() -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> io::Result<Vec<IpAddr>> {
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the look-up before has no answer yet"));
        }
        let busy = Arc::clone(&self.busy);
        let (found, answer) = mpsc::channel();
        let work = move || {
            // Signals are for the thread that serves. Without this they may come here; it works all the same.
            let _blocked = Blocked::new();
            let addresses = look_up();
            busy.store(false, Ordering::Release);
            // Nobody may be waiting any more.
            let _late = found.send(addresses);
        };
        if let Err(error) = std::thread::Builder::new().spawn(work) {
            self.busy.store(false, Ordering::Release);
            return Err(error);
        }
        let late = |_| {
            let message = format!("no answer within {} ms", limit.as_millis());
            io::Error::new(io::ErrorKind::TimedOut, message)
        };
        let addresses = answer.recv_timeout(limit).map_err(late)??;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

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
        let error = resolver.look_up_all("localhost", LIMIT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }

    /// A name server that does not answer is waited for as long as the caller likes; the next look-up waits for it.
    #[test]
    fn the_limit_is_the_callers() {
        let resolver = Resolver::default();
        let (answer, name_server) = mpsc::channel::<()>();
        let start = Instant::now();
        let limit = Duration::from_millis(50);
        let error = resolver
            .within(limit, move || {
                let _closed = name_server.recv();
                Ok(Vec::new())
            })
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!((limit..LIMIT).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(resolver.look_up("localhost"), None);
        drop(answer);
        while resolver.busy.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert!(resolver.look_up("localhost").is_some());
    }

    #[test]
    fn no_address_is_an_error() {
        let error = Resolver::default().within(LIMIT, || Ok(Vec::new())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
