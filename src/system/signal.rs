//! Signals: what a handler does is set a flag; loops look at the flags and decide.
//!
//! The attendant waits on a [`Stream`]; a worker has [`worker_handlers`], which interrupt its blocking call.
//! C: `handle_sigs` and `sig_usr` in main.c, which do the whole policy in one place.
#![expect(unsafe_code, reason = "installing a signal handler is unsafe by nature")]

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// What the attendant's signals ask for. Each is seen once by [`Stream::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// SIGTERM, SIGINT, SIGQUIT or one of `OTHERS`: end the server.
    Stop,
    /// SIGCHLD: a child changed its state.
    Child,
    /// SIGHUP: open again what has vanished.
    Reopen,
    /// SIGUSR1: write memory and statistics to the log.
    Report,
    /// SIGUSR2: publish this process's memory figures.
    Publish,
}

const EVENTS: [(Event, &[i32]); 5] = [
    (Event::Stop, &[libc::SIGTERM, libc::SIGINT, libc::SIGQUIT]),
    (Event::Child, &[libc::SIGCHLD]),
    (Event::Reopen, &[libc::SIGHUP]),
    (Event::Report, &[libc::SIGUSR1]),
    (Event::Publish, &[libc::SIGUSR2]),
];

/// Signals that nobody sends in general, and that would end the attendant without its endpoints being removed. A
/// module may have a use of its own for one.
///
/// Differs: they end C at once, as SIGQUIT does.
const OTHERS: [Signal; 7] = [
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSTKFLT,
    Signal::SIGXCPU,
];

/// The attendant's signals, as a descriptor to wait on and flags to take.
#[derive(Debug)]
pub struct Stream {
    wake: UnixStream,
    flags: Vec<(Event, Arc<AtomicBool>)>,
    /// What `new` has installed.
    actions: Vec<(i32, libc::sigaction)>,
}

impl Stream {
    /// Installs the handlers.
    ///
    /// # Errors
    /// When the wake-up pair or a handler cannot be set up.
    pub fn new() -> io::Result<Stream> {
        let (wake, write_end) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut flags = Vec::new();
        for (event, signals) in EVENTS {
            let flag = Arc::new(AtomicBool::new(false));
            let others = OTHERS.iter().map(|&signal| signal as i32).filter(|_| event == Event::Stop);
            for signal in signals.iter().copied().chain(others) {
                // The flag first: who is woken by the pipe must find it set.
                signal_hook::flag::register(signal, Arc::clone(&flag))?;
                signal_hook::low_level::pipe::register(signal, write_end.try_clone()?)?;
            }
            flags.push((event, flag));
        }
        let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: there is no handler to run. A write past the limit of a file's size fails instead.
        unsafe { sigaction(Signal::SIGXFSZ, &ignored) }?;
        let all = EVENTS.iter().flat_map(|(_, signals)| *signals);
        let actions = all.map(|&signal| Ok((signal, installed(signal)?))).collect::<io::Result<_>>()?;
        Ok(Stream { wake, flags, actions })
    }

    /// Installs the handlers again, and lets all signals through: for when code has run that is not ours.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn install_again(&self) -> io::Result<()> {
        for (signal, action) in &self.actions {
            // SAFETY: the action is the one that `new` has installed, and nobody asks for the one that is there.
            if unsafe { libc::sigaction(*signal, action, std::ptr::null_mut()) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(SigSet::empty().thread_set_mask()?)
    }

    /// The descriptor that becomes readable when a signal has come.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The events since the last call, each at most once.
    pub fn take(&mut self) -> Vec<Event> {
        let mut drained = [0_u8; 64];
        while matches!(self.wake.read(&mut drained), Ok(n) if n > 0) {}
        self.flags
            .iter()
            .filter(|(_, flag)| flag.swap(false, Ordering::AcqRel))
            .map(|&(event, _)| event)
            .collect()
    }
}

/// A signal's action at this time.
fn installed(signal: i32) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: nothing is installed, and the pointer is to room for what is there.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written by a call that has not failed.
    Ok(unsafe { action.assume_init() })
}

