//! Gives each deferred request a handler: the address by which a C module answers it, from any process.
//!
//! All handlers have the same content, a pointer to [`answer_request`], so the address alone identifies the
//! request. It is computed from the number of the pending request. An address is used again after
//! [`HANDLER_COUNT`] more deferred requests. Until then an outdated handler reaches no other request, because
//! the number that is stored with the pending request differs. The address range consists of [`MAPPINGS`]
//! mappings of one file, so it costs little memory. C: `struct mi_handler` in mi/mi.h, and
//! `build_async_handler` of each transport.
#![expect(unsafe_code, reason = "maps the memory that C sees as handlers")]

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

use super::exports::catch_panics;
use super::layouts::{HandlerFunction, MiHandler, MiRoot};
use super::tree::{OwnedTree, stored_reply};
use crate::shm::PendingRequests;
use crate::shm::pending::MAX_PENDING;
use crate::system::memory::anonymous_file;

/// The number of handlers in the file.
const HANDLERS_PER_FILE: usize = 1 << 16;

/// The number of mappings of the file, one behind the other.
const MAPPINGS: usize = 64;

/// The number of handler addresses. After as many deferred requests an address is used again.
const HANDLER_COUNT: usize = HANDLERS_PER_FILE * MAPPINGS;
const _: () = assert!(
    HANDLER_COUNT.is_multiple_of(MAX_PENDING),
    "an address gives the position of its pending request"
);

/// The size of the file, in bytes.
const FILE_BYTES: usize = HANDLERS_PER_FILE * size_of::<MiHandler>();

/// The server's pending requests. A global variable, as C's functions do not pass a context.
static PENDING: OnceLock<&'static PendingRequests> = OnceLock::new();

/// The range of handler addresses. Created before the first fork, when a module has a command that defers its
/// reply.
static HANDLER_RANGE: OnceLock<HandlerRange> = OnceLock::new();

/// Sets where the pending requests are. Called once, before the first fork.
pub fn provide_pending(pending: &'static PendingRequests) {
    // Only a test calls this twice in one process; the first call counts.
    let _first = PENDING.set(pending);
}

/// The mapped handlers, by the address of the first one.
#[derive(Debug)]
struct HandlerRange(NonNull<MiHandler>);

// SAFETY: the memory is neither written nor unmapped, and only addresses are computed here.
unsafe impl Sync for HandlerRange {}
// SAFETY: as above.
unsafe impl Send for HandlerRange {}

/// Maps the handlers, unless they are mapped already. Called before the first fork.
///
/// # Errors
/// When the system has no memory or address space for them.
pub(super) fn create() -> Result<(), String> {
    if HANDLER_RANGE.get().is_none() {
        let refused =
            |error| format!("no memory for its handlers: {error}; raise the limit of address space");
        let _made = HANDLER_RANGE.set(HandlerRange::map().map_err(refused)?);
    }
    Ok(())
}

/// The handler of the pending request of that number. `None` when no handlers are mapped.
pub(super) fn for_request(number: u64) -> Option<NonNull<MiHandler>> {
    HANDLER_RANGE.get().map(|handlers| handlers.for_request(number))
}

impl HandlerRange {
    fn map() -> io::Result<HandlerRange> {
        let file = anonymous_file(FILE_BYTES as u64)?;
        let function: HandlerFunction = answer_request;
        // The function, and an unused parameter.
        let content = [(function as usize).to_ne_bytes(), [0; size_of::<usize>()]].concat();
        file.write_all_at(&content.repeat(HANDLERS_PER_FILE), 0)?;
        let first = map_memory(
            null_mut(),
            FILE_BYTES * MAPPINGS,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
        )?;
        for mapping in 0..MAPPINGS {
            // Read-only: a module that writes to a handler ends with SIGSEGV instead of changing all
            // handlers.
            let address = first.as_ptr().wrapping_byte_add(mapping * FILE_BYTES);
            map_memory(
                address,
                FILE_BYTES,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_FIXED,
                file.as_raw_fd(),
            )?;
        }
        Ok(HandlerRange(first.cast()))
    }

