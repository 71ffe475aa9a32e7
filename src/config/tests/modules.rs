//! `loadmodule`, `modparam` and what they come to.

use super::*;

const LOAD: &str = "loadmodule \"mi_datagram.so\"\nloadmodule \"usrloc.so\"\n";

fn settings(parameters: &str) -> Settings {
    let (configuration, diagnostics) = Files::main(format!("{LOAD}{parameters}")).resolve();
    assert_eq!(messages(&diagnostics), [""; 0], "{parameters}");
    configuration.module("mi_datagram").map(|module| module.settings.clone()).unwrap_or_default()
}

/// What is said about one line after the two that load the modules.
fn about(line: &str) -> Vec<String> {
    said(format!("{LOAD}{line}")).into_iter().map(|message| message.replace("cfg:3:", "")).collect()
}

#[test]
fn the_last_value_counts_and_all_are_kept() {
    let settings = settings(
        "modparam(\"mi_datagram\", \"socket_name\", \"/a\")\nmodparam(\"mi_datagram\", \"socket_name\", \"/b\")",
    );
    assert_eq!(settings.get(SOCKET_NAME), Some(Path::new("/b")));
    let all: Vec<&Path> = settings.all(SOCKET_NAME).map(|(path, _)| path).collect();
    assert_eq!(all, [Path::new("/a"), Path::new("/b")]);
    assert_eq!(settings.position("socket_name").map(Position::line), Some(4));
}

#[test]
fn a_parameter_that_is_not_set_has_its_default() {
    let settings = settings("");
    assert_eq!(settings.get(SOCKET_NAME), None);
    assert_eq!(settings.get(CHILDREN_COUNT), 1);
    assert_eq!(settings.get(UNIX_SOCKET_MODE), 0o600);
    assert_eq!(settings.get(UNIX_SOCKET_USER), None);
    assert_eq!(settings.get(REPLY_INDENT), b"  ");
    assert!(!settings.get(USE_DOMAIN));
    assert_eq!(settings.get(RESTART_PERSISTENCY), b"none");
    assert!(!settings.is_set("reply_indent") && settings.position("reply_indent").is_none());
}

#[test]
fn defaults_are_shown_in_the_words_of_the_man_page() {
    let shown = [
        SOCKET_NAME.row,
        CHILDREN_COUNT.row,
        UNIX_SOCKET_MODE.row,
        UNIX_SOCKET_USER.row,
        Param::text("x", "\t", "").row,
        USE_DOMAIN.row,
        RESTART_PERSISTENCY.row,
    ]
    .map(|row| (row.default.to_string(), row.default.as_written()));
    let wanted = [
        ("no default", None),
        ("1", Some("1")),
        ("0600", Some("0600")),
        ("the server's user", None),
        ("a TAB", Some("\"\t\"")),
        ("0", Some("0")),
        ("none", Some("\"none\"")),
    ];
    assert_eq!(shown, wanted.map(|(words, written)| (words.to_owned(), written.map(str::to_owned))));
}

#[test]
fn a_number_may_come_as_a_string() {
    for (value, number) in [("3", 3), ("\"3\"", 3), ("0x3", 3), ("'010'", 8), ("\"+4\"", 4), ("1024", 1024)] {
        let settings = settings(&format!("modparam(\"mi_datagram\", \"children_count\", {value})"));
        assert_eq!(settings.get(CHILDREN_COUNT), number, "{value}");
    }
}

#[test]
fn modes_are_octal() {
    for value in ["0660", "\"0660\"", "\"660\"", "0x1b0"] {
        let settings = settings(&format!("modparam(\"mi_datagram\", \"unix_socket_mode\", {value})"));
        assert_eq!(settings.get(UNIX_SOCKET_MODE), 0o660, "{value}");
    }
    assert_eq!(settings("modparam(\"mi_datagram\",\"unix_socket_mode\",0)").get(UNIX_SOCKET_MODE), 0);
    assert_eq!(
        about("modparam(\"mi_datagram\", \"unix_socket_mode\", 660)"),
        [
            "45: warning: modparam(\"mi_datagram\", \"unix_socket_mode\", 660): 660 is decimal and makes mode 01224; \
          write 0660"
        ]
    );
}

