//! Restarts: what is found again, what goes, what is refused.

use std::os::unix::fs::FileExt;

use super::*;
use crate::shm::keyed::{NEVER, Update};
use crate::shm::{MIN_BYTES, Segment, SegmentError};
use crate::system::clock;

const KEPT: &[Space] = &[Space::Location];

fn start(path: &Path, bytes: u64) -> Result<&'static Segment, SegmentError> {
    Segment::restore(bytes, 3, 7, Persistent { path, spaces: KEPT, run_user: None })
}

/// Writes a file as a server makes it, whatever the umask is.
fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).unwrap();
}

/// Ends the "server": a segment lives for ever, so its lock is given up instead.
fn stop(segment: &'static Segment) {
    segment.file.as_ref().unwrap().unlock().unwrap();
}

fn fill(segment: &Segment) {
    let table = segment.table();
    for n in 0..500_u32 {
        let value = n.to_be_bytes().repeat(30);
        let put = Update::Put { value: &value, expires: u64::from(n), weight: 2 };
        table.update(Space::Location, &n.to_be_bytes(), 0, &mut Vec::new(), |_| put).unwrap();
    }
    table.put(Space::Subscription, b"s", b"v", NEVER).unwrap();
}

fn verify(segment: &Segment) {
    let table = segment.table();
    assert_eq!((table.count(Space::Location), table.weight(Space::Location)), (500, 1000));
    assert_eq!(table.count(Space::Subscription), 0, "what is not to be kept goes");
    table.list(Space::Location, 0, |entry| {
        assert_eq!(entry.value, entry.key.repeat(30));
        assert_eq!(entry.expires, u64::from(u32::from_be_bytes(entry.key[..].try_into().unwrap())));
        true
    });
    table.check().unwrap();
}

#[test]
fn state_is_found_again_at_the_same_and_at_other_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = start(&path, MIN_BYTES + 65_536).unwrap();
    fill(first);
    stop(first);
    for bytes in [MIN_BYTES + 65_536, 2 * MIN_BYTES, 3 * MIN_BYTES, MIN_BYTES + 65_536] {
        let segment = start(&path, bytes).unwrap();
        verify(segment);
        stop(segment);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no leftovers");
}

#[test]
fn locks_and_changes_of_the_dead_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = start(&path, MIN_BYTES + 65_536).unwrap();
    fill(first);
    // All processes are killed, some of them with locks: those stay taken in what is left. A copy made while one of us
    // holds them is that.
    for key in 0..20_u32 {
        let copy = folder.path().join(format!("copy {key}"));
        let update = |_: Option<&[u8]>| {
            assert_eq!(first.table().holders().count(), 1);
            fs::copy(&path, &copy).unwrap();
            Update::Keep
        };
        first.table().update(Space::Location, &key.to_be_bytes(), 0, &mut Vec::new(), update).unwrap();
        let second = start(&copy, MIN_BYTES + 65_536).unwrap();
        assert_eq!(second.table().holders().count(), 0);
        verify(second);
    }
}

#[test]
fn the_size_of_the_file_is_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = start(&path, MIN_BYTES).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), MIN_BYTES);
    let table = first.table();
    let stored =
        (0..u32::MAX).find(|n| table.put(Space::Location, &n.to_be_bytes(), &[1; 1000], NEVER).is_err());
    stop(first);
    // More processes and statistics take nothing of it.
    let persistent = Persistent { path: &path, spaces: KEPT, run_user: None };
    let again = Segment::restore(MIN_BYTES, 100, 1000, persistent).unwrap();
    assert_eq!(again.table().count(Space::Location), u64::from(stored.unwrap()));
    assert_eq!(fs::metadata(&path).unwrap().len(), MIN_BYTES);
}

#[test]
fn a_lock_that_is_let_go_in_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = start(&path, MIN_BYTES).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| start(&path, MIN_BYTES).map(|segment| segment.table().check().unwrap()));
        std::thread::sleep(LOCK_PATIENCE / 4);
        stop(first);
        assert!(second.join().unwrap().is_ok());
    });
}

#[test]
fn a_file_that_only_begins_with_zeros_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("state"), folder.path().join("state.other-layout"));
    let mut content = vec![0; 200_000];
    for at in [199_999, 8] {
        content[at] = b'x';
        write(&path, &content);
        stop(start(&path, MIN_BYTES).unwrap());
        assert!(fs::read(&aside).unwrap() == content, "byte {at}");
    }
}

#[test]
fn a_file_whose_head_makes_no_sense_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("state"), folder.path().join("state.other-layout"));
    // Size, both halves of the hash key, their sum.
    for at in [16, 24, 32, 40] {
        let first = start(&path, MIN_BYTES).unwrap();
        fill(first);
        stop(first);
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        file.write_all_at(&(u64::from_ne_bytes(bytes) ^ 0x2000).to_ne_bytes(), at).unwrap();
        let second = start(&path, MIN_BYTES).unwrap();
        assert_eq!(second.table().count(Space::Location), 0, "{at}");
        stop(second);
        assert!(aside.exists(), "{at}");
        fs::remove_file(&aside).unwrap();
    }
    // One that was cut off.
    let tiny = fs::read(&path).unwrap()[..8192].to_vec();
    write(&path, &tiny);
    stop(start(&path, MIN_BYTES).unwrap());
    assert_eq!(fs::read(&aside).unwrap(), tiny);
}

