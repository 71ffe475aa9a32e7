//! The tables of locations as the configuration makes them: their names, the keys of their records, their figures.
//!
//! All tables lie in one space of the keyed table; a record's key is its table's name, a NUL, and the AOR.
//! C: dlist.c and udomain.c, where a table is called a domain.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;

use super::figures::Figures;
use super::parameters;
use super::record::Order;
use crate::config;
use crate::evi::{self, Event};
use crate::mi::{Context, Statistic, StatisticSource};
use crate::module::SettingError;
use crate::shm::Segment;
use crate::shm::keyed::Space;

/// Largest record with its key, in bytes: the keyed table keeps enough in reserve to replace one of that size.
pub(super) const MAX_RECORD_BYTES: usize = 65_536;

/// The table that is always there.
const LOCATION: &str = "location";

/// Longest name of a table, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What the module has made of its settings.
#[derive(Debug)]
pub(super) struct Locations {
    tables: Vec<LocationTable>,
    /// Whether an AOR keeps its domain.
    use_domain: bool,
    /// Of the contacts of an AOR.
    pub(super) order: Order,
    /// What `ul_dump` shows as the size of a table.
    pub(super) shown_size: u64,
    /// Whether there are records of tables that the configuration does not name.
    has_strangers: Cell<bool>,
    buffers: RefCell<Buffers>,
    pub(super) figures: RefCell<Figures>,
}

/// One table.
#[derive(Debug)]
pub(super) struct LocationTable {
    /// Its name.
    pub(super) name: String,
    /// The statistic that counts its expired contacts.
    expires: &'static str,
}

/// Room for a record before and after a change. Each process has its own, and keeps it, so that no memory is
/// allocated under the lock of a record.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// As it was.
    pub(super) old: Vec<u8>,
    /// As it is to be.
    pub(super) new: Vec<u8>,
}

impl Locations {
    /// Makes the tables. C: `mod_init` in ul_mod.c and `new_dlist`.
    pub(super) fn new(settings: &config::Settings) -> Result<Locations, SettingError> {
        let mut tables = vec![LocationTable::new(LOCATION)];
        for (name, _) in settings.all(parameters::DOMAIN) {
            let name = table_name(name)?;
            if !tables.iter().any(|table| table.name == name) {
                tables.push(LocationTable::new(name));
            }
        }
        let newest_first = settings.get(parameters::DESC_TIME_ORDER);
        let shown_size = match settings.get(parameters::HASH_SIZE) {
            0 | 1 => 1 << parameters::HASH_SIZE.default,
            logarithm => 1 << logarithm,
        };
        Ok(Locations {
            tables,
            use_domain: settings.get(parameters::USE_DOMAIN),
            order: if newest_first { Order::NewestFirst } else { Order::ByQ },
            shown_size,
            has_strangers: Cell::new(false),
            buffers: RefCell::default(),
            figures: RefCell::default(),
        })
    }

    /// All tables, `location` first.
    pub(super) fn tables(&self) -> &[LocationTable] {
        &self.tables
    }

    /// The table of that name. C: `mi_find_domain`.
    pub(super) fn table(&self, name: &[u8]) -> Option<&LocationTable> {
        self.tables.iter().find(|table| table.name.as_bytes() == name)
    }

    /// The AOR under which contacts are kept: without its domain, unless the domain counts; `None` when it has none
    /// then. C: `mi_fix_aor`.
    pub(super) fn aor<'a>(&self, written: &'a [u8]) -> Option<&'a [u8]> {
        let at = written.iter().position(|&byte| byte == b'@');
        match (self.use_domain, at) {
            (true, None) => None,
            (false, Some(at)) => Some(&written[..at]),
            (true, Some(_)) | (false, None) => Some(written),
        }
    }

    /// This process's room for a change.
    pub(super) fn buffers(&self) -> RefMut<'_, Buffers> {
        let mut buffers = self.buffers.borrow_mut();
        let Buffers { old, new } = &mut *buffers;
        for buffer in [old, new] {
            buffer.clear();
            buffer.reserve(MAX_RECORD_BYTES);
        }
        buffers
    }

    /// Records of all tables.
    pub(super) fn users(&self, segment: &Segment) -> u64 {
        (0..self.tables.len()).map(|place| self.records(segment, place)).sum()
    }

    /// How many records a table has.
    pub(super) fn records(&self, segment: &Segment, table: usize) -> u64 {
        if self.is_alone() { segment.table().count(Space::Location) } else { self.figures(segment, table).0 }
    }

    /// How many contacts a table has.
    fn contacts(&self, segment: &Segment, table: usize) -> u64 {
        if self.is_alone() { segment.table().weight(Space::Location) } else { self.figures(segment, table).1 }
    }

    /// Whether all records are of one table, so that the counts that the keyed table keeps are its own.
    pub(super) fn is_alone(&self) -> bool {
        self.tables.len() == 1 && !self.has_strangers.get()
    }

    fn figures(&self, segment: &Segment, table: usize) -> (u64, u64) {
        self.figures.borrow_mut().of(self, segment, table).unwrap_or_default()
    }

    /// The statistics of all tables. C: `new_udomain`.
    pub(super) fn statistics(&self) -> Vec<Statistic> {
        let mut rows = Vec::new();
        for (place, table) in self.tables.iter().enumerate() {
            rows.push(function(&table.name, "users", Locations::records, place));
            rows.push(function(&table.name, "contacts", Locations::contacts, place));
            rows.push(Statistic::counter("usrloc", table.expires));
        }
        rows
    }
}

