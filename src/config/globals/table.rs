//! The globals of opensips.cfg, one row each: those this server uses, and those of SIP alone.
//!
//! C counterpart: the definitions of cfg.lex and the rule `assign_stm` of cfg.y, of 1.8, 1.11 and 2.4.

use super::{Form, GlobalRow, Scope};

const INT_MIN: i64 = i32::MIN as i64;
const INT_MAX: i64 = i32::MAX as i64;
const NUMBER: Form = Form::Integer { min: 0, max: INT_MAX };
const SIGNED: Form = Form::Integer { min: INT_MIN, max: INT_MAX };
const PERCENTAGE: Form = Form::Integer { min: 0, max: 100 };

const ALL: &str = "1.8 to 2.4";
const UNTIL_1_11: &str = "1.8 to 1.11";
const ONLY_1_11: &str = "1.11";
const SINCE_1_11: &str = "1.11 to 2.4";
const SINCE_2: &str = "2.4";
const SINCE_3: &str = "3.x";
const ONLY_HERE: &str = "none";

const fn ours(
    names: &'static [&'static str],
    form: Form,
    versions: &'static str,
    help: &'static str,
) -> GlobalRow {
    GlobalRow { names, form, scope: Scope::Used, versions, help }
}

const fn sip(names: &'static [&'static str], form: Form, versions: &'static str) -> GlobalRow {
    GlobalRow { names, form, scope: Scope::SipAlone, versions, help: "serves SIP alone; no effect" }
}

/// What globals of OpenSIPS 3.x were called before.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("socket", "listen"),
    ("udp_workers", "children"),
    ("tcp_workers", "tcp_children"),
    ("stderror_enabled", "log_stderror"),
    ("stderror_level", "log_level"),
    ("syslog_level", "log_level"),
    ("syslog_facility", "log_facility"),
    ("syslog_name", "log_name"),
    ("loadpath", "mpath"),
];

