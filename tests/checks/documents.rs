//! The documents say what the tables of the program say: options, parameters, commands, defaults; and scripts
//! use only options that exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use opensips_mi::cli::{FLAGS, Flag};
use opensips_mi::config::{self, Diagnostics, ParameterEffect, ParameterKind, ParameterRow};
use opensips_mi::mi::{self, Classic};
use opensips_mi::module::Module;
use opensips_mi::modules::{self, ALWAYS, LOADABLE};

use super::reading::{Paragraph, code_spans, paragraphs, root, script_lines, table_rows, text};

const PAGE: &str = "scripts/man/opensips-mi.8";
const EXAMPLE: &str = "opensips.cfg.example";

fn all_modules() -> impl Iterator<Item = &'static Module> {
    ALWAYS.into_iter().chain(LOADABLE)
}

/// Whether a part or a line of a document is about a module that this build leaves out.
fn is_left_out(words: &str) -> bool {
    cfg!(not(feature = "redis")) && words.contains("cachedb_redis")
}

/// An option as usage and manual write it: `-f FILE`.
fn usage(flag: &Flag) -> String {
    flag.value.map_or(format!("-{}", flag.letter), |value| format!("-{} {value}", flag.letter))
}

/// Whether a paragraph of the manual says that default.
fn tells_default(paragraph: &Paragraph, default: &str) -> bool {
    let text = paragraph.text.replace('\n', " ");
    match default {
        "no default" => text.contains("No default."),
        words => text.contains(&format!("Default: {words}.")),
    }
}

/// The type of a parameter as the manual names it.
fn type_of(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Integer { .. } | ParameterKind::Boolean | ParameterKind::Mode => "integer",
        ParameterKind::Text | ParameterKind::Path | ParameterKind::Choice(_) => "string",
        ParameterKind::NameOrNumber => "integer or string",
    }
}

#[test]
fn the_manual_has_every_option_and_no_other() {
    let page = paragraphs(&text(PAGE));
    let options: Vec<&Paragraph> = page.iter().filter(|paragraph| paragraph.section == "OPTIONS").collect();
    let mut said: Vec<(String, bool)> =
        options.iter().map(|it| (it.tag.clone(), it.part == "Accepted, without effect")).collect();
    let mut wanted: Vec<(String, bool)> = FLAGS.iter().map(|flag| (usage(flag), flag.sip_only)).collect();
    said.sort();
    wanted.sort();
    assert_eq!(said, wanted, "option, whether it is without effect; the manual's, the program's");
    for flag in &FLAGS {
        let paragraph = options.iter().find(|it| it.tag == usage(flag)).unwrap();
        if let Some(default) = flag.default {
            let is_told = tells_default(paragraph, &default.to_string());
            assert!(is_told, "-{}: default {default}; {paragraph:?}", flag.letter);
        }
    }
}

#[test]
fn the_manual_has_every_parameter_and_no_other() {
    let page = paragraphs(&text(PAGE));
    for module in all_modules() {
        let part = format!("Parameters of {}", module.name);
        let said: Vec<&Paragraph> = page.iter().filter(|it| it.part == part).collect();
        let tags: BTreeSet<String> = said.iter().map(|it| it.tag.clone()).collect();
        let tag = |row: &ParameterRow| format!("{} ({})", row.name, type_of(row.kind));
        let wanted: BTreeSet<String> = module.parameters.iter().map(tag).collect();
        assert_eq!(tags, wanted, "{}", module.name);
        for row in module.parameters {
            let default = &row.default.to_string();
            let paragraph = said.iter().find(|it| it.tag == tag(row)).unwrap();
            assert!(tells_default(paragraph, default), "{}: default {default}; {paragraph:?}", row.name);
        }
    }
    let parts = page.iter().filter_map(|it| it.part.strip_prefix("Parameters of "));
    let parts: BTreeSet<&str> = parts.filter(|module| !is_left_out(module)).collect();
    let known: BTreeSet<&str> =
        all_modules().filter(|module| !module.parameters.is_empty()).map(|module| module.name).collect();
    assert_eq!(parts, known, "modules with parameters");
}

