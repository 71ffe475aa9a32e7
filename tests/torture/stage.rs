//! A small table with known contents, for one operation that is killed in the middle: what is there before, and what a
//! second process looks at afterwards.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use opensips_mi::shm::keyed::{NEVER, Space, Table, Update};
use opensips_mi::shm::{Persistent, Segment};
use opensips_mi::system::process::ProcessId;

use crate::values::{describe, filled};

/// The key that is operated on.
pub(crate) const TARGET: &[u8] = b"target";

/// Bytes of the segment: not much more than the least that the table takes.
const BYTES: u64 = 1_400_000;

/// Keys that stay as they are.
const NEIGHBOURS: u64 = 150;

/// Chunks of a page that entries can use.
const PAGE_CHUNKS: usize = 127;

/// Chunks that a shard of short entries keeps free.
const SPARE_CHUNKS: usize = 16;

/// A change of a key, or none when both lengths are the same number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) verb: Verb,
    /// Bytes of the value before; `None` is absent.
    pub(crate) before: Option<usize>,
    /// Bytes of the value after.
    pub(crate) after: Option<usize>,
    /// Whether the target's shard has a full page, and one with one chunk more than it must keep free.
    pub(crate) crowded: bool,
    /// Whether it is stepped without being asked for.
    pub(crate) in_sample: bool,
    /// Whether it is also stepped when it finds a dead owner and makes its shard whole first.
    pub(crate) after_death: bool,
}

/// The call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Put,
    Remove,
    Get,
    Update,
}

const fn row(name: &'static str, verb: Verb, before: Option<usize>, after: Option<usize>) -> Operation {
    Operation { name, verb, before, after, crowded: false, in_sample: false, after_death: false }
}

impl Operation {
    const fn crowded(self) -> Operation {
        Operation { crowded: true, ..self }
    }

    const fn in_sample(self) -> Operation {
        Operation { in_sample: true, ..self }
    }

    const fn after_death(self) -> Operation {
        Operation { after_death: true, ..self }
    }
}

/// All operations that are stepped. 300 bytes take three chunks, for which a
/// crowded shard must claim a page, as all but one of its free chunks are spare.
pub(crate) const OPERATIONS: [Operation; 19] = [
    row("put new, empty value", Verb::Put, None, Some(0)),
    row("put new, short", Verb::Put, None, Some(40)),
    row("put new, long", Verb::Put, None, Some(3000)),
    row("put new, claims a page", Verb::Put, None, Some(300)).crowded().in_sample().after_death(),
    row("put replace, short", Verb::Put, Some(40), Some(50)).in_sample(),
    row("put replace, long by short", Verb::Put, Some(3000), Some(40)).after_death(),
    row("put replace, short by long", Verb::Put, Some(40), Some(3000)),
    row("put replace, claims a page", Verb::Put, Some(40), Some(300)).crowded(),
    row("delete, short", Verb::Remove, Some(40), None),
    row("delete, long", Verb::Remove, Some(3000), None),
    row("delete, gives a page back", Verb::Remove, Some(300), None).crowded().in_sample().after_death(),
    row("delete, absent", Verb::Remove, None, None),
    row("get, short", Verb::Get, Some(40), Some(40)).in_sample().after_death(),
    row("get, long", Verb::Get, Some(3000), Some(3000)),
    row("get, absent", Verb::Get, None, None),
    row("update, insert", Verb::Update, None, Some(40)),
    row("update, replace", Verb::Update, Some(300), Some(350)),
    row("update, remove", Verb::Update, Some(40), None),
    row("update, keep", Verb::Update, Some(40), Some(40)),
];

/// What dies in the middle so that the next one has something to recover.
pub(crate) const VICTIM: Operation = row("victim", Verb::Put, Some(300), Some(350));

/// The table with its contents.
#[derive(Debug)]
pub(crate) struct Stage {
    segment: &'static Segment,
    /// The file that is the table's memory; it has no name any more.
    memory: File,
    /// Where in the memory the lock word of the target's shard is.
    lock: usize,
    pub(crate) table: Table<'static>,
    /// Keys in the target's shard: of the victim, and one to try.
    pub(crate) victim: Vec<u8>,
    trial: Vec<u8>,
    neighbours: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A value of that length, of the state before or after.
fn value(length: Option<usize>, after: bool) -> Option<Vec<u8>> {
    length.map(|length| filled(u64::from(after), length as u64, length))
}

impl Operation {
    fn value_before(&self) -> Option<Vec<u8>> {
        value(self.before, false)
    }

