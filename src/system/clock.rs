//! The clocks: wall time for people, the boot clock for everything that is counted.
//!
//! C: `time`, `ctime` and `get_ticks` as mi_core.c and timer.c use them.
#![expect(unsafe_code, reason = "local time needs libc's time zone tables")]

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Seconds since the epoch by the wall clock; 0 before 1970.
#[must_use]
pub fn wall_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Nanoseconds since the machine started, including the time it slept. Never jumps with the wall clock.
#[must_use]
pub fn boot_nanos() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return 0 };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0)
}

/// Seconds of a clock that only goes forward, as of the last tick of the kernel: cheaper than the others, for what need
/// not be exact.
#[must_use]
pub fn coarse_seconds() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |now| u64::try_from(now.tv_sec()).unwrap_or(0))
}

/// Whole seconds of [`boot_nanos`].
#[must_use]
pub fn boot_seconds() -> u64 {
    boot_nanos() / 1_000_000_000
}

/// A wall-clock time as `ctime` writes it, without the line end: `Sun Nov 22 04:24:29 2026`, local time.
///
/// C: `mi_uptime` in mi_core.c.
#[must_use]
pub fn ctime(seconds: i64) -> String {
    format_local(seconds, c"%a %b %e %H:%M:%S %Y")
}

/// A wall-clock time as the log writes it: `Nov 22 04:24:29`, local time. C: `dp_time` in dprint.c.
#[must_use]
pub fn log_time(seconds: i64) -> String {
    format_local(seconds, c"%b %e %H:%M:%S")
}

/// A wall-clock time as web servers log it: `22/Nov/2026:04:24:29 +0100`, local time.
#[must_use]
pub fn web_time(seconds: i64) -> String {
    format_local(seconds, c"%d/%b/%Y:%H:%M:%S %z")
}

fn format_local(seconds: i64, format: &std::ffi::CStr) -> String {
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right type; localtime_r writes only the second.
    if unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) }.is_null() {
        return String::from("?");
    }
    let mut text = [0_u8; 64];
    // SAFETY: the buffer's real length is given, the format ends in NUL, and `parts` was filled above (and
    // zeroed before, which is a valid `tm`).
    let length =
        unsafe { libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), parts.as_ptr()) };
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctime_pads_the_day_with_a_space() {
        // 12:00 UTC on the 5th is the 4th to the 6th anywhere.
        let text = ctime(1_762_344_000);
        assert_eq!(text.len(), "Wed Nov  5 12:00:00 2025".len(), "{text}");
        assert!(text.contains(" Nov  "), "{text}");
    }

    #[test]
    fn boot_clock_goes_forward() {
        let before = boot_nanos();
        assert!(boot_nanos() >= before);
        assert!(before > 0);
    }
}
