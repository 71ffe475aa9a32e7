//! What the folders of the server's endpoints let its user do, and others: said in the log at the start, when the server
//! has become that user. C has nothing like it.

use std::path::Path;

use crate::system::{endpoint, own_file, presence, user};

/// Says what will not work as long as the endpoint's folder is as it is.
pub(super) fn warn_of(path: &Path) {
    let shown = path.display();
    if let Some(weakness) = own_file::weakness(path, None) {
        log::warn!("{shown}: {weakness}, or choose another path");
    }
    if let Some(closed) = presence::closed_folder(path) {
        log::warn!(
            "{shown}: will be left behind at the end, and whether it vanishes cannot be seen, as {closed}"
        );
        return;
    }
    let folder = endpoint::folder(path);
    if !user::may_write(folder) {
        log::warn!(
            "user {} cannot write to {}: {shown} will be left behind at the end, and not be made again when it \
             vanishes; give the folder to that user, or choose another",
            user::user_name(user::effective_user()),
            folder.display(),
        );
    }
}
