//! The MI commands of usrloc, and those among them that change something.
//!
//! C: ul_mi.c. Each argument is checked before the next, so the order of the checks is part of the protocol.

use super::expiry::{self, retain};
use super::locations::{Buffers, LocationTable, Locations, MAX_RECORD_BYTES};
use super::qvalue::Q;
use super::record::{self, Contact};
use super::{DELETE_EVENT, INSERT_EVENT, show, uri};
use crate::logging::Shown;
use crate::mi::{
    BAD_PARAMETER, Call, Changes, Classic, Command, MISSING_PARAMETER, Parameter, Rest, SERVER_ERROR, Status,
    optional, required, unsigned,
};
use crate::shm::keyed::{Full, NEVER, Space, Update};

/// Classic callers give exactly these.
const fn exactly(recipe: &'static [Parameter]) -> Classic {
    Classic::Takes { recipe, too_few: Some(MISSING_PARAMETER), too_many: Some(MISSING_PARAMETER) }
}

const TABLE: Parameter = required("table_name");
const AOR: Parameter = required("aor");
const CONTACT: Parameter = required("contact");

/// In the order of C's `mi_cmds`, in which `which` lists them.
pub(super) const COMMANDS: [Command; 7] = [
    Command {
        name: "ul_rm",
        help: None,
        classic: exactly(&[TABLE, AOR]),
        json_rpc: &[&[TABLE, AOR]],
        changes: Changes::Data,
        run: &remove,
    },
    Command {
        name: "ul_rm_contact",
        help: None,
        classic: exactly(&[TABLE, AOR, CONTACT]),
        json_rpc: &[&[TABLE, AOR, CONTACT]],
        changes: Changes::Data,
        run: &remove_contact,
    },
    Command {
        name: "ul_dump",
        help: None,
        classic: exactly(&[optional("brief")]),
        json_rpc: &[&[], &[required("brief").integer()]],
        changes: Changes::Data,
        run: &show::dump,
    },
    Command {
        name: "ul_flush",
        help: None,
        classic: Classic::NoInput,
        json_rpc: &[&[]],
        changes: Changes::Data,
        run: &flush,
    },
    Command {
        name: "ul_add",
        help: None,
        classic: exactly(&[
            TABLE,
            AOR,
            CONTACT,
            required("expires"),
            required("q"),
            required("unused"),
            required("flags"),
            required("cflags"),
            required("methods"),
        ]),
        json_rpc: &[&[
            TABLE,
            AOR,
            CONTACT,
            required("expires").integer(),
            required("q"),
            required("flags").integer(),
            required("cflags").integer(),
            required("methods").integer(),
        ]],
        changes: Changes::Data,
        run: &add,
    },
    Command {
        name: "ul_show_contact",
        help: None,
        classic: exactly(&[TABLE, AOR]),
        json_rpc: &[&[TABLE, AOR]],
        changes: Changes::Data,
        run: &show::contacts,
    },
    Command {
        name: "ul_sync",
        help: None,
        // Without a database C does not look at them.
        classic: Classic::Takes {
            recipe: &[optional("table_name"), optional("aor")],
            too_few: None,
            too_many: None,
        },
        json_rpc: &[&[TABLE], &[TABLE, AOR]],
        changes: Changes::Data,
        run: &sync,
    },
];

/// C: `mi_usrloc_rm_contact` and others.
pub(super) const AOR_NOT_FOUND: Status = Status::new(404, "AOR not found");

/// Ours: C's records have no largest size.
const TOO_LARGE: Status =
    Status::new(500, "too many contacts; those of one AOR take at most 65536 bytes, remove some");
const _: () = assert!(MAX_RECORD_BYTES == 65_536, "the status says how much is too large");

/// The tables.
pub(super) fn locations<'a>(call: &Call<'a>) -> Result<&'a Locations, Status> {
    call.context.states.get().ok_or(SERVER_ERROR)
}

/// What most commands begin with: a table that exists, and an AOR.
pub(super) fn table_and_aor<'a>(
    call: &Call<'a>,
    locations: &'a Locations,
) -> Result<(&'a LocationTable, &'a [u8]), Status> {
    let table = locations.table(call.args.get("table_name").unwrap_or_default());
    let table = table.ok_or(Status::new(404, "Table not found"))?;
    let aor = locations.aor(call.args.get("aor").unwrap_or_default());
    Ok((table, aor.ok_or(Status::new(400, "Domain missing in AOR"))?))
}

