//! The parameters of usrloc. C: `params` in ul_mod.c, of 1.4 to 2.4.

use crate::config::DefaultValue::{self, Absent, Number, Text};
use crate::config::{Param, ParameterKind, ParameterRow};

pub(super) const DOMAIN: Param<Option<&[u8]>> =
    Param::optional_text("domain", "name of a table beside location; may be set several times");
pub(super) const USE_DOMAIN: Param<bool> =
    Param::boolean("use_domain", false, "whether an AOR keeps its domain");
pub(super) const DESC_TIME_ORDER: Param<bool> =
    Param::boolean("desc_time_order", false, "whether the newest contact comes first, not the highest q");
pub(super) const TIMER_INTERVAL: Param<u32> =
    Param::u32("timer_interval", 1..=86_400 * 365, 60, "seconds between two removals of expired contacts");
pub(super) const HASH_SIZE: Param<u16> =
    Param::u16("hash_size", 0..=30, 9, "binary logarithm of the number of hash buckets that ul_dump shows");
pub(super) const RESTART_PERSISTENCY: Param<&[u8]> = Param::choice(
    "restart_persistency",
    &["none", "load-from-file", "load-from-sql", "sync-from-cluster"],
    "none",
    "load-from-file to have contacts survive a restart of the server",
);
pub(super) const DB_MODE: Param<u16> =
    Param::u16("db_mode", 0..=3, 0, "use of a database, of which there is none");

const NUMBER: ParameterKind = ParameterKind::Integer { min: 0, max: i32::MAX as i64 };
const NO_DATABASE: &str = "there is no database";
const NO_CLUSTER: &str = "there is no cluster";
const NO_SIP: &str = "no SIP is handled";

const fn unused(
    name: &'static str,
    kind: ParameterKind,
    default: DefaultValue,
    reason: &'static str,
    help: &'static str,
) -> ParameterRow {
    ParameterRow::without_effect(name, kind, default, reason, help)
}

/// The module's table of parameters.
pub(super) const PARAMETERS: &[ParameterRow] = &[
    DOMAIN.row,
    USE_DOMAIN.row,
    DESC_TIME_ORDER.row,
    TIMER_INTERVAL.row,
    HASH_SIZE.row,
    RESTART_PERSISTENCY.row,
    DB_MODE.row,
    unused(
        "matching_mode",
        ParameterKind::Integer { min: 0, max: 1 },
        Number(0),
        "MI commands know a contact by its URI alone",
        "how a contact is found again",
    ),
    unused("cseq_delay", NUMBER, Number(20), NO_SIP, "seconds for which a repeated registration is taken"),
    unused("nat_bflag", ParameterKind::NameOrNumber, Absent, NO_SIP, "branch flag of contacts behind NAT"),
    unused("fetch_rows", NUMBER, Number(2000), NO_DATABASE, "rows of the database read at a time"),
    unused("max_contact_delete", NUMBER, Number(10), NO_DATABASE, "contacts deleted by one query"),
    unused("accept_replicated_contacts", NUMBER, Number(0), NO_CLUSTER, "whether to take contacts of others"),
    unused(
        "replicate_contacts_to",
        ParameterKind::NameOrNumber,
        Absent,
        NO_CLUSTER,
        "who else gets the contacts",
    ),
    unused("repl_auth_check", NUMBER, Number(0), NO_CLUSTER, "whether to check who sends contacts"),
    unused("skip_replicated_db_ops", NUMBER, Number(0), NO_DATABASE, "whether others write the database"),
    unused("location_cluster", NUMBER, Number(0), NO_CLUSTER, "number of the cluster"),
    unused("cluster_mode", ParameterKind::Text, Text("none"), NO_CLUSTER, "what the cluster shares"),
    unused(
        "working_mode_preset",
        ParameterKind::Text,
        Absent,
        NO_CLUSTER,
        "cluster and database in one word",
    ),
    unused("shared_pinging", NUMBER, Number(1), NO_CLUSTER, "whether others ping, too"),
    unused("sql_write_mode", ParameterKind::Text, Text("none"), NO_DATABASE, "when the database is written"),
    unused("regen_broken_contactid", NUMBER, Number(0), NO_DATABASE, "whether to mend contact numbers"),
    unused("mi_dump_kv_store", NUMBER, Number(0), NO_SIP, "whether ul_dump shows what modules store"),
    unused("latency_event_min_us", NUMBER, Number(0), NO_SIP, "ping time in microseconds worth an event"),
    unused(
        "latency_event_min_us_delta",
        NUMBER,
        Number(0),
        NO_SIP,
        "change of the ping time in microseconds worth an event",
    ),
    unused("db_url", ParameterKind::Text, Absent, NO_DATABASE, "address of the database"),
    unused("cachedb_url", ParameterKind::Text, Absent, NO_DATABASE, "address of the NoSQL database"),
    unused(
        "contact_id_column",
        ParameterKind::Text,
        Text("contact_id"),
        NO_DATABASE,
        "column of the contact's number",
    ),
    unused(
        "contactid_column",
        ParameterKind::Text,
        Text("contact_id"),
        NO_DATABASE,
        "the same in OpenSIPS 2.2 and 2.3",
    ),
    unused("user_column", ParameterKind::Text, Text("username"), NO_DATABASE, "column of the user"),
    unused("domain_column", ParameterKind::Text, Text("domain"), NO_DATABASE, "column of the domain"),
    unused("contact_column", ParameterKind::Text, Text("contact"), NO_DATABASE, "column of the contact"),
    unused("expires_column", ParameterKind::Text, Text("expires"), NO_DATABASE, "column of the expiry"),
    unused("q_column", ParameterKind::Text, Text("q"), NO_DATABASE, "column of the q value"),
    unused("callid_column", ParameterKind::Text, Text("callid"), NO_DATABASE, "column of the Call-ID"),
    unused("cseq_column", ParameterKind::Text, Text("cseq"), NO_DATABASE, "column of the CSeq"),
    unused("flags_column", ParameterKind::Text, Text("flags"), NO_DATABASE, "column of the flags"),
    unused("cflags_column", ParameterKind::Text, Text("cflags"), NO_DATABASE, "column of the contact flags"),
    unused(
        "user_agent_column",
        ParameterKind::Text,
        Text("user_agent"),
        NO_DATABASE,
        "column of the user agent",
    ),
    unused(
        "received_column",
        ParameterKind::Text,
        Text("received"),
        NO_DATABASE,
        "column of the sender's address",
    ),
    unused("path_column", ParameterKind::Text, Text("path"), NO_DATABASE, "column of the path"),
    unused("socket_column", ParameterKind::Text, Text("socket"), NO_DATABASE, "column of the socket"),
    unused("methods_column", ParameterKind::Text, Text("methods"), NO_DATABASE, "column of the methods"),
    unused(
        "sip_instance_column",
        ParameterKind::Text,
        Text("sip_instance"),
        NO_DATABASE,
        "column of the SIP instance",
    ),
    unused(
        "kv_store_column",
        ParameterKind::Text,
        Text("kv_store"),
        NO_DATABASE,
        "column of what modules store",
    ),
    unused("attr_column", ParameterKind::Text, Text("attr"), NO_DATABASE, "column of attributes"),
];
