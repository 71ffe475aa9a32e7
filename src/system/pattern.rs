//! Shell patterns, as fnmatch(3) has them.
#![expect(unsafe_code, reason = "fnmatch(3)")]

use std::ffi::CString;

/// A pattern with `*`, `?` and `[…]`.
#[derive(Debug)]
pub struct Pattern(CString);

impl Pattern {
    /// A pattern; `None` when it holds a NUL byte.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Pattern> {
        CString::new(text).ok().map(Pattern)
    }

    /// Whether the whole text matches. A text with a NUL byte matches nothing.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let Ok(text) = CString::new(text) else { return false };
        // SAFETY: both are NUL-terminated and alive.
        unsafe { libc::fnmatch(self.0.as_ptr(), text.as_ptr(), 0) == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        let matches =
            |pattern: &str, text: &str| Pattern::new(pattern.as_bytes()).unwrap().matches(text.as_bytes());
        assert!(matches("chunk_*", "chunk_a") && matches("*", "") && matches("a?[b-d]", "axc"));
        assert!(!matches("chunk_*", "other") && !matches("a", "ab") && !matches("*", "a\0b"));
        assert!(Pattern::new(b"a\0").is_none());
    }
}
