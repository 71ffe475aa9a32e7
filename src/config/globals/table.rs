//! The globals of opensips.cfg, one row each: those this server uses, and those of SIP alone.
//!
//! C counterpart: the definitions of cfg.lex and the rule `assign_stm` of cfg.y, of all releases from 1.4 to
//! 2.4. Which release has which is in tests/checks/releases.

use super::row::{Form, GlobalRow, Scope};

const INT_MIN: i64 = i32::MIN as i64;
const INT_MAX: i64 = i32::MAX as i64;
const NUMBER: Form = Form::Integer { min: 0, max: INT_MAX };
const SIGNED: Form = Form::Integer { min: INT_MIN, max: INT_MAX };
const PERCENTAGE: Form = Form::Integer { min: 0, max: 100 };

const fn ours(names: &'static [&'static str], form: Form, help: &'static str) -> GlobalRow {
    GlobalRow { names, form, scope: Scope::Used, help }
}

const fn sip(names: &'static [&'static str], form: Form) -> GlobalRow {
    GlobalRow { names, form, scope: Scope::SipAlone, help: "serves SIP alone; no effect" }
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

/// All globals, those of ours first.
const ROWS: &[GlobalRow] = &[
    ours(&["chroot"], Form::Name, "folder to make the root after start; none by default"),
    ours(&["debug", "log_level"], SIGNED, "log level from -3 (alert) to 4 (debug); 2 by default"),
    ours(&["debug_mode"], Form::Boolean, "log level 4, to stderr, in the foreground; no by default"),
    ours(&["disable_core_dump"], Form::Boolean, "no core file when a process crashes; no by default"),
    ours(&["disable_tcp"], Form::Boolean, "no TCP of SIP, as list_tcp_conns tells; no by default"),
    ours(
        &["event_shm_threshold"],
        PERCENTAGE,
        "percent of shared memory from which an event is raised; 0, never, by default",
    ),
    ours(&["fork"], Form::Boolean, "no: stay in the foreground; yes by default"),
    ours(&["group", "gid"], Form::Name, "group to run as, by name or number; that of the caller by default"),
    ours(&["log_facility"], Form::Facility, "syslog facility; LOG_DAEMON by default"),
    ours(&["log_name"], Form::Text, "name in syslog; opensips by default"),
    ours(&["log_stderror"], Form::Boolean, "log to stderr, not to syslog; no by default"),
    ours(
        &["mi_reply_timeout"],
        Form::Integer { min: 1, max: 86_400 },
        "seconds that a reply may take which a command gives later; 60 by default",
    ),
    ours(&["mpath"], Form::Text, "folder of the modules; /usr/lib/opensips/modules/ by default"),
    ours(&["open_files_limit"], NUMBER, "descriptors a process may open; the system's limit by default"),
    ours(
        &["restart_persistency_cache_file"],
        Form::Text,
        "file of what survives a restart; in the working folder or /var/lib/opensips by default",
    ),
    ours(&["restart_persistency_size"], NUMBER, "size of that file, in megabytes; that of -m by default"),
    ours(&["user", "uid"], Form::Name, "user to run as, by name or number; the caller by default"),
    ours(&["workdir", "wdir"], Form::Name, "working directory; / by default"),
    sip(&["abort_on_assert"], Form::Boolean),
    sip(&["advertised_address"], Form::Host),
    sip(&["advertised_port"], NUMBER),
    sip(&["alias"], Form::Aliases),
    sip(&["auto_aliases"], Form::Boolean),
    sip(&["avp_aliases"], Form::Text),
    sip(&["bin_children"], NUMBER),
    sip(&["bin_listen"], Form::Host),
    sip(&["check_via"], Form::Boolean),
    sip(&["children"], NUMBER),
    sip(&["db_default_url"], Form::Text),
    sip(&["db_max_async_connections"], NUMBER),
    sip(&["db_version_table"], Form::Text),
    sip(&["disable_503_translation"], Form::Boolean),
    sip(&["disable_dns_blacklist"], Form::Boolean),
    sip(&["disable_dns_failover"], Form::Boolean),
    sip(&["disable_stateless_fwd"], Form::Boolean),
    sip(&["disable_tls"], Form::Boolean),
    sip(&["dns"], Form::Boolean),
    sip(&["dns_retr_no"], NUMBER),
    sip(&["dns_retr_time"], NUMBER),
    sip(&["dns_servers_no"], NUMBER),
    sip(&["dns_try_ipv6"], Form::Boolean),
    sip(&["dns_try_naptr"], Form::Boolean),
    sip(&["dns_use_search_list"], Form::Boolean),
    sip(&["dst_blacklist"], Form::Blacklist),
    sip(&["enable_asserts"], Form::Boolean),
    sip(&["event_pkg_threshold"], PERCENTAGE),
    sip(&["execdnsthreshold", "exec_dns_threshold"], NUMBER),
    sip(&["execmsgthreshold", "exec_msg_threshold"], NUMBER),
    sip(&["listen"], Form::Sockets),
    sip(&["max_while_loops"], NUMBER),
    sip(&["maxbuffer"], NUMBER),
    sip(&["mcast_loopback"], Form::Boolean),
    sip(&["mcast_ttl"], NUMBER),
    sip(&["mem-group"], Form::MemoryGroup),
    sip(&["mem_warming", "mem_warming_enabled"], Form::Boolean),
    sip(&["mem_warming_pattern_file"], Form::Text),
    sip(&["mem_warming_percentage"], NUMBER),
    sip(&["memdump", "mem_dump"], SIGNED),
    sip(&["memlog", "mem_log"], SIGNED),
    sip(&["mhomed"], Form::Boolean),
    sip(&["poll_method"], Form::TextOrWord),
    sip(&["port"], NUMBER),
    sip(&["query_buffer_size"], NUMBER),
    sip(&["query_flush_time"], NUMBER),
    sip(&["reply_to_via"], Form::Boolean),
    sip(&["rev_dns"], Form::Boolean),
    sip(&["server_header"], Form::Text),
    sip(&["server_signature"], Form::Boolean),
    sip(&["shm_hash_split_percentage"], NUMBER),
    sip(&["shm_secondary_hash_size"], NUMBER),
    sip(&["sip_warning"], Form::Boolean),
    sip(&["tcp_accept_aliases"], Form::Boolean),
    sip(&["tcp_async"], Form::Boolean),
    sip(&["tcp_async_local_connect_timeout"], NUMBER),
    sip(&["tcp_async_local_write_timeout"], NUMBER),
    sip(&["tcp_async_max_postponed_chunks"], NUMBER),
    sip(&["tcp_children"], NUMBER),
    sip(&["tcp_connect_timeout"], NUMBER),
    sip(&["tcp_connection_lifetime"], NUMBER),
    sip(&["tcp_crlf_drop"], Form::Boolean),
    sip(&["tcp_crlf_pingpong"], Form::Boolean),
    sip(&["tcp_keepalive"], Form::Boolean),
    sip(&["tcp_keepcount"], NUMBER),
    sip(&["tcp_keepidle"], NUMBER),
    sip(&["tcp_keepinterval"], NUMBER),
    sip(&["tcp_listen_backlog"], NUMBER),
    sip(&["tcp_max_connections"], NUMBER),
    sip(&["tcp_max_msg_chunks"], NUMBER),
    sip(&["tcp_max_msg_time"], NUMBER),
    sip(&["tcp_no_new_conn_bflag"], Form::WordOrInteger),
    sip(&["tcp_poll_method"], Form::TextOrWord),
    sip(&["tcp_send_timeout"], NUMBER),
    sip(&["tcpthreshold", "tcp_threshold"], NUMBER),
    sip(&["tls_ca_dir"], Form::Text),
    sip(&["tls_ca_list"], Form::Text),
    sip(&["tls_certificate"], Form::Text),
    sip(&["tls_ciphers_list"], Form::Text),
    sip(&["tls_client_domain_avp"], Form::Name),
    sip(&["tls_dh_params"], Form::Text),
    sip(&["tls_ec_curve"], Form::Text),
    sip(&["tls_handshake_timeout"], NUMBER),
    sip(&["tls_method"], Form::Word),
    sip(&["tls_port_no"], NUMBER),
    sip(&["tls_private_key"], Form::Text),
    sip(&["tls_require_client_certificate"], Form::Boolean),
    sip(&["tls_send_timeout"], NUMBER),
    sip(&["tls_verify_client"], Form::Boolean),
    sip(&["tls_verify_server"], Form::Boolean),
    sip(&["tlslog", "tls_log"], NUMBER),
    sip(&["tos"], Form::WordOrInteger),
    sip(&["user_agent_header"], Form::Text),
    sip(&["xlog_buf_size"], NUMBER),
    sip(&["xlog_default_level"], NUMBER),
    sip(&["xlog_force_color"], Form::Boolean),
];
