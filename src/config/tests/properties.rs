//! What holds for every text.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Parts of the language in any order, right or wrong.
const SCRAPS: &[&str] = &[
    "fork",
    "=",
    "yes",
    "debug",
    "3",
    "-",
    "listen",
    "udp",
    ":",
    "127.0.0.1",
    "[::1]",
    "as",
    "use_children",
    "alias",
    "loadmodule",
    "\"a.so\"",
    "modparam",
    "(",
    ")",
    ",",
    "\"a\"",
    "'b'",
    "route",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "/*",
    "*/",
    "//",
    "#",
    "$",
    "$(",
    "$ru",
    "\\",
    "\n",
    "\n",
    "\n",
    " ",
    "\t",
    "include_file",
    "import_file",
    "\"b.cfg\"",
    "\"c.cfg\"",
    "mem-group",
    "dst_blacklist",
    "!",
    "*",
    ";",
    "\u{e9}",
    "timer_route",
    "0x",
    "08",
    "tls_server_domain",
];

fn scraps() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![8 => proptest::sample::select(SCRAPS).prop_map(|s| s.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..3)], 0..60)
        .prop_map(|parts| parts.concat())
}

/// Reads `text` as the main file and as two that include it and one another, and checks every place.
fn check(text: &[u8]) {
    let files = Files::main(text).with("/etc/opensips/b.cfg", text).with("/etc/opensips/c.cfg", text);
    let (_, diagnostics) = files.resolve();
    for diagnostic in diagnostics.iter() {
        let place = diagnostic.position.as_ref().expect("the main file can be read");
        assert!(place.offset() <= text.len());
        assert!(place.line() <= text.iter().filter(|&&byte| byte == b'\n').count() + 1);
        assert!(place.column() <= text.len() + 1);
        assert!(!diagnostic.to_string().contains('\x1b'));
    }
    assert_eq!(diagnostics.has_errors(), diagnostics.errors().next().is_some());
}

/// One statement that can be written and found again.
#[derive(Clone, Debug)]
enum Part {
    Load(String),
    Set(String, String, ConfigValue),
    Debug(i32),
    LogName(Vec<u8>),
    Block(String),
}

fn part() -> impl Strategy<Value = Part> {
    let text = || vec(any::<u8>().prop_filter("C strings end at NUL", |byte| *byte != 0), 0..12);
    let value = prop_oneof![
        any::<i32>().prop_map(|n| ConfigValue::Integer(i64::from(n))),
        text().prop_map(ConfigValue::Text)
    ];
    prop_oneof![
        "[a-z_]{1,8}\\.so".prop_map(Part::Load),
        ("[a-z|.]{1,8}", "[a-z_]{1,8}", value)
            .prop_map(|(module, name, value)| Part::Set(module, name, value)),
        any::<i32>().prop_map(Part::Debug),
        text().prop_map(Part::LogName),
        "[a-z (){};]{0,20}".prop_map(|inner| Part::Block(inner.replace(['{', '}'], ""))),
    ]
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut all = vec![b'"'];
    for &byte in text {
        match byte {
            b'"' | b'\\' => all.extend([b'\\', byte]),
            0..b' ' | 0x7f => all.extend(format!("\\x{byte:02x}").bytes()),
            _ => all.push(byte),
        }
    }
    all.push(b'"');
    all
}

fn written(value: &ConfigValue) -> Vec<u8> {
    match value {
        ConfigValue::Integer(number) => number.to_string().into_bytes(),
        ConfigValue::Text(text) => quoted(text),
        ConfigValue::Checked => Vec::new(),
    }
}

/// A part as text, `gap` wherever white space may stand.
fn render(part: &Part, gap: &str) -> Vec<u8> {
    let tokens: Vec<Vec<u8>> = match part {
        Part::Load(file) => vec![b"loadmodule".to_vec(), quoted(file.as_bytes())],
        Part::Set(module, name, value) => vec![
            b"modparam".to_vec(),
            b"(".to_vec(),
            quoted(module.as_bytes()),
            b",".to_vec(),
            quoted(name.as_bytes()),
            b",".to_vec(),
            written(value),
            b")".to_vec(),
        ],
        Part::Debug(level) => vec![b"debug".to_vec(), b"=".to_vec(), level.to_string().into_bytes()],
        Part::LogName(name) => vec![b"log_name".to_vec(), b"=".to_vec(), quoted(name)],
        Part::Block(inner) => {
            vec![b"route".to_vec(), b"{".to_vec(), inner.clone().into_bytes(), b"}".to_vec()]
        }
    };
    [tokens.join(gap.as_bytes()), b"\n".to_vec()].concat()
}

fn read_back(statement: &Statement) -> Part {
    match statement {
        Statement::Load(load) => Part::Load(String::from_utf8_lossy(&load.file).into_owned()),
        Statement::Parameter(parameter) => Part::Set(
            String::from_utf8_lossy(&parameter.module).into_owned(),
            String::from_utf8_lossy(&parameter.name).into_owned(),
            parameter.value.clone(),
        ),
        Statement::Global(assignment) => match &assignment.value {
            ConfigValue::Integer(level) => Part::Debug(i32::try_from(*level).expect("it was one")),
            ConfigValue::Text(name) => Part::LogName(name.clone()),
            ConfigValue::Checked => panic!("no global of SIP was written"),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(text in vec(any::<u8>(), 0..400)) {
        check(&text);
    }

    #[test]
    fn any_mixture_of_scraps_is_read_without_panic(text in scraps()) {
        check(&text);
    }

    #[test]
    fn what_was_written_is_read_back(
        parts in vec(part(), 0..12),
        gap in proptest::sample::select(&["", " ", "\t\n", "/* \" /* } */ */", "# '{\n", "\r\n// x\n"][..]),
    ) {
        let text: Vec<u8> = parts.iter().flat_map(|part| render(part, gap)).collect();
        let (document, diagnostics) = Files::main(&text).parse();
        prop_assert_eq!(messages(&diagnostics), Vec::<String>::new());
        let expected: Vec<String> =
            parts.iter().filter(|part| !matches!(part, Part::Block(_))).map(|part| format!("{part:?}")).collect();
        let found: Vec<String> = document.statements.iter().map(|s| format!("{:?}", read_back(s))).collect();
        prop_assert_eq!(found, expected);
    }
}
