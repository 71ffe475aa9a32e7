//! Lists the globals of opensips.cfg, one row each: those that this server uses, then those that serve SIP
//! alone.
//!
//! C counterpart: the definitions of cfg.lex and the rule `assign_stm` of cfg.y, of all releases from 1.4 to
//! 2.4. Which release has which is in tests/checks/releases.

use super::row::{GlobalForm, GlobalRow, GlobalScope};

const INT_MIN: i64 = i32::MIN as i64;
const INT_MAX: i64 = i32::MAX as i64;
const NUMBER: GlobalForm = GlobalForm::Integer { min: 0, max: INT_MAX };
const SIGNED: GlobalForm = GlobalForm::Integer { min: INT_MIN, max: INT_MAX };
const PERCENTAGE: GlobalForm = GlobalForm::Integer { min: 0, max: 100 };

const fn ours(names: &'static [&'static str], form: GlobalForm, help: &'static str) -> GlobalRow {
    GlobalRow { names, form, scope: GlobalScope::Used, help }
}

const fn sip(names: &'static [&'static str], form: GlobalForm) -> GlobalRow {
    GlobalRow { names, form, scope: GlobalScope::SipAlone, help: "serves SIP alone; no effect" }
}

/// All globals that are accepted.
#[must_use]
pub fn rows() -> &'static [GlobalRow] {
    ROWS
}

/// The row of a name.
pub(in crate::config) fn find(name: &[u8]) -> Option<&'static GlobalRow> {
    ROWS.iter().find(|row| row.names.iter().any(|known| known.as_bytes() == name))
}