/// A command as the manual writes it, with its parameters: optional ones in brackets, a list as `NAME...`.
fn call_of(command: &mi::Command) -> String {
    let shortest = command.json_rpc.iter().map(|recipe| recipe.len()).min().unwrap_or(0);
    let (recipe, needed) = match &command.classic {
        Classic::Takes { recipe, .. } => (*recipe, recipe.len()),
        Classic::NoInput => (&[][..], 0),
        // Of a command for JSON-RPC alone the longest recipe.
        Classic::Absent => (command.json_rpc.last().copied().unwrap_or_default(), shortest),
    };
    let words = recipe.iter().enumerate().map(|(at, parameter)| {
        let name = if parameter.kind == mi::ParameterKind::List { "NAME..." } else { parameter.name };
        if parameter.optional || at >= needed { format!(" [{name}]") } else { format!(" {name}") }
    });
    format!("{}{}", command.name, words.collect::<String>())
}

#[test]
fn the_manual_has_every_command_and_every_group_in_order() {
    let page = paragraphs(&text(PAGE));
    let tags = |section: &str| -> Vec<String> {
        page.iter().filter(|it| it.section == section).map(|it| it.tag.clone()).collect()
    };
    let commands = all_modules().flat_map(|module| module.commands);
    assert_eq!(tags("COMMANDS"), commands.map(call_of).collect::<Vec<_>>());
    let said: BTreeSet<String> = tags("STATISTICS").into_iter().collect();
    assert_eq!(said, groups());
    let silent: Vec<&Paragraph> = page.iter().filter(|it| it.text.trim().is_empty()).collect();
    assert!(silent.is_empty(), "nothing is said of {silent:#?}");
}

/// All groups of statistics, as `get_statistics` names them.
fn groups() -> BTreeSet<String> {
    let fixed = all_modules().flat_map(|module| module.statistics).map(|row| row.group);
    let made = modules::private_memory_statistics(1, 0);
    let load = modules::load_statistics("", 0..1);
    fixed
        .chain(made.iter().map(|row| row.group))
        .chain([load.group])
        .map(|group| format!("{group}:"))
        .collect()
}

/// The cells right of a README row whose first cell names a thing.
fn cell_of(rows: &[Vec<String>], first: &str) -> String {
    let row =
        rows.iter().find(|row| row[0] == first).unwrap_or_else(|| panic!("the README has no row {first}"));
    row[1].clone()
}