#[test]
fn a_file_in_use_is_refused_and_another_layout_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = start(&path, MIN_BYTES + 65_536).unwrap();
    let refused = start(&path, MIN_BYTES + 65_536);
    assert!(matches!(refused, Err(SegmentError::Persist(PersistError::InUse { .. }))));
    stop(first);
    for other in [&[b'x'; 10_000][..], b"not a state at all"] {
        write(&path, other);
        stop(start(&path, MIN_BYTES + 65_536).unwrap());
        assert_eq!(fs::read(folder.path().join("state.other-layout")).unwrap(), other);
    }
}

/// Where a file has the version of its layout.
const VERSION_OFFSET: u64 = 8;

#[test]
fn the_state_of_an_older_or_newer_version_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("state"), folder.path().join("state.other-layout"));
    let set_version = |path, version: u32| {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut old = [0; 4];
        file.read_exact_at(&mut old, VERSION_OFFSET).unwrap();
        file.write_all_at(&version.to_ne_bytes(), VERSION_OFFSET).unwrap();
        u32::from_ne_bytes(old)
    };
    for step in [-1, 1] {
        let first = start(&path, MIN_BYTES + 65_536).unwrap();
        fill(first);
        stop(first);
        let own = set_version(&path, 0);
        let other = own.checked_add_signed(step).unwrap();
        set_version(&path, other);
        let second = start(&path, MIN_BYTES + 65_536).unwrap();
        assert_eq!(second.table().count(Space::Location), 0, "version {other}");
        stop(second);
        // All of it is there for a server of that version.
        assert_eq!(set_version(&aside, own), other);
        let kept = start(&aside, MIN_BYTES + 65_536).unwrap();
        verify(kept);
        stop(kept);
    }
}

#[test]
fn a_start_that_was_killed_before_the_file_had_its_size_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    for length in [0, 1, 4095, 4096, 100_000] {
        write(&path, vec![0; length]);
        stop(start(&path, MIN_BYTES + 65_536).unwrap());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was moved aside");
}

/// That the clock was set by an hour shows in the note that the server left.
#[test]
fn the_time_of_entries_goes_on_after_the_clock_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let wall = || u64::try_from(clock::wall_seconds()).unwrap();
    let (mut before, mut expected) = (start(&path, MIN_BYTES + 65_536).unwrap(), wall());
    for (bytes, ahead) in [(MIN_BYTES + 65_536, 3600), (2 * MIN_BYTES, -3600), (MIN_BYTES + 65_536, 0)] {
        assert!(before.now().abs_diff(expected) <= 2, "{} is not {expected}", before.now());
        Note { ahead, reached: 0 }.write(&before.keyed);
        stop(before);
        expected = wall().checked_add_signed(-ahead).unwrap();
        before = start(&path, bytes).unwrap();
        let note = Note::read(&before.keyed);
        assert!(note.ahead.abs_diff(ahead) <= 2 && note.reached.abs_diff(expected) <= 2, "{note:?}");
    }
    assert!(before.now().abs_diff(expected) <= 2);
}

#[test]
fn state_that_does_not_fit_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = start(&path, 3 * MIN_BYTES).unwrap();
    let table = first.table();
    let stored =
        (0..u32::MAX).find(|n| table.put(Space::Location, &n.to_be_bytes(), &[1; 1000], NEVER).is_err());
    stop(first);
    let refused = start(&path, MIN_BYTES + 65_536).unwrap_err();
    let SegmentError::Persist(PersistError::TooSmall { megabytes: 6, .. }) = refused else {
        panic!("{refused}")
    };
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no leftovers");
    let again = start(&path, 3 * MIN_BYTES).unwrap();
    assert_eq!(again.table().count(Space::Location), u64::from(stored.unwrap()));
}

/// Somebody else who could write to the file could cut it off, which ends each process that has it mapped.
#[test]
fn a_file_or_a_new_file_that_others_may_write_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("state"), folder.path().join("state.new"));
    for prepared in [&path, &new] {
        fs::write(prepared, "").unwrap();
        fs::set_permissions(prepared, fs::Permissions::from_mode(0o666)).unwrap();
        let refused = start(&path, MIN_BYTES + 65_536).unwrap_err().to_string();
        assert!(refused.contains(&format!("{}: has mode 0666", prepared.display())), "{refused}");
        assert_eq!(fs::metadata(prepared).unwrap().len(), 0);
        fs::remove_file(prepared).unwrap();
        let link = folder.path().join("link");
        fs::write(&link, "precious").unwrap();
        fs::hard_link(&link, prepared).unwrap();
        let refused = start(&path, MIN_BYTES + 65_536).unwrap_err().to_string();
        assert!(refused.contains("has 2 names"), "{refused}");
        assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
        fs::remove_file(prepared).unwrap();
    }
    start(&path, MIN_BYTES + 65_536).unwrap();
}

/// Whoever may read a file may hold its lock.
#[test]
fn nobody_else_may_read_the_file_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    write(&path, "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let first = start(&path, MIN_BYTES + 65_536).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
    stop(first);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let reader = File::open(&path).unwrap();
    stop(start(&path, MIN_BYTES + 65_536).unwrap());
    assert_eq!(reader.metadata().unwrap().mode() & 0o777, MODE);
}
