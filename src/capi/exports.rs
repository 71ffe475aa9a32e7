//! Functions of the server that C modules and the shim call. No panic crosses: where one is caught, the caller gets
//! what stands for a failure. C: mem/shm_mem.h and dprint.h.
#![expect(unsafe_code, reason = "functions are exported to C, and blocks of memory are copied")]

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

use super::c_strings;
use crate::logging::{self, level};
use crate::shm::Contiguous;

/// The memory of all C modules. C's functions carry no context, so it cannot stand elsewhere.
static MEMORY: OnceLock<&'static Contiguous> = OnceLock::new();

/// Makes the memory that `shm_malloc` takes from, of so many bytes. Once, before the first module is opened.
///
/// # Errors
/// When the system has no such memory to give.
pub fn provide_memory(bytes: usize) -> io::Result<&'static Contiguous> {
    let memory = Contiguous::create(bytes)?;
    Ok(MEMORY.get_or_init(|| memory))
}

/// Runs what an exported function does; gives `fallback` when it panics. The panic hook has logged it then.
pub(super) fn catch_panics<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}

/// A block of shared memory; null when there is no room.
#[unsafe(no_mangle)]
extern "C" fn shm_malloc(size: c_ulong) -> *mut c_void {
    catch_panics(null_mut(), || allocate(size).map_or(null_mut(), |block| block.as_ptr().cast()))
}

/// A block of shared memory.
pub(super) fn allocate(size: c_ulong) -> Option<NonNull<u8>> {
    let block = MEMORY.get()?.allocate(usize::try_from(size).ok()?);
    if block.is_none() {
        log::error!(often = true; "shm_malloc: no room for {size} bytes; give a larger -m");
    }
    block
}

/// Gives a block back; what is no block in use is left alone, with a line in the log.
#[unsafe(no_mangle)]
extern "C" fn shm_free(block: *mut c_void) {
    catch_panics((), || {
        let is_freed = |block| MEMORY.get().is_some_and(|memory| memory.release(block));
        if NonNull::new(block.cast()).is_some_and(|block| !is_freed(block)) {
            log::error!(often = true; "shm_free: {block:p} is no block in use");
        }
    });
}

/// A larger or smaller block with the same bytes; null, and the old one is kept, when there is no room.
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
        // SAFETY: both are blocks in use, and the new one has more room than `capacity`.
        unsafe { new.copy_from_nonoverlapping(old, capacity) };
        shm_free(block);
        new.as_ptr().cast()
    })
}

/// The log crate's level that is nearest; the line says its own, too.
fn log_level(level: c_int) -> log::Level {
    match level {
        ..=level::ERROR => log::Level::Error,
        0..=level::WARNING => log::Level::Warn,
        level::NOTICE..=level::INFO => log::Level::Info,
        level::DEBUG.. => log::Level::Debug,
    }
}

/// Whether a line of one of OpenSIPS's levels is to be written.
#[unsafe(no_mangle)]
extern "C" fn opensips_mi_is_printable(level: c_int) -> c_int {
    catch_panics(0, || c_int::from(logging::shows(level)))
}

/// Writes a line under a module's name. Its format tells it apart from the module's other lines.
///
/// # Safety
/// The module is a string that ends with NUL, and the text has `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn opensips_mi_log_line(
    level: c_int,
    module: *const c_char,
    line: *const c_char,
    len: c_ulong,
    cause: *const c_char,
) {
    catch_panics((), || {
        // SAFETY: as the caller says.
        let module = unsafe { c_strings::to_string_lossy(module) }.unwrap_or_default();
        let line = super::layouts::Str { s: line, len: c_int::try_from(len).unwrap_or(0) };
        // SAFETY: as the caller says.
        let line = unsafe { c_strings::bytes(&line) }.unwrap_or_default();
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        let cause = cause.addr();
        log::log!(target: &module, log_level(level), level = level, cause = cause; "{text}");
    });
}
