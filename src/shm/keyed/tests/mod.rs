//! The table against a `BTreeMap`, and after holders that died and files that were damaged.

mod full;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::shm::{MIN_BYTES, Segment};

fn table() -> Table<'static> {
    Segment::create(MIN_BYTES, 1, 1).unwrap().table()
}

fn value_of(table: &Table<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    table.get(Space::Cache, key, 0, &mut value).then_some(value)
}

/// Lets a thread take the lock of a shard, do something, and die with it, as a killed process would.
fn die_holding(segment: &'static Segment, shard: usize, act: impl FnOnce(&Shard<'_>) + Send + 'static) {
    let Table { region, layout } = segment.table();
    let dead = std::thread::spawn(move || {
        let shard = Shard::lock(region, &layout, shard);
        act(&shard);
        std::mem::forget(shard);
    });
    dead.join().unwrap();
}

#[test]
fn values_of_every_length_come_back() {
    let table = table();
    for length in [0, 1, 80, 87, 88, 89, 207, 208, 209, 1000, 65_457] {
        let value: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        table.put(Space::Cache, b"key", &value, NEVER).unwrap();
        assert_eq!(value_of(&table, b"key"), Some(value), "{length}");
        table.check().unwrap();
    }
    assert!(table.remove(Space::Cache, b"key") && !table.remove(Space::Cache, b"key"));
    assert_eq!(table.check().unwrap().entries, 0);
}

#[test]
fn spaces_are_apart_and_counted() {
    let table = table();
    table.put(Space::Cache, b"k", b"c", NEVER).unwrap();
    let put = |weight| Update::Put { value: b"l", expires: NEVER, weight };
    table.update(Space::Location, b"k", 0, &mut Vec::new(), |_| put(3)).unwrap();
    table
        .update(Space::Location, b"k", 0, &mut Vec::new(), |old| {
            assert_eq!(old, Some(&b"l"[..]));
            put(2)
        })
        .unwrap();
    assert_eq!(
        (table.count(Space::Cache), table.count(Space::Location), table.weight(Space::Location)),
        (1, 1, 2)
    );
    assert_eq!(value_of(&table, b"k"), Some(b"c".to_vec()));
    table.update(Space::Location, b"k", 0, &mut Vec::new(), |_| Update::Remove).unwrap();
    assert_eq!((table.count(Space::Location), table.weight(Space::Location)), (0, 0));
}

#[test]
fn expired_entries_are_absent_and_then_removed() {
    let table = table();
    for (key, expires) in [(b"a", 5), (b"b", 6), (b"c", NEVER)] {
        table.put(Space::Cache, key, b"v", expires).unwrap();
    }
    let mut value = Vec::new();
    assert!(table.get(Space::Cache, b"a", 4, &mut value) && !table.get(Space::Cache, b"a", 5, &mut value));
    let mut told = Vec::new();
    assert_eq!(table.expire(Space::Cache, 5, |entry| told.push(entry.key.clone())), 1);
    assert_eq!(told, [b"a"]);
    let mut listed = Vec::new();
    table.list(Space::Cache, 6, |entry| {
        listed.push(entry.key.clone());
        true
    });
    assert_eq!(listed, [b"c"]);
    assert_eq!(table.count(Space::Cache), 2);
}

#[test]
fn a_walk_through_a_large_empty_table_gives_its_caller_a_turn() {
    let segment = Segment::create(16 << 20, 1, 1).unwrap();
    let table = segment.table();
    table.put(Space::Cache, b"a", b"v", 5).unwrap();
    table.put(Space::Cache, b"b", b"v", NEVER).unwrap();
    let buckets = SHARDS * table.layout.buckets_per_shard();
    assert!(buckets > 2 * WALK_BUCKETS, "{buckets}");
    let keys =
        |batches: Vec<Vec<Entry>>| batches.into_iter().flatten().map(|entry| entry.key).collect::<Vec<_>>();
    let batches: Vec<_> = table.expired_batches(Space::Cache, 5).collect();
    assert!(batches.len() >= buckets / WALK_BUCKETS, "{}", batches.len());
    assert_eq!(keys(batches), [b"a"]);
    let batches: Vec<_> = table.batches(Space::Cache, 5).collect();
    assert!(batches.len() >= buckets / WALK_BUCKETS, "{}", batches.len());
    assert_eq!(keys(batches), [b"b"]);
}

#[test]
fn what_a_dead_holder_left_is_made_whole() {
    let segment = Segment::create(MIN_BYTES, 1, 1).unwrap();
    let table = segment.table();
    for n in 0..2000_u32 {
        table.put(Space::Cache, &n.to_be_bytes(), &n.to_be_bytes().repeat(20), NEVER).unwrap();
    }
    let before = table.check().unwrap();
    for shard in 0..SHARDS {
        die_holding(segment, shard, |shard| {
            // Chunks taken for an entry that was never committed, and counts that are wrong.
            let pages = shard.pages(Space::Cache);
            assert!(pages.provide(100));
            let taken: Vec<_> = (0..5).map(|_| pages.take().unwrap()).collect();
            pages.give(taken[2]);
            shard
                .region
                .cell(shard.layout.entries_cell(Layout::set(shard.index, Space::Cache)))
                .store(99, Ordering::Relaxed);
        });
    }
    assert_eq!(table.check().unwrap(), before);
    assert_eq!(table.count(Space::Cache), 2000);
    for n in 0..2000_u32 {
        assert_eq!(value_of(&table, &n.to_be_bytes()), Some(n.to_be_bytes().repeat(20)));
    }
}