/// C answers as to any failure; ours says what to do.
fn full(full: Full) -> Status {
    log::warn!(often = true; "{full}");
    Status::formatted(500, full)
}

/// C: `mi_usrloc_rm_aor`.
fn remove(call: &mut Call<'_>) -> Result<(), Status> {
    let locations = locations(call)?;
    let (table, aor) = table_and_aor(call, locations)?;
    if call.context.segment.table().remove(Space::Location, &table.key(aor)) {
        table.raise(call.context, DELETE_EVENT, aor);
    }
    Ok(())
}

/// C: `mi_usrloc_rm_contact`.
fn remove_contact(call: &mut Call<'_>) -> Result<(), Status> {
    let locations = locations(call)?;
    let (table, aor) = table_and_aor(call, locations)?;
    let uri = call.args.get("contact").unwrap_or_default();
    let keep = |contact: &Contact<'_>| contact.uri != uri;
    let dropped = retain(call.context, locations, &table.key(aor), keep).map_err(full)?;
    if !dropped.is_known {
        return Err(AOR_NOT_FOUND);
    }
    if dropped.contacts == 0 {
        return Err(Status::new(404, "Contact not found"));
    }
    if dropped.is_last {
        table.raise(call.context, DELETE_EVENT, aor);
    }
    Ok(())
}

/// Adds a contact, or changes it. C: `mi_usrloc_add`.
///
/// Differs: a number above 4294967295 is a bad parameter; C takes what is left of it in 32 bits. A URI that is
/// refused raises no events; C inserts a new AoR before it looks, and deletes it again.
fn add(call: &mut Call<'_>) -> Result<(), Status> {
    let locations = locations(call)?;
    let (table, aor) = table_and_aor(call, locations)?;
    let uri = call.args.get("contact").unwrap_or_default();
    let bad = |name, wanted| {
        let found = Shown(call.args.get(name).unwrap_or_default());
        BAD_PARAMETER.with_cause(format_args!("{name}: \"{found}\" is no {wanted}"))
    };
    let number = |name| {
        let text = call.args.get(name).unwrap_or_default();
        unsigned(text).ok_or_else(|| bad(name, "number from 0 to 4294967295"))
    };
    let seconds = u64::from(number("expires")?);
    let contact = Contact {
        uri,
        expires: if seconds == 0 { NEVER } else { call.context.segment.now().saturating_add(seconds) },
        q: Q::parse(call.args.get("q").unwrap_or_default()).ok_or_else(|| bad("q", "number from 0 to 1"))?,
        flags: number("flags")?,
        cflags: number("cflags")?,
        methods: number("methods")?,
    };
    if !uri::is_valid(uri) {
        let cause = format_args!("contact: \"{}\" is no URI of sip, sips or tel", Shown(uri));
        return Err(SERVER_ERROR.with_cause(cause));
    }
    if insert(call, locations, &table.key(aor), &contact)? {
        table.raise(call.context, INSERT_EVENT, aor);
    }
    Ok(())
}

/// Adds a contact to a record, in one step. True when the record is new.
fn insert(call: &Call<'_>, locations: &Locations, key: &[u8], contact: &Contact<'_>) -> Result<bool, Status> {
    let mut buffers = locations.buffers();
    let Buffers { old, new } = &mut *buffers;
    let (mut is_new, mut is_too_large) = (false, false);
    let order = locations.order;
    let changed = call.context.segment.table().update(Space::Location, key, 0, old, |record| {
        is_new = record.is_none();
        let record = record.unwrap_or_default();
        is_too_large = key.len() + record::bytes_with(record, contact) > MAX_RECORD_BYTES;
        if is_too_large {
            return Update::Keep;
        }
        record::add(record, contact, order, new);
        let summary = record::summary(new);
        Update::Put { value: new, expires: summary.expires, weight: summary.contacts }
    });
    changed.map_err(full)?;
    if is_too_large { Err(TOO_LARGE) } else { Ok(is_new) }
}

/// C: `mi_usrloc_flush`, which without a database does what the timer does.
fn flush(call: &mut Call<'_>) -> Result<(), Status> {
    let mut step = expiry::removal(call.context.segment);
    call.rest = Some(Rest::of_change(move |context, _| Ok(step(context))));
    Ok(())
}

/// C: `mi_usrloc_sync`, which has nothing to do without a database.
fn sync(call: &mut Call<'_>) -> Result<(), Status> {
    call.reply.status(&Status::new(200, "Contacts already synced"));
    Ok(())
}
