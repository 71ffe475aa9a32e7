//! The end of contacts: a timer and `ul_flush` remove those that have expired, and the AoRs that have none left.
//!
//! Until then an expired contact stays visible to `ul_dump` and can be removed or changed. C: `synchronize_all_udomains`
//! in dlist.c, `mem_timer_udomain` in udomain.c, `nodb_timer` in urecord.c.

use super::DELETE_EVENT;
use super::locations::{Buffers, LocationTable, Locations, parts};
use super::record;
use crate::logging::Shown;
use crate::mi::{Context, Progress};
use crate::shm::Segment;
use crate::shm::keyed::{Entry, Full, Space, Update};

/// Buckets that one step of a removal looks at.
const STEP_BUCKETS: usize = 64;

/// Removes what has expired, counts it, and tells of the AoRs that go: a step of it with each call of what it gives.
pub(super) fn removal(segment: &'static Segment) -> impl FnMut(&Context) -> Progress {
    let (table, now) = (segment.table(), segment.now());
    let mut expired = table.expired_batches(Space::Location, now);
    let mut left = table.batches(Space::Location, now);
    move |context| {
        let Some(locations) = context.states.get::<Locations>() else { return Progress::Done };
        for _ in 0..STEP_BUCKETS {
            let is_changed = if let Some(gone) = expired.next() {
                gone.iter().for_each(|entry| note_removed(context, locations, entry));
                !gone.is_empty()
            } else if let Some(batch) = left.next() {
                batch.iter().filter(|entry| thin_out_if_due(context, locations, entry, now)).count() > 0
            } else {
                return Progress::Done;
            };
            // An event may have many subscribers.
            if is_changed {
                return Progress::More;
            }
        }
        Progress::More
    }
}

/// All steps of a removal, one after the other.
pub(super) fn remove_expired(context: &Context) {
    let mut step = removal(context.segment);
    while step(context) == Progress::More {}
}

fn note_removed(context: &Context, locations: &Locations, entry: &Entry) {
    if let Some((name, aor)) = parts(&entry.key)
        && let Some(table) = locations.table(name)
    {
        table.count_expired(context, entry.weight.into());
        table.raise(context, DELETE_EVENT, aor);
    }
}

/// Removes the expired contacts of a record, if it has any.
fn thin_out_if_due(context: &Context, locations: &Locations, entry: &Entry, now: u64) -> bool {
    let table = parts(&entry.key).and_then(|(name, aor)| Some((locations.table(name)?, aor)));
    let is_due = || record::contacts(&entry.value).any(|contact| contact.is_expired(now));
    let due = table.filter(|_| is_due());
    due.into_iter().for_each(|(table, aor)| thin_out(context, locations, table, aor));
    due.is_some()
}

/// Removes the expired contacts of one AoR.
fn thin_out(context: &Context, locations: &Locations, table: &LocationTable, aor: &[u8]) {
    let now = context.segment.now();
    let keep = |contact: &record::Contact<'_>| !contact.is_expired(now);
    match retain(context, locations, &table.key(aor), keep) {
        Ok(dropped) => {
            table.count_expired(context, dropped.contacts);
            if dropped.is_last {
                table.raise(context, DELETE_EVENT, aor);
            }
        }
        Err(full) => {
            log::warn!(often = true; "expired contacts of {} stay: {full}", Shown(aor));
        }
    }
}

/// What a removal has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Whether there was such a record.
    pub(super) is_known: bool,
    /// How many contacts are gone.
    pub(super) contacts: u64,
    /// Whether the record went with them.
    pub(super) is_last: bool,
}

/// Removes contacts from a record, in one step, and the record when none is left. Expired ones are still there.
///
/// # Errors
/// [`Full`], with nothing changed: what remains is written anew before the old is freed.
pub(super) fn retain(
    context: &Context,
    locations: &Locations,
    key: &[u8],
    keep: impl Fn(&record::Contact<'_>) -> bool,
) -> Result<Dropped, Full> {
    let mut buffers = locations.buffers();
    let Buffers { old, new } = &mut *buffers;
    let mut dropped = Dropped::default();
    context.segment.table().update(Space::Location, key, 0, old, |record| {
        let Some(record) = record else { return Update::Keep };
        let contacts = record::retain(record, keep, new);
        let summary = record::summary(new);
        dropped = Dropped { is_known: true, contacts, is_last: contacts > 0 && summary.contacts == 0 };
        if contacts == 0 {
            Update::Keep
        } else if dropped.is_last {
            Update::Remove
        } else {
            Update::Put { value: new, expires: summary.expires, weight: summary.contacts }
        }
    })?;
    Ok(dropped)
}
