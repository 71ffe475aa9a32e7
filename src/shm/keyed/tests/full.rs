//! A full table: what must go on working, and what may be refused.

use super::*;

/// Fills a table with values that follow from their number, until each shard has refused some.
fn fill(table: &Table<'_>, from: u32, length: impl Fn(u32) -> usize) -> BTreeMap<u32, usize> {
    let (mut stored, mut refused) = (BTreeMap::new(), 0);
    for n in from.. {
        let length = length(n);
        match table.put(Space::Cache, &n.to_be_bytes(), &vec![n.to_le_bytes()[0]; length], NEVER) {
            Ok(()) => drop(stored.insert(n, length)),
            Err(Full) => refused += 1,
        }
        if refused == 1000 {
            break;
        }
    }
    stored
}

#[test]
fn it_refuses_new_keys_replaces_old_ones_and_uses_freed_space_again() {
    let table = table();
    let stored = fill(&table, 0, |_| 1000);
    assert!(stored.len() > 500, "{}", stored.len());
    table.check().unwrap();
    for n in stored.keys() {
        table.put(Space::Cache, &n.to_be_bytes(), &[8; 1000], NEVER).unwrap();
    }
    // It is as full as before.
    assert_eq!(table.put(Space::Cache, &0_u32.to_be_bytes(), &[9; 65_000], NEVER), Err(Full));
    assert_eq!(value_of(&table, &0_u32.to_be_bytes()), Some(vec![8; 1000]));
    table.check().unwrap();
    for n in stored.keys() {
        assert!(table.remove(Space::Cache, &n.to_be_bytes()));
    }
    assert_eq!((table.used_bytes(), table.claimed_pages(), table.count(Space::Cache)), (0, 0, 0));
    assert!(fill(&table, 1_000_000, |_| 1000).len() > stored.len() * 8 / 10);
    table.check().unwrap();
}

#[test]
fn what_is_refused_takes_nothing_with_it() {
    let table = table();
    table.put(Space::Cache, b"k", &[1; 100], NEVER).unwrap();
    let before = table.claimed_pages();
    for key in [&b"k"[..], b"other"] {
        assert_eq!(table.put(Space::Cache, key, &vec![2; 3 << 20], NEVER), Err(Full));
        assert_eq!(table.claimed_pages(), before);
        table.check().unwrap();
    }
    assert_eq!(value_of(&table, b"k"), Some(vec![1; 100]));
}

#[test]
fn entries_that_grew_until_it_was_full_can_all_shrink() {
    let segment = Segment::create(2 * MIN_BYTES, 1, 1).unwrap();
    let table = segment.table();
    let mut lengths = vec![0_usize; 1500];
    let (mut seed, mut refused) = (7_u64, 0);
    while refused < 2000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let n = usize::try_from(seed >> 33).unwrap() % lengths.len();
        let longer = vec![1; lengths[n] + 60];
        match table.put(Space::Cache, &n.to_be_bytes(), &longer, NEVER) {
            Ok(()) => lengths[n] += 60,
            Err(Full) => refused += 1,
        }
    }
    table.check().unwrap();
    for round in 0..3 {
        for (n, length) in lengths.iter_mut().enumerate().filter(|(_, length)| **length > 0) {
            *length -= 60 * (n % 2);
            assert_eq!(
                table.put(Space::Cache, &n.to_be_bytes(), &vec![2; *length], NEVER),
                Ok(()),
                "{round}: {n}"
            );
        }
        table.check().unwrap();
    }
}

/// Stores values of a space until each shard has refused some. Gives how many there are.
fn fill_space(table: &Table<'_>, space: Space, length: usize) -> u64 {
    let mut refused = 0;
    for n in 0_u32.. {
        refused += u32::from(table.put(space, &n.to_be_bytes(), &vec![1; length], NEVER).is_err());
        if refused == 1000 {
            break;
        }
    }
    table.count(space)
}

#[test]
fn no_space_takes_the_share_of_another() {
    for greedy in Space::ALL {
        let segment = Segment::create(32 << 20, 1, 1).unwrap();
        segment.share(&Space::ALL);
        let table = segment.table();
        let pages = u64::from(table.layout.pages);
        fill_space(&table, greedy, 1000);
        let others = Space::ALL.into_iter().filter(|&space| space != greedy);
        let shares: u64 = others.clone().map(|space| pages / u64::from(space.share())).sum();
        assert!(table.claimed_pages() + shares <= pages, "{greedy:?}");
        assert!(table.claimed_pages() + shares + 64 > pages, "{greedy:?} can have what is nobody's share");
        for space in others {
            let before = table.claimed_pages();
            fill_space(&table, space, 1000);
            let share = pages / u64::from(space.share());
            let claimed = table.claimed_pages() - before;
            assert!((share - 64..=share).contains(&claimed), "{space:?}: {claimed} of {share} pages");
            // What the others hold can be replaced as before.
            table.put(greedy, &0_u32.to_be_bytes(), &[2; 1000], NEVER).unwrap();
        }
        table.check().unwrap();
        assert!(table.remove(greedy, &0_u32.to_be_bytes()));
    }
}

