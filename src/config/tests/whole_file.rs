//! A configuration of the size and kind that is found in practice.

use super::*;

const TEXT: &str = r##"#!/usr/sbin/opensips -f
# proxy of example.org; kept in /* version */ control
####### Global Parameters #########
debug=3
log_stderror=no
log_facility=LOG_LOCAL0

fork=yes
children=4   # each socket

/* the next two for /* nested */ tests
debug=9
*/
user="opensips"   group=opensips
workdir="/var/run/opensips"
open_files_limit=4096
disable_core_dump=yes
auto_aliases=no
alias="sip.example.org" "example.org":5060
	udp:example.net:5060
listen=udp:127.0.0.1:5060 as 192.0.2.7:5060 use_children 2
listen=tcp:[::1]:5060
disable_tls = yes
tcp_poll_method = epoll
advertised_address=192.0.2.7
dst_blacklist = net_filter:{ (tcp, 198.51.100.0/255.255.255.0, 5060, ""),
	!(any, 203.0.113.9, any, "to=\"x\"") }
import_file "/etc/opensips/local.cfg"

####### Modules Section ########
mpath="/usr/lib/x86_64-linux-gnu/opensips/modules"
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "tm.so"
modparam("tm", "fr_timeout", 5)
modparam("tm", "onreply_avp_mode", 0x1)
loadmodule "rr.so"
modparam("rr|sl", "append_fromtag", 0)
loadmodule "mi_fifo.so"
loadmodule "mi_datagram.so"
modparam("mi_datagram", "socket_name", "udp:127.0.0.1:8080")
modparam("mi_datagram", "socket_name", "/var/run/opensips/socket")
modparam("mi_datagram", "children_count", 3)
modparam("mi_datagram", "unix_socket_mode", 0660)
modparam('mi_datagram', 'reply_indent', "\t")
loadmodule "usrloc.so"
modparam("usrloc", "nat_bflag", "NAT")
modparam("usrloc",
	"use_domain", # one line is not enough
	yes)

####### Routing Logic ########
route{
	if (!mf_process_maxfwd_header("10")) {
		sl_send_reply("483","Too Many Hops");
		exit;
	}
	$avp(uri) = "sip:" + $(fU{s.substr,0,3}) + '@"}';
	$json(reply) := '{"a": [1, "}"]}';
	if ($(ct{nameaddr.uri}{uri.param,x}) == null || $rU =~ "^\+?[0-9]{3,}$") {
		xlog("L_ERR","bad } from $si:$sp
second line\n"); # "}
		drop();
	} else if (is_method("INVITE|ACK") && !($si == 10.0.0.0/8)) { # {
		include_file "/etc/opensips/invite.cfg"
	}
	while ($var(i) < 3) { $var(i) = $var(i) + 1; }
	switch($retcode) { case 1: route(relay); break; default: exit; }
}
route[relay] { if (!t_relay()) { sl_reply_error(); }; exit; }
branch_route[ops] { xlog("new branch at $ru\n"); }
onreply_route[nat] { /* } */ xlog("incoming reply\n"); }
failure_route[missed_call] { if (t_was_cancelled()) { exit; } }
timer_route[gw_update, 300] { cache_store("local", "k", "$Ts"); }
event_route[E_PIKE_BLOCKED] { fetch_event_params("$avp(ip)"); }
startup_route { }
local_route { if (is_method("BYE")) exit; }
error_route{}"##;

fn files() -> Files {
    Files::main(TEXT)
        .with("/etc/opensips/local.cfg", "server_signature=no\ninclude_file \"sub/debug.cfg\"\n")
        .with("/etc/opensips/sub/debug.cfg", "debug=4 # for a while")
        .with("/etc/opensips/invite.cfg", "if (has_totag()) {\n\tloose_route();\n}")
}

#[test]
fn a_real_file_is_read_without_a_false_error() {
    let (_, diagnostics) = files().resolve();
    assert_eq!(
        messages(&diagnostics),
        [
            "cfg:32:12: notice: module \"signaling\" serves what is not part of this server; it is accepted and has no effect",
            "cfg:33:12: notice: module \"sl\" serves what is not part of this server; it is accepted and has no effect",
            "cfg:34:12: warning: module \"tm\" is accepted, but its MI commands are lacking here: t_hash, t_reply, t_uac_cancel, t_uac_dlg",
            "cfg:37:12: notice: module \"rr\" serves what is not part of this server; it is accepted and has no effect",
            "cfg:47:20: notice: parameter \"nat_bflag\" of module \"usrloc\" has no effect: nothing is sent",
        ]
    );
}

#[test]
fn a_real_file_gives_its_settings() {
    let (configuration, _) = files().resolve();
    let globals = &configuration.globals;
    assert_eq!((globals.log_level, globals.fork, globals.log_stderror), (Some(4), Some(true), Some(false)));
    assert_eq!(globals.open_files_limit, Some(4096));
    assert_eq!(globals.position("user").map(ToString::to_string), Some(format!("{MAIN}:14:6")));
    assert_eq!(
        globals.position("debug").map(ToString::to_string),
        Some("/etc/opensips/sub/debug.cfg:1:7".to_owned())
    );

    let names: Vec<&str> = configuration.modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["signaling", "sl", "tm", "rr", "mi_fifo", "mi_datagram", "usrloc"]);
    let datagram = configuration.module("mi_datagram").expect("it is loaded");
    assert_eq!(datagram.path, Path::new("/usr/lib/x86_64-linux-gnu/opensips/modules/mi_datagram.so"));
    assert_eq!(datagram.settings.get(SOCKET_NAME), Some(Path::new("/var/run/opensips/socket")));
    assert_eq!(datagram.settings.get(UNIX_SOCKET_MODE), 0o660);
    assert_eq!(datagram.settings.get(REPLY_INDENT), b"\t");
    assert_eq!(configuration.module("usrloc").map(|module| module.settings.get(USE_DOMAIN)), Some(true));
}

/// Whatever is cut off, nothing panics, and a file that stops in the middle of something is an error.
#[test]
fn a_file_that_ends_early_never_panics() {
    for end in 0..TEXT.len() {
        let (_, diagnostics) = Files::main(&TEXT.as_bytes()[..end]).resolve();
        for diagnostic in diagnostics.iter() {
            assert!(diagnostic.position.as_ref().is_none_or(|place| place.offset() <= end));
        }
    }
    let middle = TEXT.find("drop();").expect("it is there");
    assert!(Files::main(&TEXT[..middle]).resolve().1.has_errors());
}
