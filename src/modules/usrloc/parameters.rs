//! What `modparam("usrloc", …)` may set. C: `params` in ul_mod.c, of 1.4 to 2.4.

use crate::config::{Effect, Kind, Parameter};

const NUMBER: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };
const NO_DATABASE: Effect = Effect::None("there is no database");
const NO_CLUSTER: Effect = Effect::None("there is no cluster");
const NO_SIP: Effect = Effect::None("no SIP is handled");

const fn used(name: &'static str, kind: Kind, help: &'static str) -> Parameter {
    Parameter { name, kind, effect: Effect::Used, help }
}

/// A name or an address in the database.
const fn of_database(name: &'static str, help: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Text, effect: NO_DATABASE, help }
}

const fn unused(name: &'static str, kind: Kind, effect: Effect, help: &'static str) -> Parameter {
    Parameter { name, kind, effect, help }
}

/// All of them.
pub(super) const PARAMETERS: &[Parameter] = &[
    used("domain", Kind::Text, "name of a table beside location; may be set several times; no default"),
    used("use_domain", Kind::Boolean, "whether an AOR keeps its domain; default 0"),
    used(
        "desc_time_order",
        Kind::Boolean,
        "whether the newest contact comes first, not the highest q; default 0",
    ),
    used(
        "timer_interval",
        Kind::Integer { min: 1, max: 86_400 * 365 },
        "seconds between two removals of expired contacts; default 60",
    ),
    used(
        "hash_size",
        Kind::Integer { min: 0, max: 30 },
        "binary logarithm of the number of hash buckets that ul_dump shows; default 9",
    ),
    used(
        "restart_persistency",
        Kind::Choice(&["none", "load-from-file", "load-from-sql", "sync-from-cluster"]),
        "load-from-file to have contacts survive a restart of the server; default none",
    ),
    used("db_mode", Kind::Integer { min: 0, max: 3 }, "use of a database, of which there is none; default 0"),
    unused(
        "matching_mode",
        Kind::Integer { min: 0, max: 1 },
        Effect::None("MI commands know a contact by its URI alone"),
        "how a contact is found again; default 0",
    ),
    unused("cseq_delay", NUMBER, NO_SIP, "seconds for which a repeated registration is taken; default 20"),
    unused("nat_bflag", Kind::IntegerOrText, NO_SIP, "branch flag of contacts behind NAT; no default"),
    unused("fetch_rows", NUMBER, NO_DATABASE, "rows of the database read at a time; default 2000"),
    unused("max_contact_delete", NUMBER, NO_DATABASE, "contacts deleted by one query; default 10"),
    unused("accept_replicated_contacts", NUMBER, NO_CLUSTER, "whether to take contacts of others; default 0"),
    unused(
        "replicate_contacts_to",
        Kind::IntegerOrText,
        NO_CLUSTER,
        "who else gets the contacts; no default",
    ),
    unused("repl_auth_check", NUMBER, NO_CLUSTER, "whether to check who sends contacts; default 0"),
    unused("skip_replicated_db_ops", NUMBER, NO_DATABASE, "whether others write the database; default 0"),
    unused("location_cluster", NUMBER, NO_CLUSTER, "number of the cluster; default 0"),
    unused("cluster_mode", Kind::Text, NO_CLUSTER, "what the cluster shares; default none"),
    unused("working_mode_preset", Kind::Text, NO_CLUSTER, "cluster and database in one word; no default"),
    unused("shared_pinging", NUMBER, NO_CLUSTER, "whether others ping, too; default 1"),
    unused("sql_write_mode", Kind::Text, NO_DATABASE, "when the database is written; default none"),
    unused("regen_broken_contactid", NUMBER, NO_DATABASE, "whether to mend contact numbers; default 0"),
    unused("mi_dump_kv_store", NUMBER, NO_SIP, "whether ul_dump shows what modules store; default 0"),
    unused("latency_event_min_us", NUMBER, NO_SIP, "ping time in microseconds worth an event; default 0"),
    unused(
        "latency_event_min_us_delta",
        NUMBER,
        NO_SIP,
        "change of the ping time in microseconds worth an event; default 0",
    ),
    of_database("db_url", "address of the database; no default"),
    of_database("cachedb_url", "address of the NoSQL database; no default"),
    of_database("contact_id_column", "column of the contact's number; default contact_id"),
    of_database("contactid_column", "the same in OpenSIPS 2.2 and 2.3; default contact_id"),
    of_database("user_column", "column of the user; default username"),
    of_database("domain_column", "column of the domain; default domain"),
    of_database("contact_column", "column of the contact; default contact"),
    of_database("expires_column", "column of the expiry; default expires"),
    of_database("q_column", "column of the q value; default q"),
    of_database("callid_column", "column of the Call-ID; default callid"),
    of_database("cseq_column", "column of the CSeq; default cseq"),
    of_database("flags_column", "column of the flags; default flags"),
    of_database("cflags_column", "column of the contact flags; default cflags"),
    of_database("user_agent_column", "column of the user agent; default user_agent"),
    of_database("received_column", "column of the sender's address; default received"),
    of_database("path_column", "column of the path; default path"),
    of_database("socket_column", "column of the socket; default socket"),
    of_database("methods_column", "column of the methods; default methods"),
    of_database("sip_instance_column", "column of the SIP instance; default sip_instance"),
    of_database("kv_store_column", "column of what modules store; default kv_store"),
    of_database("attr_column", "column of attributes; default attr"),
];