/// All globals, those that this server uses first.
const ROWS: &[GlobalRow] = &[
    ours(&["chroot"], GlobalForm::Name, "folder to make the root after start; none by default"),
    ours(&["debug", "log_level"], SIGNED, "log level from -3 (alert) to 4 (debug); 2 by default"),
    ours(&["debug_mode"], GlobalForm::Boolean, "log level 4, to stderr, in the foreground; no by default"),
    ours(&["disable_core_dump"], GlobalForm::Boolean, "no core file when a process crashes; no by default"),
    ours(&["disable_tcp"], GlobalForm::Boolean, "no TCP of SIP, as list_tcp_conns tells; no by default"),
    ours(
        &["event_shm_threshold"],
        PERCENTAGE,
        "percent of shared memory from which an event is raised; 0, never, by default",
    ),
    ours(&["fork"], GlobalForm::Boolean, "no: stay in the foreground; yes by default"),
    ours(
        &["group", "gid"],
        GlobalForm::Name,
        "group to run as, by name or number; that of the caller by default",
    ),
    ours(&["log_facility"], GlobalForm::Facility, "syslog facility; LOG_DAEMON by default"),
    ours(&["log_name"], GlobalForm::Text, "name in syslog; opensips by default"),
    ours(&["log_stderror"], GlobalForm::Boolean, "log to stderr, not to syslog; no by default"),
    ours(
        &["mi_reply_timeout"],
        GlobalForm::Integer { min: 1, max: 86_400 },
        "timeout of deferred replies, in seconds; 60 by default",
    ),
    ours(&["mpath"], GlobalForm::Text, "folder of the modules; /usr/lib/opensips/modules/ by default"),
    ours(&["open_files_limit"], NUMBER, "descriptors a process may open; the system's limit by default"),
    ours(
        &["restart_persistency_cache_file"],
        GlobalForm::Text,
        "file of what survives a restart; in the working folder or /var/lib/opensips by default",
    ),
    ours(&["restart_persistency_size"], NUMBER, "size of that file, in megabytes; that of -m by default"),
    ours(&["user", "uid"], GlobalForm::Name, "user to run as, by name or number; the caller by default"),
    ours(&["workdir", "wdir"], GlobalForm::Name, "working directory; / by default"),
    sip(&["abort_on_assert"], GlobalForm::Boolean),
    sip(&["advertised_address"], GlobalForm::Host),
    sip(&["advertised_port"], NUMBER),
    sip(&["alias"], GlobalForm::Aliases),
    sip(&["auto_aliases"], GlobalForm::Boolean),
    sip(&["avp_aliases"], GlobalForm::Text),
    sip(&["bin_children"], NUMBER),
    sip(&["bin_listen"], GlobalForm::Host),
    sip(&["check_via"], GlobalForm::Boolean),
    sip(&["children"], NUMBER),
    sip(&["db_default_url"], GlobalForm::Text),
    sip(&["db_max_async_connections"], NUMBER),
    sip(&["db_version_table"], GlobalForm::Text),
    sip(&["disable_503_translation"], GlobalForm::Boolean),
    sip(&["disable_dns_blacklist"], GlobalForm::Boolean),
    sip(&["disable_dns_failover"], GlobalForm::Boolean),
    sip(&["disable_stateless_fwd"], GlobalForm::Boolean),
    sip(&["disable_tls"], GlobalForm::Boolean),
    sip(&["dns"], GlobalForm::Boolean),
    sip(&["dns_retr_no"], NUMBER),
    sip(&["dns_retr_time"], NUMBER),
    sip(&["dns_servers_no"], NUMBER),
    sip(&["dns_try_ipv6"], GlobalForm::Boolean),
    sip(&["dns_try_naptr"], GlobalForm::Boolean),
    sip(&["dns_use_search_list"], GlobalForm::Boolean),
    sip(&["dst_blacklist"], GlobalForm::Blacklist),
    sip(&["enable_asserts"], GlobalForm::Boolean),
    sip(&["event_pkg_threshold"], PERCENTAGE),
    sip(&["execdnsthreshold", "exec_dns_threshold"], NUMBER),
    sip(&["execmsgthreshold", "exec_msg_threshold"], NUMBER),
    sip(&["listen"], GlobalForm::Sockets),
    sip(&["max_while_loops"], NUMBER),
    sip(&["maxbuffer"], NUMBER),
    sip(&["mcast_loopback"], GlobalForm::Boolean),
    sip(&["mcast_ttl"], NUMBER),
    sip(&["mem-group"], GlobalForm::MemoryGroup),
    sip(&["mem_warming", "mem_warming_enabled"], GlobalForm::Boolean),
    sip(&["mem_warming_pattern_file"], GlobalForm::Text),
    sip(&["mem_warming_percentage"], NUMBER),
    sip(&["memdump", "mem_dump"], SIGNED),
    sip(&["memlog", "mem_log"], SIGNED),
    sip(&["mhomed"], GlobalForm::Boolean),
    sip(&["poll_method"], GlobalForm::TextOrWord),
    sip(&["port"], NUMBER),
    sip(&["query_buffer_size"], NUMBER),
    sip(&["query_flush_time"], NUMBER),
    sip(&["reply_to_via"], GlobalForm::Boolean),
    sip(&["rev_dns"], GlobalForm::Boolean),
    sip(&["server_header"], GlobalForm::Text),
    sip(&["server_signature"], GlobalForm::Boolean),
    sip(&["shm_hash_split_percentage"], NUMBER),
    sip(&["shm_secondary_hash_size"], NUMBER),
    sip(&["sip_warning"], GlobalForm::Boolean),
    sip(&["tcp_accept_aliases"], GlobalForm::Boolean),
    sip(&["tcp_async"], GlobalForm::Boolean),
    sip(&["tcp_async_local_connect_timeout"], NUMBER),
    sip(&["tcp_async_local_write_timeout"], NUMBER),
    sip(&["tcp_async_max_postponed_chunks"], NUMBER),
    sip(&["tcp_children"], NUMBER),
    sip(&["tcp_connect_timeout"], NUMBER),
    sip(&["tcp_connection_lifetime"], NUMBER),
    sip(&["tcp_crlf_drop"], GlobalForm::Boolean),
    sip(&["tcp_crlf_pingpong"], GlobalForm::Boolean),
    sip(&["tcp_keepalive"], GlobalForm::Boolean),
    sip(&["tcp_keepcount"], NUMBER),
    sip(&["tcp_keepidle"], NUMBER),
    sip(&["tcp_keepinterval"], NUMBER),
    sip(&["tcp_listen_backlog"], NUMBER),
    sip(&["tcp_max_connections"], NUMBER),
    sip(&["tcp_max_msg_chunks"], NUMBER),
    sip(&["tcp_max_msg_time"], NUMBER),
    sip(&["tcp_no_new_conn_bflag"], GlobalForm::WordOrInteger),
    sip(&["tcp_poll_method"], GlobalForm::TextOrWord),
    sip(&["tcp_send_timeout"], NUMBER),
    sip(&["tcpthreshold", "tcp_threshold"], NUMBER),
    sip(&["tls_ca_dir"], GlobalForm::Text),
    sip(&["tls_ca_list"], GlobalForm::Text),
    sip(&["tls_certificate"], GlobalForm::Text),
    sip(&["tls_ciphers_list"], GlobalForm::Text),
    sip(&["tls_client_domain_avp"], GlobalForm::Name),
    sip(&["tls_dh_params"], GlobalForm::Text),
    sip(&["tls_ec_curve"], GlobalForm::Text),
    sip(&["tls_handshake_timeout"], NUMBER),
    sip(&["tls_method"], GlobalForm::Word),
    sip(&["tls_port_no"], NUMBER),
    sip(&["tls_private_key"], GlobalForm::Text),
    sip(&["tls_require_client_certificate"], GlobalForm::Boolean),
    sip(&["tls_send_timeout"], NUMBER),
    sip(&["tls_verify_client"], GlobalForm::Boolean),
    sip(&["tls_verify_server"], GlobalForm::Boolean),
    sip(&["tlslog", "tls_log"], NUMBER),
    sip(&["tos"], GlobalForm::WordOrInteger),
    sip(&["user_agent_header"], GlobalForm::Text),
    sip(&["xlog_buf_size"], NUMBER),
    sip(&["xlog_default_level"], NUMBER),
    sip(&["xlog_force_color"], GlobalForm::Boolean),
];