#[test]
fn a_user_is_a_name_or_a_number() {
    let user = |value: &str| settings(&format!("modparam(\"mi_datagram\", \"unix_socket_user\", {value})"));
    assert_eq!(user("\"daemon\"").get(UNIX_SOCKET_USER), Some(NameOrNumber::Name(b"daemon")));
    assert_eq!(user("1").get(UNIX_SOCKET_USER), Some(NameOrNumber::Number(1)));
}

#[test]
fn the_module_is_a_regular_expression_of_the_whole_name_without_case() {
    let (configuration, diagnostics) = Files::main(
        "loadmodule \"sl.so\"\nloadmodule \"slx.so\"\nloadmodule \"tm.so\"\nmodparam(\"SL|t.\", \"a\", 1)\n\
         modparam(\"s[l]x?\", \"b\", 2)",
    )
    .resolve();
    assert!(!diagnostics.has_errors());
    let set = |name: &str| {
        let module = configuration.module(name).map(|module| &module.settings);
        let number = |settings: &Settings, name| settings.last(name).map(|setting| setting.value.clone());
        module.map(|settings| (number(settings, "a"), number(settings, "b")))
    };
    let (one, two) = (Some(ConfigValue::Integer(1)), Some(ConfigValue::Integer(2)));
    assert_eq!(set("sl"), Some((one.clone(), two.clone())));
    assert_eq!(set("slx"), Some((None, two)));
    assert_eq!(set("tm"), Some((one, None)));
}

#[test]
fn paths_follow_mpath_in_order() {
    let (configuration, _) = Files::main(
        "loadmodule \"a.so\"\nmpath=\"/opt/m\"\nloadmodule \"sub/b.so\"\nmpath=\"/n/\"\nloadmodule \"/x/c.so\"\n",
    )
    .resolve();
    let all: Vec<(&str, &Path)> =
        configuration.modules.iter().map(|module| (module.name.as_str(), module.path.as_path())).collect();
    let default = Path::new("/usr/lib/opensips/modules/a.so");
    assert_eq!(all, [("a", default), ("b", Path::new("/opt/m/sub/b.so")), ("c", Path::new("/x/c.so"))]);
}

#[test]
fn an_unknown_module_keeps_its_parameters_as_written() {
    let (configuration, diagnostics) = Files::main(
        "loadmodule \"my_own.so\"\nmodparam(\"my_own\", \"x\", \"y\")\nmodparam(\"my_own\", \"z\", -7)",
    )
    .resolve();
    assert_eq!(messages(&diagnostics), [""; 0]);
    let module = configuration.module("my_own").expect("it is loaded");
    assert!(matches!(module.support, ModuleSupport::Unknown));
    let all: Vec<(&str, &ConfigValue)> =
        module.settings.iter().map(|s| (s.name.as_str(), &s.value)).collect();
    assert_eq!(all, [("x", &ConfigValue::Text(b"y".to_vec())), ("z", &ConfigValue::Integer(-7))]);
}

#[test]
fn a_module_without_effect_is_reported() {
    assert_eq!(
        said(
            "loadmodule \"sl.so\"\nloadmodule \"dispatcher.so\"\nloadmodule \"sl.so\"\nmodparam(\"sl\", \"any\", 1)\nloadmodule \"gflags.so\""
        ),
        [
            "cfg:1:12: notice: module \"sl\" serves what is not part of this server; it is accepted and has no effect",
            "cfg:2:12: warning: module \"dispatcher\" is accepted, but its MI commands are lacking here: \
             ds_list, ds_reload, ds_set_state",
            "cfg:3:12: warning: module \"sl\" is loaded already, in line 1; remove one of the two",
            "cfg:5:12: warning: module \"gflags\" is accepted, but its MI commands are lacking here: \
             get_gflags, is_gflag, reset_gflag, set_gflag; \
             a file compiled from its source as c-compat/README.md says has them",
        ]
    );
}