    /// An operation that changes nothing leaves the old value.
    fn value_after(&self) -> Option<Vec<u8>> {
        value(self.after, self.changes())
    }

    pub(crate) fn changes(&self) -> bool {
        self.before != self.after
    }

    /// Does it, given its value and room for the one before: all that it allocates itself is in there already.
    fn act(
        &self,
        table: Table<'static>,
        key: &[u8],
        new: Option<&[u8]>,
        room: &mut Vec<u8>,
    ) -> Result<(), String> {
        let full = |full: opensips_mi::shm::keyed::Full| full.to_string();
        match self.verb {
            Verb::Put => table.put(Space::Cache, key, new.unwrap_or_default(), NEVER).map_err(full),
            Verb::Remove => {
                // What it says is the business of `torture`: here an earlier life may have removed it.
                table.remove(Space::Cache, key);
                Ok(())
            }
            Verb::Get => match table.get(Space::Cache, key, 0, room).then_some(&room[..]) == new {
                true => Ok(()),
                false => Err(String::from("get gives the wrong thing")),
            },
            Verb::Update => table
                .update(Space::Cache, key, 0, room, |_| match new {
                    _ if !self.changes() => Update::Keep,
                    Some(value) => Update::Put { value, expires: NEVER, weight: 1 },
                    None => Update::Remove,
                })
                .map_err(full),
        }
    }
}

impl Stage {
    /// Fills a new table.
    pub(crate) fn set(crowded: bool) -> Result<Stage, String> {
        let (segment, memory) = segment()?;
        let table = segment.table();
        let here = shard(table, TARGET)?;
        let mut same = (0_u32..)
            .map(|number| format!("same shard {number}").into_bytes())
            .filter(|key| shard(table, key) == Ok(here));
        let (Some(victim), Some(trial)) = (same.next(), same.next()) else {
            return Err(String::from("no key falls into the target's shard"));
        };
        let mut neighbours = Vec::new();
        for number in 0..NEIGHBOURS {
            let key = format!("neighbour {number}").into_bytes();
            let length = usize::try_from(number * 7 % 500).unwrap_or(0);
            if !crowded || shard(table, &key)? != here {
                neighbours.push((key, filled(number, number, length)));
            }
        }
        if crowded {
            let chunks = 2 * PAGE_CHUNKS - SPARE_CHUNKS - 1;
            neighbours.extend(same.take(chunks).map(|key| (key, filled(1, 1, 20))));
        }
        for (key, value) in &neighbours {
            table.put(Space::Cache, key, value, NEVER).map_err(|full| full.to_string())?;
        }
        let lock = lock_word(table, &memory)?;
        Ok(Stage { segment, memory, lock, table, victim, trial, neighbours })
    }

    /// Another stage, with the same contents in its own memory.
    pub(crate) fn twin(&self) -> Result<Stage, String> {
        let (segment, memory) = segment()?;
        let (victim, trial, neighbours) = (self.victim.clone(), self.trial.clone(), self.neighbours.clone());
        let twin =
            Stage { segment, memory, lock: self.lock, table: segment.table(), victim, trial, neighbours };
        let mut image = Vec::new();
        self.image(ProcessId::own(), &mut image)?;
        twin.load(&image)?;
        Ok(twin)
    }

