//! The attendant: the master process. It makes the segment and the endpoints, forks the workers, and watches
//! over them; it never serves a request.
//!
//! ```text
//! prepare.rs    from the configuration to services; the last errors that have a place in the file
//! daemon.rs     leaving the terminal, and telling the starting process how it went
//! pid_file.rs   the files of -P and -G
//! boot.rs       the order of the start
//! folders.rs    what the folders of endpoints let the server's user do
//! inspect.rs    what -c looks at beyond the configuration
//! relative.rs   paths that do not begin at the root
//! busy.rs       processes that take long for one thing
//! locks.rs      processes that hold a lock for too long
//! stopped.rs    workers that a signal has stopped
//! supervise.rs  the life after it: signals, dead workers, vanished endpoints, the end
//! time_keeper.rs  the process that runs the modules' timers
//! ```
//!
//! C: `main`, `main_loop` and `handle_sigs` in main.c, daemonize.c, pt.c.

mod boot;
mod busy;
mod daemon;
mod folders;
mod inspect;
mod locks;
mod pid_file;
mod prepare;
mod relative;
mod stopped;
mod supervise;
mod time_keeper;

pub use boot::{BootError, Outcome, run};
pub use daemon::open_syslog;
pub use prepare::{Plan, look_up, prepare};