#[test]
fn a_broken_chain_does_not_make_recovery_loop() {
    let segment = Segment::create(MIN_BYTES, 1, 1).unwrap();
    let table = segment.table();
    table.put(Space::Cache, b"k", &[1; 500], NEVER).unwrap();
    let shard = layout::shard_of(table.key(Space::Cache, b"k").hash);
    die_holding(segment, shard, |shard| {
        let bucket = (0..shard.layout.buckets_per_shard())
            .map(|bucket| shard.region.cell(shard.layout.bucket(shard.index, bucket)))
            .find(|link| link.load(Ordering::Relaxed) != 0)
            .unwrap();
        let entry = bucket.load(Ordering::Relaxed);
        shard.link(entry).store(entry, Ordering::Relaxed);
    });
    table.check().unwrap();
    assert_eq!(value_of(&table, b"k"), Some(vec![1; 500]));
}

#[test]
fn free_pages_are_found_again_after_a_death_and_a_restart() {
    let segment = Segment::create(MIN_BYTES, 1, 1).unwrap();
    let table = segment.table();
    table.put(Space::Cache, b"k", &[1; 500], NEVER).unwrap();
    let pool = table.pool();
    assert!(pool.lost().is_empty());
    let clear = move || {
        for word in 0..table.layout.group_words() {
            table.region.cell(table.layout.group_word(word)).store(0, Ordering::Relaxed);
        }
    };
    // As if the holder had died between a page's release and its group's mark.
    die_holding(segment, 5, move |_| clear());
    assert!(!pool.lost().is_empty());
    table.check().unwrap();
    clear();
    assert!(table.check().unwrap_err().to_string().contains("its group is not marked"));
    pool.owner(table.layout.pages - 1).store(999, Ordering::Relaxed);
    table.recover();
    assert_eq!(pool.owner(table.layout.pages - 1).load(Ordering::Relaxed), pool::NOBODY);
    assert_eq!(table.check().unwrap().entries, 1);
}

/// The chunk that begins a key's entry, and the link that leads to it.
fn entry_of(table: &Table<'static>, key: &[u8]) -> (u32, &'static std::sync::atomic::AtomicU32) {
    let key = table.key(Space::Cache, key);
    let index = layout::shard_of(key.hash);
    let mut link = table.region.cell(table.layout.bucket(index, table.layout.bucket_of(key.hash)));
    let entry = table.lock(key).find(key).unwrap().entry;
    while link.load(Ordering::Relaxed) != entry {
        link = table.region.cell(table.layout.chunk(link.load(Ordering::Relaxed)));
    }
    (entry, link)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Whatever is damaged in a file: what is found afterwards is what was stored, and found by its key.
    #[test]
    fn damage_never_shows_as_something_else(
        damages in proptest::collection::vec((0..200_u32, 0..4_usize, 0..32_usize, any::<u32>()), 1..12),
    ) {
        let table = table();
        let value = |n: u32| n.to_le_bytes().repeat(usize::try_from(n % 100).unwrap());
        let chunks: Vec<u32> = (0..200_u32).map(|n| {
            table.put(Space::Cache, &n.to_be_bytes(), &value(n), NEVER).unwrap();
            entry_of(&table, &n.to_be_bytes()).0
        }).collect();
        for (entry, kind, word, bits) in damages {
            let chunk = chunks[usize::try_from(entry).unwrap()];
            let cell = table.region.cell(table.layout.chunk(chunk) + 4 * word);
            let link = some_link(&table, chunk);
            match kind {
                0 => cell.store(bits, Ordering::Relaxed),
                1 => drop(cell.fetch_xor(1 << (bits % 32), Ordering::Relaxed)),
                // A number that could be one: of another entry.
                2 => cell.store(chunks[usize::try_from(bits).unwrap() % chunks.len()], Ordering::Relaxed),
                _ => link.store(chunks[usize::try_from(bits).unwrap() % chunks.len()], Ordering::Relaxed),
            }
        }
        table.recover();
        let found = table.check().unwrap().entries;
        let mut listed = 0;
        table.list(Space::Cache, 0, |entry| {
            let n = u32::from_be_bytes(entry.key[..].try_into().unwrap());
            assert_eq!(entry.value, value(n));
            assert_eq!(value_of(&table, &entry.key).as_ref(), Some(&entry.value));
            listed += 1;
            true
        });
        prop_assert_eq!(listed, found);
        for n in 0..200_u32 {
            table.put(Space::Cache, &n.to_be_bytes(), b"anew", NEVER).unwrap();
        }
        prop_assert_eq!(table.check().unwrap().entries, 200);
    }
}