/// Says which records that survived a restart belong to no table, and sees that they are not counted. They stay: the
/// next configuration may name their table again.
pub(super) fn report_strangers(context: &Context) {
    let Some(locations) = context.states.get::<Locations>() else { return };
    let mut strangers = BTreeMap::<Vec<u8>, u64>::new();
    context.segment.table().list(Space::Location, 0, |entry| {
        if let Some((name, _)) = parts(&entry.key)
            && locations.table(name).is_none()
        {
            *strangers.entry(name.to_vec()).or_default() += 1;
        }
        true
    });
    locations.has_strangers.set(!strangers.is_empty());
    super::figures::publish(context);
    for (name, records) in strangers {
        let name = name.escape_ascii();
        log::warn!(
            "{records} records of the table \"{name}\" are kept and not shown; \
             to use them set modparam(\"usrloc\", \"domain\", \"{name}\")"
        );
    }
}

/// A row that is one of a table's figures. Made once at the start, kept to the end.
fn function(
    table: &str,
    what: &str,
    figure: fn(&Locations, &Segment, usize) -> u64,
    place: usize,
) -> Statistic {
    let value = move |context: &Context| {
        let locations = context.states.get::<Locations>();
        locations.map_or(0, |locations| figure(locations, context.segment, place))
    };
    Statistic {
        group: "usrloc",
        name: Box::leak(format!("{table}-{what}").into_boxed_str()),
        source: StatisticSource::Function(Box::leak(Box::new(value))),
    }
}

impl LocationTable {
    fn new(name: &str) -> LocationTable {
        LocationTable {
            name: name.to_owned(),
            expires: Box::leak(format!("{name}-expires").into_boxed_str()),
        }
    }

    /// The key of an AOR's record.
    pub(super) fn key(&self, aor: &[u8]) -> Vec<u8> {
        [self.name.as_bytes(), b"\0", aor].concat()
    }

    /// The AOR of a key, when it is one of this table.
    pub(super) fn aor_of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let (name, aor) = parts(key)?;
        (name == self.name.as_bytes()).then_some(aor)
    }

    /// Tells that an AOR has come or gone.
    pub(super) fn raise(&self, context: &Context, name: &str, aor: &[u8]) {
        let (parameters, json_rpc_only) = (&[("aor", aor.into())], &[("domain", self.name.as_str().into())]);
        evi::raise(context, &Event { name, parameters, json_rpc_only });
    }

    /// Counts contacts that have expired. C: `_r->slot->d->expires`.
    pub(super) fn count_expired(&self, context: &Context, count: u64) {
        let row = context.segment.row(context.slot);
        if let Some(cell) = context.statistics.counter(row, "usrloc", self.expires) {
            cell.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// Table and AOR of a record's key.
pub(super) fn parts(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = key.iter().position(|&byte| byte == 0)?;
    Some((&key[..end], &key[end + 1..]))
}

fn table_name(name: &[u8]) -> Result<&str, SettingError> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.iter().all(allowed);
    std::str::from_utf8(name).ok().filter(|_| is_name).ok_or_else(|| SettingError {
        parameter: "domain",
        message: format!(
            "\"{}\" is no name of a table; write 1 to {MAX_NAME_BYTES} letters, digits, '_', '-' or '.', e.g. \"aliases\"",
            name.escape_ascii()
        ),
    })
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The tables `location` and `other`.
    pub(in crate::modules::usrloc) fn two_tables() -> Locations {
        Locations {
            tables: vec![LocationTable::new(LOCATION), LocationTable::new("other")],
            use_domain: false,
            order: Order::ByQ,
            shown_size: 512,
            has_strangers: Cell::new(false),
            buffers: RefCell::default(),
            figures: RefCell::default(),
        }
    }
}
