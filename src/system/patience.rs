//! Trying again what a server that is just ending stands in the way of.
//!
//! Whoever kills an attendant with SIGKILL and starts the next one at once meets workers that the kernel has not ended
//! yet: for some milliseconds they hold sockets and locks. C binds and writes over whatever is there.

use std::time::{Duration, Instant};

/// How long a server that ends may take.
const LIMIT: Duration = Duration::from_millis(500);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Does something, and again for half a second as long as its error is one that may pass.
///
/// # Errors
/// The last try's.
pub fn retry<T, E>(mut attempt: impl FnMut() -> Result<T, E>, may_pass: impl Fn(&E) -> bool) -> Result<T, E> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if may_pass(&error) && start.elapsed() < LIMIT => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_is_told_at_once() {
        let mut tries = 0;
        let mut third_time = || {
            tries += 1;
            if tries < 3 { Err("busy") } else { Ok(tries) }
        };
        assert_eq!(retry(&mut third_time, |error| *error == "busy"), Ok(3));
        let mut tries = 0;
        let broken = retry::<(), _>(
            || {
                tries += 1;
                Err("broken")
            },
            |error| *error == "busy",
        );
        assert_eq!((broken, tries), (Err("broken"), 1));
    }

    #[test]
    fn it_has_an_end() {
        let start = Instant::now();
        assert_eq!(retry::<(), _>(|| Err("busy"), |_| true), Err("busy"));
        assert!(start.elapsed() >= LIMIT);
    }
}
