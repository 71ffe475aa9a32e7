//! Names the facilities of syslog.

/// A syslog facility, as its code in syslog(3) shifted right by three: 0 kern to 23 local7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

/// C: `str_fac` and `int_fac` in dprint.c. The place is the code; the empty ones have no name there.
const FACILITIES: [&str; 24] = [
    "LOG_KERN",
    "LOG_USER",
    "LOG_MAIL",
    "LOG_DAEMON",
    "LOG_AUTH",
    "LOG_SYSLOG",
    "LOG_LPR",
    "LOG_NEWS",
    "LOG_UUCP",
    "LOG_CRON",
    "LOG_AUTHPRIV",
    "LOG_FTP",
    "",
    "",
    "",
    "",
    "LOG_LOCAL0",
    "LOG_LOCAL1",
    "LOG_LOCAL2",
    "LOG_LOCAL3",
    "LOG_LOCAL4",
    "LOG_LOCAL5",
    "LOG_LOCAL6",
    "LOG_LOCAL7",
];

impl Facility {
    /// The facility of a name as `LOG_DAEMON`; case does not count.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let known = |facility: &&str| !facility.is_empty() && name.eq_ignore_ascii_case(facility.as_bytes());
        let code = FACILITIES.iter().position(known)?;
        u8::try_from(code).ok().map(Self)
    }

    /// The code, from 0 to 23.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }

    /// The name, as `LOG_DAEMON`.
    #[must_use]
    pub fn name(self) -> &'static str {
        FACILITIES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}
