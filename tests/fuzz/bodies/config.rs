//! What must hold for any configuration: it is read without a panic, every place that is told lies in a file that
//! was read, what passed the check has the type that its row asks for, and reading it twice gives the same.
//!
//! An input is up to three files: the main one, `b.cfg` and `c.cfg`, parted by lines `#FILE`, so that includes can
//! be tried without a file system.

use std::io::{self, ErrorKind};
use std::path::Path;

use opensips_mi::config::{
    self, ConfigDocument, ConfigValue, Configuration, Diagnostics, ModuleSupport, ParameterKind,
    ParameterRow, Position, Setting, Statement,
};
use opensips_mi::modules;

/// The name of the main file.
const MAIN: &str = "/etc/opensips/opensips.cfg";

/// Parts the files of an input.
const BORDER: &[u8] = b"\n#FILE\n";

/// Checks one input. True when a server could start with it.
pub(crate) fn check(input: &[u8]) -> bool {
    let files = split(input);
    let (first, accepted) = read(&files);
    let (second, _) = read(&files);
    assert_eq!(first, second, "the same files were read in two ways");
    accepted
}

/// Main file, `b.cfg` and `c.cfg`. What follows a third border belongs to the last.
fn split(input: &[u8]) -> Vec<&[u8]> {
    let mut files = Vec::new();
    let mut rest = input;
    while files.len() < 2 {
        let Some(at) = rest.windows(BORDER.len()).position(|window| window == BORDER) else { break };
        // The newline before the border ends the last line of the file.
        files.push(&rest[..=at]);
        rest = &rest[at + BORDER.len()..];
    }
    files.push(rest);
    files
}

/// Reads the files once and checks what came of it. Returns a summary to compare, and whether there was no error.
fn read(files: &[&[u8]]) -> (String, bool) {
    let mut source = |path: &Path| open(files, path);
    let (document, mut diagnostics) = config::parse(Path::new(MAIN), &mut source);
    document.statements.iter().flat_map(places).for_each(|place| check_place(place, files));
    let statements = summary_of(&document);
    let configuration =
        config::resolve(document, &|name: &str, _: &Path| modules::look_up(name), &mut diagnostics);
    check_diagnostics(&diagnostics, files);
    check_settings(&configuration, files);
    let modules: Vec<String> = configuration.modules.iter().map(summary_of_module).collect();
    let accepted = !diagnostics.has_errors();
    (format!("{statements}\n{:?}\n{modules:?}\n{diagnostics}", configuration.globals), accepted)
}

fn open(files: &[&[u8]], path: &Path) -> io::Result<Vec<u8>> {
    let index = match path.file_name().and_then(|name| name.to_str()) {
        _ if path == Path::new(MAIN) => 0,
        Some("b.cfg") => 1,
        Some("c.cfg") => 2,
        Some("secret.cfg") => return Err(ErrorKind::PermissionDenied.into()),
        _ => return Err(ErrorKind::NotFound.into()),
    };
    files.get(index).map(|bytes| bytes.to_vec()).ok_or_else(|| ErrorKind::NotFound.into())
}

fn check_diagnostics(diagnostics: &Diagnostics, files: &[&[u8]]) {
    for diagnostic in diagnostics.iter() {
        let text = diagnostic.to_string();
        let harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!text.contains(harmful), "a control character reaches the terminal: {text:?}");
        match &diagnostic.position {
            Some(place) => check_place(place, files),
            None => panic!("the main file can be read, so every message has a place: {text}"),
        }
    }
    assert_eq!(diagnostics.has_errors(), diagnostics.errors().next().is_some());
}

fn check_place(place: &Position, files: &[&[u8]]) {
    let bytes = place.file().bytes();
    assert!(files.contains(&bytes), "{place}: a place in a file that was not read");
    assert!(place.offset() <= bytes.len());
    let before = &bytes[..place.offset()];
    let line = before.split(|&byte| byte == b'\n').next_back().unwrap_or_default();
    assert_eq!(place.line(), 1 + before.iter().filter(|&&byte| byte == b'\n').count());
    // One column a character, a character of one to four bytes.
    assert!(place.column() <= line.len() + 1 && place.column() > line.len() / 4, "{place}");
}

fn places(statement: &Statement) -> Vec<&Position> {
    match statement {
        Statement::Global(assignment) => vec![&assignment.position, &assignment.value_position],
        Statement::Load(load) => vec![&load.position],
        Statement::Parameter(parameter) => {
            vec![&parameter.module_position, &parameter.name_position, &parameter.value_position]
        }
    }
}

fn check_settings(configuration: &Configuration, files: &[&[u8]]) {
    for module in &configuration.modules {
        check_place(&module.position, files);
        for setting in module.settings.iter() {
            check_place(&setting.position, files);
            if let ModuleSupport::Builtin(rows) = module.support {
                check_type(setting, rows);
            }
        }
    }
}

/// A setting of a module of ours fits its row.
fn check_type(setting: &Setting, rows: &[ParameterRow]) {
    let row = rows.iter().find(|row| row.name == setting.name);
    let fits = row.is_some_and(|row| match (row.kind, &setting.value) {
        (ParameterKind::Integer { min, max }, ConfigValue::Integer(number)) => (min..=max).contains(number),
        (ParameterKind::Boolean, ConfigValue::Integer(number)) => matches!(number, 0 | 1),
        (ParameterKind::Mode, ConfigValue::Integer(number)) => (0..=0o7777).contains(number),
        (ParameterKind::NameOrNumber, ConfigValue::Integer(number)) => *number >= 0,
        (ParameterKind::NameOrNumber, ConfigValue::Text(text)) => !text.is_empty() && !text.contains(&0),
        (ParameterKind::Text | ParameterKind::Path, ConfigValue::Text(text)) => !text.contains(&0),
        (ParameterKind::Choice(choices), ConfigValue::Text(text)) => {
            choices.iter().any(|choice| choice.as_bytes() == text)
        }
        _ => false,
    });
    assert!(fits, "a value that its row does not allow: {} = {:?}", setting.name, setting.value);
}

fn summary_of(document: &ConfigDocument) -> String {
    let mut text = String::new();
    for statement in &document.statements {
        let places: Vec<String> = places(statement).into_iter().map(Position::to_string).collect();
        let (what, value) = match statement {
            Statement::Global(assignment) => (format!("{:?}", assignment.row.names), Some(&assignment.value)),
            Statement::Load(load) => (load.file.escape_ascii().to_string(), None),
            Statement::Parameter(parameter) => (
                format!("{}, {}", parameter.module.escape_ascii(), parameter.name.escape_ascii()),
                Some(&parameter.value),
            ),
        };
        text += &format!("{what} {value:?} {places:?}\n");
    }
    text
}

fn summary_of_module(module: &config::LoadedModule) -> String {
    let settings: Vec<_> = module
        .settings
        .iter()
        .map(|setting| (&setting.name, &setting.value, setting.position.to_string()))
        .collect();
    format!("{} {:?} {} {settings:?}", module.name, module.path, module.position)
}
