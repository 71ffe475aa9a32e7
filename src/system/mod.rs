//! The operating system in our own nouns: clock, signals, processes, users, sockets, FIFOs, syslog, memory.
//!
//! With `shm` and `capi` this is the only place for `unsafe`. It knows nothing of MI, configuration or the
//! segment, and it keeps no state but the signal flags in [`signal`], the words of [`last_words`], the files of
//! [`leftovers`] and the way to [`stderr`].

pub mod clock;
pub mod datagram;
pub mod endpoint;
pub mod fifo;
#[cfg(test)]
pub(crate) mod fnmatch;
pub mod last_words;
pub mod leftovers;
pub mod machine;
pub mod memory;
pub mod names;
pub mod notify;
pub mod obstacle;
pub mod own_file;
pub mod patience;
pub mod pipe_notifier;
pub mod presence;
pub mod process;
pub mod queue_probe;
pub mod running;
pub mod send_pool;
pub mod signal;
pub mod stderr;
pub mod syslog;
pub mod tcp;
pub mod time_slice;
pub mod user;
