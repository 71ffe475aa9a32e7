//! Declares the fields of a row in the table of globals.

/// One global.
#[derive(Debug)]
pub struct GlobalRow {
    /// Its name, then other names for the same.
    pub names: &'static [&'static str],
    /// The form of its value.
    pub form: GlobalForm,
    /// Whether this server acts on it.
    pub scope: GlobalScope,
    /// One line for man page and example, with the default.
    pub help: &'static str,
}

/// Whether this server acts on a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalScope {
    /// It does.
    Used,
    /// It serves SIP alone: the form of its value is checked, and it has no effect.
    SipAlone,
}

/// The form of the value of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalForm {
    /// A number in a range, or `yes` and its like.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// `yes`, `true`, `on`, `enable`, `no`, `false`, `off`, `disable` or a number.
    Boolean,
    /// A string.
    Text,
    /// A word.
    Word,
    /// A string or a word.
    TextOrWord,
    /// A string, a word or a number: a user, a group, a folder.
    Name,
    /// A word or a number.
    WordOrInteger,
    /// A syslog facility, as `LOG_LOCAL0`. Case does not count.
    Facility,
    /// One or more of `udp:HOST:PORT as HOST:PORT use_children N`.
    Sockets,
    /// One or more of `udp:HOST:PORT`.
    Aliases,
    /// One address, with or without a port.
    Host,
    /// `name:{(udp, 10.0.0.0/8, 5060, "text"), …}`
    Blacklist,
    /// `"group": "module" "module"`
    MemoryGroup,
}
