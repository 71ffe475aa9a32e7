use super::*;

#[test]
fn lines_name_level_and_module() {
    let args = format_args!("hello");
    let line =
        |level, target| Line(&Record::builder().level(level).target(target).args(args).build()).to_string();
    assert_eq!(line(Level::Info, "opensips_mi::modules::mi_datagram::worker"), "INFO:mi_datagram: hello");
    assert_eq!(line(Level::Error, "opensips_mi::attendant"), "ERROR:core: hello");
    assert_eq!(line(Level::Debug, "my_c_module"), "DBG:my_c_module: hello");
}

#[test]
fn a_line_may_have_a_level_that_the_crate_lacks() {
    let shown = |own: i32, level| {
        let key_values = [(LEVEL, own)];
        let args = format_args!("hello");
        let record = Record::builder().level(level).target("it").key_values(&key_values).args(args).build();
        (level_of(&record), Line(&record).to_string())
    };
    assert_eq!(shown(-3, Level::Error), (-3, "ALERT:it: hello".to_owned()));
    assert_eq!(shown(-2, Level::Error), (-2, "CRITICAL:it: hello".to_owned()));
    assert_eq!(shown(2, Level::Info), (2, "NOTICE:it: hello".to_owned()));
}

#[test]
fn a_line_holds_nothing_that_steers_a_terminal() {
    let all: String = ('\0'..='\u{2fff}').collect();
    let args = format_args!("{all}");
    let record = Record::builder().level(Level::Warn).target("a\nmodule").args(args).build();
    let line = Line(&record).to_string();
    assert!(line.starts_with("WARNING:a\\nmodule: \\x00\\x01"), "{line}");
    assert!(!line.contains(char::is_control), "{line}");
    assert!(line.contains("!\"#$%&'()*+,-./0123456789:;<=>?@ABC"), "{line}");
}

#[test]
fn the_mark_and_place_of_a_line_reach_the_log() {
    struct Look;
    impl Log for Look {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &Record<'_>) {
            assert!(record.key_values().get("often".into()).is_some());
            assert!(record.file_static().is_some_and(|file| file.ends_with("logging/tests.rs")));
            assert!(record.line().is_some());
            assert_eq!(record.args().to_string(), "again and again");
        }
        fn flush(&self) {}
    }
    log::warn!(logger: Look, often = true; "again and {}", "again");
}
