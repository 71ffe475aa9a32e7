//! Reads the module's parameters.
//!
//! C: `mi_params` and `mi_mod_init` in mi_fifo.c.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::{self, Param, ParameterRow};
use crate::module::{self, PermissionParameters, RunUser, SettingError};
use crate::system::endpoint::Access;

const FIFO_NAME: Param<Option<&Path>> =
    Param::optional_path("fifo_name", "path of the FIFO that requests come by");
const REPLY_DIR: Param<&[u8]> = Param::path_prefix(
    "reply_dir",
    "/tmp/",
    "what stands before the name of a reply FIFO to make a path of it, with its slash",
);
const REPLY_INDENT: Param<&[u8]> =
    Param::text("reply_indent", "\t", "what stands before a line of a reply for each level of depth");

/// Who may use the FIFO.
const PERMISSIONS: PermissionParameters = PermissionParameters {
    mode: Param::mode("fifo_mode", 0o660, "permissions of the FIFO"),
    user: Param::name_or_number("fifo_user", "the server's user", "owner of the FIFO, name or number"),
    group: Param::name_or_number("fifo_group", "the server's group", "group of the FIFO, name or number"),
};

/// The module's table of parameters.
pub(super) const PARAMETERS: &[ParameterRow] = &[
    FIFO_NAME.row,
    PERMISSIONS.mode.row,
    PERMISSIONS.group.row,
    PERMISSIONS.user.row,
    REPLY_DIR.row,
    REPLY_INDENT.row,
    module::TRACE_DESTINATION,
    module::TRACE_BWLIST,
];

/// The parameters with their defaults, checked.
#[derive(Debug)]
pub(super) struct FifoSettings {
    /// The path of the FIFO for requests.
    pub(super) path: PathBuf,
    /// Owner, group and permissions of the FIFO.
    pub(super) access: Access,
    /// The prefix of the path of a reply FIFO.
    pub(super) reply_dir: PathBuf,
    /// Written once for each level of a node's depth.
    pub(super) indent: Vec<u8>,
}

impl FifoSettings {
    /// Reads and checks the parameters.
    pub(super) fn new(settings: &config::Settings, identity: RunUser) -> Result<FifoSettings, SettingError> {
        let error = |parameter, message: &str| Err(SettingError { parameter, message: message.to_owned() });
        let Some(path) = settings.get(FIFO_NAME).filter(|path| !path.as_os_str().is_empty()) else {
            let message =
                "not set; add modparam(\"mi_fifo\", \"fifo_name\", \"/run/opensips/opensips_fifo\")";
            return error(FIFO_NAME.name(), message);
        };
        let reply_dir = settings.get(REPLY_DIR);
        if reply_dir.is_empty() {
            return error(REPLY_DIR.name(), "is empty; name a folder, with a slash at its end");
        }
        Ok(FifoSettings {
            path: path.to_owned(),
            access: PERMISSIONS.read(settings, identity)?,
            reply_dir: PathBuf::from(OsStr::from_bytes(reply_dir)),
            indent: settings.get(REPLY_INDENT).to_vec(),
        })
    }

    /// The folder of the reply FIFOs: `reply_dir` up to its last slash.
    pub(super) fn reply_folder(&self) -> &Path {
        if self.ends_in_slash() { &self.reply_dir } else { crate::system::endpoint::folder(&self.reply_dir) }
    }

    /// `reply_dir` names a folder, and not the beginning of a file's name.
    pub(super) fn ends_in_slash(&self) -> bool {
        self.reply_dir.as_os_str().as_encoded_bytes().ends_with(b"/")
    }
}
