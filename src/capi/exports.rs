//! Exports shared memory and the log to C modules and the shim.
//!
//! No panic crosses into C: the caller gets the function's failure value instead. C: mem/shm_mem.h and
//! dprint.h.
#![expect(unsafe_code, reason = "exports functions to C and copies blocks of memory")]

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

use super::c_strings;
use crate::logging::{self, level};
use crate::shm::Contiguous;

/// The shared memory of all C modules. A global variable, as C's functions do not pass a context.
static MEMORY: OnceLock<&'static Contiguous> = OnceLock::new();

/// Creates the memory that `shm_malloc` takes from. Called once, before the first module is opened.
///
/// # Errors
/// When the system cannot give `bytes` bytes.
pub fn provide_memory(bytes: usize) -> io::Result<&'static Contiguous> {
    let memory = Contiguous::create(bytes)?;
    Ok(MEMORY.get_or_init(|| memory))
}

/// Runs the body of an exported function. Gives `fallback` when it panics; the panic hook writes the panic to
/// the log.
pub(super) fn catch_panics<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}

/// Allocates a block of shared memory. Null when no free block is large enough.
#[unsafe(no_mangle)]
extern "C" fn shm_malloc(size: c_ulong) -> *mut c_void {
    catch_panics(null_mut(), || allocate(size).map_or(null_mut(), |block| block.as_ptr().cast()))
}

/// Allocates a block of shared memory, aligned for every type. `None`, with a line in the log, when no free
/// block is large enough.
pub(super) fn allocate(size: c_ulong) -> Option<NonNull<u8>> {
    let block = MEMORY.get()?.allocate(usize::try_from(size).ok()?);
    if block.is_none() {
        log::error!(often = true; "shm_malloc: no room for {size} bytes; give a larger -m");
    }
    block
}

/// Frees a block. A pointer that is not a block in use is ignored, with a line in the log.
#[unsafe(no_mangle)]
extern "C" fn shm_free(block: *mut c_void) {
    catch_panics((), || {
        let is_freed = |block| MEMORY.get().is_some_and(|memory| memory.release(block));
        if NonNull::new(block.cast()).is_some_and(|block| !is_freed(block)) {
            log::error!(often = true; "shm_free: {block:p} is no block in use");
        }
    });
}

/// Changes the size of a block, which may move. Null when no free block is large enough; the old block is
/// kept then.
#[unsafe(no_mangle)]
extern "C" fn shm_realloc(block: *mut c_void, size: c_ulong) -> *mut c_void {
    catch_panics(null_mut(), || {
        let Some(old) = NonNull::new(block.cast::<u8>()) else { return shm_malloc(size) };
        let Some(capacity) = MEMORY.get().and_then(|memory| memory.capacity(old)) else {
            log::error!(often = true; "shm_realloc: {block:p} is no block in use");
            return null_mut();
        };
        if usize::try_from(size).is_ok_and(|size| size <= capacity) {
            return block;
        }
        let Some(new) = allocate(size) else { return null_mut() };
        // SAFETY: both are blocks in use, and the new one is larger than `capacity`.
        unsafe { new.copy_from_nonoverlapping(old, capacity) };
        shm_free(block);
        new.as_ptr().cast()
    })
}

/// The nearest level of the log crate. The line in the log keeps its OpenSIPS level as well.
fn log_level(level: c_int) -> log::Level {
    match level {
        ..=level::ERROR => log::Level::Error,
        0..=level::WARNING => log::Level::Warn,
        level::NOTICE..=level::INFO => log::Level::Info,
        level::DEBUG.. => log::Level::Debug,
    }
}

/// Gives 1 when the log level lets lines of this OpenSIPS level through, 0 otherwise.
#[unsafe(no_mangle)]
extern "C" fn opensips_mi_is_printable(level: c_int) -> c_int {
    catch_panics(0, || c_int::from(logging::shows(level)))
}

/// Writes a line to the log under a module's name. `cause` is the line's format string; its address tells
/// lines of different formats apart when the log limits repeated lines.
///
/// # Safety
/// `module` is null or a string that ends with NUL, and `line` has `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_log_line(
    level: c_int,
    module: *const c_char,
    line: *const c_char,
    len: c_ulong,
    cause: *const c_char,
) {
    catch_panics((), || {
        // SAFETY: the caller guarantees it.
        let module = unsafe { c_strings::to_string_lossy(module) }.unwrap_or_default();
        let line = super::layouts::Str { s: line, len: c_int::try_from(len).unwrap_or(0) };
        // SAFETY: the caller guarantees it.
        let line = unsafe { c_strings::bytes(&line) }.unwrap_or_default();
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        let cause = cause.addr();
        log::log!(target: &module, log_level(level), level = level, cause = cause; "{text}");
    });
}