/// Bits of [`PENDING`].
const STOP: u32 = 1;
const PUBLISH: u32 = 2;

/// What a worker's handlers have seen. One word, so that a request costs one load.
static PENDING: AtomicU32 = AtomicU32::new(0);

/// Where a worker's handler writes a byte, for a worker that waits for many things at once; -1 when there is none.
static WAKE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(signal: i32) {
    let bit = if signal == libc::SIGUSR2 { PUBLISH } else { STOP };
    PENDING.fetch_or(bit, Ordering::Relaxed);
    let wake = WAKE.load(Ordering::Relaxed);
    if wake >= 0 {
        // SAFETY: a signal may come between a call and the reading of its error.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: the pointer is to this thread's own number, which is always there.
        let before = unsafe { *errno };
        // A full pipe wakes as well. SAFETY: write(2) may be called in a handler, and the byte is live.
        let _written = unsafe { libc::write(wake, b"!".as_ptr().cast(), 1) };
        // SAFETY: as above.
        unsafe { *errno = before };
    }
}

/// What becomes readable when a signal has come to this worker, for one that does not sleep in a call of its own.
/// Without blocking; made once in a process.
///
/// # Errors
/// When no descriptor can be had.
pub fn wake_up() -> io::Result<UnixStream> {
    let (wake, write_end) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    write_end.set_nonblocking(true)?;
    // Stays open as long as the process, as the handler does.
    WAKE.store(write_end.into_raw_fd(), Ordering::Relaxed);
    Ok(wake)
}

/// Gives a freshly forked child its own handlers: SIGTERM stops it after the request in hand, SIGUSR2 asks
/// for its memory figures, both interrupt a blocking call; the rest is the attendant's business and ignored.
///
/// # Errors
/// When a handler cannot be installed.
pub fn worker_handlers() -> io::Result<()> {
    PENDING.store(0, Ordering::Relaxed);
    let interrupting = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let plan = [
        (Signal::SIGTERM, interrupting),
        (Signal::SIGUSR2, interrupting),
        (Signal::SIGINT, ignored),
        (Signal::SIGQUIT, ignored),
        (Signal::SIGHUP, ignored),
        (Signal::SIGUSR1, ignored),
        (Signal::SIGPIPE, ignored),
        (Signal::SIGCHLD, default),
    ];
    for (signal, action) in plan.into_iter().chain(OTHERS.map(|signal| (signal, default))) {
        // SAFETY: the only handler is `on_signal`, which does one atomic operation.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Lets SIGTERM end this worker at once, for one that runs code which never asks whether to stop. One that was told to
/// stop before is still so: see [`stop_requested`]. SIGUSR2 has no effect any more.
///
/// # Errors
/// When the kernel refuses it.
pub fn end_at_once() -> io::Result<()> {
    for (signal, handler) in [(Signal::SIGTERM, SigHandler::SigDfl), (Signal::SIGUSR2, SigHandler::SigIgn)] {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: there is no handler to run.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Whether this worker was told to stop.
#[must_use]
pub fn stop_requested() -> bool {
    PENDING.load(Ordering::Relaxed) & STOP != 0
}

/// Whether anything was asked of this worker since the flags were last taken; one load.
#[must_use]
pub fn pending() -> bool {
    PENDING.load(Ordering::Relaxed) != 0
}

/// Takes the request for memory figures, if there is one.
#[must_use]
pub fn take_publish() -> bool {
    PENDING.fetch_and(!PUBLISH, Ordering::Relaxed) & PUBLISH != 0
}

/// All signals held back until dropped: around a fork, so that a child never runs the attendant's handlers.
#[derive(Debug)]
pub struct Blocked(SigSet);

impl Blocked {
    /// Blocks every signal of this thread.
    ///
    /// # Errors
    /// When the kernel refuses the mask.
    pub fn new() -> io::Result<Blocked> {
        let mut before = SigSet::empty();
        nix::sys::signal::pthread_sigmask(
            nix::sys::signal::SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        )?;
        Ok(Blocked(before))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // Only an invalid mask can fail, and this one came from the kernel.
        let _restored = self.0.thread_set_mask();
    }
}
