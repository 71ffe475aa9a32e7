//! The MI commands of usrloc that show what is there.
//!
//! C: `mi_usrloc_dump` and `mi_usrloc_show_contact` in ul_mi.c.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::commands::{AOR_NOT_FOUND, locations, table_and_aor};
use super::locations::{LocationTable, Locations};
use super::record::{self, Contact};
use crate::mi::{Call, Context, Progress, Reply, Rest, Status, Value};
use crate::shm::keyed::{Entry, NEVER, Space};

/// What every contact of an MI command has. C: the constants of ul_mi.c.
const CALL_ID: &str = "dfjrewr12386fd6-343@opensips.mi";
const SEQUENCE: u64 = 1;
const USER_AGENT: &str = "OpenSIPS MI Server";
/// No database has seen it.
const STATE: &str = "CS_NEW";

/// Bytes of records that one piece of a dump shows, or one record more.
const PIECE_BYTES: usize = 8192;

/// Buckets that one piece of a dump looks at, with records or without.
const PIECE_BUCKETS: usize = 256;

/// All tables with their AORs, and unless the caller wants it brief, with their contacts.
///
/// AORs are written as they are found, and no lock is held meanwhile: `records` is how many there were at the
/// beginning. With several large tables it may be some seconds old.
pub(super) fn dump(call: &mut Call<'_>) -> Result<(), Status> {
    locations(call)?;
    let is_brief = call.args.get("brief").is_some_and(|word| match call.reply.is_json() {
        true => word != b"0",
        false => word.eq_ignore_ascii_case(b"brief"),
    });
    call.reply.open_json("Domains", Value::List);
    let mut dump = Dump { is_brief, place: 0, batches: None };
    call.rest = Some(Rest::of_reply(move |context, reply| Ok(dump.go_on(context, reply))));
    Ok(())
}

/// How far a dump has come.
struct Dump {
    is_brief: bool,
    /// The table it is at.
    place: usize,
    /// What is left of it, once it is begun.
    batches: Option<Box<dyn Iterator<Item = Vec<Entry>>>>,
}

impl Dump {
    fn go_on(&mut self, context: &Context, reply: &mut dyn Reply) -> Progress {
        let locations = context.states.get::<Locations>();
        let Some((locations, table)) = locations.and_then(|all| Some((all, all.tables().get(self.place)?)))
        else {
            reply.close_json();
            return Progress::Done;
        };
        let segment = context.segment;
        let batches = self.batches.get_or_insert_with(|| {
            let records = locations.records(segment, self.place);
            open_domain(reply, &table.name, locations.shown_size, records);
            // At time 0 nothing has expired: what waits for its removal is shown as well.
            Box::new(segment.table().batches(Space::Location, 0))
        });
        let now = segment.now();
        let mut bytes = 0;
        for (passed, batch) in (1..).zip(batches) {
            for entry in &batch {
                if let Some(aor) = table.aor_of(&entry.key) {
                    bytes += entry.key.len() + if self.is_brief { 0 } else { entry.value.len() };
                    show_aor(reply, table, aor, (!self.is_brief).then_some(&entry.value), now);
                }
            }
            if bytes >= PIECE_BYTES || passed >= PIECE_BUCKETS {
                return Progress::More;
            }
        }
        reply.close_json();
        reply.close();
        self.batches = None;
        self.place += 1;
        Progress::More
    }
}

/// C: the loop over domains in `mi_usrloc_dump`.
fn open_domain(reply: &mut dyn Reply, name: &str, size: u64, records: u64) {
    if reply.is_json() {
        reply.open(b"", Value::Nothing);
        reply.attribute(b"name", name.into());
        reply.attribute(b"hash_size", Value::Unsigned(size));
    } else {
        reply.open(b"Domain", name.into());
        reply.attribute(b"table", Value::Unsigned(size));
        reply.attribute(b"records", Value::Unsigned(records));
    }
    reply.open_json("AORs", Value::List);
}

