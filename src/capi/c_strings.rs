//! Reads the strings and tables of C.
#![expect(unsafe_code, reason = "reads C strings through their pointers")]

use std::ffi::{CStr, c_char};

use super::layouts::Str;

/// The bytes of a `str`. `None` when its pointer is null or its length negative.
///
/// # Safety
/// The pointer is null, or points to `len` bytes that live and do not change for `'a`.
pub(super) unsafe fn bytes<'a>(text: &Str) -> Option<&'a [u8]> {
    let length = usize::try_from(text.len).ok()?;
    if text.s.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller guarantees that `length` bytes are there.
    Some(unsafe { std::slice::from_raw_parts(text.s.cast(), length) })
}

/// Copies a string that ends with NUL. Bytes that are not UTF-8 become U+FFFD. `None` for a null pointer.
///
/// # Safety
/// The pointer is null or points to a string that ends with NUL.
pub(super) unsafe fn to_string_lossy(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller guarantees that the string ends with NUL.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Copies the rows of a table that ends with a row without a name; that row is left out. Empty for a null
/// pointer.
///
/// # Safety
/// The pointer is null, or points to rows of which the last has no name.
pub(super) unsafe fn table_rows<T: Copy>(first: *const T, name: impl Fn(&T) -> *const c_char) -> Vec<T> {
    let mut rows = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: not null and not behind the last row, as all rows before it have names.
        let row = unsafe { next.read() };
        if name(&row).is_null() {
            break;
        }
        rows.push(row);
        // SAFETY: another row follows a row with a name.
        next = unsafe { next.add(1) };
    }
    rows
}

/// Makes a text live until the process ends, as modules are never closed.
pub(super) fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
