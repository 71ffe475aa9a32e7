//! The MI commands of usrloc that show what is there.
//!
//! C: `mi_usrloc_dump` and `mi_usrloc_show_contact` in ul_mi.c.

use super::commands::{AOR_NOT_FOUND, locations, table_and_aor};
use super::record::{self, Contact};
use crate::mi::{Call, Fault, Reply, Value};
use crate::shm::keyed::{NEVER, Space};

/// What every contact of an MI command has. C: the constants of ul_mi.c.
const CALL_ID: &str = "dfjrewr12386fd6-343@opensips.mi";
const SEQUENCE: u64 = 1;
const USER_AGENT: &str = "OpenSIPS MI Server";
/// No database has seen it.
const STATE: &str = "CS_NEW";

/// All tables with their AORs, and unless the caller wants it brief, with their contacts.
///
/// AORs are written as they are found, and no lock is held meanwhile: `records` is how many there were at the
/// beginning.
pub(super) fn dump(call: &mut Call<'_>) -> Result<(), Fault> {
    let locations = locations(call)?;
    let is_brief = call.args.get("brief").is_some_and(|word| word.eq_ignore_ascii_case(b"brief"));
    let segment = call.context.segment;
    let now = segment.now();
    for (place, table) in locations.tables().iter().enumerate() {
        let (records, _) = locations.figures(segment, place);
        call.reply.open(b"Domain", Value::from(&table.name[..]));
        call.reply.attribute(b"table", Value::Unsigned(locations.shown_size));
        call.reply.attribute(b"records", Value::Unsigned(records));
        // At time 0 nothing has expired: what waits for its removal is shown as well.
        segment.table().list(Space::Location, 0, |entry| {
            if let Some(aor) = table.aor_of(&entry.key) {
                call.reply.open(b"AOR", Value::Bytes(aor));
                if !is_brief {
                    record::contacts(&entry.value).for_each(|contact| show(call.reply, &contact, now));
                }
                call.reply.close();
            }
            true
        });
        call.reply.close();
    }
    Ok(())
}

/// One contact of a dump. C: `mi_add_aor_node`.
fn show(reply: &mut dyn Reply, contact: &Contact<'_>, now: u64) {
    reply.open(b"Contact", Value::Bytes(contact.uri));
    reply.attribute(b"Q", Value::Text(format_args!("{}", contact.q)));
    match contact.expires.checked_sub(now) {
        _ if contact.expires == NEVER => reply.node("Expires", "permanent"),
        Some(left) => reply.node("Expires", Value::Unsigned(left)),
        None => reply.node("Expires", "expired"),
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

/// The contacts of an AOR that have not expired.
///
/// Differs: the time to live is 0 for a permanent contact and never negative; C prints what is left in a signed
/// 32-bit number.
pub(super) fn contacts(call: &mut Call<'_>) -> Result<(), Fault> {
    let locations = locations(call)?;
    let (table, aor) = table_and_aor(call, locations)?;
    let (segment, now) = (call.context.segment, call.context.segment.now());
    let mut buffers = locations.buffers();
    if !segment.table().get(Space::Location, &table.key(aor), 0, &mut buffers.old) {
        return Err(AOR_NOT_FOUND);
    }
    let mut is_empty = true;
    for contact in record::contacts(&buffers.old).filter(|contact| !contact.is_expired(now)) {
        let line = [b"<", contact.uri, &details(&contact, now)].concat();
        call.reply.node("Contact", Value::Bytes(&line));
        is_empty = false;
    }
    if is_empty { Err(Fault::new(404, "AOR has no contacts")) } else { Ok(()) }
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
