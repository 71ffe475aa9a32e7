//! `include_file` and `import_file`.

use super::*;

fn names(files: Files) -> Vec<String> {
    let (document, diagnostics) = files.parse();
    assert_eq!(messages(&diagnostics), [""; 0]);
    document.modules().map(|module| String::from_utf8_lossy(&module.file).into_owned()).collect()
}

#[test]
fn an_included_file_is_read_at_its_include_statement() {
    let files = Files::main("loadmodule \"a\"\ninclude_file \"/b.cfg\"\nloadmodule \"c\"")
        .with("/b.cfg", "loadmodule \"b\"");
    assert_eq!(names(files), ["a", "b", "c"]);
}

#[test]
fn a_name_is_tried_from_the_working_directory_then_from_the_including_file() {
    let text = "include_file \"more/b.cfg\"";
    let both = Files::main(text).with("more/b.cfg", "loadmodule \"here\"");
    let both = both.with("/etc/opensips/more/b.cfg", "loadmodule \"beside\"");
    assert_eq!(names(both), ["here"]);
    let beside = Files::main(text).with("/etc/opensips/more/b.cfg", "include_file \"c.cfg\"");
    assert_eq!(names(beside.with("/etc/opensips/more/c.cfg", "loadmodule \"c\"")), ["c"]);
}

#[test]
fn a_file_may_stand_inside_a_block_and_close_it() {
    let files = Files::main("route {\n  include_file \"/r.cfg\"\n  exit; }\nloadmodule \"a\"");
    assert_eq!(names(files.with("/r.cfg", "if (1) { drop; } }\nroute[2] {")), ["a"]);
}

#[test]
fn a_comment_or_more_may_follow_the_name() {
    let files = Files::main("include_file \"/a b\\\\.cfg\" # why\nloadmodule \"c\"");
    assert_eq!(names(files.with("/a b\\.cfg", "loadmodule \"b\"\n")), ["b", "c"]);
}

#[test]
fn a_file_may_be_included_twice() {
    let files = Files::main("include_file \"/b\"\ninclude_file \"/b\"").with("/b", "loadmodule \"b\"");
    assert_eq!(names(files), ["b", "b"]);
}

#[test]
fn a_missing_file_is_an_error_for_include_alone() {
    assert_eq!(names(Files::main("import_file \"gone.cfg\"\nloadmodule \"a\"")), ["a"]);
    let (document, diagnostics) = Files::main("include_file \"gone.cfg\"\nloadmodule \"a\"").parse();
    assert_eq!(
        messages(&diagnostics),
        ["cfg:1:14: cannot read gone.cfg, nor /etc/opensips/gone.cfg: entity not found; \
          correct the name, or write import_file if the file may be missing"]
    );
    assert_eq!(document.modules().count(), 1);
}

#[test]
fn an_unreadable_file_is_reported_for_import_file_too() {
    let (_, diagnostics) = Files::main("import_file \"secret.cfg\"").parse();
    assert!(!diagnostics.has_errors());
    assert_eq!(diagnostics.warnings().count(), 1);
}

#[test]
fn files_that_include_each_other_are_an_error() {
    let (_, diagnostics) = Files::main("include_file \"b.cfg\"")
        .with("/etc/opensips/b.cfg", format!("\n include_file \"{MAIN}\"\n"))
        .parse();
    assert_eq!(
        messages(&diagnostics),
        ["/etc/opensips/b.cfg:2:15: cfg is being read already; remove one include_file of the circle"]
    );
}

#[test]
fn depth_and_number_of_included_files_are_bounded() {
    let chain = |last: usize| {
        let include = |n: usize| format!("include_file \"/{n}\"");
        let files =
            (1..last).fold(Files::main(include(1)), |files, n| files.with(&format!("/{n}"), include(n + 1)));
        files.with(&format!("/{last}"), "loadmodule \"deep\"")
    };
    assert_eq!(names(chain(10)), ["deep"]);
    assert_eq!(
        messages(&chain(11).parse().1),
        ["/10:1:14: more than 10 files inside one another; include fewer"]
    );
    let many = "import_file \"/a\"\n".repeat(1_000);
    assert_eq!(
        messages(&Files::main(&many).with("/a", "").parse().1),
        ["cfg:1000:13: more than 1000 files; include fewer"]
    );
}

#[test]
fn a_name_without_quotes_is_an_error_and_the_next_line_is_read() {
    let (document, diagnostics) = Files::main("include_file more.cfg\nloadmodule \"a\"").parse();
    assert_eq!(
        messages(&diagnostics),
        ["cfg:1:14: expected the name of a file in double quotes, found `more`; \
          write include_file \"/etc/opensips/more.cfg\""]
    );
    assert_eq!(document.modules().count(), 1);
}

#[test]
fn an_error_names_the_file_it_is_in() {
    let (_, diagnostics) = Files::main("include_file \"/b\"\n").with("/b", "\n\tforkk=no").parse();
    assert_eq!(
        diagnostics.to_string(),
        "/b:2:2: unknown global \"forkk\"; write \"fork\" if that is meant\n\tforkk=no\n\t^\n"
    );
}

#[test]
fn a_main_file_that_cannot_be_read_is_one_error() {
    let (_, diagnostics) = Files::default().parse();
    assert_eq!(
        messages(&diagnostics),
        ["cannot read cfg: entity not found; check the path given with -f, and who may read it"]
    );
}
