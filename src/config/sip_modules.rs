//! Lists the modules of OpenSIPS 1.4 to 2.4 that this server does not have, with the MI commands that each
//! exports.
//!
//! Data alone. C counterpart: the folder of each module, and its `mi_export_t` table; the commands of all
//! releases together.

use super::module_support::ModuleSupport;

/// Name and MI commands, in the order of names.
const MODULES: &[(&str, &[&str])] = &[
    ("aaa_radius", &[]),
    ("acc", &[]),
    ("alias_db", &[]),
    ("auth", &[]),
    ("auth_aaa", &[]),
    ("auth_db", &[]),
    ("auth_diameter", &[]),
    ("auth_radius", &[]),
    ("avp_radius", &[]),
    ("avpops", &[]),
    ("b2b_entities", &["b2be_list"]),
    ("b2b_logic", &["b2b_bridge", "b2b_list", "b2b_terminate_call", "b2b_trigger_scenario"]),
    ("b2b_sca", &["sca_list"]),
    (
        "benchmark",
        &["bm_enable_global", "bm_enable_timer", "bm_granularity", "bm_loglevel", "bm_poll_results"],
    ),
    ("cachedb_cassandra", &[]),
    ("cachedb_couchbase", &[]),
    ("cachedb_memcached", &[]),
    ("cachedb_mongodb", &[]),
    ("cachedb_sql", &[]),
    (
        "call_center",
        &[
            "cc_agent_login",
            "cc_list_agents",
            "cc_list_calls",
            "cc_list_flows",
            "cc_list_queue",
            "cc_reload",
            "cc_reset_stats",
        ],
    ),
    ("call_control", &[]),
    (
        "carrierroute",
        &[
            "cr_activate_host",
            "cr_add_host",
            "cr_deactivate_host",
            "cr_delete_host",
            "cr_dump_routes",
            "cr_reload_routes",
            "cr_replace_host",
        ],
    ),
    (
        "cfgutils",
        &[
            "check_config_hash",
            "get_config_hash",
            "rand_get_prob",
            "rand_reset_prob",
            "rand_set_prob",
            "shv_get",
            "shv_set",
        ],
    ),
    ("cgrates", &[]),
    ("closeddial", &[]),
    (
        "clusterer",
        &[
            "cluster_broadcast_mi",
            "cluster_send_mi",
            "clusterer_list",
            "clusterer_list_cap",
            "clusterer_list_topology",
            "clusterer_reload",
            "clusterer_set_status",
        ],
    ),
    ("compression", &[]),
    ("cpl-c", &["GET_CPL", "LOAD_CPL", "REMOVE_CPL"]),
    ("cpl_c", &["GET_CPL", "LOAD_CPL", "REMOVE_CPL"]),
    ("db_berkeley", &["bdb_reload"]),
    ("db_cachedb", &[]),
    ("db_flatstore", &["flat_rotate"]),
    ("db_http", &[]),
    ("db_mysql", &[]),
    ("db_oracle", &[]),
    ("db_perlvdb", &[]),
    ("db_postgres", &[]),
    ("db_sqlite", &[]),
    ("db_text", &["dbt_dump", "dbt_reload"]),
    ("db_unixodbc", &[]),
    ("db_virtual", &["db_get", "db_set"]),
    (
        "dialog",
        &[
            "dlg_cluster_sync",
            "dlg_db_sync",
            "dlg_end_dlg",
            "dlg_list",
            "dlg_list_ctx",
            "dlg_list_sharing_tags",
            "dlg_restore_db",
            "dlg_set_sharing_tag_active",
            "list_all_profiles",
            "profile_end_dlgs",
            "profile_get_size",
            "profile_get_values",
            "profile_list_dlgs",
        ],
    ),
    ("dialplan", &["dp_reload", "dp_show_partition", "dp_translate"]),
    ("dispatcher", &["ds_list", "ds_reload", "ds_set_state"]),
    ("diversion", &[]),
    ("dns_cache", &[]),
    ("domain", &["domain_dump", "domain_reload"]),
    ("domainpolicy", &[]),
    (
        "drouting",
        &[
            "dr_carrier_status",
            "dr_gw_status",
            "dr_number_routing",
            "dr_reload",
            "dr_reload_status",
            "dr_status",
        ],
    ),
    ("emergency", &[]),
    ("enum", &[]),
    ("event_flatstore", &["evi_flat_rotate"]),
    ("event_jsonrpc", &[]),
    ("event_rabbitmq", &[]),
    ("event_route", &[]),
    ("event_routing", &[]),
    ("event_virtual", &[]),
    ("event_xmlrpc", &[]),
    ("exec", &[]),
    ("fraud_detection", &["fraud_reload", "show_fraud_stats"]),
    ("freeswitch", &[]),
    ("freeswitch_scripting", &["fs_list", "fs_reload", "fs_subscribe", "fs_unsubscribe"]),
    ("gflags", &["get_gflags", "is_gflag", "reset_gflag", "set_gflag"]),
    ("group", &[]),
    ("group_radius", &[]),
    ("h350", &[]),
    ("identity", &[]),
    ("imc", &["imc_list_members", "imc_list_rooms"]),
    ("jabber", &[]),
    ("json", &[]),
    ("jsonrpc", &[]),
    ("lcr", &["lcr_dump", "lcr_reload"]),
    ("ldap", &[]),
    ("load_balancer", &["lb_list", "lb_reload", "lb_resize", "lb_status"]),
    ("lua", &["bla", "lua_reload", "watch"]),
    ("mangler", &[]),
    ("mathops", &[]),
    ("maxfwd", &[]),
    ("mediaproxy", &[]),
    ("memcached", &[]),
    ("mid_registrar", &[]),
    ("mmgeoip", &[]),
    ("msilo", &[]),
    ("nat_traversal", &[]),
    ("nathelper", &["nh_enable_ping", "nh_enable_rtpp", "nh_reload_rtpp", "nh_show_rtpp"]),
    ("options", &[]),
    ("osp", &[]),
    ("path", &[]),
    ("pdt", &["pdt_add", "pdt_delete", "pdt_list", "pdt_reload"]),
    ("peering", &[]),
    ("perl", &[]),
    ("perlvdb", &[]),
    (
        "permissions",
        &["address_dump", "address_reload", "allow_uri", "subnet_dump", "trusted_dump", "trusted_reload"],
    ),
    ("pi_http", &["pi_reload_tbls_and_cmds"]),
    ("pike", &["pike_list", "pike_rm"]),
    (
        "presence",
        &[
            "cleanup",
            "pres_expose",
            "pres_list_sharing_tags",
            "pres_phtable_list",
            "pres_set_sharing_tag_active",
            "refreshWatchers",
            "subs_phtable_list",
        ],
    ),
    ("presence_callinfo", &[]),
    ("presence_dialoginfo", &[]),
    ("presence_mwi", &[]),
    ("presence_xcapdiff", &[]),
    ("presence_xml", &[]),
    ("proto_bin", &[]),
    ("proto_hep", &[]),
    ("proto_sctp", &[]),
    ("proto_tcp", &[]),
    ("proto_tls", &["tls_trace"]),
    ("proto_udp", &[]),
    ("proto_ws", &["ws_trace"]),
    ("proto_wss", &["wss_trace"]),
    ("pua", &[]),
    ("pua_bla", &[]),
    ("pua_dialoginfo", &[]),
    ("pua_mi", &["pua_publish", "pua_subscribe"]),
    ("pua_usrloc", &[]),
    ("pua_xmpp", &[]),
    ("python", &[]),
    ("qos", &[]),
    ("rabbitmq", &[]),
    (
        "ratelimit",
        &[
            "rl_bin_status",
            "rl_get_pid",
            "rl_get_pipes",
            "rl_get_queues",
            "rl_list",
            "rl_push_load",
            "rl_reset_pipe",
            "rl_set_dbg",
            "rl_set_pid",
            "rl_set_pipe",
            "rl_set_queue",
            "rl_stats",
        ],
    ),
    ("regex", &["regex_reload"]),
    ("registrar", &[]),
    ("rest_client", &[]),
    ("rls", &["rls_update_subscriptions"]),
    ("rr", &[]),
    ("rtpengine", &["rtpengine_enable", "rtpengine_reload", "rtpengine_show", "teardown"]),
    (
        "rtpproxy",
        &[
            "nh_enable_rtpp",
            "nh_reload_rtpp",
            "nh_show_rtpp",
            "rtpproxy_enable",
            "rtpproxy_reload",
            "rtpproxy_show",
        ],
    ),
    ("script_helper", &[]),
    ("seas", &[]),
    ("signaling", &[]),
    ("sip_i", &[]),
    ("sipcapture", &["sip_capture"]),
    ("sipmsgops", &[]),
    ("siprec", &[]),
    ("siptrace", &["sip_trace", "trace_to_database"]),
    ("sl", &[]),
    ("sms", &[]),
    ("sngtc", &[]),
    ("snmpstats", &[]),
    ("speeddial", &[]),
    ("sql_cacher", &["sql_cacher_reload"]),
    ("sst", &[]),
    ("stun", &[]),
    ("textops", &[]),
    ("tls_mgm", &["tls_list", "tls_reload"]),
    ("tlsops", &[]),
    ("tm", &["t_hash", "t_reply", "t_uac_cancel", "t_uac_dlg"]),
    ("topology_hiding", &[]),
    ("uac", &[]),
    ("uac_auth", &[]),
    ("uac_redirect", &[]),
    ("uac_registrant", &["reg_list", "reg_reload"]),
    ("uri", &[]),
    ("uri_db", &[]),
    ("uri_radius", &[]),
    ("userblacklist", &["reload_blacklist"]),
    ("xcap", &[]),
    ("xcap_client", &["refreshXcapDoc"]),
    ("xlog", &[]),
    ("xml", &[]),
    ("xmpp", &[]),
];