#[test]
fn a_parameter_without_effect_is_reported_and_checked() {
    assert_eq!(
        about("modparam(\"usrloc\", \"nat_bflag\", \"NAT\")"),
        ["20: notice: parameter \"nat_bflag\" of module \"usrloc\" has no effect: nothing is sent"]
    );
    assert_eq!(about("modparam(\"usrloc\", \"nat_bflag\", 6)").len(), 2);
}

#[test]
fn a_value_out_of_range_is_answered_with_one_that_fits() {
    let cases = [
        ("mi_datagram\", \"unix_socket_mode", "\"rw\"", "an octal mode; write 0660"),
        ("mi_datagram\", \"unix_socket_mode", "\"0680\"", "an octal mode; write 0660"),
        ("mi_datagram\", \"unix_socket_mode", "-1", "an octal mode; write 0660"),
        ("mi_datagram\", \"unix_socket_mode", "010000", "an octal mode; write 0660"),
        ("mi_datagram\", \"children_count", "0", "a number from 1 to 1024; write 1"),
        ("mi_datagram\", \"children_count", "1025", "a number from 1 to 1024; write 1024"),
        ("mi_datagram\", \"children_count", "\"many\"", "a number from 1 to 1024; write 1"),
        ("mi_datagram\", \"socket_name", "8", "a string; write \"8\""),
        ("mi_datagram\", \"unix_socket_user", "\"\"", "a name or a number; write \"opensips\" or 1000"),
        ("usrloc\", \"use_domain", "\"maybe\"", "yes or no, as a number; write 1 or 0"),
        ("usrloc\", \"restart_persistency", "\"x\"", "one of \"none\", \"load-from-file\"; write \"none\""),
    ];
    for (parameter, value, wanted) in cases {
        let start = format!("modparam(\"{parameter}\", ");
        let expected = format!("{}: {start}{value}): expected {wanted}", start.len() + 1);
        assert_eq!(about(&format!("{start}{value})")), [expected]);
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_name() {
    assert_eq!(
        about("modparam(\"mi_datagram\", \"socketname\", \"/a\")"),
        [
            "25: unknown parameter \"socketname\" of module \"mi_datagram\"; write \"socket_name\" if that is meant"
        ]
    );
    assert_eq!(
        about("modparam(\"mi_datagram\", \"db_url\", \"/a\")"),
        ["25: unknown parameter \"db_url\" of module \"mi_datagram\"; correct or remove it"]
    );
    assert_eq!(
        about("modparam(\"mi_datagramm\", \"socket_name\", \"/a\")"),
        [
            "10: modparam for module \"mi_datagramm\", which is not loaded; write \"mi_datagram\" if that is meant"
        ]
    );
}

#[test]
fn a_late_and_a_missing_loadmodule_give_different_errors() {
    assert_eq!(
        about("modparam(\"acc\", \"x\", 1)"),
        ["10: modparam for module \"acc\", which is not loaded; write loadmodule \"acc.so\" above it"]
    );
    assert_eq!(
        said("modparam(\"my_own\", \"x\", 1)\n\nloadmodule \"my_own.so\""),
        [
            "cfg:1:10: modparam for module \"my_own\", which is loaded later, in line 3; move this line below that one"
        ]
    );
    assert_eq!(
        about("modparam(\"acc|tm\", \"x\", 1)"),
        ["10: modparam for module \"acc|tm\", which is not loaded; write the loadmodule above it"]
    );
    assert_eq!(
        about("modparam(\"a(\", \"x\", 1)"),
        [
            "10: modparam module \"a(\" is not a regular expression; write a module's name, or several with | between"
        ]
    );
}
