//! Reads the permissions, owner and group of a socket or a FIFO from the parameters of a module.

use super::{RunUser, SettingError};
use crate::config::{NameOrNumber, Param, Settings};
use crate::system::endpoint::Access;
use crate::system::user;

/// The parameters of a module that say who may use its socket or FIFO.
#[derive(Clone, Copy, Debug)]
pub struct PermissionParameters {
    /// Permission bits.
    pub mode: Param<u32>,
    /// Owner; the server's user when it is not set.
    pub user: Param<Option<NameOrNumber<'static>>>,
    /// Group; the primary group of the owner or the server's group when it is not set.
    pub group: Param<Option<NameOrNumber<'static>>>,
}

impl PermissionParameters {
    /// Reads the values. Mode 0 would lock everybody out; 0600 stands for it, as in C.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub fn read(self, settings: &Settings, identity: RunUser) -> Result<Access, SettingError> {
        let mode = match settings.get(self.mode) {
            0 => {
                log::warn!("{} 0 would lock everybody out; 0600 is used", self.mode.name());
                0o600
            }
            mode => mode & 0o777,
        };
        let owner = find(settings, self.user, "user", user::find_user)?;
        let group = find(settings, self.group, "group", user::find_group)?;
        Ok(Access {
            mode,
            uid: owner.map(|user| user.uid).or(identity.uid),
            gid: group.or(owner.and_then(|user| user.gid)).or(identity.gid),
        })
    }
}

/// The user or group that a parameter names; `None` when the parameter is not set.
fn find<T>(
    settings: &Settings,
    parameter: Param<Option<NameOrNumber<'_>>>,
    kind: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, SettingError> {
    let Some(name) = settings.get(parameter).map(|name| name.to_string()) else { return Ok(None) };
    let missing = || SettingError {
        parameter: parameter.name(),
        message: format!("no {kind} {name:?} on this system; name one that exists, or a number"),
    };
    find(&name).map(Some).ok_or_else(missing)
}
