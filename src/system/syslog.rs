//! The system log: `openlog` once, then one call a line.
//!
//! C: `syslog` as dprint.h uses it.
#![expect(unsafe_code, reason = "syslog(3) is variadic C")]

use std::ffi::{CStr, CString};

/// An open connection to the system log. It survives forks and a change of the root folder.
#[derive(Clone, Copy, Debug)]
pub struct Syslog {
    facility: i32,
}

impl Syslog {
    /// Opens the log under a program name, for a facility by its number (0 kernel … 23 local7).
    #[must_use]
    pub fn open(name: &[u8], facility: u8) -> Syslog {
        let facility = i32::from(facility) << 3;
        let name = CString::new(name).unwrap_or_else(|_| CString::from(c"opensips"));
        // openlog keeps the pointer, so the name must live as long as the process.
        let name: &'static CStr = Box::leak(name.into_boxed_c_str());
        // SAFETY: `name` is NUL-terminated and lives for ever.
        unsafe { libc::openlog(name.as_ptr(), libc::LOG_PID | libc::LOG_CONS | libc::LOG_NDELAY, facility) };
        Syslog { facility }
    }

    /// Writes one line at a priority of syslog (0 emergency … 7 debug).
    pub fn write(&self, priority: i32, line: &str) {
        let Ok(line) = CString::new(line.replace('\0', "\\0")) else { return };
        // SAFETY: the format takes exactly one string, which is NUL-terminated and alive.
        unsafe { libc::syslog(self.facility | priority, c"%s".as_ptr(), line.as_ptr()) };
    }
}