/// A bucket's link, any one, of the shard that a chunk lies in.
fn some_link(table: &Table<'static>, chunk: u32) -> &'static std::sync::atomic::AtomicU32 {
    let owner = table.pool().owner(chunk / layout::PAGE_CHUNKS).load(Ordering::Relaxed);
    let index = (usize::try_from(owner).unwrap() - 1) / SPACES;
    table
        .region
        .cell(table.layout.bucket(index, usize::try_from(chunk).unwrap() % table.layout.buckets_per_shard()))
}

#[test]
fn only_what_is_damaged_goes() {
    let table = table();
    for n in 0..2000_u32 {
        table.put(Space::Cache, &n.to_be_bytes(), &n.to_be_bytes().repeat(100), NEVER).unwrap();
    }
    let free_before = table.claimed_pages();
    for n in [3, 500, 1999_u32] {
        let (entry, _) = entry_of(&table, &n.to_be_bytes());
        table.region.cell(table.layout.chunk(entry) + 100).fetch_xor(1 << 7, Ordering::Relaxed);
    }
    assert_eq!(table.recover(), 3);
    assert_eq!(table.check().unwrap().entries, 1997);
    assert!(
        (0..2000_u32).all(|n| value_of(&table, &n.to_be_bytes()).is_some() != [3, 500, 1999].contains(&n))
    );
    assert!(table.claimed_pages() <= free_before);
    // Chunks of what was cut are free: all of it can be removed.
    let removed = (0..2000_u32).filter(|n| table.remove(Space::Cache, &n.to_be_bytes())).count();
    assert_eq!(removed, 1997);
    assert_eq!((table.used_bytes(), table.claimed_pages()), (0, 0));
}

#[test]
#[should_panic(expected = "the lock of shard 3")]
fn a_lock_that_nobody_made_consistent_is_not_waited_for() {
    let segment = Segment::create(MIN_BYTES, 1, 1).unwrap();
    let Table { region, layout } = segment.table();
    die_holding(segment, 3, |_| ());
    assert_eq!(lock::acquire(region, &layout, 3), lock::Got::OwnerDied);
    lock::release(region, &layout, 3);
    drop(Shard::lock(region, &layout, 3));
}

#[test]
fn the_holder_of_a_lock_can_be_told() {
    let table = table();
    assert_eq!(table.holders().count(), 0);
    let held = Shard::lock(table.region, &table.layout, 5);
    let holder = table.holders().next().unwrap();
    assert_eq!(holder.shard, 5);
    drop(held);
    assert_eq!(table.holders().count(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize),
    Remove(u8),
    Get(u8),
    Append(u8, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![0..300_usize, 5_000..60_000_usize];
    let step = prop_oneof![
        (any::<u8>(), length).prop_map(|(key, length)| Step::Put(key, length)),
        any::<u8>().prop_map(Step::Remove),
        any::<u8>().prop_map(Step::Get),
        (any::<u8>(), 0..200_usize).prop_map(|(key, length)| Step::Append(key, length)),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_a_map_that_may_be_full(steps in steps()) {
        let table = table();
        let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (turn, step) in steps.into_iter().enumerate() {
            let fill = u8::try_from(turn % 256).unwrap();
            match step {
                Step::Put(key, length) => {
                    let (key, value) = (vec![key; 1 + usize::from(key)], vec![fill; length]);
                    match table.put(Space::Cache, &key, &value, NEVER) {
                        Ok(()) => drop(map.insert(key, value)),
                        Err(Full) => prop_assert!(table.claimed_bytes() > MIN_BYTES / 4, "full too early"),
                    }
                }
                Step::Remove(key) => {
                    let key = vec![key; 1 + usize::from(key)];
                    prop_assert_eq!(table.remove(Space::Cache, &key), map.remove(&key).is_some());
                }
                Step::Get(key) => {
                    let key = vec![key; 1 + usize::from(key)];
                    prop_assert_eq!(value_of(&table, &key), map.get(&key).cloned());
                }
                Step::Append(key, length) => {
                    let key = vec![key; 1 + usize::from(key)];
                    let mut longer = map.get(&key).cloned().unwrap_or_default();
                    longer.extend(vec![fill; length]);
                    let change = Update::Put { value: &longer, expires: NEVER, weight: 1 };
                    if table.update(Space::Cache, &key, 0, &mut Vec::new(), |_| change).is_ok() {
                        map.insert(key, longer);
                    }
                }
            }
        }
        prop_assert_eq!(table.check().unwrap().entries, map.len());
        let mut listed = BTreeMap::new();
        table.list(Space::Cache, 0, |entry| listed.insert(entry.key.clone(), entry.value.clone()).is_none());
        prop_assert_eq!(listed, map);
    }
}