/// An AOR with its contacts, when they are wanted. C: `mi_add_aor_node`.
fn show_aor(reply: &mut dyn Reply, table: &LocationTable, aor: &[u8], record: Option<&Vec<u8>>, now: u64) {
    if reply.is_json() {
        reply.open(b"", Value::Nothing);
        reply.attribute(b"AOR", aor.into());
    } else {
        reply.open(b"AOR", aor.into());
    }
    if let Some(record) = record {
        reply.in_json("Contacts", Value::List, |reply| {
            record::contacts(record).for_each(|contact| show(reply, table, aor, &contact, now));
        });
    }
    reply.close();
}

/// One contact of a dump.
fn show(reply: &mut dyn Reply, table: &LocationTable, aor: &[u8], contact: &Contact<'_>, now: u64) {
    let is_json = reply.is_json();
    if is_json {
        reply.open(b"", Value::Nothing);
        reply.node("Contact", contact.uri);
        reply.node("ContactID", Value::Text(format_args!("{}", contact_id(table, aor, contact))));
    } else {
        reply.open(b"Contact", contact.uri.into());
        reply.attribute(b"Q", Value::Text(format_args!("{}", contact.q)));
    }
    match contact.expires.checked_sub(now) {
        _ if contact.expires == NEVER => reply.node("Expires", "permanent"),
        Some(left) => reply.node("Expires", Value::Unsigned(left)),
        None => reply.node("Expires", "expired"),
    }
    if is_json {
        reply.node("Q", Value::Text(format_args!("{}", contact.q)));
    }
    reply.node("Callid", CALL_ID);
    reply.node("Cseq", Value::Unsigned(SEQUENCE));
    reply.node("User-agent", USER_AGENT);
    reply.node("State", STATE);
    reply.node("Flags", Value::Unsigned(contact.flags.into()));
    // Names of the flags that are set; a routing script would have named them.
    reply.node("Cflags", "");
    reply.node("Methods", Value::Unsigned(contact.methods.into()));
    reply.close();
}

/// A number by which JSON-RPC clients know a contact again.
///
/// Differs: C numbers contacts as they are added; ours follows from table, AOR and URI, so it outlives a restart.
fn contact_id(table: &LocationTable, aor: &[u8], contact: &Contact<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&table.name, aor, contact.uri).hash(&mut hasher);
    hasher.finish()
}

/// The contacts of an AOR that have not expired.
///
/// Differs: the time to live is 0 for a permanent contact and never negative; C prints what is left in a signed
/// 32-bit number.
pub(super) fn contacts(call: &mut Call<'_>) -> Result<(), Status> {
    let locations = locations(call)?;
    let (table, aor) = table_and_aor(call, locations)?;
    let (segment, now) = (call.context.segment, call.context.segment.now());
    let mut buffers = locations.buffers();
    if !segment.table().get(Space::Location, &table.key(aor), 0, &mut buffers.old) {
        return Err(AOR_NOT_FOUND);
    }
    if call.reply.is_json() {
        call.reply.node("AOR", aor);
        call.reply.in_json("Contacts", Value::List, |reply| {
            record::contacts(&buffers.old).for_each(|contact| show(reply, table, aor, &contact, now));
        });
        return Ok(());
    }
    call.reply.list();
    let mut is_empty = true;
    for contact in record::contacts(&buffers.old).filter(|contact| !contact.is_expired(now)) {
        let line = [b"<", contact.uri, &details(&contact, now)].concat();
        call.reply.node("Contact", Value::Bytes(&line));
        is_empty = false;
    }
    if is_empty { Err(Status::new(404, "AOR has no contacts")) } else { Ok(()) }
}

/// What follows the URI.
fn details(contact: &Contact<'_>, now: u64) -> Vec<u8> {
    let left = contact.expires.saturating_sub(now);
    let Contact { q, flags, cflags, methods, .. } = contact;
    format!(
        ">;q={q};expires={left};flags=0x{flags:X};cflags=0x{cflags:X};socket=<NULL>;callid=<{CALL_ID}>;\
         methods=0x{methods:X};user_agent=<{USER_AGENT}>"
    )
    .into_bytes()
}