    /// Copies the memory as it would be if a process died now: where that holds the lock, the kernel says in the lock
    /// word that the owner died. Returns whether it says so.
    ///
    /// The kernel's `handle_futex_death`: the owner goes, the bit for waiters stays.
    pub(crate) fn image(&self, dying: ProcessId, image: &mut Vec<u8>) -> Result<bool, String> {
        read(&self.memory, image)?;
        let place = &mut image[self.lock..self.lock + 4];
        let mut word = u32::from_ne_bytes(place.try_into().map_err(|_| "a word has four bytes")?);
        if word & libc::FUTEX_TID_MASK == dying.number().cast_unsigned() {
            word = word & libc::FUTEX_WAITERS | libc::FUTEX_OWNER_DIED;
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Ok(word & libc::FUTEX_OWNER_DIED != 0)
    }

    /// Makes the memory what a copy holds. Only while no process works on it.
    pub(crate) fn load(&self, image: &[u8]) -> Result<(), String> {
        self.memory.write_all_at(image, 0).map_err(|error| format!("cannot write the memory: {error}"))
    }

    /// What is done where it can be killed: everything but the operation is ready beforehand.
    pub(crate) fn prepare(
        &self,
        operation: Operation,
        key: &[u8],
    ) -> impl FnOnce() -> Result<(), String> + use<> {
        let (table, key, new, mut room) =
            (self.table, key.to_vec(), operation.value_after(), Vec::with_capacity(4096));
        move || operation.act(table, &key, new.as_deref(), &mut room)
    }

    /// Makes the state before an operation.
    pub(crate) fn reset(&self, operation: Operation, key: &[u8]) -> Result<(), String> {
        match operation.value_before() {
            Some(old) => self.table.put(Space::Cache, key, &old, NEVER).map_err(|full| full.to_string()),
            None => {
                self.table.remove(Space::Cache, key);
                Ok(())
            }
        }
    }

    /// How often the target was found in the state before, and after.
    pub(crate) fn seen(&self) -> [&'static AtomicU64; 2] {
        let row = self.segment.row(0);
        [&row[0], &row[1]]
    }

    /// After a kill: the invariants hold, each operated key is in one of its two states, all others are as they were,
    /// and the shard serves. Then the state before is made again.
    pub(crate) fn examine(&self, operated: &[(Operation, &[u8])]) -> Result<(), String> {
        let table = self.table;
        let check = || table.check().map(drop).map_err(|violation| violation.to_string());
        check()?;
        let mut value = Vec::new();
        for (operation, key) in operated {
            let found = table.get(Space::Cache, key, 0, &mut value).then_some(&value[..]);
            let after = if found == operation.value_before().as_deref() {
                false
            } else if found == operation.value_after().as_deref() {
                true
            } else {
                return Err(format!("{} is {}", key.escape_ascii(), describe(found)));
            };
            if *key == TARGET {
                self.seen()[usize::from(after)].fetch_add(1, SeqCst);
            }
        }
        for (key, expected) in &self.neighbours {
            let found = table.get(Space::Cache, key, 0, &mut value).then_some(&value);
            if found != Some(expected) {
                let seen = describe(found.map(|value| &value[..]));
                return Err(format!("{} is {seen}, it was not touched", key.escape_ascii()));
            }
        }
        table.put(Space::Cache, &self.trial, &[7; 500], NEVER).map_err(|full| full.to_string())?;
        let served = table.get(Space::Cache, &self.trial, 0, &mut value)
            && value == [7; 500]
            && table.remove(Space::Cache, &self.trial);
        if !served {
            return Err(String::from("the shard does not serve afterwards"));
        }
        operated.iter().try_for_each(|(operation, key)| self.reset(*operation, key))?;
        check()
    }
}

/// The shard of a key, as its lock's holder is seen while an update runs.
pub(crate) fn shard(table: Table<'static>, key: &[u8]) -> Result<usize, String> {
    let mut found = None;
    let kept = table.update(Space::Cache, key, 0, &mut Vec::new(), |_| {
        found = table.holders().find(|holder| holder.process == ProcessId::own());
        Update::Keep
    });
    match (kept, found) {
        (Ok(()), Some(holder)) => Ok(holder.shard),
        _ => Err(String::from("the holder of a lock is not shown")),
    }
}

/// A segment whose table lies in a file, and the file.
fn segment() -> Result<(&'static Segment, File), String> {
    let failed = |error: io::Error| format!("cannot make a file for the table: {error}");
    let folder = tempfile::tempdir().map_err(failed)?;
    let path = folder.path().join("table");
    let persistent = Persistent { path: &path, spaces: &[Space::Cache], run_user: None };
    let segment = Segment::restore(BYTES, 1, 2, persistent).map_err(|error| error.to_string())?;
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    folder.close().map_err(failed)?;
    Ok((segment, file))
}

/// Copies a file.
fn read(file: &File, image: &mut Vec<u8>) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot read the memory: {error}");
    let length =
        usize::try_from(file.metadata().map_err(failed)?.len()).map_err(|error| error.to_string())?;
    image.resize(length, 0);
    file.read_exact_at(image, 0).map_err(failed)
}

/// Where the lock word of the target's shard is: the first word that holds this process's number while it has the lock.
fn lock_word(table: Table<'static>, memory: &File) -> Result<usize, String> {
    let (own, mut image) = (ProcessId::own().number().to_ne_bytes(), Vec::new());
    let mut copied = Ok(());
    let looked = table.update(Space::Cache, TARGET, 0, &mut Vec::new(), |_| {
        copied = read(memory, &mut image);
        Update::Keep
    });
    looked.map_err(|full| full.to_string()).and(copied)?;
    let word = image.chunks_exact(4).position(|word| word == own);
    word.map(|word| word * 4).ok_or_else(|| String::from("a lock that is held does not name its holder"))
}
