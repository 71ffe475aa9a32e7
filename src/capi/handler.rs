//! HandlerRange: what a C command keeps of a request that it answers later, and the function by which any process answers.
//!
//! All that a module knows of a handler is its address, and all that lies there is the function, the same for all. So the
//! address says which request it is: it follows from the number of the pending reply. One that is kept for too long
//! reaches no other request before [`HANDLER_COUNT`] have come after its own, and the number in the row tells the two apart until
//! then. The addresses are [`MAPPINGS`] mappings of one file, so they cost little memory. C: `struct mi_handler` in
//! mi/mi.h, and `build_async_handler` of each transport.
#![expect(unsafe_code, reason = "handlers are known to C by their addresses")]

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

use super::exports::catch_panics;
use super::layouts::{HandlerFunction, MiHandler, MiRoot};
use super::tree::{OwnedTree, stored_reply};
use crate::shm::Pending;
use crate::shm::pending::MAX_PENDING;
use crate::system::memory::anonymous_file;

/// HandlerRange in the file.
const HANDLERS_PER_FILE: usize = 1 << 16;

/// How often the file is mapped, one mapping behind the other.
const MAPPINGS: usize = 64;

/// How many addresses there are: after as many requests one is used again.
const HANDLER_COUNT: usize = HANDLERS_PER_FILE * MAPPINGS;
const _: () = assert!(HANDLER_COUNT.is_multiple_of(MAX_PENDING), "an address leads to the place of its row");

/// Bytes of the file.
const FILE_BYTES: usize = HANDLERS_PER_FILE * size_of::<MiHandler>();

/// Pending replies of the server. C's functions carry no context, so it cannot stand elsewhere.
static PENDING: OnceLock<&'static Pending> = OnceLock::new();

/// The handlers.
static HANDLER_RANGE: OnceLock<HandlerRange> = OnceLock::new();

/// Says where pending replies are. Once, before the first fork.
pub fn provide_pending(pending: &'static Pending) {
    // A second call would be by a test.
    let _first = PENDING.set(pending);
}

/// The address of the first handler.
#[derive(Debug)]
struct HandlerRange(NonNull<MiHandler>);

// SAFETY: the memory is never written nor unmapped, and only addresses are computed here.
unsafe impl Sync for HandlerRange {}
// SAFETY: as above.
unsafe impl Send for HandlerRange {}

/// Makes the handlers, unless there are some. Before the first fork.
///
/// # Errors
/// When there is no memory.
pub(super) fn create() -> Result<(), String> {
    if HANDLER_RANGE.get().is_none() {
        let refused =
            |error| format!("no memory for its handlers: {error}; raise the limit of address space");
        let _made = HANDLER_RANGE.set(HandlerRange::map().map_err(refused)?);
    }
    Ok(())
}

/// The handler of the pending reply of that number; `None` when there are no handlers.
pub(super) fn for_request(number: u64) -> Option<NonNull<MiHandler>> {
    HANDLER_RANGE.get().map(|handlers| handlers.for_request(number))
}

impl HandlerRange {
    fn map() -> io::Result<HandlerRange> {
        let file = anonymous_file(FILE_BYTES as u64)?;
        let function: HandlerFunction = answer_request;
        // The function, and a parameter that nobody uses.
        let one = [(function as usize).to_ne_bytes(), [0; size_of::<usize>()]].concat();
        file.write_all_at(&one.repeat(HANDLERS_PER_FILE), 0)?;
        let first = map_memory(
            null_mut(),
            FILE_BYTES * MAPPINGS,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
        )?;
        for piece in 0..MAPPINGS {
            // Written by nobody: a module that does so ends with SIGSEGV, and spoils no other request.
            let place = first.as_ptr().wrapping_byte_add(piece * FILE_BYTES);
            map_memory(
                place,
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

    /// Which one a pointer is, if it is one.
    fn index(&self, handler: *mut MiHandler) -> Option<usize> {
        let offset = handler.addr().checked_sub(self.0.as_ptr().addr())?;
        let index = offset / size_of::<MiHandler>();
        (offset.is_multiple_of(size_of::<MiHandler>()) && index < HANDLER_COUNT).then_some(index)
    }
}

fn map_memory(
    place: *mut libc::c_void,
    bytes: usize,
    protection: i32,
    flags: i32,
    file: i32,
) -> io::Result<NonNull<libc::c_void>> {
    // SAFETY: the place is null, or lies in a mapping that this file has made for this and that nobody uses.
    let mapped = unsafe { libc::mmap(place, bytes, protection, flags, file, 0) };
    NonNull::new(mapped).filter(|_| mapped != libc::MAP_FAILED).ok_or_else(io::Error::last_os_error)
}

/// What `handler_f` is: answers a request, once. What a module says before it is done goes nowhere, as every request has
/// one reply. C: `xmlrpc_close_async` in xr_server.c, and others.
extern "C" fn answer_request(root: *mut MiRoot, handler: *mut MiHandler, done: c_int) {
    catch_panics((), || {
        // SAFETY: a module gives its tree away, or none.
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
                "an answer by handler {handler:p} goes nowhere: it was answered before, or its time is over, or the \
                 caller is gone"
            );
            return;
        };
        if let Err(gone) = stored_reply(tree, "an answer that came later").answer(pending, number) {
            log::warn!(often = true; "an answer to request {number} goes nowhere: {gone}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_which_request_it_is_until_all_were_used() {
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
                "one whose row has the same place"
            );
            // SAFETY: mapped, and made to be read.
            let found = unsafe { handler.as_ref() };
            let function: HandlerFunction = answer_request;
            assert_eq!((found.handler_f as usize, found.param), (function as usize, null_mut()));
        }
    }

    #[test]
    fn other_pointers_are_no_handlers() {
        let handlers = HandlerRange::map().unwrap();
        let first = handlers.for_request(0).as_ptr();
        let behind = first.wrapping_byte_add(FILE_BYTES * MAPPINGS);
        assert_eq!(handlers.index(first), Some(0));
        for wrong in [first.wrapping_byte_add(8), first.wrapping_byte_sub(16), behind, null_mut()] {
            assert_eq!(handlers.index(wrong), None);
        }
    }
}
