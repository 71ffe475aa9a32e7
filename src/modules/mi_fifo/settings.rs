//! What `modparam("mi_fifo", …)` says.
//!
//! C: `mi_params` and `mi_mod_init` in mi_fifo.c.

use std::path::{Path, PathBuf};

use crate::config::{self, Effect, Kind, Parameter};
use crate::module::{self, AccessParameters, Identity, SettingError};
use crate::system::endpoint::Access;

/// What may be set.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "fifo_name",
        kind: Kind::Path,
        effect: Effect::Used,
        help: "path of the FIFO that requests come by; no default",
    },
    Parameter {
        name: "fifo_mode",
        kind: Kind::Mode,
        effect: Effect::Used,
        help: "permissions of the FIFO; default 0660",
    },
    Parameter {
        name: "fifo_group",
        kind: Kind::IntegerOrText,
        effect: Effect::Used,
        help: "group of the FIFO, name or number; default the server's group",
    },
    Parameter {
        name: "fifo_user",
        kind: Kind::IntegerOrText,
        effect: Effect::Used,
        help: "owner of the FIFO, name or number; default the server's user",
    },
    Parameter {
        name: "reply_dir",
        kind: Kind::Path,
        effect: Effect::Used,
        help: "what stands before the name of a reply FIFO to make a path of it, with its slash; default /tmp/",
    },
    Parameter {
        name: "reply_indent",
        kind: Kind::Text,
        effect: Effect::Used,
        help: "what stands before a line of a reply for each level of depth; default a TAB",
    },
    module::TRACE_DESTINATION,
    module::TRACE_BWLIST,
];

/// Who may use the FIFO.
const ACCESS: AccessParameters =
    AccessParameters { mode: "fifo_mode", user: "fifo_user", group: "fifo_group" };

/// The module's settings, ready for use.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where the FIFO is.
    pub(super) path: PathBuf,
    /// Who may use it.
    pub(super) access: Access,
    /// What comes right before the name of a reply FIFO.
    pub(super) reply_dir: PathBuf,
    /// For each level of depth.
    pub(super) indent: Vec<u8>,
}

impl Settings {
    /// Reads the settings; what they leave open gets its default.
    pub(super) fn new(settings: &config::Settings, identity: Identity) -> Result<Settings, SettingError> {
        let error = |parameter, message: &str| SettingError { parameter, message: message.to_owned() };
        let path = settings.path("fifo_name").unwrap_or(Path::new(""));
        if path.as_os_str().is_empty() {
            let message =
                "not set; add modparam(\"mi_fifo\", \"fifo_name\", \"/run/opensips/opensips_fifo\")";
            return Err(error("fifo_name", message));
        }
        let reply_dir = settings.path("reply_dir").unwrap_or(Path::new("/tmp/"));
        if reply_dir.as_os_str().is_empty() {
            return Err(error("reply_dir", "is empty; name a folder, with a slash at its end"));
        }
        Ok(Settings {
            path: path.to_owned(),
            access: ACCESS.read(settings, identity)?,
            reply_dir: reply_dir.to_owned(),
            indent: settings.text("reply_indent").unwrap_or(b"\t").to_vec(),
        })
    }

    /// The folder that reply FIFOs are in: `reply_dir` up to its last slash.
    pub(super) fn reply_folder(&self) -> &Path {
        if self.ends_in_slash() { &self.reply_dir } else { crate::system::endpoint::folder(&self.reply_dir) }
    }

    /// Whether `reply_dir` names a folder in the way that is meant.
    pub(super) fn ends_in_slash(&self) -> bool {
        self.reply_dir.as_os_str().as_encoded_bytes().ends_with(b"/")
    }
}
