//! The table of globals.

use super::*;

#[test]
fn no_name_stands_twice() {
    let mut names: Vec<&str> = rows().iter().flat_map(|row| row.names).copied().collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn every_row_has_a_name_and_help() {
    for row in rows() {
        assert!(!row.names.is_empty() && !row.help.is_empty(), "{row:?}");
    }
}

/// A row that is used but lands in no field would be accepted and forgotten.
#[test]
fn every_used_global_sets_a_field() {
    let file = super::super::position::SourceFile::new(PathBuf::from("t"), Vec::new());
    let place = Position::new(&file, 0);
    for row in rows().iter().filter(|row| row.scope == GlobalScope::Used && row.names != ["mpath"]) {
        let value = match row.form {
            GlobalForm::Integer { .. } | GlobalForm::Boolean => ConfigValue::Integer(1),
            _ => ConfigValue::Text(b"LOG_USER".to_vec()),
        };
        let mut globals = Globals::default();
        let unset = format!("{globals:?}").split(" positions").next().map(str::to_owned);
        globals.assign(GlobalAssignment {
            row,
            value,
            position: place.clone(),
            value_position: place.clone(),
        });
        let set = format!("{globals:?}").split(" positions").next().map(str::to_owned);
        assert_ne!(set, unset, "{:?}", row.names);
        assert_eq!(globals.position(row.names[0]), Some(&place));
    }
}

#[test]
fn facilities_have_their_syslog_codes() {
    assert_eq!(Facility::from_name(b"LOG_DAEMON").map(Facility::code), Some(3));
    assert_eq!(Facility::from_name(b"log_local7").map(Facility::code), Some(23));
    assert_eq!(Facility::from_name(b"LOG_LOCAL7").map(Facility::name), Some("LOG_LOCAL7"));
    assert_eq!(Facility::from_name(b""), None);
    assert_eq!(Facility::from_name(b"LOG_LOCAL8"), None);
}