#[test]
fn the_shares_hold_after_the_death_of_a_holder_and_a_restart() {
    let segment = Segment::create(16 << 20, 1, 1).unwrap();
    segment.share(&[Space::Cache, Space::Subscription]);
    let table = segment.table();
    fill_space(&table, Space::Cache, 100);
    for shard in 0..SHARDS {
        die_holding(segment, shard, |shard| {
            // As if it had been killed where the page is counted and not claimed yet.
            let cell = shard.region.cell(shard.layout.owned_cell(Layout::set(shard.index, Space::Cache)));
            cell.fetch_sub(1, Ordering::Relaxed);
        });
    }
    table.check().unwrap();
    assert_eq!(table.recover(), 0);
    let value = vec![1; 300_000];
    table.put(Space::Subscription, b"event", &value, NEVER).unwrap();
    table.put(Space::Subscription, b"event", &value, NEVER).unwrap();
    table.check().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    /// To so many thousandths of its length.
    Shrink(usize, usize),
    Remove(usize),
    /// To a length.
    Put(usize, usize),
    /// By the death of a holder.
    Recover(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<usize>(), 0..=1000_usize).prop_map(|(key, part)| Step::Shrink(key, part)),
        1 => any::<usize>().prop_map(Step::Remove),
        6 => (any::<usize>(), lengths()).prop_map(|(key, length)| Step::Put(key, length)),
        1 => any::<usize>().prop_map(Step::Recover),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..300)
}

/// Short, of some KiB, near the longest value that callers store.
fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0..400_usize, 4 => 400..8_000_usize, 2 => 8_000..60_000_usize, 1 => 60_000..66_000_usize]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 12, ..ProptestConfig::default() })]

    /// In every state a full table can come to: what does not grow is replaced, and everything can be removed.
    #[test]
    fn removals_and_replacements_that_do_not_grow_always_work(
        fills in proptest::collection::vec(lengths(), 1..40),
        steps in steps(),
    ) {
        let segment = Segment::create(MIN_BYTES, 1, 1).unwrap();
        let table = segment.table();
        let mut stored = fill(&table, 0, |n| fills[usize::try_from(n).unwrap() % fills.len()]);
        table.check().unwrap();
        let key_of = |stored: &BTreeMap<u32, usize>, n: usize| {
            stored.iter().nth(n % stored.len().max(1)).map(|(&key, &length)| (key, length))
        };
        for step in steps {
            match step {
                Step::Shrink(n, part) => {
                    let Some((key, length)) = key_of(&stored, n) else { continue };
                    let length = length * part / 1000;
                    let shrunk = table.put(Space::Cache, &key.to_be_bytes(), &vec![3; length], NEVER);
                    prop_assert_eq!(shrunk, Ok(()));
                    stored.insert(key, length);
                }
                Step::Remove(n) => {
                    let Some((key, _)) = key_of(&stored, n) else { continue };
                    prop_assert!(table.remove(Space::Cache, &key.to_be_bytes()));
                    stored.remove(&key);
                }
                Step::Put(n, length) => {
                    let key = u32::try_from(n % 2000).unwrap();
                    if table.put(Space::Cache, &key.to_be_bytes(), &vec![4; length], NEVER).is_ok() {
                        stored.insert(key, length);
                    }
                }
                Step::Recover(shard) => die_holding(segment, shard % SHARDS, |shard| {
                    let _chunk = shard.pages(Space::Cache).take();
                }),
                Step::Restart => prop_assert_eq!(table.recover(), 0),
            }
        }
        prop_assert_eq!(table.check().unwrap().entries, stored.len());
        for (key, length) in &stored {
            prop_assert_eq!(value_of(&table, &key.to_be_bytes()).map(|value| value.len()), Some(*length));
            prop_assert_eq!(table.put(Space::Cache, &key.to_be_bytes(), &vec![5; *length], NEVER), Ok(()));
        }
        table.check().unwrap();
        for key in stored.keys() {
            prop_assert!(table.remove(Space::Cache, &key.to_be_bytes()));
        }
        table.check().unwrap();
        prop_assert_eq!((table.used_bytes(), table.claimed_pages()), (0, 0));
    }
}
