//! fnmatch(3), for tests that compare with it.
#![expect(unsafe_code, reason = "fnmatch(3)")]

use std::ffi::CString;

/// Whether a text matches a pattern, as the C library says.
pub(crate) fn fnmatch(pattern: &[u8], text: &[u8]) -> bool {
    let (pattern, text) = (CString::new(pattern).unwrap(), CString::new(text).unwrap());
    // SAFETY: both are NUL-terminated and alive.
    unsafe { libc::fnmatch(pattern.as_ptr(), text.as_ptr(), 0) == 0 }
}
