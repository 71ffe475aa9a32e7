//! Users and groups by name or number, and giving up root.
//!
//! The one place that knows the `users` crate. C: `user2uid`, `group2gid` in ut.c, `do_suid` in daemonize.c.

use std::ffi::CString;
use std::io;
use std::path::Path;

use nix::unistd::{AccessFlags, Gid, Uid};

/// A user with its primary group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The primary group, when the user is in the user data base.
    pub gid: Option<u32>,
}

/// Finds a user by name, or by number when there is no such name.
#[must_use]
pub fn find_user(name: &str) -> Option<User> {
    if let Some(user) = users::get_user_by_name(name) {
        return Some(User { uid: user.uid(), gid: Some(user.primary_group_id()) });
    }
    let uid = name.parse().ok()?;
    Some(User { uid, gid: users::get_user_by_uid(uid).map(|user| user.primary_group_id()) })
}

/// Finds a group by name, or by number when there is no such name.
#[must_use]
pub fn find_group(name: &str) -> Option<u32> {
    users::get_group_by_name(name).map(|group| group.gid()).or_else(|| name.parse().ok())
}

/// The effective user of this process.
#[must_use]
pub fn effective_user() -> u32 {
    users::get_effective_uid()
}

/// A user's name for messages; the number when it has none.
#[must_use]
pub fn user_name(uid: u32) -> String {
    users::get_user_by_uid(uid)
        .map_or_else(|| uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}

/// Whether this process may make and remove names in a folder.
#[must_use]
pub fn may_write(folder: &Path) -> bool {
    nix::unistd::eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Gives up the present user and group for good. Supplementary groups become those of the new user.
///
/// # Errors
/// When the process may not take that identity, and `InvalidInput` when root is to become a user without a group: the
/// group would stay root's.
pub fn become_user(uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    if gid.is_none() && uid.is_some() && users::get_effective_uid() == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the user has no group"));
    }
    if let Some(gid) = gid {
        let gid = Gid::from_raw(gid);
        if users::get_effective_uid() == 0 {
            let name = uid.and_then(users::get_user_by_uid);
            match name.and_then(|user| CString::new(user.name().as_encoded_bytes()).ok()) {
                Some(name) => nix::unistd::initgroups(&name, gid)?,
                None => nix::unistd::setgroups(&[gid])?,
            }
        }
        nix::unistd::setgid(gid)?;
    }
    if let Some(uid) = uid {
        nix::unistd::setuid(Uid::from_raw(uid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_number() {
        assert_eq!(find_user("root"), Some(User { uid: 0, gid: Some(0) }));
        assert_eq!(find_user("0"), Some(User { uid: 0, gid: Some(0) }));
        assert_eq!(find_group("root"), Some(0));
        assert_eq!(find_group("0"), Some(0));
    }

    #[test]
    fn what_is_neither_name_nor_number_is_not_found() {
        assert_eq!(find_user("no-such-user-here"), None);
        assert_eq!(find_group("-1"), None);
    }
}