/// Those with MI commands whose source compiles against the headers of this server.
const COMPILING: [&str; 4] = ["benchmark", "cfgutils", "gflags", "regex"];

/// Whether the source of a module that this server lacks compiles against its headers.
pub(super) fn compiles(module: &str) -> bool {
    COMPILING.contains(&module)
}

/// What this server has of a module that is not built in: [`ModuleSupport::SipOnly`],
/// [`ModuleSupport::MissingCommands`] or [`ModuleSupport::Unknown`].
#[must_use]
pub fn look_up(module: &str) -> ModuleSupport {
    match MODULES.binary_search_by_key(&module, |(name, _)| name) {
        Ok(index) => match MODULES.get(index).map_or(&[] as &[&str], |(_, commands)| commands) {
            [] => ModuleSupport::SipOnly,
            commands => ModuleSupport::MissingCommands(commands),
        },
        Err(_) => ModuleSupport::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_differ() {
        assert!(MODULES.is_sorted_by(|left, right| left.0 < right.0));
    }

    #[test]
    fn a_module_with_commands_differs_from_one_without() {
        assert!(matches!(look_up("maxfwd"), ModuleSupport::SipOnly));
        assert!(matches!(
            look_up("dispatcher"),
            ModuleSupport::MissingCommands(["ds_list", "ds_reload", "ds_set_state"])
        ));
        assert!(matches!(look_up("my_own"), ModuleSupport::Unknown));
    }

    #[test]
    fn modules_that_compile_have_commands_and_stand_in_the_guide() {
        let guide = include_str!("../../c-compat/README.md");
        for name in COMPILING {
            assert!(
                matches!(look_up(name), ModuleSupport::MissingCommands(_))
                    && guide.contains(&format!("`{name}`")),
                "{name}"
            );
        }
    }

    #[test]
    fn our_own_modules_are_not_in_the_table() {
        for ours in ["core", "statistics", "mi_datagram", "mi_fifo", "usrloc", "cachedb_local", "httpd"] {
            assert!(matches!(look_up(ours), ModuleSupport::Unknown), "{ours}");
        }
    }
}
