//! Statements as they are written in practice, in every form the C grammar has.

use super::*;

fn globals(text: &str) -> Globals {
    let (configuration, diagnostics) = Files::main(text).resolve();
    assert_eq!(messages(&diagnostics), [""; 0], "{text}");
    configuration.globals
}

#[test]
fn numbers_are_decimal_octal_hexadecimal_and_signed() {
    assert_eq!(globals("debug=3").log_level, Some(3));
    assert_eq!(globals("debug = -3").log_level, Some(-3));
    assert_eq!(globals("debug = - 3").log_level, Some(-3));
    assert_eq!(globals("debug=+2").log_level, Some(2));
    assert_eq!(globals("debug=0x10").log_level, Some(16));
    assert_eq!(globals("debug=0xffffffff").log_level, Some(-1));
    assert_eq!(globals("debug=010").log_level, Some(8));
    assert_eq!(globals("debug=yes").log_level, Some(1));
}

#[test]
fn a_boolean_is_written_in_several_words() {
    for word in ["yes", "true", "on", "enable", "1", "7"] {
        assert_eq!(globals(&format!("fork={word}")).fork, Some(true), "{word}");
    }
    for word in ["no", "false", "off", "disable", "0"] {
        assert_eq!(globals(&format!("fork={word}")).fork, Some(false), "{word}");
    }
}

#[test]
fn the_last_setting_counts_under_either_name() {
    let globals = globals("debug=1\nuid=daemon\nlog_level=4\nuser=\"nobody\"\n");
    assert_eq!(globals.log_level, Some(4));
    assert_eq!(globals.user.as_deref(), Some(std::ffi::OsStr::new("nobody")));
    assert_eq!(globals.position("uid").map(ToString::to_string), Some(format!("{MAIN}:4:6")));
}

#[test]
fn a_global_that_is_not_set_is_none() {
    let globals = globals("");
    assert_eq!((globals.fork, globals.log_level, globals.position("fork")), (None, None, None));
}

#[test]
fn names_may_be_words_strings_or_numbers() {
    assert_eq!(globals("group=1000").group.as_deref(), Some(std::ffi::OsStr::new("1000")));
    assert_eq!(globals("wdir=\"/var\"").workdir.as_deref(), Some(Path::new("/var")));
    assert_eq!(globals("chroot=jail").chroot.as_deref(), Some(Path::new("jail")));
    assert_eq!(globals("log_facility=log_local3").log_facility.map(Facility::name), Some("LOG_LOCAL3"));
    assert_eq!(globals("log_name='a b'").log_name.as_deref(), Some(b"a b".as_slice()));
}

#[test]
fn several_statements_share_a_line_and_one_spreads_over_many() {
    let document = document("debug=3 fork=no loadmodule \"a.so\" modparam(\"a\",\n  \"b\" , # why\n -1\n)\n");
    assert_eq!(document.statements.len(), 4);
    assert_eq!(
        document.parameters().next().map(|parameter| &parameter.value),
        Some(&ConfigValue::Integer(-1))
    );
}

#[test]
fn addresses_of_sip_are_accepted_in_all_forms() {
    for value in [
        "listen=127.0.0.1",
        "listen=127.0.0.1:5060",
        "listen=udp:127.0.0.1",
        "listen=UDP:127.0.0.1:any",
        "listen=udp:eth0:5060 as 1.2.3.4:5060 use_children 3",
        "listen=tcp:sip-1.example.org:5060 AS example.org anycast use_children 4",
        "listen = udp : [::1] : 5060",
        "listen=::1",
        "listen=udp:fe80::1",
        "listen=tls:*",
        "listen=bin:127.0.0.1:5555 tcp:127.0.0.1:5060\n\tudp:10.0.0.1",
        "listen=udp:localhost:5060\nlisten=hep_udp:127.0.0.1:9060",
        "alias=\"a.example.org\" b.example.org:5061 udp:c",
        "alias=example.org\nfork=no",
        "advertised_address=\"1.2.3.4\"",
        "bin_listen = 127.0.0.1:5555",
        "dst_blacklist = gw:{( tcp , 10.0.0.0/255.255.0.0 , 5060 , \"\"),!( any , 1.2.3.4/8 , any , 'x'),(udp,::1,0,\"\")}",
        "mem-group = \"a\": \"b\" \"c\"",
        "tls_server_domain[1.2.3.4:5061] { tls_method = TLSv1 tls_certificate = \"}\" }",
        "tls_client_domain[\"a\"] {}",
        "tos=IPTOS_LOWDELAY",
        "tos=0x10",
        "tcp_poll_method=epoll_lt",
        "poll_method=\"epoll\"",
        "tls_method=SSLv23",
        "memlog=-1",
    ] {
        let (_, diagnostics) = Files::main(value).resolve();
        assert_eq!(messages(&diagnostics), [""; 0], "{value}");
    }
}

#[test]
fn routing_blocks_are_skipped_whatever_they_hold() {
    let block = r#"{
        if ($ru =~ "^sip:.*}" && !has_totag()) { xlog("L_INFO", "a } \" { b\n"); exit; }
        # } { "
        /* } { ' */ // }
        $avp(x) = $(ru{uri.param,"}"}); $var(i)=$var(i)+1;
        switch ($retcode) { case -1: t_reply("404", 'it''s }'); break; default: }
        if (uri=~"sip:1" and method=="INVITE" or (src_ip==10.0.0.0/255.0.0.0)) { route(3); }
    }"#;
    for head in [
        "route",
        "route[1]",
        "route[\"x y\"]",
        "onreply_route[a]",
        "onreply_route",
        "failure_route[b]",
        "branch_route[c]",
        "error_route",
        "local_route",
        "startup_route",
        "timer_route[t, 30]",
        "event_route[E_PIKE_BLOCKED]",
        "event_route[E_X, sync]",
    ] {
        let text = format!("fork=no\n{head} {block}\n{head}{{ }}\nloadmodule \"a.so\"\n");
        assert_eq!(document(text).statements.len(), 2, "{head}");
    }
}

#[test]
fn a_multi_line_string_is_a_value() {
    let document = document("modparam(\"a\", \"b\", \"one\ntwo \\\nthree\")");
    let value = document.parameters().next().map(|parameter| parameter.value.clone());
    assert_eq!(value, Some(ConfigValue::Text(b"one\ntwo three".to_vec())));
}

#[test]
fn bytes_that_are_not_utf8_pass_in_comments_strings_and_blocks() {
    let text = b"# \xff\xfe\nlog_name=\"\xe9\"\nroute { xlog(\"\xff\"); /* \xfe */ }\n";
    let (configuration, diagnostics) = Files::main(text).resolve();
    assert_eq!(messages(&diagnostics), [""; 0]);
    assert_eq!(configuration.globals.log_name.as_deref(), Some(b"\xe9".as_slice()));
}

#[test]
fn windows_line_ends_and_a_missing_last_newline_are_fine() {
    assert_eq!(document("# a\r\nfork=no\r\nroute\r\n{\r\n}\r\ndebug=3 # end").statements.len(), 2);
}