    fn for_request(&self, number: u64) -> NonNull<MiHandler> {
        let index = usize::try_from(number % HANDLER_COUNT as u64).unwrap_or(0);
        // SAFETY: within the mapping.
        unsafe { self.0.add(index) }
    }

    /// The index of a handler. `None` when the pointer is not a handler.
    fn index(&self, handler: *mut MiHandler) -> Option<usize> {
        let offset = handler.addr().checked_sub(self.0.as_ptr().addr())?;
        let index = offset / size_of::<MiHandler>();
        (offset.is_multiple_of(size_of::<MiHandler>()) && index < HANDLER_COUNT).then_some(index)
    }
}

/// Calls `mmap`.
fn map_memory(
    address: *mut libc::c_void,
    bytes: usize,
    protection: i32,
    flags: i32,
    file: i32,
) -> io::Result<NonNull<libc::c_void>> {
    // SAFETY: the address is null, or lies in a mapping that `HandlerRange::map` reserved for this.
    let mapped = unsafe { libc::mmap(address, bytes, protection, flags, file, 0) };
    NonNull::new(mapped).filter(|_| mapped != libc::MAP_FAILED).ok_or_else(io::Error::last_os_error)
}

/// The function behind `handler_f`: answers a deferred request, once. A tree that comes with `done` 0 is
/// freed and not sent, as each request has one reply. C: `xmlrpc_close_async` in xr_server.c, and others.
extern "C" fn answer_request(root: *mut MiRoot, handler: *mut MiHandler, done: c_int) {
    catch_panics((), || {
        // SAFETY: a module gives up the tree that it passes.
        let tree = NonNull::new(root).map(|root| unsafe { OwnedTree::returned(root) });
        if done == 0 {
            return;
        }
        let index = HANDLER_RANGE.get().and_then(|handlers| handlers.index(handler));
        let number = index
            .zip(PENDING.get())
            .and_then(|(index, pending)| Some((pending.find(index as u64, HANDLER_COUNT as u64)?, pending)));
        let Some((number, pending)) = number else {
            log::error!(
                often = true;
                "the reply by handler {handler:p} is dropped: its request was answered before, or timed out, or its \
                 client is gone"
            );
            return;
        };
        if let Err(error) = stored_reply(tree, "a deferred reply").answer(pending, number) {
            log::warn!(often = true; "the reply to request {number} is dropped: {error}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_address_identifies_its_request_until_all_addresses_were_used() {
        let handlers = HandlerRange::map().unwrap();
        let numbers = [
            1,
            2,
            MAX_PENDING as u64,
            HANDLERS_PER_FILE as u64 - 1,
            HANDLERS_PER_FILE as u64,
            HANDLER_COUNT as u64 - 1,
        ];
        for number in numbers {
            let handler = handlers.for_request(number);
            assert_eq!(handlers.index(handler.as_ptr()), usize::try_from(number).ok());
            assert_eq!(handlers.for_request(number + HANDLER_COUNT as u64), handler);
            assert_ne!(
                handlers.for_request(number + MAX_PENDING as u64),
                handler,
                "requests at the same position have different handlers"
            );
            // SAFETY: the handler is mapped and readable.
            let found = unsafe { handler.as_ref() };
            let function: HandlerFunction = answer_request;
            assert_eq!((found.handler_f as usize, found.param), (function as usize, null_mut()));
        }
    }

    #[test]
    fn a_pointer_outside_the_range_or_between_handlers_is_no_handler() {
        let handlers = HandlerRange::map().unwrap();
        let first = handlers.for_request(0).as_ptr();
        let behind = first.wrapping_byte_add(FILE_BYTES * MAPPINGS);
        assert_eq!(handlers.index(first), Some(0));
        for wrong in [first.wrapping_byte_add(8), first.wrapping_byte_sub(16), behind, null_mut()] {
            assert_eq!(handlers.index(wrong), None);
        }
    }
}