/// All globals, those of ours first.
pub(super) const ROWS: &[GlobalRow] = &[
    ours(&["chroot"], Form::Name, ALL, "folder to make the root after start; none by default"),
    ours(&["debug", "log_level"], SIGNED, ALL, "log level from -3 (alert) to 4 (debug); 2 by default"),
    ours(&["debug_mode"], Form::Boolean, SINCE_2, "log level 4, to stderr, in the foreground; no by default"),
    ours(&["disable_core_dump"], Form::Boolean, ALL, "no core file when a process crashes; no by default"),
    ours(
        &["disable_tcp"],
        Form::Boolean,
        UNTIL_1_11,
        "no TCP of SIP, as list_tcp_conns tells; no by default",
    ),
    ours(
        &["event_shm_threshold"],
        PERCENTAGE,
        SINCE_1_11,
        "percent of shared memory from which an event is raised; 0, never, by default",
    ),
    ours(&["fork"], Form::Boolean, ALL, "no: stay in the foreground; yes by default"),
    ours(
        &["group", "gid"],
        Form::Name,
        UNTIL_1_11,
        "group to run as, by name or number; that of the caller by default",
    ),
    ours(&["log_facility"], Form::Facility, ALL, "syslog facility; LOG_DAEMON by default"),
    ours(&["log_name"], Form::Text, ALL, "name in syslog; opensips by default"),
    ours(&["log_stderror"], Form::Boolean, ALL, "log to stderr, not to syslog; no by default"),
    ours(
        &["mi_reply_timeout"],
        Form::Integer { min: 1, max: 86_400 },
        ONLY_HERE,
        "seconds that a reply may take which a command gives later; 60 by default",
    ),
    ours(&["mpath"], Form::Text, ALL, "folder of the modules; /usr/lib/opensips/modules/ by default"),
    ours(&["open_files_limit"], NUMBER, ALL, "descriptors a process may open; the system's limit by default"),
    ours(
        &["restart_persistency_cache_file"],
        Form::Text,
        SINCE_3,
        "file of what survives a restart; .restart_persistency.cache by default",
    ),
    ours(
        &["restart_persistency_size"],
        NUMBER,
        SINCE_3,
        "size of that file, in megabytes; that of -m by default",
    ),
    ours(
        &["user", "uid"],
        Form::Name,
        UNTIL_1_11,
        "user to run as, by name or number; the caller by default",
    ),
    ours(&["workdir", "wdir"], Form::Name, ALL, "working directory; / by default"),
    sip(&["abort_on_assert"], Form::Boolean, SINCE_2),
    sip(&["advertised_address"], Form::Host, ALL),
    sip(&["advertised_port"], NUMBER, ALL),
    sip(&["alias"], Form::Aliases, ALL),
    sip(&["auto_aliases"], Form::Boolean, ALL),
    sip(&["avp_aliases"], Form::Text, UNTIL_1_11),
    sip(&["bin_children"], NUMBER, ONLY_1_11),
    sip(&["bin_listen"], Form::Host, ONLY_1_11),
    sip(&["check_via"], Form::Boolean, ALL),
    sip(&["children"], NUMBER, ALL),
    sip(&["db_default_url"], Form::Text, ALL),
    sip(&["db_max_async_connections"], NUMBER, SINCE_2),
    sip(&["db_version_table"], Form::Text, ALL),
    sip(&["disable_503_translation"], Form::Boolean, ALL),
    sip(&["disable_dns_blacklist"], Form::Boolean, ALL),
    sip(&["disable_dns_failover"], Form::Boolean, ALL),
    sip(&["disable_stateless_fwd"], Form::Boolean, ALL),
    sip(&["disable_tls"], Form::Boolean, UNTIL_1_11),
    sip(&["dns"], Form::Boolean, ALL),
    sip(&["dns_retr_no"], NUMBER, ALL),
    sip(&["dns_retr_time"], NUMBER, ALL),
    sip(&["dns_servers_no"], NUMBER, ALL),
    sip(&["dns_try_ipv6"], Form::Boolean, ALL),
    sip(&["dns_try_naptr"], Form::Boolean, SINCE_1_11),
    sip(&["dns_use_search_list"], Form::Boolean, ALL),
    sip(&["dst_blacklist"], Form::Blacklist, ALL),
    sip(&["enable_asserts"], Form::Boolean, SINCE_2),
    sip(&["event_pkg_threshold"], PERCENTAGE, SINCE_1_11),
    sip(&["execdnsthreshold", "exec_dns_threshold"], NUMBER, ALL),
    sip(&["execmsgthreshold", "exec_msg_threshold"], NUMBER, ALL),
    sip(&["listen"], Form::Sockets, ALL),
    sip(&["max_while_loops"], NUMBER, ALL),
    sip(&["maxbuffer"], NUMBER, ALL),
    sip(&["mcast_loopback"], Form::Boolean, ALL),
    sip(&["mcast_ttl"], NUMBER, ALL),
    sip(&["mem-group"], Form::MemoryGroup, SINCE_2),
    sip(&["mem_warming", "mem_warming_enabled"], Form::Boolean, SINCE_1_11),
    sip(&["mem_warming_pattern_file"], Form::Text, SINCE_1_11),
    sip(&["mem_warming_percentage"], NUMBER, SINCE_1_11),
    sip(&["memdump", "mem_dump"], SIGNED, ALL),
    sip(&["memlog", "mem_log"], SIGNED, ALL),
    sip(&["mhomed"], Form::Boolean, ALL),
    sip(&["poll_method"], Form::TextOrWord, SINCE_2),
    sip(&["port"], NUMBER, UNTIL_1_11),
    sip(&["query_buffer_size"], NUMBER, ALL),
    sip(&["query_flush_time"], NUMBER, ALL),
    sip(&["rev_dns"], Form::Boolean, ALL),
    sip(&["server_header"], Form::Text, ALL),
    sip(&["server_signature"], Form::Boolean, ALL),
    sip(&["shm_hash_split_percentage"], NUMBER, SINCE_1_11),
    sip(&["shm_secondary_hash_size"], NUMBER, SINCE_1_11),
    sip(&["sip_warning"], Form::Boolean, ALL),
    sip(&["tcp_accept_aliases"], Form::Boolean, ALL),
    sip(&["tcp_async"], Form::Boolean, ONLY_1_11),
    sip(&["tcp_async_local_connect_timeout"], NUMBER, ONLY_1_11),
    sip(&["tcp_async_local_write_timeout"], NUMBER, ONLY_1_11),
    sip(&["tcp_async_max_postponed_chunks"], NUMBER, ONLY_1_11),
    sip(&["tcp_children"], NUMBER, ALL),
    sip(&["tcp_connect_timeout"], NUMBER, ALL),
    sip(&["tcp_connection_lifetime"], NUMBER, ALL),
    sip(&["tcp_crlf_pingpong"], Form::Boolean, UNTIL_1_11),
    sip(&["tcp_keepalive"], Form::Boolean, ALL),
    sip(&["tcp_keepcount"], NUMBER, ALL),
    sip(&["tcp_keepidle"], NUMBER, ALL),
    sip(&["tcp_keepinterval"], NUMBER, ALL),
    sip(&["tcp_listen_backlog"], NUMBER, SINCE_1_11),
    sip(&["tcp_max_connections"], NUMBER, ALL),
    sip(&["tcp_max_msg_chunks"], NUMBER, ONLY_1_11),
    sip(&["tcp_max_msg_time"], NUMBER, SINCE_1_11),
    sip(&["tcp_no_new_conn_bflag"], Form::WordOrInteger, ALL),
    sip(&["tcp_poll_method"], Form::TextOrWord, UNTIL_1_11),
    sip(&["tcp_send_timeout"], NUMBER, UNTIL_1_11),
    sip(&["tcpthreshold", "tcp_threshold"], NUMBER, ALL),
    sip(&["tls_ca_dir"], Form::Text, ONLY_1_11),
    sip(&["tls_ca_list"], Form::Text, UNTIL_1_11),
    sip(&["tls_certificate"], Form::Text, UNTIL_1_11),
    sip(&["tls_ciphers_list"], Form::Text, UNTIL_1_11),
    sip(&["tls_client_domain_avp"], Form::Text, UNTIL_1_11),
    sip(&["tls_dh_params"], Form::Text, ONLY_1_11),
    sip(&["tls_ec_curve"], Form::Text, ONLY_1_11),
    sip(&["tls_handshake_timeout"], NUMBER, UNTIL_1_11),
    sip(&["tls_method"], Form::Word, UNTIL_1_11),
    sip(&["tls_port_no"], NUMBER, UNTIL_1_11),
    sip(&["tls_private_key"], Form::Text, UNTIL_1_11),
    sip(&["tls_require_client_certificate"], Form::Boolean, UNTIL_1_11),
    sip(&["tls_send_timeout"], NUMBER, UNTIL_1_11),
    sip(&["tls_verify_client"], Form::Boolean, UNTIL_1_11),
    sip(&["tls_verify_server"], Form::Boolean, UNTIL_1_11),
    sip(&["tlslog", "tls_log"], NUMBER, UNTIL_1_11),
    sip(&["tos"], Form::WordOrInteger, ALL),
    sip(&["user_agent_header"], Form::Text, ALL),
    sip(&["xlog_buf_size"], NUMBER, ALL),
    sip(&["xlog_default_level"], NUMBER, SINCE_2),
    sip(&["xlog_force_color"], Form::Boolean, ALL),
];
