//! Names of hosts, looked up by threads of their own.
//!
//! C: `resolvehost` in resolve.c, which waits as long as the name servers make it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::signal::Blocked;

/// How long one call may hold up a caller that asks again until there is an answer.
const TURN: Duration = Duration::from_millis(2);

/// Look-ups that may be under way, each with its thread.
const MAX_UNDER_WAY: usize = 8;

/// How long an answer that came too late is kept, for those who try again.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Names that are kept.
const MAX_NAMES: usize = 64;

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its address, IPv4 first.
    Address(IpAddr),
    /// It has none.
    Unknown,
    /// The name servers have not answered in time, or too many names are being looked up.
    NotYet,
}

/// Looks up names, for one process.
#[derive(Debug, Default)]
pub struct Resolver(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<Vec<Name>>,
    answered: Condvar,
}

#[derive(Debug)]
struct Name {
    host: String,
    since: Instant,
    /// `None` while it is being looked up.
    answer: Option<io::Result<Vec<IpAddr>>>,
}

/// How addresses are found. May take its time.
type Find = &'static (dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Sync);

impl Resolver {
    /// Looks up a host's address. Waits for some milliseconds at most; what is found later is known to the next call.
    #[must_use]
    pub fn look_up(&self, host: &str) -> Answer {
        self.look_up_one(host, &system)
    }

    /// All addresses of a host, at least one, in the system's order.
    ///
    /// # Errors
    /// `NotFound` when there is none, `TimedOut` when the name servers take longer than `limit`, `ResourceBusy` while
    /// they have not answered for this name, or for too many others, before, and what the system says.
    pub fn look_up_all(&self, host: &str, limit: Duration) -> io::Result<Vec<IpAddr>> {
        self.look_up_by(host, limit, &system)
    }