#[test]
fn the_readme_lists_what_there_is() {
    let rows = table_rows(&text("README.md"));
    let commands = |name: &str| {
        let module = all_modules().find(|module| module.name == name).unwrap();
        module.commands.iter().map(|command| command.name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(code_spans(&cell_of(&rows, "commands of `core`")), commands("core"));
    let others = ["statistics", "blacklists"].map(commands).concat();
    assert_eq!(code_spans(&cell_of(&rows, "commands of `statistics`, `blacklists`")), others);
    for module in LOADABLE {
        assert!(!cell_of(&rows, &format!("`{}`", module.name)).is_empty());
    }
    let said: BTreeSet<String> = code_spans(&cell_of(&rows, "statistics")).into_iter().collect();
    assert_eq!(said, groups());
    let named = rows.iter().flat_map(|row| code_spans(&row[0])).filter(|name| name.contains('/'));
    let missing: Vec<String> = named.filter(|name| !root().join(name).exists()).collect();
    assert_eq!(missing, [""; 0], "files that the README names");
}

/// The example's lines with a setting, as they would be active.
fn settings_of_example() -> Vec<String> {
    let example = text(EXAMPLE);
    let lines = example.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
    let settings = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    settings.filter(|line| !is_left_out(line)).map(str::to_owned).collect()
}

#[test]
fn the_example_shows_every_parameter_with_its_default() {
    let settings = settings_of_example();
    for module in all_modules() {
        for row in module.parameters.iter().filter(|row| row.effect == ParameterEffect::Used) {
            let start = format!("modparam(\"{}\", \"{}\", ", module.name, row.name);
            let values: Vec<&str> =
                settings.iter().filter_map(|line| line.strip_prefix(&start)?.strip_suffix(')')).collect();
            assert!(!values.is_empty(), "{}: not in {EXAMPLE}", row.name);
            if let Some(default) = row.default.as_written() {
                assert_eq!(values, [default], "{}: the example shows another default", row.name);
            }
        }
    }
}

#[test]
fn every_default_is_a_value_that_its_parameter_takes() {
    for module in all_modules() {
        for row in module.parameters {
            let Some(default) = row.default.as_written() else { continue };
            let name = module.name;
            let file =
                format!("loadmodule \"{name}.so\"\nmodparam(\"{name}\", \"{}\", {default})\n", row.name);
            assert_eq!(diagnostics_of(&file).errors().count(), 0, "{file}");
        }
    }
}

/// What the program says of a configuration.
fn diagnostics_of(file: &str) -> Diagnostics {
    let (document, mut diagnostics) =
        config::parse(Path::new(EXAMPLE), &mut |_: &Path| Ok(file.as_bytes().to_vec()));
    let _configuration =
        config::resolve(document, &|name: &str, _: &Path| modules::look_up(name), &mut diagnostics);
    diagnostics
}

/// Also each line that is commented out, one at a time.
#[test]
fn the_example_is_valid_line_by_line() {
    for line in settings_of_example() {
        let module = line.strip_prefix("modparam(\"").and_then(|rest| rest.split('"').next());
        let head = module.map_or(String::new(), |module| format!("loadmodule \"{module}.so\"\n"));
        let diagnostics = diagnostics_of(&format!("{head}{line}\n"));
        assert_eq!(diagnostics.to_string(), "", "{line}");
    }
}

#[test]
fn the_program_accepts_the_example() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opensips-mi"));
    let output = command.args(["-c", "-f"]).arg(root().join(EXAMPLE)).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What is wrong with the options that stand behind a program's name: single letters, with a value or
/// without.
fn wrong_options(words: &str) -> Vec<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let is_option = |word: &str| word.len() == 2 && word.starts_with('-') && word != "--";
    let mut wrong = Vec::new();
    for (at, word) in words.iter().enumerate().filter(|(_, word)| is_option(word)) {
        match FLAGS.iter().find(|flag| word.ends_with(flag.letter)) {
            None => wrong.push(format!("{word} does not exist")),
            Some(flag) => {
                let has_value = words.get(at + 1).is_some_and(|next| !next.starts_with('-'));
                if flag.value.is_some() && !has_value {
                    wrong.push(format!("{word} needs a value"));
                }
            }
        }
    }
    wrong
}

#[test]
fn scripts_use_only_options_that_exist() {
    assert_eq!(wrong_options("-f x -D -x -P -E"), ["-x does not exist", "-P needs a value"]);
    // The program's name in the unit; in the script also what `with_options` puts behind any command.
    for (script, names, at_least) in [
        ("scripts/opensips-mi.service", &["/sbin/opensips-mi "][..], 2),
        ("scripts/opensips-mi.init", &["\"$DAEMON\" -", "\"$@\" -"], 3),
    ] {
        let mut seen = 0;
        for line in script_lines(&text(script)) {
            for name in names {
                if let Some((_, words)) = line.split_once(name) {
                    seen += 1;
                    let words = if name.ends_with('-') { format!("-{words}") } else { words.to_owned() };
                    assert_eq!(wrong_options(&words), [""; 0], "{script}: {line}");
                }
            }
        }
        assert!(seen >= at_least, "{script}: only {seen} lines name the program");
    }
}
