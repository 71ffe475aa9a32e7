//! What a process says when a function that is not ours ends it: by a crash, or by exit(3). Says nothing of functions that
//! return. A crash ends the process as it would have; after exit(3) the status is 1, as its own may claim success, and
//! what was registered for the exit before is not run.
#![expect(unsafe_code, reason = "handlers of signals and of the process's exit are installed")]

use std::mem::MaybeUninit;
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use super::leftovers;
use super::process::{self, ProcessId};
use super::stderr;

/// Signals that are crashes.
const CRASHES: [(i32, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGABRT, "SIGABRT"),
];

/// The exit status of a process that such a function has ended by exit(3).
const FAILED: i32 = 1;

/// What is to be said in this process; null while none of those functions runs.
static WORDS: AtomicPtr<Words> = AtomicPtr::new(null_mut());

/// All that were ever to be said, a few in a process: they are not freed, as a thread that such a function has left may
/// be reading them.
static ALL: Mutex<Vec<&Words>> = Mutex::new(Vec::new());

/// Registers [`on_exit`] once; a child has it from its parent.
static ON_EXIT: Once = Once::new();

/// Made in advance, as a handler of a signal can make nothing.
struct Words {
    what: String,
    /// A line for each of [`CRASHES`].
    crashes: [String; CRASHES.len()],
    process: ProcessId,
}

/// Runs a function that is not ours, `what` to the reader. If a signal that is a crash ends it, standard error says so;
/// if it calls exit(3), the log says so, and the status is 1. Not within another such function.
pub fn with<T>(what: &str, function: impl FnOnce() -> T) -> T {
    ON_EXIT.call_once(|| {
        // SAFETY: the function takes nothing and lives as long as the program. Without room for it nothing is said.
        let _registered = unsafe { libc::atexit(on_exit) };
    });
    let crashes = CRASHES.map(|(_, name)| format!("{what}: ended by {name}\n"));
    let words = Words { what: what.to_owned(), crashes, process: ProcessId::own() };
    WORDS.store(keep(words), Ordering::Release);
    let before = CRASHES.map(|(signal, _)| (signal, handle(signal)));
    let result = function();
    before.into_iter().for_each(|(signal, before)| restore(signal, before));
    WORDS.store(null_mut(), Ordering::Release);
    result
}

/// Keeps it, for good. Its place, at which nothing is written.
fn keep(words: Words) -> *mut Words {
    let words: &Words = Box::leak(Box::new(words));
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(words);
    ptr::from_ref(words).cast_mut()
}

/// Lets [`on_crash`] handle a signal. Gives what handled it before.
fn handle(signal: i32) -> Option<libc::sigaction> {
    let [mut action, mut before] = [MaybeUninit::<libc::sigaction>::zeroed(); 2];
    // SAFETY: all zeros is an action: the default, with an empty mask.
    let ours = unsafe { action.assume_init_mut() };
    ours.sa_sigaction = address();
    ours.sa_flags = libc::SA_RESETHAND | libc::SA_ONSTACK;
    // SAFETY: both pointers are to live actions, and the handler does only what one may do.
    let result = unsafe { libc::sigaction(signal, ours, before.as_mut_ptr()) };
    // SAFETY: zeroed, or written by the call.
    (result == 0).then(|| unsafe { before.assume_init() })
}

/// Puts back what handled a signal before, unless the function has installed something of its own.
fn restore(signal: i32, before: Option<libc::sigaction>) {
    let Some(before) = before else { return };
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is installed, and the pointer is to room for what is there.
    let _asked = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
    // SAFETY: zeroed, or written by the call.
    if unsafe { now.assume_init() }.sa_sigaction == address() {
        // SAFETY: the action was installed before.
        let _restored = unsafe { libc::sigaction(signal, &raw const before, null_mut()) };
    }
}

/// [`on_crash`], as sigaction(2) takes it.
fn address() -> libc::sighandler_t {
    let handler: extern "C" fn(i32) = on_crash;
    handler as libc::sighandler_t
}

/// Says the line, and lets the signal come again, which ends the process when this returns.
extern "C" fn on_crash(signal: i32) {
    // SAFETY: null, or what is never freed.
    let words = unsafe { WORDS.load(Ordering::Acquire).as_ref() };
    // A child that the function has forked may end as it likes.
    let words = words.filter(|words| words.process == ProcessId::own());
    let place = CRASHES.iter().position(|(crash, _)| *crash == signal);
    if let Some(line) = words.zip(place).and_then(|(words, place)| words.crashes.get(place)) {
        // A process that crashes can do no more about it.
        let _written = stderr::write(line.as_bytes());
        leftovers::remove();
    }
    // The kernel has done so already, unless a handler of the function's own has called this one.
    // SAFETY: signal(2) may be called in a handler.
    let _before = unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: raise(3) may be called in a handler.
    let _raised = unsafe { libc::raise(signal) };
}

extern "C" fn on_exit() {
    // SAFETY: null, or what is never freed.
    let Some(words) = (unsafe { WORDS.load(Ordering::Acquire).as_ref() }) else { return };
    // As above.
    if words.process == ProcessId::own() {
        log::error!("{} has called exit, and ends the process", words.what);
        // SAFETY: null stands for all streams of C, which a process that ends here would not write.
        let _flushed = unsafe { libc::fflush(null_mut()) };
        leftovers::remove();
        process::exit_child(FAILED);
    }
}
