//! Files of other products and releases: one line at the end says whose they are, and no hint leads astray.

use super::*;

/// Small files, as those products have them, with the words of the line that says so.
const FOREIGN: &[(&str, &str)] = &[
    (
        "log_level=3\nxlog_level=3\nudp_workers=4\nloadmodule \"tracer.so\"\n",
        "a file of OpenSIPS 3.0 or later: xlog_level in line 2",
    ),
    (
        "stderror_enabled=no\nsocket=udp:127.0.0.1:5060\n",
        "a file of OpenSIPS 3.4 or later: stderror_enabled in line 1",
    ),
    (
        "loadmodule \"prometheus.so\"\nloadmodule \"tcp_mgm.so\"\n",
        "a file of OpenSIPS 3.3 or later: module \"tcp_mgm\" in line 2",
    ),
    (
        "log_prefix=\"x\"\nsocket=udp:127.0.0.1:5060\n",
        "a file of OpenSIPS 3.3 or later: log_prefix in line 1",
    ),
    (
        "#!KAMAILIO\n#!define WITH_MYSQL\nloadmodule \"kex.so\"\nrequest_route {\n\texit;\n}\nno_such=1\n",
        "a file of Kamailio: request_route in line 4",
    ),
    (
        "loadmodule \"/usr/lib64/kamailio/modules/jsonrpcs.so\"\n",
        "a file of Kamailio: module \"jsonrpcs\" in line 1",
    ),
    (
        "loadmodule \"/usr/local/lib/openser/modules/mysql.so\"\n",
        "a file of OpenSER 1.3 or older: module \"mysql\"",
    ),
    ("fifo=\"/tmp/ser_fifo\"\nloadmodule \"/usr/lib/ser/modules/pa.so\"\n", "a file of SER: fifo in line 1"),
    (
        "divert(-1)\ndefine(`PORT', `5060')\ndivert(0)dnl\nlisten=udp:127.0.0.1:PORT\n",
        "a template for m4: divert in line 1",
    ),
    (
        "debug=3\nifelse(WITH_TLS, `yes', `loadmodule \"tlsops.so\"', `')\n",
        "a template for m4: ifelse in line 2",
    ),
];

/// The last line about a file whose unknown modules are nowhere, as the server finds them later.
fn last_line(text: &str) -> String {
    let (configuration, mut diagnostics) = Files::main(text).resolve();
    for module in
        configuration.modules.iter().filter(|module| matches!(module.support, ModuleSupport::Unknown))
    {
        diagnostics.error_at(&module.position, "no such module");
    }
    diagnostics.to_string().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_file_of_another_product_is_named_in_the_last_line() {
    for (text, wanted) in FOREIGN {
        let line = last_line(text);
        let start = format!("{MAIN}: this seems to be {wanted}");
        assert!(line.starts_with(&start), "{text}\nsays {line}\nwants {start}");
        assert!(line.contains("this server reads files of OpenSIPS 1.4 to 2.4: "), "{line}");
    }
}

#[test]
fn an_error_in_an_opensips_file_names_no_other_product() {
    for text in
        ["debug=3\nlisen=udp:127.0.0.1:5060\n", "loadmodule \"my_own.so\"\nno_such=1\n", "# dnl\nx=1\n"]
    {
        assert!(!last_line(text).contains("this seems to be"), "{text}");
    }
    // An own module may have any name, as long as its file is there.
    let (_, diagnostics) = Files::main("loadmodule \"tls.so\"\n").resolve();
    assert_eq!(diagnostics.to_string(), "");
}

#[test]
fn names_of_other_products_are_answered_with_the_name_in_opensips() {
    let hint = |text: &str| said(text)[0].split("; ").nth(1).unwrap_or_default().to_owned();
    for (name, wanted) in [
        ("xlog_level", "correct or remove it"),
        ("xlog_print_level", "write \"xlog_default_level\" if that is meant"),
        ("udp_workers", "write \"children\" if that is meant"),
        ("stderror_enabled", "write \"log_stderror\" if that is meant"),
        ("syslog_enabled", "correct or remove it"),
        ("log_prefix", "correct or remove it"),
        ("pv_print_buf_size", "correct or remove it"),
        ("log_facilty", "write \"log_facility\" if that is meant"),
    ] {
        assert_eq!(hint(&format!("{name}=1\n")), wanted, "{name}");
    }
}

#[test]
fn every_name_of_another_product_leads_to_a_name_that_is_accepted() {
    let is_ours = |name: &str| global_rows().iter().any(|row| row.names.contains(&name));
    for (name, now) in super::origin::names() {
        assert!(!is_ours(name), "{name}");
        assert!(now.is_none_or(|now| is_ours(now) || now.ends_with("route")), "{name}");
    }
}