    fn look_up_one(&self, host: &str, find: Find) -> Answer {
        let mut found = self.look_up_by(host, TURN, find);
        if found.as_ref().is_err_and(|error| error.kind() == ErrorKind::ResourceBusy) {
            found = self.wait(self.0.lock(), host, TURN);
        }
        match found {
            Ok(addresses) => {
                let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
                first.map_or(Answer::Unknown, |&address| Answer::Address(address))
            }
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::ResourceBusy) => {
                Answer::NotYet
            }
            Err(_) => Answer::Unknown,
        }
    }

    fn look_up_by(&self, host: &str, limit: Duration, find: Find) -> io::Result<Vec<IpAddr>> {
        let start = Instant::now();
        let mut names = self.0.lock();
        names.retain(|name| name.answer.is_none() || start.duration_since(name.since) < KEPT_FOR);
        if let Some(answer) = take_answer(&mut names, host) {
            return answer;
        }
        if names.iter().any(|name| name.host == host) || under_way(&names) >= MAX_UNDER_WAY {
            return Err(io::Error::new(ErrorKind::ResourceBusy, "the look-up before has no answer yet"));
        }
        if names.len() >= MAX_NAMES
            && let Some(oldest) = names.iter().position(|name| name.answer.is_some())
        {
            names.remove(oldest);
        }
        self.begin(host, find)?;
        names.push(Name { host: host.to_owned(), since: start, answer: None });
        self.wait(names, host, limit)
    }

    /// Waits for the answer for a name, or for a place for it among those that are looked up.
    fn wait(&self, names: MutexGuard<'_, Vec<Name>>, host: &str, limit: Duration) -> io::Result<Vec<IpAddr>> {
        let is_open = |names: &mut Vec<Name>| match names.iter().find(|name| name.host == host) {
            Some(name) => name.answer.is_none(),
            None => under_way(names) >= MAX_UNDER_WAY,
        };
        let waited = self.0.answered.wait_timeout_while(names, limit, is_open);
        let (mut names, _) = waited.unwrap_or_else(PoisonError::into_inner);
        take_answer(&mut names, host).unwrap_or_else(|| {
            let message = format!("no answer within {} ms", limit.as_millis());
            Err(io::Error::new(ErrorKind::TimedOut, message))
        })
    }

    /// Starts a thread for a name; it can answer once the caller lets go of the names.
    fn begin(&self, host: &str, find: Find) -> io::Result<()> {
        let (shared, host) = (Arc::clone(&self.0), host.to_owned());
        let work = move || {
            // Signals are for the thread that serves. Without this they may come here; it works all the same.
            let _blocked = Blocked::new();
            let found = match find(&host) {
                Ok(none) if none.is_empty() => Err(io::Error::new(ErrorKind::NotFound, "it has no address")),
                found => found,
            };
            let mut names = shared.lock();
            if let Some(name) = names.iter_mut().find(|name| name.host == host) {
                (name.since, name.answer) = (Instant::now(), Some(found));
            }
            drop(names);
            shared.answered.notify_all();
        };
        std::thread::Builder::new().spawn(work).map(drop)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn under_way(names: &[Name]) -> usize {
    names.iter().filter(|name| name.answer.is_none()).count()
}

/// An answer is given once: later it may be another.
fn take_answer(names: &mut Vec<Name>, host: &str) -> Option<io::Result<Vec<IpAddr>>> {
    let at = names.iter().position(|name| name.host == host && name.answer.is_some())?;
    names.swap_remove(at).answer
}

/// Asks the system.
fn system(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::RwLock;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// Asks until there is an answer.
    fn at_last(resolver: &Resolver, host: &str, find: Find) -> Answer {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let found = resolver.look_up_one(host, find);
            if found != Answer::NotYet || Instant::now() > deadline {
                return found;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_name_becomes_an_address_and_nonsense_none() {
        let resolver = Resolver::default();
        let localhost = Answer::Address(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(at_last(&resolver, "localhost", &system), localhost);
        assert_eq!(at_last(&resolver, "no such host", &system), Answer::Unknown);
        assert_eq!(at_last(&resolver, "none", &|_| Ok(Vec::new())), Answer::Unknown);
        assert!(resolver.0.lock().is_empty(), "what was told in time is not kept");
    }

    /// While the lock is held to write, `GATE` keeps name servers silent.
    #[test]
    fn silent_name_servers_hold_up_nobody_for_long_and_what_they_say_late_is_known() {
        static GATE: RwLock<()> = RwLock::new(());
        let slow: Find = &|_| {
            drop(GATE.read());
            Ok(vec![ADDRESS])
        };
        let resolver = Resolver::default();
        let silent = GATE.write().unwrap();
        let start = Instant::now();
        for number in 0..100 {
            assert_eq!(resolver.look_up_one(&format!("slow{number}"), slow), Answer::NotYet);
        }
        assert_eq!(resolver.look_up_one("slow0", slow), Answer::NotYet);
        // Some milliseconds each; the rest is for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(resolver.0.lock().len(), MAX_UNDER_WAY, "names under way");
        drop(silent);
        for number in 0..MAX_UNDER_WAY {
            assert_eq!(at_last(&resolver, &format!("slow{number}"), slow), Answer::Address(ADDRESS));
        }
        assert_eq!(at_last(&resolver, "slow99", slow), Answer::Address(ADDRESS));
    }

    #[test]
    fn a_good_name_is_found_beside_a_slow_one_and_the_limit_is_the_callers() {
        static GATE: RwLock<()> = RwLock::new(());
        let resolver = Resolver::default();
        let _silent = GATE.write().unwrap();
        let slow: Find = &|_| {
            drop(GATE.read());
            Ok(Vec::new())
        };
        let kind = |limit| resolver.look_up_by("slow", limit, slow).unwrap_err().kind();
        assert_eq!(kind(Duration::from_millis(1)), ErrorKind::TimedOut);
        assert_eq!(kind(Duration::from_secs(60)), ErrorKind::ResourceBusy);
        let found = resolver.look_up_by("good", Duration::from_secs(60), &|_| Ok(vec![ADDRESS]));
        assert_eq!(found.unwrap(), [ADDRESS]);
    }

    #[test]
    fn so_many_late_answers_are_kept() {
        let resolver = Resolver::default();
        for number in 0..=2 * MAX_NAMES {
            let late = Name {
                host: format!("late{number}"),
                since: Instant::now(),
                answer: Some(Ok(vec![ADDRESS])),
            };
            resolver.0.lock().push(late);
            assert_eq!(at_last(&resolver, "other", &|_| Ok(vec![ADDRESS])), Answer::Address(ADDRESS));
        }
        assert!(resolver.0.lock().len() <= MAX_NAMES, "{}", resolver.0.lock().len());
    }
}
