//! Strings that C has made.
#![expect(unsafe_code, reason = "strings of C are read by their pointers")]

use std::ffi::{CStr, c_char};

use super::layouts::Str;

/// The bytes of a string with its length; none when there is no string.
///
/// # Safety
/// The pointer is null, or to as many bytes as the length says, which stay as they are for `'a`.
pub(super) unsafe fn bytes<'a>(text: &Str) -> Option<&'a [u8]> {
    let length = usize::try_from(text.len).ok()?;
    if text.s.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller says that so many bytes are there.
    Some(unsafe { std::slice::from_raw_parts(text.s.cast(), length) })
}

/// A string that ends with NUL, as text; `None` when there is none. Bytes that are no UTF-8 are replaced.
///
/// # Safety
/// The pointer is null, or to a string that ends with NUL.
pub(super) unsafe fn to_string_lossy(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller says that it is a string.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The rows of a table whose last one has no name.
///
/// # Safety
/// The pointer is null, or to rows of which one has no name.
pub(super) unsafe fn table_rows<T: Copy>(first: *const T, name: impl Fn(&T) -> *const c_char) -> Vec<T> {
    let mut rows = Vec::new();
    let mut at = first;
    while !at.is_null() {
        // SAFETY: not null and not behind the last row, as all before have names.
        let row = unsafe { at.read() };
        if name(&row).is_null() {
            break;
        }
        rows.push(row);
        // SAFETY: a row with a name has one behind it.
        at = unsafe { at.add(1) };
    }
    rows
}

/// Text that lives to the end of the process, as what a module exports does.
pub(super) fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
