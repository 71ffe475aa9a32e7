//! Whether a process that is known by its number is a running server, by what /proc shows of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::presence::Inode;
use super::process::ProcessId;

/// What shows that a process is a server, and not another program that has got its number since.
#[derive(Clone, Copy, Debug)]
pub enum Proof {
    /// The process has this file open.
    Has(Inode),
    /// Its program has this name.
    Called(&'static str),
}

/// Whether a process lives, belongs to one of the users and has the proof. A zombie has ended and only waits to be
/// reaped. Where the system shows too little of it, a process that exists counts.
///
/// The calling process may have opened the file of [`Proof::Has`] once to look at it: it counts if it has it twice.
#[must_use]
pub fn is_server(process: ProcessId, users: &[u32], proof: Proof) -> bool {
    let folder = PathBuf::from(format!("/proc/{}", process.number()));
    let Ok(status) = fs::read_to_string(folder.join("status")) else { return process.exists() };
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let user = field("Uid:").split_whitespace().nth(1).and_then(|uid| uid.parse().ok());
    if field("State:").starts_with(['Z', 'X']) || !user.is_some_and(|user| users.contains(&user)) {
        return false;
    }
    match proof {
        Proof::Called(name) => field("Name:") == name,
        Proof::Has(inode) => {
            let wanted = if process == ProcessId::own() { 2 } else { 1 };
            let Ok(open) = fs::read_dir(folder.join("fd")) else { return true };
            let found = open.flatten().filter_map(|entry| fs::metadata(entry.path()).ok());
            found.filter(|found| (found.dev(), found.ino()) == inode).count() >= wanted
        }
    }
}

/// The living processes of a process group.
#[must_use]
pub fn members(group: i32) -> Vec<ProcessId> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_member = |process: &ProcessId| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.number())).unwrap_or_default();
        // `PID (NAME) STATE PARENT GROUP …`; the name may hold anything.
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        fields.split(' ').nth(2).and_then(|number| number.parse().ok()) == Some(group)
    };
    processes.filter_map(ProcessId::from_number).filter(is_member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_a_server_by_user_and_proof() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let open = || fs::File::options().create(true).append(true).open(&path).unwrap();
        let found = open().metadata().unwrap();
        let (inode, user) = ((found.dev(), found.ino()), found.uid());
        let is_one = |users: &[u32], proof| is_server(ProcessId::own(), users, proof);
        let _once = open();
        assert!(!is_one(&[user], Proof::Has(inode)));
        let _twice = open();
        assert!(is_one(&[user], Proof::Has(inode)));
        assert!(!is_one(&[user + 1], Proof::Has(inode)));
        assert!(!is_one(&[user], Proof::Called("opensips")));
        let gone = ProcessId::from_number(999_999_999).unwrap();
        assert!(!is_server(gone, &[user], Proof::Has(inode)));
    }

    #[test]
    fn a_process_is_a_member_of_its_group() {
        let group = super::super::process::group();
        assert!(members(group).contains(&ProcessId::own()));
        assert!(!members(group + 1).contains(&ProcessId::own()));
    }
}
